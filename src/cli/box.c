#include "cli/box.h"
#include "cli/progress.h"
#include "cli/report.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

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
	if (e->code != ERR_NOT_FOUND)
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

int box_start(struct api *a, const char *name, bool quiet, struct js **ret_box, struct err *e)
{
	AUTO_JS box = NULL;
	struct progress p;
	int r;

	progress_begin(&p, quiet);
	r = api_start(a, name, progress_step, &p, &box, e);
	progress_end(&p);
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
