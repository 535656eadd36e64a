/* fake_machine.c - sbx-machine without a machine: speaks the link, and plays the guest's agent
 *
 * Stands in for sbx-machine in the daemon's tests (SBX_LIBEXEC_DIR). One thread, one stream at a
 * time. The file "mode" beside the program chooses what goes wrong; see the modes below.
 */
#include "base/clock.h"
#include "base/io.h"
#include "base/loop.h"
#include "link/link.h"
#include "machine/plan.h"
#include "machine/spawn.h"
#include "proto/agent.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define FOREVER (clock_ms() + 3600000)

static struct machine_plan plan;
static char mode[32]; /* "" normal, "no-link", "no-boot", "boot-error", "die-in-boot",
		       * "boot-garbage", "deaf" (ignores SHUTDOWN, STOP and KILL),
		       * "hangs-once", "hangs" (ends before the guest was heard of),
		       * "boot-cut" (the first boot stream ends early), "boot-cuts" (each does) */
static enum link_state now = LINK_RUNNING;
static int peer = -1;

static bool is(const char *m)
{
	return strcmp(mode, m) == 0;
}

static void read_mode(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 8);
	char *slash;
	FILE *f;

	if (n <= 0)
		return;
	path[n] = '\0';
	slash = strrchr(path, '/');
	strcpy(slash + 1, "mode");
	f = fopen(path, "re");
	if (!f)
		return;
	if (fscanf(f, "%31s", mode) != 1)
		mode[0] = '\0';
	(void)fclose(f);
}

/* stats() - one in which nothing happens, unless it is one that `moves` bytes or is `busy` */
static void stats(struct link_msg *m)
{
	static uint64_t moved;

	m->n[0] = is("moves") ? ++moved : 0;
	m->n[2] = is("busy") ? (uint64_t)clock_ms() : 0;
}

static void tell(enum link_op op, const struct link_msg *asked, int fd, const char *text)
{
	struct link_msg m = {.op = op, .n = {(uint64_t)getpid()}};

	if (asked)
		m.seq = asked->seq;
	if (asked && asked->op == LINK_STATS)
		stats(&m);
	if (op == LINK_HELLO || op == LINK_STATE)
		m.state = now;
	if (op == LINK_STREAM)
		m.port = FRAME_PORT_BOOT;
	(void)snprintf(m.text, sizeof(m.text), "%s", text);
	(void)!link_send(peer, &m, fd, clock_ms() + 1000);
}

static NORETURN void end(enum link_state how, const char *why)
{
	char text[200];
	int n = snprintf(
		text, sizeof(text), "%s\n%s\n", how == LINK_STOPPED ? "stopped" : "crashed", why);
	AUTO_FD fd = openat(plan.dir_fd, MACHINE_EXIT_FILE, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd >= 0)
		(void)!write(fd, text, (size_t)n);
	now = how;
	tell(LINK_STATE, NULL, -1, why);
	_exit(0);
}

/* ---- the guest's agent ---- */

struct agent {
	int fd;
	struct frame_decoder in;
};

