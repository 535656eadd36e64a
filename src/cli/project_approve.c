/* What of a project's environment was approved, what is new, and asking for it. */
#include "base/escape.h"
#include "base/io.h"
#include "cli/box.h"
#include "cli/project.h"
#include "cli/report.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD_DIR "environments"
#define RECORD_MAX (4U << 20)

static int no_memory(struct err *e)
{
	return err_sys(e, -ENOMEM, "look at what was approved");
}

/* ---- the record ---- */

static int record_path(const struct paths *at, const char *id, char dst[PATH_MAX], struct err *e)
{
	char dir[PATH_MAX], file[32];

	(void)snprintf(file, sizeof(file), "%s.json", id);
	if (paths_join(dir, at->state, RECORD_DIR) < 0 || paths_join(dst, dir, file) < 0)
		return err_set(
			e, ERR_INVALID, -ENAMETOOLONG, "the state directory's path is too long");
	return paths_mkdir(dir, e);
}

int project_record_load(const struct paths *at, const char *id, struct js **ret, struct err *e)
{
	AUTO(buf) b = {0};
	char path[PATH_MAX];
	int r = record_path(at, id, path, e);

	buf_init(&b, RECORD_MAX);
	if (r == 0) {
		r = io_read_file(AT_FDCWD, path, &b);
		if (r == -ENOENT) {
			*ret = js_object();
			return *ret ? 0 : no_memory(e);
		}
		if (r < 0)
			(void)err_sys(e, r, "read '%.200s'", path);
	}
	if (r == 0) {
		r = js_parse(buf_str(&b), b.len, RECORD_MAX, ret, e);
		if (r < 0) {
			(void)err_wrap(e, r, "read '%.200s'", path);
			err_hint(e, "remove it: what it holds is asked for again");
		}
	}
	return r;
}

int project_record_save(
	const struct paths *at, const char *id, const struct js *record, struct err *e)
{
	AUTO(buf) b = {0};
	char path[PATH_MAX];
	int r = record_path(at, id, path, e);

	buf_init(&b, RECORD_MAX);
	if (r == 0 && js_canonical(record, &b) < 0)
		r = no_memory(e);
	if (r < 0)
		return r;
	r = io_replace_file(AT_FDCWD, path, b.data, b.len, 0600);
	return r < 0 ? err_sys(e, r, "write '%.200s'", path) : 0;
}

/* ---- what is new ---- */

static const char *line_text(const struct js *line)
{
	return js_str(js_get(line, "text"));
}

static bool has_text(const struct js *texts, const char *text)
{
	for (size_t i = 0; i < js_len(texts); i++)
		if (js_str(js_at(texts, i)) && strcmp(js_str(js_at(texts, i)), text) == 0)
			return true;
	return false;
}

static bool has_line(const struct js *lines, const char *text)
{
	for (size_t i = 0; i < js_len(lines); i++)
		if (strcmp(line_text(js_at(lines, i)), text) == 0)
			return true;
	return false;
}

static const char *stage_key(enum project_stage stage)
{
	return stage == PROJECT_CREATE ? "create" : "remove";
}

/* remembered() - were the stage's commands on the host approved to run again, with this very digest? */
static bool remembered(const struct js *record, const struct project *p, enum project_stage stage)
{
	const char *digest = js_str(js_get(js_get(record, "remember"), stage_key(stage)));

	return digest && strcmp(digest, p->digest) == 0;
}

/* of_stage() - does the stage act on it? */
static bool of_stage(const struct js *line, enum project_stage stage)
{
	bool at_end = strcmp(js_str(js_get(line, "field")), "preRemove") == 0;

	return at_end == (stage == PROJECT_REMOVE);
}

struct js *project_new_lines(
	const struct project *p, const struct js *record, enum project_stage stage, bool remember)
{
	AUTO_JS fresh = js_array();
	bool known = remember && remembered(record, p, stage);

	for (size_t i = 0; i < js_len(p->lines); i++) {
		const struct js *line = js_at(p->lines, i);
		bool host = js_bool(js_get(line, "host"));
		AUTO_JS copy = NULL;

		if (!js_bool(js_get(line, "opens")) || !of_stage(line, stage))
			continue;
		if (host ? known : has_text(js_get(record, "lines"), line_text(line)))
			continue;
		copy = js_object();
		if (js_set_str(copy, "text", line_text(line)) || js_set_bool(copy, "host", host) ||
			js_set_str(copy, "field", js_str(js_get(line, "field"))) ||
			js_set_str(copy, "key", js_str(js_get(line, "key"))) ||
			js_add(fresh, TAKE(copy)))
			return NULL;
	}
	return TAKE(fresh);
}

