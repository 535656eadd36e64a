/* fs_server.c - the front door of the file server: copy the request once, check it, find its step */
#include "virtio/fs_int.h"
#include "base/clock.h"
#include <errno.h>
#include <limits.h>
#include <string.h>

#define INODES_DEFAULT 1500000u
#define MINOR_MIN      31
#define FDS_MIN	       64

#define INIT_FLAGS                                                                                 \
	(FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | FUSE_ATOMIC_O_TRUNC |             \
		FUSE_BIG_WRITES | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS |                     \
		FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES |   \
		FUSE_HANDLE_KILLPRIV_V2)

/* -- parsing and replying */

const void *fs_arg(struct fs_req *r, size_t len)
{
	const void *p = r->arg + r->pos;

	if (len > r->arg_len - r->pos)
		return NULL;
	r->pos += len;
	return p;
}

int fs_arg_text(struct fs_req *r, size_t max, const char **ret_text)
{
	const char *p = (const char *)r->arg + r->pos;
	size_t left = r->arg_len - r->pos, len = strnlen(p, left);

	if (len == left) /* not terminated */
		return -EINVAL;
	if (len > max)
		return -ENAMETOOLONG;
	r->pos += len + 1;
	*ret_text = p;
	return 0;
}

int fs_arg_name(struct fs_req *r, const char **ret_name)
{
	const char *name;
	int e = fs_arg_text(r, NAME_MAX, &name);

	if (e < 0)
		return e;
	if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		strchr(name, '/')) {
		r->s->faults++;
		return -EINVAL;
	}
	*ret_name = name;
	return 0;
}

int fs_arg_end(const struct fs_req *r)
{
	return r->pos == r->arg_len ? 0 : -EINVAL;
}

void fs_reply(struct fs_req *r, const void *p, size_t len)
{
	memcpy(r->s->reply, p, len);
	r->reply_len = len;
}

/* -- the session */

static int op_init(struct fs_req *r)
{
	const size_t fixed = 16; /* major to flags; later minors send more */
	const struct fuse_init_in *in = fs_arg(r, fixed);
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
	};

	if (!in || in->major < FUSE_KERNEL_VERSION)
		return -EPROTO;
	if (in->major > FUSE_KERNEL_VERSION) { /* it is to ask again with our major */
		fs_reply(r, &out, sizeof(out));
		return 0;
	}
	if (in->minor < MINOR_MIN)
		return -EPROTO;
	fs_lock_finish_all(r->s, -EAGAIN);
	fs_server_reset(r->s);
	r->s->own_uid = geteuid();
	r->s->inited = true;
	if (in->minor < out.minor)
		out.minor = in->minor;
	out.flags = in->flags & INIT_FLAGS;
	out.max_readahead = in->max_readahead;
	out.max_background = 64;
	out.congestion_threshold = 48;
	out.max_write = FS_MAX_WRITE;
	out.max_pages = FS_MAX_WRITE / 4096;
	out.time_gran = 1;
	fs_reply(r, &out, sizeof(out));
	return 0;
}

static int op_destroy(struct fs_req *r)
{
	fs_lock_finish_all(r->s, -EAGAIN);
	fs_server_reset(r->s);
	return 0;
}

static void forget(struct fs_server *s, uint64_t nodeid, uint64_t n)
{
	struct fs_inode *i = nodeid == FUSE_ROOT_ID ? NULL : fs_inode_get(s, nodeid);

	if (i)
		fs_inode_forget(s, i, n);
}

static int op_forget(struct fs_req *r)
{
	const struct fuse_forget_in *in = fs_arg(r, sizeof(*in));

	if (!in)
		return -EINVAL;
	forget(r->s, r->h.nodeid, in->nlookup);
	return 0;
}

static int op_batch_forget(struct fs_req *r)
{
	const struct fuse_batch_forget_in *in = fs_arg(r, sizeof(*in));

	for (uint32_t k = 0; in && k < in->count; k++) {
		const struct fuse_forget_one *one = fs_arg(r, sizeof(*one));

		if (!one)
			return -EINVAL;
		forget(r->s, one->nodeid, one->nlookup);
	}
	return in ? 0 : -EINVAL;
}

static int op_interrupt(struct fs_req *r)
{
	const struct fuse_interrupt_in *in = fs_arg(r, sizeof(*in));

	if (!in)
		return -EINVAL;
	(void)fs_lock_interrupt(r->s, in->unique); /* anything else is done or will be soon */
	return 0;
}

/* No file here is a terminal or has flags; ENOSYS would reach the guest's programs as it is. */
static int op_ioctl(struct fs_req *r)
{
	(void)r;
	return -ENOTTY;
}

/* -- dispatch */

struct step {
	fs_op op; /* NULL: ENOSYS */
	bool silent; /* has no reply */
	uint32_t reply; /* bytes there must be room for, behind the header */
};

