#include "cli/box.h"
#include "base/escape.h"
#include "cli/progress.h"
#include "cli/report.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define SETUP_LINES "12"

const char *box_str(const struct js *box, const char *key)
{
	const char *s = js_str(js_get(box, key));

	return s ? s : "";
}

const char *box_primary(const struct js *box)
{
	return box_str(js_at(js_get(box, "workspaces"), 0), "path");
}

static int not_found(int r, const char *name, struct err *e)
{
	/* what a start did not find is not the sandbox */
	if (e->code != ERR_NOT_FOUND || strncmp(e->msg, "start sandbox", 13) == 0)
		return r;
	(void)err_set(e, ERR_NOT_FOUND, -ENOENT, "sandbox '%s' not found", name);
	err_hint(e, "sbx ls shows what there is");
	return -ENOENT;
}

int box_get(struct api *a, const char *name, struct js **ret_box, struct err *e)
{
	char target[API_TARGET_MAX];
	int r;

	api_target(target, name, "");
	r = api_call(a, "GET", target, NULL, API_CALL_MS, ret_box, e);
	return r < 0 ? not_found(r, name, e) : 0;
}

int box_list(struct api *a, struct js **ret_all, const struct js **ret_array, struct err *e)
{
	int r = api_call(a, "GET", "/v1/sandboxes", NULL, API_CALL_MS, ret_all, e);

	if (r == 0)
		*ret_array = js_get(*ret_all, "sandboxes");
	return r;
}

/* Interrupted while a sandbox is installed: the daemon goes on with it, and who interrupts is told so. */
static char left_text[512];
static size_t left_len;

static void on_interrupt(int sig)
{
	if (write(STDERR_FILENO, left_text, left_len) < 0)
		_exit(128 + sig);
	(void)signal(sig, SIG_DFL);
	(void)raise(sig);
}

struct watched {
	struct progress p;
	const char *name;
	bool told; /* an interrupt says what goes on */
};

static void on_step(void *ctx, const char *text, const char *output)
{
	struct watched *w = ctx;

	progress_step(&w->p, text, output);
	if (!w->p.installs || w->told)
		return;
	w->told = true;
	(void)snprintf(left_text, sizeof(left_text),
		"\nsbx: the installation of '%s' goes on: sbx logs --setup -f %s shows it, sbx "
		"stop %s "
		"ends it\n",
		w->name, w->name, w->name);
	left_len = strlen(left_text);
	(void)signal(SIGINT, on_interrupt);
}

/* show_setup() - the last lines of what failed, before the error that names it */
static void show_setup(struct api *a, const char *name)
{
	char target[API_TARGET_MAX], shown[1024];
	AUTO(buf) text = {0};
	struct err e = {0};
	const char *s, *end;

	buf_init(&text, 1U << 20);
	api_target(target, name, "/logs?kind=setup&tail=" SETUP_LINES);
	api_close(a); /* the rest of the failed start's answer is of no use */
	if (api_open(a, API_NO_START, &e) < 0 || api_text(a, target, &text, &e) < 0)
		return;
	for (s = buf_str(&text), end = s + text.len; s < end;) {
		const char *nl = memchr(s, '\n', (size_t)(end - s)), *stop = nl ? nl : end;

		fprintf(stderr, "  | %s\n",
			escape_text(shown, sizeof(shown), s,
				(size_t)(stop - s) - (stop > s && stop[-1] == '\r')));
		s = nl ? nl + 1 : end;
	}
}

int box_start(struct api *a, const char *name, bool quiet, struct js **ret_box, struct err *e)
{
	struct watched w = {.name = name};
	AUTO_JS box = NULL;
	int r;

	progress_begin(&w.p, quiet);
	r = api_start(a, name, on_step, &w, &box, e);
	progress_end(&w.p);
	if (w.told)
		(void)signal(SIGINT, SIG_DFL);
	if (r < 0 && w.p.installs && !quiet)
		show_setup(a, name);
	if (r < 0)
		return not_found(r, name, e);
	if (ret_box)
		*ret_box = TAKE(box);
	return 0;
}

int box_stream(struct api *a, const char *name, bool quiet, int *ret_fd, struct err *e)
{
	int r = api_stream(a, name, ret_fd, e);

	if (r == -ENOTCONN) {
		*e = (struct err){0};
		r = box_start(a, name, quiet, NULL, e);
		if (r == 0)
			r = api_stream(a, name, ret_fd, e);
	}
	return r < 0 ? not_found(r, name, e) : 0;
}

int box_strv(const struct js *box, const char *key, struct agent_strv *ret, struct err *e)
{
	const struct js *list = js_get(box, key);
	size_t n = js_len(list);
	struct agent_strv s = {0};

	if (n > AGENT_LIST_MAX)
		return err_set(e, ERR_LIMIT, -E2BIG, "'%s' is too long", key);
	s.v = calloc(n + 1, sizeof(char *));
	for (; s.v && s.n < n; s.n++) {
		const char *text = js_str(js_at(list, s.n));

		s.v[s.n] = text ? strdup(text) : NULL;
		if (!s.v[s.n])
			break;
	}
	if (!s.v || s.n < n) {
		agent_strv_fini(&s);
		return err_set(e, ERR_INTERNAL, -EPROTO,
			"'%s' of the sandbox is not a list of texts", key);
	}
	*ret = s;
	return 0;
}

void box_tell_notes(const struct js *box)
{
	const struct js *notes = js_get(box, "notes");

	for (size_t i = 0; i < js_len(notes); i++) {
		const char *text = js_str(js_at(notes, i));

		if (text)
			report_note("note: %s", text);
	}
}

int box_print(const struct js *v, struct err *e)
{
	AUTO(buf) text = {0};
	int r;

	buf_init(&text, 64U << 20);
	r = js_print(v, &text);
	if (r < 0)
		return err_sys(e, r, "print JSON");
	puts(buf_str(&text));
	return 0;
}
