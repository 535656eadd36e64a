/* push.h - a kit into a registry, and signatures beside it. Thread: any; waits up to two minutes. */
#ifndef DIST_PUSH_H
#define DIST_PUSH_H
#include "dist/artifact.h"
#include "dist/key.h"

/* dist_push() - the packed kit under the tag of @ref (which has no digest); @key NULL: not signed */
int dist_push(const struct dist_ref *ref, const char *name, const char *version,
	const struct buf *zip, const struct dist_key *key, const char *cache,
	char ret_digest[DIST_HEX], struct err *e) MUST_USE;
/* dist_push_signature() - of what the registry has under @ref, beside the signatures that are there. Two who do this
 * at the same time: one may lose, as with cosign.
 */
int dist_push_signature(const struct dist_ref *ref, const struct dist_key *key, const char *cache,
	char ret_digest[DIST_HEX], struct err *e) MUST_USE;
#endif
