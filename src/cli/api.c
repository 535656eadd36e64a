#include "cli/api.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/name.h"
#include "cli/launch.h"
#include "json/apierr.h"
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define STEP_LINE_MAX	(1U << 20)
#define TEXT_MAX	(64U << 20)
#define OTHER_READY_MS	15000 /* until a daemon that has the lock listens, or has ended */
#define ENDING_TRIES	20
#define ENDING_PAUSE_MS 50

void api_target(char dst[API_TARGET_MAX], const char *name, const char *rest)
{
	int n = snprintf(dst, API_TARGET_MAX, "/v1/sandboxes/%s%s", name, rest);

	assert(n > 0 && n < API_TARGET_MAX);
}

static int connect_to(struct api *a, struct err *e)
{
	int fd = launch_connect(&a->paths, e), r;

	if (fd < 0)
		return fd;
	r = http_client_init(&a->http, fd);
	if (r < 0)
		return err_sys(e, r, "connect to the daemon");
	a->open = true;
	return 0;
}

int api_open_any(struct api *a, struct err *e)
{
	int r;

	*a = (struct api){.http.fd = -1, .within_ms = a->within_ms};
	r = paths_find(&a->paths, e);
	return r < 0 ? r : connect_to(a, e);
}

static int check_version(struct api *a, struct err *e)
{
	AUTO_JS v = NULL;
	const char *version;
	int64_t api;
	int r = api_call(a, "GET", "/v1/version", NULL, API_CALL_MS, &v, e);

	if (r < 0 && e->code != ERR_NOT_FOUND)
		return r;
	api = r < 0 ? 0 : js_int(js_get(v, "api"), 0);
	version = js_str(js_get(v, "version"));
	(void)snprintf(a->version, sizeof(a->version), "%s", version ? version : "?");
	if (api == API_VERSION)
		return 0;
	(void)err_set(e, ERR_UNAVAILABLE, -EPROTO,
		"the daemon that runs is version %.40s (API %lld), this sbx is " SBX_VERSION
		" (API %d)",
		a->version, (long long)api, API_VERSION);
	err_hint(e, "sbx daemon restart; sandboxes go on");
	return -EPROTO;
}

/* start_daemon() - and connect to it. Where another holds the daemon's lock, that one will listen
 * soon (another sbx was faster), or is ending and leaves the lock to the next try.
 */
static int start_daemon(struct api *a, struct err *e)
{
	for (int64_t until = clock_ms() + OTHER_READY_MS;;) {
		struct err why = {0};
		int r = launch_daemon(&a->paths, &why);

		*e = (struct err){0};
		if (connect_to(a, e) == 0)
			return 0;
		if (r < 0)
			*e = why;
		if (r != -EBUSY || clock_ms() >= until)
			return e->num;
		(void)poll(NULL, 0, 50);
	}
}

static int open_once(struct api *a, enum api_start start, struct err *e)
{
	int r = api_open_any(a, e);

	if ((r == -ENOENT || r == -ECONNREFUSED) && start == API_START)
		r = start_daemon(a, e);
	a->until = a->within_ms ? clock_ms() + a->within_ms : 0;
	if (r == 0)
		r = check_version(a, e);
	if (r < 0)
		api_close(a);
	return r;
}

/* deadline() - of a call that may take @timeout_ms, if all of them together may */
static int64_t deadline(const struct api *a, int timeout_ms)
{
	int64_t at = clock_ms() + timeout_ms;

	return a->until && a->until < at ? a->until : at;
}

int api_open(struct api *a, enum api_start start, struct err *e)
{
	for (int tries = 0;; tries++) {
		int r = open_once(a, start, e);

		/* A daemon that is just ending may still have taken the connection. */
		if ((r != -ECONNRESET && r != -EPIPE) || tries == ENDING_TRIES)
			return r;
		*e = (struct err){0};
		(void)poll(NULL, 0, ENDING_PAUSE_MS);
	}
}

void api_close(struct api *a)
{
	if (a && a->open) {
		http_client_fini(&a->http);
		a->open = false;
	}
}

void api_auto(struct api *a)
{
	api_close(a);
}

/* no_answer() - the call itself failed */
static int no_answer(const struct api *a, int r, struct err *e)
{
	if (e->code == ERR_TIMEOUT)
		err_hint(e, "it may hang; its log is %.200s/sbxd.log", a->paths.state);
	return err_wrap(e, r, "ask the daemon");
}

/* judge() - 0 for a status that is no error */
static int judge(const struct http_reply *reply, struct err *e)
{
	if (reply->status < 400)
		return 0;
	return apierr_read(buf_str(&reply->body), reply->body.len, reply->status, e);
}

/* take_answer() - *ret (may be NULL) is set when there is a body */
static int take_answer(const struct http_reply *reply, struct js **ret, struct err *e)
{
	int r = judge(reply, e);

	if (r < 0 || !ret || reply->body.len == 0)
		return r;
	r = js_parse(buf_str(&reply->body), reply->body.len, TEXT_MAX, ret, e);
	return r < 0 ? err_wrap(e, r, "read the daemon's answer") : 0;
}

int api_call(struct api *a, const char *method, const char *target, const struct js *body,
	int timeout_ms, struct js **ret, struct err *e)
{
	struct http_ask ask = {.method = method, .target = target, .accept = "application/json"};
	AUTO(http_reply) reply = {0};
	AUTO(buf) text = {0};
	int r;

	if (ret)
		*ret = NULL;
	buf_init(&text, JS_TEXT_MAX);
	if (body) {
		r = js_print(body, &text);
		if (r < 0)
			return err_sys(e, r, "write the request");
		ask.body = buf_str(&text);
		ask.body_len = text.len;
	}
	r = http_call(&a->http, &ask, TEXT_MAX, deadline(a, timeout_ms), &reply, e);
	if (r < 0)
		return no_answer(a, r, e);
	return take_answer(&reply, ret, e);
}

