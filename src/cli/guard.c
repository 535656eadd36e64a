#include "cli/guard.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

void guard_fill(struct guard *g, const struct js *boxes)
{
	g->n = 0;
	for (size_t i = 0; i < js_len(boxes); i++) {
		const struct js *list = js_get(js_at(boxes, i), "workspaces");

		for (size_t k = 0; k < js_len(list) && g->n < GUARD_ROOTS_MAX; k++) {
			const char *path = js_str(js_get(js_at(list, k), "path"));

			if (path && path[0] == '/' && path[1])
				g->roots[g->n++] = path;
		}
	}
}

/* inside() - the root that @path lies in or is; NULL: none */
static const char *inside(const struct guard *g, const char *path)
{
	const char *best = NULL;

	for (size_t i = 0; i < g->n; i++) {
		size_t n = strlen(g->roots[i]);

		if (strncmp(path, g->roots[i], n) == 0 && (path[n] == '/' || path[n] == '\0') &&
			(!best || n < strlen(best)))
			best = g->roots[i]; /* the outermost, which no sandbox can replace */
	}
	return best;
}

/* absolute() - @path as an absolute one without "." and ".."
 * Taking ".." for the directory before it is right for the components of the current directory,
 * which the kernel gave, but not behind a name inside a root: that could be a link. -EXDEV then.
 */
static int absolute(const struct guard *g, const char *path, char dst[PATH_MAX])
{
	size_t len, own = 0;

	dst[0] = '\0';
	if (path[0] != '/' && !getcwd(dst, PATH_MAX))
		return -errno;
	len = strcmp(dst, "/") == 0 ? 0 : strlen(dst);
	own = len; /* up to here the kernel's word */
	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.') {
			dst[len] = '\0';
			if (len > own && inside(g, dst))
				return -EXDEV;
			while (len > 0 && dst[--len] != '/')
				;
			own = own < len ? own : len;
		} else if (n > 0 && !(n == 1 && p[0] == '.')) {
			if (len + n + 2 > PATH_MAX)
				return -ENAMETOOLONG;
			dst[len++] = '/';
			memcpy(dst + len, p, n);
			len += n;
		}
		p += n;
		if (*p == '/')
			p++;
	}
	if (len == 0)
		dst[len++] = '/';
	dst[len] = '\0';
	return 0;
}

static int open_beneath(const char *root, const char *rest)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	AUTO_FD dir = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	long fd;

	if (dir < 0)
		return -errno;
	do {
		fd = syscall(SYS_openat2, dir, rest[0] ? rest : ".", &how, sizeof(how));
	} while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd < 0 ? -errno : (int)fd;
}

static int refused(const char *path, struct err *e)
{
	(void)err_set(e, ERR_DENIED, -ELOOP,
		"'%.300s' leads through a symbolic link in a folder that a sandbox can write",
		path);
	err_hint(e, "name the place itself, or one outside of the shared folder");
	return -ELOOP;
}

int guard_open_dir(const struct guard *g, const char *path, struct err *e)
{
	char abs[PATH_MAX], real[PATH_MAX];
	const char *root;
	int r = absolute(g, path, abs);

	if (r == -EXDEV)
		return refused(path, e);
	if (r < 0)
		return err_sys(e, r, "open '%.300s'", path);
	root = inside(g, abs);
	if (!root && realpath(abs, real)) {
		/* From outside a link of the user's may lead into a root. */
		root = inside(g, real);
		if (root)
			memcpy(abs, real, strlen(real) + 1);
	}
	if (root) {
		const char *rest = abs + strlen(root);

		r = open_beneath(root, rest[0] == '/' ? rest + 1 : rest);
		if (r == -ELOOP || r == -EXDEV)
			return refused(path, e);
	} else {
		r = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = r < 0 ? -errno : r;
	}
	return r < 0 ? err_sys(e, r, "open '%.300s'", path) : r;
}
