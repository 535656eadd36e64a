/* test_recover.c - SIGKILL of the daemon at any moment: nothing lost, nothing orphaned, no untruth */
#include "check.h"
#include "rig.h"
#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct rig *rig;

static int setup(void **state)
{
	(void)state;
	rig = rig_new();
	return 0;
}

static int teardown(void **state)
{
	int r = rig_free(rig);

	(void)state;
	rig = NULL;
	return r;
}

#define NEED_RIG()                                                                                 \
	do {                                                                                       \
		if (!rig)                                                                          \
			SKIP("no rig here");                                                       \
	} while (0)

static int exec_echo(const char *name)
{
	char target[128];

	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s/exec", name);
	return rig_ask(rig, "POST", target, "{\"argv\":[\"echo\",\"x\"]}", NULL);
}

static void test_running_ones_are_adopted(void **state)
{
	int64_t before;
	pid_t pid;

	(void)state;
	NEED_RIG();
	rig_up(rig);
	rig_create(rig, "one");
	rig_create(rig, "two");
	rig_create(rig, "off");
	rig_start(rig, "one");
	rig_start(rig, "two");
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/two/pause", NULL, NULL), 200);
	pid = rig_machine(rig, "one");
	rig_kill(rig);
	before = clock_ms();
	rig_up(rig);
	assert_true(clock_ms() - before < 2000);
	assert_string_equal(rig_status(rig, "one"), "running");
	assert_string_equal(rig_status(rig, "two"), "paused");
	assert_string_equal(rig_status(rig, "off"), "stopped");
	assert_int_equal(rig_machine(rig, "one"), pid);
	assert_int_equal(exec_echo("one"), 200);
	/* an adopted one is watched like any other */
	assert_int_equal(kill(pid, SIGKILL), 0);
	rig_wait_status(rig, "one", "crashed");
	assert_int_equal(rig_ask(rig, "DELETE", "/v1/sandboxes/two?force=1", NULL, NULL), 204);
}

static void test_ends_while_nobody_looks(void **state)
{
	const struct js *v;
	pid_t pid;

	(void)state;
	NEED_RIG();
	rig_up(rig);
	rig_create(rig, "one");
	rig_start(rig, "one");
	pid = rig_machine(rig, "one");
	rig_kill(rig);
	assert_int_equal(kill(pid, SIGKILL), 0);
	rig_up(rig);
	rig_wait_status(rig, "one", "crashed");
	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes/one", NULL, &v), 200);
	assert_true(rig_str(v, "reason")[0]);
	rig_start(rig, "one");
}

static void send_only(const char *method, const char *target)
{
	char text[256];
	AUTO_FD fd = rig_connect(rig);
	int n = snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: sbx\r\n\r\n", method, target);

	if (fd >= 0)
		assert_int_equal(write(fd, text, (size_t)n), n);
}

static void test_killed_while_starting(void **state)
{
	(void)state;
	NEED_RIG();
	rig_mode(rig, "no-boot");
	rig_up(rig);
	rig_create(rig, "one");
	send_only("POST", "/v1/sandboxes/one/start");
	rig_wait_status(rig, "one", "starting");
	rig_kill(rig);
	rig_up(rig);
	rig_wait_status(rig, "one", "stopped");
	assert_int_equal(rig_machine(rig, "one"), 0);
	rig_mode(rig, "");
	rig_start(rig, "one");
}

static void test_killed_while_stopping(void **state)
{
	(void)state;
	NEED_RIG();
	rig_mode(rig, "deaf");
	rig_up(rig);
	rig_create(rig, "one");
	rig_start(rig, "one");
	send_only("POST", "/v1/sandboxes/one/stop");
	rig_wait_status(rig, "one", "stopping");
	rig_kill(rig);
	rig_up(rig);
	rig_wait_status(rig, "one", "stopped");
	assert_int_equal(rig_machine(rig, "one"), 0);
}

