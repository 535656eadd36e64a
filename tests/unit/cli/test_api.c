/* Calls of the API against a daemon that is a thread with canned answers. */
#include "cli/api.h"
#include "cli/box.h"
#include "cli/launch.h"
#include "base/clock.h"
#include "base/io.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LIMIT_MS    10000
#define REPLIES_MAX 8

struct fake {
	char top[64], state[400]; /* state: longer than a socket's address may be */
	int listener;
	pthread_t thread;
	const char *replies[REPLIES_MAX]; /* "STATUS body", one for each request */
	char asked[REPLIES_MAX][128]; /* request lines */
	bool running;
};

static void serve(struct fake *f, int conn, const char *reply)
{
	const char line[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
			    "Upgrade: sbx-agent/1\r\n\r\n";
	int pair[2];

	(void)f;
	if (strcmp(reply, "101") != 0) {
		char text[1024];
		int n = snprintf(text, sizeof(text),
			"HTTP/1.1 %.3s x\r\nContent-Type: application/%s\r\n"
			"Content-Length: %zu\r\n\r\n%s",
			reply, strstr(reply, "step") ? "x-ndjson" : "json", strlen(reply + 4),
			reply + 4);

		assert_true(n < (int)sizeof(text));
		assert_int_equal(io_write_full(conn, text, (size_t)n, clock_ms() + LIMIT_MS), 0);
		return;
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(write(pair[1], "guest", 5), 5);
	assert_int_equal(io_send_fd(conn, line, strlen(line), pair[0], clock_ms() + LIMIT_MS), 0);
	close(pair[0]);
	close(pair[1]);
}

static void *daemon_thread(void *p)
{
	struct fake *f = p;
	char head[4096];
	size_t at = 0;

	while (at < REPLIES_MAX && f->replies[at]) {
		AUTO_FD conn = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
		ssize_t n;

		if (conn < 0)
			return NULL;
		while (at < REPLIES_MAX && f->replies[at] &&
			(n = read(conn, head, sizeof(head) - 1)) > 0) {
			head[n] = '\0';
			(void)snprintf(f->asked[at], sizeof(f->asked[at]), "%.*s",
				(int)strcspn(head, "\r"), head);
			serve(f, conn, f->replies[at++]);
		}
	}
	return NULL;
}

static void start(struct fake *f)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	AUTO_FD dir = open(f->state, O_PATH | O_DIRECTORY | O_CLOEXEC);

	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/sbxd.sock", dir);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(f->listener, 4), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, daemon_thread, f), 0);
	f->running = true;
}

static int setup(void **state)
{
	struct fake *f = calloc(1, sizeof(*f));
	char cmd[512];

	assert_non_null(f);
	(void)snprintf(f->top, sizeof(f->top), "/tmp/sbx-api-XXXXXX");
	assert_non_null(mkdtemp(f->top));
	(void)snprintf(f->state, sizeof(f->state), "%s/%0150d", f->top, 1);
	(void)snprintf(cmd, sizeof(cmd), "mkdir -m 700 '%s'", f->state);
	assert_int_equal(system(cmd), 0);
	setenv("SBX_STATE_DIR", f->state, 1);
	setenv("SBX_LIBEXEC_DIR", f->top, 1); /* holds no sbxd until a test puts one there */
	f->listener = -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fake *f = *state;
	char cmd[512];

	if (f->running) {
		shutdown(f->listener, SHUT_RDWR);
		assert_int_equal(pthread_join(f->thread, NULL), 0);
	}
	own_close_fd(&f->listener);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'", f->top);
	assert_int_equal(system(cmd), 0);
	free(f);
	return 0;
}

#define VERSION_OK "200 {\"version\":\"0.1.0\",\"api\":1}"

static void other_version(void **state)
{
	static const char *const bodies[] = {"200 {\"version\":\"9.9\",\"api\":22}",
		"404 {\"error\":{\"code\":\"not_found\",\"message\":\"?\"}}", "200 {}"};

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		AUTO(api) api = {0};
		struct err e = {0};
		struct fake *f;

		assert_int_equal(setup(state), 0);
		f = *state;
		f->replies[0] = bodies[i];
		start(f);
		assert_int_equal(api_open(&api, API_START, &e), -EPROTO);
		assert_non_null(strstr(e.hint, "sbx daemon restart"));
		assert_false(api.open);
		assert_int_equal(teardown(state), 0);
	}
}

