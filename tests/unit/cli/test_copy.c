/* A tree goes through pack, the frames of a transfer, and unpack, and is the same. */
#include "cli/pack.h"
#include "cli/transfer.h"
#include "cli/unpack.h"
#include "base/clock.h"
#include "base/io.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT_MS 20000

struct rig {
	char top[64], src[80], dst[80];
	int client, guest;
	struct progress progress;
	struct transfer *t;
	struct buf got; /* DATA as the fake guest took it */
	unsigned answer; /* errno of the guest's answer; 0: OK */
	bool early; /* it answers without reading on */
	bool ended; /* END was seen */
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	int pair[2];

	assert_non_null(r);
	(void)snprintf(r->top, sizeof(r->top), "/tmp/sbx-copy-XXXXXX");
	assert_non_null(mkdtemp(r->top));
	(void)snprintf(r->src, sizeof(r->src), "%s/src", r->top);
	(void)snprintf(r->dst, sizeof(r->dst), "%s/dst", r->top);
	assert_int_equal(mkdir(r->src, 0755) || mkdir(r->dst, 0755), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	r->client = pair[0];
	r->guest = pair[1];
	r->t = calloc(1, sizeof(*r->t));
	assert_non_null(r->t);
	progress_begin(&r->progress, true);
	transfer_init(r->t, r->client, &r->progress);
	buf_init(&r->got, 64 << 20);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	char cmd[128];

	(void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'", r->top);
	assert_int_equal(system(cmd), 0);
	own_close_fd(&r->client);
	own_close_fd(&r->guest);
	transfer_fini(r->t);
	free(r->t);
	buf_fini(&r->got);
	free(r);
	return 0;
}

static void answer(struct rig *r)
{
	struct buf b;

	buf_init(&b, 1024);
	if (r->answer)
		assert_int_equal(agent_put_error(&b, (int)r->answer, "no room"), 0);
	else
		assert_int_equal(agent_put_empty(&b, FRAME_OK), 0);
	assert_int_equal(io_write_full(r->guest, b.data, b.len, clock_ms() + LIMIT_MS), 0);
	buf_fini(&b);
}

static void *guest_takes(void *p)
{
	static uint8_t body[FRAME_DATA_MAX];
	struct rig *r = p;
	uint8_t head[FRAME_HEADER];

	while (!r->ended && !r->early) {
		uint32_t len;

		if (io_read_full(r->guest, head, sizeof(head), clock_ms() + LIMIT_MS) < 0)
			return NULL;
		memcpy(&len, head, 4);
		assert_true(len <= sizeof(body));
		if (len && io_read_full(r->guest, body, len, clock_ms() + LIMIT_MS) < 0)
			return NULL;
		if (head[4] == FRAME_DATA)
			assert_int_equal(buf_add(&r->got, body, len), 0);
		r->ended = head[4] == FRAME_END;
	}
	answer(r);
	return NULL;
}

static int pack_all(struct rig *r, const char *name, struct pack *p, struct err *e)
{
	AUTO_FD dir = open(r->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pthread_t thread;
	int n;

	assert_int_equal(pthread_create(&thread, NULL, guest_takes, r), 0);
	n = pack_tree(p, r->t, dir, name, name, e);
	if (n == 0)
		n = transfer_finish(r->t, e);
	if (n < 0)
		shutdown(r->client, SHUT_RDWR);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return n;
}

static void fill(const char *dir)
{
	char cmd[512];

	(void)snprintf(cmd, sizeof(cmd),
		"cd '%s' && mkdir -p a/b/c empty && printf x > a/b/c/f && chmod 755 a/b/c/f &&"
		"head -c 300000 /dev/urandom > big && ln -s a/b l && ln -s ../big a/m &&"
		"mkfifo p && : > zero && printf y > \"$(printf 'e\\033[2J')\" &&"
		"mkdir -p %s",
		dir,
		"n12345678901234567890123456789012345678901234567890/"
		"n12345678901234567890123456789012345678901234567890/"
		"n12345678901234567890123456789012345678901234567890");
	assert_int_equal(system(cmd), 0);
}

static void there_and_back(void **state)
{
	struct rig *r = *state;
	struct pack p = {0};
	struct err e = {0};
	struct unpack *u = calloc(1, sizeof(*u));
	AUTO_FD root = open(r->dst, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char cmd[256];

	assert_non_null(u);
	fill(r->src);
	assert_int_equal(pack_all(r, "src", &p, &e), 0);
	assert_true(r->ended);
	assert_int_equal(p.left_out, 1); /* the pipe */
	assert_int_equal(unpack_init(u, root, "copy", false), 0);
	assert_int_equal(unpack_bytes(u, (uint8_t *)r->got.data, r->got.len, &e), 0);
	assert_int_equal(unpack_end(u, &e), 0);
	assert_int_equal(u->left_out, 0);
	assert_int_equal(u->entries, p.entries);
	unpack_fini(u);
	free(u);
	(void)snprintf(cmd, sizeof(cmd),
		"cd '%s' && rm src/p && diff -r --no-dereference src dst/copy && test -x "
		"dst/copy/a/b/c/f",
		r->top);
	assert_int_equal(system(cmd), 0);
}

static void a_single_file_and_links(void **state)
{
	struct rig *r = *state;
	struct pack p = {0}, q = {.follow = true};
	AUTO_FD dir = open(r->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err e = {0};

	assert_int_equal(io_replace_file(dir, "one", "1", 1, 0600), 0);
	assert_int_equal(symlinkat("one", dir, "lnk"), 0);
	assert_int_equal(pack_all(r, "lnk", &p, &e), 0);
	assert_int_equal(r->got.data[156], '2'); /* the link itself */
	buf_clear(&r->got);
	r->ended = false;
	assert_int_equal(pack_all(r, "lnk", &q, &e), 0);
	assert_int_equal(r->got.data[156], '0'); /* what it points to */
	assert_int_equal(pack_tree(&q, r->t, dir, "nothing", "nothing", &e), -ENOENT);
}

static void the_guest_refuses(void **state)
{
	struct rig *r = *state;
	struct pack p = {0};
	struct err e = {0};

	fill(r->src);
	r->answer = ENOSPC;
	assert_int_equal(pack_all(r, "src", &p, &e), -ENOSPC);
	assert_string_equal(e.msg, "no room");
	assert_int_equal(e.code, ERR_LIMIT);
}

static void the_guest_refuses_early(void **state)
{
	struct rig *r = *state;
	struct pack p = {0};
	struct err e = {0};
	AUTO_FD dir = open(r->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD big = openat(dir, "src/huge", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(ftruncate(big, 1 << 30), 0); /* more than any socket holds */
	r->answer = EACCES;
	r->early = true;
	assert_int_equal(pack_all(r, "src", &p, &e), -EACCES);
}

/* ---- out ---- */

struct script {
	const char *bytes;
	size_t len;
	int r; /* what transfer_get() says at last */
};

static void hostile_stream(void **state)
{
	static const struct script rows[] = {
		{"\3\0\0\0\x39\1\0\0abc\0\0\0\0\x3a\1\0\0", 19, 0},
		{"\0\0\0\0\x39\1\0\0", 8, -EPROTO}, /* empty DATA */
		{"\1\0\0\0\x3a\1\0\0x", 9, -EPROTO}, /* END with a body */
		{"\0\0\0\0\x20\1\0\0", 8, -EPROTO}, {"\0\0\0\0\x99\1\0\0", 8, -EPROTO},
		{"\xff\xff\xff\x7f\x39\1\0\0", 8, -EPROTO}, {"\3\0\0\0\x39\1\0\0ab", 10, -EPIPE},
		{"", 0, -EPIPE}, {"\x0a\0\0\0\x21\1\0\0\2\0\0\0\2\0\0\0no", 18, -ENOENT},
		{"\4\0\0\0\x21\1\0\0\0\0\0\0", 12, -EPROTO}, /* malformed ERROR */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig *r;
		struct err e = {0};
		const uint8_t *p;
		size_t len;
		int n;

		assert_int_equal(setup(state), 0);
		r = *state;
		if (rows[i].len)
			assert_int_equal(io_write_full(r->guest, rows[i].bytes, rows[i].len,
						 clock_ms() + LIMIT_MS),
				0);
		own_close_fd(&r->guest);
		while ((n = transfer_get(r->t, &p, &len, &e)) > 0)
			assert_true(len > 0);
		if (n != rows[i].r)
			fail_msg("row %zu: %d '%s'", i, n, e.msg);
		assert_int_equal(teardown(state), 0);
	}
}

static void interrupted(void **state)
{
	struct rig *r = *state;
	struct err e = {0};
	const uint8_t *p;
	size_t len;

	transfer_catch();
	assert_int_equal(raise(SIGINT), 0);
	assert_int_equal(transfer_caught(), SIGINT);
	assert_int_equal(transfer_get(r->t, &p, &len, &e), -EINTR);
	assert_string_equal(e.msg, "interrupted");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {CASE(there_and_back), CASE(a_single_file_and_links),
		CASE(the_guest_refuses), CASE(the_guest_refuses_early),
		cmocka_unit_test(hostile_stream), CASE(interrupted)};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("cli/copy", tests, NULL, NULL);
}
