/* fuse_client.c - see fuse_client.h */
#include "fuse_client.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define IN_MAX (80u << 10)
#define HEAD   sizeof(struct fuse_in_header)
#define OUT    sizeof(struct fuse_out_header)

void fcl_prepare(struct fuse_client *f)
{
	*f = (struct fuse_client){.cfg = {
					  .guest_uid = 1000,
					  .guest_gid = 1000,
					  .max_fds = 1024,
				  }};
	f->chain = calloc(1, sizeof(*f->chain));
	f->in = malloc(IN_MAX);
	f->out = malloc(FCL_OUT_MAX);
	assert(f->chain && f->in && f->out);
	f->cfg.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert(f->cfg.proc_fd >= 0);
}

void fcl_export(struct fuse_client *f, const char *path, bool read_only)
{
	struct fs_export *e = &f->cfg.exports[f->cfg.n_exports++];
	struct stat st;

	e->fd = open(path, O_PATH | O_CLOEXEC);
	assert(e->fd >= 0);
	if (fstat(e->fd, &st) < 0)
		abort();
	e->is_file = S_ISREG(st.st_mode);
	e->read_only = read_only;
}

static void on_done(void *ctx, uint16_t head, uint32_t written)
{
	struct fuse_client *f = ctx;
	struct fuse_out_header h;

	(void)head;
	assert(written == OUT);
	memcpy(&h, f->late, OUT);
	f->done++;
	f->done_error = h.error;
}

void fcl_start(struct fuse_client *f)
{
	struct fuse_init_in in = {.major = 7, .minor = 36, .flags = ~0u, .max_readahead = 1u << 17};
	const struct fuse_init_out *out = (const void *)(f->out + OUT);
	int r = fs_server_new(&f->cfg, &f->server);

	assert(r == 0);
	fs_server_on_done(f->server, on_done, f);
	r = fcl_call(f, FUSE_INIT, 0,
		&(struct fcl_args){.fixed = &in, .fixed_len = sizeof(in), .room = sizeof(*out)});
	assert(r == 0 && out->major == 7 && out->max_write == FS_MAX_WRITE);
}

void fcl_new(struct fuse_client *f, const char *path)
{
	fcl_prepare(f);
	fcl_export(f, path, false);
	fcl_start(f);
}

void fcl_free(struct fuse_client *f)
{
	fs_server_free(f->server);
	for (size_t k = 0; k < f->cfg.n_exports; k++)
		close(f->cfg.exports[k].fd);
	close(f->cfg.proc_fd);
	free(f->chain);
	free(f->in);
	free(f->out);
}

static void add_span(struct vchain *c, unsigned *count, const void *p, size_t len, unsigned split)
{
	union {
		const void *from;
		void *to;
	} at = {.from = p};

	while (len) {
		size_t n = split && split < len ? split : len;
		unsigned used = c->n_in + c->n_out;

		if (used >= VQUEUE_SIZE_MAX - 2) /* no room for small pieces: the rest at once */
			n = len;
		c->iov[used] = (struct iovec){at.to, n};
		at.to = (char *)at.to + n;
		len -= n;
		(*count)++;
	}
}

static uint32_t send_chain(struct fuse_client *f, size_t in_len, const void *data, size_t data_len,
	uint8_t *out, size_t room)
{
	struct vchain *c = f->chain;
	uint32_t written;

	c->head = 7;
	c->n_in = c->n_out = 0;
	c->in_bytes = in_len + data_len;
	c->out_bytes = room;
	add_span(c, &c->n_in, f->in, in_len, f->split);
	add_span(c, &c->n_in, data, data_len, 0);
	add_span(c, &c->n_out, out, room, f->split);
	f->waiting = fs_server_handle(f->server, c, true, &written) == FS_WAITING;
	assert(written <= room);
	return written;
}

uint32_t fcl_raw(struct fuse_client *f, const void *bytes, size_t len, size_t room)
{
	size_t copy = len < IN_MAX ? len : IN_MAX;

	memcpy(f->in, bytes, copy);
	return send_chain(f, copy, (const uint8_t *)bytes + copy, len - copy, f->out, room);
}

