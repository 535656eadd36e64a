/* test_workspace.c - what may be shared, and that it is the same thing at each start */
#include "check.h"
#include "daemon/plan.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static char top[64];
static struct paths paths;

/* What every file system says it is, in place of the truth; 0: the truth. */
static unsigned long pretended;

/* The C library's, as the code under test is linked to it here: no host of a test has an NFS server. */
int fstatfs(int fd, struct statfs *ret)
{
	long r = syscall(SYS_fstatfs, fd, ret);

	if (r == 0 && pretended)
		ret->f_type = (__typeof__(ret->f_type))pretended;
	return (int)r;
}

static const char *at(const char *below)
{
	static char bufs[4][PATH_MAX];
	static unsigned i;
	char *b = bufs[i++ % 4];

	(void)snprintf(b, PATH_MAX, "%s/%s", top, below);
	return b;
}

static int setup(void **state)
{
	static const char *const dirs[] = {
		"ws", "ws/sub", "sbx", "sbx/state", "sbx/state/in", "cache"};

	(void)state;
	strcpy(top, "/tmp/sbx-test-ws-XXXXXX");
	assert_non_null(mkdtemp(top));
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		assert_int_equal(mkdir(at(dirs[i]), 0700), 0);
	(void)snprintf(paths.state, PATH_MAX, "%s", at("sbx/state"));
	(void)snprintf(paths.cache, PATH_MAX, "%s", at("cache"));
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	return nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int check(const char *path, struct plan_place *ret)
{
	struct err e = {0};
	int r = plan_workspace_check(path, &paths, ret, &e);

	assert_int_equal(r < 0, e.code != ERR_NONE);
	return r;
}

static void test_taken(void **state)
{
	struct plan_place p;
	int fd = open(at("ws/file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	(void)state;
	close(fd);
	assert_int_equal(check(at("ws"), &p), 0);
	assert_false(p.is_file);
	assert_string_equal(p.host, at("ws"));
	assert_int_equal(check(at("ws/file"), &p), 0);
	assert_true(p.is_file);
	/* a symbolic link is the person's choice: what it leads to is what is shared */
	assert_int_equal(symlink(at("ws/sub"), at("link")), 0);
	assert_int_equal(check(at("link"), &p), 0);
	assert_string_equal(p.host, at("ws/sub"));
}

static void test_refused(void **state)
{
	static const char *const odd[] = {"", "relative", "./x", "/", "/etc", "/usr", "/proc",
		"/proc/self", "/sys/kernel", "/dev", "/dev/shm", "/tmp/", "/tmp//x", "/tmp/./x",
		"/tmp/../tmp", "/tmp/x\ny", "/home", "/tmp"};
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct plan_place p;
	AUTO_FD s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		if (check(odd[i], &p) >= 0)
			print_error("'%s' was taken\n", odd[i]);
		assert_true(check(odd[i], &p) < 0);
	}
	assert_int_equal(check(at("missing"), &p), -ENOENT);
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	assert_int_equal(check(at("fifo"), &p), -EINVAL);
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", at("sock"));
	assert_int_equal(bind(s, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(check(at("sock"), &p), -EINVAL);
}

static void test_network_file_systems(void **state)
{
	static const struct {
		unsigned long magic;
		const char *name;
	} them[] = {{0x6969, "NFS"}, {0x517b, "SMB"}, {0xff534d42UL, "CIFS"},
		{0xfe534d42UL, "SMB2"}, {0x01021997, "9p"}, {0x5346414fUL, "AFS"},
		{0x00c36400, "Ceph"}};
	struct plan_place p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(them); i++) {
		struct err e = {0};
		int r;

		pretended = them[i].magic;
		r = plan_workspace_check(at("ws"), &paths, &p, &e);
		pretended = 0;
		assert_int_equal(r, -EREMOTE);
		assert_int_equal(e.code, ERR_INVALID);
		assert_non_null(strstr(e.msg, "is on a network file system: "));
		assert_string_equal(strrchr(e.msg, ' ') + 1, them[i].name);
		assert_string_equal(e.hint, "copy it to a local disk");
	}
	pretended = 0x65735546; /* FUSE is taken, with a word about it */
	assert_int_equal(check(at("ws"), &p), 0);
	pretended = 0;
	assert_non_null(strstr(p.note, "FUSE"));
	assert_int_equal(check(at("ws"), &p), 0);
}

static void test_state_and_cache_stay_out(void **state)
{
	struct plan_place p;

	(void)state;
	assert_int_equal(check(at("sbx/state"), &p), -EPERM);
	assert_int_equal(check(at("sbx/state/in"), &p), -EPERM);
	assert_int_equal(check(at("sbx"), &p), -EPERM);
	assert_int_equal(check(top, &p), -EPERM);
	assert_int_equal(check(at("cache"), &p), -EPERM);
	assert_int_equal(symlink(at("sbx"), at("innocent")), 0);
	assert_int_equal(check(at("innocent"), &p), -EPERM);
	/* a name that only begins the same is another directory */
	assert_int_equal(mkdir(at("cache2"), 0700), 0);
	assert_int_equal(check(at("cache2"), &p), 0);
}

static struct plan_workspace approved(const char *path, char host[PATH_MAX])
{
	struct plan_place p;

	assert_int_equal(check(path, &p), 0);
	(void)snprintf(host, PATH_MAX, "%s", p.host);
	return (struct plan_workspace){.path = path,
		.host = host,
		.is_file = p.is_file,
		.dev = p.dev,
		.ino = p.ino,
		.fsid = p.fsid};
}

static int reopen(const struct plan_workspace *w)
{
	struct err e = {0};
	AUTO_FD fd = plan_workspace_open(w, &e);

	return fd < 0 ? fd : 0;
}

static void test_the_same_or_not_at_all(void **state)
{
	char host[PATH_MAX];
	struct plan_workspace w = approved(at("ws/sub"), host);

	(void)state;
	assert_int_equal(reopen(&w), 0);
	/* swapped for a link to somewhere else */
	assert_int_equal(rename(at("ws/sub"), at("ws/moved")), 0);
	assert_int_equal(symlink("/etc", at("ws/sub")), 0);
	assert_int_equal(reopen(&w), -ELOOP);
	/* even for a link to the very same */
	assert_int_equal(unlink(at("ws/sub")), 0);
	assert_int_equal(symlink(at("ws/moved"), at("ws/sub")), 0);
	assert_int_equal(reopen(&w), -ELOOP);
	/* another directory of that name */
	assert_int_equal(unlink(at("ws/sub")), 0);
	assert_int_equal(reopen(&w), -ENOENT);
	assert_int_equal(mkdir(at("ws/sub"), 0700), 0);
	assert_int_equal(reopen(&w), -ESTALE);
	/* a link in the middle */
	assert_int_equal(rmdir(at("ws/sub")), 0);
	assert_int_equal(rename(at("ws/moved"), at("ws/sub")), 0);
	assert_int_equal(reopen(&w), 0);
	assert_int_equal(rename(at("ws"), at("ws2")), 0);
	assert_int_equal(symlink(at("ws2"), at("ws")), 0);
	assert_int_equal(reopen(&w), -ELOOP);
}

static void test_another_device_number_with_the_same_identifier(void **state)
{
	char host[PATH_MAX];
	struct plan_workspace w = approved(at("ws"), host);

	(void)state;
	w.dev++;
	if (w.fsid)
		assert_int_equal(reopen(&w), 0);
	w.fsid++;
	assert_int_equal(reopen(&w), -ESTALE);
	w.fsid = 0;
	assert_int_equal(reopen(&w), -ESTALE);
}

static void test_hard_links_are_told(void **state)
{
	struct plan_place p;
	int fd = open(at("ws/inside"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	(void)state;
	close(fd);
	assert_int_equal(link(at("ws/inside"), at("ws/sub/twin")), 0);
	assert_int_equal(check(at("ws"), &p), 0);
	assert_string_equal(p.note, ""); /* both names are inside */
	assert_int_equal(link(at("ws/inside"), at("outside")), 0);
	assert_int_equal(check(at("ws"), &p), 0);
	assert_non_null(strstr(p.note, "1 file in the workspace is also named outside"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_network_file_systems, setup, teardown),
		cmocka_unit_test_setup_teardown(test_state_and_cache_stay_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_same_or_not_at_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hard_links_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_another_device_number_with_the_same_identifier, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
