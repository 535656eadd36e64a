#include "proto/dns_int.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LABEL_MAX     63
#define FLAG_RESPONSE 0x8000u
#define FLAG_TC	      0x0200u
#define FLAG_RD	      0x0100u
#define FLAG_RA	      0x0080u
#define OPCODE	      0x7800u
#define JUMPS_MAX     16
#define OUR_UDP	      1232

uint8_t dns_u8(struct dns_cursor *c)
{
	const uint8_t *p = dns_skip(c, 1);

	return p ? *p : 0;
}

uint16_t dns_u16(struct dns_cursor *c)
{
	const uint8_t *p = dns_skip(c, 2);

	return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

uint32_t dns_u32(struct dns_cursor *c)
{
	uint32_t high = dns_u16(c);

	return high << 16 | dns_u16(c);
}

const uint8_t *dns_skip(struct dns_cursor *c, size_t n)
{
	const uint8_t *p = c->p + c->at;

	if (c->bad || n > c->len - c->at) {
		c->bad = true;
		return NULL;
	}
	c->at += n;
	return p;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* Pointers lead backwards only and are few: a name always ends. */
size_t dns_wire_name(struct dns_cursor *c, uint8_t dst[DNS_WIRE_MAX])
{
	struct dns_cursor in = *c;
	size_t used = 0, limit = c->at;
	unsigned jumps = 0;

	for (;;) {
		uint8_t n = dns_u8(&in);

		if (in.bad)
			break;
		if ((n & 0xc0) == 0xc0) {
			size_t to = (size_t)(n & 0x3f) << 8 | dns_u8(&in);

			if (in.bad || to >= limit || ++jumps > JUMPS_MAX)
				break;
			if (jumps == 1)
				c->at = in.at;
			in.at = limit = to;
			continue;
		}
		if (n > LABEL_MAX || used + 1 + n > DNS_WIRE_MAX - (n > 0))
			break;
		dst[used++] = n;
		if (n == 0) {
			if (jumps == 0)
				c->at = in.at;
			return used;
		}
		{
			const uint8_t *label = dns_skip(&in, n);

			for (uint8_t i = 0; label && i < n; i++)
				dst[used++] = lower(label[i]);
		}
	}
	c->bad = true;
	return 0;
}

static bool label_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool dns_text(const uint8_t *wire, size_t len, char dst[DNS_NAME_MAX + 1])
{
	size_t used = 0;

	dst[0] = '\0';
	for (size_t at = 0; at < len && wire[at] != 0; at += 1u + wire[at]) {
		if (used > 0)
			dst[used++] = '.';
		for (uint8_t i = 0; i < wire[at]; i++) {
			uint8_t c = wire[at + 1u + i];

			if (!label_byte(c)) {
				dst[0] = '\0';
				return false;
			}
			dst[used++] = (char)c;
		}
	}
	dst[used] = '\0';
	return true;
}

size_t dns_from_text(const char *name, uint8_t dst[DNS_WIRE_MAX])
{
	size_t used = 0;

	if (strlen(name) > DNS_NAME_MAX || name[0] == '\0')
		return 0;
	while (*name) {
		size_t n = strcspn(name, ".");

		if (n == 0 || n > LABEL_MAX)
			return 0;
		dst[used++] = (uint8_t)n;
		for (size_t i = 0; i < n; i++) {
			if (!label_byte(lower((uint8_t)name[i])))
				return 0;
			dst[used++] = lower((uint8_t)name[i]);
		}
		name += n;
		if (*name == '.' && *++name == '\0')
			return 0;
	}
	dst[used++] = 0;
	return used;
}

bool dns_name_ok(const char *name)
{
	uint8_t wire[DNS_WIRE_MAX];

	return dns_from_text(name, wire) > 0;
}

/* get_opt() - the one additional record a query may have; false: anything else */
static bool get_opt(struct dns_cursor *c, struct dns_query *q)
{
	uint8_t root = dns_u8(c);
	uint16_t type = dns_u16(c), size = dns_u16(c);

	(void)dns_u32(
		c); /* extended rcode, version, flags: nothing that we serve depends on them */
	(void)dns_skip(c, dns_u16(c));
	if (c->bad || root != 0 || type != DNS_OPT)
		return false;
	q->edns = true;
	q->udp_bytes = size < 512 ? 512 : size;
	return true;
}

enum dns_result dns_get_query(const void *p, size_t len, struct dns_query *ret_q)
{
	struct dns_cursor c = {.p = p, .len = len};
	uint16_t flags, count[4], class;
	uint8_t wire[DNS_WIRE_MAX];
	size_t n, start;
	bool odd;

	*ret_q = (struct dns_query){.udp_bytes = 512};
	ret_q->id = dns_u16(&c);
	flags = dns_u16(&c);
	for (unsigned i = 0; i < 4; i++)
		count[i] = dns_u16(&c);
	if (c.bad || (flags & FLAG_RESPONSE))
		return DNS_BAD;
	ret_q->answerable = true;
	ret_q->recursion = flags & FLAG_RD;
	if ((flags & OPCODE) || count[0] != 1 || count[1] || count[2] || count[3] > 1)
		return DNS_BAD;
	start = c.at;
	n = dns_wire_name(&c, wire);
	ret_q->type = dns_u16(&c);
	class = dns_u16(&c);
	/* a pointer in the first name has nothing to point at: what was sent is what is repeated */
	if (c.bad || c.at - start != n + 4 || c.at - start > sizeof(ret_q->question))
		return DNS_BAD;
	ret_q->question_len = c.at - start;
	memcpy(ret_q->question, c.p + start, ret_q->question_len);
	odd = !dns_text(wire, n, ret_q->name) || class != DNS_CLASS_IN;
	if ((count[3] == 1 && !get_opt(&c, ret_q)) || c.at != len)
		return DNS_BAD;
	return odd ? DNS_ODD : DNS_OK;
}

static int put16(struct buf *out, unsigned v)
{
	const uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};

	return buf_add(out, b, 2);
}

static int put_records(struct buf *out, const struct dns_record *records, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const struct dns_record *x = &records[i];

		r = put16(out, 0xc000 | DNS_HEADER); /* the name that was asked */
		if (r == 0)
			r = put16(out, x->type);
		if (r == 0)
			r = put16(out, DNS_CLASS_IN);
		if (r == 0)
			r = put16(out, x->ttl_s >> 16);
		if (r == 0)
			r = put16(out, x->ttl_s & 0xffff);
		if (r == 0)
			r = put16(out, (unsigned)x->len);
		if (r == 0)
			r = buf_add(out, x->rdata, x->len);
	}
	return r;
}