/* After each round: a sandbox is listed and usable, or gone without a trace. */
static void check_traces(void)
{
	const struct js *v, *list;
	unsigned rows, dirs = 0;
	struct dirent *de;
	DIR *d;

	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes", NULL, &v), 200);
	list = js_get(v, "sandboxes");
	rows = (unsigned)js_len(list);
	for (size_t i = 0; i < rows; i++) {
		const char *st = rig_str(js_at(list, i), "status");
		char below[128];

		if (strcmp(st, "stopped") != 0 && strcmp(st, "running") != 0)
			print_error("status %s\n", st);
		assert_true(strcmp(st, "stopped") == 0 || strcmp(st, "running") == 0);
		(void)snprintf(below, sizeof(below), "state/sandboxes/%s/plan.json",
			rig_str(js_at(list, i), "id"));
		assert_int_equal(access(rig_path(rig, below), F_OK), 0);
	}
	d = opendir(rig_path(rig, "state/sandboxes"));
	assert_non_null(d);
	while ((de = readdir(d)))
		dirs += de->d_name[0] != '.';
	closedir(d);
	assert_int_equal(dirs, rows);
}

/* A small, repeatable spread of moments, from "just asked" to "long done". */
static void test_killed_at_many_moments_of_create_and_remove(void **state)
{
	static const int moments_ms[] = {0, 1, 2, 4, 7, 11, 16, 22, 30, 45};

	(void)state;
	NEED_RIG();
	rig_up(rig);
	rig_create(rig, "first"); /* makes the template */
	for (size_t i = 0; i < ARRAY_LEN(moments_ms); i++) {
		char body[300], text[600];
		AUTO_FD fd = rig_connect(rig);
		int n;

		n = snprintf(body, sizeof(body),
			"{\"agent\":\"box\",\"name\":\"box-%zu\",\"memory_bytes\":268435456,"
			"\"disk_bytes\":1073741824}",
			i);
		n = snprintf(text, sizeof(text),
			"POST /v1/sandboxes HTTP/1.1\r\nHost: sbx\r\nContent-Type: "
			"application/json\r\n"
			"Content-Length: %d\r\n\r\n%s",
			n, body);
		assert_int_equal(write(fd, text, (size_t)n), n);
		(void)poll(NULL, 0, moments_ms[i]);
		rig_kill(rig);
		rig_up(rig);
		check_traces();
	}
	for (size_t i = 0; i < ARRAY_LEN(moments_ms); i++) {
		char target[64];

		(void)snprintf(target, sizeof(target), "/v1/sandboxes/box-%zu", i);
		send_only("DELETE", target);
		(void)poll(NULL, 0, moments_ms[i] / 3);
		rig_kill(rig);
		rig_up(rig);
		check_traces();
	}
	assert_string_equal(rig_status(rig, "first"), "stopped");
}

static void test_killed_at_many_moments_of_start(void **state)
{
	static const int moments_ms[] = {0, 2, 5, 9, 14, 20, 30, 50, 80, 120};

	(void)state;
	NEED_RIG();
	rig_up(rig);
	rig_create(rig, "one");
	for (size_t i = 0; i < ARRAY_LEN(moments_ms); i++) {
		send_only("POST", "/v1/sandboxes/one/start");
		(void)poll(NULL, 0, moments_ms[i]);
		rig_kill(rig);
		rig_up(rig);
		check_traces();
		if (strcmp(rig_status(rig, "one"), "running") == 0) {
			assert_int_equal(exec_echo("one"), 200);
			assert_int_equal(
				rig_ask(rig, "POST", "/v1/sandboxes/one/stop", NULL, NULL), 200);
		}
		assert_int_equal(rig_machine(rig, "one"), 0);
	}
	rig_start(rig, "one");
}

