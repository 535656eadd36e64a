#include "daemon/exec.h"
#include "daemon/agent.h"
#include "base/clock.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define STDIN_CHUNK 32768

struct running {
	struct agent_exec *m; /* owned, strings included */
	const char *input; /* borrowed from the body */
	size_t input_len, sent;
	bool input_ended;
	uint64_t credit;
	int64_t timeout_ms;
	int client;
};

void exec_result_init(struct exec_result *r)
{
	*r = (struct exec_result){0};
	buf_init(&r->out, EXEC_OUTPUT_MAX);
	buf_init(&r->err, EXEC_OUTPUT_MAX);
}

void exec_result_auto(struct exec_result *r)
{
	buf_fini(&r->out);
	buf_fini(&r->err);
}

static void free_strv(struct agent_strv *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
}

static void running_fini(struct running *x)
{
	if (!x->m)
		return;
	free_strv(&x->m->argv);
	free_strv(&x->m->env);
	free(x->m);
}

static int fill_argv(struct agent_strv *dst, const struct js *argv, struct err *e)
{
	size_t n = js_len(argv);

	dst->v = calloc(n + 1, sizeof(char *));
	for (size_t i = 0; dst->v && i < n; i++) {
		const char *s = js_str(js_at(argv, i));

		if (!s)
			return err_set(e, ERR_INVALID, -EINVAL, "argv[%zu]: must be a string", i);
		dst->v[i] = strdup(s);
		if (!dst->v[i])
			break;
		dst->n++;
	}
	return dst->v && dst->n == n ? 0 : err_sys(e, -ENOMEM, "read argv");
}

static int fill_env(struct agent_strv *dst, const struct js *env, struct err *e)
{
	size_t n = js_len(env);
	const struct js *v;
	const char *name;
	void *iter = NULL;

	dst->v = calloc(n + 1, sizeof(char *));
	while (dst->v && env && js_each(env, &iter, &name, &v)) {
		if (!js_str(v) || !name[0] || strchr(name, '='))
			return err_set(e, ERR_INVALID, -EINVAL,
				"env: '%.64s' must be a name with a string", name);
		if (asprintf(&dst->v[dst->n], "%s=%s", name, js_str(v)) < 0) {
			dst->v[dst->n] = NULL;
			break;
		}
		dst->n++;
	}
	return dst->v && dst->n == n ? 0 : err_sys(e, -ENOMEM, "read env");
}

static int read_body(struct running *x, const struct js *body, struct err *e)
{
	const char *cwd, *user;
	const struct js *argv, *env;
	struct js_reader rd;
	int r;

	js_read(&rd, body, "", e);
	argv = js_take_array(&rd, "argv", AGENT_LIST_MAX);
	env = js_take_object(&rd, "env");
	cwd = js_take_str(&rd, "cwd", sizeof(x->m->cwd) - 1, "");
	user = js_take_str(&rd, "user", sizeof(x->m->user) - 1, "");
	x->input = js_take_str(&rd, "stdin", JS_TEXT_MAX, "");
	x->timeout_ms = js_take_int(&rd, "timeout_ms", 1, EXEC_MS_MAX, EXEC_MS_DEFAULT);
	if (rd.r == 0 && js_len(argv) == 0)
		js_fault(&rd, "argv", "must have at least one string");
	if (rd.r == 0 && js_len(env) > AGENT_LIST_MAX)
		js_fault(&rd, "env", "has too many variables");
	r = js_done(&rd);
	if (r < 0)
		return r;
	x->input_len = strlen(x->input);
	x->m->flags = AGENT_EXEC_STDIN;
	(void)snprintf(x->m->cwd, sizeof(x->m->cwd), "%s", cwd);
	(void)snprintf(x->m->user, sizeof(x->m->user), "%s", user);
	r = fill_argv(&x->m->argv, argv, e);
	return r < 0 ? r : fill_env(&x->m->env, env, e);
}

/* feed() - as much input as the guest gave credit for, then its end */
static int feed(struct running *x, struct agent_stream *a, struct err *e)
{
	AUTO(buf) out = {0};

	buf_init(&out, STDIN_CHUNK + 64);
	while (!x->input_ended) {
		size_t n = x->input_len - x->sent;
		int r;

		if (n > STDIN_CHUNK)
			n = STDIN_CHUNK;
		if (n > x->credit)
			n = (size_t)x->credit;
		if (n == 0 && x->sent < x->input_len)
			return 0; /* until more credit comes */
		buf_clear(&out);
		r = frame_add(&out, FRAME_STDIN, x->input + x->sent, n);
		if (r == 0)
			r = agent_send(a, &out, e);
		else
			r = err_sys(e, r, "send input to the command");
		if (r == -ECONNRESET) {
			/* It ended without reading all of it; how it ended is still to be read. */
			x->input_ended = true;
			return 0;
		}
		if (r < 0)
			return r;
		x->sent += n;
		x->credit -= n;
		x->input_ended = n == 0;
	}
	return 0;
}

static void keep(struct exec_result *res, struct buf *b, const struct frame *f)
{
	size_t room = b->max - b->len, n = f->len < room ? f->len : room;

	if (buf_add(b, f->body, n) < 0 || n < f->len)
		res->truncated = true;
}

/* one() - one frame of the guest; 1 when it was the last */
static int one(struct running *x, struct agent_stream *a, struct exec_result *res, struct err *e)
{
	struct agent_exit end;
	struct frame f;
	uint32_t n;
	int r = agent_next(a, &f, e);

	if (r < 0)
		return r;
	switch ((int)f.type) {
	case FRAME_STARTED:
		return 0;
	case FRAME_STDOUT:
		keep(res, &res->out, &f);
		return 0;
	case FRAME_STDERR:
		keep(res, &res->err, &f);
		return 0;
	case FRAME_CREDIT:
		if (agent_get_u32(&f, &n) != PROTO_OK)
			break;
		x->credit += n;
		return feed(x, a, e);
	case FRAME_EXIT:
		if (agent_get_exit(&f, &end) != PROTO_OK)
			break;
		res->code = (int)end.code;
		res->signal = end.signal;
		return 1;
	case FRAME_ERROR:
		return agent_refused(&f, e);
	default:
		break;
	}
	return err_set(e, ERR_INTERNAL, -EBADMSG, "the guest's agent broke the protocol");
}

static int run(struct running *x, struct sandbox *s, struct exec_result *res, struct err *e)
{
	AUTO(agent_stream) a = {.fd = -1};
	AUTO(buf) out = {0};
	int r;

	buf_init(&out, FRAME_BIG_MAX + FRAME_HEADER);
	r = agent_put_exec(&out, x->m);
	if (r < 0)
		return err_set(e, ERR_INVALID, r, "the command is too long");
	r = agent_open(&a, s, clock_ms() + x->timeout_ms, e);
	a.client = &x->client;
	if (r == 0)
		r = agent_send(&a, &out, e);
	while (r == 0)
		r = one(x, &a, res, e);
	return r < 0 ? err_wrap(e, r, "exec in sandbox '%s'", s->name) : 0;
}

int exec_run(struct sandbox *s, const struct js *body, int client, struct exec_result *ret,
	struct err *e)
{
	struct running x = {.m = calloc(1, sizeof(struct agent_exec)), .client = client};
	int r = x.m ? read_body(&x, body, e) : err_sys(e, -ENOMEM, "exec");

	if (r == 0)
		r = run(&x, s, ret, e);
	running_fini(&x);
	return r;
}
