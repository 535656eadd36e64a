/* dns.h - DNS messages: bytes to questions and answers, and back; no I/O
 *
 * RFC 1035, 6891 (EDNS), 9460 (HTTPS/SVCB). For the two ends that this project has: the front
 * answers the guest's questions, the resolver asks the host's name servers. Both peers are hostile.
 * Names in text are lower case without the last dot; a label with any byte but letters, digits,
 * '-' and '_' makes the name odd: no host of ours has such a name.
 */
#ifndef PROTO_DNS_H
#define PROTO_DNS_H
#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

#define DNS_MESSAGE_MAX 65535
#define DNS_NAME_MAX	253
#define DNS_RECORDS_MAX 64
#define DNS_CHAIN_MAX	8 /* CNAMEs followed inside one message */

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_OPT = 41,
	DNS_SVCB = 64,
	DNS_HTTPS = 65,
	DNS_ANY = 255,
};

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
};

enum dns_result {
	DNS_OK,
	DNS_ODD, /* well-formed, but the name or class is none that is served: answer REFUSED */
	DNS_BAD, /* not to be answered, or answered by FORMERR when ->answerable */
};

/* ---- questions from the guest ---- */

struct dns_query {
	uint16_t id, type, udp_bytes; /* udp_bytes: what its EDNS offers, 512 without */
	bool recursion, edns;
	bool answerable; /* the header at least was that of a query */
	char name[DNS_NAME_MAX + 1]; /* "" for the root or an odd one */
	uint8_t question[260]; /* as sent (its case is repeated): name, type, class */
	size_t question_len;
};

enum dns_result dns_get_query(const void *p, size_t len, struct dns_query *ret_q) MUST_USE;

struct dns_record {
	uint16_t type;
	uint32_t ttl_s;
	const uint8_t *rdata; /* names in it uncompressed */
	size_t len;
};

/* dns_put_reply() - append the answer: all records belong to the name that was asked. With records
 * that do not fit into @max bytes it is cut: none of them, and TC set.
 */
int dns_put_reply(struct buf *out, const struct dns_query *q, enum dns_rcode rcode,
	const struct dns_record *records, size_t n, size_t max) MUST_USE;

/* ---- questions of our own ---- */

/* dns_put_query() - append one; -EINVAL for a name that cannot be asked */
int dns_put_query(struct buf *out, uint16_t id, const char *name, uint16_t type) MUST_USE;

struct dns_reply {
	uint8_t rcode;
	bool truncated;
	uint32_t
		ttl_s; /* lowest on the way to the records; without records: the SOA's, at most 300 */
	size_t n;
	struct dns_record records[DNS_RECORDS_MAX]; /* of the type asked; rdata points into bytes */
	char next[DNS_NAME_MAX +
		  1]; /* the chain of CNAMEs leads here and ends: ask for this; "" else */
	size_t used;
	uint8_t bytes[16384];
};

/* dns_get_reply() - @p is the answer to (id, name, type)? DNS_BAD: not it, or malformed, or more than
 * the struct holds: wait for another, ask by TCP, or give up
 */
enum dns_result dns_get_reply(const void *p, size_t len, uint16_t id, const char *name,
	uint16_t type, struct dns_reply *ret_reply) MUST_USE;

/* dns_name_ok() - could @name (text) be asked? */
bool dns_name_ok(const char *name);
/* dns_type_name() - "A", …; "TYPE123" into @dst when it has no name here */
const char *dns_type_name(uint16_t type, char dst[16]);
/* dns_strip_ech() - remove the key of encrypted ClientHello from an HTTPS or SVCB record in place;
 * false: malformed
 */
bool dns_strip_ech(uint8_t *rdata, size_t *len) MUST_USE;
/* dns_ptr_name() - the address that "4.3.2.1.in-addr.arpa" or an ip6.arpa name stands for: 4, 6 or 0 */
int dns_ptr_name(const char *name, uint8_t ret_addr[16]);
#endif
