/* kits.h - references of kits as they were typed become what the daemon can open
 *
 * Local ones become absolute; those of git servers and registries are fetched into the cache (dist/fetch.h), since
 * the daemon has no network. Names of built-in kits stay as they are.
 */
#ifndef CLI_KITS_H
#define CLI_KITS_H
#include "base/paths.h"
#include "kit/source.h"

struct kit_place_at {
	char path[PATH_MAX]; /* or a name */
	char origin[KIT_REF_MAX]; /* ""; else where the local copy is from, pinned */
};
struct kits_at {
	struct kit_place_at *v;
	size_t n;
};
/* kits_find() - says on stderr what is fetched, unless @quiet */
int kits_find(const char *const *refs, size_t n, const struct paths *p, bool quiet,
	struct kits_at *ret, struct err *e) MUST_USE;
void kits_at_fini(struct kits_at *k);
void kits_at_auto(struct kits_at *k);

/* kits_remote() - is it a reference of a git server or a registry? Pure. */
bool kits_remote(const char *ref);
/* kits_base() - the last word of such a reference: what a sandbox is called after */
void kits_base(const char *ref, char *dst, size_t cap);
#endif
