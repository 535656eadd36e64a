/* mem.h - memory that belongs to one kit and goes with it
 *
 * A kit's text and lists are many small pieces with one lifetime. They are cut from blocks and given
 * back together; a single piece cannot be freed. What a kit may take has a maximum.
 * Thread: one at a time.
 */
#ifndef KIT_MEM_H
#define KIT_MEM_H
#include "base/own.h"
#include <stddef.h>

#define KIT_MEM_MAX (64U << 20)

struct kit_mem {
	struct kit_mem_block *blocks; /* the newest first */
	size_t total; /* bytes of all blocks */
};

/* kit_mem_get() - @n zeroed bytes, aligned for everything; NULL without memory or beyond the maximum */
void *kit_mem_get(struct kit_mem *m, size_t n) MUST_USE;
/* kit_mem_array() - @n items of @size bytes; NULL also when that is more than there can be */
void *kit_mem_array(struct kit_mem *m, size_t n, size_t size) MUST_USE;
/* kit_mem_dup() - a copy of @len bytes with a NUL behind them */
char *kit_mem_dup(struct kit_mem *m, const void *bytes, size_t len) MUST_USE;
char *kit_mem_str(struct kit_mem *m, const char *text) MUST_USE;
void kit_mem_fini(struct kit_mem *m);
#endif
