/* fs_int.h - what the steps of the file server share; included by fs_*.c only
 *
 * fs_server.c dispatch, fs_inode.c objects and handles, fs_place.c the way to a descriptor,
 * fs_attr.c, fs_dir.c, fs_io.c, fs_name.c, fs_xattr.c, fs_lock.c one family of requests each;
 * fs_space.c the host's disk, fs_watch.c which changes are told of.
 */
#ifndef VIRTIO_FS_INT_H
#define VIRTIO_FS_INT_H
#include "virtio/fs_pattern.h"
#include "virtio/fs_server.h"
#include <linux/fuse.h>
#include <sys/stat.h>

#define FS_ARGS_MAX	(72u << 10) /* copied part of a request: SETXATTR with 64 KiB is the longest */
#define FS_REPLY_MAX	(68u << 10) /* what is not file data */
#define FS_DIRBUF_BYTES (32u << 10)
#define FS_NOBODY	65534
#define FS_FDS_SPARE	32 /* descriptors that handles leave to directories */
#define FS_LOCKS_MAX	1024
#define FS_WAIT_MAX	64
#define FS_WAIT_IOV	16 /* a reply header of 16 bytes cannot be spread over more */
#define FS_INODE_CHUNK	256
#define FS_SLOT_BITS	24
#define FS_HANDLE_BITS	20
#define FS_SPACE_MS	100
#define FS_SPACE_STEP	(64u << 20)
#define FS_XATTR_PREFIX "user."

struct fs_handle;

/* One object the guest holds, or an ancestor of one. */
struct fs_inode {
	uint64_t nodeid;
	uint64_t dev, ino, btime_ns;
	uint64_t nlookup;
	uint64_t seen_ctime_ns; /* files: the version whose pages the guest may keep; 0: none */
	struct fs_inode *parent; /* where it was last seen; NULL: root of an export, or nameless */
	char *name; /* owned */
	struct fs_inode *hash_next; /* also the free list */
	struct fs_inode *lru_prev, *lru_next; /* directories that hold a descriptor */
	struct fs_inode *below; /* scratch of fs_dir_fd() */
	struct fs_handle *handles;
	int64_t checked_ms; /* last proof that it is beneath the export */
	int fd; /* directories: O_PATH or -1; roots: borrowed */
	uint32_t kids; /* objects whose parent this is */
	uint32_t slot;
	uint16_t type; /* S_IFREG, S_IFDIR or S_IFLNK */
	uint8_t export;
	bool root, hashed;
	bool masked; /* what it holds is not served */
	bool shared; /* was open for reading and writing: attributes are never cached */
};

struct fs_handle {
	uint64_t fh; /* 0: free */
	struct fs_inode *inode; /* NULL: the made-up directory */
	struct fs_handle *next; /* of the same object; also the free list */
	int fd;
	bool dir, writable;
	bool linked; /* the file had further names when it was opened for writing */
	int64_t tell_ms; /* when a write through it is told of next */
};

struct fs_lock {
	struct fs_inode *inode; /* NULL: free; lives while it has a handle or is looked up */
	uint64_t nodeid, owner;
	int fd;
};

struct fs_wait {
	bool used;
	uint16_t head;
	uint64_t nodeid, unique;
	struct fuse_lk_in lk;
	unsigned n_iov;
	struct iovec iov[FS_WAIT_IOV];
};

/* What may still be taken of an export's file system before it is asked again. */
struct fs_space {
	int64_t asked_ms;
	uint64_t left;
	bool few_inodes;
};

struct fs_dirbuf {
	struct fs_handle *owner; /* who filled it; NULL: nobody */
	uint64_t next_off; /* the cookie that continues at pos */
	size_t pos, len;
	_Alignas(8) char data[FS_DIRBUF_BYTES];
};

struct fs_server {
	struct fs_config cfg;
	uint64_t mnt_id[FS_EXPORTS_MAX];
	uint32_t owner_uid[FS_EXPORTS_MAX];
	uint64_t root_dev[FS_EXPORTS_MAX]; /* distinct devices, for inode numbers */
	unsigned n_devs;
	uint32_t own_uid;
	bool inited;
	int64_t now_ms;

