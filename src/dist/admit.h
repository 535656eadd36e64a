/* admit.h - may a kit that was read be used? By what the settings say (rules.h)
 *
 * Looks at the tree in memory, the one that will be applied, so that nothing can change between the look and the
 * use. Built-in kits always may. Thread: any.
 */
#ifndef DIST_ADMIT_H
#define DIST_ADMIT_H
#include "dist/rules.h"
#include "kit/source.h"

/* dist_admit() - @src->origin is a path for a local kit, "git+..." or "oci://..." for one in the cache, whose record
 * must then agree. -EACCES and who or what would be needed.
 */
int dist_admit(const struct dist_rules *rules, const struct kit_source *src, const char *cache,
	struct err *e) MUST_USE;
/* dist_admit_origin() - may a kit come from there? @origin is pinned or not */
int dist_admit_origin(const struct dist_rules *rules, const char *origin, struct err *e) MUST_USE;

/* dist_proof_find() - what lies beside a kit and shows who signed it; -ENOENT: nothing does */
int dist_proof_find(const struct kit_source *src, struct buf *out, struct err *e) MUST_USE;
/* dist_verify() - is @src signed by one of @signers? ret_hint: by which */
int dist_verify(const struct kit_source *src, const struct dist_signers *signers,
	char ret_hint[DIST_HINT_MAX], struct err *e) MUST_USE;
#endif