static bool next(struct agent *a, struct frame *f)
{
	for (;;) {
		char chunk[8192];
		enum frame_result r = frame_next(&a->in, f);
		ssize_t n;

		if (r == FRAME_GOT)
			return true;
		if (r == FRAME_BAD || io_wait(a->fd, POLLIN, FOREVER) < 0)
			return false;
		n = recv(a->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
		if (n <= 0 || frame_feed(&a->in, chunk, (size_t)n) < 0)
			return false;
	}
}

static void say(struct agent *a, struct buf *b)
{
	(void)!io_write_full(a->fd, b->data, b->len, clock_ms() + 2000);
	buf_clear(b);
}

/* do_shell() - "sh -c X" says that it ran X; "loud" says 3 MiB, "fail" ends with status 3,
 * "hang" not at all
 */
static int do_shell(struct agent *a, const char *text, struct buf *b, struct agent_exit *x)
{
	static char zeros[FRAME_DATA_MAX];
	int bad = frame_add(b, FRAME_STDOUT, "ran ", 4);

	bad |= frame_add(b, FRAME_STDOUT, text, strlen(text)) | frame_add(b, FRAME_STDERR, "\n", 1);
	memset(zeros, 'z', sizeof(zeros));
	for (int i = 0; strcmp(text, "loud") == 0 && i < 48; i++) {
		bad |= frame_add(b, FRAME_STDOUT, zeros, sizeof(zeros));
		say(a, b);
	}
	if (strcmp(text, "hang") == 0) {
		struct frame f;

		say(a, b);
		while (next(a, &f))
			;
	}
	x->code = strcmp(text, "fail") == 0 ? 3 : 0;
	return bad;
}

/* exec: argv[0] is the command: "echo" gives its arguments, "cat" its input, "big" 3 MiB, "false" 1,
 * "hang" nothing, "stuck" does not even read, "killed" a signal, "noise" bytes that are not UTF-8
 */
static void do_exec(struct agent *a, const struct frame *req, struct buf *b)
{
	struct agent_exec m;
	struct agent_exit x = {0};
	struct frame f;
	int bad = agent_get_exec(req, &m) != PROTO_OK;

	if (bad || strcmp(m.argv.v[0], "nothing") == 0) {
		bad |= agent_put_error(b, ENOENT, "nothing: \x1b[31mnot found");
		say(a, b);
		agent_exec_fini(&m);
		return;
	}
	bad |= agent_put_u32(b, FRAME_STARTED, 42) | agent_put_u32(b, FRAME_CREDIT, 10);
	say(a, b);
	if (strcmp(m.argv.v[0], "cat") == 0)
		while (next(a, &f) && f.type == FRAME_STDIN && f.len > 0) {
			bad |= frame_add(b, FRAME_STDOUT, f.body, f.len);
			bad |= agent_put_u32(b, FRAME_CREDIT, (uint32_t)f.len);
			say(a, b);
		}
	else if (strcmp(m.argv.v[0], "echo") == 0)
		for (size_t i = 1; i < m.argv.n; i++)
			bad |= frame_add(b, i % 2 ? FRAME_STDOUT : FRAME_STDERR, m.argv.v[i],
				strlen(m.argv.v[i]));
	else if (strcmp(m.argv.v[0], "noise") == 0)
		bad |= frame_add(b, FRAME_STDOUT, "a\xff\0z", 4);
	else if (strcmp(m.argv.v[0], "big") == 0)
		for (int i = 0; i < 48; i++) {
			static char zeros[FRAME_DATA_MAX];

			memset(zeros, 'z', sizeof(zeros));
			bad |= frame_add(b, FRAME_STDOUT, zeros, sizeof(zeros));
			say(a, b);
		}
	else if (strcmp(m.argv.v[0], "sh") == 0 && m.argv.n == 3)
		bad |= do_shell(a, m.argv.v[2], b, &x);
	else if (strcmp(m.argv.v[0], "hang") == 0)
		while (next(a, &f))
			;
	else if (strcmp(m.argv.v[0], "stuck") == 0) {
		struct pollfd p = {.fd = a->fd};

		(void)poll(&p, 1, 20000); /* until the other end is closed */
	}
	x.code |= strcmp(m.argv.v[0], "false") == 0;
	x.signal = strcmp(m.argv.v[0], "killed") == 0 ? SIGKILL : 0;
	bad |= agent_put_exit(b, x);
	if (!bad)
		say(a, b);
	agent_exec_fini(&m);
}

/* put: what came is kept in a file of the sandbox's directory that tests can look at */
static void do_put(struct agent *a, const struct frame *req, struct buf *b)
{
	struct agent_put m;
	struct frame f;
	FILE *out;

	if (agent_get_put(req, &m) != PROTO_OK)
		return;
	for (char *s = m.path; *s; s++)
		if (*s == '/')
			*s = '_';
	{
		char name[4200];

		(void)snprintf(name, sizeof(name), "put%s", m.path);
		int fd = openat(plan.dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		out = fd < 0 ? NULL : fdopen(fd, "w");
	}
	while (out && next(a, &f) && f.type == FRAME_DATA)
		(void)fwrite(f.body, 1, f.len, out);
	if (out)
		(void)fclose(out);
	if (agent_put_empty(b, FRAME_OK) == 0)
		say(a, b);
}

/* do_watch() - the session has ended already, but its last line came after who watches */
static void do_watch(struct agent *a, struct buf *b)
{
	if (agent_put_u32(b, FRAME_STARTED, 1) == 0 &&
		frame_add(b, FRAME_STDOUT, "one\ntwo\nthr\xc3", 12) == 0 &&
		agent_put_empty(b, FRAME_OK) == 0 &&
		frame_add(b, FRAME_STDOUT, "\xa9\nfour\n", 7) == 0 &&
		agent_put_exit(b, (struct agent_exit){0}) == 0)
		say(a, b);
}

static void on_request(int fd)
{
	struct agent a = {.fd = fd};
	struct agent_usage u = {.mem_total = 1000, .processes = 3, .commands = is("commands")};
	struct agent_attach attach;
	struct frame f;
	struct buf b;
	bool bye = false;

	frame_decoder_init(&a.in);
	buf_init(&b, 8U << 20);
	if (next(&a, &f)) {
		switch ((int)f.type) {
		case FRAME_EXEC:
			do_exec(&a, &f, &b);
			break;
		case FRAME_PUT:
			do_put(&a, &f, &b);
			break;
		case FRAME_ATTACH:
			if (agent_get_attach(&f, &attach) == PROTO_OK &&
				attach.flags == AGENT_ATTACH_WATCH) {
				do_watch(&a, &b);
				break;
			}
			if (agent_put_u32(&b, FRAME_STARTED, 1) == 0 &&
				frame_add(&b, FRAME_STDOUT, "one\ntwo\nthree\n", 14) == 0 &&
				agent_put_exit(&b, (struct agent_exit){0}) == 0)
				say(&a, &b);
			break;
		case FRAME_USAGE:
			if (agent_put_usage(&b, &u) == 0)
				say(&a, &b);
			break;
		case FRAME_SHUTDOWN:
			bye = !is("deaf");
			__attribute__((fallthrough));
		default:
			if (agent_put_empty(&b, FRAME_OK) == 0)
				say(&a, &b);
		}
	}
	buf_fini(&b);
	frame_decoder_fini(&a.in);
	close(fd);
	if (bye)
		end(LINK_STOPPED, "the guest powered off");
}

/* boot() - false: the stream was cut, as when the guest's agent began anew */
static bool boot(void)
{
	struct agent_hello hello = {.version = AGENT_VERSION, .kernel = "fake"};
	struct agent_setup setup;
	struct agent a = {.fd = -1};
	struct frame f;
	struct buf b;
	int fds[2];
	bool cut;

	if (is("hangs") || (is("hangs-once") && mkdirat(plan.dir_fd, "hung", 0700) == 0))
		end(LINK_CRASHED, "the guest did not start");
	if (is("no-boot") || link_pair(fds) < 0)
		return true;
	cut = is("boot-cuts") || (is("boot-cut") && mkdirat(plan.dir_fd, "cut", 0700) == 0);
	a.fd = fds[0];
	frame_decoder_init(&a.in);
	buf_init(&b, 65536);
	tell(LINK_STREAM, NULL, fds[1], "");
	close(fds[1]);
	if (is("boot-garbage") ? buf_add(&b, "\xff\xff\xff\xff\xff\xff\xff\xff", 8) == 0
			       : agent_put_hello(&b, &hello) == 0)
		say(&a, &b);
	if (is("die-in-boot"))
		end(LINK_CRASHED, "the guest's kernel \x1b[2Jpanicked");
	if (!cut && next(&a, &f) && agent_get_setup(&f, &setup) == PROTO_OK) {
		char text[256];
		AUTO_FD fd = openat(plan.dir_fd, "setup", O_WRONLY | O_CREAT | O_TRUNC, 0600);
		int n = snprintf(text, sizeof(text), "%s %s %s %zu %zu\n", setup.hostname,
			setup.user, setup.cwd, setup.n_mounts, setup.env.n);

		if (fd >= 0)
			(void)!write(fd, text, (size_t)n);
		agent_setup_fini(&setup);
		if (is("boot-error") ? agent_put_error(&b, EIO, "cannot mount the root") == 0
				     : agent_put_text(&b, FRAME_STEP, "mounting") == 0 &&
					       agent_put_u64(&b, FRAME_READY, 12) == 0)
			say(&a, &b);
	}
	buf_fini(&b);
	frame_decoder_fini(&a.in);
	close(a.fd);
	return !cut;
}

/* ---- the link ---- */

static void on_message(void)
{
	struct link_msg m;
	AUTO_FD fd = -1;
	int r = link_recv(peer, &m, &fd, clock_ms());

	if (r <= 0) {
		if (r != -ETIMEDOUT)
			own_close_fd(&peer);
		return;
	}
	switch (m.op) {
	case LINK_OPEN:
		on_request(own_take_fd(&fd));
		return;
	case LINK_PAUSE:
	case LINK_RESUME:
		now = m.op == LINK_PAUSE ? LINK_PAUSED : LINK_RUNNING;
		tell(LINK_REPLY, &m, -1, "");
		tell(LINK_STATE, NULL, -1, "");
		return;
	case LINK_STATS:
		tell(LINK_REPLY, &m, -1,
			is("troubled") ? "the guest broke queue 1 of device fs: a loop" : "");
		return;
	case LINK_EGRESS:
		tell(LINK_REPLY, &m, -1, "");
		return;
	case LINK_STOP:
		tell(LINK_REPLY, &m, -1, "");
		if (!is("deaf"))
			end(LINK_STOPPED, "the power button");
		return;
	case LINK_KILL:
		if (!is("deaf"))
			end(LINK_STOPPED, "it was told to");
		return;
	case LINK_HELLO:
	case LINK_STREAM:
	case LINK_STATE:
	case LINK_REPLY:
		end(LINK_CRASHED, "the daemon broke the link's rules");
	}
}

int main(void)
{
	char bytes[8192];
	ssize_t n = read(MACHINE_PLAN_FD, bytes, sizeof(bytes));
	bool booted = false;
	int listener;

	read_mode();
	(void)signal(SIGPIPE, SIG_IGN);
	if (n <= 0 || machine_plan_decode(bytes, (size_t)n, &plan) < 0) {
		fprintf(stderr, "no plan\n");
		return 1;
	}
	fprintf(stderr, "fake machine %s\n", plan.id);
	(void)!write(plan.console_fd, "fake console\nline 2\n", 20);
	if (is("no-link"))
		return 3;
	listener = link_listen(plan.dir_fd, LINK_SOCKET);
	if (listener < 0)
		return 1;
	for (;;) {
		struct pollfd p[] = {
			{.fd = listener, .events = POLLIN}, {.fd = peer, .events = POLLIN}};

		if (poll(p, 2, -1) < 0)
			return 1;
		if (p[0].revents) {
			own_close_fd(&peer);
			peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			tell(LINK_HELLO, NULL, -1, plan.id);
			for (unsigned i = 0; i < 20 && !booted; i++)
				booted = boot() || usleep(20000) < 0;
			booted = true;
		} else if (p[1].revents)
			on_message();
	}
}
