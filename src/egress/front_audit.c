/* Records of what was decided, on their way to the daemon: kept until it says that they are written. */
#include "base/clock.h"
#include "egress/front.h"
#include <stdio.h>
#include <string.h>

#define WAITING_MAX 1024 /* records; beyond them new requests are refused */
#define BATCH_BYTES 12288
#define BATCH	    32 /* records that are enough for a message */
#define PATH_SHOWN  1024
#define GUESS_MS    60000
#define GUESSES	    20 /* refusals for the credential within GUESS_MS: somebody tries */

void front_audit(struct front *f, const struct egress_record *r)
{
	struct egress_record stamped = *r;

	stamped.time_ms = (uint64_t)clock_real_ms();
	if (r->decision != EGRESS_ALLOW)
		f->stats.denials++;
	/* Refusals of what comes when the queue is full are counted, and their number written. */
	if (f->audit.n_waiting >= WAITING_MAX + 256) {
		f->audit.lost++;
		return;
	}
	if (f->audit.n_waiting == 0) {
		f->audit.since_ms = f->now;
		front_tick_at(f, f->now + f->audit.delay_ms);
	}
	if (egress_put_record(&f->audit.waiting, &stamped) == 0)
		f->audit.n_waiting++;
	else
		f->audit.lost++;
}

/* tell_lost() - a gap in the records is itself recorded */
static void tell_lost(struct front *f)
{
	char note[64];
	const struct egress_record r = {.event = EGRESS_ON_TCP,
		.decision = EGRESS_REFUSED,
		.host = "",
		.method = "",
		.path = "",
		.rule = "",
		.reason = "lost",
		.credential = "",
		.note = note};

	(void)snprintf(note, sizeof(note), "%llu refusals without a record",
		(unsigned long long)f->audit.lost);
	f->audit.lost = 0;
	front_audit(f, &r);
}

bool front_audit_full(const struct front *f)
{
	return f->audit.n_waiting + f->audit.n_flying >= WAITING_MAX;
}

/* batch() - as many whole records as one message takes */
static size_t batch(const struct buf *b, unsigned *ret_n)
{
	struct egress_record r;
	size_t at = 0, used;

	*ret_n = 0;
	while (at < b->len && egress_next_record((const uint8_t *)b->data + at, b->len - at, &used,
				      &r) == PROTO_OK) {
		if (at > 0 && at + used > BATCH_BYTES)
			break;
		at += used;
		++*ret_n;
	}
	return at;
}

void front_audit_send(struct front *f)
{
	struct front_audit *a = &f->audit;
	struct egress_msg m = {.op = EGRESS_OP_AUDIT};
	size_t n;

	if (a->n_flying > 0 || a->n_waiting == 0 || f->control_fd < 0)
		return;
	if (a->n_waiting < BATCH && f->now - a->since_ms < a->delay_ms)
		return;
	n = batch(&a->waiting, &a->n_flying);
	m.seq = ++f->seq;
	m.blob = (const uint8_t *)a->waiting.data;
	m.blob_len = n;
	if (n == 0 || front_control_send(f, &m) < 0) {
		a->n_flying = 0;
		return;
	}
	a->seq = m.seq;
	a->flying_bytes = n;
	a->n_waiting -= a->n_flying;
	a->since_ms = f->now;
}

/* front_audit_answer() - written: they are forgotten; not written: they are sent again */
void front_audit_answer(struct front *f, uint32_t seq, int result)
{
	struct front_audit *a = &f->audit;

	if (a->n_flying == 0 || seq != a->seq)
		return;
	if (result < 0) {
		front_audit_reset(f);
		return;
	}
	buf_eat(&a->waiting, a->flying_bytes);
	a->n_flying = 0;
	if (a->lost > 0 && a->n_waiting < WAITING_MAX)
		tell_lost(f);
	front_buf_rest(&a->waiting);
	if (a->n_waiting > 0)
		front_tick_at(f, a->since_ms + a->delay_ms);
}

void front_audit_reset(struct front *f)
{
	f->audit.n_waiting += f->audit.n_flying;
	f->audit.n_flying = 0;
}

static enum egress_event event_of(const struct front_exchange *x)
{
	switch (x->kind) {
	case POLICY_DNS:
		return EGRESS_ON_DNS;
	case POLICY_WEBSOCKET:
		return EGRESS_ON_WEBSOCKET;
	case POLICY_GRPC:
		return EGRESS_ON_GRPC;
	case POLICY_HTTP:
		return EGRESS_ON_HTTP;
	case POLICY_TUNNEL:
		return x->is_tls ? EGRESS_ON_TLS : EGRESS_ON_TCP;
	case POLICY_TCP:
	case POLICY_KINDS:
	default:
		return EGRESS_ON_TCP;
	}
}

/* count_guess() - many refusals for the credential that was sent are more than a mistake: one record
 * a minute says so, since a person reads no thousand single ones
 */
static void count_guess(struct front_exchange *x, const char *code)
{
	struct front_audit *a = &x->f->audit;
	const struct egress_record r = {.event = event_of(x),
		.decision = EGRESS_REFUSED,
		.way = x->s->to.way,
		.host = x->host.kind == POLICY_HOST_NONE ? "" : x->host.name,
		.port = x->port,
		.method = "",
		.path = "",
		.rule = "",
		.reason = "guessing",
		.credential = "",
		.note = "many requests within a minute with a credential that is none"};

	if (strcmp(code, "foreign_credential") != 0 && strcmp(code, "sentinel") != 0)
		return;
	if (!a->guesses_ms || x->f->now - a->guesses_ms > GUESS_MS) {
		a->guesses_ms = x->f->now;
		a->guesses = 0;
	}
	if (++a->guesses == GUESSES)
		front_audit(x->f, &r);
}

void front_record(struct front_exchange *x, enum egress_decision d, const char *reason,
	const struct egress_done *done)
{
	static char path[PATH_SHOWN];
	char type[16];
	struct egress_record r = {.event = event_of(x),
		.decision = d,
		.way = x->s->to.way,
		.host = x->host.kind == POLICY_HOST_NONE ? "" : x->host.name,
		.port = x->port,
		.method = x->method,
		.path = x->path ? x->path : "",
		.rule = x->rule,
		.reason = reason,
		.status = x->status,
		.bytes_up = done ? done->bytes_up : x->up,
		.bytes_down = done ? done->bytes_down : x->down,
		.credential = done ? done->credential : "",
		.note = done ? done->note : ""};

	if (x->recorded)
		return;
	x->recorded = true;
	if (strlen(r.path) >= sizeof(path)) {
		memcpy(path, r.path, sizeof(path) - 1);
		r.path = path;
	}
	if (x->query) {
		r.host = x->query->name;
		r.method = dns_type_name(x->query->type, type);
		r.port = 53;
	}
	front_audit(x->f, &r);
	count_guess(x, reason);
}

void front_record_stream(struct front_stream *s, enum egress_event ev, enum egress_decision d,
	const char *host, uint16_t port, const char *rule, const char *reason, uint16_t status)
{
	const struct egress_record r = {.event = ev,
		.decision = d,
		.way = s->to.way,
		.host = host,
		.port = port,
		.method = "",
		.path = "",
		.rule = rule,
		.reason = reason,
		.status = status,
		.credential = "",
		.note = ""};

	front_audit(s->f, &r);
}
