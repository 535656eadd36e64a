/* test_life.c - create, start, use, stop, remove through the API; and what goes wrong on the way */
#include "check.h"
#include "rig.h"
#include "base/clock.h"
#include "base/io.h"
#include "proto/agent.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

static struct rig *rig;

static int setup(void **state)
{
	(void)state;
	rig = rig_new();
	if (rig)
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

#define NEED_RIG()                                                                                 \
	do {                                                                                       \
		if (!rig)                                                                          \
			SKIP("no rig here");                                                       \
	} while (0)

/* slurp() - a file of the sandbox's directory */
static void slurp(const char *name, const char *file, char *dst, size_t cap)
{
	char below[128];
	AUTO(buf) b;

	(void)snprintf(below, sizeof(below), "state/sandboxes/%s/%s", rig_id(rig, name), file);
	buf_init(&b, 65536);
	assert_int_equal(io_read_file(AT_FDCWD, rig_path(rig, below), &b), 0);
	(void)snprintf(dst, cap, "%s", buf_str(&b));
}

static int error_of(const char *method, const char *target, const char *body, const char *code)
{
	const struct js *v;
	int status = rig_ask(rig, method, target, body, &v);

	if (strcmp(rig_str(js_get(v, "error"), "code"), code) != 0)
		print_error("%s %s: %s\n", method, target, rig_str(js_get(v, "error"), "message"));
	assert_string_equal(rig_str(js_get(v, "error"), "code"), code);
	assert_true(rig_str(js_get(v, "error"), "message")[0]);
	return status;
}

static void test_whole_life(void **state)
{
	const struct js *v;
	char text[256];

	(void)state;
	NEED_RIG();
	rig_create(rig, "one");
	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes/one", NULL, &v), 200);
	assert_string_equal(rig_str(js_get(v, "plan"), "agent"), "box");
	assert_string_equal(rig_str(js_get(v, "env"), "A"), "b");
	assert_int_equal(js_len(js_get(v, "argv")), 2);
	rig_start(rig, "one");
	slurp("one", "setup", text, sizeof(text));
	assert_non_null(strstr(text, "one agent /tmp/sbx-test-daemon-"));
	assert_non_null(strstr(text, "/ws 1 2\n")); /* one mount, two variables */
	slurp("one", "put_home_agent", text, sizeof(text));
	assert_string_equal(text, "hello"); /* a tar header begins with the name */
	rig_start(rig, "one"); /* once more is fine */
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/one/pause", NULL, &v), 200);
	assert_string_equal(rig_str(v, "status"), "paused");
	assert_int_equal(error_of("POST", "/v1/sandboxes/one/start", NULL, "conflict"), 409);
	assert_int_equal(
		error_of("POST", "/v1/sandboxes/one/exec", "{\"argv\":[\"x\"]}", "conflict"), 409);
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/one/resume", NULL, &v), 200);
	assert_int_equal(error_of("DELETE", "/v1/sandboxes/one", NULL, "conflict"), 409);
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/one/stop", NULL, &v), 200);
	assert_string_equal(rig_str(v, "status"), "stopped");
	assert_int_equal(rig_machine(rig, "one"), 0);
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/one/stop", "{}", &v), 200);
	assert_int_equal(rig_ask(rig, "DELETE", "/v1/sandboxes/one", NULL, NULL), 204);
	assert_string_equal(rig_status(rig, "one"), "gone");
	assert_int_equal(rmdir(rig_path(rig, "state/sandboxes")), 0); /* nothing is left */
}

static void test_names(void **state)
{
	static const char *const bad[] = {"../x", "-rf", "a", "default", "a/b", "a..b", ".a", "a b",
		"\\u001b[2J", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

	(void)state;
	NEED_RIG();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char body[256];

		(void)snprintf(body, sizeof(body), "{\"agent\":\"box\",\"name\":\"%s\"}", bad[i]);
		assert_int_equal(error_of("POST", "/v1/sandboxes", body, "invalid"), 400);
	}
	rig_create(rig, "same");
	assert_int_equal(error_of("POST", "/v1/sandboxes", "{\"agent\":\"box\",\"name\":\"same\"}",
				 "conflict"),
		409);
	/* a name may be made for it */
	assert_int_equal(
		rig_ask(rig, "POST", "/v1/sandboxes?plan=1", "{\"agent\":\"box\"}", NULL), 200);
	assert_string_equal(rig_status(rig, "box-sandbox"), "gone");
}

static void test_absurd_sizes(void **state)
{
	static const char *const bad[] = {"\"cpus\":100000", "\"memory_bytes\":1",
		"\"memory_bytes\":9223372036854775807", "\"disk_bytes\":4096",
		"\"disk_bytes\":9223372036854775807", "\"cpus\":-1", "\"cpus\":1.5",
		"\"cpus\":\"2\"", "\"isolation\":\"none\"", "\"kits\":[\"../x\"]", "\"surprise\":1",
		"\"env\":{\"A=B\":\"c\"}", "\"env\":{\"A\":1}",
		"\"workspaces\":[{\"path\":\"/etc\"}]", "\"workspaces\":[{\"path\":\"x\"}]",
		"\"workspaces\":[{}]", "\"workspaces\":[1]"};

	(void)state;
	NEED_RIG();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char body[256];
		int status;

		(void)snprintf(
			body, sizeof(body), "{\"agent\":\"box\",\"name\":\"abc\",%s}", bad[i]);
		status = rig_ask(rig, "POST", "/v1/sandboxes", body, NULL);
		if (status != 400 && status != 403 && status != 404)
			print_error("%s gave %d\n", bad[i], status);
		assert_true(status == 400 || status == 403 || status == 404); /* 404: a kit */
	}
	assert_int_equal(
		error_of("POST", "/v1/sandboxes", "{\"agent\":\"none\"}", "not_found"), 404);
	assert_int_equal(error_of("POST", "/v1/sandboxes",
				 "{\"agent\":\"box\",\"isolation\":\"kvm\"}", "unavailable"),
		503);
	assert_string_equal(rig_status(rig, "abc"), "gone");
}

