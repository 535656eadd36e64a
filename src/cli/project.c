/* sbx env plan|create|run|exec|rm: each step by the verb that a person would type for it */
#include "cli/project.h"
#include "base/io.h"
#include "cli/box.h"
#include "cli/kits.h"
#include "cli/report.h"
#include "cli/secret.h"
#include "cli/verb.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX    512
#define CAPTURE_MAX  (1U << 20)
#define REMEMBER_KEY "env.rememberHostCommands"

struct job {
	struct project_args a;
	struct project p;
	struct api api;
	struct js *record, *box; /* box NULL: there is no sandbox yet */
	bool remember;
};

static void job_auto(struct job *j)
{
	project_args_auto(&j->a);
	project_auto(&j->p);
	js_free(j->record);
	js_free(j->box);
	api_close(&j->api);
}

static int no_memory(struct err *e)
{
	return err_sys(e, -ENOMEM, "make the sandbox");
}

static int out_of_memory(struct err *e, int status)
{
	(void)no_memory(e);
	return report_err(e, status);
}

/* ---- a command line of another verb ---- */

struct words {
	char *v[WORDS_MAX + 1]; /* parsers put others of their own in, and change the order */
	char *own[WORDS_MAX];
	size_t n;
	bool bad;
};

static void words_auto(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->own[i]);
}

static void PRINTF_LIKE(2, 3) word(struct words *w, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (w->n == WORDS_MAX) {
		w->bad = true;
		return;
	}
	va_start(ap, fmt);
	n = vasprintf(&w->own[w->n], fmt, ap);
	va_end(ap);
	if (n < 0)
		w->bad = true;
	else {
		w->v[w->n] = w->own[w->n];
		w->n++;
	}
}

static void option_text(struct words *w, const struct js *env, const char *key, const char *option)
{
	if (js_get(env, key)) {
		word(w, "%s", option);
		word(w, "%s", js_str(js_get(env, key)));
	}
}

/* kit_name() - how the arguments of @ref are told from those of others */
static int kit_name(
	const struct paths *at, const char *ref, char name[KIT_NAME_BYTES], struct err *e)
{
	struct kit_source source = {0};
	AUTO(kits_at) found = {0};
	int r = kits_find(&ref, 1, at, true, &found, e);

	if (r == 0)
		r = kit_source_read(found.v[0].path, at->data, NULL, &source, e);
	if (r < 0)
		return r;
	r = kit_name_of(&source.tree, source.file, name, e);
	kit_source_fini(&source);
	return r;
}

static int put_kits(struct words *w, const struct project *p, const struct paths *at, struct err *e)
{
	const struct js *kits = js_get(p->env, "kits"), *v;

	for (size_t i = 0; i < js_len(kits); i++) {
		const char *source = js_str(js_get(js_at(kits, i), "source")), *key;
		const struct js *args = js_get(js_at(kits, i), "args");
		char name[KIT_NAME_BYTES];
		void *iter = NULL;
		int r = js_len(args) ? kit_name(at, source, name, e) : 0;

		if (r < 0)
			return r;
		word(w, "--kit");
		word(w, "%s", source);
		while (js_each(args, &iter, &key, &v)) {
			word(w, "--kit-arg");
			word(w, "%s.%s=%s", name, key, js_str(v));
		}
	}
	return 0;
}

/* mask_of() - the pattern of a file of ours in the share @path; false: it is not in it */
static bool mask_of(const char *file, const char *path, char dst[PATH_MAX])
{
	size_t n = strlen(path), parts = 0;
	const char *rest;

	if (!envfile_inside(file, path) || strcmp(file, path) == 0)
		return false;
	rest = file + (n == 1 ? 0 : n); /* "/a/b": tied to the top of the share */
	for (const char *c = rest; *c; c++)
		parts += *c == '/';
	if (parts > 8 || strlen(rest) > 255 || strpbrk(rest, "*?"))
		rest = strrchr(file, '/') + 1; /* any of that name: more than needed, never less */
	(void)snprintf(dst, PATH_MAX, "%s", rest);
	return true;
}

