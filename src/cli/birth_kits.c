#include "cli/birth_kits.h"
#include "base/escape.h"
#include "base/io.h"
#include "cli/report.h"
#include "cli/values.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- what is asked for ---- */

/* put_args() - what is said of one kit comes after what is said of all, so that it holds */
static bool put_args(struct js *body, const struct env_list *args)
{
	AUTO_JS list = js_array();
	bool bad = false;

	for (int scoped = 0; scoped < 2; scoped++)
		for (size_t i = 0; i < args->n; i++) {
			const struct env_var *v = &args->v[i];
			AUTO_FREE char *name = strndup(v->text, v->name_len);
			AUTO_JS o = js_object();

			if (!name || (strchr(name, '.') != NULL) != (scoped == 1)) {
				bad |= !name;
				continue;
			}
			bad |= js_set_str(o, "name", name) ||
			       js_set_str(o, "value", v->text + v->name_len + 1) ||
			       js_add(list, TAKE(o));
		}
	return bad || (js_len(list) > 0 && js_set(body, "kit_args", TAKE(list)));
}

bool birth_kits_put(struct js *body, const struct run_args *a, const struct kits_at *kits)
{
	AUTO_JS list = js_array();
	bool bad = js_set_str(body, "agent", kits->v[0].path);

	if (kits->v[0].origin[0])
		bad |= js_set_str(body, "agent_origin", kits->v[0].origin);
	for (size_t i = 1; i < kits->n; i++) {
		struct js *one;

		if (!kits->v[i].origin[0]) {
			bad |= js_add_str(list, kits->v[i].path);
			continue;
		}
		one = js_object();
		bad |= js_set_str(one, "path", kits->v[i].path);
		bad |= js_set_str(one, "origin", kits->v[i].origin);
		bad |= js_add(list, one);
	}
	return bad || put_args(body, &a->kit_args.list) || js_set(body, "kits", TAKE(list));
}

bool birth_kits_outside(const struct run_args *a)
{
	return a->n_kits > 0 ||
	       (a->agent && (value_is_kit_path(a->agent) || kits_remote(a->agent)));
}

/* ---- approval ---- */

/* print_line() - whole, however long: nobody approves what he was not shown */
static void print_line(const char *mark, const char *text)
{
	size_t cap = 10 * strlen(text) + 1; /* the longest that a byte becomes: \u{10ffff} */
	AUTO_FREE char *shown = malloc(cap);

	(void)fprintf(stderr, "  %s %s\n", mark,
		shown ? escape_again(shown, cap, text) : "(no memory to show it)");
}

/* show() - as a diff to what was approved before: what comes, and the denials that go */
static void show(const struct js *plan)
{
	const struct js *kits = js_get(plan, "kits"), *asks = js_get(plan, "asks");
	static const char dropped[] = "dropped: ";
	size_t before;

	for (size_t i = 0; i < js_len(kits); i++) {
		const struct js *k = js_at(kits, i);

		if (!js_bool(js_get(k, "builtin")))
			report_note("kit %s from %s", box_str(k, "name"), box_str(k, "origin"));
	}
	report_note("together with agent %s they ask for what nobody has approved:",
		box_str(plan, "agent"));
	for (size_t i = 0; i < js_len(asks); i++) {
		const char *text = js_str(js_at(asks, i));

		if (text && strncmp(text, dropped, strlen(dropped)) == 0)
			print_line("-", text + strlen(dropped));
		else if (text)
			print_line("+", text);
	}
	before = js_len(js_get(plan, "surface"));
	before = before > js_len(asks) ? before - js_len(asks) : 0;
	if (before > 0)
		report_note("%zu more were approved before", before);
}

static int set_approve(const struct js *plan, struct js *body, struct err *e)
{
	return js_set_str(body, "approve", box_str(plan, "kits_digest"))
		       ? err_sys(e, -ENOMEM, "write the request")
		       : 0;
}