	struct fs_inode **chunks;
	uint32_t n_chunks, cap_chunks, n_inodes;
	struct fs_inode *free_inodes;
	struct fs_inode **buckets;
	uint32_t n_buckets; /* power of two */
	struct fs_inode *roots[FS_EXPORTS_MAX];
	struct fs_inode *lru_first, *lru_last; /* most recently used first */
	uint64_t seq;

	struct fs_handle *handles;
	struct fs_handle *free_handles;
	uint32_t n_handles;
	uint32_t fds; /* kept: cached directories, handles, locks */

	struct fs_lock locks[FS_LOCKS_MAX];
	uint32_t n_locks;
	struct fs_wait waits[FS_WAIT_MAX];
	uint32_t n_waits;
	bool unlocked; /* this request released a lock */
	fs_done_fn done;
	void *done_ctx;

	uint64_t requests, faults, moved_out, linked_writes, no_space;
	struct fs_space space[FS_EXPORTS_MAX];
	struct fs_masks *masks; /* NULL: none */
	struct fs_watch *watch; /* NULL: nobody is told */
	struct fs_dirbuf dirbuf;
	struct iovec iov[VQUEUE_SIZE_MAX];
	_Alignas(8) uint8_t args[FS_ARGS_MAX];
	_Alignas(8) uint8_t reply[FS_REPLY_MAX];
};

/* One request. Everything but file data was copied into s->args before it is looked at. */
struct fs_req {
	struct fs_server *s;
	const struct vchain *c;
	struct fuse_in_header h;
	const uint8_t *arg; /* behind the header */
	size_t arg_len, pos; /* of the copied part */
	size_t room; /* writable bytes behind the reply header */
	size_t reply_len; /* of s->reply, or of data that is in the spans already (direct) */
	bool direct;
	bool may_wait;
	bool waiting; /* took the chain: no reply now */
};

typedef int (*fs_op)(struct fs_req *r); /* 0 or negative errno */

/* -- requests: fs_server.c */
/* fs_arg() - the next fixed structure; NULL when the request is too short */
const void *fs_arg(struct fs_req *r, size_t len) MUST_USE;
/* fs_arg_text() - the next string, terminated within the request, at most @max bytes long */
int fs_arg_text(struct fs_req *r, size_t max, const char **ret_text) MUST_USE;
/* fs_arg_name() - a string that is one component: no '/', not "", ".", ".." */
int fs_arg_name(struct fs_req *r, const char **ret_name) MUST_USE;
int fs_arg_end(const struct fs_req *r) MUST_USE; /* -EINVAL when bytes are left */
void fs_reply(struct fs_req *r, const void *p, size_t len);

/* -- objects and handles: fs_inode.c */
int fs_table_init(struct fs_server *s) MUST_USE;
void fs_table_clear(struct fs_server *s); /* all but the roots */
void fs_table_fini(struct fs_server *s);
/* fs_inode_peek() - an object the guest holds, or NULL; fs_inode_get() - the same, NULL is counted
 * as a fault
 */
struct fs_inode *fs_inode_peek(const struct fs_server *s, uint64_t nodeid);
/* fs_inode_get() - an object the guest holds; NULL (counted) when it holds no such */
struct fs_inode *fs_inode_get(struct fs_server *s, uint64_t nodeid);
struct fs_inode *fs_inode_find(struct fs_server *s, unsigned export, const struct statx *st);
/* fs_inode_enter() - the object @st, seen as @name in @parent (NULL: nameless), held once more */
int fs_inode_enter(struct fs_server *s, struct fs_inode *parent, unsigned export, const char *name,
	const struct statx *st, struct fs_inode **ret_inode) MUST_USE;
bool fs_inode_is(const struct fs_inode *i, const struct statx *st);
/* fs_inode_place() - it is @name in @parent from now on; fs_inode_unplace(): it has no name */
int fs_inode_place(struct fs_server *s, struct fs_inode *i, struct fs_inode *parent,
	const char *name) MUST_USE;