static void errors_and_objects(void **state)
{
	struct fake *f = *state;
	AUTO(api) api = {0};
	AUTO_JS box = NULL;
	struct err e = {0};

	f->replies[0] = VERSION_OK;
	f->replies[1] = "200 {\"name\":\"boxa\"}";
	f->replies[2] = "404 {\"error\":{\"code\":\"not_found\",\"message\":\"?\"}}";
	f->replies[3] = "507 {\"error\":{\"code\":\"limit\",\"message\":\"full\"}}";
	f->replies[4] = "200 {\"a\":";
	start(f);
	assert_int_equal(api_open(&api, API_START, &e), 0);
	assert_int_equal(box_get(&api, "boxa", &box, &e), 0);
	assert_string_equal(box_str(box, "name"), "boxa");
	assert_string_equal(f->asked[1], "GET /v1/sandboxes/boxa HTTP/1.1");
	js_free(TAKE(box));
	assert_int_equal(box_get(&api, "boxb", &box, &e), -ENOENT);
	assert_string_equal(e.msg, "sandbox 'boxb' not found");
	e = (struct err){0};
	assert_true(api_call(&api, "GET", "/v1/images", NULL, LIMIT_MS, &box, &e) < 0);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_string_equal(e.msg, "full");
	e = (struct err){0};
	assert_true(api_call(&api, "GET", "/v1/images", NULL, LIMIT_MS, &box, &e) < 0);
	assert_null(box);
}

static void steps_of_a_start(void **state)
{
	struct fake *f = *state;
	AUTO(api) api = {0};
	AUTO_JS box = NULL;
	struct err e = {0};

	f->replies[0] = VERSION_OK;
	f->replies[1] = "200 {\"step\":\"kernel\"}\n{\"sandbox\":{\"name\":\"b1\"}}";
	f->replies[2] = "200 {\"step\":\"kernel\"}\n"
			"{\"error\":{\"code\":\"timeout\",\"message\":\"late\"}}";
	start(f);
	assert_int_equal(api_open(&api, API_START, &e), 0);
	assert_int_equal(box_start(&api, "b1", true, &box, &e), 0);
	assert_string_equal(box_str(js_get(box, "sandbox"), "name"), "b1");
	js_free(TAKE(box));
	assert_true(box_start(&api, "b1", true, &box, &e) < 0);
	assert_int_equal(e.code, ERR_TIMEOUT);
	assert_string_equal(e.msg, "late");
}

static void a_stream_is_a_descriptor(void **state)
{
	struct fake *f = *state;
	AUTO(api) api = {0};
	AUTO_FD fd = -1;
	struct err e = {0};
	char got[8] = "";

	f->replies[0] = VERSION_OK;
	f->replies[1] = "409 {\"error\":{\"code\":\"conflict\",\"message\":\"st\"}}";
	f->replies[2] = "101";
	start(f);
	assert_int_equal(api_open(&api, API_START, &e), 0);
	assert_int_equal(api_stream(&api, "b1", &fd, &e), -ENOTCONN); /* it does not run */
	assert_int_equal(api_stream(&api, "b1", &fd, &e), 0);
	assert_string_equal(f->asked[2], "POST /v1/sandboxes/b1/stream HTTP/1.1");
	assert_int_equal(read(fd, got, sizeof(got)), 5);
	assert_string_equal(got, "guest");
	assert_false(api.open);
}

/* ---- starting the daemon ---- */

