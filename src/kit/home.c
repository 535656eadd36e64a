#include "kit/internal.h"
#include "kit/kit.h"
#include "base/io.h"
#include "proto/tar.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define HOME_DEPTH_MAX	 32
#define HOME_ENTRIES_MAX 4096

struct level {
	int fd;
	char **names; /* sorted */
	size_t n, at;
	size_t path_len; /* of the walk's path, up to this directory */
};

struct walk {
	struct level levels[HOME_DEPTH_MAX];
	unsigned depth;
	size_t entries;
	char path[TAR_PATH_MAX]; /* relative to files/home, without leading slash */
	const char *kit;
	struct buf *out;
	struct err *e;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void close_level(struct walk *w)
{
	struct level *l = &w->levels[--w->depth];

	for (size_t i = 0; i < l->n; i++)
		free(l->names[i]);
	free(l->names);
	own_close_fd(&l->fd);
}

static int refuse(const struct walk *w, const char *why)
{
	return err_set(w->e, ERR_INVALID, -EINVAL, "%s/files/home/%s: %s", w->kit, w->path, why);
}

static int failed(const struct walk *w, int r)
{
	if (r == -ENOBUFS)
		return err_set(w->e, ERR_LIMIT, r, "%s/files/home: larger than %u MiB", w->kit,
			KIT_HOME_MAX >> 20);
	return err_sys(w->e, r, "read '%s/files/home/%s'", w->kit, w->path);
}

static int read_names(struct walk *w, struct level *l)
{
	DIR *dir = fdopendir(dup(l->fd));
	struct dirent *d;
	size_t cap = 0;
	int r = dir ? 0 : -errno;

	while (r == 0 && (d = readdir(dir))) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (++w->entries > HOME_ENTRIES_MAX) {
			r = -E2BIG;
			break;
		}
		if (l->n == cap) {
			char **bigger = reallocarray(l->names, cap + 32, sizeof(*bigger));

			if (bigger) {
				l->names = bigger;
				cap += 32;
			}
		}
		if (l->n < cap && (l->names[l->n] = strdup(d->d_name)))
			l->n++;
		else
			r = -ENOMEM;
	}
	if (dir)
		(void)closedir(dir);
	if (l->n)
		qsort(l->names, l->n, sizeof(*l->names), by_name);
	return r;
}

/* enter() - begin a directory; takes @fd */
static int enter(struct walk *w, int fd)
{
	struct level *l;
	int r;

	if (w->depth == HOME_DEPTH_MAX) {
		own_close_fd(&fd);
		return refuse(w, "nested too deep");
	}
	l = &w->levels[w->depth++];
	*l = (struct level){.fd = fd, .path_len = strlen(w->path)};
	r = read_names(w, l);
	return r < 0 ? failed(w, r) : 0;
}

static int put_entry(
	struct walk *w, enum tar_type type, const struct stat *st, uint64_t size, const char *link)
{
	AUTO_FREE struct tar_entry *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->type = type;
	/* who else may write is a matter of the checkout's umask, not of the kit */
	t->mode = type == TAR_SYMLINK ? 0777 : st->st_mode & 0755;
	t->size = size;
	(void)snprintf(t->path, sizeof(t->path), "%s", w->path);
	(void)snprintf(t->linkname, sizeof(t->linkname), "%s", link);
	r = tar_put_entry(w->out, t);
	return r;
}

static int put_file(struct walk *w, int fd, const struct stat *st)
{
	static const char zeros[TAR_BLOCK];
	AUTO(buf) bytes;
	int r;

	buf_init(&bytes, KIT_HOME_MAX);
	r = io_read_fd(fd, &bytes);
	if (r == -EFBIG)
		r = -ENOBUFS;
	if (r == 0)
		r = put_entry(w, TAR_FILE, st, bytes.len, "");
	if (r == 0 && bytes.len)
		r = buf_add(w->out, bytes.data, bytes.len);
	if (r == 0)
		r = buf_add(w->out, zeros, tar_padding(bytes.len));
	return r < 0 ? failed(w, r) : 0;
}

/* A link may point around inside the home only: it is in the guest, but a host tool may look too. */
static int put_link(struct walk *w, int dir, const char *name, const struct stat *st)
{
	char target[TAR_PATH_MAX];
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);
	int r;

	if (n <= 0)
		return failed(w, n < 0 ? -errno : -EINVAL);
	target[n] = '\0';
	if (target[0] == '/')
		return refuse(w, "an absolute link is not allowed");
	for (const char *c = target; c; c = strchr(c, '/')) {
		c += *c == '/';
		if (strncmp(c, "..", 2) == 0 && (c[2] == '/' || c[2] == '\0'))
			return refuse(w, "a link with '..' is not allowed");
	}
	r = put_entry(w, TAR_SYMLINK, st, 0, target);
	return r < 0 ? failed(w, r) : 0;
}

static int add_one(struct walk *w, int dir, const char *name)
{
	struct stat st;
	int r;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(w, -errno);
	if (S_ISLNK(st.st_mode))
		return put_link(w, dir, name, &st);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return refuse(w, "neither file, directory nor link");
	AUTO_FD fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return failed(w, -errno);
	if (S_ISREG(st.st_mode))
		return put_file(w, fd, &st);
	if (!S_ISDIR(st.st_mode))
		return refuse(w, "neither file, directory nor link");
	r = put_entry(w, TAR_DIR, &st, 0, "");
	return r < 0 ? failed(w, r) : enter(w, TAKE_FD(fd));
}

static int step(struct walk *w)
{
	struct level *l = &w->levels[w->depth - 1];
	const char *name;
	int n;

	w->path[l->path_len] = '\0';
	if (l->at == l->n) {
		close_level(w);
		return 0;
	}
	name = l->names[l->at++];
	n = snprintf(w->path + l->path_len, sizeof(w->path) - l->path_len, "%s%s",
		l->path_len ? "/" : "", name);
	if ((size_t)n >= sizeof(w->path) - l->path_len)
		return refuse(w, "the path is too long");
	return add_one(w, l->fd, name);
}

int kit_home_read(int dir, const char *path, struct buf *out, struct err *e)
{
	AUTO_FD files = openat(dir, "files", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_FREE struct walk *w = NULL;
	int r = 0;

	if (files < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "open '%s/files'", path);
	if (faccessat(files, "workspace", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(
			e, ERR_INVALID, -EINVAL, "%s: not supported yet: files/workspace", path);
	AUTO_FD home = openat(files, "home", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (home < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "open '%s/files/home'", path);
	w = calloc(1, sizeof(*w));
	if (!w)
		return err_sys(e, -ENOMEM, "read kit '%s'", path);
	w->kit = path;
	w->out = out;
	w->e = e;
	r = enter(w, TAKE_FD(home));
	while (r == 0 && w->depth)
		r = step(w);
	while (w->depth)
		close_level(w);
	if (r == 0 && tar_put_end(out) < 0)
		r = failed(w, -ENOBUFS);
	return r;
}