static void test_exec(void **state)
{
	const struct js *v;

	(void)state;
	NEED_RIG();
	rig_create(rig, "one");
	rig_start(rig, "one");
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/one/exec",
				 "{\"argv\":[\"echo\",\"out\",\"err\",\"put\"]}", &v),
		200);
	assert_string_equal(rig_str(v, "stdout"), "output");
	assert_string_equal(rig_str(v, "stderr"), "err");
	assert_int_equal(js_int(js_get(v, "exit_code"), 9), 0);
	assert_int_equal(
		rig_ask(rig, "POST", "/v1/sandboxes/one/exec",
			"{\"argv\":[\"cat\"],\"stdin\":\"more than ten bytes of it\"}", &v),
		200);
	assert_string_equal(rig_str(v, "stdout"), "more than ten bytes of it");
	assert_int_equal(
		rig_ask(rig, "POST", "/v1/sandboxes/one/exec", "{\"argv\":[\"false\"]}", &v), 200);
	assert_int_equal(js_int(js_get(v, "exit_code"), 9), 1);
	assert_int_equal(
		rig_ask(rig, "POST", "/v1/sandboxes/one/exec", "{\"argv\":[\"killed\"]}", &v), 200);
	assert_int_equal(js_int(js_get(v, "signal"), 0), SIGKILL);
	assert_int_equal(
		rig_ask(rig, "POST", "/v1/sandboxes/one/exec", "{\"argv\":[\"big\"]}", &v), 200);
	assert_true(js_bool(js_get(v, "truncated")));
	assert_int_equal(strlen(rig_str(v, "stdout")), 1 << 20);
	assert_int_equal(
		error_of("POST", "/v1/sandboxes/one/exec", "{\"argv\":[\"nothing\"]}", "not_found"),
		404);
	assert_int_equal(error_of("POST", "/v1/sandboxes/one/exec",
				 "{\"argv\":[\"hang\"],\"timeout_ms\":100}", "timeout"),
		504);
	assert_int_equal(
		error_of("POST", "/v1/sandboxes/one/exec", "{\"argv\":[]}", "invalid"), 400);
	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes/one/usage", NULL, &v), 200);
	assert_int_equal(js_int(js_get(js_get(v, "guest"), "processes"), 0), 3);
}

static const char *last_note(const char *path)
{
	const struct js *v, *notes;

	assert_int_equal(rig_ask(rig, "GET", path, NULL, &v), 200);
	notes = js_get(v, "notes");
	return js_len(notes) ? js_str(js_at(notes, js_len(notes) - 1)) : "";
}

