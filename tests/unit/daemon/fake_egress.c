/* fake_egress.c - sbx-front and sbx-vault as the daemon's tests need them: it binds its socket, says
 * who it is, and writes down in the sandbox's directory ("front.seen") what it is told, in order.
 *
 * A file "front.mode" or "vault.mode" beside the program changes that: "exit" (ends at once with words),
 * "mute" (never binds), "refuse" (no configuration is good enough), "rude" (breaks the rules once it
 * is configured; the next one does not), "ask" (the front asks a question).
 */
#include "base/clock.h"
#include "base/io.h"
#include "egress/spawn.h"
#include "link/link.h"
#include "proto/egress_config.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

static bool front;
static char mode[32];
static int seen = -1;
static uint64_t generation;

static bool is(const char *m)
{
	return strcmp(mode, m) == 0;
}

static char path[4096];

static void read_mode(void)
{
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 16);
	FILE *f;

	if (n <= 0)
		return;
	path[n] = '\0';
	strcpy(strrchr(path, '/') + 1, front ? "front.mode" : "vault.mode");
	f = fopen(path, "re");
	if (!f)
		return;
	if (fscanf(f, "%31s", mode) != 1)
		mode[0] = '\0';
	(void)fclose(f);
}

static void say(int peer, const struct egress_msg *m)
{
	AUTO(buf) out;

	buf_init(&out, EGRESS_CONTROL_MAX);
	if (egress_put_msg(&out, m) < 0 ||
		io_send_fd(peer, out.data, out.len, -1, clock_ms() + 1000) < 0)
		_exit(3);
}

static void answer(int peer, const struct egress_msg *to, int result, const char *text)
{
	const struct egress_msg m = {
		.op = EGRESS_OP_REPLY, .seq = to->seq, .result = result, .text = text};

	say(peer, &m);
}

/* on_config() - is it one, and of this sandbox? */
static int on_config(int fd, const char *id)
{
	struct egress_config c;
	AUTO(buf) b;
	int r = -EBADMSG;

	buf_init(&b, EGRESS_CONFIG_MAX);
	if (io_read_fd(fd, &b) == 0 && egress_get_config(b.data, b.len, &c) == PROTO_OK) {
		if (strcmp(c.id, id) == 0 && c.policy_len > 0 && c.generation > generation &&
			(front ? c.n_servers == 0 : c.n_servers > 0))
			r = 0;
		generation = c.generation;
	}
	egress_config_fini(&c);
	return r;
}

static void after_config(int peer)
{
	const struct egress_msg ask = {.op = EGRESS_OP_ASK,
		.id = 7,
		.name = "example.com",
		.port = 443,
		.method = "GET",
		.path = "/",
		.rule = "r1"};

	if (is("ask"))
		say(peer, &ask);
	if (is("rude")) {
		(void)unlink(path);
		(void)!write(peer, "rubbish", 7);
	}
}

static void on_message(int peer, struct egress_msg *m, int fd, const char *id)
{
	int r;

	switch (m->op) {
	case EGRESS_OP_CONFIG:
		r = on_config(fd, id);
		(void)dprintf(seen, "config\n");
		answer(peer, m, is("refuse") ? -EINVAL : r, is("refuse") ? "no good" : "");
		after_config(peer);
		return;
	case EGRESS_OP_PEER:
		(void)dprintf(seen, "peer\n");
		break;
	case EGRESS_OP_STREAMS:
		(void)dprintf(seen, "streams\n");
		break;
	case EGRESS_OP_SECRET:
		(void)dprintf(seen, "secret %s\n", m->name);
		break;
	case EGRESS_OP_DRAIN:
		break;
	case EGRESS_OP_VERDICT:
		(void)dprintf(seen, "verdict %d\n", m->yes);
		return;
	case EGRESS_OP_STATS:
	case EGRESS_OP_HELLO:
	case EGRESS_OP_ASK:
	case EGRESS_OP_AUDIT:
	case EGRESS_OP_CAUGHT:
	case EGRESS_OP_REPLY:
		return;
	}
	answer(peer, m, 0, "");
}

/* serve() - one daemon, until it leaves or a newer one comes */
static int serve(int listener, int peer, const char *id)
{
	const struct egress_msg hello = {.op = EGRESS_OP_HELLO,
		.who = front ? EGRESS_FRONT : EGRESS_VAULT,
		.pid = 1,
		.name = id,
		.id = generation};

	say(peer, &hello);
	for (;;) {
		struct pollfd p[2] = {{listener, POLLIN, 0}, {peer, POLLIN, 0}};
		uint8_t bytes[EGRESS_CONTROL_MAX + 1];
		struct egress_msg m;
		AUTO_FD fd = -1;
		ssize_t n;

		if (poll(p, 2, -1) < 0)
			return -1;
		if (p[0].revents)
			return 0;
		n = io_recv_fd(peer, bytes, sizeof(bytes), &fd, clock_ms() + 1000);
		if (n <= 0)
			return 0;
		if (egress_get_msg(bytes, (size_t)n, fd >= 0, &m) != PROTO_OK)
			return -1;
		on_message(peer, &m, fd, id);
	}
}

int main(int argc, char **argv)
{
	int listener;

	front = argc > 0 && strstr(argv[0], "front");
	read_mode();
	if (argc != 2 || is("exit")) {
		fprintf(stderr, "something is missing here\n");
		return 1;
	}
	if (is("mute"))
		(void)pause();
	seen = openat(EGRESS_DIR_FD, front ? "front.seen" : "vault.seen",
		O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	listener = link_listen(EGRESS_DIR_FD, front ? EGRESS_FRONT_SOCKET : EGRESS_VAULT_SOCKET);
	if (seen < 0 || listener < 0)
		return 2;
	for (;;) {
		struct pollfd p = {listener, POLLIN, 0};
		AUTO_FD peer = -1;

		if (poll(&p, 1, -1) < 0)
			return 2;
		peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (peer >= 0 && serve(listener, peer, argv[1]) < 0)
			return 4;
	}
}
