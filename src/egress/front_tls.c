/* TLS of the guest ends here, with a leaf of the sandbox's own CA. */
#include "base/clock.h"
#include "egress/front.h"
#include <errno.h>
#include <stdio.h>

static void failed(struct front_stream *s, const char *reason)
{
	s->f->stats.faults++;
	front_record_stream(s, EGRESS_ON_TLS, EGRESS_REFUSED, s->host.name, s->port, "", reason, 0);
	front_stream_kill(s);
}

void front_tls_begin(struct front_stream *s, const char *name, bool h2, bool http)
{
	const struct tls_leaf *leaf;
	struct err e = {0};
	int r = tls_leaves_get(s->f->leaves, name, clock_real_ms() / 1000, &leaf, &e);

	if (r < 0) {
		failed(s, r == -EBUSY ? "limit" : "certificate");
		return;
	}
	s->tls = tls_server_new(s->f->tls, s->fd, s->in.data, s->in.len);
	if (!s->tls || tls_server_choose(s->tls, leaf, h2 ? "h2" : http ? "http/1.1" : NULL) < 0) {
		front_stream_kill(s);
		return;
	}
	buf_clear(&s->in);
	s->state = FRONT_TLS;
	front_stream_deadline(s, FRONT_HEAD_MS);
	front_stream_dirty(s);
	front_tls_step(s);
}

void front_tls_step(struct front_stream *s)
{
	const char *alpn;

	switch (tls_handshake(s->tls)) {
	case TLS_WANT:
		front_stream_dirty(s);
		return;
	case TLS_DONE:
		break;
	case TLS_HELLO:
	case TLS_FAILED:
	default:
		failed(s, "handshake");
		return;
	}
	alpn = tls_alpn(s->tls);
	(void)snprintf(s->alpn, sizeof(s->alpn), "%s", alpn);
	s->state = FRONT_SNIFF;
	front_stream_deadline(s, FRONT_HEAD_MS);
	front_stream_dirty(s);
	if (alpn[0] == 'h' && alpn[1] == '2') {
		front_h2_begin(s);
		return;
	}
	if (alpn[0]) {
		front_h1_begin(s);
		return;
	}
	s->again = true;
}