/* A queue that the guest broke is named for as long as it is. */
static void test_inspect_names_what_is_broken(void **state)
{
	(void)state;
	NEED_RIG();
	rig_create(rig, "one");
	rig_mode(rig, "troubled");
	rig_start(rig, "one");
	assert_string_equal(
		last_note("/v1/sandboxes/one"), "the guest broke queue 1 of device fs: a loop");
	rig_mode(rig, "");
	rig_create(rig, "two");
	rig_start(rig, "two");
	assert_null(strstr(last_note("/v1/sandboxes/two"), "broke"));
}

static void test_start_faults(void **state)
{
	static const struct {
		const char *mode, *says;
	} faults[] = {
		{"no-link", "ended before it opened its link"},
		{"boot-error", "the guest says: cannot mount the root"},
		{"die-in-boot", "the guest's kernel \\x1b[2Jpanicked"},
		{"boot-garbage", "broke the protocol"},
	};

	(void)state;
	NEED_RIG();
	rig_create(rig, "one");
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		const struct js *v;

		rig_mode(rig, faults[i].mode);
		assert_true(rig_ask(rig, "POST", "/v1/sandboxes/one/start", NULL, &v) >= 500);
		if (!strstr(rig_str(js_get(v, "error"), "message"), faults[i].says))
			print_error(
				"%s: %s\n", faults[i].mode, rig_str(js_get(v, "error"), "message"));
		assert_non_null(strstr(rig_str(js_get(v, "error"), "message"), faults[i].says));
		assert_string_equal(rig_status(rig, "one"), "stopped");
		assert_int_equal(rig_machine(rig, "one"), 0);
	}
	rig_mode(rig, "");
	rig_start(rig, "one");
}

static void test_workspace_swapped_before_the_start(void **state)
{
	(void)state;
	NEED_RIG();
	rig_create(rig, "one");
	assert_int_equal(rename(rig->workspace, rig_path(rig, "elsewhere")), 0);
	assert_int_equal(symlink("/etc", rig->workspace), 0);
	assert_int_equal(error_of("POST", "/v1/sandboxes/one/start", NULL, "denied"), 403);
	assert_string_equal(rig_status(rig, "one"), "stopped");
	assert_int_equal(unlink(rig->workspace), 0);
	assert_int_equal(rename(rig_path(rig, "elsewhere"), rig->workspace), 0);
	rig_start(rig, "one");
}

static void test_machine_killed(void **state)
{
	const struct js *v;
	int64_t before;
	pid_t pid;

	(void)state;
	NEED_RIG();
	rig_create(rig, "one");
	rig_start(rig, "one");
	pid = rig_machine(rig, "one");
	assert_true(pid > 0);
	before = clock_ms();
	assert_int_equal(kill(pid, SIGKILL), 0);
	rig_wait_status(rig, "one", "crashed");
	assert_true(clock_ms() - before < 1000);
	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes/one", NULL, &v), 200);
	assert_string_equal(rig_str(v, "reason"), "sbx-machine was ended by signal 9");
	rig_start(rig, "one");
}

static void test_deaf_machine_is_killed(void **state)
{
	const struct js *v;

	(void)state;
	NEED_RIG();
	rig_mode(rig, "deaf");
	rig_create(rig, "one");
	rig_start(rig, "one");
	assert_int_equal(
		rig_ask(rig, "POST", "/v1/sandboxes/one/stop", "{\"timeout_ms\":200}", &v), 200);
	assert_string_equal(rig_str(v, "status"), "stopped");
	assert_int_equal(rig_machine(rig, "one"), 0);
	rig_start(rig, "one");
	assert_int_equal(rig_ask(rig, "DELETE", "/v1/sandboxes/one?force=1", NULL, NULL), 204);
	assert_string_equal(rig_status(rig, "one"), "gone");
}