void fs_inode_unplace(struct fs_server *s, struct fs_inode *i);
void fs_inode_forget(struct fs_server *s, struct fs_inode *i, uint64_t n);
void fs_inode_reap(struct fs_server *s, struct fs_inode *i); /* free it if nothing holds it */
/* fs_handle_room() - asked before anything is opened: a refusal costs nothing */
bool fs_handle_room(const struct fs_server *s);
/* fs_handle_new() - takes @fd when it succeeds */
int fs_handle_new(struct fs_server *s, struct fs_inode *i, int fd, bool dir, bool writable,
	struct fs_handle **ret_handle) MUST_USE;
struct fs_handle *fs_handle_get(struct fs_server *s, uint64_t fh, uint64_t nodeid, bool dir);
void fs_handle_free(struct fs_server *s, struct fs_handle *h);
/* fs_fd_reserve() - make room for one more descriptor that is kept; -ENFILE */
int fs_fd_reserve(struct fs_server *s) MUST_USE;
void fs_dir_cache(struct fs_server *s, struct fs_inode *i, int fd);
void fs_dir_touch(struct fs_server *s, struct fs_inode *i);
void fs_dir_drop(struct fs_server *s, struct fs_inode *i);

/* -- the way to a descriptor: fs_place.c */
bool fs_type_ok(unsigned mode); /* regular file, directory or symbolic link */
int fs_stat_fd(int fd, struct statx *ret_st) MUST_USE;
/* fs_stat_at() - what @name in @dirfd is, never followed; -EXDEV for a mount point */
int fs_stat_at(struct fs_server *s, unsigned export, int dirfd, const char *name,
	struct statx *ret_st) MUST_USE;
/* fs_open_at() - openat2() beneath @dirfd, one component, no links, no other mount */
int fs_open_at(struct fs_server *s, int dirfd, const char *name, int flags, mode_t mode) MUST_USE;
/* fs_dir_fd() - the directory's descriptor, proven beneath its export; borrowed until the next
 * fs_* call that may open something
 */
int fs_dir_fd(struct fs_server *s, struct fs_inode *i, int *ret_fd) MUST_USE;
/* fs_inode_open() - a new descriptor of @i itself; -ESTALE when its name leads elsewhere now */
int fs_inode_open(struct fs_server *s, struct fs_inode *i, int flags) MUST_USE;
/* fs_inode_pin() - any descriptor of @i for metadata; *ret_own is to be closed when >= 0 */
int fs_inode_pin(struct fs_server *s, struct fs_inode *i, int *ret_fd, int *ret_own) MUST_USE;
int fs_inode_stat(struct fs_server *s, struct fs_inode *i, struct statx *ret_st) MUST_USE;
/* fs_proc_open() - open anew what @fd is */
int fs_proc_open(struct fs_server *s, int fd, int flags) MUST_USE;
int fs_proc_chmod(struct fs_server *s, int fd, mode_t mode) MUST_USE;
void fs_proc_name(int fd, char dst[16]);

/* -- attributes: fs_attr.c */
uint64_t fs_ino(struct fs_server *s, uint64_t dev, uint64_t ino);
uint64_t fs_time_ns(const struct statx_timestamp *t);
void fs_attr_fill(
	struct fs_server *s, unsigned export, const struct statx *st, struct fuse_attr *ret_attr);
void fs_attr_root(struct fs_server *s, struct fuse_attr *ret_attr);
void fs_entry_fill(struct fs_server *s, const struct fs_inode *i, const struct statx *st,
	struct fuse_entry_out *ret_entry);
/* fs_writable() - 0, or why the guest may not change things in @i's export */
int fs_writable(const struct fs_server *s, const struct fs_inode *i) MUST_USE;
/* fs_write_ok() - the same for contents, by link count */
int fs_write_ok(struct fs_server *s, const struct statx *st) MUST_USE;

/* -- names that are masked: fs_mask.c */
int fs_mask_init(struct fs_server *s) MUST_USE;
int fs_mask_scan(struct fs_server *s) MUST_USE; /* when the roots are there */
void fs_mask_fini(struct fs_server *s);
bool fs_mask_name(struct fs_server *s, const struct fs_inode *dir, const char *name);
/* fs_mask_leads() - would renaming @name take something from under a pattern, or put it there? */
bool fs_mask_leads(struct fs_server *s, const struct fs_inode *dir, const char *name);
bool fs_mask_hides(struct fs_server *s, const struct statx *st); /* by identity */
/* fs_mask_see() - @i was found to be @st, in its place: is it masked from now on? */
void fs_mask_see(struct fs_server *s, struct fs_inode *i, const struct statx *st);
void fs_mask_attr(struct fuse_attr *a); /* leave what may show */

