#include "base/cachedir.h"
#include "base/clock.h"
#include "base/own.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 4096 /* more are looked at the next time */

struct found {
	char name[NAME_MAX + 1];
	int64_t changed_ms;
};

int cachedir_tmp(char dst[PATH_MAX], const char *path)
{
	return snprintf(dst, PATH_MAX, "%s.%d.tmp", path, (int)getpid()) < PATH_MAX ? 0
										    : -ENAMETOOLONG;
}

/* maker_of() - the process id in the name of an unfinished file; 0: it is none */
static pid_t maker_of(const char *name)
{
	size_t len = strlen(name);
	char *end;
	long pid;

	if (len < 5 || strcmp(name + len - 4, ".tmp") != 0)
		return 0;
	while (len > 4 && name[len - 5] >= '0' && name[len - 5] <= '9')
		len--;
	pid = strtol(name + len - 4, &end, 10);
	return strcmp(end, ".tmp") == 0 && pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

/* A number that nobody has here may be one of another container with the same directory: what was
 * written to within a minute is left alone.
 */
static bool is_dead(pid_t maker, int64_t changed_ms)
{
	return clock_real_ms() - changed_ms > CACHEDIR_TMP_MS && kill(maker, 0) < 0 &&
	       errno == ESRCH;
}

static int by_age(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return (x->changed_ms < y->changed_ms) - (x->changed_ms > y->changed_ms);
}

/* look() - unfinished files go at once; the rest into @all, how many there are as result */
static size_t look(DIR *d, const char *keep, struct found *all)
{
	const struct dirent *entry;
	struct stat st;
	size_t n = 0;

	while (n < FILES_MAX && (entry = readdir(d))) {
		pid_t maker = maker_of(entry->d_name);
		int64_t changed_ms;

		if ((keep && strcmp(entry->d_name, keep) == 0) ||
			fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISREG(st.st_mode))
			continue;
		changed_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
		if (maker == 0) {
			memcpy(all[n].name, entry->d_name, strlen(entry->d_name) + 1);
			all[n++].changed_ms = changed_ms;
		} else if (is_dead(maker, changed_ms)) {
			(void)unlinkat(dirfd(d), entry->d_name, 0);
		}
	}
	return n;
}

void cachedir_prune(const char *dir, const char *keep, size_t newest)
{
	AUTO_FREE struct found *all = calloc(FILES_MAX, sizeof(*all));
	DIR *d = all ? opendir(dir) : NULL;
	size_t n;

	if (!d)
		return;
	n = look(d, keep, all);
	qsort(all, n, sizeof(*all), by_age);
	for (size_t i = newest; i < n; i++)
		(void)unlinkat(dirfd(d), all[i].name, 0);
	(void)closedir(d);
}
