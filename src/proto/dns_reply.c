#include "proto/dns_int.h"
#include <string.h>

/* The answer of a name server: judged as a whole, then the chain of CNAMEs is walked from the name
 * that was asked. What the chain does not lead to is not looked at.
 */

#define FLAG_RESPONSE 0x8000u
#define FLAG_TC	      0x0200u
#define OPCODE	      0x7800u
#define ANSWERS_MAX   256
#define NEGATIVE_S    300
#define SVC_KEY_ECH   5

struct rr {
	uint16_t type;
	uint32_t ttl_s;
	size_t rdata_at, rdata_len;
	uint8_t owner[DNS_WIRE_MAX];
	size_t owner_len;
};

static bool get_rr(struct dns_cursor *c, struct rr *ret)
{
	uint16_t class;

	ret->owner_len = dns_wire_name(c, ret->owner);
	ret->type = dns_u16(c);
	class = dns_u16(c);
	ret->ttl_s = dns_u32(c);
	ret->rdata_len = dns_u16(c);
	ret->rdata_at = c->at;
	(void)dns_skip(c, ret->rdata_len);
	if (ret->ttl_s > INT32_MAX) /* RFC 2181 8 */
		ret->ttl_s = 0;
	return !c->bad && (class == DNS_CLASS_IN || ret->type == DNS_OPT);
}

/* rdata_name() - the name that rdata ends with, behind @before plain bytes, to the end exactly */
static bool rdata_name(const struct dns_cursor *msg, const struct rr *rr, size_t before,
	uint8_t dst[DNS_WIRE_MAX], size_t *ret_len)
{
	/* The message ends, for this name, where its record ends; pointers go backwards anyway. */
	struct dns_cursor c = {
		.p = msg->p, .len = rr->rdata_at + rr->rdata_len, .at = rr->rdata_at};

	(void)dns_skip(&c, before);
	*ret_len = c.bad ? 0 : dns_wire_name(&c, dst);
	return !c.bad && c.at == c.len;
}

static bool txt_ok(const uint8_t *p, size_t len)
{
	size_t at = 0;

	while (at < len)
		at += 1u + p[at];
	return len > 0 && at == len;
}

/* How much of the rdata stands before a name in it; -1: it has none. */
static int name_at(uint16_t type)
{
	switch (type) {
	case DNS_CNAME:
	case DNS_PTR:
	case DNS_NS:
		return 0;
	case DNS_MX:
		return 2;
	case DNS_SRV:
		return 6;
	default:
		return -1;
	}
}

/* expand() - rdata into @dst (room for @cap) in the form that is handed on; its length or 0 */
static size_t expand(const struct dns_cursor *msg, const struct rr *rr, uint8_t *dst, size_t cap)
{
	const uint8_t *p = msg->p + rr->rdata_at;
	size_t len = rr->rdata_len, n;
	int before = name_at(rr->type);
	uint8_t name[DNS_WIRE_MAX];

	if (before >= 0) {
		if (!rdata_name(msg, rr, (size_t)before, name, &n) || (size_t)before + n > cap)
			return 0;
		memcpy(dst, p, (size_t)before);
		memcpy(dst + before, name, n);
		return (size_t)before + n;
	}
	if (len > cap || (rr->type == DNS_A && len != 4) || (rr->type == DNS_AAAA && len != 16) ||
		(rr->type == DNS_TXT && !txt_ok(p, len)))
		return 0;
	memcpy(dst, p, len);
	if ((rr->type == DNS_HTTPS || rr->type == DNS_SVCB) && !dns_strip_ech(dst, &len))
		return 0;
	return len;
}