static void test_database_lost(void **state)
{
	static const char *const files[] = {
		"state/state.db", "state/state.db-wal", "state/state.db-shm"};
	pid_t pid;

	(void)state;
	NEED_RIG();
	rig_up(rig);
	rig_create(rig, "one");
	rig_create(rig, "two");
	rig_start(rig, "two");
	pid = rig_machine(rig, "two");
	rig_kill(rig);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		(void)unlink(rig_path(rig, files[i]));
	rig_up(rig);
	assert_string_equal(rig_status(rig, "one"), "stopped");
	assert_string_equal(rig_status(rig, "two"), "running");
	assert_int_equal(rig_machine(rig, "two"), pid);
	assert_int_equal(exec_echo("two"), 200);
}

static void test_database_damaged(void **state)
{
	const struct js *v;
	bool told = false;
	AUTO_FD fd = -1;

	(void)state;
	NEED_RIG();
	rig_up(rig);
	rig_create(rig, "one");
	rig_kill(rig);
	(void)unlink(rig_path(rig, "state/state.db-wal"));
	fd = open(rig_path(rig, "state/state.db"), O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, "null", 4), 4);
	rig_up(rig);
	assert_string_equal(rig_status(rig, "one"), "stopped");
	assert_int_equal(rig_ask(rig, "GET", "/v1/diagnose", NULL, &v), 200);
	for (size_t i = 0; i < js_len(js_get(v, "checks")); i++)
		told |= strstr(rig_str(js_at(js_get(v, "checks"), i), "message"),
				"state.db.damaged-") != NULL;
	assert_true(told);
}

static void test_remains_are_swept(void **state)
{
	(void)state;
	NEED_RIG();
	rig_up(rig);
	rig_create(rig, "one");
	rig_kill(rig);
	assert_int_equal(mkdir(rig_path(rig, "state/sandboxes/00000000000000ff"), 0700), 0);
	assert_int_equal(mkdir(rig_path(rig, "state/sandboxes/00000000000000ff/odd"), 0700), 0);
	assert_int_equal(mkdir(rig_path(rig, "state/sandboxes/not-ours"), 0700), 0);
	assert_int_equal(
		symlink(rig->workspace, rig_path(rig, "state/sandboxes/00000000000000ee")), 0);
	rig_up(rig);
	assert_int_equal(access(rig_path(rig, "state/sandboxes/00000000000000ff"), F_OK), -1);
	assert_int_equal(access(rig_path(rig, "state/sandboxes/00000000000000ee"), F_OK), -1);
	assert_int_equal(access(rig_path(rig, "state/sandboxes/not-ours"), F_OK), 0);
	assert_int_equal(access(rig->workspace, F_OK), 0);
	assert_string_equal(rig_status(rig, "one"), "stopped");
}

static void test_one_daemon_at_a_time(void **state)
{
	struct rig second;
	char said[512];

	(void)state;
	NEED_RIG();
	rig_up(rig);
	second = *rig;
	second.sbxd = 0;
	assert_int_equal(rig_try_up(&second, said, sizeof(said)), 1);
	assert_non_null(strstr(said, "another sbxd (pid "));
	assert_int_equal(rig_ask(rig, "GET", "/v1/version", NULL, NULL), 200);
	/* what it left behind does not stop the next */
	rig_kill(rig);
	assert_int_equal(access(rig_path(rig, "state/sbxd.sock"), F_OK), 0);
	rig_up(rig);
}

static void test_odd_state_directories(void **state)
{
	char said[512];

	(void)state;
	NEED_RIG();
	assert_int_equal(rmdir(rig_path(rig, "state")), 0);
	assert_int_equal(symlink(rig->workspace, rig_path(rig, "state")), 0);
	assert_int_equal(rig_try_up(rig, said, sizeof(said)), 1);
	assert_int_equal(unlink(rig_path(rig, "state")), 0);
	assert_int_equal(mkdir(rig_path(rig, "state"), 0700), 0);
	assert_int_equal(chmod(rig_path(rig, "state"), 0777), 0);
	assert_int_equal(rig_try_up(rig, said, sizeof(said)), 1);
	assert_non_null(strstr(said, "writable for other users"));
	if (geteuid() == 0) {
		assert_int_equal(chmod(rig_path(rig, "state"), 0700), 0);
		assert_int_equal(chown(rig_path(rig, "state"), 65534, 65534), 0);
		assert_int_equal(rig_try_up(rig, said, sizeof(said)), 1);
		assert_non_null(strstr(said, "belongs to another user"));
		assert_int_equal(chown(rig_path(rig, "state"), 0, 0), 0);
	}
}

