/* put.h - what of a plan's files goes into the guest, as tar streams
 *
 * Pure and deterministic: equal plans give equal bytes. Nothing is added to @out when there is nothing
 * to put. -ENOBUFS beyond the maximum of @out, -ENOMEM.
 */
#ifndef KIT_PUT_H
#define KIT_PUT_H
#include "kit/plan.h"

/* kit_placed_tar() - files/home or files/workspace, relative to the directory they go to */
int kit_placed_tar(const struct kit_placed *v, size_t n, struct buf *out) MUST_USE;

struct kit_owner {
	uint32_t uid, gid;
};

/* kit_setup_tar() - setup.files, relative to "/", with ${WORKDIR} as @workdir. Two streams: what
 * replaces a file that is there (@if_missing false), and what does not (true), to be put after it.
 */
int kit_setup_tar(const struct kit_parts *p, bool if_missing, const char *workdir,
	struct kit_owner owner, struct buf *out) MUST_USE;

/* kit_memory_tar() - the texts for the agent: its file of instructions and kits-memory/NAME.md of each
 * mixin, relative to the directory of that file; nothing when the agent reads none
 */
int kit_memory_tar(const struct kit_plan *p, struct kit_owner owner, struct buf *out) MUST_USE;
#endif
