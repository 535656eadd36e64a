/* test_provision.c - first starts: install commands, their log, what is done once, and what begins anew */
#include "check.h"
#include "rig.h"
#include "base/clock.h"
#include "base/io.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/file.h>
#include <sys/stat.h>

static struct rig *rig;

#define NEED_RIG()                                                                                 \
	do {                                                                                       \
		if (!rig)                                                                          \
			SKIP("no rig here");                                                       \
	} while (0)

#define LOG_MAX (1U << 20)

/* make_kit() - a mixin with this setup */
static void make_kit(const char *name, const char *setup_text)
{
	char path[128];
	FILE *f;

	assert_int_equal(mkdir(rig_path(rig, name), 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/spec.yaml", name);
	f = fopen(rig_path(rig, path), "we");
	assert_non_null(f);
	assert_true(fprintf(f, "schemaVersion: \"2\"\nkind: mixin\nname: %s\nsetup:\n%s", name,
			    setup_text) > 0);
	assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
	(void)state;
	rig = rig_new();
	if (!rig)
		return 0;
	make_kit("good", "  install:\n  - {command: one, description: First}\n"
			 "  - {command: \"two\\nlines\", user: someone}\n"
			 "  startup:\n  - {command: [echo, back], background: true}\n"
			 "  - {command: [\"false\"]}\n  - {command: [echo, last]}\n");
	make_kit("bad", "  install:\n  - {command: one}\n  - {command: fail, description: "
			"\"It\\e[31m\"}\n");
	make_kit("waits", "  install:\n  - {command: hang}\n");
	make_kit("loud", "  install:\n  - {command: loud}\n");
	rig_up(rig);
	return 0;
}

static int teardown(void **state)
{
	int r = rig_free(rig);

	(void)state;
	rig = NULL;
	return r;
}

static void create(const char *name, const char *kit)
{
	char body[1024];

	(void)snprintf(body, sizeof(body),
		"{\"agent\":\"box\",\"name\":\"%s\",\"kits\":[\"%s\"],\"memory_bytes\":268435456,"
		"\"disk_bytes\":1073741824,\"workspaces\":[{\"path\":\"%s\"}]}",
		name, rig_path(rig, kit), rig->workspace);
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes", body, NULL), 201);
}

static const char *file_of(const char *name, const char *file)
{
	static char below[160];

	(void)snprintf(below, sizeof(below), "state/sandboxes/%s/%s", rig_id(rig, name), file);
	return rig_path(rig, below);
}

/* log_of() - the whole log; the caller's until the next call */
static const char *log_of(const char *name)
{
	static char text[LOG_MAX + 4096];
	AUTO(buf) b = {0};

	buf_init(&b, LOG_MAX);
	if (io_read_file(AT_FDCWD, file_of(name, "setup.log"), &b) < 0)
		return ""; /* not yet */
	memcpy(text, buf_str(&b), b.len + 1);
	return text;
}

/* wait_log() - until it says so: startup commands run beside the start */
static void wait_log(const char *name, const char *text)
{
	int64_t deadline = clock_ms() + 20000;

	while (!strstr(log_of(name), text) && clock_left(deadline) > 0)
		(void)usleep(20000);
	if (!strstr(log_of(name), text))
		fail_msg("no '%s' in: %s", text, log_of(name));
}

static void in_order(const char *text, const char *const *parts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *at = strstr(text, parts[i]);

		if (!at)
			fail_msg("no '%s' in: %s", parts[i], text);
		text = at + strlen(parts[i]);
	}
}

static void test_first_and_second_start(void **state)
{
	static const char *const first[] = {"-- install 1/2: First (kit good)\n", "ran one\n",
		"-- install 2/2: two (kit good)\n", "ran two\nlines\n"};
	static const char *const later[] = {"-- startup 1/3: echo (kit good)\n",
		"-- startup 2/3: false (kit good)\n",
		"-- startup 2 (kit good) ended with status 1\n",
		"-- startup 3/3: echo (kit good)\n", "last"};
	const struct js *v;
	char *said;

	(void)state;
	NEED_RIG();
	create("good", "good");
	rig_start(rig, "good");
	wait_log("good", "last");
	wait_log("good", "back");
	in_order(log_of("good"), first, ARRAY_LEN(first));
	in_order(log_of("good"), later, ARRAY_LEN(later));
	assert_true(access(file_of("good", "first-start"), F_OK) < 0);
	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes/good", NULL, &v), 200);
	said = strstr(js_str(js_at(js_get(v, "notes"), js_len(js_get(v, "notes")) - 1)),
		"startup command 2 (kit good) ended with status 1: sbx logs --setup good");
	assert_non_null(said);
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/good/stop", NULL, NULL), 200);
	rig_start(rig, "good");
	wait_log("good", "last");
	said = strstr(log_of("good"), "install 1/2");
	assert_non_null(said);
	assert_null(strstr(said + 1, "install 1/2")); /* once */
	assert_int_equal(
		rig_ask(rig, "GET", "/v1/sandboxes/good/logs?kind=setup", NULL, NULL), 200);
	assert_int_equal(rig_ask(rig, "DELETE", "/v1/sandboxes/good?force=1", NULL, NULL), 204);
}

static void test_a_failed_one_begins_anew(void **state)
{
	const struct js *v;
	const char *said;
	struct stat a, b;

	(void)state;
	NEED_RIG();
	create("bad", "bad");
	assert_int_equal(stat(file_of("bad", "scratch.img"), &a), 0);
	assert_true(rig_ask(rig, "POST", "/v1/sandboxes/bad/start", NULL, &v) >= 500);
	said = rig_str(js_get(v, "error"), "message");
	if (!strstr(said, "install 2/2: It\\x1b[31m (kit bad), spec.yaml:7: ended with status 3; "
			  "its last "
			  "words: ran fail"))
		fail_msg("%s", said);
	assert_string_equal(rig_status(rig, "bad"), "stopped");
	assert_int_equal(access(file_of("bad", "first-start"), F_OK), 0);
	assert_true(rig_ask(rig, "POST", "/v1/sandboxes/bad/start", NULL, NULL) >= 500);
	assert_int_equal(stat(file_of("bad", "scratch.img"), &b), 0);
	assert_true(a.st_ino != b.st_ino || a.st_mtim.tv_sec != b.st_mtim.tv_sec ||
		    a.st_mtim.tv_nsec != b.st_mtim.tv_nsec); /* another disk */
	said = strstr(log_of("bad"), "install 1/2");
	assert_non_null(said);
	assert_null(strstr(said + 1, "install 1/2")); /* its log begins anew, too */
	assert_int_equal(rig_ask(rig, "DELETE", "/v1/sandboxes/bad?force=1", NULL, NULL), 204);
}

static void test_the_log_is_bounded(void **state)
{
	struct stat st;

	(void)state;
	NEED_RIG();
	create("loud", "loud");
	rig_start(rig, "loud");
	assert_int_equal(stat(file_of("loud", "setup.log"), &st), 0);
	assert_in_range(st.st_size, LOG_MAX / 2, LOG_MAX);
	assert_non_null(strstr(log_of("loud"), " bytes were dropped here]\n"));
	assert_non_null(strstr(log_of("loud"), "-- install 1/1: loud (kit loud)\n"));
	assert_int_equal(rig_ask(rig, "DELETE", "/v1/sandboxes/loud?force=1", NULL, NULL), 204);
}

/* test_daemon_stop() - a window does not stay open for want of somebody to close it */
static void test_daemon_stop(void **state)
{
	static const char request[] =
		"POST /v1/sandboxes/waits/start HTTP/1.1\r\nHost: sbx\r\n\r\n";
	int64_t deadline = clock_ms() + 20000;
	AUTO_FD fd = -1, lock = -1;

	(void)state;
	NEED_RIG();
	create("waits", "waits");
	fd = rig_connect(rig);
	assert_true(fd >= 0);
	assert_int_equal(send(fd, request, sizeof(request) - 1, 0), sizeof(request) - 1);
	wait_log("waits", "-- install 1/1");
	lock = open(file_of("waits", "machine.lock"), O_RDONLY | O_CLOEXEC);
	assert_true(lock >= 0);
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/waits/pause", NULL, NULL), 409);
	assert_int_equal(rig_ask(rig, "POST", "/v1/daemon/stop", NULL, NULL), 202);
	while (flock(lock, LOCK_EX | LOCK_NB) < 0 && clock_left(deadline) > 0)
		(void)usleep(20000);
	assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0); /* its machine is gone */
	own_close_fd(&lock);
	rig_kill(rig);
	rig_up(rig);
	assert_string_equal(rig_status(rig, "waits"), "stopped");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_and_second_start),
		cmocka_unit_test(test_a_failed_one_begins_anew),
		cmocka_unit_test(test_the_log_is_bounded),
		cmocka_unit_test(test_daemon_stop),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
