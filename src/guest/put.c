/* Taking a tree in. Where it goes is decided by the first entry and by what is there already, as
 * cp does; from then on everything happens beneath one directory, whose links are followed only
 * as far as they stay inside it.
 */
#include "base/io.h"
#include "guest/channel.h"
#include "guest/sys.h"
#include "proto/tar.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define ZERO_RUN	4096 /* a piece of zeros this long becomes a hole */
#define TIMES_BYTES_MAX (8u << 20)
#define KEEP_OWNER	UINT32_MAX

/* Times of directories are set when nothing more comes into them. */
struct dir_time {
	struct dir_time *next;
	struct timespec t;
	char path[];
};

struct put {
	const struct agent_put *m;
	struct tar_reader *tar;
	int root; /* everything goes beneath it */
	bool placed; /* the first entry was seen */
	char base[NAME_MAX + 1]; /* "": entries keep their paths */
	char strip[TAR_PATH_MAX]; /* this first component becomes base; "": base is put before */
	char path[2 * TAR_PATH_MAX]; /* of the current entry beneath root */
	int file; /* being written, or -1 */
	uint64_t at;
	int parent; /* directory of parent_path */
	char parent_path[2 * TAR_PATH_MAX];
	struct dir_time *times;
	size_t times_bytes;
};