/* put_masks() - who works inside can neither read our files (there may be values in them) nor change, move
 * or replace them
 */
static void put_masks(struct words *w, const struct project *p)
{
	const struct js *more = js_get(p->env, "additional");

	for (size_t f = 0; f < p->n_files; f++) {
		char mask[PATH_MAX];

		for (size_t i = 0; i <= js_len(more); i++) {
			const struct js *s = i ? js_at(more, i - 1) : js_get(p->env, "workspace");

			if (s && mask_of(p->files[f], js_str(js_get(s, "path")), mask)) {
				word(w, "--mask");
				word(w, "%s", mask);
			}
		}
	}
}

static void put_share(struct words *w, const struct js *s)
{
	const char *path = js_str(js_get(s, "path"));
	size_t n = strlen(path);
	bool like_ro = n > 3 && strcmp(path + n - 3, ":ro") == 0;

	word(w, "%s%s%s", path, like_ro ? "/" : "", js_bool(js_get(s, "read_only")) ? ":ro" : "");
}

static int put_create(struct words *w, const struct job *j, struct err *e)
{
	const struct js *env = j->p.env, *list, *v;
	const char *key, *agent = js_str(js_get(env, "agent"));
	void *iter = NULL;
	int r;

	word(w, "create");
	word(w, "--quiet");
	if (j->a.json)
		word(w, "--json");
	word(w, "--name");
	word(w, "%s", j->p.name);
	r = put_kits(w, &j->p, &j->api.paths, e);
	if (r < 0)
		return r;
	if (j->a.yes && (js_len(js_get(env, "kits")) > 0 || strpbrk(agent, "/:")))
		word(w, "--approve-kits");
	while (js_each(js_get(env, "env"), &iter, &key, &v)) {
		word(w, "--env");
		word(w, "%s=%s", key, js_str(v));
	}
	option_text(w, env, "template", "--template");
	option_text(w, env, "memory", "--memory");
	option_text(w, env, "disk", "--disk");
	option_text(w, env, "pull", "--pull");
	if (js_get(env, "cpus")) {
		word(w, "--cpus");
		word(w, "%lld", (long long)js_int(js_get(env, "cpus"), 0));
	}
	list = js_get(env, "ports");
	for (size_t i = 0; i < js_len(list); i++) {
		word(w, "--publish");
		word(w, "%s", js_str(js_at(list, i)));
	}
	put_masks(w, &j->p);
	word(w, "%s", agent);
	if (js_get(env, "workspace"))
		put_share(w, js_get(env, "workspace"));
	list = js_get(env, "additional");
	for (size_t i = 0; i < js_len(list); i++)
		put_share(w, js_at(list, i));
	return w->bad ? no_memory(e) : 0;
}

/* in_child() - run a verb in a process of its own; what it printed is @out's. Its exit status, or -errno. */
static int in_child(struct words *w, struct buf *out)
{
	int fds[2], status = 0, r;
	pid_t pid;

	(void)fflush(NULL);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		int code = dup2(fds[1], STDOUT_FILENO) < 0
				   ? CLI_OWN
				   : verb_dispatch(verb_find(w->v[0]), (int)w->n, w->v);

		(void)fflush(NULL);
		_exit(code);
	}
	close(fds[1]);
	r = pid > 0 ? io_read_fd(fds[0], out) : -errno;
	close(fds[0]);
	if (pid < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (r < 0)
		return r;
	return WIFEXITED(status) ? WEXITSTATUS(status) : CLI_OWN;
}

/* ---- the steps ---- */