#define ENTRY sizeof(struct fuse_entry_out)
#define ATTR  sizeof(struct fuse_attr_out)

static const struct step steps[] = {
	[FUSE_LOOKUP] = {fs_op_lookup, false, ENTRY},
	[FUSE_FORGET] = {op_forget, true, 0},
	[FUSE_GETATTR] = {fs_op_getattr, false, ATTR},
	[FUSE_SETATTR] = {fs_op_setattr, false, ATTR},
	[FUSE_READLINK] = {fs_op_readlink, false, 1},
	[FUSE_SYMLINK] = {fs_op_symlink, false, ENTRY},
	[FUSE_MKNOD] = {fs_op_mknod, false, ENTRY},
	[FUSE_MKDIR] = {fs_op_mkdir, false, ENTRY},
	[FUSE_UNLINK] = {fs_op_unlink, false, 0},
	[FUSE_RMDIR] = {fs_op_rmdir, false, 0},
	[FUSE_RENAME] = {fs_op_rename, false, 0},
	[FUSE_LINK] = {fs_op_link, false, ENTRY},
	[FUSE_OPEN] = {fs_op_open, false, sizeof(struct fuse_open_out)},
	[FUSE_READ] = {fs_op_read, false, 0},
	[FUSE_WRITE] = {fs_op_write, false, sizeof(struct fuse_write_out)},
	[FUSE_STATFS] = {fs_op_statfs, false, sizeof(struct fuse_statfs_out)},
	[FUSE_RELEASE] = {fs_op_release, false, 0},
	[FUSE_FSYNC] = {fs_op_fsync, false, 0},
	[FUSE_SETXATTR] = {fs_op_setxattr, false, 0},
	[FUSE_GETXATTR] = {fs_op_getxattr, false, 0},
	[FUSE_LISTXATTR] = {fs_op_listxattr, false, 0},
	[FUSE_REMOVEXATTR] = {fs_op_removexattr, false, 0},
	[FUSE_FLUSH] = {fs_op_flush, false, 0},
	[FUSE_INIT] = {op_init, false, sizeof(struct fuse_init_out)},
	[FUSE_OPENDIR] = {fs_op_opendir, false, sizeof(struct fuse_open_out)},
	[FUSE_READDIR] = {fs_op_readdir, false, 0},
	[FUSE_RELEASEDIR] = {fs_op_releasedir, false, 0},
	[FUSE_FSYNCDIR] = {fs_op_fsyncdir, false, 0},
	[FUSE_GETLK] = {fs_op_getlk, false, sizeof(struct fuse_lk_out)},
	[FUSE_SETLK] = {fs_op_setlk, false, 0},
	[FUSE_SETLKW] = {fs_op_setlkw, false, 0},
	[FUSE_ACCESS] = {fs_op_access, false, 0},
	[FUSE_CREATE] = {fs_op_create, false, ENTRY + sizeof(struct fuse_open_out)},
	[FUSE_INTERRUPT] = {op_interrupt, true, 0},
	[FUSE_DESTROY] = {op_destroy, false, 0},
	[FUSE_IOCTL] = {op_ioctl, false, 0},
	[FUSE_BATCH_FORGET] = {op_batch_forget, true, 0},
	[FUSE_FALLOCATE] = {fs_op_fallocate, false, 0},
	[FUSE_READDIRPLUS] = {fs_op_readdirplus, false, 0},
	[FUSE_RENAME2] = {fs_op_rename2, false, 0},
	[FUSE_LSEEK] = {fs_op_lseek, false, sizeof(struct fuse_lseek_out)},
	[FUSE_COPY_FILE_RANGE] = {fs_op_copy_file_range, false, sizeof(struct fuse_write_out)},
	[FUSE_TMPFILE] = {fs_op_tmpfile, false, ENTRY + sizeof(struct fuse_open_out)},
};

/* Copy and check what all requests have in common; the step, or NULL with *ret_error. */
static const struct step *receive(struct fs_req *r, int *ret_error)
{
	const struct vchain *c = r->c;
	const size_t head = sizeof(r->h);
	const struct step *step;
	size_t copy;

	*ret_error = -EINVAL;
	if (vchain_read(c, 0, &r->h, head) != head || r->h.len != c->in_bytes)
		return NULL;
	*ret_error = -ENOSYS;
	if (r->h.opcode >= ARRAY_LEN(steps) || !steps[r->h.opcode].op)
		return NULL;
	step = &steps[r->h.opcode];
	*ret_error = -EINVAL;
	copy = c->in_bytes - head;
	if (r->h.opcode == FUSE_WRITE && copy > sizeof(struct fuse_write_in))
		copy = sizeof(struct fuse_write_in); /* the rest goes from the spans to the file */
	if (copy > FS_ARGS_MAX)
		return NULL;
	r->arg_len = vchain_read(c, head, r->s->args, copy);
	if (r->arg_len != copy)
		return NULL;
	if (!step->silent &&
		(c->out_bytes < sizeof(struct fuse_out_header) || r->room < step->reply))
		return NULL;
	*ret_error = -EIO;
	return r->s->inited || r->h.opcode == FUSE_INIT ? step : NULL;
}

