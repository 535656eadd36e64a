/* run.h - from a kit's spec to what a start of today takes (struct kit of kit.h) */
#ifndef KIT_RUN_H
#define KIT_RUN_H
#include "kit/kit.h"
#include "kit/spec.h"

/* kit_of_spec() - an agent's spec whose every field a start acts on; else -ENOTSUP, or -EINVAL for a
 * mixin, with the place
 */
int kit_of_spec(const struct kit_spec *s, struct kit **ret_kit, struct err *e) MUST_USE;
/* kit_placed_tar() - files of a kit as a deterministic tar stream; nothing when there are none */
int kit_placed_tar(const struct kit_placed *v, size_t n, struct buf *out) MUST_USE;
#endif
