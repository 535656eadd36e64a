/* The client loop against a fake guest at the other end of a socket pair. */
#include "cli/attach.h"
#include "base/clock.h"
#include "base/io.h"
#include "proto/agent.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define LIMIT_MS 20000

struct rig {
	int client, guest; /* socket pair */
	int in[2], out[2], err[2];
	pthread_t thread;
	void (*script)(struct rig *);
	struct buf got; /* what the fake guest received, frames stripped */
	struct buf stdout_bytes; /* read by the test afterwards */
};

static void *run_script(void *p)
{
	struct rig *r = p;

	r->script(r);
	close(r->guest);
	return NULL;
}

static void send_frame(struct rig *r, enum frame_type type, const void *p, size_t len)
{
	uint8_t head[FRAME_HEADER];

	frame_head(head, type, len);
	assert_int_equal(io_write_full(r->guest, head, sizeof(head), clock_ms() + LIMIT_MS), 0);
	assert_int_equal(io_write_full(r->guest, p, len, clock_ms() + LIMIT_MS), 0);
}

static void send_buf(struct rig *r, struct buf *b)
{
	assert_int_equal(io_write_full(r->guest, b->data, b->len, clock_ms() + LIMIT_MS), 0);
	buf_fini(b);
}

static void send_number(struct rig *r, enum frame_type type, uint32_t v)
{
	struct buf b;

	buf_init(&b, 64);
	assert_int_equal(agent_put_u32(&b, type, v), 0);
	send_buf(r, &b);
}

static void send_exit(struct rig *r, uint32_t code, uint8_t sig)
{
	struct buf b;

	buf_init(&b, 64);
	assert_int_equal(agent_put_exit(&b, (struct agent_exit){code, sig}), 0);
	send_buf(r, &b);
}

/* next() - one whole frame from the client; false at its end */
static bool next(struct rig *r, struct buf *body, enum frame_type *ret_type)
{
	uint8_t head[FRAME_HEADER];
	uint32_t len;

	if (io_read_full(r->guest, head, sizeof(head), clock_ms() + LIMIT_MS) < 0)
		return false;
	memcpy(&len, head, 4);
	buf_clear(body);
	for (char *room; len > 0; len = 0) {
		assert_int_equal(buf_room(body, len, &room), 0);
		assert_int_equal(io_read_full(r->guest, room, len, clock_ms() + LIMIT_MS), 0);
		buf_grew(body, len);
	}
	*ret_type = (enum frame_type)head[4];
	return true;
}

static void start(struct rig *r, void (*script)(struct rig *))
{
	int pair[2];

	*r = (struct rig){.script = script};
	buf_init(&r->got, 1 << 24);
	buf_init(&r->stdout_bytes, 1 << 24);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	r->client = pair[0];
	r->guest = pair[1];
	assert_int_equal(pipe2(r->in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(r->out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(r->err, O_CLOEXEC), 0);
}

static void stop(struct rig *r)
{
	close(r->client);
	assert_int_equal(pthread_join(r->thread, NULL), 0);
	for (int i = 0; i < 2; i++) {
		own_close_fd(&r->in[i]);
		own_close_fd(&r->out[i]);
		own_close_fd(&r->err[i]);
	}
	buf_fini(&r->got);
	buf_fini(&r->stdout_bytes);
}

static struct attach_result go(struct rig *r, struct attach a, struct err *e)
{
	struct agent_exec x = {.argv = {.v = (char *[]){(char *)"true", NULL}, .n = 1}};
	struct attach_result res;
	sigset_t all, old;
	struct buf req;

	a.stream = r->client;
	a.in = a.tty ? a.in : r->in[0];
	a.out = a.tty ? a.out : r->out[1];
	a.err = a.tty ? a.out : r->err[1];
	if (!a.start_ms)
		a.start_ms = LIMIT_MS;
	buf_init(&req, FRAME_BIG_MAX);
	assert_int_equal(agent_put_exec(&req, &x), 0);
	/* The script's thread takes no signal, so that those it sends reach the loop. */
	sigfillset(&all);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &all, &old), 0);
	assert_int_equal(pthread_create(&r->thread, NULL, run_script, r), 0);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
	res = attach_run(&a, &req, e);
	buf_fini(&req);
	return res;
}

