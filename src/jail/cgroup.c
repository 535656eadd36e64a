#include "jail/cgroup.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PERIOD_US 100000u
#define FILE_MAX  (1u << 20)

static const char *const controllers[JAIL_CGROUP_DIRS] = {"cpu", "memory", "pids"};

/* Where a hierarchy is mounted and where in it we are. */
struct hierarchy {
	char mount[200];
	char own[200]; /* "/..." */
};

static int read_proc(const char *path, struct buf *b)
{
	buf_init(b, FILE_MAX);
	return io_read_file(AT_FDCWD, path, b);
}

/* has_word() - is @word one of the comma-separated words of @list, which ends at @end? */
static bool has_word(const char *list, const char *end, const char *word)
{
	size_t len = strlen(word);

	while (list < end) {
		const char *stop = memchr(list, ',', (size_t)(end - list));

		if (!stop)
			stop = end;
		if ((size_t)(stop - list) == len && memcmp(list, word, len) == 0)
			return true;
		list = stop + 1;
	}
	return false;
}

/* mount_of() - mount point of the version 2 tree (@controller NULL) or of a version 1 controller
 * Line: "id parent major:minor root mountpoint options ... - type source superoptions".
 */
static bool mount_of(const char *controller, char dst[200])
{
	AUTO(buf) b;
	char *save = NULL;

	if (read_proc("/proc/self/mountinfo", &b) < 0 || !b.len)
		return false;
	for (char *line = strtok_r(b.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char type[32] = "", options[256] = "", point[200] = "", *dash = strstr(line, " - ");

		if (!dash || sscanf(line, "%*s %*s %*s %*s %199s", point) != 1 ||
			sscanf(dash + 3, "%31s %*s %255s", type, options) != 2)
			continue;
		if (controller ? strcmp(type, "cgroup") == 0 &&
					 has_word(options, options + strlen(options), controller)
			       : strcmp(type, "cgroup2") == 0) {
			memcpy(dst, point, sizeof(point));
			return true;
		}
	}
	return false;
}

/* own_path() - our place in that hierarchy; line: "number:controllers:/path" */
static bool own_path(const char *controller, char dst[200])
{
	AUTO(buf) b;
	char *save = NULL;

	if (read_proc("/proc/self/cgroup", &b) < 0 || !b.len)
		return false;
	for (char *line = strtok_r(b.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;

		if (!path || strlen(path + 1) >= 200)
			continue;
		if (controller ? has_word(list + 1, path, controller) : path == list + 1) {
			memcpy(dst, path + 1, strlen(path + 1) + 1);
			return true;
		}
	}
	return false;
}

static bool find_hierarchy(const char *controller, struct hierarchy *ret)
{
	if (!mount_of(controller, ret->mount) || !own_path(controller, ret->own))
		return false;
	/* Root's groups stand at the top: found again from any session, and in version 2 a group
	 * that has processes of its own (ours) cannot have limited children.
	 */
	if (geteuid() == 0)
		ret->own[0] = 0;
	else if (!controller && strrchr(ret->own, '/'))
		*strrchr(ret->own, '/') = 0;
	return true;
}

static int put(const char *dir, const char *file, const char *text)
{
	char path[PATH_MAX];
	AUTO_FD fd = -1;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int put_number(const char *dir, const char *file, uint64_t value)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return put(dir, file, text);
}

static int limit_v2(const char *dir, unsigned which, const struct jail_cgroup_limits *l)
{
	char text[64];

	switch (which) {
	case 0:
		if (!l->cpu_percent)
			return 0;
		(void)snprintf(
			text, sizeof(text), "%u %u", l->cpu_percent * (PERIOD_US / 100), PERIOD_US);
		return put(dir, "cpu.max", text);
	case 1:
		(void)put(
			dir, "memory.swap.max", "0"); /* absent on hosts without swap accounting */
		return put_number(dir, "memory.max", l->memory_bytes);
	default:
		return put_number(dir, "pids.max", l->pids);
	}
}

static int limit_v1(const char *dir, unsigned which, const struct jail_cgroup_limits *l)
{
	int r;

	switch (which) {
	case 0:
		if (!l->cpu_percent)
			return 0;
		r = put_number(dir, "cpu.cfs_period_us", PERIOD_US);
		return r < 0 ? r
			     : put_number(dir, "cpu.cfs_quota_us",
				       (uint64_t)l->cpu_percent * (PERIOD_US / 100));
	case 1:
		r = put_number(dir, "memory.limit_in_bytes", l->memory_bytes);
		(void)put_number(dir, "memory.memsw.limit_in_bytes", l->memory_bytes);
		return r;
	default:
		return put_number(dir, "pids.max", l->pids);
	}
}

static void note(struct jail_cgroup *g, const char *what, const char *why)
{
	size_t at = strlen(g->note);

	(void)snprintf(g->note + at, sizeof(g->note) - at, "%s%s not limited: %s", at ? "; " : "",
		what, why);
}

static bool group_dir(const char *controller, const char *name, char dst[256])
{
	struct hierarchy h;

	if (!find_hierarchy(controller, &h))
		return false;
	return snprintf(dst, 256, "%s%s/sbx-%s", h.mount, h.own, name) < 256;
}

/* parent_takes_us() - moving a process needs write access at the common ancestor too */
static bool parent_takes_us(const char *dir)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/../cgroup.procs", dir);
	return access(path, W_OK) == 0;
}

static bool make_v2(const char *name, const struct jail_cgroup_limits *l, struct jail_cgroup *g)
{
	char parent[300], *dir = g->dir[0];
	unsigned failed = 0;

	if (!group_dir(NULL, name, dir))
		return false;
	(void)snprintf(parent, sizeof(parent), "%s/..", dir);
	if ((mkdir(dir, 0755) < 0 && errno != EEXIST) || !parent_takes_us(dir))
		return false;
	(void)put(parent, "cgroup.subtree_control", "+cpu");
	(void)put(parent, "cgroup.subtree_control", "+memory");
	(void)put(parent, "cgroup.subtree_control", "+pids");
	for (unsigned i = 0; i < JAIL_CGROUP_DIRS; i++) {
		if (limit_v2(dir, i, l) < 0) {
			note(g, controllers[i], "controller not delegated");
			failed++;
		}
	}
	if (failed == JAIL_CGROUP_DIRS) { /* a bare v2 tree beside v1 controllers */
		(void)rmdir(dir);
		g->note[0] = 0;
		return false;
	}
	g->version = 2;
	g->n_dirs = 1;
	return true;
}

static void make_v1(const char *name, const struct jail_cgroup_limits *l, struct jail_cgroup *g)
{
	for (unsigned i = 0; i < JAIL_CGROUP_DIRS; i++) {
		char *dir = g->dir[g->n_dirs];

		if (!group_dir(controllers[i], name, dir)) {
			note(g, controllers[i], "no such cgroup controller");
			continue;
		}
		if (mkdir(dir, 0755) < 0 && errno != EEXIST) {
			note(g, controllers[i], "cgroup not writable");
			continue;
		}
		if (limit_v1(dir, i, l) < 0) {
			note(g, controllers[i], "limit refused");
			(void)rmdir(dir);
			continue;
		}
		g->version = 1;
		g->n_dirs++;
	}
}

int jail_cgroup_make(const char *name, const struct jail_cgroup_limits *l,
	struct jail_cgroup *ret_group, struct err *e)
{
	struct jail_cgroup g = {0};

	for (const char *p = name; *p; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", *p))
			return err_set(e, ERR_INTERNAL, -EINVAL, "bad cgroup name");
	if (!make_v2(name, l, &g))
		make_v1(name, l, &g);
	*ret_group = g;
	return 0;
}

void jail_cgroup_find(const char *name, struct jail_cgroup *ret_group)
{
	struct jail_cgroup g = {0};
	struct stat st;

	if (group_dir(NULL, name, g.dir[0]) && stat(g.dir[0], &st) == 0) {
		g.version = 2;
		g.n_dirs = 1;
		*ret_group = g;
		return;
	}
	for (unsigned i = 0; i < JAIL_CGROUP_DIRS; i++) {
		if (group_dir(controllers[i], name, g.dir[g.n_dirs]) &&
			stat(g.dir[g.n_dirs], &st) == 0) {
			g.version = 1;
			g.n_dirs++;
		}
	}
	*ret_group = g;
}

int jail_cgroup_attach(const struct jail_cgroup *g, pid_t pid)
{
	for (unsigned i = 0; i < g->n_dirs; i++) {
		int r = put_number(g->dir[i], "cgroup.procs", (uint64_t)pid);

		if (r < 0)
			return r;
	}
	return 0;
}

unsigned jail_cgroup_oom_kills(const struct jail_cgroup *g)
{
	unsigned n = 0;

	for (unsigned i = 0; i < g->n_dirs; i++) {
		AUTO(buf) b = {0};
		char path[PATH_MAX], *save = NULL;

		(void)snprintf(path, sizeof(path), "%s/%s", g->dir[i],
			g->version == 2 ? "memory.events" : "memory.oom_control");
		if (read_proc(path, &b) < 0 || !b.len)
			continue; /* another controller's directory, or gone */
		for (char *line = strtok_r(b.data, "\n", &save); line;
			line = strtok_r(NULL, "\n", &save))
			if (sscanf(line, "oom_kill %u", &n) == 1)
				return n;
	}
	return 0;
}

int jail_cgroup_remove(const struct jail_cgroup *g)
{
	int ret = 0;

	for (unsigned i = 0; i < g->n_dirs; i++)
		if (rmdir(g->dir[i]) < 0 && errno != ENOENT)
			ret = -errno;
	return ret;
}
