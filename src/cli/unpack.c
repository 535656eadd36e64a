#include "cli/unpack.h"
#include "base/io.h"
#include "cli/report.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define ZERO_BLOCK 4096

static int open_dir_beneath(int root, const char *path)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	long fd;

	do { /* EAGAIN: something was renamed meanwhile, the kernel could not be sure */
		fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
	} while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd < 0 ? -errno : (int)fd;
}

int unpack_init(struct unpack *u, int root, const char *base, bool only_file)
{
	const struct tar_limits limits = {UNPACK_ENTRIES_MAX, UNPACK_BYTES_MAX};
	unsigned long long random = 0;

	*u = (struct unpack){.root = root, .file = -1, .parent = -1, .only_file = only_file};
	if (strlen(base) > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(u->base, base, strlen(base) + 1);
	u->tar = malloc(sizeof(*u->tar));
	if (!u->tar)
		return -ENOMEM;
	tar_reader_init(u->tar, &limits);
	/* The sandbox must not know it, or it could have an entry of that name in the way. */
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	(void)snprintf(u->temp, sizeof(u->temp), ".sbx-cp.%016llx", random);
	u->umask = umask(0);
	(void)umask(u->umask);
	return 0;
}

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

void unpack_fini(struct unpack *u)
{
	if (!u)
		return;
	if (u->file >= 0 && u->parent >= 0)
		(void)unlinkat(u->parent, u->temp, 0);
	own_close_fd(&u->file);
	own_close_fd(&u->parent);
	free(TAKE(u->tar));
}

bool unpack_link_stays(const char *target, unsigned depth)
{
	bool named = false;

	if (target[0] == '/' || target[0] == '\0')
		return false;
	for (const char *p = target; *p;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.') {
			/* After a name ".." may start from wherever another link led to. */
			if (named || depth-- == 0)
				return false;
		} else if (n > 0 && !(n == 1 && p[0] == '.')) {
			named = true;
		}
		p += n;
		if (*p == '/')
			p++;
	}
	return true;
}

static void leave_out(struct unpack *u, const char *why)
{
	if (++u->left_out <= UNPACK_NOTES_MAX)
		report_note("left out '%.300s': %s", u->tar->entry.path, why);
}

/* place() - the first entry says what everything after it begins with */
static int place(struct unpack *u, const struct tar_entry *t, struct err *e)
{
	size_t n = strcspn(t->path, "/");

	u->placed = true;
	if (u->only_file && t->type == TAR_DIR)
		return err_set(e, ERR_INVALID, -EISDIR,
			"the destination is a file, the source is "
			"a directory");
	if (!u->base[0])
		return t->type == TAR_DIR
			       ? 0
			       : err_set(e, ERR_INVALID, -ENOTDIR, "the source is not a directory");
	if (t->path[n] != '\0' || n > NAME_MAX)
		return err_set(e, ERR_INVALID, -EBADMSG,
			"the copy does not begin with what was asked for");
	memcpy(u->strip, t->path, n + 1);
	return 0;
}

/* map_path() - where the entry goes beneath root: its first component is called as we say */
static int map_path(struct unpack *u, const struct tar_entry *t, struct err *e)
{
	size_t n = strlen(u->strip);

	if (!u->base[0]) {
		memcpy(u->path, t->path, strlen(t->path) + 1);
		return 0;
	}
	if (strncmp(t->path, u->strip, n) != 0 || (t->path[n] != '/' && t->path[n] != '\0'))
		return err_set(e, ERR_INVALID, -EBADMSG, "'%.200s' was not asked for", t->path);
	(void)snprintf(u->path, sizeof(u->path), "%s%s", u->base, t->path + n);
	return 0;
}

static unsigned slashes(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += *s == '/';
	return n;
}

/* parent() - hold the directory of u->path */
static int parent(struct unpack *u)
{
	size_t n = (size_t)(last_name(u->path) - u->path);
	char dir[sizeof(u->path)] = ".";
	int fd;

	if (n > 1) {
		memcpy(dir, u->path, n - 1);
		dir[n - 1] = '\0';
	}
	if (u->parent >= 0 && strcmp(dir, u->parent_path) == 0)
		return 0;
	fd = open_dir_beneath(u->root, dir);
	if (fd < 0)
		return fd;
	own_close_fd(&u->parent);
	u->parent = fd;
	memcpy(u->parent_path, dir, strlen(dir) + 1);
	return 0;
}

