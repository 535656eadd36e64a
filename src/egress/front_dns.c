/* Names: the policy first, then the vault's resolver; what was answered is what connections may be for. */
#include "egress/front.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LOCAL_TTL    60
#define TTL_MAX	     300
#define APPROVED_MAX 64
#define APPROVED_MS  600000

static const uint8_t gateway4[] = {198, 18, 0, 1}, host4[] = {198, 18, 0, 254};
static const uint8_t gateway6[16] = {0xfd, 0x53, 0x62, 0x78, [15] = 1},
		     host6[16] = {0xfd, 0x53, 0x62, 0x78, [15] = 0xfe};

static void reply(struct front_stream *s, const struct dns_query *q, enum dns_rcode rcode,
	const struct dns_record *records, size_t n)
{
	size_t at = s->out.len, len;

	if (buf_add(&s->out, "\0\0", 2) < 0 ||
		dns_put_reply(&s->out, q, rcode, records, n, DNS_MESSAGE_MAX) < 0) {
		front_stream_kill(s);
		return;
	}
	len = s->out.len - at - 2;
	s->out.data[at] = (char)(len >> 8);
	s->out.data[at + 1] = (char)len;
	front_stream_dirty(s);
}

static void record(struct front_stream *s, const struct dns_query *q, enum egress_decision d,
	const char *rule, const char *reason)
{
	char type[16];
	const struct egress_record r = {.time_ms = 0,
		.event = EGRESS_ON_DNS,
		.decision = d,
		.way = EGRESS_REDIRECTED,
		.host = q->name,
		.port = 53,
		.method = dns_type_name(q->type, type),
		.path = "",
		.rule = rule,
		.reason = reason,
		.credential = "",
		.note = ""};

	front_audit(s->f, &r);
}

static bool type_served(uint16_t type)
{
	return type == DNS_A || type == DNS_AAAA || type == DNS_HTTPS || type == DNS_SRV ||
	       type == DNS_TXT || type == DNS_PTR;
}

/* local() - names that have a meaning inside only; true: answered */
static bool local(struct front_stream *s, const struct dns_query *q)
{
	bool gateway = strcmp(q->name, "gateway.sbx.internal") == 0;
	bool host = strcmp(q->name, "host.sbx.internal") == 0 ||
		    strcmp(q->name, "host.docker.internal") == 0;
	struct dns_record r = {.type = q->type, .ttl_s = LOCAL_TTL};

	if (!gateway && !host)
		return false;
	if (q->type == DNS_A) {
		r.rdata = gateway ? gateway4 : host4;
		r.len = 4;
	} else if (q->type == DNS_AAAA) {
		r.rdata = gateway ? gateway6 : host6;
		r.len = 16;
	}
	reply(s, q, DNS_NOERROR, &r, r.len > 0);
	return true;
}

/* subject() - whom the question is about: a name, or (PTR) an address */
static bool subject(const struct dns_query *q, struct policy_host *ret)
{
	uint8_t bytes[16] = {0};
	struct policy_address a;
	int family;

	if (q->type != DNS_PTR)
		return policy_host_parse(q->name, strlen(q->name), ret);
	family = dns_ptr_name(q->name, bytes);
	if (family == 0 || !policy_address_from((unsigned)family, bytes, &a))
		return false;
	policy_host_from_address(&a, ret);
	return true;
}

/* Names that a person said yes to, for a while: a client asks for one name several times. */
static struct {
	char name[POLICY_HOST_MAX + 1];
	int64_t until;
} approved[APPROVED_MAX];
static unsigned next_approved;

static bool is_approved(const struct front *f, const char *name)
{
	for (unsigned i = 0; i < APPROVED_MAX; i++)
		if (approved[i].until > f->now && strcmp(approved[i].name, name) == 0)
			return true;
	return false;
}