static size_t read_all(int fd, char *dst, size_t cap)
{
	ssize_t n;
	size_t len = 0;

	assert_int_equal(io_set_nonblock(fd, true), 0);
	while ((n = read(fd, dst + len, cap - len)) > 0)
		len += (size_t)n;
	return len;
}

static void expect_request(struct rig *r)
{
	enum frame_type type;
	struct buf body;

	buf_init(&body, FRAME_BIG_MAX);
	assert_true(next(r, &body, &type));
	assert_int_equal(type, FRAME_EXEC);
	buf_fini(&body);
}

/* ---- streams and exit ---- */

static void script_output(struct rig *r)
{
	expect_request(r);
	send_number(r, FRAME_STARTED, 7);
	send_frame(r, FRAME_STDOUT, "a\0b", 3);
	send_frame(r, FRAME_STDERR, "warn", 4);
	send_frame(r, FRAME_STDOUT, "\xff", 1);
	send_exit(r, 42, 0);
}

static void output_and_code(void **state)
{
	struct err e = {0};
	struct rig r;
	char got[32];
	struct attach_result res;

	(void)state;
	start(&r, script_output);
	res = go(&r, (struct attach){0}, &e);
	assert_int_equal(res.end, ATTACH_EXIT);
	assert_int_equal(res.status, 42);
	assert_int_equal(read_all(r.out[0], got, sizeof(got)), 4);
	assert_memory_equal(got, "a\0b\xff", 4);
	assert_int_equal(read_all(r.err[0], got, sizeof(got)), 4);
	assert_memory_equal(got, "warn", 4);
	stop(&r);
}

static void script_signal_exit(struct rig *r)
{
	expect_request(r);
	send_number(r, FRAME_STARTED, 7);
	send_exit(r, 0, SIGKILL);
}

static void signalled_command(void **state)
{
	struct err e = {0};
	struct rig r;
	struct attach_result res;

	(void)state;
	start(&r, script_signal_exit);
	res = go(&r, (struct attach){0}, &e);
	assert_int_equal(res.end, ATTACH_EXIT);
	assert_int_equal(res.status, 128 + SIGKILL);
	stop(&r);
}

static int refused_num;

static void script_refused(struct rig *r)
{
	struct buf b;

	buf_init(&b, 512);
	expect_request(r);
	assert_int_equal(agent_put_error(&b, refused_num, "nosuch: not found"), 0);
	send_buf(r, &b);
}

static void failure_to_start(void **state)
{
	static const int rows[][2] = {
		{ENOENT, 127}, {EACCES, 126}, {ENOEXEC, 126}, {EINVAL, 125}, {EEXIST, 125}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = {0};
		struct rig r;
		struct attach_result res;

		refused_num = rows[i][0];
		start(&r, script_refused);
		res = go(&r, (struct attach){0}, &e);
		assert_int_equal(res.end, ATTACH_REFUSED);
		assert_int_equal(res.status, rows[i][1]);
		assert_int_equal(res.error_num, rows[i][0]);
		assert_string_equal(e.msg, "nosuch: not found");
		stop(&r);
	}
}

/* ---- input and credit ---- */

