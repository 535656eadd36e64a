/* resolve.h - names to records: the vault's end of its resolver child, with a cache
 *
 * Questions go to the child over a socket pair; answers are kept as long as they say, at most
 * RESOLVE_CACHE of them. Answers are not vetted here: who uses an address asks policy_decide().
 * Thread: the loop's. The child is hostile once it has been taken over by a name server: what it says is
 * checked and is data.
 */
#ifndef EGRESS_RESOLVE_H
#define EGRESS_RESOLVE_H
#include "base/loop.h"
#include "policy/address.h"
#include "proto/egress_config.h"

#define RESOLVE_CACHE	    1024
#define RESOLVE_OUTSTANDING 256
#define RESOLVE_RECORDS	    32
#define RESOLVE_BYTES	    8192 /* of an answer's records */
#define RESOLVE_MS	    8000 /* then there is no answer */

struct resolve_answer {
	uint8_t rcode; /* 2 (SERVFAIL) also when nobody answered */
	uint32_t ttl_s;
	uint16_t n;
	struct {
		uint16_t type, len;
		const uint8_t *rdata; /* points into the answer's own bytes; names uncompressed */
	} v[RESOLVE_RECORDS];
};

/* called once for a question, unless it was cancelled; @a is valid during the call */
typedef void (*resolve_fn)(void *ctx, const struct resolve_answer *a);
struct resolve;
struct resolve_query;

/* resolve_new() - over @fd (taken); @lost is called when the child is gone */
struct resolve *resolve_new(struct loop *loop, int fd, loop_timer_fn lost, void *lost_ctx) MUST_USE;
void resolve_free(struct resolve *r); /* questions that are open are forgotten */
/* resolve_configure() - name servers and the hosts file; the cache is emptied */
int resolve_configure(struct resolve *r, const struct egress_config *c) MUST_USE;
/* resolve_cached() - the answer, when it needs no question: valid until the next call */
const struct resolve_answer *resolve_cached(
	struct resolve *r, const char *name, uint16_t type) MUST_USE;
/* resolve_ask() - NULL: too many are open, or the name cannot be asked. @fn is never called from within. */
struct resolve_query *resolve_ask(
	struct resolve *r, const char *name, uint16_t type, resolve_fn fn, void *ctx) MUST_USE;
void resolve_cancel(struct resolve_query *q); /* NULL is fine */
/* resolve_addresses() - the A and AAAA records among @a, appended to @list (@cap, *n of them used) */
void resolve_addresses(
	const struct resolve_answer *a, struct policy_address *list, size_t cap, size_t *n);

/* the messages between the two, one a packet; see resolver.c */
#define RESOLVER_MESSAGE_MAX 16384
enum { RESOLVER_SERVERS = 1, RESOLVER_ASK = 2, RESOLVER_ANSWER = 3 };
#endif