static bool remembers(struct api *api)
{
	AUTO_JS all = NULL;
	const struct js *list;
	struct err silent = {0};

	if (api_call(api, "GET", "/v1/settings", NULL, API_CALL_MS, &all, &silent) < 0)
		return false;
	list = js_get(all, "settings");
	for (size_t i = 0; i < js_len(list); i++)
		if (strcmp(box_str(js_at(list, i), "key"), REMEMBER_KEY) == 0)
			return strcmp(box_str(js_at(list, i), "value"), "true") == 0;
	return false;
}

/* find_box() - the project's sandbox, if there is one: a name alone, which the file can change, is not enough
 * to run, enter or remove somebody else's
 */
static int find_box(struct job *j, struct err *e)
{
	const char *ours = js_str(js_get(js_get(j->record, "sandbox"), j->p.name));
	int r = box_get(&j->api, j->p.name, &j->box, e);

	if (r < 0 && e->code == ERR_NOT_FOUND) {
		*e = (struct err){0};
		return 0;
	}
	if (r < 0)
		return r;
	if (ours && strcmp(ours, box_str(j->box, "id")) == 0)
		return 0;
	(void)err_set(e, ERR_CONFLICT, -EEXIST, "sandbox '%s' was not made by this environment",
		j->p.name);
	err_hint(e, "give the environment's another --name");
	return -EEXIST;
}

static int begin(struct job *j, struct err *e)
{
	int r = project_load(&j->a, &j->p, e);

	if (r == 0)
		r = api_open(&j->api, API_START, e);
	if (r == 0)
		r = project_record_load(&j->api.paths, j->p.id, &j->record, e);
	if (r < 0)
		return r;
	j->remember = remembers(&j->api);
	return 0;
}

static int note_box(struct job *j, const char *id, struct err *e)
{
	AUTO_JS boxes = js_object();
	const struct js *had = js_get(j->record, "sandbox"), *v;
	const char *name;
	void *iter = NULL;
	bool bad = !boxes;

	while (js_each(had, &iter, &name, &v))
		if (strcmp(name, j->p.name) != 0)
			bad |= js_set_copy(boxes, name, v);
	if (id)
		bad |= js_set_str(boxes, j->p.name, id);
	if (bad || js_set(j->record, "sandbox", TAKE(boxes)))
		return no_memory(e);
	return project_record_save(&j->api.paths, j->p.id, j->record, e);
}

static int put_secrets(struct job *j, struct err *e)
{
	const struct js *secret;
	const char *service;
	void *iter = NULL;
	int r = 0;

	while (r == 0 && js_each(js_get(j->p.env, "secrets"), &iter, &service, &secret)) {
		const struct secret_source s = {.service = service,
			.sandbox = j->p.name,
			.command = js_str(js_get(secret, "command")),
			.value = js_str(js_get(secret, "value")),
			.refresh_s = (long)js_int(js_get(secret, "refresh_s"), -1)};

		r = s.value ? secret_send(&j->api, &s, s.value, strlen(s.value), e)
			    : secret_put(&j->api, &s, e);
	}
	return r;
}

/* undo() - a sandbox without what it was to have is none: the next try begins anew */
static void undo(struct job *j)
{
	char target[API_TARGET_MAX];
	struct err silent = {0};

	api_target(target, j->p.name, "?force=1");
	if (api_call(&j->api, "DELETE", target, NULL, API_REMOVE_MS, NULL, &silent) < 0)
		report_note(
			"sandbox '%s' is there, but not complete: sbx rm %s", j->p.name, j->p.name);
}

