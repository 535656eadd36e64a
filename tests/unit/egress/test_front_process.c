/* test_front_process.c - sbx-front in its jail: every kind of traffic with nothing but its list of calls */
#include "base/clock.h"
#include "base/io.h"
#include "check.h"
#include "egress/spawn.h"
#include "front_rig.h"
#include "link/link.h"
#include "tls/client.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

static const struct rig_rule rules[] = {{POLICY_ALLOW, "**.open.test", NULL, 0, false}};

struct box {
	char dir[64];
	int dir_fd, pidfd, streams;
	pid_t pid;
	struct rig *r;
};

static void control(struct box *b, enum egress_op op, int fd)
{
	const struct egress_msg m = {.op = op, .seq = 1, .text = ""};
	struct buf bytes;

	buf_init(&bytes, EGRESS_CONTROL_MAX);
	assert_int_equal(egress_put_msg(&bytes, &m), 0);
	assert_int_equal(
		io_send_fd(b->r->control, bytes.data, bytes.len, fd, clock_ms() + 5000), 0);
	buf_fini(&bytes);
}

static void configure(struct box *b)
{
	AUTO_FD fd = memfd_create("config", MFD_CLOEXEC);
	struct buf config;

	rig_encode(rules, ARRAY_LEN(rules), NULL, &config);
	assert_int_equal(io_write_full(fd, config.data, config.len, IO_FOREVER), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	control(b, EGRESS_OP_CONFIG, fd);
	buf_fini(&config);
}

static void start(struct box *b)
{
	char program[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 32);
	struct err e = {0};
	int fds[2];

	assert_true(n > 0);
	program[n] = '\0';
	for (unsigned i = 0; i < 3; i++) { /* build/tests/unit/test_… */
		slash = strrchr(program, '/');
		assert_non_null(slash);
		*slash = '\0';
	}
	slash = program + strlen(program);
	(void)snprintf(slash, (size_t)(program + sizeof(program) - slash), "/src/sbx-front");
	(void)snprintf(b->dir, sizeof(b->dir), "/tmp/front-test-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	b->dir_fd = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b->r = calloc(1, sizeof(*b->r));
	assert_non_null(b->r);
	b->r->remote = true;
	b->r->control = -1;
	if (egress_spawn(EGRESS_FRONT, "box", program, b->dir_fd, STDERR_FILENO, &b->pid, &b->pidfd,
		    &e) < 0) {
		(void)print_message("%s %s\n", e.msg, e.hint);
		SKIP("no jail can be made here");
	}
	for (unsigned i = 0; i < 500 && b->r->control < 0; i++) {
		b->r->control = link_connect(b->dir_fd, EGRESS_FRONT_SOCKET);
		if (b->r->control < 0)
			usleep(10000);
	}
	assert_true(b->r->control >= 0);
	configure(b);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	control(b, EGRESS_OP_PEER, fds[0]);
	close(fds[0]);
	b->r->peer = fds[1];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	control(b, EGRESS_OP_STREAMS, fds[0]);
	close(fds[0]);
	b->streams = fds[1];
	rig_run(b->r, 1000);
}

static void stop(struct box *b)
{
	static const char *const files[] = {
		"ca.key", "ca.crt", "front.pins", "egress.lock", "front.jail", "front.sock"};

	assert_int_equal(kill(b->pid, SIGKILL), 0);
	assert_int_equal(waitpid(b->pid, NULL, 0), b->pid);
	rig_kill_vault(b->r);
	close(b->r->control);
	close(b->streams);
	close(b->pidfd);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		(void)unlinkat(b->dir_fd, files[i], 0);
	close(b->dir_fd);
	assert_int_equal(rmdir(b->dir), 0);
	free(b->r);
}

/* stream() - one more of the guest's, passed on as the machine does */
static int stream(struct box *b, uint32_t port, const char *address, uint16_t to_port)
{
	const struct link_msg m = {.op = LINK_STREAM, .port = port};
	struct egress_stream to = {.port = to_port, .to = {.family = 4}};
	uint8_t head[EGRESS_STREAM_HEAD];
	int fds[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(link_send(b->streams, &m, fds[0], clock_ms() + 1000), 0);
	close(fds[0]);
	if (port == EGRESS_PORT_TCP) {
		struct policy_address a;

		assert_true(policy_address_parse(address, strlen(address), &a));
		memcpy(to.to.bytes, a.byte, sizeof(to.to.bytes));
		egress_put_stream(head, &to);
		assert_int_equal(write(fds[1], head, sizeof(head)), sizeof(head));
	}
	return fds[1];
}

static void over_tls(struct box *b, bool h2)
{
	int fd = stream(b, EGRESS_PORT_TCP, "93.184.216.34", 443);
	const struct tls_dial d = {
		.fd = fd, .host = "x.open.test", .port = 443, .h2 = h2, .http = !h2};
	struct tls_roots *roots = tls_roots_new();
	struct tls_client *ctx = NULL;
	struct tls *t = NULL;
	struct err e = {0};
	struct buf pem;
	char got[4096];
	ssize_t n = 0;
	enum tls_step step = TLS_WANT;

	buf_init(&pem, 65536);
	assert_int_equal(io_read_file(b->dir_fd, "ca.crt", &pem), 0);
	assert_int_equal(tls_roots_add(roots, pem.data, pem.len, true, NULL, &e), 0);
	assert_int_equal(tls_client_ctx_new(roots, NULL, &ctx, &e), 0);
	assert_int_equal(tls_client_new(ctx, &d, &t), 0);
	for (unsigned i = 0; i < 600 && step == TLS_WANT; i++) {
		step = tls_handshake(t);
		rig_run(b->r, 200);
	}
	if (step != TLS_DONE)
		print_error("handshake: %s\n", tls_why(t));
	assert_int_equal(step, TLS_DONE);
	if (h2) {
		static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

		assert_int_equal(tls_write(t, preface, sizeof(preface) - 1), sizeof(preface) - 1);
	} else {
		static const char get[] = "GET /hello HTTP/1.1\r\nHost: x.open.test\r\n\r\n";

		assert_int_equal(tls_write(t, get, sizeof(get) - 1), sizeof(get) - 1);
	}
	for (unsigned i = 0; i < 600 && n <= 0; i++) {
		rig_run(b->r, 200);
		n = tls_read(t, got, sizeof(got) - 1);
	}
	assert_true(n > 0);
	got[n] = '\0';
	if (!h2)
		assert_non_null(strstr(got, "200 OK"));
	tls_free(t);
	tls_client_ctx_free(ctx);
	tls_roots_free(roots);
	buf_fini(&pem);
	close(fd);
}

static void test_all(void **state)
{
	static const char query[] = "\0\x1d\0\7\1\0\0\1\0\0\0\0\0\0\1x\4open\4test\0\0\1\0\1";
	struct box b = {0};
	char got[4096];
	bool end;
	int fd;

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	start(&b);
	fd = stream(&b, EGRESS_PORT_DNS, NULL, 0);
	assert_int_equal(write(fd, query, sizeof(query) - 1), sizeof(query) - 1);
	assert_true(rig_recv(b.r, fd, got, sizeof(got), &end) > 20);
	close(fd);
	fd = stream(&b, EGRESS_PORT_TCP, "93.184.216.34", 80);
	assert_non_null(strstr(
		rig_talk(b.r, fd, "GET /big HTTP/1.1\r\nHost: x.open.test\r\n\r\n"), "200 OK"));
	close(fd);
	fd = stream(&b, EGRESS_PORT_TCP, "93.184.216.34", 80);
	assert_non_null(strstr(
		rig_talk(b.r, fd, "GET /hello HTTP/1.1\r\nHost: evil.test\r\n\r\n"), "421 "));
	close(fd);
	fd = stream(&b, EGRESS_PORT_TCP, "93.184.216.34", 22);
	assert_non_null(strstr(rig_talk(b.r, fd, "SSH-2.0\r\n"), "SSH"));
	close(fd);
	over_tls(&b, false);
	over_tls(&b, false);
	over_tls(&b, true);
	configure(&b);
	control(&b, EGRESS_OP_STATS, -1);
	for (unsigned i = 0; i < 600 && b.r->n_records < 5; i++)
		rig_run(b.r, 1000);
	assert_true(b.r->n_records >= 5);
	/* it lives: no call was missing in its list */
	assert_int_equal(waitpid(b.pid, NULL, WNOHANG), 0);
	stop(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_all)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