static void script_credit(struct rig *r)
{
	enum frame_type type;
	struct buf body;
	size_t granted = 0;

	buf_init(&body, FRAME_BIG_MAX);
	expect_request(r);
	send_number(r, FRAME_STARTED, 7);
	for (;;) {
		/* small and odd grants, each only after all of the one before was used */
		if (granted == r->got.len) {
			send_number(r, FRAME_CREDIT, 1000);
			granted += 1000;
		}
		assert_true(next(r, &body, &type));
		assert_int_equal(type, FRAME_STDIN);
		if (body.len == 0)
			break;
		assert_int_equal(buf_add(&r->got, body.data, body.len), 0);
		assert_true(r->got.len <= granted);
	}
	send_exit(r, 0, 0);
	buf_fini(&body);
}

static void *feed_stdin(void *p)
{
	struct rig *r = p;
	char block[5000];

	for (unsigned i = 0; i < 20; i++) {
		memset(block, (int)('a' + i), sizeof(block));
		assert_int_equal(
			io_write_full(r->in[1], block, sizeof(block), clock_ms() + LIMIT_MS), 0);
	}
	own_close_fd(&r->in[1]);
	return NULL;
}

static void input_within_credit(void **state)
{
	struct err e = {0};
	struct rig r;
	struct attach_result res;
	pthread_t feeder;

	(void)state;
	start(&r, script_credit);
	assert_int_equal(pthread_create(&feeder, NULL, feed_stdin, &r), 0);
	res = go(&r, (struct attach){.want_stdin = true}, &e);
	assert_int_equal(pthread_join(feeder, NULL), 0);
	assert_int_equal(res.end, ATTACH_EXIT);
	assert_int_equal(res.status, 0);
	assert_int_equal(r.got.len, 100000);
	for (size_t i = 0; i < r.got.len; i++)
		assert_int_equal(r.got.data[i], 'a' + i / 5000);
	stop(&r);
}

static void script_no_stdin(struct rig *r)
{
	enum frame_type type;
	struct buf body;

	buf_init(&body, FRAME_BIG_MAX);
	expect_request(r);
	send_number(r, FRAME_STARTED, 7);
	send_number(r, FRAME_CREDIT, 65536);
	send_exit(r, 3, 0);
	assert_false(next(r, &body, &type)); /* nothing was sent at all */
	buf_fini(&body);
}

static void stdin_not_asked_for(void **state)
{
	struct err e = {0};
	struct rig r;

	(void)state;
	start(&r, script_no_stdin);
	assert_int_equal(write(r.in[1], "secret", 6), 6);
	assert_int_equal(go(&r, (struct attach){0}, &e).status, 3);
	stop(&r);
}

/* ---- a slow and a vanished reader ---- */

#define BIG (4U << 20)

static void script_big(struct rig *r)
{
	static char block[FRAME_DATA_MAX];

	expect_request(r);
	send_number(r, FRAME_STARTED, 7);
	for (unsigned i = 0; i < BIG / sizeof(block); i++) {
		memset(block, (int)i, sizeof(block));
		send_frame(r, FRAME_STDOUT, block, sizeof(block));
	}
	send_exit(r, 0, 0);
}

static void *slow_reader(void *p)
{
	struct rig *r = p;
	char block[1 << 15];
	ssize_t n;

	while ((n = read(r->out[0], block, sizeof(block))) > 0)
		assert_int_equal(buf_add(&r->stdout_bytes, block, (size_t)n), 0);
	return NULL;
}

static void all_output_arrives(void **state)
{
	struct err e = {0};
	struct rig r;
	pthread_t reader;

	(void)state;
	start(&r, script_big);
	assert_int_equal(pthread_create(&reader, NULL, slow_reader, &r), 0);
	assert_int_equal(go(&r, (struct attach){0}, &e).end, ATTACH_EXIT);
	own_close_fd(&r.out[1]);
	assert_int_equal(pthread_join(reader, NULL), 0);
	assert_int_equal(r.stdout_bytes.len, BIG);
	for (size_t i = 0; i < BIG; i += FRAME_DATA_MAX)
		assert_int_equal((uint8_t)r.stdout_bytes.data[i], i / FRAME_DATA_MAX);
	stop(&r);
}

