#include "cli/session.h"
#include "cli/report.h"
#include <errno.h>

/* More credit than any stream can use is not worth a sum that could overflow. */
#define CREDIT_MAX (1ULL << 40)

void session_init(struct session *s)
{
	*s = (struct session){0};
	frame_decoder_init(&s->in);
}

void session_fini(struct session *s)
{
	if (s)
		frame_decoder_fini(&s->in);
}

void session_auto(struct session *s)
{
	session_fini(s);
}

int session_feed(struct session *s, const void *p, size_t len)
{
	return s->broken || s->ended ? 0 : frame_feed(&s->in, p, len);
}

static enum session_event broken(struct session *s)
{
	s->broken = true;
	return SESSION_BROKEN;
}

static enum session_event output(struct session *s, const struct frame *f)
{
	if (!s->started || f->len == 0)
		return broken(s);
	s->data = f->body;
	s->data_len = f->len;
	return f->type == FRAME_STDOUT ? SESSION_OUT : SESSION_ERR;
}

static enum session_event ended(struct session *s, const struct frame *f)
{
	struct agent_exit x;

	if (f->type == FRAME_ERROR) {
		if (agent_get_error(f, &s->error) != PROTO_OK)
			return broken(s);
		s->ended = true;
		return SESSION_ERROR;
	}
	if (!s->started || agent_get_exit(f, &x) != PROTO_OK)
		return broken(s);
	s->status = x.signal ? 128 + x.signal : (int)x.code;
	s->ended = true;
	return SESSION_EXIT;
}

/* on_frame() - SESSION_MORE when the frame was only taken note of */
static enum session_event on_frame(struct session *s, const struct frame *f)
{
	uint32_t n = 0;

	/* The other types are requests or answers of other requests. */
	switch ((int)f->type) {
	case FRAME_STARTED:
		if (s->started || agent_get_u32(f, &n) != PROTO_OK)
			return broken(s);
		s->started = true;
		return SESSION_STARTED;
	case FRAME_CREDIT:
		if (!s->started || agent_get_u32(f, &n) != PROTO_OK)
			return broken(s);
		s->credit = s->credit + n < CREDIT_MAX ? s->credit + n : CREDIT_MAX;
		return SESSION_MORE;
	case FRAME_STDOUT:
	case FRAME_STDERR:
		return output(s, f);
	case FRAME_EXIT:
	case FRAME_ERROR:
		return ended(s, f);
	default:
		return broken(s);
	}
}

enum session_event session_next(struct session *s)
{
	enum session_event ev;
	struct frame f;

	while (!s->broken && !s->ended) {
		switch (frame_next(&s->in, &f)) {
		case FRAME_MORE:
			return SESSION_MORE;
		case FRAME_BAD:
			return broken(s);
		case FRAME_GOT:
			ev = on_frame(s, &f);
			if (ev != SESSION_MORE)
				return ev;
			break;
		}
	}
	return s->broken ? SESSION_BROKEN : SESSION_MORE;
}

int session_start_status(uint32_t num)
{
	switch (num) {
	case ENOENT:
		return 127;
	case EACCES:
	case ENOEXEC:
		return 126;
	default:
		return CLI_OWN;
	}
}
