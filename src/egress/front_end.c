/* How an exchange ends: whole, cut short, by a verdict, by a new policy. */
#include "egress/front.h"
#include <stdio.h>
#include <string.h>

/* detach() - out of the way: the stream can begin another */
static void detach(struct front_exchange *x)
{
	struct front_exchange **at = &x->s->exchanges;

	while (*at && *at != x)
		at = &(*at)->next;
	if (*at) {
		*at = x->next;
		x->s->n_exchanges--;
	}
	if (x->s->h2 && x->id) {
		/* What is left of its body is read and forgotten: its window must not close. */
		h2_consume(x->s->h2, x->id, x->owed);
		x->owed = 0;
		h2_set_user(x->s->h2, x->id, NULL);
	}
	x->next = x->f->over;
	x->f->over = x;
}

void front_exchange_drop(struct front_exchange *x)
{
	/* Who leaves before the answer to a question was not allowed anything. */
	front_record(x, x->question ? EGRESS_DENY : EGRESS_ALLOW, "aborted", NULL);
	front_ask_drop(x);
	if (x->ch)
		front_channel_kill(x->ch);
	x->ch = NULL;
	x->finished = true;
	detach(x);
}

void front_exchange_over(struct front_exchange *x)
{
	struct front_stream *s = x->s;

	front_ask_drop(x);
	if (x->ch) {
		/* A channel is fit for another only when both directions ended as frames say. */
		if (x->up_over && x->down_over && x->what != FRONT_BYTES &&
			x->kind != POLICY_WEBSOCKET)
			front_channel_put(x->ch);
		else
			front_channel_kill(x->ch);
		x->ch = NULL;
	}
	x->finished = true;
	/* The guest may still be sending a body that nobody wants. */
	if (x->what == FRONT_HTTP && !x->id && !x->up_over && !s->dead) {
		x->closes = true;
		x->up_over = true;
	}
	detach(x);
	if (s->dead)
		return;
	if (x->what == FRONT_NAME) {
		front_stream_go_on(s);
		front_stream_dirty(s);
		if (s->eof && s->n_exchanges == 0 && s->in.len == 0)
			front_stream_last(s);
	} else if (x->what == FRONT_BYTES) {
		front_stream_last(s);
	} else if (x->id) {
		front_stream_dirty(s);
	} else {
		front_h1_done(s, x->closes);
	}
}

void front_exchange_cut(struct front_exchange *x, int status, const char *code, const char *why)
{
	bool refused = status < 500;

	if (x->what == FRONT_HTTP)
		x->status = x->head_sent ? x->status : (uint16_t)status;
	front_record(x, refused ? EGRESS_DENY : EGRESS_ALLOW, code, NULL);
	if (x->ch) {
		front_channel_kill(x->ch);
		x->ch = NULL;
	}
	if (x->s->dead)
		return;
	if (x->what == FRONT_HTTP && !x->head_sent) {
		front_deny(x, status, code, why, NULL);
		return;
	}
	if (x->id) {
		front_h2_cut(x, refused);
		return;
	}
	if (x->what == FRONT_NAME) {
		if (!x->down_over)
			front_dns_fail(x);
		front_exchange_over(x);
		return;
	}
	/* A body that stops before its end must not look whole. */
	front_stream_kill(x->s);
}

void front_exchange_verdict(struct front_exchange *x, bool allow)
{
	x->question = 0;
	if (allow) {
		x->approved = true;
		front_exchange_start(x);
		return;
	}
	x->status = x->what == FRONT_HTTP ? 403 : 0;
	front_record(x, EGRESS_DENY, "ask", NULL);
	if (x->what == FRONT_HTTP)
		front_deny(x, 403, "denied", "it was asked for, and not approved", NULL);
	else
		front_exchange_cut(x, 403, "denied", "not approved");
}

void front_exchange_judge_again(struct front_exchange *x)
{
	struct policy_verdict v;

	if (x->what == FRONT_NAME || x->finished)
		return;
	front_judge(x, &v);
	if (x->bypasses && !policy_bypass(x->f->policy, &x->host, x->port)) {
		/* The client comes again, and is looked into. */
		front_ask_drop(x);
		x->question = 0;
		front_exchange_cut(x, 403, policy_reason_name(POLICY_REASON_UNSEEN), "");
	} else if (v.decision == POLICY_DENY ||
		   (v.decision == POLICY_ASK && !x->approved && !x->question)) {
		front_ask_drop(x);
		x->question = 0;
		front_exchange_cut(x, 403, "denied", policy_reason_text(v.reason));
	} else if (v.decision == POLICY_ALLOW && x->question) {
		front_ask_drop(x);
		x->question = 0;
		front_exchange_start(x);
	}
}
