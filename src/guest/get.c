/* Giving a tree out: depth first with a stack of open directories, no recursion. What vanishes
 * under way is left out; a file that changes its length keeps the one it was announced with.
 * Sockets, devices and pipes are left out, and so are the kernel's own file systems below. As an image: the
 * root's changes as a layer (deletions as ".wh.NAME", directories that replace as ".wh..wh..opq"), with hard links,
 * capabilities and pipes.
 */
#include "guest/channel.h"
#include "guest/links.h"
#include "proto/tar.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#define DEPTH_MAX 512
#define ENGINE                                                                                     \
	"var/lib/docker" /* images and containers of an engine inside are no part of an image */

struct level {
	DIR *dir;
	size_t path_len; /* of entry.path when in it */
	dev_t dev;
};

struct get {
	struct channel *c;
	struct tar_entry entry;
	struct buf head;
	struct level stack[DEPTH_MAX];
	size_t depth;
	bool image, upper; /* upper: of an overlay, whose marks are deletions */
	struct links links;
};

static int put_head(struct get *g, struct err *e)
{
	int r;

	buf_clear(&g->head);
	r = tar_put_entry(&g->head, &g->entry);
	if (r < 0)
		return err_sys(e, r, "name of '%s'", g->entry.path);
	return channel_put(g->c, g->head.data, g->head.len, e);
}

static int put_zeros(struct get *g, uint64_t n, struct err *e)
{
	while (n > 0) {
		uint8_t *room;
		size_t len;
		int r = channel_room(g->c, &room, &len, e);

		if (r < 0)
			return r;
		if (len > n)
			len = (size_t)n;
		memset(room, 0, len);
		channel_filled(g->c, len);
		n -= len;
	}
	return 0;
}

static int put_content(struct get *g, int fd, struct err *e)
{
	uint64_t left = g->entry.size;

	while (left > 0) {
		uint8_t *room;
		size_t len;
		ssize_t n;
		int r = channel_room(g->c, &room, &len, e);

		if (r < 0)
			return r;
		n = read(fd, room, len < left ? len : (size_t)left);
		if (n < 0 && errno != EINTR)
			return err_sys(e, -errno, "read '%s'", g->entry.path);
		if (n == 0)
			break; /* shorter than it was */
		if (n > 0) {
			channel_filled(g->c, (size_t)n);
			left -= (uint64_t)n;
		}
	}
	return put_zeros(g, left + tar_padding(g->entry.size), e);
}

static void describe(struct get *g, const struct stat *st)
{
	struct tar_entry *t = &g->entry;

	t->linkname[0] = '\0';
	t->mode = st->st_mode & 07777;
	t->uid = st->st_uid;
	t->gid = st->st_gid;
	t->mtime = st->st_mtim.tv_sec;
	t->mtime_ns = (uint32_t)st->st_mtim.tv_nsec;
	t->size = 0;
	t->capability_len = 0;
}

/* put_again() - a file with several names that was given already: 1; it is new: 0 */
static int put_again(struct get *g, const struct stat *st, struct err *e)
{
	const char *first =
		g->image && st->st_nlink > 1 ? links_first(&g->links, st, g->entry.path) : NULL;
	int r;

	if (!first)
		return 0;
	describe(g, st);
	g->entry.type = TAR_HARDLINK;
	(void)snprintf(g->entry.linkname, sizeof(g->entry.linkname), "%s", first);
	r = put_head(g, e);
	return r < 0 ? r : 1;
}

static void take_capability(struct get *g, int fd)
{
	ssize_t n = g->image ? fgetxattr(fd, "security.capability", g->entry.capability,
				       sizeof(g->entry.capability))
			     : -1;

	g->entry.capability_len = n > 0 ? (uint8_t)n : 0;
}

static int put_pipe(struct get *g, const struct stat *st, struct err *e)
{
	int r = put_again(g, st, e);

	if (r != 0)
		return r < 0 ? r : 0;
	describe(g, st);
	g->entry.type = TAR_FIFO;
	return put_head(g, e);
}