static int make_dir(struct unpack *u, const struct tar_entry *t, const char *name)
{
	mode_t mode = ((t->mode & 0777) & ~u->umask) | 0700;
	struct stat st;

	if (mkdirat(u->parent, name, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (fstatat(u->parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return -ELOOP;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/* make_file() - under a name of its own first: what it replaces stays until it is whole */
static int make_file(struct unpack *u, const char *name)
{
	struct stat st;

	if (fstatat(u->parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		return -EISDIR;
	u->file = openat(
		u->parent, u->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	u->at = 0;
	return u->file < 0 ? -errno : 0;
}

static int make_symlink(struct unpack *u, const struct tar_entry *t, const char *name)
{
	unsigned depth = slashes(u->path);

	/* The tree's root is the copied entry itself, which may lie in a folder with other things: a
	 * link in its place could only lead to those.
	 */
	if (u->base[0] && depth == 0) {
		leave_out(u, "a symbolic link by itself leads out of the copy");
		return 0;
	}
	if (u->base[0])
		depth--;
	if (!unpack_link_stays(t->linkname, depth)) {
		leave_out(u, "a symbolic link that leads out of the copy");
		return 0;
	}
	if (unlinkat(u->parent, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return symlinkat(t->linkname, u->parent, name) < 0 ? -errno : 0;
}

static int on_entry(struct unpack *u, struct err *e)
{
	const struct tar_entry *t = &u->tar->entry;
	int r = u->placed ? 0 : place(u, t, e);

	if (r == 0)
		r = map_path(u, t, e);
	if (r < 0)
		return r;
	u->entries++;
	if (strcmp(u->path, ".") == 0)
		return t->type == TAR_DIR ? 0 : err_set(e, ERR_INVALID, -EBADMSG, "bad root");
	if (slashes(u->path) > UNPACK_DEPTH_MAX)
		return err_set(e, ERR_LIMIT, -ELOOP, "'%.200s' is too deep", t->path);
	r = parent(u);
	if (r < 0)
		return err_sys(e, r, "open the directory of '%.200s'", u->path);
	switch (t->type) {
	case TAR_DIR:
		r = make_dir(u, t, last_name(u->path));
		break;
	case TAR_FILE:
		r = make_file(u, last_name(u->path));
		break;
	case TAR_SYMLINK:
		r = make_symlink(u, t, last_name(u->path));
		break;
	case TAR_HARDLINK:
		leave_out(u, "a hard link");
		break;
	case TAR_FIFO:
	case TAR_CHAR_DEVICE:
	case TAR_BLOCK_DEVICE:
	default:
		leave_out(u, "not a file, directory or symbolic link");
		break;
	}
	return r < 0 ? err_sys(e, r, "make '%.200s'", u->path) : 0;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* on_data() - blocks of the file that are zero throughout stay holes */
static int on_data(struct unpack *u, struct err *e)
{
	const uint8_t *p = u->tar->data;
	size_t len = u->tar->data_len;

	if (u->file < 0)
		return 0;
	while (len > 0) {
		size_t run = 0;
		bool zero = false;

		while (run < len) {
			size_t n = ZERO_BLOCK - (u->at + run) % ZERO_BLOCK;

			n = n < len - run ? n : len - run;
			if (run > 0 && all_zero(p + run, n) != zero)
				break;
			zero = all_zero(p + run, n);
			run += n;
		}
		for (size_t done = 0; !zero && done < run;) {
			ssize_t n = pwrite(u->file, p + done, run - done, (off_t)(u->at + done));

			if (n < 0 && errno != EINTR)
				return err_sys(e, -errno, "write '%.200s'", u->path);
			done += n > 0 ? (size_t)n : 0;
		}
		u->at += run;
		p += run;
		len -= run;
	}
	return 0;
}

static int on_entry_end(struct unpack *u, struct err *e)
{
	const struct tar_entry *t = &u->tar->entry;
	struct timespec when = {.tv_sec = t->mtime, .tv_nsec = t->mtime_ns};
	struct timespec times[2] = {when, when};

	if (u->file < 0)
		return 0;
	if (ftruncate(u->file, (off_t)t->size) < 0) /* the last bytes may have been a hole */
		return err_sys(e, -errno, "write '%.200s'", u->path);
	if (fchmod(u->file, (t->mode & 0777) & ~u->umask) < 0)
		return err_sys(e, -errno, "set the mode of '%.200s'", u->path);
	(void)futimens(
		u->file, times); /* a time the file system does not know is no reason to fail */
	if (renameat(u->parent, u->temp, u->parent, last_name(u->path)) < 0)
		return err_sys(e, -errno, "make '%.200s'", u->path);
	if (close(TAKE_FD(u->file)) < 0)
		return err_sys(e, -errno, "write '%.200s'", u->path);
	return 0;
}

int unpack_bytes(struct unpack *u, const uint8_t *p, size_t len, struct err *e)
{
	for (;;) {
		int r = 0;

		switch (tar_next(u->tar, &p, &len)) {
		case TAR_MORE:
			return 0;
		case TAR_ENTRY:
			r = on_entry(u, e);
			break;
		case TAR_DATA:
			r = on_data(u, e);
			break;
		case TAR_ENTRY_END:
			r = on_entry_end(u, e);
			break;
		case TAR_END:
			u->ended = true;
			return 0;
		case TAR_BAD:
		default:
			return err_set(e, ERR_INVALID, -EBADMSG, "the copy is malformed: %s",
				tar_fault_text(u->tar->fault));
		}
		if (r < 0)
			return r;
	}
}

int unpack_end(struct unpack *u, struct err *e)
{
	if (!u->ended || u->file >= 0)
		return err_set(e, ERR_INVALID, -EBADMSG, "the copy was cut short");
	if (!u->placed)
		return err_set(e, ERR_INVALID, -EBADMSG, "the copy is empty");
	return 0;
}
