/* cache.h - kits that came from elsewhere, packed, in CACHE/kits: so that a reference that is pinned needs no network
 *
 *   <sha256 of the ZIP>.zip            the packed kit
 *   <sha256 of the ZIP>.zip.sig.bundle what shows who signed it (proof.h), where there is something
 *   <sha256 of the origin>.origin      {"origin":"...","zip":"<sha256>"}
 * The directory is its owner's alone. A file is read back only if its bytes have the digest that it is called by. At
 * most CACHE_BYTES of packed kits stay, the ones used last. Thread: any, in any number of processes.
 */
#ifndef DIST_CACHE_H
#define DIST_CACHE_H
#include "dist/ref.h"
#include "base/buf.h"
#include <limits.h>
#include <stdint.h>

#define CACHE_DIR     "kits"
#define CACHE_BYTES   (256ULL << 20)
#define CACHE_ENTRIES 4096 /* files looked at in one pruning */
#define CACHE_PROOF   ".sig.bundle" /* behind the ZIP's name, here and beside a ZIP elsewhere */

/* dist_cache_put() - @zip and, unless it is empty, @proof; ret_path is the ZIP's. Whole or not at all. */
int dist_cache_put(const char *cache, const char *origin, const struct buf *zip,
	const struct buf *proof, char ret_path[PATH_MAX], struct err *e) MUST_USE;
/* dist_cache_find() - the ZIP of @origin, which is pinned: its path and, in @zip, its bytes. -ENOENT: there is none,
 * or it is damaged.
 */
int dist_cache_find(
	const char *cache, const char *origin, char ret_path[PATH_MAX], struct buf *zip) MUST_USE;
/* dist_cache_holds() - is @path the ZIP of @origin in the cache? */
bool dist_cache_holds(const char *cache, const char *origin, const char *path);
/* dist_cache_prune() - the oldest above @bytes, and what runs that were killed left: kit-git-*, kit-oci-* */
void dist_cache_prune(const char *cache, uint64_t bytes);
#endif
