#include "cli/pack.h"
#include "cli/report.h"
#include "proto/tar.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NOTES_MAX 10

struct level {
	DIR *dir;
	size_t path_len; /* of entry.path for what is in it */
};

struct walk {
	struct pack *p;
	struct transfer *t;
	struct tar_entry entry;
	struct level stack[PACK_DEPTH_MAX];
	size_t depth;
};

static void leave_out(struct walk *w, const char *why)
{
	if (++w->p->left_out <= NOTES_MAX)
		report_note("left out '%.300s': %s", w->entry.path, why);
}

static int put_head(struct walk *w, struct err *e)
{
	AUTO(buf) head = {0};
	int r;

	buf_init(&head, TAR_PAX_MAX + 4 * TAR_BLOCK);
	r = tar_put_entry(&head, &w->entry);
	if (r < 0)
		return err_sys(e, r, "describe '%.200s'", w->entry.path);
	w->p->entries++;
	return transfer_put(w->t, head.data, head.len, e);
}

static int put_zeros(struct walk *w, uint64_t n, struct err *e)
{
	static const uint8_t zeros[16384];
	int r = 0;

	for (; n > 0 && r == 0; n -= n < sizeof(zeros) ? n : sizeof(zeros))
		r = transfer_put(w->t, zeros, n < sizeof(zeros) ? (size_t)n : sizeof(zeros), e);
	return r;
}

static void describe(struct walk *w, enum tar_type type, const struct stat *st)
{
	struct tar_entry *t = &w->entry;

	t->type = type;
	t->linkname[0] = '\0';
	t->mode = st->st_mode & 0777;
	t->mtime = st->st_mtim.tv_sec;
	t->mtime_ns = (uint32_t)st->st_mtim.tv_nsec;
	t->size = type == TAR_FILE ? (uint64_t)st->st_size : 0;
}

static int put_file(struct walk *w, int fd, const struct stat *st, struct err *e)
{
	uint8_t block[65536];
	uint64_t left;
	int r;

	describe(w, TAR_FILE, st);
	r = put_head(w, e);
	for (left = w->entry.size; r == 0 && left > 0;) {
		ssize_t n = read(fd, block, left < sizeof(block) ? (size_t)left : sizeof(block));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, -errno, "read '%.200s'", w->entry.path);
		if (n == 0)
			break; /* shorter than it was */
		r = transfer_put(w->t, block, (size_t)n, e);
		left -= (uint64_t)n;
	}
	return r < 0 ? r : put_zeros(w, left + tar_padding(w->entry.size), e);
}

static int put_symlink(
	struct walk *w, int dir, const char *name, const struct stat *st, struct err *e)
{
	ssize_t n;

	describe(w, TAR_SYMLINK, st);
	n = readlinkat(dir, name, w->entry.linkname, sizeof(w->entry.linkname) - 1);
	if (n <= 0) {
		leave_out(w, "it vanished");
		return 0;
	}
	w->entry.linkname[n] = '\0';
	return put_head(w, e);
}

/* enter() - takes @fd */
static int enter(struct walk *w, int fd, const struct stat *st, struct err *e)
{
	struct level *top = &w->stack[w->depth];
	int r;

	describe(w, TAR_DIR, st);
	r = w->depth < PACK_DEPTH_MAX
		    ? put_head(w, e)
		    : err_set(e, ERR_LIMIT, -ELOOP, "'%.200s' is too deep", w->entry.path);
	if (r == 0) {
		top->dir = fdopendir(fd);
		if (top->dir) {
			top->path_len = strcmp(w->entry.path, ".") == 0 ? 0 : strlen(w->entry.path);
			w->depth++;
			return 0;
		}
		r = err_sys(e, -errno, "read '%.200s'", w->entry.path);
	}
	close(fd);
	return r;
}

static int not_copied(struct walk *w)
{
	leave_out(w, "not a file, directory or symbolic link");
	return 0;
}

static int put_one(struct walk *w, int dir, const char *name, bool follow, struct err *e)
{
	int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);
	bool top = w->depth == 0;
	AUTO_FD fd = -1;
	struct stat st;

	if (fstatat(dir, name, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT && !top)
			return 0; /* vanished since it was listed */
		return err_sys(e, -errno, "open '%.200s'", top ? name : w->entry.path);
	}
	if (S_ISLNK(st.st_mode))
		return put_symlink(w, dir, name, &st, e);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return not_copied(w); /* opening a device may already do something */
	/* It may have become something else: O_NONBLOCK for a pipe, and look again. */
	fd = openat(dir, name, flags);
	if (fd < 0 && (errno == ELOOP || errno == ENXIO || errno == ENOENT) && !top)
		return not_copied(w);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, -errno, "open '%.200s'", top ? name : w->entry.path);
	if (S_ISREG(st.st_mode))
		return put_file(w, fd, &st, e);
	return S_ISDIR(st.st_mode) ? enter(w, TAKE_FD(fd), &st, e) : not_copied(w);
}

static int walk(struct walk *w, struct err *e)
{
	while (w->depth > 0) {
		struct level *top = &w->stack[w->depth - 1];
		struct dirent *d = readdir(top->dir);
		size_t n = top->path_len;
		int r;

		if (!d) {
			closedir(top->dir);
			w->depth--;
			continue;
		}
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (n + strlen(d->d_name) + 2 > sizeof(w->entry.path))
			return err_sys(e, -ENAMETOOLONG, "'%.100s…'", w->entry.path);
		if (n)
			w->entry.path[n++] = '/';
		memcpy(w->entry.path + n, d->d_name, strlen(d->d_name) + 1);
		r = put_one(w, dirfd(top->dir), d->d_name, false, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int pack_tree(struct pack *p, struct transfer *t, int dir, const char *name, const char *as,
	struct err *e)
{
	AUTO_FREE struct walk *w = calloc(1, sizeof(*w));
	int r;

	if (!w || strlen(as) >= sizeof(w->entry.path))
		return err_sys(e, w ? -ENAMETOOLONG : -ENOMEM, "copy '%.200s'", name);
	w->p = p;
	w->t = t;
	memcpy(w->entry.path, as, strlen(as) + 1);
	r = put_one(w, dir, name, p->follow, e);
	if (r == 0 && p->entries == 0)
		r = err_set(e, ERR_INVALID, -EINVAL,
			"'%.200s' is not a file, directory or symbolic link", name);
	if (r == 0)
		r = walk(w, e);
	while (w->depth > 0)
		closedir(w->stack[--w->depth].dir);
	return r < 0 ? r : put_zeros(w, TAR_END_BYTES, e);
}
