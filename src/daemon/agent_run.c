#include "daemon/agent_run.h"
#include "daemon/agent.h"
#include "base/clock.h"
#include "proto/tar.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define OPEN_MS 10000

static int broken(struct err *e)
{
	return err_set(e, ERR_INTERNAL, -EBADMSG, "the guest's agent broke the protocol");
}

/* on_frame() - 1: it has exited */
static int on_frame(
	const struct frame *f, const struct agent_watcher *w, struct agent_exit *ret, struct err *e)
{
	switch ((unsigned)f->type) {
	case FRAME_STARTED:
	case FRAME_CREDIT:
		return 0;
	case FRAME_STDOUT:
	case FRAME_STDERR:
		w->output(w->ctx, f->body, f->len);
		return 0;
	case FRAME_EXIT:
		return agent_get_exit(f, ret) == PROTO_OK ? 1 : broken(e);
	case FRAME_ERROR:
		return agent_refused(f, e);
	default:
		return broken(e);
	}
}

static int follow(struct agent_stream *a, int64_t deadline, const struct agent_watcher *w,
	struct agent_exit *ret, struct err *e)
{
	int64_t ticked = clock_ms();

	for (;;) {
		struct err why = {0};
		struct frame f;
		int r;

		a->deadline = clock_ms() + AGENT_TICK_MS;
		r = agent_next(a, &f, &why);
		if (r == 0)
			r = on_frame(&f, w, ret, &why);
		if (r == 1)
			return 0;
		if (r < 0 && r != -ETIMEDOUT) {
			*e = why;
			return r;
		}
		if (clock_left(deadline) <= 0)
			return err_set(e, ERR_TIMEOUT, -ETIMEDOUT, "it did not end in time");
		if (!w->tick || clock_ms() - ticked < AGENT_TICK_MS)
			continue;
		ticked = clock_ms();
		r = w->tick(w->ctx, e);
		if (r < 0)
			return r;
	}
}

int agent_run(struct sandbox *s, const struct agent_exec *m, int64_t deadline,
	const struct agent_watcher *w, struct agent_exit *ret, struct err *e)
{
	AUTO(agent_stream) a = {.fd = -1};
	AUTO(buf) out = {0};
	int r;

	buf_init(&out, FRAME_BIG_MAX + FRAME_HEADER);
	r = agent_put_exec(&out, m);
	if (r < 0)
		return err_sys(e, r, "make a request to the guest");
	r = agent_open(&a, s, clock_ms() + OPEN_MS, e);
	if (r == 0)
		r = agent_send(&a, &out, e);
	a.box = NULL; /* a command that says nothing for long is no sign of trouble */
	return r < 0 ? r : follow(&a, deadline, w, ret, e);
}

int agent_settle(struct sandbox *s, uint32_t flags, int64_t deadline, struct err *e)
{
	AUTO(agent_stream) a = {.fd = -1};
	AUTO(buf) out = {0};
	int r;

	buf_init(&out, 256);
	r = agent_put_u32(&out, FRAME_SETTLE, flags);
	if (r < 0)
		return err_sys(e, r, "make a request to the guest");
	r = agent_open(&a, s, deadline, e);
	if (r == 0)
		r = agent_send(&a, &out, e);
	return r < 0 ? r : agent_ok(&a, e);
}

/* take_tar() - the first entry's bytes; 1: it is complete */
static int take_tar(struct tar_reader *t, const uint8_t *p, size_t len, struct buf *out)
{
	for (;;) {
		int r = 0;

		switch (tar_next(t, &p, &len)) {
		case TAR_MORE:
			return 0;
		case TAR_ENTRY:
			r = t->entry.type != TAR_FILE ? -EINVAL : 0;
			break;
		case TAR_DATA:
			r = out->len + t->data_len > out->max ? -EFBIG
							      : buf_add(out, t->data, t->data_len);
			break;
		case TAR_ENTRY_END:
		case TAR_END:
			return 1;
		case TAR_BAD:
		default:
			return -EBADMSG;
		}
		if (r < 0)
			return r;
	}
}

static int take_file(struct agent_stream *a, struct buf *out, struct err *e)
{
	const struct tar_limits limits = {.entries = 1, .bytes = out->max};
	AUTO_FREE struct tar_reader *t = malloc(sizeof(*t));
	int r = t ? 0 : err_sys(e, -ENOMEM, "read a file inside");

	if (t)
		tar_reader_init(t, &limits);
	while (r == 0) {
		struct frame f;

		r = agent_next(a, &f, e);
		if (r < 0)
			return r;
		if (f.type == FRAME_ERROR)
			return agent_refused(&f, e);
		if (f.type != FRAME_DATA)
			return broken(e);
		r = take_tar(t, f.body, f.len, out);
		if (r < 0)
			return err_sys(e, r, "read a file inside");
	}
	return r < 0 ? r : 0;
}

int agent_get_file(
	struct sandbox *s, const char *path, struct buf *out, int64_t deadline, struct err *e)
{
	AUTO_FREE struct agent_get *m = calloc(1, sizeof(*m));
	AUTO(agent_stream) a = {.fd = -1};
	AUTO(buf) ask = {0};
	int r = -ENOMEM;

	buf_init(&ask, 8192);
	if (m && strlen(path) < sizeof(m->path)) {
		m->flags = AGENT_GET_FOLLOW;
		memcpy(m->path, path, strlen(path) + 1);
		r = agent_put_get(&ask, m);
	}
	if (r < 0)
		return err_sys(e, r, "make a request to the guest");
	r = agent_open(&a, s, deadline, e);
	if (r == 0)
		r = agent_send(&a, &ask, e);
	return r < 0 ? r : take_file(&a, out, e);
}
