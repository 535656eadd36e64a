/* test_boot.c - the boot stream against a host that behaves, leaves, or talks nonsense */
#include "guest/boot.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>

/* The host of one attempt: bytes it sends at once, and what it has read when it is over. */
struct host {
	int fds[4]; /* ours, one per attempt */
	struct buf say[4];
	unsigned attempts, applied, refreshed;
	int fail;
};

static int connect_host(void *ctx)
{
	struct host *h = ctx;
	unsigned i = h->attempts++;
	int fds[2];

	if (i >= ARRAY_LEN(h->fds) || !h->say[i].max)
		return -ECONNRESET;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	if (h->say[i].len)
		assert_int_equal(write(fds[1], h->say[i].data, h->say[i].len), h->say[i].len);
	assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
	h->fds[i] = fds[1];
	return fds[0];
}

static int apply(void *ctx, const struct agent_setup *m, void (*step)(void *, const char *),
	void *step_ctx, struct err *e)
{
	struct host *h = ctx;

	h->applied++;
	step(step_ctx, "working");
	if (h->fail)
		return err_set(e, ERR_INTERNAL, h->fail, "no such luck, %s", m->hostname);
	return 0;
}

static int refresh(void *ctx, const struct agent_setup *m, struct err *e)
{
	struct host *h = ctx;

	(void)m;
	(void)e;
	h->refreshed++;
	return 0;
}

static void say_setup(struct buf *b)
{
	struct agent_setup *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	strcpy(m->hostname, "box");
	buf_init(b, 1 << 20);
	assert_int_equal(agent_put_setup(b, m), 0);
	free(m);
}

static int run(struct host *h, struct guest *g, const struct err *failed, struct err *e)
{
	struct boot_ops ops = {
		.connect = connect_host, .apply = apply, .refresh = refresh, .ctx = h};

	return boot_run(g, &ops, failed, e);
}

/* heard() - what the guest said in attempt @i, as types */
static void heard(struct host *h, unsigned i, struct frame_decoder *d, char text[256])
{
	char bytes[4096];
	struct agent_error e;
	struct frame f;
	ssize_t n;

	text[0] = '\0';
	frame_decoder_init(d);
	while ((n = read(h->fds[i], bytes, sizeof(bytes))) > 0)
		assert_int_equal(frame_feed(d, bytes, (size_t)n), 0);
	while (frame_next(d, &f) == FRAME_GOT) {
		size_t len = strlen(text);

		(void)snprintf(text + len, 256 - len, "%x ", f.type);
		if (f.type == FRAME_ERROR) {
			assert_int_equal(agent_get_error(&f, &e), PROTO_OK);
			len = strlen(text);
			(void)snprintf(text + len, 256 - len, "%u:%.200s", e.num, e.text);
		}
	}
	frame_decoder_fini(d);
	close(h->fds[i]);
	buf_fini(&h->say[i]);
}

static void test_ready(void **state)
{
	struct host h = {0};
	struct guest g = {0};
	struct frame_decoder d;
	struct err e = {0};
	char text[256];

	(void)state;
	say_setup(&h.say[0]);
	assert_int_equal(run(&h, &g, NULL, &e), 0);
	assert_int_equal(h.applied, 1);
	assert_string_equal(g.setup.hostname, "box");
	heard(&h, 0, &d, text);
	assert_string_equal(text, "10 12 13 ");
	agent_setup_fini(&g.setup);
}

static void test_host_that_leaves_or_babbles(void **state)
{
	struct host h = {0};
	struct guest g = {0};
	struct frame_decoder d;
	struct err e = {0};
	char text[256];

	(void)state;
	buf_init(&h.say[0], 16); /* says nothing and ends */
	buf_init(&h.say[1], 16);
	assert_int_equal(agent_put_empty(&h.say[1], FRAME_OK), 0);
	say_setup(&h.say[2]);
	assert_int_equal(run(&h, &g, NULL, &e), 0);
	assert_int_equal(h.attempts, 3);
	assert_int_equal(h.applied, 1);
	heard(&h, 0, &d, text);
	assert_string_equal(text, "10 ");
	heard(&h, 1, &d, text);
	assert_string_equal(text, "10 ");
	heard(&h, 2, &d, text);
	assert_string_equal(text, "10 12 13 ");
	agent_setup_fini(&g.setup);
}

static void test_failing_set_up(void **state)
{
	struct host h = {.fail = -ENOSPC};
	struct guest g = {0};
	struct frame_decoder d;
	struct err e = {0};
	char text[256];

	(void)state;
	say_setup(&h.say[0]);
	assert_int_equal(run(&h, &g, NULL, &e), -ENOSPC);
	heard(&h, 0, &d, text);
	assert_string_equal(text, "10 12 21 28:no such luck, box");
	agent_setup_fini(&g.setup);
}

static void test_failure_before(void **state)
{
	struct host h = {0};
	struct guest g = {0};
	struct frame_decoder d;
	struct err e = {0}, early = {0};
	char text[256];

	(void)state;
	err_set(&early, ERR_NOT_FOUND, -ENOENT, "there is no disk");
	say_setup(&h.say[0]);
	assert_int_equal(run(&h, &g, &early, &e), -ENOENT);
	assert_int_equal(h.applied, 0);
	heard(&h, 0, &d, text);
	assert_string_equal(text, "10 21 2:there is no disk");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ready),
		cmocka_unit_test(test_host_that_leaves_or_babbles),
		cmocka_unit_test(test_failing_set_up),
		cmocka_unit_test(test_failure_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