static void script_endless(struct rig *r)
{
	uint8_t head[FRAME_HEADER], block[4096] = {0};

	expect_request(r);
	send_number(r, FRAME_STARTED, 7);
	frame_head(head, FRAME_STDOUT, sizeof(block));
	while (send(r->guest, head, sizeof(head), MSG_NOSIGNAL) > 0 &&
		send(r->guest, block, sizeof(block), MSG_NOSIGNAL) > 0)
		;
}

static void closed_stdout(void **state)
{
	struct err e = {0};
	struct rig r;
	struct attach_result res;

	(void)state;
	start(&r, script_endless);
	own_close_fd(&r.out[0]);
	res = go(&r, (struct attach){0}, &e);
	assert_int_equal(res.end, ATTACH_SIGNAL);
	assert_int_equal(res.status, 128 + SIGPIPE);
	stop(&r);
}

/* ---- a hostile guest ---- */

static const struct bad {
	const char *name;
	const char *bytes;
	size_t len;
	bool started; /* send STARTED first */
	enum attach_end end;
} bad_rows[] = {
	{"output before start", "\1\0\0\0\x31\1\0\0x", 9, false, ATTACH_FAILED},
	{"exit before start", "\5\0\0\0\x37\1\0\0\0\0\0\0\0", 13, false, ATTACH_FAILED},
	{"unknown type", "\0\0\0\0\x7f\1\0\0", 8, true, ATTACH_FAILED},
	{"version", "\0\0\0\0\x31\2\0\0", 8, true, ATTACH_FAILED},
	{"reserved", "\0\0\0\0\x31\1\1\0", 8, true, ATTACH_FAILED},
	{"length", "\xff\xff\xff\xff\x31\1\0\0", 8, true, ATTACH_FAILED},
	{"empty output", "\0\0\0\0\x31\1\0\0", 8, true, ATTACH_FAILED},
	{"a host's frame", "\0\0\0\0\x30\1\0\0", 8, true, ATTACH_FAILED},
	{"second start", "\4\0\0\0\x36\1\0\0\0\0\0\0", 12, true, ATTACH_FAILED},
	{"short exit", "\1\0\0\0\x37\1\0\0\0", 9, true, ATTACH_FAILED},
	{"exit code 256", "\5\0\0\0\x37\1\0\0\0\1\0\0\0", 13, true, ATTACH_FAILED},
	{"trailing bytes", "\6\0\0\0\x37\1\0\0\0\0\0\0\0\0", 14, true, ATTACH_FAILED},
	{"cut frame, then end", "\5\0\0\0\x37\1\0\0\0", 9, true, ATTACH_FAILED},
	{"nothing", "", 0, true, ATTACH_FAILED},
};
static const struct bad *bad_now;

static void script_bad(struct rig *r)
{
	expect_request(r);
	if (bad_now->started)
		send_number(r, FRAME_STARTED, 7);
	if (bad_now->len)
		assert_int_equal(io_write_full(r->guest, bad_now->bytes, bad_now->len,
					 clock_ms() + LIMIT_MS),
			0);
}

static void hostile_guest(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_rows); i++) {
		struct err e = {0};
		struct rig r;
		struct attach_result res;

		bad_now = &bad_rows[i];
		start(&r, script_bad);
		res = go(&r, (struct attach){0}, &e);
		if (res.end != bad_now->end || res.status != 125 || !e.msg[0])
			fail_msg("%s: end %d status %d", bad_now->name, (int)res.end, res.status);
		stop(&r);
	}
}

static void script_silent(struct rig *r)
{
	enum frame_type type;
	struct buf body;

	buf_init(&body, FRAME_BIG_MAX);
	expect_request(r);
	assert_false(next(r, &body, &type)); /* until the client gives up */
	buf_fini(&body);
}

