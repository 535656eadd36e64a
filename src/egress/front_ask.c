/* Questions to a person: a request waits, bounded in number and time. */
#include "egress/front.h"
#include <errno.h>

#define ASKING_MAX 64
#define ASK_MS	   120000

bool front_ask(struct front_exchange *x, const struct policy_rule *rule)
{
	struct front *f = x->f;
	const struct egress_msg m = {.op = EGRESS_OP_ASK,
		.id = f->question + 1,
		.name = x->host.name,
		.port = x->port,
		.method = x->method,
		.path = x->path ? x->path : "",
		.rule = rule ? rule->id : ""};

	if (f->n_asking >= ASKING_MAX || front_control_send(f, &m) < 0)
		return false;
	x->question = ++f->question;
	f->n_asking++;
	x->deadline = f->now + (f->config.ask_ms ? (int64_t)f->config.ask_ms : ASK_MS);
	front_tick_at(f, x->deadline);
	return true;
}

void front_ask_drop(struct front_exchange *x)
{
	if (!x->question)
		return;
	x->question = 0;
	x->f->n_asking--;
}

void front_ask_answer(struct front *f, uint64_t id, bool allow)
{
	for (struct front_stream *s = f->streams; s && id; s = s->next)
		for (struct front_exchange *x = s->dead ? NULL : s->exchanges; x; x = x->next) {
			if (x->question != id)
				continue;
			front_ask_drop(x);
			front_exchange_verdict(x, allow);
			return;
		}
}
