/* erofs.h - writer of a read-only file system image: EROFS, uncompressed, written once from front to back
 *
 * Files are given in the order they come, each exactly once, and get the number (nid) by which
 * directories name them; directories come last, when everything in them has its number. A file's whole
 * blocks lie in a row; its last bytes lie behind its inode, in one block with it, if they fit.
 * Memory: two buffers, whatever the image's size. Integers are little-endian, as the format wants.
 * Spec: Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h of Linux 5.15.
 * Thread: any, one writer per thread. Errors: negative errno of pwrite(), -EFBIG above the limit.
 */
#ifndef IMAGE_EROFS_H
#define IMAGE_EROFS_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EROFS_BLOCK	     4096U
#define EROFS_NAME_MAX	     255U
#define EROFS_CAPABILITY_MAX 24U /* bytes of security.capability, version 3 */
#define EROFS_SMALL_MAX	     (EROFS_BLOCK - 128U) /* bytes that always fit behind an inode */

struct erofs_inode {
	uint32_t mode; /* with the type, as st_mode */
	uint32_t uid, gid;
	uint32_t nlink;
	int64_t mtime; /* seconds since 1970 */
	uint64_t size;
	uint8_t capability[EROFS_CAPABILITY_MAX]; /* security.capability */
	uint8_t capability_len; /* 0: none */
};

struct erofs; /* the writer */

/* erofs_new() - an image into @fd (borrowed, a regular file or memfd, from offset 0), at most @max_bytes */
int erofs_new(int fd, uint64_t max_bytes, struct erofs **ret_w) MUST_USE;
void erofs_free(struct erofs *w); /* NULL is fine; the file is left as it is */

/* A regular file: begin, then exactly inode.size bytes in any pieces (assert), then end. */
int erofs_file_begin(struct erofs *w, const struct erofs_inode *in) MUST_USE;
int erofs_file_data(struct erofs *w, const void *p, size_t len) MUST_USE;
int erofs_file_end(struct erofs *w, uint64_t *ret_nid) MUST_USE;
/* erofs_small() - symlink (its target), FIFO, socket (nothing); @len at most EROFS_SMALL_MAX */
int erofs_small(struct erofs *w, const struct erofs_inode *in, const void *p, size_t len,
	uint64_t *ret_nid) MUST_USE;
/* erofs_set_nlink() - of a file that is written already */
int erofs_set_nlink(struct erofs *w, uint64_t nid, uint32_t nlink) MUST_USE;

/* Directories. First each is measured: erofs_dir_size() over its entries in order gives the bytes that
 * erofs_dir_place() reserves a number for, the root first. Then, in the same order, erofs_dir_write().
 */
struct erofs_dirent {
	uint64_t nid;
	const char *name; /* not terminated */
	uint16_t len; /* 1..EROFS_NAME_MAX */
	uint8_t type; /* DT_* of dirent.h */
};
/* erofs_dir_grow() - @size of the entries so far, plus a name of @len bytes */
uint64_t erofs_dir_grow(uint64_t size, size_t len);
int erofs_dir_place(struct erofs *w, uint64_t size, uint64_t *ret_nid) MUST_USE;
/* @entry: "." and ".." included, sorted by unsigned bytes; @nid as erofs_dir_place() gave it (assert) */
int erofs_dir_write(struct erofs *w, const struct erofs_inode *in, const struct erofs_dirent *entry,
	size_t n, uint64_t nid) MUST_USE;

/* erofs_end() - superblock and length; @inodes in all; *ret_bytes: of the image */
int erofs_end(struct erofs *w, uint64_t inodes, uint64_t *ret_bytes) MUST_USE;
#endif