static void silent_guest(void **state)
{
	struct err e = {0};
	struct rig r;
	struct attach_result res;

	(void)state;
	start(&r, script_silent);
	res = go(&r, (struct attach){.start_ms = 50}, &e);
	assert_int_equal(res.end, ATTACH_FAILED);
	assert_int_equal(e.code, ERR_TIMEOUT);
	stop(&r);
}

/* ---- signals ---- */

static void script_interrupt(struct rig *r)
{
	enum frame_type type;
	struct buf body;

	buf_init(&body, FRAME_BIG_MAX);
	expect_request(r);
	send_number(r, FRAME_STARTED, 7);
	/* The loop must have seen STARTED: it answers the credit only after that. */
	send_number(r, FRAME_CREDIT, 10);
	assert_true(next(r, &body, &type));
	assert_int_equal(type, FRAME_STDIN);
	assert_int_equal(kill(getpid(), SIGINT), 0);
	assert_true(next(r, &body, &type));
	assert_int_equal(type, FRAME_SIGNAL);
	assert_int_equal(body.len, 1);
	assert_int_equal(body.data[0], SIGINT);
	send_exit(r, 0, SIGINT);
	buf_fini(&body);
}

static void interrupt_is_forwarded(void **state)
{
	struct err e = {0};
	struct rig r;
	struct attach_result res;
	sigset_t set, old;

	(void)state;
	start(&r, script_interrupt);
	assert_int_equal(write(r.in[1], "x", 1), 1);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
	res = go(&r, (struct attach){.want_stdin = true}, &e);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
	assert_int_equal(res.end, ATTACH_EXIT);
	assert_int_equal(res.status, 130);
	stop(&r);
}

static void script_stubborn(struct rig *r)
{
	enum frame_type type;
	struct buf body;

	buf_init(&body, FRAME_BIG_MAX);
	expect_request(r);
	send_number(r, FRAME_STARTED, 7);
	send_number(r, FRAME_CREDIT, 10);
	assert_true(next(r, &body, &type));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(kill(getpid(), SIGTERM), 0);
		assert_true(next(r, &body, &type));
		assert_int_equal(type, FRAME_SIGNAL);
	}
	assert_int_equal(kill(getpid(), SIGTERM), 0);
	assert_false(next(r, &body, &type)); /* the third one ends the client */
	buf_fini(&body);
}

static void third_signal_ends_the_client(void **state)
{
	struct err e = {0};
	struct rig r;
	struct attach_result res;
	sigset_t set, old;

	(void)state;
	start(&r, script_stubborn);
	assert_int_equal(write(r.in[1], "x", 1), 1);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
	res = go(&r, (struct attach){.want_stdin = true}, &e);
	own_close_fd(&r.client);
	assert_int_equal(res.end, ATTACH_SIGNAL);
	assert_int_equal(res.status, 128 + SIGTERM);
	stop(&r);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
}

/* ---- a terminal ---- */

static int tty_master, tty_slave;

static bool is_raw(int fd)
{
	struct termios t;

	assert_int_equal(tcgetattr(fd, &t), 0);
	return !(t.c_lflag & (ICANON | ECHO | ISIG));
}

static void read_until(int fd, const char *text)
{
	char got[256] = "";
	size_t len = 0;

	while (!strstr(got, text)) {
		assert_true(len < sizeof(got) - 1);
		assert_int_equal(io_wait(fd, POLLIN, clock_ms() + LIMIT_MS), 0);
		assert_int_equal(read(fd, got + len, 1), 1);
		got[++len] = '\0';
	}
}