/* Of a masked object the guest may know that it is there, and let go of it. */
static bool masked(const struct fs_req *r)
{
	const struct fs_inode *i;

	if (!r->s->masks)
		return false;
	switch (r->h.opcode) {
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
	case FUSE_GETATTR:
	case FUSE_STATFS:
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		return false;
	default:
		i = fs_inode_peek(r->s, r->h.nodeid);
		return i && i->masked;
	}
}

static uint32_t respond(struct fs_req *r, int error)
{
	struct fuse_out_header h = {.unique = r->h.unique, .error = error};
	size_t data = error ? 0 : r->reply_len;

	if (r->c->out_bytes < sizeof(h))
		return 0;
	if (data > r->room) { /* the guest gave less room than it asked for */
		r->s->faults++;
		h.error = -EIO;
		data = 0;
	}
	h.len = (uint32_t)(sizeof(h) + data);
	if (vchain_write(r->c, 0, &h, sizeof(h)) != sizeof(h))
		return 0;
	if (data && !r->direct && vchain_write(r->c, sizeof(h), r->s->reply, data) != data)
		return 0;
	return h.len;
}

enum fs_result fs_server_handle(
	struct fs_server *s, const struct vchain *c, bool may_wait, uint32_t *ret_written)
{
	struct fs_req r = {.s = s, .c = c, .arg = s->args, .may_wait = may_wait && s->done};
	const struct step *step;
	int e;

	s->requests++;
	s->now_ms = clock_ms();
	if (c->out_bytes > sizeof(struct fuse_out_header))
		r.room = (size_t)(c->out_bytes - sizeof(struct fuse_out_header));
	step = receive(&r, &e);
	if (step)
		e = masked(&r) ? -EACCES : step->op(&r);
	if (e == -EINVAL || e == -EPROTO)
		s->faults++;
	*ret_written = 0;
	if (!r.waiting && !(step && step->silent))
		*ret_written = respond(&r, e);
	if (s->unlocked)
		fs_lock_retry(s);
	return r.waiting ? FS_WAITING : FS_DONE;
}

/* -- life */

int fs_server_new(const struct fs_config *c, struct fs_server **ret_server)
{
	struct fs_server *s;
	int r;

	if (c->n_exports > FS_EXPORTS_MAX || c->max_fds < FDS_MIN ||
		c->max_fds > 1u << FS_HANDLE_BITS || c->proc_fd < 0 ||
		c->max_inodes > (1u << FS_SLOT_BITS) - FS_INODE_CHUNK)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->cfg = *c;
	if (!s->cfg.max_inodes)
		s->cfg.max_inodes = INODES_DEFAULT;
	for (unsigned k = 0; k < FS_LOCKS_MAX; k++)
		s->locks[k].fd = -1;
	r = fs_watch_init(s);
	if (r == 0)
		r = fs_mask_init(s);
	if (r == 0)
		r = fs_table_init(s);
	if (r == 0)
		r = fs_mask_scan(s);
	if (r < 0) {
		fs_server_free(s);
		return r;
	}
	*ret_server = s;
	return 0;
}

void fs_server_free(struct fs_server *s)
{
	if (!s)
		return;
	fs_lock_clear(s);
	fs_table_fini(s);
	fs_watch_fini(s);
	fs_mask_fini(s);
	free(s);
}

void fs_server_on_done(struct fs_server *s, fs_done_fn fn, void *ctx)
{
	s->done = fn;
	s->done_ctx = ctx;
}

unsigned fs_server_retry(struct fs_server *s)
{
	s->now_ms = clock_ms();
	fs_lock_retry(s);
	return s->n_waits;
}

void fs_server_end_waiting(struct fs_server *s)
{
	fs_lock_finish_all(s, -EAGAIN);
}

void fs_server_reset(struct fs_server *s)
{
	fs_lock_clear(s);
	fs_table_clear(s);
	s->inited = false;
}

void fs_server_stats(const struct fs_server *s, struct fs_stats *ret_stats)
{
	*ret_stats = (struct fs_stats){
		.requests = s->requests,
		.faults = s->faults,
		.moved_out = s->moved_out,
		.linked_writes = s->linked_writes,
		.no_space = s->no_space,
		.inodes = s->n_inodes,
		.handles = s->n_handles,
		.locks = s->n_locks,
		.fds = s->fds,
		.waiting = s->n_waits,
	};
}
