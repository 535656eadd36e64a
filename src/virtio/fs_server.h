/* fs_server.h - the file server: one FUSE request in, its reply out, nothing outside of the exports touched
 *
 * Speaks FUSE 7.31 and later, as the virtio-fs driver of Linux sends it. Node 1 is a made-up,
 * read-only directory whose entries "0", "1", ... are the exports. Below that, an object is known
 * by the directory it was found in, its name there and its identity (device, inode number, birth
 * time); each use resolves that one name beneath the parent's descriptor and compares the identity,
 * so a name that was swapped gives ESTALE and never another object. Only directories in use and
 * open files hold descriptors.
 *
 * What the guest may see and do, whatever its kernel says:
 * - regular files, directories and symbolic links as objects. Sockets, pipes and device nodes show
 *   up by name in listings; looking one up gives EACCES. Mount points show up too; entering: EXDEV.
 * - an object is reached at most FS_TRUST_MS after it was last proven to be beneath its export,
 *   except through a handle that is open already.
 * - owner: files of our own user, or of the export's owner, are guest_uid:guest_gid, all others 65534.
 *   chown is accepted and does nothing. Modes are cut to 0777 on the way in.
 * - read_only exports: EROFS from here, for every request that would change something.
 * - masked names are listed, with no attributes but their type; anything else about them, or about
 *   another name of the same file: EACCES.
 * - what would take the host's disk below a reserve: ENOSPC; statfs shows what is left above it.
 * - xattr: user.* only. Links and renames between exports: EXDEV.
 * - a regular file with links outside of the export can be written through its name in the export,
 *   unless deny_linked_writes.
 * Coherence: attributes and names are cached for one second in the guest, names that are missing
 * never, contents from open to open; see FS_CACHE_MS. A file that was locked or open for reading and
 * writing has its attributes asked for at each use from then on, so that a database that locks can
 * be used from both sides. Shared writable mappings are not coherent between host and guest.
 *
 * Thread: one. Blocks on host file I/O. Faults of the guest: errno to the guest, counted in
 * fs_stats.faults; never an abort. Does not depend on umask. A file size limit of the process needs
 * SIGXFSZ ignored.
 */
#ifndef VIRTIO_FS_SERVER_H
#define VIRTIO_FS_SERVER_H
#include "virtio/fs_watch.h"
#include "virtio/queue.h"

#define FS_EXPORTS_MAX 64
#define FS_TAIL_MAX    128
#define FS_MASKS_MAX   32
#define FS_TRUST_MS    1000
#define FS_CACHE_MS    1000
#define FS_MAX_WRITE   (1u << 20) /* bytes of one READ or WRITE */

struct fs_server;

struct fs_export {
	int fd; /* O_PATH, borrowed; must stay open */
	bool read_only;
	bool is_file;
	char tail
		[FS_TAIL_MAX]; /* last components of its path on the host, for rules that need them */
};

struct fs_config {
	struct fs_export exports[FS_EXPORTS_MAX];
	size_t n_exports;
	uint32_t guest_uid, guest_gid;
	/* O_PATH|O_DIRECTORY descriptor of /proc/self/fd, opened by this very process; borrowed */
	int proc_fd;
	/* descriptors the server keeps; RLIMIT_NOFILE needs 32 more than all users together. >= 64 */
	uint32_t max_fds;
	uint32_t max_inodes; /* objects the guest may hold; about 200 bytes each; 0: 1,500,000 */
	/* free bytes of an export's file system that the guest cannot take; 0: the larger of 1 GiB and
	 * a 50th of it, and at most a tenth
	 */
	uint64_t reserve_bytes;
	bool deny_linked_writes; /* EPERM for writing to a file that has more than one link */
	/* patterns (fs_pattern.h) of names whose contents are not served; borrowed during
	 * fs_server_new(), which walks the exports for them
	 */
	const char *masks[FS_MASKS_MAX];
	size_t n_masks;
	/* changes to names that the host's tools obey; called while a request is served. NULL: not told */
	fs_changed_fn changed;
	fs_moved_fn moved;
	void *changed_ctx;
};

struct fs_stats {
	uint64_t requests;
	uint64_t faults; /* malformed or forbidden requests */
	uint64_t moved_out; /* held objects that were found to have left their export */
	uint64_t no_space; /* requests refused to keep the host's reserve */
	uint64_t linked_writes; /* files with more than one link that were opened for writing */
	uint32_t inodes, handles, locks, fds, waiting;
};

enum fs_result {
	FS_DONE, /* the reply is in the chain's writable spans */
	FS_WAITING, /* a blocking lock: fs_done_fn follows, and the spans stay in use until then */
};

/* fs_done_fn - a waiting chain has its reply of @written bytes now */
typedef void (*fs_done_fn)(void *ctx, uint16_t head, uint32_t written);

/* fs_server_new() - 0, -EINVAL for a configuration that cannot work, -errno of the host */
int fs_server_new(const struct fs_config *c, struct fs_server **ret_server) MUST_USE;
void fs_server_free(struct fs_server *s); /* NULL is fine */
/* fs_server_on_done() - before the first request; without it, a lock that would block gives EAGAIN */
void fs_server_on_done(struct fs_server *s, fs_done_fn fn, void *ctx);
/* fs_server_handle() - serve the request in @c; *ret_written bytes of it are the reply.
 * @may_wait false: FS_DONE only; a lock that would block gives EAGAIN
 */
enum fs_result fs_server_handle(
	struct fs_server *s, const struct vchain *c, bool may_wait, uint32_t *ret_written) MUST_USE;
/* fs_server_retry() - try the waiting locks again; returns how many still wait */
unsigned fs_server_retry(struct fs_server *s);
/* fs_server_end_waiting() - answer all that wait with EAGAIN: the queue is about to stop */
void fs_server_end_waiting(struct fs_server *s);
/* fs_server_reset() - forget this guest's life: objects, handles, locks; waiting chains get no reply */
void fs_server_reset(struct fs_server *s);
void fs_server_stats(const struct fs_server *s, struct fs_stats *ret_stats);
#endif