int birth_kits_approve(
	const struct run_args *a, const struct js *plan, struct js *body, struct err *e)
{
	bool person = isatty(STDIN_FILENO) && isatty(STDERR_FILENO) && !a->json;
	char line[16] = "";

	if (js_len(js_get(plan, "asks")) == 0)
		return 0;
	if (!a->quiet || person)
		show(plan);
	if (a->approve_kits)
		return set_approve(plan, body, e);
	if (!person) {
		report_note("what of it reaches beyond the sandbox is withheld; --approve-kits "
			    "approves all of it");
		return 0;
	}
	(void)fprintf(stderr, "Approve? y: all of it; w: go on without what reaches beyond the "
			      "sandbox; N: make nothing (y/w/N) ");
	(void)fflush(stderr);
	if (!fgets(line, sizeof(line), stdin))
		line[0] = '\0';
	if (line[0] == 'y' || line[0] == 'Y')
		return set_approve(plan, body, e);
	if (line[0] == 'w' || line[0] == 'W')
		return 0;
	return err_set(e, ERR_DENIED, -ECANCELED, "the kits were not approved: nothing was made");
}

/* ---- a sandbox that is there ---- */

static const struct js *find_kit(const struct js *kits, const char *name)
{
	for (size_t i = 0; i < js_len(kits); i++)
		if (strcmp(box_str(js_at(kits, i), "name"), name) == 0)
			return js_at(kits, i);
	return NULL;
}

/* list_kits() - "claude, lint" */
static const char *list_kits(const struct js *kits, char *dst, size_t cap)
{
	size_t at = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < js_len(kits) && at < cap; i++)
		at += (size_t)snprintf(
			dst + at, cap - at, "%s%s", i ? ", " : "", box_str(js_at(kits, i), "name"));
	return dst;
}

int birth_kits_compare(const struct js *box, const struct js *plan, struct err *e)
{
	const struct js *old = js_get(js_get(box, "plan"), "kits"), *now = js_get(plan, "kits");
	const char *name = box_str(box, "name");
	bool told = false;
	char a[512], b[512];

	if (strcmp(box_str(js_get(box, "plan"), "kits_digest"), box_str(plan, "kits_digest")) == 0)
		return 0;
	for (size_t i = 0; i < js_len(now) || i < js_len(old); i++) {
		const struct js *k = js_at(now, i), *o = js_at(old, i);

		if ((k && find_kit(old, box_str(k, "name"))) &&
			(!o || find_kit(now, box_str(o, "name"))))
			continue;
		(void)err_set(e, ERR_CONFLICT, -EEXIST,
			"sandbox '%s' was made with the kits %s, not "
			"with %s",
			name, list_kits(old, a, sizeof(a)), list_kits(now, b, sizeof(b)));
		err_hint(e, "sbx rm %s first, or give the new one another --name", name);
		return -EEXIST;
	}
	for (size_t i = 0; i < js_len(now); i++) {
		const struct js *k = js_at(now, i);
		const struct js *o = find_kit(old, box_str(k, "name"));

		if (!o || strcmp(box_str(o, "digest"), box_str(k, "digest")) == 0)
			continue;
		report_note(
			"kit %s has changed since sandbox '%s' was made", box_str(k, "name"), name);
		told = true;
	}
	if (!told)
		report_note(
			"the kits are asked for otherwise than when sandbox '%s' was made", name);
	report_note("it goes on as it is; sbx rm %s, and the next run makes it anew", name);
	return 0;
}

/* ---- arguments of kits from a file ---- */

int birth_kits_args_file(struct env_list *list, const char *path, struct err *e)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	AUTO(buf) text;
	unsigned line = 0;
	int r;

	buf_init(&text, ENV_FILE_MAX);
	if (fd < 0)
		return err_sys(e, -errno, "open '%.200s'", path);
	r = io_read_fd(fd, &text);
	if (r < 0)
		return err_sys(e, r, "read '%.200s'", path);
	/* a name alone would take its value from the environment: for variables that is meant, not here */
	for (const char *at = buf_str(&text); *at;) {
		size_t n = strcspn(at, "\n"), blank = strspn(at, " \t\r");

		line++;
		if (blank < n && at[blank] != '#' && !memchr(at, '=', n))
			return err_set(e, ERR_INVALID, -EINVAL, "%.200s: line %u: not NAME=VALUE",
				path, line);
		at += n + (at[n] == '\n');
	}
	return env_add_text(list, buf_str(&text), text.len, path, e);
}