int fcl_call(struct fuse_client *f, uint32_t opcode, uint64_t nodeid, const struct fcl_args *a)
{
	struct fuse_in_header h = {.opcode = opcode, .nodeid = nodeid, .unique = ++f->unique};
	uint8_t *to = opcode == FUSE_SETLKW ? f->late : f->out;
	struct fuse_out_header out;
	size_t at = HEAD;
	uint32_t written;

	if (a->fixed_len)
		memcpy(f->in + at, a->fixed, a->fixed_len);
	at += a->fixed_len;
	for (unsigned k = 0; k < 2; k++)
		if (a->text[k]) {
			size_t len = strlen(a->text[k]) + 1;

			assert(at + len <= IN_MAX);
			memcpy(f->in + at, a->text[k], len);
			at += len;
		}
	h.len = (uint32_t)(at + a->data_len);
	memcpy(f->in, &h, HEAD);
	written = send_chain(f, at, a->data, a->data_len, to, OUT + a->room);
	f->out_len = 0;
	if (f->waiting)
		return -EINPROGRESS;
	if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT) {
		assert(written == 0);
		return 0;
	}
	memcpy(&out, to, OUT);
	assert(written >= OUT && out.len == written && out.unique == h.unique);
	assert(out.error <= 0 && out.error > -1000 && (!out.error || written == OUT));
	f->out_len = written - OUT;
	return out.error;
}

/* A request whose reply is one structure. */
static int call_for(struct fuse_client *f, uint32_t opcode, uint64_t nodeid, struct fcl_args a,
	void *ret, size_t len)
{
	int r;

	a.room = len;
	r = fcl_call(f, opcode, nodeid, &a);
	if (r == 0) {
		assert(f->out_len == len);
		if (ret)
			memcpy(ret, f->out + OUT, len);
	}
	return r;
}

#define FIXED(x) .fixed = &(x), .fixed_len = sizeof(x)

int fcl_lookup(struct fuse_client *f, uint64_t dir, const char *name, struct fuse_entry_out *ret)
{
	return call_for(f, FUSE_LOOKUP, dir, (struct fcl_args){.text = {name}}, ret, sizeof(*ret));
}

uint64_t fcl_walk(struct fuse_client *f, unsigned n, const char *path, int *ret_e)
{
	char copy[4096], text[16], *save = NULL;
	struct fuse_entry_out e = {0};
	int r;

	(void)snprintf(text, sizeof(text), "%u", n);
	(void)snprintf(copy, sizeof(copy), "%s", path);
	r = fcl_lookup(f, FUSE_ROOT_ID, text, &e);
	for (char *part = strtok_r(copy, "/", &save); part && r == 0;
		part = strtok_r(NULL, "/", &save))
		r = fcl_lookup(f, e.nodeid, part, &e);
	if (ret_e)
		*ret_e = r;
	else
		assert(r == 0);
	return r ? 0 : e.nodeid;
}

void fcl_forget(struct fuse_client *f, uint64_t nodeid, uint64_t n)
{
	struct fuse_forget_in in = {.nlookup = n};

	(void)fcl_call(f, FUSE_FORGET, nodeid, &(struct fcl_args){FIXED(in)});
}

int fcl_getattr(struct fuse_client *f, uint64_t nodeid, struct fuse_attr_out *ret)
{
	struct fuse_getattr_in in = {0};

	return call_for(f, FUSE_GETATTR, nodeid, (struct fcl_args){FIXED(in)}, ret, sizeof(*ret));
}

int fcl_setattr(struct fuse_client *f, uint64_t nodeid, const struct fuse_setattr_in *in)
{
	return call_for(f, FUSE_SETATTR, nodeid, (struct fcl_args){FIXED(*in)}, NULL,
		sizeof(struct fuse_attr_out));
}

int fcl_create(struct fuse_client *f, uint64_t dir, const char *name, int flags, unsigned mode,
	struct fuse_entry_out *ret_entry, uint64_t *ret_fh)
{
	struct fuse_create_in in = {.flags = (uint32_t)flags, .mode = S_IFREG | mode};
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out;
	int r = call_for(f, FUSE_CREATE, dir, (struct fcl_args){FIXED(in), .text = {name}}, &out,
		sizeof(out));

	if (r == 0) {
		if (ret_entry)
			*ret_entry = out.entry;
		*ret_fh = out.open.fh;
	}
	return r;
}