static int put_file(struct get *g, int dir, const char *name, struct err *e)
{
	AUTO_FD fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, -errno, "open '%s'", g->entry.path);
	if (!S_ISREG(st.st_mode))
		return 0; /* it has become something else */
	r = put_again(g, &st, e);
	if (r != 0)
		return r < 0 ? r : 0;
	describe(g, &st);
	take_capability(g, fd);
	g->entry.type = TAR_FILE;
	g->entry.size = (uint64_t)st.st_size;
	r = put_head(g, e);
	return r < 0 ? r : put_content(g, fd, e);
}

static int put_symlink(
	struct get *g, int dir, const char *name, const struct stat *st, struct err *e)
{
	ssize_t n;
	int r = put_again(g, st, e);

	if (r != 0)
		return r < 0 ? r : 0;
	describe(g, st);
	n = readlinkat(dir, name, g->entry.linkname, sizeof(g->entry.linkname) - 1);
	if (n <= 0)
		return 0;
	g->entry.linkname[n] = '\0';
	g->entry.type = TAR_SYMLINK;
	return put_head(g, e);
}

/* is_kernels() - a mount that shows no files but the kernel's state */
static bool is_kernels(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return true;
	switch ((unsigned long)fs.f_type) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case DEVPTS_SUPER_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case CGROUP_SUPER_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
	case SECURITYFS_MAGIC:
	case BPF_FS_MAGIC:
		return true;
	default:
		return false;
	}
}

/* put_mark() - an empty file @mark in the directory of which entry.path's first @dir_len bytes are the path */
static int put_mark(
	struct get *g, const struct stat *st, size_t dir_len, const char *mark, struct err *e)
{
	char *at = g->entry.path + dir_len;
	size_t room = sizeof(g->entry.path) - dir_len;

	if ((size_t)snprintf(at, room, "%s%s", dir_len ? "/" : "", mark) >= room)
		return err_sys(e, -ENAMETOOLONG, "'%.100s…'", g->entry.path);
	describe(g, st);
	g->entry.type = TAR_FILE;
	g->entry.mode = 0;
	return put_head(g, e);
}

/* put_opaque() - nothing of what the image has in this directory is left */
static int put_opaque(struct get *g, int fd, const struct stat *st, struct err *e)
{
	char value[8], path[TAR_PATH_MAX];
	int r;

	if (fgetxattr(fd, "trusted.overlay.redirect", value, 0) > 0)
		return err_set(e, ERR_INVALID, -EOPNOTSUPP, "'%.200s' was moved by the file system",
			g->entry.path);
	if (fgetxattr(fd, "trusted.overlay.opaque", value, sizeof(value)) != 1 || value[0] != 'y')
		return 0;
	memcpy(path, g->entry.path, sizeof(path));
	r = put_mark(g, st, strcmp(path, ".") == 0 ? 0 : strlen(path), ".wh..wh..opq", e);
	memcpy(g->entry.path, path, sizeof(path));
	return r;
}

/* enter() - put the directory's entry and make it the top of the stack */
static int enter(struct get *g, int dir, const char *name, struct err *e)
{
	AUTO_FD fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct level *top = &g->stack[g->depth];
	struct stat st;
	int r;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, -errno, "open '%s'", g->entry.path);
	if (g->depth == DEPTH_MAX)
		return err_sys(e, -ELOOP, "'%s' is too deep", g->entry.path);
	describe(g, &st);
	g->entry.type = TAR_DIR;
	r = put_head(g, e);
	if (r < 0)
		return r;
	if (g->depth > 0 && top[-1].dev != st.st_dev && (g->image || is_kernels(fd)))
		return 0;
	if (g->image && strcmp(g->entry.path, ENGINE) == 0)
		return 0;
	r = g->upper ? put_opaque(g, fd, &st, e) : 0;
	if (r < 0)
		return r;
	top->dir = fdopendir(fd);
	if (!top->dir)
		return err_sys(e, -errno, "read '%s'", g->entry.path);
	fd = -1; /* the DIR has it */
	top->path_len = strcmp(g->entry.path, ".") == 0 ? 0 : strlen(g->entry.path);
	top->dev = st.st_dev;
	g->depth++;
	return 0;
}

