/* test_logs.c - what is read of a sandbox, at once and as it comes; and sandboxes that nothing happens in */
#include "check.h"
#include "rig.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

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

/* text_of() - body of a text answer */
static void text_of(const char *target, char *dst, size_t cap)
{
	struct http_ask ask = {.method = "GET", .target = target};
	AUTO(http_client) c = {.fd = -1};
	AUTO(http_reply) reply = {0};
	struct err e = {0};

	assert_int_equal(http_client_init(&c, rig_connect(rig)), 0);
	assert_int_equal(http_call(&c, &ask, 65536, clock_ms() + 5000, &reply, &e), 0);
	assert_int_equal(reply.status, 200);
	(void)snprintf(dst, cap, "%s", buf_str(&reply.body));
}

static void test_logs(void **state)
{
	char text[256];

	(void)state;
	NEED_RIG();
	rig_create(rig, "one");
	text_of("/v1/sandboxes/one/logs", text, sizeof(text));
	assert_string_equal(text, "");
	rig_start(rig, "one");
	text_of("/v1/sandboxes/one/logs?kind=console", text, sizeof(text));
	assert_string_equal(text, "fake console\nline 2\n");
	text_of("/v1/sandboxes/one/logs?kind=console&tail=1", text, sizeof(text));
	assert_string_equal(text, "line 2\n");
	text_of("/v1/sandboxes/one/logs?kind=agent&tail=2", text, sizeof(text));
	assert_string_equal(text, "two\nthree\n");
	text_of("/v1/sandboxes/one/logs?kind=agent&tail=0", text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(error_of("GET", "/v1/sandboxes/one/logs?kind=x", NULL, "invalid"), 400);
	assert_int_equal(error_of("GET", "/v1/sandboxes/one/logs?tail=-1", NULL, "invalid"), 400);
}

static void follow_begin(struct http_client *c, const char *target)
{
	struct http_ask ask = {.method = "GET", .target = target};
	struct http_reply reply = {0};
	struct err e = {0};

	assert_int_equal(http_client_init(c, rig_connect(rig)), 0);
	assert_int_equal(http_open(c, &ask, clock_ms() + 20000, &reply, &e), 0);
	assert_int_equal(reply.status, 200);
	assert_string_equal(reply.type, "text/plain; charset=utf-8");
	http_reply_fini(&reply);
}

/* follow_expect() - exactly @text comes, in as many pieces as it likes */
static void follow_expect(struct http_client *c, const char *text)
{
	struct err e = {0};
	AUTO(buf) got;

	buf_init(&got, 65536);
	while (got.len < strlen(text))
		assert_int_equal(http_piece(c, &got, clock_ms() + 20000, &e), 1);
	assert_string_equal(buf_str(&got), text);
}

static void follow_expect_end(struct http_client *c)
{
	struct err e = {0};
	AUTO(buf) got;

	buf_init(&got, 65536);
	assert_int_equal(http_piece(c, &got, clock_ms() + 20000, &e), 0);
	assert_int_equal(got.len, 0);
}

static void write_console(const char *text, int flags)
{
	char below[128];
	AUTO_FD fd = -1;

	(void)snprintf(below, sizeof(below), "state/sandboxes/%s/console.log", rig_id(rig, "one"));
	fd = open(rig_path(rig, below), O_WRONLY | O_CLOEXEC | flags);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(ftruncate(fd, lseek(fd, 0, SEEK_CUR)), 0);
}

/* longer than what the daemon finds its place again by */
#define LONG "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789"

static void test_follow_console(void **state)
{
	AUTO(http_client) c = {.fd = -1};

	(void)state;
	NEED_RIG();
	rig_create(rig, "one");
	rig_start(rig, "one");
	follow_begin(&c, "/v1/sandboxes/one/logs?kind=console&tail=1&follow=1");
	follow_expect(&c, "line 2\n");
	write_console("more\n", O_APPEND);
	follow_expect(&c, "more\n");
	/* half a character is not sent */
	write_console("a\xc3", O_APPEND);
	follow_expect(&c, "a");
	write_console("\xa9.\n", O_APPEND);
	follow_expect(&c, "\xc3\xa9.\n");
	/* the file was too long, and its older part was dropped */
	write_console(LONG "\n", O_APPEND);
	follow_expect(&c, LONG "\n");
	write_console(LONG "\nafter\n", 0);
	follow_expect(&c, "after\n");
	/* nothing is left of what we know */
	write_console("anew\n", 0);
	follow_expect(&c, "anew\n");
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/one/stop", NULL, NULL), 200);
	follow_expect_end(&c);
	http_client_fini(&c);
	/* and of one that is stopped: what there is, and the end */
	follow_begin(&c, "/v1/sandboxes/one/logs?kind=console&follow=1");
	follow_expect(&c, "anew\n");
	follow_expect_end(&c);
}

static void test_follow_agent(void **state)
{
	AUTO(http_client) c = {.fd = -1};

	(void)state;
	NEED_RIG();
	rig_create(rig, "one");
	assert_int_equal(
		error_of("GET", "/v1/sandboxes/one/logs?kind=agent&follow=1", NULL, "conflict"),
		409);
	rig_start(rig, "one");
	follow_begin(&c, "/v1/sandboxes/one/logs?kind=agent&tail=2&follow=1");
	follow_expect(&c, "two\nthr\xc3\xa9\nfour\n");
	/* the session has ended, the sandbox not: it waits for another, and takes no old one for it */
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/one/stop", NULL, NULL), 200);
	follow_expect_end(&c);
}

static unsigned fds_of(pid_t pid)
{
	char path[64];
	unsigned n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Who follows and goes leaves nothing behind, though nothing is ever written any more. */
static void test_follower_goes(void **state)
{
	int64_t until = clock_ms() + 20000;
	unsigned before;

	(void)state;
	NEED_RIG();
	rig_create(rig, "one");
	rig_start(rig, "one");
	before = fds_of(rig->sbxd);
	for (int i = 0; i < 2; i++) {
		struct http_client c = {.fd = -1};

		follow_begin(&c, i ? "/v1/sandboxes/one/logs?kind=agent&follow=1&tail=0"
				   : "/v1/sandboxes/one/logs?kind=console&follow=1&tail=0");
		http_client_fini(&c);
	}
	while (fds_of(rig->sbxd) > before && clock_ms() < until)
		(void)poll(NULL, 0, 20);
	assert_true(fds_of(rig->sbxd) <= before);
}

static void set_idle(const char *value)
{
	char body[64];

	(void)snprintf(body, sizeof(body), "{\"value\":\"%s\"}", value);
	assert_int_equal(rig_ask(rig, "PUT", "/v1/settings/idle.stop", body, NULL), 204);
}

/* idle_since() - as the API tells it, "" for null */
static const char *idle_since(const char *key, char dst[64])
{
	const struct js *v;

	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes/one", NULL, &v), 200);
	(void)snprintf(dst, 64, "%s", rig_str(v, key));
	return dst;
}

/* idle_becomes() - each change of the setting has it looked anew: until it is idle, or since later */
static void idle_becomes(const char *later_than, char dst[64])
{
	const int64_t until = clock_ms() + 20000;

	do {
		set_idle("600s");
		(void)poll(NULL, 0, 50);
	} while (strcmp(idle_since("idle_since", dst), later_than) <= 0 && clock_ms() < until);
	assert_true(strcmp(dst, later_than) > 0);
}

static void test_idle_is_shown(void **state)
{
	char first[64], then[64], text[64];
	const struct js *v;

	(void)state;
	NEED_RIG();
	rig_create(rig, "one");
	assert_int_equal(
		rig_ask(rig, "PUT", "/v1/settings/idle.stop", "{\"value\":\"0\"}", &v), 400);
	assert_int_equal(
		rig_ask(rig, "PUT", "/v1/settings/idle.stop", "{\"value\":\"5h\"}", &v), 400);
	rig_start(rig, "one");
	assert_string_equal(idle_since("idle_since", text), ""); /* off */
	idle_becomes("", first);
	assert_true(strcmp(idle_since("idle_stop_at", text), first) > 0);
	/* a command begins it anew */
	assert_int_equal(
		rig_ask(rig, "POST", "/v1/sandboxes/one/exec", "{\"argv\":[\"echo\"]}", &v), 200);
	idle_becomes(first, then);
	assert_string_equal(rig_status(rig, "one"), "running");
	assert_int_equal(rig_ask(rig, "DELETE", "/v1/settings/idle.stop", NULL, &v), 204);
	for (int i = 0; i < 400 && idle_since("idle_since", text)[0]; i++)
		(void)poll(NULL, 0, 50);
	assert_string_equal(text, "");
}

static void test_idle_stop(void **state)
{
	static const char *const lively[] = {"commands", "moves", "busy"};
	const int64_t until = clock_ms() + 60000;
	const struct js *v;

	(void)state;
	NEED_RIG();
	rig_create(rig, "one");
	rig_start(rig, "one");
	for (size_t i = 0; i < ARRAY_LEN(lively); i++) {
		rig_mode(rig, lively[i]);
		rig_create(rig, lively[i]);
		rig_start(rig, lively[i]);
	}
	set_idle("1s");
	while (strcmp(rig_status(rig, "one"), "stopped") != 0 && clock_ms() < until)
		(void)poll(NULL, 0, 50);
	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes/one", NULL, &v), 200);
	assert_string_equal(rig_str(v, "status"), "stopped");
	assert_string_equal(
		rig_str(v, "reason"), "nothing happened in it for 1 s (setting idle.stop)");
	(void)poll(NULL, 0, 1500);
	for (size_t i = 0; i < ARRAY_LEN(lively); i++)
		assert_string_equal(rig_status(rig, lively[i]), "running");
	rig_mode(rig, "");
	assert_int_equal(rig_ask(rig, "DELETE", "/v1/settings/idle.stop", NULL, &v), 204);
	rig_start(rig, "one");
	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes/one", NULL, &v), 200);
	assert_string_equal(rig_str(v, "reason"), "");
}

#define LIFE(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIFE(test_logs),
		LIFE(test_idle_is_shown),
		LIFE(test_idle_stop),
		LIFE(test_follow_console),
		LIFE(test_follow_agent),
		LIFE(test_follower_goes),
	};

	return cmocka_run_group_tests_name("daemon_logs", tests, NULL, NULL);
}
