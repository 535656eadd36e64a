/* gmem.h - guest memory: the only door from a guest address to host bytes
 *
 * gpa_t is a struct, so that it cannot be dereferenced, added or compared by accident. Every range
 * is checked with overflow builtins. The bytes behind a span change under our feet: copy a header
 * once (gmem_copy_in), judge and use the copy. Payload (file data) may be read or written in place.
 * Thread: the region table is set before the device threads start, or while queues are stopped.
 */
#ifndef VIRTIO_GMEM_H
#define VIRTIO_GMEM_H
#include "base/own.h"
#include <stdint.h>
#include <stddef.h>
#include <string.h>
#include <stdbool.h>

#define GMEM_REGIONS 16

typedef struct {
	uint64_t at;
} gpa_t;

struct gmem_region {
	uint64_t gpa; /* guest-physical start */
	uint64_t size; /* bytes */
	uint64_t user; /* the front-end's address of it (vhost-user ring addresses); else = gpa */
	uint8_t *host; /* our mapping of its start */
	void *map; /* what munmap() gets; NULL: borrowed memory */
	size_t map_size;
};

struct gmem {
	struct gmem_region region[GMEM_REGIONS];
	unsigned n;
};

void gmem_init(struct gmem *m);
void gmem_fini(struct gmem *m); /* unmaps; may be called again */
/* gmem_add() - take over a region. -EINVAL: empty, overflows, or overlaps another in guest-physical
 * or user addresses; -ENOSPC: table full. On failure nothing is taken.
 */
int gmem_add(struct gmem *m, const struct gmem_region *r) MUST_USE;
/* gmem_map() - map @size bytes of @fd (borrowed) from @offset, shared, and add them
 * The file can never shrink under the mapping (a later SIGBUS is refused here): it must be long
 * enough now and be, or let itself be, sealed against shrinking. -EINVAL: too short, misaligned
 * offset; -EPERM: not a file that can be sealed; or what mmap() says.
 */
int gmem_map(struct gmem *m, uint64_t gpa, uint64_t size, uint64_t user, int fd,
	uint64_t offset) MUST_USE;
/* gmem_span() - @len bytes at @at as host bytes, NULL when not wholly within one region */
void *gmem_span(const struct gmem *m, gpa_t at, uint64_t len);
/* gmem_span_some() - as many of the @len (> 0) bytes at @at as lie in one region; NULL: none.
 * Regions that meet in guest-physical addresses need not meet in ours.
 */
void *gmem_span_some(const struct gmem *m, gpa_t at, uint64_t len, uint64_t *ret_len);
/* gmem_user_span() - as gmem_span() for a front-end's user address (vhost-user ring addresses) */
void *gmem_user_span(const struct gmem *m, uint64_t user, uint64_t len);
/* gmem_read()/gmem_write() - copy; false when out of bounds (nothing is copied then) */
bool gmem_read(const struct gmem *m, gpa_t at, void *dst, size_t len) MUST_USE;
bool gmem_write(const struct gmem *m, gpa_t at, const void *src, size_t len) MUST_USE;

/* gmem_copy_in() - the private copy of guest bytes. After it the compiler cannot go back to the
 * source, however the copy is used.
 */
static inline void gmem_copy_in(void *dst, const void *src, size_t len)
{
	memcpy(dst, src, len);
	__asm__ volatile("" : : : "memory");
}
#endif