int fcl_open(struct fuse_client *f, uint64_t nodeid, int flags, uint64_t *ret_fh,
	uint32_t *ret_open_flags)
{
	struct fuse_open_in in = {.flags = (uint32_t)flags};
	struct fuse_open_out out;
	int r = call_for(f, FUSE_OPEN, nodeid, (struct fcl_args){FIXED(in)}, &out, sizeof(out));

	if (r == 0) {
		*ret_fh = out.fh;
		if (ret_open_flags)
			*ret_open_flags = out.open_flags;
	}
	return r;
}

ssize_t fcl_read(
	struct fuse_client *f, uint64_t nodeid, uint64_t fh, uint64_t off, void *p, uint32_t len)
{
	struct fuse_read_in in = {.fh = fh, .offset = off, .size = len};
	int r = fcl_call(f, FUSE_READ, nodeid, &(struct fcl_args){FIXED(in), .room = len});

	if (r < 0)
		return r;
	if (p)
		memcpy(p, f->out + OUT, f->out_len);
	return (ssize_t)f->out_len;
}

ssize_t fcl_write(struct fuse_client *f, uint64_t nodeid, uint64_t fh, uint64_t off, const void *p,
	uint32_t len, uint32_t open_flags, uint32_t write_flags)
{
	struct fuse_write_in in = {.fh = fh,
		.offset = off,
		.size = len,
		.flags = open_flags,
		.write_flags = write_flags};
	struct fuse_write_out out;
	int r = call_for(f, FUSE_WRITE, nodeid,
		(struct fcl_args){FIXED(in), .data = p, .data_len = len}, &out, sizeof(out));

	return r < 0 ? r : (ssize_t)out.size;
}

int fcl_release(struct fuse_client *f, uint64_t nodeid, uint64_t fh)
{
	struct fuse_release_in in = {.fh = fh};

	return fcl_call(f, FUSE_RELEASE, nodeid, &(struct fcl_args){FIXED(in)});
}

int fcl_flush(struct fuse_client *f, uint64_t nodeid, uint64_t fh, uint64_t owner)
{
	struct fuse_flush_in in = {.fh = fh, .lock_owner = owner};

	return fcl_call(f, FUSE_FLUSH, nodeid, &(struct fcl_args){FIXED(in)});
}

int fcl_mkdir(struct fuse_client *f, uint64_t dir, const char *name, unsigned mode,
	struct fuse_entry_out *ret)
{
	struct fuse_mkdir_in in = {.mode = mode};

	return call_for(f, FUSE_MKDIR, dir, (struct fcl_args){FIXED(in), .text = {name}}, ret,
		sizeof(*ret));
}

int fcl_mknod(struct fuse_client *f, uint64_t dir, const char *name, unsigned mode)
{
	struct fuse_mknod_in in = {.mode = mode, .rdev = 0x103};

	return call_for(f, FUSE_MKNOD, dir, (struct fcl_args){FIXED(in), .text = {name}}, NULL,
		sizeof(struct fuse_entry_out));
}

int fcl_symlink(struct fuse_client *f, uint64_t dir, const char *name, const char *target,
	struct fuse_entry_out *ret)
{
	return call_for(
		f, FUSE_SYMLINK, dir, (struct fcl_args){.text = {name, target}}, ret, sizeof(*ret));
}

int fcl_readlink(struct fuse_client *f, uint64_t nodeid, char *dst, size_t cap)
{
	int r = fcl_call(f, FUSE_READLINK, nodeid, &(struct fcl_args){.room = 4096});

	if (r == 0) {
		assert(f->out_len < cap);
		memcpy(dst, f->out + OUT, f->out_len);
		dst[f->out_len] = '\0';
	}
	return r;
}

int fcl_link(struct fuse_client *f, uint64_t nodeid, uint64_t dir, const char *name)
{
	struct fuse_link_in in = {.oldnodeid = nodeid};

	return call_for(f, FUSE_LINK, dir, (struct fcl_args){FIXED(in), .text = {name}}, NULL,
		sizeof(struct fuse_entry_out));
}

int fcl_unlink(struct fuse_client *f, uint64_t dir, const char *name)
{
	return fcl_call(f, FUSE_UNLINK, dir, &(struct fcl_args){.text = {name}});
}

int fcl_rmdir(struct fuse_client *f, uint64_t dir, const char *name)
{
	return fcl_call(f, FUSE_RMDIR, dir, &(struct fcl_args){.text = {name}});
}