/* -- the host's disk is not to be filled: fs_space.c. -ENOSPC, counted */
uint64_t fs_space_reserve(const struct fs_server *s, uint64_t total);
int fs_space_take(struct fs_server *s, unsigned export, uint64_t bytes) MUST_USE;
int fs_space_new(struct fs_server *s, unsigned export) MUST_USE; /* one more name or object */
/* fs_space_write() - as fs_space_take(), but what is only written over may pass */
int fs_space_write(
	struct fs_server *s, const struct fs_handle *h, uint64_t offset, uint64_t bytes) MUST_USE;

/* -- names that the host's tools obey: fs_watch.c. A change that was made is told of. */
int fs_watch_init(struct fs_server *s) MUST_USE;
void fs_watch_fini(struct fs_server *s);
/* fs_trail_parts() - the path of @name in @i (NULL: of @i itself), last component first; what is
 * above the share comes behind *ret_inside. 0: it has no path.
 */
size_t fs_trail_parts(const struct fs_server *s, const struct fs_inode *i, const char *name,
	struct fs_part *part, size_t cap, size_t *ret_inside);
void fs_watch_name(
	struct fs_server *s, const struct fs_inode *dir, const char *name, unsigned change);
void fs_watch_inode(struct fs_server *s, const struct fs_inode *i, unsigned change);
void fs_watch_handle(struct fs_server *s, struct fs_handle *h); /* it was written through */
void fs_watch_moved(struct fs_server *s, const struct fs_inode *from, const char *name,
	const struct fs_inode *to, const char *newname, bool dir);

/* -- locks: fs_lock.c */
void fs_lock_drop_owner(struct fs_server *s, uint64_t nodeid, uint64_t owner);
void fs_lock_drop_inode(struct fs_server *s, const struct fs_inode *i);
void fs_lock_clear(struct fs_server *s);
void fs_lock_retry(struct fs_server *s);
void fs_lock_finish_all(struct fs_server *s, int error);
int fs_lock_interrupt(struct fs_server *s, uint64_t unique);

/* -- requests */
int fs_op_lookup(struct fs_req *r);
int fs_op_getattr(struct fs_req *r);
int fs_op_setattr(struct fs_req *r);
int fs_op_statfs(struct fs_req *r);
int fs_op_access(struct fs_req *r);
int fs_op_readlink(struct fs_req *r);
int fs_op_opendir(struct fs_req *r);
int fs_op_readdir(struct fs_req *r);
int fs_op_readdirplus(struct fs_req *r);
int fs_op_releasedir(struct fs_req *r);
int fs_op_fsyncdir(struct fs_req *r);
int fs_op_open(struct fs_req *r);
int fs_op_read(struct fs_req *r);
int fs_op_write(struct fs_req *r);
int fs_op_release(struct fs_req *r);
int fs_op_flush(struct fs_req *r);
int fs_op_fsync(struct fs_req *r);
int fs_op_fallocate(struct fs_req *r);
int fs_op_lseek(struct fs_req *r);
int fs_op_copy_file_range(struct fs_req *r);
int fs_op_create(struct fs_req *r);
int fs_op_tmpfile(struct fs_req *r);
int fs_op_mknod(struct fs_req *r);
int fs_op_mkdir(struct fs_req *r);
int fs_op_symlink(struct fs_req *r);
int fs_op_link(struct fs_req *r);
int fs_op_unlink(struct fs_req *r);
int fs_op_rmdir(struct fs_req *r);
int fs_op_rename(struct fs_req *r);
int fs_op_rename2(struct fs_req *r);
int fs_op_setxattr(struct fs_req *r);
int fs_op_getxattr(struct fs_req *r);
int fs_op_listxattr(struct fs_req *r);
int fs_op_removexattr(struct fs_req *r);
int fs_op_getlk(struct fs_req *r);
int fs_op_setlk(struct fs_req *r);
int fs_op_setlkw(struct fs_req *r);
#endif