/* ---- showing ---- */

/* put_line() - all of it, whatever it is long: what is approved has been seen */
static void put_line(FILE *to, const char *mark, const char *text)
{
	size_t cap = 8 * strlen(text) + 8;
	AUTO_FREE char *shown = malloc(cap);

	fprintf(to, "%s %s\n", mark, shown ? escape_str(shown, cap, text) : "?");
}

/* writable() - is @path in a folder that the sandbox may change? */
static bool writable(const struct project *p, const char *path)
{
	const struct js *ws = js_get(p->env, "workspace"), *more = js_get(p->env, "additional");

	if (ws && !js_bool(js_get(ws, "read_only")) &&
		envfile_inside(path, js_str(js_get(ws, "path"))))
		return true;
	for (size_t i = 0; i < js_len(more); i++)
		if (!js_bool(js_get(js_at(more, i), "read_only")) &&
			envfile_inside(path, js_str(js_get(js_at(more, i), "path"))))
			return true;
	return false;
}

static void warn_of_files(const struct project *p, const struct js *fresh, FILE *to)
{
	bool host = false;

	for (size_t i = 0; i < js_len(fresh); i++)
		host |= js_bool(js_get(js_at(fresh, i), "host"));
	for (size_t i = 0; i < p->n_files; i++)
		if (writable(p, p->files[i])) {
			char shown[512];

			fprintf(to, "  note: %s lies in a shared folder\n",
				escape_str(shown, sizeof(shown), p->files[i]));
		}
	if (host && writable(p, p->dir))
		fputs("  note: the sandbox can change files of the folder that commands on the "
		      "host run in; what they start there may be the agent's\n",
			to);
}

void project_show(
	const struct project *p, const struct js *record, const struct js *fresh, FILE *to)
{
	const struct js *had = js_get(record, "lines");

	fprintf(to, "Environment %s\n", p->name);
	for (size_t i = 0; i < p->n_files; i++)
		put_line(to, "  file", p->files[i]);
	for (size_t i = 0; i < js_len(p->lines); i++) {
		const char *text = line_text(js_at(p->lines, i));
		bool is_new = has_line(fresh, text);

		put_line(to,
			js_bool(js_get(js_at(p->lines, i), "host")) && is_new ? "!"
			: is_new					      ? "+"
									      : " ",
			text);
	}
	for (size_t i = 0; i < js_len(had); i++)
		if (js_str(js_at(had, i)) && !has_line(p->lines, js_str(js_at(had, i))))
			put_line(to, "-", js_str(js_at(had, i)));
	warn_of_files(p, fresh, to);
}

struct js *project_plan_json(
	const struct project *p, const struct js *record, const struct js *fresh)
{
	const struct js *had = js_get(record, "lines");
	AUTO_JS o = js_object();
	AUTO_JS files = js_array();
	AUTO_JS lines = js_array();
	AUTO_JS gone = js_array();
	bool bad = false;

	for (size_t i = 0; i < p->n_files; i++)
		bad |= js_add_str(files, p->files[i]);
	for (size_t i = 0; i < js_len(p->lines); i++) {
		const struct js *line = js_at(p->lines, i);
		struct js *one = js_object();

		bad |= js_set_str(one, "text", line_text(line)) ||
		       js_set_bool(one, "opens", js_bool(js_get(line, "opens"))) ||
		       js_set_bool(one, "host_command", js_bool(js_get(line, "host"))) ||
		       js_set_bool(one, "needs_approval", has_line(fresh, line_text(line)));
		bad |= js_add(lines, one);
	}
	for (size_t i = 0; i < js_len(had); i++)
		if (js_str(js_at(had, i)) && !has_line(p->lines, js_str(js_at(had, i))))
			bad |= js_add_str(gone, js_str(js_at(had, i)));
	bad |= js_set_str(o, "name", p->name) || js_set_str(o, "digest", p->digest) ||
	       js_set_bool(o, "approved", js_len(fresh) == 0) || js_set(o, "files", TAKE(files)) ||
	       js_set(o, "lines", TAKE(lines)) || js_set(o, "gone", TAKE(gone));
	return bad ? NULL : TAKE(o);
}