int fcl_rename(struct fuse_client *f, uint64_t dir, const char *name, uint64_t newdir,
	const char *newname, unsigned flags)
{
	struct fuse_rename2_in in = {.newdir = newdir, .flags = flags};

	return fcl_call(
		f, FUSE_RENAME2, dir, &(struct fcl_args){FIXED(in), .text = {name, newname}});
}

int fcl_opendir(struct fuse_client *f, uint64_t nodeid, uint64_t *ret_fh)
{
	struct fuse_open_in in = {0};
	struct fuse_open_out out;
	int r = call_for(f, FUSE_OPENDIR, nodeid, (struct fcl_args){FIXED(in)}, &out, sizeof(out));

	if (r == 0)
		*ret_fh = out.fh;
	return r;
}

int fcl_releasedir(struct fuse_client *f, uint64_t nodeid, uint64_t fh)
{
	struct fuse_release_in in = {.fh = fh};

	return fcl_call(f, FUSE_RELEASEDIR, nodeid, &(struct fcl_args){FIXED(in)});
}

int fcl_list(struct fuse_client *f, uint64_t nodeid, uint64_t fh, uint64_t off, size_t room,
	bool plus, fcl_entry_fn fn, void *ctx, uint64_t *ret_next, unsigned *ret_n)
{
	struct fuse_read_in in = {.fh = fh, .offset = off, .size = (uint32_t)room};
	size_t head = plus ? sizeof(struct fuse_entry_out) : 0, at = 0;
	int r = fcl_call(f, plus ? FUSE_READDIRPLUS : FUSE_READDIR, nodeid,
		&(struct fcl_args){FIXED(in), .room = room});
	uint8_t *copy;

	*ret_n = 0;
	if (r < 0)
		return r;
	copy = malloc(f->out_len + 1); /* the callback may call, too */
	assert(copy);
	memcpy(copy, f->out + OUT, f->out_len);
	for (size_t len = f->out_len; at < len; (*ret_n)++) {
		struct fuse_entry_out entry = {0};
		struct fuse_dirent d;
		char name[256];

		assert(len - at >= head + FUSE_NAME_OFFSET);
		memcpy(&entry, copy + at, head);
		memcpy(&d, copy + at + head, FUSE_NAME_OFFSET);
		assert(d.namelen < sizeof(name));
		memcpy(name, copy + at + head + FUSE_NAME_OFFSET, d.namelen);
		name[d.namelen] = '\0';
		at += head + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + d.namelen);
		assert(at <= len);
		*ret_next = d.off;
		if (fn)
			fn(ctx, &d, name, &entry);
	}
	free(copy);
	return 0;
}

int fcl_setxattr(
	struct fuse_client *f, uint64_t nodeid, const char *name, const void *value, size_t len)
{
	uint32_t in[2] = {(uint32_t)len, 0};

	return fcl_call(f, FUSE_SETXATTR, nodeid,
		&(struct fcl_args){FIXED(in), .text = {name}, .data = value, .data_len = len});
}

ssize_t fcl_getxattr(
	struct fuse_client *f, uint64_t nodeid, const char *name, void *value, size_t cap)
{
	struct fuse_getxattr_in in = {.size = (uint32_t)cap};
	int r = fcl_call(f, name ? FUSE_GETXATTR : FUSE_LISTXATTR, nodeid,
		&(struct fcl_args){FIXED(in), .text = {name}, .room = cap ? cap : sizeof(in)});

	if (r < 0)
		return r;
	if (!cap)
		return *(uint32_t *)(void *)(f->out + OUT);
	memcpy(value, f->out + OUT, f->out_len);
	return (ssize_t)f->out_len;
}

int fcl_lock(struct fuse_client *f, uint64_t nodeid, uint64_t fh, uint64_t owner, int type,
	uint64_t start, uint64_t end, bool wait, bool flock)
{
	struct fuse_lk_in in = {
		.fh = fh,
		.owner = owner,
		.lk = {.start = start, .end = end, .type = (uint32_t)type, .pid = 1},
		.lk_flags = flock ? FUSE_LK_FLOCK : 0,
	};

	return fcl_call(f, wait ? FUSE_SETLKW : FUSE_SETLK, nodeid, &(struct fcl_args){FIXED(in)});
}
