/* erofs_read.h - reader of an image that erofs.h wrote: uncompressed EROFS, one file system block at a time
 *
 * The image is not trusted: everything is bounds-checked, nothing is followed that leads out of it. What erofs.h never
 * writes (short inodes, compression, shared attributes) is -EBADMSG. Memory: none but the caller's.
 * Thread: any, one reader may serve several. Errors: -EBADMSG, or negative errno of pread().
 */
#ifndef IMAGE_EROFS_READ_H
#define IMAGE_EROFS_READ_H
#include "image/erofs.h"

struct erofs_reader {
	int fd; /* borrowed */
	uint64_t bytes; /* of the image */
	uint64_t root; /* nid */
};

struct erofs_node {
	struct erofs_inode in;
	uint64_t start; /* byte of the whole blocks */
	uint64_t whole; /* bytes there; what is more lies at tail */
	uint64_t tail;
};

int erofs_read_open(int fd, struct erofs_reader *ret) MUST_USE;
int erofs_read_node(const struct erofs_reader *r, uint64_t nid, struct erofs_node *ret) MUST_USE;
/* erofs_read_data() - exactly @len bytes of the file from @at (beyond its end: -EBADMSG) */
int erofs_read_data(const struct erofs_reader *r, const struct erofs_node *n, uint64_t at,
	void *dst, size_t len) MUST_USE;

/* One block of a directory: entries in place, each checked. */
struct erofs_block {
	uint8_t bytes[EROFS_BLOCK];
	size_t len; /* of the block */
	size_t count, next;
};
/* erofs_read_block() - the block at @at of directory @n, a multiple of EROFS_BLOCK below its size */
int erofs_read_block(const struct erofs_reader *r, const struct erofs_node *n, uint64_t at,
	struct erofs_block *ret) MUST_USE;
/* erofs_next() - 1 with an entry that lives as long as @b, 0 at the end, -EBADMSG */
int erofs_next(struct erofs_block *b, struct erofs_dirent *ret) MUST_USE;
#endif
