#include "daemon/api.h"
#include "daemon/kit_add.h"
#include "daemon/kit_approvals.h"
#include "daemon/watch.h"
#include "base/clock.h"
#include "json/apierr.h"
#include <errno.h>
#include <string.h>

#define STOP_MS_DEFAULT 10000
#define STOP_MS_MAX	60000
#define INSPECT_MS	1000

static int no_memory(struct err *e)
{
	return err_set(e, ERR_LIMIT, -ENOMEM, "out of memory");
}

static int show(struct api_call *a, int status, struct sandbox *s, bool with_plan, struct err *e)
{
	struct js *v = sandbox_view(s, with_plan);

	return v ? conn_json(a->c, status, v) : no_memory(e);
}

int api_list(struct api_call *a, struct err *e)
{
	AUTO_JS list = js_array();
	AUTO_JS o = js_object();
	struct sandbox **all;
	bool bad = false;
	size_t n;

	if (sandbox_all(a->d, &all, &n) < 0)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		bad |= js_add(list, sandbox_view(all[i], false));
		sandbox_put(all[i]);
	}
	free(all);
	bad |= js_set(o, "sandboxes", TAKE(list));
	return bad ? no_memory(e) : conn_json(a->c, 200, TAKE(o));
}

static int show_plan(struct api_call *a, const struct plan *p, struct err *e)
{
	AUTO_JS o = js_object();
	const struct js *v;
	const char *key;
	void *iter = NULL;
	bool bad = false;

	while (js_each(p->json, &iter, &key, &v))
		bad |= js_set_copy(o, key, v);
	bad |= js_set_str(o, "plan_hash", p->hash);
	return bad ? no_memory(e) : conn_json(a->c, 200, TAKE(o));
}

/* approve() - what a person has approved of the kits is known from now on, and who did it */
static int approve(struct api_call *a, const struct plan *p, struct err *e)
{
	int r = kit_approval_keep(a->d->store, p, e);

	if (r == 0 && p->approval && js_str(js_get(a->body, "approve")))
		r = audit_admin(a->d->audit, "kit.approve", p->agent, p->kits_digest, e);
	return r;
}

int api_create(struct api_call *a, struct err *e)
{
	AUTO(plan_files) files;
	AUTO_BOX s = NULL;
	struct plan *plan;
	int r;

	plan_files_init(&files);
	if (!a->body)
		return err_set(e, ERR_INVALID, -EINVAL, "this request needs a body");
	r = plan_resolve(a->body, &a->d->paths, &a->d->host, a->d->store, &plan, &files, e);
	if (r < 0)
		return r;
	if (api_flag(a, "plan")) {
		r = show_plan(a, plan, e);
		plan_free(plan);
		return r;
	}
	r = approve(a, plan, e);
	if (r < 0) {
		plan_free(plan);
		return r;
	}
	r = sandbox_create(a->d, plan, &files, &s, e);
	return r < 0 ? r : show(a, 201, s, false, e);
}

int api_kit_add(struct api_call *a, struct err *e)
{
	struct plan *plan;
	int r;

	if (!a->body)
		return err_set(e, ERR_INVALID, -EINVAL, "this request needs a body");
	if (api_flag(a, "plan")) {
		r = kit_add_plan(a->box, a->body, &plan, NULL, e);
		if (r < 0)
			return r;
		r = show_plan(a, plan, e);
		plan_free(plan);
		return r;
	}
	r = kit_add(a->box, a->body, e);
	return r < 0 ? r : show(a, 200, a->box, true, e);
}

/* ask_trouble() - what the machine says is broken; one that does not answer is shown as it is */
static void ask_trouble(struct sandbox *s)
{
	enum status status = sandbox_status(s);
	struct link_msg reply = {0};
	struct err silent = {0};

	if ((status == STATUS_RUNNING || status == STATUS_PAUSED) &&
		box_ask(s, LINK_STATS, 0, clock_ms() + INSPECT_MS, &reply, &silent) < 0)
		reply.text[0] = '\0';
	(void)pthread_mutex_lock(&s->lock);
	memcpy(s->trouble, reply.text, sizeof(s->trouble));
	(void)pthread_mutex_unlock(&s->lock);
}

int api_inspect(struct api_call *a, struct err *e)
{
	ask_trouble(a->box);
	return show(a, 200, a->box, true, e);
}

int api_remove(struct api_call *a, struct err *e)
{
	int r = sandbox_remove(a->box, api_flag(a, "force"), e);

	return r < 0 ? r : conn_empty(a->c, 204);
}

/* no_keys() - a body that may be there but says nothing: "{}" */
static int no_keys(const struct api_call *a, struct err *e)
{
	struct js_reader rd;

	if (!a->body)
		return 0;
	js_read(&rd, a->body, "", e);
	return js_done(&rd);
}

static void send_step(void *ctx, const char *step)
{
	struct js *o = js_object();
	size_t n = strcspn(step, "\n");

	/* A client that went away does not stop the start: the next send fails, and that is all. */
	if (js_set_strn(o, "step", step, n) || (step[n] && js_set_str(o, "output", step + n + 1)))
		js_free(o);
	else
		(void)!conn_line(ctx, o);
}

static int start_with_lines(struct api_call *a)
{
	struct err e = {0};
	AUTO_JS line = NULL;
	bool bad;
	int r = conn_lines_begin(a->c);

	if (r < 0)
		return r;
	r = sandbox_start(a->box, send_step, a->c, &e);
	if (r < 0) {
		line = apierr_json(&e);
		bad = line == NULL;
	} else {
		line = js_object();
		bad = js_set(line, "sandbox", sandbox_view(a->box, false));
	}
	if (bad)
		return -ENOMEM; /* closing without the last line is not a success */
	r = conn_line(a->c, TAKE(line));
	return r < 0 ? r : conn_lines_end(a->c);
}

int api_start(struct api_call *a, struct err *e)
{
	const char *accept = http_field(a->head, "accept");
	int r = no_keys(a, e);

	if (r < 0)
		return r;
	if (http_has_token(accept, "application/x-ndjson"))
		return start_with_lines(a);
	r = sandbox_start(a->box, NULL, NULL, e);
	return r < 0 ? r : show(a, 200, a->box, false, e);
}

int api_stop(struct api_call *a, struct err *e)
{
	int64_t timeout = STOP_MS_DEFAULT;
	struct js_reader rd;
	int r = 0;

	if (a->body) {
		js_read(&rd, a->body, "", e);
		timeout = js_take_int(&rd, "timeout_ms", 0, STOP_MS_MAX, STOP_MS_DEFAULT);
		r = js_done(&rd);
	}
	if (r == 0)
		r = sandbox_stop(a->box, timeout, e);
	return r < 0 ? r : show(a, 200, a->box, false, e);
}

static int pause_or_resume(struct api_call *a, bool pause, struct err *e)
{
	int r = no_keys(a, e);

	if (r == 0)
		r = sandbox_pause(a->box, pause, e);
	return r < 0 ? r : show(a, 200, a->box, false, e);
}

int api_pause(struct api_call *a, struct err *e)
{
	return pause_or_resume(a, true, e);
}

int api_resume(struct api_call *a, struct err *e)
{
	return pause_or_resume(a, false, e);
}