static void approve(const struct front *f, const char *name)
{
	(void)snprintf(approved[next_approved].name, sizeof(approved[0].name), "%s", name);
	approved[next_approved].until = f->now + APPROVED_MS;
	next_approved = (next_approved + 1) % APPROVED_MAX;
}

/* is_asked() - does a question about that name wait already? One is enough for a person. */
static bool is_asked(const struct front *f, const char *name)
{
	for (const struct front_stream *s = f->streams; s; s = s->next)
		for (const struct front_exchange *x = s->dead ? NULL : s->exchanges; x; x = x->next)
			if (x->what == FRONT_NAME && x->question && strcmp(x->host.name, name) == 0)
				return true;
	return false;
}

/* ask_vault() - @ask: the rule by which a person is asked first, NULL: nobody is */
static void ask_vault(struct front_stream *s, const struct dns_query *q,
	const struct policy_host *host, const char *rule, const struct policy_rule *ask)
{
	struct front_exchange *x = front_exchange_new(s, FRONT_NAME);

	if (!x) {
		reply(s, q, DNS_SERVFAIL, NULL, 0);
		return;
	}
	x->kind = POLICY_DNS;
	x->host = *host;
	x->up_over = true;
	(void)snprintf(x->rule, sizeof(x->rule), "%s", rule);
	x->query = malloc(sizeof(*x->query));
	if (x->query)
		*x->query = *q;
	if (!x->query || egress_put_resolve(&x->request, q->type, q->name) < 0) {
		reply(s, q, DNS_SERVFAIL, NULL, 0);
		x->recorded = x->down_over = true;
		front_exchange_over(x);
		return;
	}
	if (!ask) {
		front_exchange_start(x);
		return;
	}
	(void)snprintf(x->method, sizeof(x->method), "DNS");
	x->port = 53;
	if (!front_ask(x, ask)) {
		record(s, q, EGRESS_DENY, rule, "ask");
		reply(s, q, DNS_NXDOMAIN, NULL, 0);
		x->recorded = x->down_over = true;
		front_exchange_over(x);
	}
}

static void on_query(struct front_stream *s, const struct dns_query *q)
{
	struct policy_host host;
	struct policy_verdict v;
	struct policy_request r = {.kind = POLICY_DNS, .host = &host};

	s->f->stats.requests++;
	if (!type_served(q->type)) {
		record(s, q, EGRESS_REFUSED, "", "type");
		reply(s, q, DNS_NOTIMP, NULL, 0);
		return;
	}
	if (local(s, q))
		return;
	if (!subject(q, &host) || host.kind == POLICY_HOST_LOCAL) {
		record(s, q, EGRESS_REFUSED, "", "malformed");
		reply(s, q, DNS_NXDOMAIN, NULL, 0);
		return;
	}
	r.address = host.address;
	policy_decide(s->f->policy, &r, &v);
	if (v.decision == POLICY_DENY || front_audit_full(s->f)) {
		record(s, q, EGRESS_DENY, v.rule ? v.rule->id : "", policy_reason_name(v.reason));
		reply(s, q, DNS_NXDOMAIN, NULL, 0);
		return;
	}
	if (v.decision == POLICY_ALLOW || is_approved(s->f, host.name))
		ask_vault(s, q, &host, v.rule ? v.rule->id : "", NULL);
	else if (!is_asked(s->f, host.name))
		ask_vault(s, q, &host, v.rule ? v.rule->id : "", v.rule);
	/* else no answer: the client asks again while a person thinks */
}

static void on_message(struct front_stream *s, const void *p, size_t len)
{
	struct dns_query q;

	switch (dns_get_query(p, len, &q)) {
	case DNS_OK:
		on_query(s, &q);
		return;
	case DNS_ODD:
		record(s, &q, EGRESS_REFUSED, "", "malformed");
		reply(s, &q, DNS_REFUSED, NULL, 0);
		return;
	case DNS_BAD:
	default:
		s->f->stats.faults++;
		if (q.answerable)
			reply(s, &q, DNS_FORMERR, NULL, 0);
		else
			front_stream_kill(s);
	}
}

