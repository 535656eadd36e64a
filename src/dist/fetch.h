/* fetch.h - a kit of a git server or a registry becomes a ZIP in the cache
 *
 * Only the client does this: the daemon has no network. A reference that is pinned (a commit, a digest) and in the
 * cache needs no network. What the settings do not allow is not asked for. Thread: any; waits up to some minutes.
 */
#ifndef DIST_FETCH_H
#define DIST_FETCH_H
#include "dist/rules.h"
#include "kit/source.h"

struct dist_fetched {
	bool remote; /* else it is a local or built-in kit, and the rest is empty */
	bool cached; /* nothing was asked of a network */
	char path[PATH_MAX]; /* of the ZIP */
	char origin[KIT_REF_MAX]; /* with commit or digest */
};
/* dist_fetch() - also checks the signature where the settings ask for one */
int dist_fetch(const char *ref, const struct paths *p, const struct dist_rules *rules,
	struct dist_fetched *ret, struct err *e) MUST_USE;
/* dist_pull() - of a registry, past the cache, with the signatures it has: @proof stays empty when it has none */
int dist_pull(const struct dist_ref *ref, const char *cache, struct buf *zip, struct buf *proof,
	char ret_origin[KIT_REF_MAX], struct err *e) MUST_USE;
#endif