static void script_tty(struct rig *r)
{
	enum frame_type type;
	struct winsize w = {.ws_row = 33, .ws_col = 99};
	struct buf body;

	buf_init(&body, FRAME_BIG_MAX);
	expect_request(r);
	send_number(r, FRAME_STARTED, 7);
	send_number(r, FRAME_CREDIT, 1);
	/* ctrl-c is a byte in raw mode */
	while (!is_raw(tty_slave))
		assert_int_equal(poll(NULL, 0, 1), 0);
	assert_int_equal(write(tty_master, "\x03", 1), 1);
	assert_true(next(r, &body, &type));
	assert_int_equal(type, FRAME_STDIN);
	assert_memory_equal(body.data, "\x03", 1);
	assert_int_equal(ioctl(tty_master, TIOCSWINSZ, &w), 0);
	assert_int_equal(kill(getpid(), SIGWINCH), 0);
	assert_true(next(r, &body, &type));
	assert_int_equal(type, FRAME_RESIZE);
	assert_memory_equal(body.data, "\x21\0\x63\0", 4);
	send_frame(r, FRAME_STDOUT, "\x1b[?1049hfull screen", 19);
	read_until(tty_master, "full screen");
	/* without credit the detach keys still work */
	assert_int_equal(write(tty_master, "typed\x1c", 6), 6);
	assert_false(next(r, &body, &type));
	buf_fini(&body);
}

static void raw_terminal_and_detach(void **state)
{
	struct attach a = {.tty = true, .want_stdin = true};
	struct err e = {0};
	struct rig r;
	struct attach_result res;
	char shown[256];
	size_t n;

	(void)state;
	assert_int_equal(openpty(&tty_master, &tty_slave, NULL, NULL, NULL), 0);
	start(&r, script_tty);
	a.in = a.out = tty_slave;
	assert_int_equal(keys_parse(KEYS_DEFAULT, &a.keys, &e), 0);
	assert_false(is_raw(tty_slave));
	res = go(&r, a, &e);
	own_close_fd(&r.client);
	assert_int_equal(res.end, ATTACH_DETACHED);
	assert_int_equal(res.status, 0);
	assert_false(is_raw(tty_slave));
	stop(&r);
	n = read_all(tty_master, shown, sizeof(shown) - 1);
	shown[n] = '\0';
	assert_non_null(strstr(shown, "\x1b[?1049l")); /* the shell gets its screen back */
	close(tty_master);
	close(tty_slave);
}

static void script_line_and_keys(struct rig *r)
{
	enum frame_type type;
	struct buf body;

	buf_init(&body, FRAME_BIG_MAX);
	expect_request(r);
	send_number(r, FRAME_STARTED, 7);
	send_number(r, FRAME_CREDIT, 100);
	while (!is_raw(tty_slave))
		assert_int_equal(poll(NULL, 0, 1), 0);
	assert_int_equal(write(tty_master, " ", 1), 1);
	assert_true(next(r, &body, &type)); /* the credit has come */
	assert_int_equal(write(tty_master, "make\r\x1c", 6), 6);
	assert_true(next(r, &body, &type));
	assert_int_equal(type, FRAME_STDIN);
	assert_int_equal(body.len, 5);
	assert_memory_equal(body.data, "make\r", 5);
	assert_false(next(r, &body, &type));
	buf_fini(&body);
}

/* What was typed before the detach keys goes out, though it was read with them. */
static void line_before_detach(void **state)
{
	struct attach a = {.tty = true, .want_stdin = true};
	struct err e = {0};
	struct rig r;
	struct attach_result res;

	(void)state;
	assert_int_equal(openpty(&tty_master, &tty_slave, NULL, NULL, NULL), 0);
	start(&r, script_line_and_keys);
	a.in = a.out = tty_slave;
	assert_int_equal(keys_parse(KEYS_DEFAULT, &a.keys, &e), 0);
	res = go(&r, a, &e);
	own_close_fd(&r.client);
	assert_int_equal(res.end, ATTACH_DETACHED);
	stop(&r);
	close(tty_master);
	close(tty_slave);
}