static void no_daemon(void **state)
{
	AUTO(api) api = {0};
	struct err e = {0};

	(void)state;
	assert_int_equal(api_open(&api, API_NO_START, &e), -ENOENT);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	e = (struct err){0};
	assert_true(api_open(&api, API_START, &e) < 0);
	assert_non_null(strstr(e.msg, "sbxd")); /* the program is not there */
}

static void put_daemon(struct fake *f, const char *script)
{
	char path[128];
	FILE *out;

	(void)snprintf(path, sizeof(path), "%s/sbxd", f->top);
	out = fopen(path, "w");
	assert_non_null(out);
	fprintf(out, "#!/bin/sh\n%s\n", script);
	fclose(out);
	assert_int_equal(chmod(path, 0755), 0);
}

static void daemon_that_fails(void **state)
{
	static const char *const rows[][2] = {
		{"echo 'the disk is full' >&3; exit 1", "the disk is full"},
		{"exit 1", "it ended at once"}, {"printf 'no newline' >&3", "no newline"}};
	struct fake *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(api) api = {0};
		struct err e = {0};

		put_daemon(f, rows[i][0]);
		assert_true(api_open(&api, API_START, &e) < 0);
		assert_non_null(strstr(e.msg, "start the daemon"));
		assert_non_null(strstr(e.msg, rows[i][1]));
		assert_non_null(strstr(e.hint, "sbxd.log"));
	}
}

/* Another sbx was faster: its daemon has the lock and listens a moment later. */
static void *listen_later(void *p)
{
	assert_int_equal(poll(NULL, 0, 150), 0);
	start(p);
	return NULL;
}

static void daemon_of_another(void **state)
{
	struct fake *f = *state;
	AUTO(api) api = {0};
	struct err e = {0};
	pthread_t later;

	f->replies[0] = VERSION_OK;
	put_daemon(f, "echo \"another sbxd (pid 1) serves 'x' already\" >&3; exit 1");
	assert_int_equal(pthread_create(&later, NULL, listen_later, f), 0);
	assert_int_equal(api_open(&api, API_START, &e), 0);
	assert_int_equal(pthread_join(later, NULL), 0);
}

/* Nothing of ours may reach the daemon: descriptors, the terminal, the current directory. */
static void daemon_starts_clean(void **state)
{
	struct fake *f = *state;
	AUTO_FD leak = fcntl(STDIN_FILENO, F_DUPFD, 50); /* inheritable */
	struct paths p;
	struct err e = {0};
	char path[600];
	struct buf b;

	assert_true(leak >= 0);
	put_daemon(f, "{ ls /proc/$$/fd | tr '\\n' ' '; pwd; readlink /proc/$$/fd/0; "
		      "echo \"$@\"; } > \"$SBX_STATE_DIR/seen\"; echo ok >&3");
	assert_int_equal(paths_find(&p, &e), 0);
	assert_int_equal(launch_daemon(&p, &e), 0);
	buf_init(&b, 4096);
	(void)snprintf(path, sizeof(path), "%s/seen", f->state);
	assert_int_equal(io_read_file(AT_FDCWD, path, &b), 0);
	if (!strstr(buf_str(&b), "/\n/dev/null\n--ready-fd 3\n") || strncmp(b.data, "0 1 ", 4) != 0)
		fail_msg("%s", buf_str(&b));
	(void)snprintf(path, sizeof(path), " %d ", leak);
	if (strstr(buf_str(&b), path))
		fail_msg("descriptor %d is in '%s'", leak, buf_str(&b));
	buf_fini(&b);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {cmocka_unit_test(other_version),
		CASE(errors_and_objects), CASE(steps_of_a_start), CASE(a_stream_is_a_descriptor),
		CASE(no_daemon), CASE(daemon_that_fails), CASE(daemon_of_another),
		CASE(daemon_starts_clean)};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("cli/api", tests, NULL, NULL);
}
