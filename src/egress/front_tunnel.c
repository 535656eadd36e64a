/* Bytes that nobody looks into, where the policy allows them for that host and port. */
#include "egress/front.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define READS	4
#define GONE_MS 10000 /* for the last bytes of a guest that has closed its end */

/* stricter() - keep the better of two verdicts; true: nothing better can come */
static bool better(struct policy_verdict *best, const struct policy_verdict *v)
{
	if (v->decision > best->decision || best->reason == POLICY_REASON_DEFAULT)
		*best = *v;
	return best->decision == POLICY_ALLOW;
}

static void judge(struct front_stream *s, const struct policy_host *h,
	const struct policy_address *a, struct policy_verdict *ret_v)
{
	const struct policy_request r = {
		.kind = POLICY_TUNNEL, .host = h, .address = *a, .port = s->port};

	policy_decide(s->f->policy, &r, ret_v);
}

enum policy_decision front_tunnel_verdict(
	struct front_stream *s, struct policy_host *ret_host, struct policy_verdict *ret_v)
{
	struct policy_address a = {0};
	struct policy_host host;
	struct policy_verdict v;
	unsigned at = 0;
	const char *name;

	*ret_v = (struct policy_verdict){.decision = POLICY_DENY, .reason = POLICY_REASON_DEFAULT};
	if (!s->proxy && !policy_address_from(s->to.to.family, s->to.to.bytes, &a))
		return POLICY_DENY;
	if (s->host.kind != POLICY_HOST_NONE) {
		*ret_host = s->host;
		judge(s, &s->host, s->proxy ? &s->host.address : &a, ret_v);
		return s->mismatch ? POLICY_DENY : ret_v->decision;
	}
	policy_host_from_address(&a, ret_host);
	if (policy_address_host(&a))
		(void)!policy_host_parse("localhost", 9, ret_host);
	judge(s, ret_host, &a, ret_v);
	while (ret_v->decision != POLICY_ALLOW && (name = front_pins_next(s->f->pins, &a, &at))) {
		if (!policy_host_parse(name, strlen(name), &host))
			continue;
		judge(s, &host, &a, &v);
		if (v.decision > ret_v->decision || ret_v->reason == POLICY_REASON_DEFAULT)
			*ret_host = host;
		if (better(ret_v, &v))
			break;
	}
	return ret_v->decision;
}

bool front_tunnel_begin(struct front_stream *s, enum egress_tunnel_kind kind)
{
	struct front *f = s->f;
	struct egress_tunnel t = {.kind = kind, .port = s->port};
	struct policy_host host = {0};
	struct policy_verdict v;
	struct front_exchange *x;

	f->stats.requests++;
	if (front_tunnel_verdict(s, &host, &v) == POLICY_DENY || front_audit_full(f)) {
		front_record_stream(s, kind == EGRESS_TLS ? EGRESS_ON_TLS : EGRESS_ON_TCP,
			EGRESS_DENY, host.kind == POLICY_HOST_NONE ? "" : host.name, s->port,
			v.rule ? v.rule->id : "", policy_reason_name(v.reason), 0);
		return false;
	}
	x = front_exchange_new(s, FRONT_BYTES);
	if (!x)
		return false;
	x->kind = POLICY_TUNNEL;
	x->is_tls = kind == EGRESS_TLS;
	x->host = host;
	x->port = s->port;
	x->address = host.address;
	if (!s->proxy) {
		(void)!policy_address_from(s->to.to.family, s->to.to.bytes, &x->address);
		t.to = s->to.to;
	}
	(void)snprintf(x->rule, sizeof(x->rule), "%s", v.rule ? v.rule->id : "");
	t.host = x->host.name;
	s->state = FRONT_TUNNEL;
	s->deadline = 0;
	s->again = true;
	front_stream_dirty(s);
	if (egress_put_tunnel(&x->request, &t) < 0) {
		front_exchange_drop(x);
		return false;
	}
	if (v.decision == POLICY_ALLOW)
		front_exchange_start(x);
	else if (!front_ask(x, v.rule)) {
		front_record(x, EGRESS_DENY, "ask", NULL);
		return false;
	}
	return true;
}

void front_tunnel_input(struct front_stream *s)
{
	struct front_exchange *x = s->exchanges;

	if (s->unspoken && front_sniff_late(s))
		return;
	for (unsigned i = 0; i < READS && x && !s->dead; i++) {
		size_t room = front_exchange_room(x);
		ssize_t n;

		if (room == 0 || x->up_over) {
			s->held = !x->up_over;
			return;
		}
		if (s->in.len > 0) {
			front_exchange_up(x, s->in.data, s->in.len);
			if (s->dead)
				return;
			buf_clear(&s->in);
			continue;
		}
		n = front_stream_read(s, s->f->scratch, sizeof(s->f->scratch));
		if (n == -EAGAIN)
			return;
		if (n < 0) {
			front_stream_kill(s);
			return;
		}
		if (n == 0 && s->torn) {
			/* No end: what was sent goes up, then the channel's own closing is the reset. */
			if (x->ch)
				front_channel_push(x->ch);
			front_stream_kill(s);
			return;
		}
		if (n == 0) {
			front_exchange_up_end(x, NULL);
			if (s->gone) {
				x->deadline = s->f->now + GONE_MS;
				front_tick_at(s->f, x->deadline);
			}
			return;
		}
		front_exchange_up(x, s->f->scratch, (size_t)n);
	}
	s->again = true;
	front_stream_dirty(s);
}
