/* leaf.h - certificates for the servers that a guest asks for, signed by its CA and kept
 *
 * One key for all leaves of a run, in memory only. A leaf names one host or address (SAN), for serverAuth, for at most two
 * days and never beyond its CA. Least recently used leaves go first; one that has lived half of its
 * time is minted again. About 0.1 ms each. How many are minted is limited, so that a guest which asks for ever
 * new names cannot spend the host's time: TLS_MINT_BURST at once, TLS_MINT_PER_S in the long run.
 * Thread: one at a time.
 */
#ifndef TLS_LEAF_H
#define TLS_LEAF_H
#include "base/err.h"
#include "tls/ca.h"
#include <stddef.h>
#include <stdint.h>

#define TLS_LEAVES_MAX 256
#define TLS_MINT_BURST 4096
#define TLS_MINT_PER_S 500

struct tls_leaves;
struct tls_leaf;

/* tls_leaves_new() - @ca is borrowed and must outlive it; at most @max are kept */
int tls_leaves_new(
	struct tls_ca *ca, size_t max, struct tls_leaves **ret_leaves, struct err *e) MUST_USE;
void tls_leaves_free(struct tls_leaves *l); /* NULL is fine; sessions that use a leaf keep it */
/* tls_leaves_get() - kept or minted; borrowed until the next call
 * @name: host name, or an address in text (no brackets). -EINVAL: a certificate cannot be for that;
 * -EBUSY: too many new names, later again.
 */
int tls_leaves_get(struct tls_leaves *l, const char *name, int64_t now_s,
	const struct tls_leaf **ret_leaf, struct err *e) MUST_USE;
uint64_t tls_leaves_minted(const struct tls_leaves *l); /* how many since the start */
/* tls_leaf_pem() - the certificate as text, into @dst; for tests and people */
int tls_leaf_pem(const struct tls_leaf *leaf, char *dst, size_t cap) MUST_USE;
#endif