/* make() - 0, negative with @e, or the exit status of `create`, which has told its fault */
static int make(struct job *j, struct err *e)
{
	AUTO(words) w = {0};
	AUTO(buf) said;
	int r = project_approve(&j->p, &j->a, PROJECT_CREATE, j->remember, j->record, e);

	buf_init(&said, CAPTURE_MAX);
	if (r == 0)
		r = project_record_save(&j->api.paths, j->p.id, j->record, e);
	if (r == 0)
		r = project_host(&j->p, "initialize", e);
	if (r == 0)
		r = put_create(&w, j, e);
	if (r < 0)
		return r;
	r = in_child(&w, &said);
	if (r < 0)
		return err_sys(e, r, "make the sandbox");
	if (r > 0) {
		(void)fwrite(buf_str(&said), 1, said.len, stdout);
		(void)report_flush();
		return r;
	}
	r = box_get(&j->api, j->p.name, &j->box, e);
	if (r == 0)
		r = put_secrets(j, e);
	if (r == 0)
		r = note_box(j, box_str(j->box, "id"), e);
	if (r < 0) {
		undo(j);
		return r;
	}
	r = project_host(&j->p, "postCreate", e);
	return r < 0 ? err_wrap(e, r, "sandbox '%s' was made, but then", j->p.name) : 0;
}

/* ---- the verbs ---- */

static int env_plan(int argc, char **argv)
{
	static const struct project_form form = {.options = "j",
		.doc = "Show what sbxenv.yaml would make, and what of it nobody approved yet. "
		       "Does nothing."};
	AUTO(job) j = {.api.http.fd = -1};
	AUTO_JS fresh = NULL;
	AUTO_JS at_end = NULL;
	struct err e = {0};

	if (project_args_parse(argc, argv, &form, &j.a, &e) < 0)
		return report_err(&e, CLI_USAGE);
	if (begin(&j, &e) < 0)
		return report_err(&e, CLI_FAIL);
	fresh = project_new_lines(&j.p, j.record, PROJECT_CREATE, j.remember);
	at_end = project_new_lines(&j.p, j.record, PROJECT_REMOVE, j.remember);
	for (size_t i = 0; fresh && i < js_len(at_end); i++) {
		AUTO_JS o = js_object();

		if (js_set_str(o, "text", box_str(js_at(at_end, i), "text")) ||
			js_set_bool(o, "host", true) || js_add(fresh, TAKE(o)))
			return out_of_memory(&e, CLI_FAIL);
	}
	if (j.a.json) {
		AUTO_JS o = project_plan_json(&j.p, j.record, fresh);

		if (!o || box_print(o, &e) < 0)
			return report_err(&e, CLI_FAIL);
		return report_flush();
	}
	project_show(&j.p, j.record, fresh, stdout);
	return report_flush();
}

static int env_create(int argc, char **argv)
{
	static const struct project_form form = {
		.options = "ysjq", .doc = "Make the sandbox that sbxenv.yaml describes."};
	AUTO(job) j = {.api.http.fd = -1};
	struct err e = {0};
	int r;

	if (project_args_parse(argc, argv, &form, &j.a, &e) < 0)
		return report_err(&e, CLI_USAGE);
	r = begin(&j, &e);
	if (r == 0)
		r = find_box(&j, &e);
	if (r == 0 && j.box)
		r = err_set(&e, ERR_CONFLICT, -EEXIST, "sandbox '%s' is there already", j.p.name);
	if (r == 0)
		r = make(&j, &e);
	if (r != 0)
		return r < 0 ? report_err(&e, CLI_FAIL) : r;
	if (j.a.json)
		return box_print(j.box, &e) < 0 ? report_err(&e, CLI_FAIL) : report_flush();
	puts(j.p.name);
	return report_flush();
}

static int env_run(int argc, char **argv)
{
	static const struct project_form form = {.options = "ysdjq-",
		.doc = "Make the sandbox that sbxenv.yaml describes where it is not there, start "
		       "it, and give the terminal to its agent. What follows -- is for the agent."};
	AUTO(job) j = {.api.http.fd = -1};
	AUTO(words) w = {0};
	struct err e = {0};
	int r;

	if (project_args_parse(argc, argv, &form, &j.a, &e) < 0)
		return report_err(&e, CLI_OWN);
	r = begin(&j, &e);
	if (r == 0)
		r = find_box(&j, &e);
	if (r == 0 && !j.box)
		r = make(&j, &e);
	if (r != 0)
		return r < 0 ? report_err(&e, CLI_OWN) : CLI_OWN;
	word(&w, "run");
	word(&w, "--name");
	word(&w, "%s", j.p.name);
	if (j.a.detached)
		word(&w, "--detached");
	if (j.a.quiet)
		word(&w, "--quiet");
	if (j.a.json)
		word(&w, "--json");
	if (j.a.n_rest)
		word(&w, "--");
	for (size_t i = 0; i < j.a.n_rest; i++)
		word(&w, "%s", j.a.rest[i]);
	if (w.bad)
		return out_of_memory(&e, CLI_OWN);
	return verb_dispatch(verb_find("run"), (int)w.n, w.v);
}