void front_dns_input(struct front_stream *s)
{
	ssize_t n = front_stream_fill(s, 2 + DNS_MESSAGE_MAX);
	size_t at = 0;

	if (n < 0 && n != -EAGAIN && n != -ENOBUFS) {
		front_stream_kill(s);
		return;
	}
	front_stream_deadline(s, FRONT_IDLE_MS);
	while (!s->dead && s->in.len - at >= 2) {
		const uint8_t *p = (const uint8_t *)s->in.data + at;
		size_t len = (size_t)p[0] << 8 | p[1];

		if (s->in.len - at < 2 + len)
			break;
		if (s->n_exchanges >= FRONT_DNS_MAX || front_stream_full(s)) {
			s->held = true; /* until an answer was given */
			break;
		}
		on_message(s, p + 2, len);
		at += 2 + len;
	}
	if (s->dead)
		return;
	buf_eat(&s->in, at);
	if (n == 0 && s->n_exchanges == 0 && !s->held)
		front_stream_last(s);
}

/* strip_hints() - addresses beside the name are not given: they would be no one's pins */
static bool strip_hints(uint8_t *p, size_t *len)
{
	size_t at = 2, to;

	while (at < *len && p[at] != 0) /* the target's name, uncompressed */
		at += 1u + p[at];
	to = ++at;
	while (at + 4 <= *len) {
		unsigned key = (unsigned)p[at] << 8 | p[at + 1];
		size_t n = 4 + ((size_t)p[at + 2] << 8 | p[at + 3]);

		if (n > *len - at)
			return false;
		if (key != 4 && key != 6) {
			memmove(p + to, p + at, n);
			to += n;
		}
		at += n;
	}
	if (at != *len)
		return false;
	*len = to;
	return true;
}

/* admit() - one record of the answer: may the guest have it? Addresses become pins. */
static bool admit(struct front_exchange *x, uint16_t type, uint8_t *rdata, size_t *len)
{
	struct policy_address a;
	uint8_t bytes[16] = {0};

	if (type != x->query->type)
		return false;
	if (type == DNS_HTTPS)
		return dns_strip_ech(rdata, len) && strip_hints(rdata, len);
	if (type != DNS_A && type != DNS_AAAA)
		return true;
	if (*len != (type == DNS_A ? 4u : 16u))
		return false;
	memcpy(bytes, rdata, *len);
	return policy_address_from(type == DNS_A ? 4 : 6, bytes, &a) &&
	       policy_may_answer(x->f->policy, &a) && front_pins_add(x->f->pins, x->host.name, &a);
}

bool front_dns_answer(struct front_exchange *x, const struct egress_frame *fr)
{
	static struct egress_answer a; /* large */
	struct dns_record records[EGRESS_RECORDS_MAX];
	size_t n = 0;

	if (egress_get_answer(fr, &a) != PROTO_OK)
		return false;
	if (x->approved)
		approve(x->f, x->host.name);
	buf_clear(&x->f->text);
	for (uint16_t i = 0; i < a.n; i++) {
		size_t len = a.v[i].len;
		char *room;

		if (buf_room(&x->f->text, len, &room) < 0)
			return false;
		memcpy(room, a.v[i].rdata, len);
		if (!admit(x, a.v[i].type, (uint8_t *)room, &len))
			continue;
		records[n++] = (struct dns_record){.type = a.v[i].type,
			.ttl_s = a.ttl_s < TTL_MAX ? a.ttl_s : TTL_MAX,
			.rdata = (uint8_t *)room,
			.len = len};
		if (len > 0)
			buf_grew(&x->f->text, len);
	}
	reply(x->s, x->query, (enum dns_rcode)(a.rcode & 15), records, n);
	return true;
}

void front_dns_fail(struct front_exchange *x)
{
	if (x->query)
		reply(x->s, x->query, DNS_SERVFAIL, NULL, 0);
	x->down_over = true;
}