static int open_beneath(int root, const char *path, int flags)
{
	struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* place_named() - the destination names the new entry, unless it is a directory already */
static int place_named(struct put *p, const struct tar_entry *first, char *dest, struct err *e)
{
	bool whole = strcmp(first->path, ".") == 0;
	char *slash = strrchr(dest, '/');

	p->root = open(dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->root >= 0)
		return 0;
	if (errno != ENOENT && errno != ENOTDIR)
		return err_sys(e, -errno, "open '%s'", dest);
	if (strlen(slash + 1) > NAME_MAX)
		return err_sys(e, -ENAMETOOLONG, "make '%s'", dest);
	(void)snprintf(p->base, sizeof(p->base), "%s", slash + 1);
	if (!whole)
		(void)snprintf(p->strip, sizeof(p->strip), "%.*s", (int)strcspn(first->path, "/"),
			first->path);
	*slash = '\0';
	p->root = open(slash == dest ? "/" : dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->root < 0)
		return err_sys(e, -errno, "open '%s'", slash == dest ? "/" : dest);
	return 0;
}

static int place(struct put *p, const struct tar_entry *first, struct err *e)
{
	char dest[sizeof(p->m->path)];
	size_t n = strlen(p->m->path);

	p->placed = true;
	memcpy(dest, p->m->path, n + 1);
	while (n > 1 && dest[n - 1] == '/')
		dest[--n] = '\0';
	if ((p->m->flags & AGENT_PUT_AS) && n > 1)
		return place_named(p, first, dest, e);
	p->root = open(dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return p->root < 0 ? err_sys(e, -errno, "open '%s'", dest) : 0;
}

/* map_path() - where an entry's (or a hard link target's) path is beneath root */
static int map_path(const struct put *p, const char *path, char dst[2 * TAR_PATH_MAX])
{
	size_t n = strlen(p->strip);

	if (!p->base[0]) {
		(void)snprintf(dst, 2 * TAR_PATH_MAX, "%s", path);
	} else if (n == 0) {
		(void)snprintf(dst, 2 * TAR_PATH_MAX, strcmp(path, ".") == 0 ? "%s" : "%s/%s",
			p->base, path);
	} else {
		if (strncmp(path, p->strip, n) != 0 || (path[n] != '/' && path[n] != '\0'))
			return -EINVAL;
		(void)snprintf(dst, 2 * TAR_PATH_MAX, "%s%s", p->base, path + n);
	}
	return 0;
}

static void own(const struct put *p, const struct tar_entry *t, int fd)
{
	uid_t uid = p->m->uid == KEEP_OWNER ? t->uid : p->m->uid;
	gid_t gid = p->m->gid == KEEP_OWNER ? t->gid : p->m->gid;

	/* A shared folder decides by itself whom things belong to, and may say no. */
	sys_try(fchown(fd, uid, gid));
}

static void own_at(const struct put *p, const struct tar_entry *t, int dir, const char *name)
{
	uid_t uid = p->m->uid == KEEP_OWNER ? t->uid : p->m->uid;
	gid_t gid = p->m->gid == KEEP_OWNER ? t->gid : p->m->gid;

	sys_try(fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW));
}

/* make_parents() - directories that no entry of the stream names */
static int make_parents(struct put *p, const char *path)
{
	char part[2 * TAR_PATH_MAX];

	for (const char *s = strchr(path, '/');; s = strchr(s + 1, '/')) {
		size_t n = s ? (size_t)(s - path) : strlen(path);
		char *name;
		int dir, r;

		memcpy(part, path, n);
		part[n] = '\0';
		name = strrchr(part, '/');
		if (name)
			*name++ = '\0';
		dir = open_beneath(p->root, name ? part : ".", O_RDONLY | O_DIRECTORY);
		if (dir < 0)
			return dir;
		r = mkdirat(dir, name ? name : part, 0755) < 0 && errno != EEXIST ? -errno : 0;
		if (r == 0)
			own_at(p, &p->tar->entry, dir, name ? name : part);
		close(dir);
		if (r < 0 || !s)
			return r;
	}
}

/* parent_of() - the directory that p->path lies in, and its name there; borrowed */
static int parent_of(struct put *p, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char dir[2 * TAR_PATH_MAX] = ".";
	int fd;

	if (slash) {
		memcpy(dir, path, (size_t)(slash - path));
		dir[slash - path] = '\0';
	}
	*ret_name = slash ? slash + 1 : path;
	if (p->parent >= 0 && strcmp(dir, p->parent_path) == 0)
		return p->parent;
	fd = open_beneath(p->root, dir, O_RDONLY | O_DIRECTORY);
	if (fd == -ENOENT) {
		int r = make_parents(p, dir);

		if (r < 0)
			return r;
		fd = open_beneath(p->root, dir, O_RDONLY | O_DIRECTORY);
	}
	if (fd < 0)
		return fd;
	if (p->parent >= 0)
		close(p->parent);
	p->parent = fd;
	(void)snprintf(p->parent_path, sizeof(p->parent_path), "%s", dir);
	return fd;
}

static void keep_time(struct put *p, const struct tar_entry *t)
{
	size_t n = sizeof(struct dir_time) + strlen(p->path) + 1;
	struct dir_time *d;

	if (p->times_bytes + n > TIMES_BYTES_MAX)
		return; /* a time of a directory is not worth more */
	d = malloc(n);
	if (!d)
		return;
	p->times_bytes += n;
	d->t = (struct timespec){.tv_sec = t->mtime, .tv_nsec = t->mtime_ns};
	memcpy(d->path, p->path, strlen(p->path) + 1);
	d->next = p->times;
	p->times = d;
}

static void set_times(struct put *p)
{
	while (p->times) {
		struct dir_time *d = p->times;
		struct timespec t[2] = {d->t, d->t};
		AUTO_FD fd = open_beneath(p->root, d->path, O_RDONLY | O_DIRECTORY);

		if (fd >= 0)
			(void)futimens(fd, t);
		p->times = d->next;
		free(d);
	}
}

static int make_dir(struct put *p, const struct tar_entry *t, int dir, const char *name)
{
	struct stat st;

	if (mkdirat(dir, name, 0700) < 0) {
		if (errno != EEXIST)
			return -errno;
		if (fstatat(dir, name, &st, 0) < 0)
			return -errno;
		return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR; /* one that is there stays as it is */
	}
	own_at(p, t, dir, name);
	if (fchmodat(dir, name, t->mode & 01777, 0) < 0)
		return -errno;
	keep_time(p, t);
	return 0;
}

static int make_link(struct put *p, const struct tar_entry *t, int dir, const char *name)
{
	char target[2 * TAR_PATH_MAX], *slash;
	int r = map_path(p, t->linkname, target);

	if (r < 0)
		return r;
	slash = strrchr(target, '/');
	if (slash)
		*slash = '\0';
	AUTO_FD from = open_beneath(p->root, slash ? target : ".", O_RDONLY | O_DIRECTORY);

	if (from < 0)
		return from;
	return linkat(from, slash ? slash + 1 : target, dir, name, 0) < 0 ? -errno : 0;
}

static int make_other(struct put *p, const struct tar_entry *t, int dir, const char *name)
{
	struct timespec times[2] = {{.tv_sec = t->mtime, .tv_nsec = t->mtime_ns},
		{.tv_sec = t->mtime, .tv_nsec = t->mtime_ns}};
	int r;

	if ((p->m->flags & AGENT_PUT_KEEP) && faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0; /* its bytes go nowhere */
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return -errno;
	switch (t->type) {
	case TAR_FILE:
		p->file = openat(
			dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		p->at = 0;
		return p->file < 0 ? -errno : 0;
	case TAR_HARDLINK:
		return make_link(p, t, dir, name);
	case TAR_SYMLINK:
		r = symlinkat(t->linkname, dir, name);
		break;
	case TAR_FIFO:
		r = mkfifoat(dir, name, t->mode & 0777);
		break;
	case TAR_DIR:
	case TAR_CHAR_DEVICE:
	case TAR_BLOCK_DEVICE:
	default:
		return -EPERM;
	}
	if (r < 0)
		return -errno;
	own_at(p, t, dir, name);
	(void)utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
	return 0;
}

static int on_entry(struct put *p, struct err *e)
{
	const struct tar_entry *t = &p->tar->entry;
	const char *name;
	int r = p->placed ? 0 : place(p, t, e), dir;

	if (r < 0)
		return r;
	r = map_path(p, t->path, p->path);
	if (r < 0)
		return err_set(e, ERR_INVALID, r, "'%s' is not part of '%s'", t->path, p->strip);
	if (strcmp(p->path, ".") == 0)
		return t->type == TAR_DIR ? 0 : err_sys(e, -EISDIR, "'%s'", p->m->path);
	dir = parent_of(p, p->path, &name);
	if (dir < 0)
		return err_sys(e, dir, "make the directory of '%s'", p->path);
	r = t->type == TAR_DIR ? make_dir(p, t, dir, name) : make_other(p, t, dir, name);
	return r < 0 ? err_sys(e, r, "make '%s'", p->path) : 0;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

static int on_data(struct put *p, struct err *e)
{
	const uint8_t *d = p->tar->data;
	size_t len = p->tar->data_len;

	if (p->file >= 0 && (len < ZERO_RUN || !all_zero(d, len))) {
		for (size_t done = 0; done < len;) {
			ssize_t n = pwrite(p->file, d + done, len - done, (off_t)(p->at + done));

			if (n < 0 && errno != EINTR)
				return err_sys(e, -errno, "write '%s'", p->path);
			if (n > 0)
				done += (size_t)n;
		}
	}
	p->at += len;
	return 0;
}

static int on_entry_end(struct put *p, struct err *e)
{
	const struct tar_entry *t = &p->tar->entry;
	struct timespec times[2] = {{.tv_sec = t->mtime, .tv_nsec = t->mtime_ns},
		{.tv_sec = t->mtime, .tv_nsec = t->mtime_ns}};
	AUTO_FD fd = TAKE_FD(p->file);

	if (fd < 0)
		return 0;
	/* The last piece may have been a hole. */
	if (ftruncate(fd, (off_t)t->size) < 0)
		return err_sys(e, -errno, "write '%s'", p->path);
	own(p, t, fd);
	if (fchmod(fd, t->mode & 01777) < 0)
		return err_sys(e, -errno, "set the mode of '%s'", p->path);
	(void)futimens(fd, times);
	return 0;
}

/* on_bytes() - 1 when the stream's end mark was read */
static int on_bytes(struct put *p, const uint8_t *bytes, size_t len, struct err *e)
{
	for (;;) {
		int r = 0;

		switch (tar_next(p->tar, &bytes, &len)) {
		case TAR_MORE:
			return 0;
		case TAR_ENTRY:
			r = on_entry(p, e);
			break;
		case TAR_DATA:
			r = on_data(p, e);
			break;
		case TAR_ENTRY_END:
			r = on_entry_end(p, e);
			break;
		case TAR_END:
			return 1;
		case TAR_BAD:
		default:
			return err_set(e, ERR_INVALID, -EBADMSG, "the copy is malformed: %s",
				tar_fault_text(p->tar->fault));
		}
		if (r < 0)
			return r;
	}
}

static int take_stream(struct channel *c, struct put *p, struct err *e)
{
	bool ended = false;
	struct frame f;
	int r;

	for (;;) {
		r = channel_next(c, &f, e);
		if (r < 0)
			return r;
		if (f.type == FRAME_END)
			return ended ? 0
				     : err_set(e, ERR_INVALID, -EBADMSG, "the copy was cut short");
		if (f.type != FRAME_DATA)
			return err_set(e, ERR_INVALID, -EBADMSG, "unexpected frame in a copy");
		r = on_bytes(p, f.body, f.len, e);
		if (r < 0)
			return r;
		ended = r == 1;
	}
}

int put_serve(struct channel *c, const struct agent_put *m, struct err *e)
{
	const struct tar_limits limits = {.entries = UINT64_MAX, .bytes = UINT64_MAX};
	static struct put p; /* one transfer a process */
	int r;

	p = (struct put){.m = m, .root = -1, .file = -1, .parent = -1};
	p.tar = malloc(sizeof(*p.tar));
	if (!p.tar)
		return err_sys(e, -ENOMEM, "copy");
	tar_reader_init(p.tar, &limits);
	umask(0);
	r = take_stream(c, &p, e);
	set_times(&p);
	own_close_fd(&p.file);
	own_close_fd(&p.parent);
	own_close_fd(&p.root);
	free(p.tar);
	return r;
}
