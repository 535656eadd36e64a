/* pack.h - a file or tree of the host becomes a tar stream into a sandbox
 *
 * Depth first with a stack of open directories. The tree may be changed by others meanwhile: each
 * entry is opened from its directory's descriptor without following links and then looked at; a
 * file that changes its length keeps the one it was announced with; what vanishes is left out.
 * Sockets, pipes and devices are left out, counted and told.
 */
#ifndef CLI_PACK_H
#define CLI_PACK_H
#include "cli/transfer.h"

#define PACK_DEPTH_MAX 256 /* directories open at a time */

struct pack {
	uint64_t entries, left_out;
	bool follow; /* the source itself, when it is a link */
};
/* pack_tree() - send @name in the directory @dir as the entry @as ("." for its contents only), end
 * mark included; 0 or negative errno with @e
 */
int pack_tree(struct pack *p, struct transfer *t, int dir, const char *name, const char *as,
	struct err *e) MUST_USE;
#endif