static void test_sigterm_leaves_sandboxes(void **state)
{
	pid_t pid;
	int status = 0;

	(void)state;
	NEED_RIG();
	rig_up(rig);
	rig_create(rig, "one");
	rig_start(rig, "one");
	pid = rig_machine(rig, "one");
	assert_int_equal(kill(rig->sbxd, SIGTERM), 0);
	assert_int_equal(waitpid(rig->sbxd, &status, 0), rig->sbxd);
	rig->sbxd = 0;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(kill(pid, 0), 0);
	assert_int_equal(access(rig_path(rig, "state/sbxd.sock"), F_OK), -1);
	rig_up(rig);
	assert_string_equal(rig_status(rig, "one"), "running");
	assert_int_equal(rig_machine(rig, "one"), pid);
}

/* fill_up() - until not one more block fits */
static void fill_up(void)
{
	static char block[4096];
	AUTO_FD fd = open(rig_path(rig, "state/filler"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
}

static void test_full_disk(void **state)
{
	const struct js *v;
	int status = 201;
	unsigned made = 0;

	(void)state;
	NEED_RIG();
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		SKIP("needs root, for a small file system");
	assert_int_equal(mount("none", rig_path(rig, "state"), "tmpfs", 0, "size=24m,mode=700"), 0);
	rig_up(rig);
	for (; status == 201 && made < 50; made += status == 201) {
		char body[200];

		(void)snprintf(body, sizeof(body),
			"{\"agent\":\"box\",\"name\":\"box-%u\",\"memory_bytes\":268435456}", made);
		status = rig_ask(rig, "POST", "/v1/sandboxes", body, &v);
	}
	assert_true(made > 1 && made < 50);
	assert_string_equal(rig_str(js_get(v, "error"), "code"), "limit");
	check_traces();
	fill_up();
	/* what changes nothing works, what cannot be written down is refused whole, rm makes room */
	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes", NULL, &v), 200);
	assert_int_equal(js_len(js_get(v, "sandboxes")), made);
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/box-0/start", NULL, &v), 429);
	assert_string_equal(rig_status(rig, "box-0"), "stopped");
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/box-0/stop", NULL, NULL), 200);
	assert_int_equal(rig_ask(rig, "DELETE", "/v1/sandboxes/box-0", NULL, NULL), 204);
	rig_start(rig, "box-1");
	fill_up();
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/box-1/stop", NULL, NULL), 200);
	assert_string_equal(rig_status(rig, "box-1"), "stopped");
	assert_int_equal(rig_machine(rig, "box-1"), 0);
	/* and a daemon that starts now still knows them all */
	rig_kill(rig);
	fill_up();
	rig_up(rig);
	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes", NULL, &v), 200);
	assert_int_equal(js_len(js_get(v, "sandboxes")), made - 1);
	assert_int_equal(rig_ask(rig, "DELETE", "/v1/sandboxes/box-1", NULL, NULL), 204);
	rig_kill(rig);
	assert_int_equal(umount2(rig_path(rig, "state"), MNT_DETACH), 0);
}

#define RECOVER(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RECOVER(test_running_ones_are_adopted),
		RECOVER(test_ends_while_nobody_looks),
		RECOVER(test_killed_while_starting),
		RECOVER(test_killed_while_stopping),
		RECOVER(test_killed_at_many_moments_of_create_and_remove),
		RECOVER(test_killed_at_many_moments_of_start),
		RECOVER(test_database_lost),
		RECOVER(test_database_damaged),
		RECOVER(test_remains_are_swept),
		RECOVER(test_one_daemon_at_a_time),
		RECOVER(test_odd_state_directories),
		RECOVER(test_sigterm_leaves_sandboxes),
		RECOVER(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
