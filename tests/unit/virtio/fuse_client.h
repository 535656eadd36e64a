/* fuse_client.h - a FUSE client in memory: builds requests as a guest's kernel would, and wrong ones
 *
 * Drives a file server directly by chains. Functions return 0 or the negative errno of the reply;
 * a reply that breaks the protocol aborts. Not thread-safe.
 */
#ifndef FUSE_CLIENT_H
#define FUSE_CLIENT_H
#include "virtio/fs_server.h"
#include <linux/fuse.h>
#include <sys/types.h>

#define FCL_OUT_MAX (FS_MAX_WRITE + 4096)

struct fuse_client {
	struct fs_server *server;
	struct fs_config cfg;
	struct vchain *chain;
	uint64_t unique;
	uint8_t *in, *out; /* request without payload; reply behind its header */
	size_t out_len;
	unsigned split; /* > 0: spans of at most that many bytes */
	uint8_t late[16]; /* reply of SETLKW, which may come much later */
	bool waiting; /* the last call took its chain; see done */
	unsigned done;
	int done_error;
};

/* fcl_new() - a server on one read-write export of directory @path; fcl_add() before fcl_start() */
void fcl_prepare(struct fuse_client *f);
void fcl_export(struct fuse_client *f, const char *path, bool read_only);
void fcl_start(struct fuse_client *f); /* makes the server and sends INIT */
void fcl_new(struct fuse_client *f, const char *path);
void fcl_free(struct fuse_client *f);

/* fcl_call() - header, @fixed, up to two texts with their NUL, then @data; @room for the reply */
struct fcl_args {
	const void *fixed;
	size_t fixed_len;
	const char *text[2];
	const void *data;
	size_t data_len;
	size_t room;
};
int fcl_call(struct fuse_client *f, uint32_t opcode, uint64_t nodeid, const struct fcl_args *a);
/* fcl_raw() - @len bytes as they are; returns bytes of the reply */
uint32_t fcl_raw(struct fuse_client *f, const void *bytes, size_t len, size_t room);

int fcl_lookup(struct fuse_client *f, uint64_t dir, const char *name, struct fuse_entry_out *ret);
/* fcl_walk() - look up "a/b/c" below export @n; returns the node id, 0 when an error is in *ret_e */
uint64_t fcl_walk(struct fuse_client *f, unsigned n, const char *path, int *ret_e);
void fcl_forget(struct fuse_client *f, uint64_t nodeid, uint64_t n);
int fcl_getattr(struct fuse_client *f, uint64_t nodeid, struct fuse_attr_out *ret);
int fcl_setattr(struct fuse_client *f, uint64_t nodeid, const struct fuse_setattr_in *in);
int fcl_create(struct fuse_client *f, uint64_t dir, const char *name, int flags, unsigned mode,
	struct fuse_entry_out *ret_entry, uint64_t *ret_fh);
int fcl_open(struct fuse_client *f, uint64_t nodeid, int flags, uint64_t *ret_fh,
	uint32_t *ret_open_flags);
ssize_t fcl_read(
	struct fuse_client *f, uint64_t nodeid, uint64_t fh, uint64_t off, void *p, uint32_t len);
ssize_t fcl_write(struct fuse_client *f, uint64_t nodeid, uint64_t fh, uint64_t off, const void *p,
	uint32_t len, uint32_t open_flags, uint32_t write_flags);
int fcl_release(struct fuse_client *f, uint64_t nodeid, uint64_t fh);
int fcl_flush(struct fuse_client *f, uint64_t nodeid, uint64_t fh, uint64_t owner);
int fcl_mkdir(struct fuse_client *f, uint64_t dir, const char *name, unsigned mode,
	struct fuse_entry_out *ret);
int fcl_mknod(struct fuse_client *f, uint64_t dir, const char *name, unsigned mode);
int fcl_symlink(struct fuse_client *f, uint64_t dir, const char *name, const char *target,
	struct fuse_entry_out *ret);
int fcl_readlink(struct fuse_client *f, uint64_t nodeid, char *dst, size_t cap);
int fcl_link(struct fuse_client *f, uint64_t nodeid, uint64_t dir, const char *name);
int fcl_unlink(struct fuse_client *f, uint64_t dir, const char *name);
int fcl_rmdir(struct fuse_client *f, uint64_t dir, const char *name);
int fcl_rename(struct fuse_client *f, uint64_t dir, const char *name, uint64_t newdir,
	const char *newname, unsigned flags);
int fcl_opendir(struct fuse_client *f, uint64_t nodeid, uint64_t *ret_fh);
int fcl_releasedir(struct fuse_client *f, uint64_t nodeid, uint64_t fh);
/* fcl_list() - one READDIR(PLUS) of @room bytes from cookie @off; entries by callback */
typedef void (*fcl_entry_fn)(void *ctx, const struct fuse_dirent *d, const char *name,
	const struct fuse_entry_out *entry);
int fcl_list(struct fuse_client *f, uint64_t nodeid, uint64_t fh, uint64_t off, size_t room,
	bool plus, fcl_entry_fn fn, void *ctx, uint64_t *ret_next, unsigned *ret_n);
int fcl_setxattr(
	struct fuse_client *f, uint64_t nodeid, const char *name, const void *value, size_t len);
ssize_t fcl_getxattr(
	struct fuse_client *f, uint64_t nodeid, const char *name, void *value, size_t cap);
/* fcl_lock() - POSIX, or flock when @flock; @type F_RDLCK, F_WRLCK or F_UNLCK */
int fcl_lock(struct fuse_client *f, uint64_t nodeid, uint64_t fh, uint64_t owner, int type,
	uint64_t start, uint64_t end, bool wait, bool flock);
#endif