/* take_records() - all of @type that belong to @owner */
static bool take_records(const struct dns_cursor *msg, size_t from, uint16_t answers,
	const uint8_t *owner, size_t owner_len, uint16_t type, struct dns_reply *reply)
{
	struct dns_cursor c = *msg;
	struct rr rr;

	c.at = from;
	for (uint16_t i = 0; i < answers; i++) {
		struct dns_record *x = &reply->records[reply->n];
		size_t n;

		if (!get_rr(&c, &rr))
			return false;
		if (rr.type != type || rr.owner_len != owner_len ||
			memcmp(rr.owner, owner, owner_len) != 0)
			continue;
		if (reply->n == DNS_RECORDS_MAX)
			return true; /* more than anybody needs */
		n = expand(
			msg, &rr, reply->bytes + reply->used, sizeof(reply->bytes) - reply->used);
		if (n == 0)
			return false;
		*x = (struct dns_record){.type = type,
			.ttl_s = rr.ttl_s,
			.rdata = reply->bytes + reply->used,
			.len = n};
		reply->used += n;
		reply->n++;
		if (rr.ttl_s < reply->ttl_s)
			reply->ttl_s = rr.ttl_s;
	}
	return true;
}

/* follow() - the CNAME of @owner replaces it: 1; 0: it has none; -1: malformed */
static int follow(const struct dns_cursor *msg, size_t from, uint16_t answers, uint8_t *owner,
	size_t *owner_len, uint32_t *ttl_s)
{
	struct dns_cursor c = *msg;
	struct rr rr;

	c.at = from;
	for (uint16_t i = 0; i < answers; i++) {
		if (!get_rr(&c, &rr))
			return -1;
		if (rr.type != DNS_CNAME || rr.owner_len != *owner_len ||
			memcmp(rr.owner, owner, *owner_len) != 0)
			continue;
		if (!rdata_name(msg, &rr, 0, owner, owner_len))
			return -1;
		if (rr.ttl_s < *ttl_s)
			*ttl_s = rr.ttl_s;
		return 1;
	}
	return 0;
}

/* negative_ttl() - RFC 2308: the lower of the SOA's own ttl and its minimum */
static uint32_t negative_ttl(const struct dns_cursor *msg, size_t from, uint16_t n)
{
	struct dns_cursor c = *msg;
	struct rr rr;

	c.at = from;
	for (uint16_t i = 0; i < n; i++) {
		struct dns_cursor m = *msg;
		uint32_t minimum;

		if (!get_rr(&c, &rr))
			return 0;
		if (rr.type != DNS_SOA || rr.rdata_len < 22)
			continue;
		m.at = rr.rdata_at + rr.rdata_len - 4;
		minimum = dns_u32(&m);
		if (rr.ttl_s < minimum)
			minimum = rr.ttl_s;
		return minimum < NEGATIVE_S ? minimum : NEGATIVE_S;
	}
	return 0;
}

static bool walk(const struct dns_cursor *msg, size_t from, const uint16_t count[4], uint8_t *owner,
	size_t owner_len, uint16_t type, struct dns_reply *reply)
{
	for (unsigned links = 0;; links++) {
		int r;

		if (!take_records(msg, from, count[1], owner, owner_len, type, reply))
			return false;
		if (reply->n > 0 || type == DNS_CNAME)
			break;
		if (links == DNS_CHAIN_MAX)
			return false;
		r = follow(msg, from, count[1], owner, &owner_len, &reply->ttl_s);
		if (r < 0)
			return false;
		if (r == 0) {
			if (links > 0 && reply->rcode == DNS_NOERROR &&
				!dns_text(owner, owner_len, reply->next))
				return false;
			break;
		}
	}
	return true;
}

