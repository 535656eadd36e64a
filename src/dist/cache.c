#include "dist/cache.h"
#include "dist/key.h"
#include "json/json.h"
#include "kit/zip.h"
#include "base/io.h"
#include "base/paths.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define ORIGIN_BYTES 8192
#define LEFT_S	     120 /* a directory without owner that is younger may be about to get one */

static int open_dir(const char *cache, bool make, char dir[PATH_MAX], struct err *e)
{
	int r = paths_join(dir, cache, CACHE_DIR);

	if (r == 0 && make)
		r = paths_mkdir(dir, e);
	if (r < 0)
		return r;
	r = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

static bool origin_name(const char *origin, char dst[96])
{
	char hex[DIST_HEX];

	if (!dist_sha256(origin, strlen(origin), hex))
		return false;
	(void)snprintf(dst, 96, "%s.origin", hex);
	return true;
}

static int write_origin(int dir, const char *origin, const char *hex)
{
	AUTO_JS o = js_object();
	AUTO(buf) text;
	char name[96];

	buf_init(&text, ORIGIN_BYTES);
	if (js_set_str(o, "origin", origin) || js_set_str(o, "zip", hex) ||
		js_canonical(o, &text) < 0 || !origin_name(origin, name))
		return -ENOMEM;
	return io_replace_file(dir, name, text.data, text.len, 0600);
}

int dist_cache_put(const char *cache, const char *origin, const struct buf *zip,
	const struct buf *proof, char ret_path[PATH_MAX], struct err *e)
{
	char dir[PATH_MAX], hex[DIST_HEX], name[128];
	AUTO_FD fd = open_dir(cache, true, dir, e);
	int r = fd < 0 ? fd : 0;

	if (r == 0 && !dist_sha256(buf_str(zip), zip->len, hex))
		r = -ENOMEM;
	if (r < 0)
		return e && e->code ? r : err_sys(e, r, "keep the kit in '%s'", cache);
	(void)snprintf(name, sizeof(name), "%s.zip%s", hex, CACHE_PROOF);
	if (proof->len)
		r = io_replace_file(fd, name, proof->data, proof->len, 0600);
	name[64 + strlen(".zip")] = '\0';
	if (r == 0)
		r = io_replace_file(fd, name, zip->data, zip->len, 0600);
	if (r == 0)
		r = write_origin(fd, origin, hex);
	if (r == 0)
		r = paths_join(ret_path, dir, name);
	if (r < 0)
		return err_sys(e, r, "keep the kit in '%s'", dir);
	dist_cache_prune(cache, CACHE_BYTES);
	return 0;
}

/* read_origin() - which ZIP is that of @origin? */
static int read_origin(int dir, const char *origin, char ret_hex[DIST_HEX])
{
	AUTO_JS o = NULL;
	AUTO(buf) text;
	char name[96];
	const char *said, *zip;

	buf_init(&text, ORIGIN_BYTES);
	if (!origin_name(origin, name) || io_read_file(dir, name, &text) < 0 ||
		js_parse(buf_str(&text), text.len, ORIGIN_BYTES, &o, NULL) < 0)
		return -ENOENT;
	said = js_str(js_get(o, "origin"));
	zip = js_str(js_get(o, "zip"));
	if (!said || !zip || strcmp(said, origin) != 0 || strlen(zip) != 64 ||
		strspn(zip, "0123456789abcdef") != 64)
		return -ENOENT;
	memcpy(ret_hex, zip, DIST_HEX);
	return 0;
}

int dist_cache_find(const char *cache, const char *origin, char ret_path[PATH_MAX], struct buf *zip)
{
	static const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
	char dir[PATH_MAX], hex[DIST_HEX], got[DIST_HEX], name[128];
	AUTO_FD fd = open_dir(cache, false, dir, NULL);
	int r = fd < 0 ? -ENOENT : read_origin(fd, origin, hex);

	if (r < 0)
		return r;
	(void)snprintf(name, sizeof(name), "%s.zip", hex);
	if (io_read_file(fd, name, zip) < 0 || !dist_sha256(buf_str(zip), zip->len, got) ||
		strcmp(got, hex) != 0 || paths_join(ret_path, dir, name) < 0) {
		buf_clear(zip);
		return -ENOENT;
	}
	(void)utimensat(fd, name, now, AT_SYMLINK_NOFOLLOW); /* it was used */
	return 0;
}

bool dist_cache_holds(const char *cache, const char *origin, const char *path)
{
	AUTO(buf) zip;
	char found[PATH_MAX];

	buf_init(&zip, KIT_ZIP_MAX);
	return dist_cache_find(cache, origin, found, &zip) == 0 && strcmp(found, path) == 0;
}

/* ---- pruning ---- */

struct kept {
	char name[80];
	time_t used;
	uint64_t bytes;
};

static int by_age(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	return x->used != y->used ? (x->used < y->used ? 1 : -1) : strcmp(x->name, y->name);
}

static size_t list_zips(int fd, struct kept *v)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *item;
	struct stat st;
	size_t n = 0;

	if (!d) {
		own_close_fd(&copy);
		return 0;
	}
	while (n < CACHE_ENTRIES && (item = readdir(d))) {
		if (strlen(item->d_name) != 68 || strcmp(item->d_name + 64, ".zip") != 0 ||
			fstatat(fd, item->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		(void)snprintf(v[n].name, sizeof(v[n].name), "%s", item->d_name);
		v[n].used = st.st_mtime;
		v[n++].bytes = (uint64_t)st.st_size;
	}
	(void)closedir(d);
	return n;
}

static void prune_zips(int fd, uint64_t most)
{
	AUTO_FREE struct kept *v = calloc(CACHE_ENTRIES, sizeof(*v));
	size_t n = v ? list_zips(fd, v) : 0;
	uint64_t sum = 0;

	if (n)
		qsort(v, n, sizeof(*v), by_age);
	for (size_t i = 0; i < n; i++) {
		char proof[128];

		sum += v[i].bytes;
		/* the one that was used last stays, whatever its size: somebody is about to read it */
		if (i == 0 || sum <= most)
			continue;
		(void)snprintf(proof, sizeof(proof), "%s%s", v[i].name, CACHE_PROOF);
		(void)unlinkat(fd, v[i].name, 0);
		(void)unlinkat(fd, proof, 0);
	}
}

/* prune_origins() - those whose ZIP is gone */
static void prune_origins(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *item;

	if (!d) {
		own_close_fd(&copy);
		return;
	}
	for (int n = 0; n < CACHE_ENTRIES && (item = readdir(d)); n++) {
		AUTO_JS o = NULL;
		AUTO(buf) text;
		char name[96];
		const char *zip;

		buf_init(&text, ORIGIN_BYTES);
		if (strlen(item->d_name) != 71 || strcmp(item->d_name + 64, ".origin") != 0)
			continue;
		if (io_read_file(fd, item->d_name, &text) == 0 &&
			js_parse(buf_str(&text), text.len, ORIGIN_BYTES, &o, NULL) == 0) {
			zip = js_str(js_get(o, "zip"));
			(void)snprintf(name, sizeof(name), "%.64s.zip", zip ? zip : "");
			if (zip && !strchr(zip, '/') && faccessat(fd, name, F_OK, 0) == 0)
				continue;
		}
		(void)unlinkat(fd, item->d_name, 0);
	}
	(void)closedir(d);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

/* prune_left() - who makes such a directory holds a lock on it as long as it lives */
static void prune_left(const char *cache)
{
	DIR *d = opendir(cache);
	time_t now = time(NULL);
	struct dirent *item;

	while (d && (item = readdir(d))) {
		char path[PATH_MAX];
		AUTO_FD fd = -1;
		struct stat st;

		if ((strncmp(item->d_name, "kit-git-", 8) != 0 &&
			    strncmp(item->d_name, "kit-oci-", 8) != 0) ||
			paths_join(path, cache, item->d_name) < 0)
			continue;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid() ||
			now - st.st_mtime < LEFT_S || flock(fd, LOCK_EX | LOCK_NB) < 0)
			continue;
		(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	}
	if (d)
		(void)closedir(d);
}

void dist_cache_prune(const char *cache, uint64_t bytes)
{
	char dir[PATH_MAX];
	AUTO_FD fd = open_dir(cache, false, dir, NULL);

	prune_left(cache);
	if (fd < 0)
		return;
	prune_zips(fd, bytes);
	prune_origins(fd);
}