int api_put_raw(struct api *a, const char *target, const void *p, size_t len, int timeout_ms,
	struct js **ret, struct err *e)
{
	struct http_ask ask = {.method = "PUT",
		.target = target,
		.body = p,
		.body_len = len,
		.type = "application/octet-stream"};
	AUTO(http_reply) reply = {0};
	int r = http_call(&a->http, &ask, TEXT_MAX, deadline(a, timeout_ms), &reply, e);

	if (ret)
		*ret = NULL;
	return r < 0 ? no_answer(a, r, e) : take_answer(&reply, ret, e);
}

int api_text(struct api *a, const char *target, struct buf *out, struct err *e)
{
	struct http_ask ask = {.method = "GET", .target = target};
	AUTO(http_reply) reply = {0};
	int r = http_call(&a->http, &ask, TEXT_MAX, clock_ms() + API_CALL_MS, &reply, e);

	if (r < 0)
		return no_answer(a, r, e);
	r = judge(&reply, e);
	return r < 0 ? r : buf_add(out, buf_str(&reply.body), reply.body.len);
}

int api_follow(struct api *a, const char *target, api_piece_fn piece, void *ctx, struct err *e)
{
	struct http_ask ask = {.method = "GET", .target = target};
	AUTO(http_reply) reply = {0};
	AUTO(buf) some = {0};
	int r = http_open(&a->http, &ask, clock_ms() + API_CALL_MS, &reply, e);

	if (r < 0)
		return no_answer(a, r, e);
	buf_init(&some, TEXT_MAX);
	if (reply.status >= 400) {
		r = http_drain(&a->http, &some, clock_ms() + API_CALL_MS, e);
		return r < 0 ? r : apierr_read(buf_str(&some), some.len, reply.status, e);
	}
	/* Nothing to wait for but the next words, however long they take. */
	while ((r = http_piece(&a->http, &some, IO_FOREVER, e)) > 0) {
		r = piece(ctx, buf_str(&some), some.len);
		if (r < 0)
			return err_sys(e, r, "write what came");
		buf_clear(&some);
	}
	return r < 0 ? err_wrap(e, r, "follow") : 0;
}

/* start_line() - 1: a step; 0: the sandbox; negative: the error */
static int start_line(
	const struct buf *line, api_step_fn step, void *ctx, struct js **ret_box, struct err *e)
{
	AUTO_JS v = NULL;
	const struct js *box, *error;
	const char *text;
	int r = js_parse(buf_str(line), line->len, STEP_LINE_MAX, &v, e);

	if (r < 0)
		return err_wrap(e, r, "read the daemon's answer");
	text = js_str(js_get(v, "step"));
	box = js_get(v, "sandbox");
	error = js_get(v, "error");
	if (error)
		return apierr_from(error, e);
	if (text && step)
		step(ctx, text, js_str(js_get(v, "output")));
	if (!box)
		return 1;
	*ret_box = js_object();
	if (!*ret_box || js_set_copy(*ret_box, "sandbox", box))
		return err_sys(e, -ENOMEM, "read the daemon's answer");
	return 0;
}

int api_start(struct api *a, const char *name, api_step_fn step, void *ctx, struct js **ret_box,
	struct err *e)
{
	struct http_ask ask = {.method = "POST", .accept = "application/x-ndjson"};
	int64_t deadline = clock_ms() + API_START_MS;
	char target[API_TARGET_MAX];
	AUTO(http_reply) reply = {0};
	AUTO(buf) line = {0};
	int r;

	*ret_box = NULL;
	api_target(target, name, "/start");
	ask.target = target;
	buf_init(&line, STEP_LINE_MAX);
	r = http_open(&a->http, &ask, deadline, &reply, e);
	if (r < 0)
		return no_answer(a, r, e);
	if (reply.status >= 400) {
		r = http_drain(&a->http, &line, deadline, e);
		return r < 0 ? r : apierr_read(buf_str(&line), line.len, reply.status, e);
	}
	for (;;) {
		r = http_line(&a->http, &line, deadline, e);
		if (r == 0)
			return err_set(e, ERR_UNAVAILABLE, -EPIPE,
				"the daemon ended before sandbox '%s' ran", name);
		if (r < 0)
			return err_wrap(e, r, "start sandbox '%s'", name);
		/* A first start may install for as long as it says what it does. */
		deadline = clock_ms() + API_START_MS;
		if (line.len == 0)
			continue;
		r = start_line(&line, step, ctx, ret_box, e);
		if (r == 0)
			return http_drain(&a->http, &line, deadline, e);
		if (r < 0)
			return r;
	}
}

int api_stream(struct api *a, const char *name, int *ret_fd, struct err *e)
{
	char target[API_TARGET_MAX];
	AUTO(http_reply) reply = {0};
	int r;

	api_target(target, name, "/stream");
	r = http_upgrade(
		&a->http, target, "sbx-agent/1", true, clock_ms() + API_CALL_MS, ret_fd, &reply, e);
	if (r < 0)
		return err_wrap(e, r, "reach the agent of sandbox '%s'", name);
	if (*ret_fd >= 0) {
		api_close(a);
		return 0;
	}
	r = judge(&reply, e);
	if (r == 0)
		return err_set(e, ERR_INTERNAL, -EPROTO,
			"the daemon answered a stream with status %d", reply.status);
	return e->code == ERR_CONFLICT ? -ENOTCONN : r;
}
