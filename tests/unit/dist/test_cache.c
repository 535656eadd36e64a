/* test_cache.c - packed kits that are kept, what of them is believed, and what goes */
#include "check.h"
#include "dist/cache.h"
#include "dist/fetch.h"
#include "dist/key.h"
#include "kit/zip.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ORIGIN "git+https://h.example/k#ref=0123456789abcdef0123456789abcdef01234567"

static char dir[64];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/sbx-kits-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *origin, const char *bytes, const char *proof, char path[PATH_MAX])
{
	AUTO(buf) zip, text;
	struct err e = {0};

	buf_init(&zip, KIT_ZIP_MAX);
	buf_init(&text, 1U << 20);
	assert_int_equal(buf_add(&zip, bytes, strlen(bytes)), 0);
	if (proof)
		assert_int_equal(buf_add(&text, proof, strlen(proof)), 0);
	if (dist_cache_put(dir, origin, &zip, &text, path, &e) < 0)
		fail_msg("%s", e.msg);
}

static int find(const char *origin, char path[PATH_MAX], struct buf *zip)
{
	buf_init(zip, KIT_ZIP_MAX);
	return dist_cache_find(dir, origin, path, zip);
}

static void test_kept(void **state)
{
	char path[PATH_MAX], again[PATH_MAX], proof[PATH_MAX + 32];
	struct stat st;
	AUTO(buf) zip;
	unsigned fds = open_fds();

	(void)state;
	assert_int_equal(find(ORIGIN, path, &zip), -ENOENT);
	put(ORIGIN, "one", "{}", path);
	assert_int_equal(find(ORIGIN, again, &zip), 0);
	assert_string_equal(path, again);
	assert_int_equal(zip.len, 3);
	assert_true(dist_cache_holds(dir, ORIGIN, path));
	assert_false(dist_cache_holds(dir, ORIGIN, "/etc/passwd"));
	assert_false(dist_cache_holds(dir, ORIGIN "0", path));
	(void)snprintf(proof, sizeof(proof), "%s" CACHE_PROOF, path);
	assert_int_equal(stat(proof, &st), 0);
	(void)snprintf(again, sizeof(again), "%s/kits", dir);
	assert_int_equal(stat(again, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(open_fds(), fds);
}

/* what somebody changed there is not believed */
static void test_damaged(void **state)
{
	char path[PATH_MAX], other[PATH_MAX];
	AUTO(buf) zip, gone;
	int fd;

	(void)state;
	put(ORIGIN, "one", NULL, path);
	put(ORIGIN "2", "two", NULL, other);
	assert_int_equal(rename(other, path), 0);
	assert_int_equal(find(ORIGIN, other, &zip), -ENOENT);
	assert_int_equal(zip.len, 0);
	fd = open(path, O_WRONLY | O_TRUNC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "one", 3), 3);
	close(fd);
	buf_fini(&zip);
	assert_int_equal(find(ORIGIN, other, &zip), 0);
	assert_int_equal(find(ORIGIN "2", other, &gone), -ENOENT);
}

static void age(const char *path, time_t seconds)
{
	struct timespec t[2] = {{.tv_sec = time(NULL) - seconds}, {.tv_sec = time(NULL) - seconds}};

	assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void test_pruned(void **state)
{
	char path[3][PATH_MAX], found[PATH_MAX];
	AUTO(buf) a, b, c;

	(void)state;
	put("git+a", "aaaaaaaaaa", NULL, path[0]);
	put("git+b", "bbbbbbbbbb", "{}", path[1]);
	put("git+c", "cccccccccc", NULL, path[2]);
	age(path[0], 10);
	age(path[1], 300);
	age(path[2], 200);
	dist_cache_prune(dir, 20);
	assert_int_equal(find("git+b", found, &b), -ENOENT);
	assert_int_equal(access(path[1], F_OK), -1);
	(void)snprintf(found, sizeof(found), "%.*s" CACHE_PROOF, PATH_MAX - 32, path[1]);
	assert_int_equal(access(found, F_OK), -1);
	assert_int_equal(find("git+a", found, &a), 0);
	/* it was just used: now c is the older one; the latest stays even when it is too large */
	dist_cache_prune(dir, 5);
	assert_int_equal(find("git+c", found, &c), -ENOENT);
	buf_fini(&a);
	assert_int_equal(find("git+a", found, &a), 0);
}

static void make_dir(const char *name, char path[128])
{
	char inner[160];

	(void)snprintf(path, 128, "%s/%s", dir, name);
	(void)snprintf(inner, sizeof(inner), "%s/r", path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(mkdir(inner, 0700), 0);
}

static void test_left(void **state)
{
	char old[128], used[128], young[128], link[128], else_[128];
	int lock;

	(void)state;
	make_dir("kit-git-old", old);
	make_dir("kit-oci-used", used);
	make_dir("kit-git-young", young);
	make_dir("images", else_);
	(void)snprintf(link, sizeof(link), "%s/kit-git-link", dir);
	assert_int_equal(symlink(else_, link), 0);
	age(old, 1000);
	age(used, 1000);
	age(else_, 1000);
	lock = open(used, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(lock >= 0);
	assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
	dist_cache_prune(dir, CACHE_BYTES);
	assert_int_equal(access(old, F_OK), -1);
	assert_int_equal(access(used, F_OK), 0);
	assert_int_equal(access(young, F_OK), 0);
	assert_int_equal(access(else_, F_OK), 0);
	close(lock);
	dist_cache_prune(dir, CACHE_BYTES);
	assert_int_equal(access(used, F_OK), -1);
}

/* a commit that was fetched before needs neither git nor a network; what is not allowed is not even looked for */
static void test_pinned(void **state)
{
	AUTO_FREE struct paths *p = calloc(1, sizeof(*p));
	AUTO_FREE struct dist_fetched *got = calloc(1, sizeof(*got));
	struct dist_rules rules = {.allow_local = true, .sources = "[\"h.example/k\"]"};
	char path[PATH_MAX];
	struct err e = {0};

	(void)state;
	assert_non_null(p);
	assert_non_null(got);
	(void)snprintf(p->cache, sizeof(p->cache), "%s", dir);
	put(ORIGIN, "one", NULL, path);
	assert_int_equal(dist_fetch(ORIGIN, p, &rules, got, &e), 0);
	assert_true(got->remote && got->cached);
	assert_string_equal(got->path, path);
	assert_string_equal(got->origin, ORIGIN);
	(void)snprintf(rules.sources, sizeof(rules.sources), "[\"h.example/other\"]");
	assert_int_equal(dist_fetch(ORIGIN, p, &rules, got, &e), -EACCES);
	assert_non_null(strstr(e.msg, "'h.example/k' are not allowed"));
	e = (struct err){0};
	assert_int_equal(dist_fetch("./here", p, &rules, got, &e), 0);
	assert_false(got->remote);
	assert_int_equal(dist_fetch("shell", p, &rules, got, &e), 0);
	assert_false(got->remote);
}

#define EACH(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(test_kept),
		EACH(test_damaged),
		EACH(test_pruned),
		EACH(test_left),
		EACH(test_pinned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