static int put_head(struct buf *out, const struct dns_query *q, unsigned flags, size_t n)
{
	int r = put16(out, q->id);

	if (r == 0)
		r = put16(out, flags);
	if (r == 0)
		r = put16(out, q->question_len > 0);
	if (r == 0)
		r = put16(out, (unsigned)n);
	if (r == 0)
		r = put16(out, 0);
	if (r == 0)
		r = put16(out, q->edns);
	return r == 0 ? buf_add(out, q->question, q->question_len) : r;
}

int dns_put_reply(struct buf *out, const struct dns_query *q, enum dns_rcode rcode,
	const struct dns_record *records, size_t n, size_t max)
{
	static const uint8_t opt[11] = {0, 0, DNS_OPT, OUR_UDP >> 8, OUR_UDP & 0xff};
	unsigned flags = FLAG_RESPONSE | FLAG_RA | (q->recursion ? FLAG_RD : 0) | (unsigned)rcode;
	size_t start = out->len, size = DNS_HEADER + q->question_len + (q->edns ? sizeof(opt) : 0);
	int r;

	for (size_t i = 0; i < n; i++) {
		if (records[i].len > 0xffff)
			return -EINVAL;
		size += 12 + records[i].len;
	}
	if (size > max || size > DNS_MESSAGE_MAX) {
		n = 0;
		flags |= FLAG_TC;
	}
	r = put_head(out, q, flags, n);
	if (r == 0)
		r = put_records(out, records, n);
	if (r == 0 && q->edns)
		r = buf_add(out, opt, sizeof(opt));
	if (r < 0)
		out->len = start;
	return r;
}

int dns_put_query(struct buf *out, uint16_t id, const char *name, uint16_t type)
{
	static const uint8_t opt[11] = {0, 0, DNS_OPT, OUR_UDP >> 8, OUR_UDP & 0xff};
	struct dns_query q = {.id = id, .edns = true, .question_len = 0};
	size_t n = dns_from_text(name, q.question), start = out->len;
	int r;

	if (n == 0)
		return -EINVAL;
	q.question[n] = (uint8_t)(type >> 8);
	q.question[n + 1] = (uint8_t)type;
	q.question[n + 2] = 0;
	q.question[n + 3] = DNS_CLASS_IN;
	q.question_len = n + 4;
	r = put_head(out, &q, FLAG_RD, 0);
	if (r == 0)
		r = buf_add(out, opt, sizeof(opt));
	if (r < 0)
		out->len = start;
	return r;
}

const char *dns_type_name(uint16_t type, char dst[16])
{
	static const struct {
		uint16_t type;
		const char *name;
	} names[] = {{DNS_A, "A"}, {DNS_NS, "NS"}, {DNS_CNAME, "CNAME"}, {DNS_SOA, "SOA"},
		{DNS_PTR, "PTR"}, {DNS_MX, "MX"}, {DNS_TXT, "TXT"}, {DNS_AAAA, "AAAA"},
		{DNS_SRV, "SRV"}, {DNS_SVCB, "SVCB"}, {DNS_HTTPS, "HTTPS"}, {DNS_ANY, "ANY"}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].type == type)
			return names[i].name;
	(void)snprintf(dst, 16, "TYPE%u", type);
	return dst;
}