/* send_only() - a request whose answer nobody waits for; the connection */
static int send_only(const char *text)
{
	int fd = rig_connect(rig);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

/* A kernel that never spoke has done nothing yet: it is started once more, and once only. */
static void test_hung_start_is_tried_again(void **state)
{
	const struct js *v;

	(void)state;
	NEED_RIG();
	rig_mode(rig, "hangs-once");
	rig_create(rig, "one");
	rig_start(rig, "one");
	assert_string_equal(rig_status(rig, "one"), "running");
	rig_mode(rig, "hangs");
	rig_create(rig, "two");
	assert_true(rig_ask(rig, "POST", "/v1/sandboxes/two/start", NULL, &v) >= 500);
	assert_non_null(strstr(rig_str(js_get(v, "error"), "message"), "did not start"));
	assert_string_equal(rig_status(rig, "two"), "stopped");
	assert_int_equal(rig_machine(rig, "two"), 0);
}

/* A boot stream that ends before READY is begun anew (agent.md), but not for ever. */
static void test_boot_stream_is_begun_anew(void **state)
{
	const struct js *v;

	(void)state;
	NEED_RIG();
	rig_mode(rig, "boot-cut");
	rig_create(rig, "one");
	rig_start(rig, "one");
	assert_string_equal(rig_status(rig, "one"), "running");
	rig_mode(rig, "boot-cuts");
	rig_create(rig, "two");
	assert_true(rig_ask(rig, "POST", "/v1/sandboxes/two/start", NULL, &v) >= 500);
	assert_string_equal(rig_status(rig, "two"), "stopped");
	assert_int_equal(rig_machine(rig, "two"), 0);
}

static void test_stop_during_start(void **state)
{
	AUTO_FD fd = -1;

	(void)state;
	NEED_RIG();
	rig_mode(rig, "no-boot");
	rig_create(rig, "one");
	fd = send_only("POST /v1/sandboxes/one/start HTTP/1.1\r\nHost: sbx\r\n\r\n");
	rig_wait_status(rig, "one", "starting");
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/one/stop", NULL, NULL), 200);
	assert_string_equal(rig_status(rig, "one"), "stopped");
	assert_int_equal(rig_machine(rig, "one"), 0);
}

static void test_hung_machine_leaves_the_rest_alone(void **state)
{
	const struct js *v;
	int64_t before;
	pid_t pid;

	(void)state;
	NEED_RIG();
	rig_create(rig, "one");
	rig_create(rig, "two");
	rig_start(rig, "one");
	rig_start(rig, "two");
	pid = rig_machine(rig, "one");
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(error_of("GET", "/v1/sandboxes/one/usage", NULL, "timeout"), 504);
	assert_string_equal(rig_status(rig, "one"), "unresponsive");
	before = clock_ms();
	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes", NULL, &v), 200);
	assert_int_equal(
		rig_ask(rig, "POST", "/v1/sandboxes/two/exec", "{\"argv\":[\"echo\"]}", &v), 200);
	assert_true(clock_ms() - before < 1000);
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes/one/usage", NULL, &v), 200);
	assert_string_equal(rig_status(rig, "one"), "running");
}

static void stream(bool pass)
{
	AUTO(http_client) c = {.fd = -1};
	AUTO(http_reply) reply = {0};
	struct err e = {0};
	AUTO_FD fd = -1;
	AUTO(buf) b;
	char answer[FRAME_HEADER];

	assert_int_equal(http_client_init(&c, rig_connect(rig)), 0);
	assert_int_equal(http_upgrade(&c, "/v1/sandboxes/one/stream", "sbx-agent/1", pass,
				 clock_ms() + 5000, &fd, &reply, &e),
		0);
	assert_int_equal(reply.status, 101);
	buf_init(&b, 64);
	assert_int_equal(agent_put_empty(&b, FRAME_PING), 0);
	assert_int_equal(io_write_full(fd, b.data, b.len, clock_ms() + 2000), 0);
	assert_int_equal(io_read_full(fd, answer, sizeof(answer), clock_ms() + 2000), 0);
	assert_int_equal(answer[4], FRAME_OK);
	/* the guest closes: so does our end */
	assert_int_equal(io_read_full(fd, answer, 1, clock_ms() + 2000), -ENODATA);
}

/* A client whose guest does not read goes away: nothing of its stream may stay. The fake machine
 * serves one stream at a time, so an answer to the next one says that the first has ended.
 */
static void test_stream_of_a_guest_that_does_not_read(void **state)
{
	static char zeros[65536];
	struct agent_strv argv = {.v = (char *[]){(char[]){"stuck"}}, .n = 1};
	AUTO_FREE struct agent_exec *m = calloc(1, sizeof(*m));
	AUTO(http_reply) reply = {0};
	struct http_client c = {.fd = -1};
	struct err e = {0};
	AUTO(buf) b;
	size_t sent = 0;
	int fd = -1;

	(void)state;
	NEED_RIG();
	assert_non_null(m);
	rig_create(rig, "one");
	rig_start(rig, "one");
	m->flags = AGENT_EXEC_STDIN;
	m->argv = argv;
	buf_init(&b, 4096);
	assert_int_equal(agent_put_exec(&b, m), 0);
	assert_int_equal(http_client_init(&c, rig_connect(rig)), 0);
	assert_int_equal(http_upgrade(&c, "/v1/sandboxes/one/stream", "sbx-agent/1", false,
				 clock_ms() + 5000, &fd, &reply, &e),
		0);
	assert_int_equal(io_write_full(fd, b.data, b.len, clock_ms() + 2000), 0);
	assert_int_equal(io_set_nonblock(fd, true), 0);
	for (int64_t until = clock_ms() + 500; clock_ms() < until;) {
		ssize_t n = write(fd, zeros, sizeof(zeros));

		if (n > 0)
			sent += (size_t)n;
		else
			(void)poll(NULL, 0, 20);
	}
	assert_true(sent > 0 && sent < (8U << 20)); /* it is full, not taken without end */
	http_client_fini(&c);
	own_close_fd(&fd);
	stream(false);
}

/* A client that hangs up ends its command at once, not when the time is over. */
static void test_exec_of_a_client_that_hangs_up(void **state)
{
	static const char body[] = "{\"argv\":[\"hang\"],\"timeout_ms\":60000}";
	struct http_ask ask = {.method = "POST",
		.target = "/v1/sandboxes/one/exec",
		.body = body,
		.body_len = sizeof(body) - 1};
	AUTO(http_reply) reply = {0};
	struct http_client c = {.fd = -1};
	struct err e = {0};
	int64_t hung_up;

	(void)state;
	NEED_RIG();
	rig_create(rig, "one");
	rig_start(rig, "one");
	assert_int_equal(http_client_init(&c, rig_connect(rig)), 0);
	assert_int_equal(http_call(&c, &ask, 65536, clock_ms() + 700, &reply, &e), -ETIMEDOUT);
	http_client_fini(&c);
	hung_up = clock_ms();
	stream(false); /* the fake machine serves one stream at a time: that one has ended */
	assert_true(clock_ms() - hung_up < 5000);
}

static void test_streams(void **state)
{
	(void)state;
	NEED_RIG();
	rig_create(rig, "one");
	assert_int_equal(error_of("POST", "/v1/sandboxes/one/stream", NULL, "invalid"), 400);
	rig_start(rig, "one");
	stream(true);
	stream(false);
}

static void test_images_in_use(void **state)
{
	const struct js *v;

	(void)state;
	NEED_RIG();
	assert_int_equal(rig_ask(rig, "GET", "/v1/images", NULL, &v), 200);
	assert_int_equal(js_len(js_get(v, "images")), 1);
	rig_create(rig, "one");
	assert_int_equal(error_of("DELETE", "/v1/images/default", NULL, "conflict"), 409);
	assert_int_equal(rig_ask(rig, "DELETE", "/v1/sandboxes/one", NULL, NULL), 204);
	assert_int_equal(rig_ask(rig, "DELETE", "/v1/images/default", NULL, NULL), 204);
	assert_int_equal(error_of("DELETE", "/v1/images/default", NULL, "not_found"), 404);
	assert_int_equal(
		error_of("POST", "/v1/sandboxes", "{\"agent\":\"box\"}", "not_found"), 404);
}

#define LIFE(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIFE(test_whole_life),
		LIFE(test_names),
		LIFE(test_absurd_sizes),
		LIFE(test_exec),
		LIFE(test_exec_of_a_client_that_hangs_up),
		LIFE(test_inspect_names_what_is_broken),
		LIFE(test_start_faults),
		LIFE(test_workspace_swapped_before_the_start),
		LIFE(test_machine_killed),
		LIFE(test_deaf_machine_is_killed),
		LIFE(test_hung_start_is_tried_again),
		LIFE(test_boot_stream_is_begun_anew),
		LIFE(test_stop_during_start),
		LIFE(test_hung_machine_leaves_the_rest_alone),
		LIFE(test_streams),
		LIFE(test_stream_of_a_guest_that_does_not_read),
		LIFE(test_images_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