static void script_hangup(struct rig *r)
{
	enum frame_type type;
	struct buf body;

	buf_init(&body, FRAME_BIG_MAX);
	expect_request(r);
	send_number(r, FRAME_STARTED, 7);
	while (!is_raw(tty_slave))
		assert_int_equal(poll(NULL, 0, 1), 0);
	own_close_fd(&tty_master);
	assert_false(next(r, &body, &type));
	buf_fini(&body);
}

static void terminal_closed_in_raw_mode(void **state)
{
	struct attach a = {.tty = true, .want_stdin = true};
	struct err e = {0};
	struct rig r;
	struct attach_result res;

	(void)state;
	assert_int_equal(openpty(&tty_master, &tty_slave, NULL, NULL, NULL), 0);
	start(&r, script_hangup);
	a.in = a.out = tty_slave;
	res = go(&r, a, &e);
	own_close_fd(&r.client);
	assert_int_equal(res.end, ATTACH_SIGNAL);
	assert_int_equal(res.status, 128 + SIGHUP);
	stop(&r);
	close(tty_slave);
}

static void script_killed(struct rig *r)
{
	enum frame_type type;
	struct buf body;

	buf_init(&body, FRAME_BIG_MAX);
	expect_request(r);
	send_number(r, FRAME_STARTED, 7);
	(void)next(r, &body, &type);
	buf_fini(&body);
}

/* The terminal is restored by signals that kill: one of those that the loop does not read, and our
 * own fault.
 */
static void restored_when_killed(void **state)
{
	static const int sigs[] = {SIGUSR1, SIGALRM, SIGABRT, SIGSEGV};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sigs); i++) {
		int status = 0;
		pid_t pid;

		assert_int_equal(openpty(&tty_master, &tty_slave, NULL, NULL, NULL), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			struct attach a = {.tty = true, .want_stdin = true};
			struct err e = {0};
			struct rig r;

			(void)signal(sigs[i], SIG_DFL);
			start(&r, script_killed);
			a.in = a.out = tty_slave;
			(void)go(&r, a, &e);
			_exit(0);
		}
		while (!is_raw(tty_slave))
			assert_int_equal(poll(NULL, 0, 1), 0);
		assert_int_equal(kill(pid, sigs[i]), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), sigs[i]);
		assert_false(is_raw(tty_slave));
		close(tty_master);
		close(tty_slave);
	}
}

static void script_taken(struct rig *r)
{
	struct buf b;

	buf_init(&b, 512);
	expect_request(r);
	send_number(r, FRAME_STARTED, 7);
	assert_int_equal(agent_put_error(&b, EBUSY, "attached elsewhere"), 0);
	send_buf(r, &b);
}

static void taken_over(void **state)
{
	struct err e = {0};
	struct rig r;

	(void)state;
	start(&r, script_taken);
	assert_int_equal(go(&r, (struct attach){0}, &e).end, ATTACH_TAKEN);
	stop(&r);
}

static void detached_start(void **state)
{
	struct err e = {0};
	struct rig r;

	(void)state;
	start(&r, script_killed);
	assert_int_equal(go(&r, (struct attach){.only_start = true}, &e).end, ATTACH_DETACHED);
	own_close_fd(&r.client);
	stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(output_and_code),
		cmocka_unit_test(signalled_command), cmocka_unit_test(failure_to_start),
		cmocka_unit_test(input_within_credit), cmocka_unit_test(stdin_not_asked_for),
		cmocka_unit_test(all_output_arrives), cmocka_unit_test(closed_stdout),
		cmocka_unit_test(hostile_guest), cmocka_unit_test(silent_guest),
		cmocka_unit_test(interrupt_is_forwarded),
		cmocka_unit_test(third_signal_ends_the_client),
		cmocka_unit_test(raw_terminal_and_detach), cmocka_unit_test(line_before_detach),
		cmocka_unit_test(terminal_closed_in_raw_mode),
		cmocka_unit_test(restored_when_killed), cmocka_unit_test(taken_over),
		cmocka_unit_test(detached_start)};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("cli/attach", tests, NULL, NULL);
}
