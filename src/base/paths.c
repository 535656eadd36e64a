#include "base/paths.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int paths_join(char dst[PATH_MAX], const char *a, const char *b)
{
	return snprintf(dst, PATH_MAX, "%s/%s", a, b) >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static const char *home_dir(void)
{
	const char *home = getenv("HOME");
	struct passwd *pw;

	if (home && home[0] == '/')
		return home;
	pw = getpwuid(geteuid());
	return pw ? pw->pw_dir : NULL;
}

static int user_dir(
	char dst[PATH_MAX], const char *own, const char *xdg, const char *under, struct err *e)
{
	const char *v = getenv(own), *home;
	int n;

	if (v && v[0]) {
		if (v[0] != '/')
			return err_set(e, ERR_INVALID, -EINVAL, "%s must be an absolute path", own);
		n = snprintf(dst, PATH_MAX, "%s", v);
		return n >= PATH_MAX ? err_sys(e, -ENAMETOOLONG, "%s", own) : 0;
	}
	v = getenv(xdg);
	if (v && v[0] == '/') {
		n = snprintf(dst, PATH_MAX, "%s/sbx", v);
		return n >= PATH_MAX ? err_sys(e, -ENAMETOOLONG, "%s", xdg) : 0;
	}
	home = home_dir();
	if (!home)
		return err_set(e, ERR_UNAVAILABLE, -ENOENT, "no home directory: set %s", own);
	n = snprintf(dst, PATH_MAX, "%s/%s/sbx", home, under);
	return n >= PATH_MAX ? err_sys(e, -ENAMETOOLONG, "home directory") : 0;
}

static int exists(const char *dir, const char *name)
{
	char p[PATH_MAX];

	return paths_join(p, dir, name) == 0 && access(p, F_OK) == 0;
}

static int program_dirs(struct paths *p, struct err *e)
{
	const char *libexec = getenv("SBX_LIBEXEC_DIR"), *data = getenv("SBX_DATA_DIR");
	char exe[PATH_MAX - 64];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash;

	if (n <= 0)
		return err_sys(e, n < 0 ? -errno : -ENOENT, "find the own program");
	exe[n] = '\0';
	slash = strrchr(exe, '/');
	if (slash)
		*slash = '\0';
	if (libexec && libexec[0] == '/')
		(void)snprintf(p->libexec, PATH_MAX, "%s", libexec);
	else if (exists(exe, "sbxd"))
		(void)snprintf(p->libexec, PATH_MAX, "%s", exe);
	else
		(void)snprintf(p->libexec, PATH_MAX, "%s/../libexec/sbx", exe);
	if (data && data[0] == '/')
		(void)snprintf(p->data, PATH_MAX, "%s", data);
	else if (exists(exe, "../../meson.build"))
		(void)snprintf(p->data, PATH_MAX, "%s/../..", exe);
	else if (exists(exe, "../../share/sbx")) /* a program in libexec/sbx */
		(void)snprintf(p->data, PATH_MAX, "%s/../../share/sbx", exe);
	else
		(void)snprintf(p->data, PATH_MAX, "%s/../share/sbx", exe);
	return 0;
}

int paths_find(struct paths *p, struct err *e)
{
	int r = user_dir(p->state, "SBX_STATE_DIR", "XDG_STATE_HOME", ".local/state", e);

	if (r == 0)
		r = user_dir(p->cache, "SBX_CACHE_DIR", "XDG_CACHE_HOME", ".cache", e);
	if (r == 0)
		r = user_dir(p->config, "SBX_CONFIG_DIR", "XDG_CONFIG_HOME", ".config", e);
	return r < 0 ? r : program_dirs(p, e);
}

static int check_last(const char *path, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return err_sys(e, -errno, "look at '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_DENIED, -ENOTDIR, "'%s' is not a directory of its own", path);
	if (st.st_uid != geteuid())
		return err_set(e, ERR_DENIED, -EPERM, "'%s' belongs to another user", path);
	if (st.st_mode & 022)
		return err_set(e, ERR_DENIED, -EPERM, "'%s' is writable for other users", path);
	return 0;
}

int paths_mkdir(const char *path, struct err *e)
{
	char p[PATH_MAX];

	if (snprintf(p, sizeof(p), "%s", path) >= (int)sizeof(p))
		return err_sys(e, -ENAMETOOLONG, "make '%.100s'", path);
	for (char *s = p + 1; *s; s++) {
		if (*s != '/')
			continue;
		*s = '\0';
		if (mkdir(p, 0700) < 0 && errno != EEXIST)
			return err_sys(e, -errno, "make '%s'", p);
		*s = '/';
	}
	if (mkdir(p, 0700) < 0 && errno != EEXIST)
		return err_sys(e, -errno, "make '%s'", p);
	return check_last(p, e);
}