static int put_one(struct get *g, int dir, const char *name, struct err *e)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "look at '%s'", g->entry.path);
	if (g->upper && strncmp(name, ".wh.", 4) == 0)
		return 0; /* would be taken for a deletion */
	if (g->upper && S_ISCHR(st.st_mode) && st.st_rdev == 0) {
		char mark[NAME_MAX + 8];
		size_t len = strlen(g->entry.path), own = strlen(name);

		(void)snprintf(mark, sizeof(mark), ".wh.%s", name);
		return put_mark(g, &st, len > own ? len - own - 1 : 0, mark, e);
	}
	if (S_ISREG(st.st_mode))
		return put_file(g, dir, name, e);
	if (S_ISLNK(st.st_mode))
		return put_symlink(g, dir, name, &st, e);
	if (S_ISFIFO(st.st_mode) && g->image)
		return put_pipe(g, &st, e);
	return S_ISDIR(st.st_mode) ? enter(g, dir, name, e) : 0;
}

static int walk(struct get *g, struct err *e)
{
	while (g->depth > 0) {
		struct level *top = &g->stack[g->depth - 1];
		struct dirent *d = readdir(top->dir);
		size_t n = top->path_len;
		int r;

		if (!d) {
			closedir(top->dir);
			g->depth--;
			continue;
		}
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (n + strlen(d->d_name) + 2 > sizeof(g->entry.path))
			return err_sys(e, -ENAMETOOLONG, "'%.100s…'", g->entry.path);
		if (n)
			g->entry.path[n++] = '/';
		(void)snprintf(g->entry.path + n, sizeof(g->entry.path) - n, "%s", d->d_name);
		r = put_one(g, dirfd(top->dir), d->d_name, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* put_top() - the source itself: under the name it was asked for by */
static int put_top(struct get *g, const char *source, bool follow, struct err *e)
{
	char path[TAR_PATH_MAX], real[PATH_MAX];
	const char *name;
	struct stat st;
	size_t n = strlen(source);

	memcpy(path, source, n + 1);
	while (n > 1 && path[n - 1] == '/') {
		path[--n] = '\0';
		follow = true; /* as everywhere: "link/" is what it points to */
	}
	name = strrchr(path, '/') + 1;
	(void)snprintf(g->entry.path, sizeof(g->entry.path), "%s", *name ? name : ".");
	if (!tar_clean_path(real, g->entry.path, strlen(g->entry.path)))
		return err_set(e, ERR_INVALID, -EINVAL, "'%s' does not end in a name", source);
	if (follow && !realpath(path, real))
		return err_sys(e, -errno, "'%s'", path);
	if (follow)
		memcpy(path, real, strlen(real) + 1);
	if (lstat(path, &st) < 0)
		return err_sys(e, -errno, "'%s'", path);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode))
		return err_set(e, ERR_INVALID, -EINVAL,
			"'%s' is neither a file nor a directory nor a link", path);
	return put_one(g, AT_FDCWD, path, e);
}

int get_serve(struct channel *c, const struct agent_get *m, int scratch_fd, struct err *e)
{
	static struct get g; /* one transfer a process */
	int r;

	g = (struct get){.c = c, .image = m->flags & AGENT_GET_IMAGE};
	buf_init(&g.head, TAR_PAX_MAX + 4 * TAR_BLOCK);
	if (g.image && scratch_fd >= 0) {
		g.upper = true;
		memcpy(g.entry.path, ".", 2);
		r = put_one(&g, scratch_fd, "upper", e);
	} else {
		r = put_top(&g, m->path, m->flags & AGENT_GET_FOLLOW, e);
	}
	if (r == 0)
		r = walk(&g, e);
	while (g.depth > 0)
		closedir(g.stack[--g.depth].dir);
	buf_fini(&g.head);
	links_fini(&g.links);
	return r < 0 ? r : put_zeros(&g, TAR_END_BYTES, e);
}