static int env_exec(int argc, char **argv)
{
	static const struct project_form form = {
		.options = "q-", .doc = "Run a command in the sandbox that sbxenv.yaml describes."};
	AUTO(job) j = {.api.http.fd = -1};
	AUTO(words) w = {0};
	struct err e = {0};
	int r = project_args_parse(argc, argv, &form, &j.a, &e);

	if (r == 0 && j.a.n_rest == 0) {
		r = err_set(&e, ERR_INVALID, -EINVAL, "env exec: missing a command");
		err_hint(&e, "sbx env exec [PATH...] -- COMMAND");
	}
	if (r == 0)
		r = begin(&j, &e);
	if (r == 0)
		r = find_box(&j, &e);
	if (r == 0 && !j.box) {
		r = err_set(&e, ERR_NOT_FOUND, -ENOENT, "sandbox '%s' is not there", j.p.name);
		err_hint(&e, "sbx env create makes it");
	}
	if (r < 0)
		return report_err(&e, CLI_OWN);
	word(&w, "exec");
	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		word(&w, "-it");
	word(&w, "%s", j.p.name);
	word(&w, "--");
	for (size_t i = 0; i < j.a.n_rest; i++)
		word(&w, "%s", j.a.rest[i]);
	if (w.bad)
		return out_of_memory(&e, CLI_OWN);
	return verb_dispatch(verb_find("exec"), (int)w.n, w.v);
}

static int env_rm(int argc, char **argv)
{
	static const struct project_form form = {.options = "ysjfq",
		.doc = "Remove the sandbox that sbxenv.yaml describes, and what was kept for it."};
	AUTO(job) j = {.api.http.fd = -1};
	AUTO(words) w = {0};
	struct err e = {0};
	int r;

	if (project_args_parse(argc, argv, &form, &j.a, &e) < 0)
		return report_err(&e, CLI_USAGE);
	r = begin(&j, &e);
	if (r == 0)
		r = find_box(&j, &e);
	if (r == 0 && !j.box)
		r = err_set(&e, ERR_NOT_FOUND, -ENOENT, "sandbox '%s' is not there", j.p.name);
	if (r == 0)
		r = project_approve(&j.p, &j.a, PROJECT_REMOVE, j.remember, j.record, &e);
	if (r == 0)
		r = project_record_save(&j.api.paths, j.p.id, j.record, &e);
	if (r == 0)
		r = project_host(&j.p, "preRemove", &e);
	if (r < 0)
		return report_err(&e, CLI_FAIL);
	word(&w, "rm");
	if (j.a.force)
		word(&w, "--force");
	if (j.a.json)
		word(&w, "--json");
	word(&w, "%s", j.p.name);
	r = verb_dispatch(verb_find("rm"), (int)w.n, w.v);
	if (r == CLI_OK && note_box(&j, NULL, &e) < 0)
		return report_err(&e, CLI_FAIL);
	return r;
}

int verb_env(int argc, char **argv)
{
	static const struct verb subs[] = {
		{"plan", env_plan, "what the files would make, and what needs an approval"},
		{"create", env_create, "make the sandbox"},
		{"run", env_run, "make it where needed, and run its agent"},
		{"exec", env_exec, "run a command in it"},
		{"rm", env_rm, "remove it"},
	};

	return verb_sub(subs, ARRAY_LEN(subs), argc, argv);
}