/* ---- asking ---- */

/* record_it() - all lines that open something are approved from now on, and no others */
static int record_it(const struct project *p, enum project_stage stage, bool remember,
	struct js *record, struct err *e)
{
	const char *other = stage_key(stage == PROJECT_CREATE ? PROJECT_REMOVE : PROJECT_CREATE);
	const char *had = js_str(js_get(js_get(record, "remember"), other));
	AUTO_JS lines = js_array();
	AUTO_JS kept = js_object();
	bool bad = !lines;

	for (size_t i = 0; i < js_len(p->lines); i++) {
		const struct js *line = js_at(p->lines, i);

		if (js_bool(js_get(line, "opens")) &&
			(of_stage(line, stage) ||
				has_text(js_get(record, "lines"), line_text(line))))
			bad |= js_add_str(lines, line_text(line));
	}
	if (remember)
		bad |= js_set_str(kept, stage_key(stage), p->digest);
	if (had)
		bad |= js_set_str(kept, other, had);
	bad |= js_set(record, "lines", TAKE(lines)) || js_set_str(record, "digest", p->digest) ||
	       js_set(record, "remember", TAKE(kept));
	return bad ? no_memory(e) : 0;
}

static int withhold(struct project *p, const struct js *fresh, struct err *e)
{
	for (size_t i = 0; i < js_len(fresh); i++) {
		const struct js *line = js_at(fresh, i);

		if (strcmp(js_str(js_get(line, "field")), "workspace") == 0) {
			(void)err_set(e, ERR_DENIED, -EPERM,
				"nobody approved the %.300s, which is outside of the project",
				line_text(line));
			err_hint(e, "run it on a terminal, or with -y");
			return -EPERM;
		}
		report_note("withheld, as nobody approved it: %s", line_text(line));
	}
	if (js_len(fresh) > 0)
		report_note("sbx env plan shows all of it; a terminal is asked, and -y approves");
	return envfile_withhold(p->env, fresh) < 0 ? no_memory(e) : 0;
}

/* skip_host() - take commands on the host out, approved or not */
static int skip_host(struct project *p, struct err *e)
{
	AUTO_JS out = js_array();

	for (size_t i = 0; i < js_len(p->lines); i++) {
		const struct js *line = js_at(p->lines, i);
		AUTO_JS one = NULL;

		if (!js_bool(js_get(line, "host")))
			continue;
		one = js_object();
		if (js_set_str(one, "field", js_str(js_get(line, "field"))) ||
			js_set_str(one, "key", js_str(js_get(line, "key"))) ||
			js_add(out, TAKE(one)))
			return no_memory(e);
		report_note("not run, as was asked: %s", line_text(line));
	}
	if (envfile_withhold(p->env, out) < 0)
		return no_memory(e);
	js_free(p->lines);
	p->lines = NULL;
	return envfile_lines(p->env, p->dir, &p->lines) < 0 ? no_memory(e) : 0;
}

static bool say_yes(void)
{
	char answer[16] = "";

	fputs("Do this? (y/N) ", stderr);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

int project_approve(struct project *p, const struct project_args *a, enum project_stage stage,
	bool remember, struct js *record, struct err *e)
{
	AUTO_JS fresh = NULL;
	int r = a->skip_host ? skip_host(p, e) : 0;

	if (r < 0)
		return r;
	fresh = project_new_lines(p, record, stage, remember);
	if (!fresh)
		return no_memory(e);
	if (js_len(fresh) == 0)
		return 0;
	if (!a->yes && (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)))
		return withhold(p, fresh, e);
	if (!a->yes) {
		project_show(p, record, fresh, stderr);
		if (!say_yes())
			return err_set(e, ERR_DENIED, -ECANCELED, "not approved; nothing was done");
	}
	return record_it(p, stage, remember, record, e);
}
