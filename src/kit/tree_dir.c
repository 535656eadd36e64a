#include "kit/tree.h"
#include "base/io.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct level {
	int fd;
	char **names; /* sorted */
	size_t n, at;
	size_t path_len; /* of the walk's path, up to this directory */
};

struct walk {
	struct level levels[KIT_TREE_DEPTH_MAX + 1];
	unsigned depth;
	size_t entries;
	char path[KIT_TREE_PATH_MAX + 2]; /* relative to the kit, without leading slash */
	const char *kit;
	struct kit_tree *out;
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
	return err_set(w->e, ERR_INVALID, -EINVAL, "%s/%s:1:1: %s", w->kit, w->path, why);
}

static int failed(const struct walk *w, int r)
{
	return err_sys(w->e, r, "read '%s/%s'", w->kit, w->path);
}

static int read_names(struct walk *w, struct level *l)
{
	int copy = fcntl(l->fd, F_DUPFD_CLOEXEC, 3);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *d;
	size_t cap = 0;
	int r = dir ? 0 : -errno;

	if (!dir && copy >= 0)
		own_close_fd(&copy);
	while (r == 0 && (d = readdir(dir))) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (++w->entries > KIT_TREE_ENTRIES_MAX) {
			r = err_set(w->e, ERR_LIMIT, -EFBIG, "%s: more than %d files", w->kit,
				KIT_TREE_ENTRIES_MAX);
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
			r = failed(w, -ENOMEM);
	}
	if (!dir)
		r = failed(w, r);
	else
		(void)closedir(dir);
	if (l->n)
		qsort(l->names, l->n, sizeof(*l->names), by_name);
	return r;
}

/* enter() - begin a directory; takes @fd */
static int enter(struct walk *w, int fd)
{
	struct level *l;

	if (w->depth == KIT_TREE_DEPTH_MAX) {
		own_close_fd(&fd);
		return refuse(w, "nested too deep");
	}
	l = &w->levels[w->depth++];
	*l = (struct level){.fd = fd, .path_len = strlen(w->path)};
	return read_names(w, l);
}

static int put(struct walk *w, enum kit_entry_type type, const struct stat *st, const void *bytes,
	size_t len)
{
	const struct kit_entry entry = {.path = w->path,
		.type = type,
		.mode = st->st_mode & 07777,
		.bytes = bytes,
		.len = len};

	return kit_tree_add(w->out, w->kit, &entry, w->e);
}

static int put_file(struct walk *w, int fd, const struct stat *st)
{
	AUTO(buf) bytes;
	int r;

	buf_init(&bytes, KIT_TREE_BYTES_MAX);
	r = io_read_fd(fd, &bytes);
	if (r == -EFBIG)
		return err_set(w->e, ERR_LIMIT, r, "%s: more than %u MiB of files", w->kit,
			KIT_TREE_BYTES_MAX >> 20);
	return r < 0 ? failed(w, r) : put(w, KIT_FILE, st, buf_str(&bytes), bytes.len);
}

static int put_link(struct walk *w, int dir, const char *name, const struct stat *st)
{
	char target[KIT_TREE_PATH_MAX + 2];
	ssize_t n = readlinkat(dir, name, target, sizeof(target));

	if (n < 0)
		return failed(w, -errno);
	return put(w, KIT_LINK, st, target, (size_t)n);
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
	AUTO_FD fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return failed(w, -errno);
	if (S_ISREG(st.st_mode))
		return put_file(w, fd, &st);
	if (!S_ISDIR(st.st_mode))
		return refuse(w, "neither file, directory nor link");
	r = put(w, KIT_DIR, &st, NULL, 0);
	return r < 0 ? r : enter(w, TAKE_FD(fd));
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
	n = snprintf(w->path + l->path_len, sizeof(w->path) - l->path_len, "/%s", name);
	if ((size_t)n >= sizeof(w->path) - l->path_len)
		return refuse(w, "the path is too long");
	return add_one(w, l->fd, name);
}

static int add_spec(struct walk *w, int dir)
{
	struct stat st;

	(void)snprintf(w->path, sizeof(w->path), "spec.yaml");
	if (fstatat(dir, w->path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(w, -errno);
	return add_one(w, dir, "spec.yaml");
}

static int add_files(struct walk *w, int dir)
{
	struct stat st;
	int r = 0;

	(void)snprintf(w->path, sizeof(w->path), "files");
	if (fstatat(dir, w->path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : failed(w, -errno);
	if (!S_ISDIR(st.st_mode))
		return refuse(w, "files must be a directory");
	r = add_one(w, dir, "files");
	while (r == 0 && w->depth)
		r = step(w);
	return r;
}

int kit_tree_dir(struct kit_tree *t, int fd, const char *root, struct err *e)
{
	AUTO_FREE struct walk *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return err_sys(e, -ENOMEM, "read kit '%s'", root);
	w->kit = root;
	w->out = t;
	w->e = e;
	r = add_spec(w, fd);
	if (r == 0)
		r = add_files(w, fd);
	while (w->depth)
		close_level(w);
	return r == 0 ? kit_tree_seal(t, root, e) : r;
}