enum dns_result dns_get_reply(const void *p, size_t len, uint16_t id, const char *name,
	uint16_t type, struct dns_reply *ret_reply)
{
	struct dns_cursor c = {.p = p, .len = len};
	uint8_t asked[DNS_WIRE_MAX], owner[DNS_WIRE_MAX];
	size_t asked_len = dns_from_text(name, asked), owner_len, from;
	uint16_t got_id = dns_u16(&c), flags = dns_u16(&c), count[4];
	struct rr rr;

	for (unsigned i = 0; i < 4; i++)
		count[i] = dns_u16(&c);
	memset(ret_reply, 0, offsetof(struct dns_reply, bytes));
	if (c.bad || got_id != id || !(flags & FLAG_RESPONSE) || (flags & OPCODE) ||
		count[0] != 1 || asked_len == 0)
		return DNS_BAD;
	owner_len = dns_wire_name(&c, owner);
	if (dns_u16(&c) != type || dns_u16(&c) != DNS_CLASS_IN || c.bad || owner_len != asked_len ||
		memcmp(owner, asked, asked_len) != 0)
		return DNS_BAD;
	ret_reply->rcode = (uint8_t)(flags & 15);
	ret_reply->truncated = flags & FLAG_TC;
	ret_reply->ttl_s = INT32_MAX;
	if (ret_reply->truncated)
		return DNS_OK; /* whatever is in it is not used */
	from = c.at;
	if (count[1] > ANSWERS_MAX)
		return DNS_BAD;
	for (uint16_t i = 0; i < count[1]; i++)
		if (!get_rr(&c, &rr))
			return DNS_BAD;
	if (!walk(&(struct dns_cursor){.p = p, .len = len}, from, count, owner, owner_len, type,
		    ret_reply)) {
		memset(ret_reply, 0, offsetof(struct dns_reply, bytes));
		return DNS_BAD;
	}
	if (ret_reply->n == 0 && ret_reply->next[0] == '\0')
		ret_reply->ttl_s = negative_ttl(&(struct dns_cursor){.p = p, .len = len}, c.at,
			count[2] < 16 ? count[2] : 16);
	return DNS_OK;
}

bool dns_strip_ech(uint8_t *rdata, size_t *len)
{
	struct dns_cursor c = {.p = rdata, .len = *len};
	size_t kept;
	int last = -1;

	(void)dns_u16(&c); /* priority */
	for (;;) { /* the target is never compressed (RFC 9460 2.2) */
		uint8_t n = dns_u8(&c);

		if (c.bad || n > 63)
			return false;
		if (n == 0)
			break;
		(void)dns_skip(&c, n);
	}
	kept = c.at;
	while (c.at < c.len) {
		size_t start = c.at, n;
		int key = dns_u16(&c);

		(void)dns_skip(&c, dns_u16(&c));
		if (c.bad || key <= last)
			return false;
		last = key;
		n = c.at - start;
		if (key == SVC_KEY_ECH)
			continue;
		memmove(rdata + kept, rdata + start, n);
		kept += n;
	}
	*len = kept;
	return true;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int ptr6(const char *name, uint8_t ret_addr[16])
{
	memset(ret_addr, 0, 16);
	for (int i = 0; i < 32; i++) {
		int v = hex(name[0]);

		if (v < 0 || name[1] != '.')
			return 0;
		ret_addr[15 - i / 2] |= (uint8_t)(i % 2 ? v << 4 : v);
		name += 2;
	}
	return strcmp(name, "ip6.arpa") == 0 ? 6 : 0;
}

int dns_ptr_name(const char *name, uint8_t ret_addr[16])
{
	size_t len = strlen(name);
	const char *at = name;

	memset(ret_addr, 0, 16);
	if (len == 32 * 2 + 8)
		return ptr6(name, ret_addr);
	for (int i = 3; i >= 0; i--) {
		unsigned v = 0, digits = 0;

		for (; at[digits] >= '0' && at[digits] <= '9' && digits < 4; digits++)
			v = v * 10 + (unsigned)(at[digits] - '0');
		if (digits == 0 || digits > 3 || v > 255 || (digits > 1 && at[0] == '0') ||
			at[digits] != '.')
			return 0;
		ret_addr[i] = (uint8_t)v;
		at += digits + 1;
	}
	return strcmp(at, "in-addr.arpa") == 0 ? 4 : 0;
}
