#include "rig.h"
#include "base/clock.h"
#include "base/io.h"
#include "guest/proc.h"
#include "guest/reap.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>

uint64_t rig_clock_ns;
uint32_t rig_off_ms;
unsigned rig_offs;

static int set_clock(uint64_t ns)
{
	rig_clock_ns = ns;
	return 0;
}

unsigned rig_ends, rig_end_looks;

static bool end_all(void)
{
	return ++rig_ends > rig_end_looks;
}

static void power_off(struct guest *g, uint32_t grace_ms)
{
	(void)g;
	rig_off_ms = grace_ms;
	rig_offs++;
}

unsigned rig_count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

int rig_start(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	sigset_t set;

	assert_non_null(r);
	r->fds = rig_count_fds();
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	assert_int_equal(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	(void)signal(SIGPIPE, SIG_IGN);
	r->g = (struct guest){.scratch_fd = -1,
		.set_clock = set_clock,
		.end_all = end_all,
		.power_off = power_off};
	r->g.setup.uid = geteuid();
	r->g.setup.gid = getegid();
	strcpy(r->g.setup.home, "/tmp");
	r->g.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	r->g.pts_fd = open("/dev/pts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r->g.loop = loop_new();
	assert_non_null(r->g.loop);
	assert_int_equal(reaper_new(r->g.loop, &r->g.reaper), 0);
	assert_int_equal(server_new(&r->g, &r->g.server), 0);
	*state = r;
	return 0;
}

int rig_stop(void **state)
{
	struct rig *r = *state;
	int64_t deadline = clock_ms() + RIG_WAIT_MS;
	unsigned fds;

	proc_free_all(&r->g);
	while (server_streams(r->g.server) > 0 && clock_left(deadline) > 0)
		rig_turn(r, 20);
	if (server_streams(r->g.server) > 0)
		return -1;
	while (waitpid(-1, NULL, 0) > 0)
		;
	server_free(r->g.server);
	reaper_free(r->g.reaper);
	loop_free(r->g.loop);
	agent_setup_fini(&r->g.setup);
	close(r->g.null_fd);
	if (r->g.pts_fd >= 0)
		close(r->g.pts_fd);
	fds = rig_count_fds();
	if (fds != r->fds)
		fprintf(stderr, "%u descriptors at the start, %u at the end\n", r->fds, fds);
	fds -= r->fds;
	free(r);
	return fds ? -1 : 0;
}

void rig_turn(struct rig *r, int ms)
{
	assert_int_equal(loop_once(r->g.loop, ms), 0);
}

void peer_open(struct rig *r, struct peer *p)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	*p = (struct peer){.rig = r, .fd = fds[1]};
	assert_int_equal(io_set_nonblock(p->fd, true), 0);
	frame_decoder_init(&p->in);
	buf_init(&p->out, 4 << 20);
	server_add(r->g.server, fds[0]);
}

void peer_close(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	frame_decoder_fini(&p->in);
	buf_fini(&p->out);
}

void peer_flush(struct peer *p)
{
	int64_t deadline = clock_ms() + RIG_WAIT_MS;
	size_t done = 0;

	while (done < p->out.len) {
		ssize_t n = send(p->fd, p->out.data + done, p->out.len - done, MSG_NOSIGNAL);

		if (n > 0)
			done += (size_t)n;
		else if (errno != EAGAIN)
			break; /* it does not want more; what it says is read after */
		rig_turn(p->rig, 1);
		assert_true(clock_left(deadline) > 0);
	}
	buf_clear(&p->out);
}

bool peer_next(struct peer *p, struct frame *ret_f)
{
	int64_t deadline = clock_ms() + RIG_WAIT_MS;
	char bytes[65536];

	for (;;) {
		enum frame_result r = frame_next(&p->in, ret_f);
		ssize_t n;

		assert_int_not_equal(r, FRAME_BAD);
		if (r == FRAME_GOT)
			return true;
		n = recv(p->fd, bytes, sizeof(bytes), 0);
		if (n == 0 || (n < 0 && errno == ECONNRESET)) {
			p->ended = true;
			return false;
		}
		if (n > 0) {
			assert_int_equal(frame_feed(&p->in, bytes, (size_t)n), 0);
			continue;
		}
		assert_int_equal(errno, EAGAIN);
		assert_true(clock_left(deadline) > 0);
		rig_turn(p->rig, 5);
	}
}

struct frame peer_expect(struct peer *p, enum frame_type type)
{
	struct frame f = {0};

	assert_true(peer_next(p, &f));
	assert_int_equal(f.type, type);
	return f;
}

void peer_expect_end(struct peer *p)
{
	struct frame f;

	assert_false(peer_next(p, &f));
}

void peer_exec(struct peer *p, const char *const *argv, uint32_t flags, const char *session)
{
	struct agent_exec *m = calloc(1, sizeof(*m));
	static char *env[] = {(char *)(uintptr_t) "PATH=/usr/local/bin:/usr/bin:/bin", NULL};

	assert_non_null(m);
	m->flags = flags;
	m->rows = 24;
	m->cols = 80;
	if (session)
		strcpy(m->session, session);
	m->argv.v = (char **)(uintptr_t)argv;
	while (argv[m->argv.n])
		m->argv.n++;
	m->env.v = env;
	m->env.n = 1;
	assert_int_equal(agent_put_exec(&p->out, m), 0);
	free(m);
	peer_flush(p);
}

static void send_input(struct peer *p, const char **input, size_t *len, uint32_t credit)
{
	while (*input && (*len > 0 ? credit > 0 : true)) {
		size_t n = *len < credit ? *len : credit;

		if (n > FRAME_DATA_MAX)
			n = FRAME_DATA_MAX;
		assert_int_equal(frame_add(&p->out, FRAME_STDIN, *input, n), 0);
		if (n == 0) {
			*input = NULL;
		} else {
			*input += n;
			*len -= n;
			credit -= (uint32_t)n;
		}
	}
	peer_flush(p);
}

void peer_collect(struct peer *p, const char *input, size_t len, struct result *res)
{
	struct agent_error e;
	struct frame f;
	uint32_t n;

	memset(res, 0, sizeof(*res));
	buf_init(&res->out, 64 << 20);
	buf_init(&res->err, 64 << 20);
	while (peer_next(p, &f)) {
		assert_false(res->exited); /* nothing follows EXIT */
		switch ((unsigned)f.type) {
		case FRAME_STARTED:
			assert_int_equal(agent_get_u32(&f, &res->pid), PROTO_OK);
			break;
		case FRAME_STDOUT:
			assert_true(f.len > 0);
			assert_int_equal(buf_add(&res->out, f.body, f.len), 0);
			break;
		case FRAME_STDERR:
			assert_true(f.len > 0);
			assert_int_equal(buf_add(&res->err, f.body, f.len), 0);
			break;
		case FRAME_CREDIT:
			assert_int_equal(agent_get_u32(&f, &n), PROTO_OK);
			send_input(p, &input, &len, n);
			break;
		case FRAME_EXIT:
			assert_int_equal(agent_get_exit(&f, &res->exit), PROTO_OK);
			res->exited = true;
			break;
		case FRAME_ERROR:
			assert_int_equal(agent_get_error(&f, &e), PROTO_OK);
			res->error = (int)e.num;
			strcpy(res->text, e.text);
			break;
		default:
			fail_msg("unexpected frame 0x%x", f.type);
		}
	}
}

void result_fini(struct result *r)
{
	buf_fini(&r->out);
	buf_fini(&r->err);
}

void rig_run(
	struct rig *r, const char *script, uint32_t flags, const char *input, struct result *ret)
{
	const char *argv[] = {"/bin/sh", "-c", script, NULL};
	struct peer p;

	peer_open(r, &p);
	peer_exec(&p, argv, flags | (input ? AGENT_EXEC_STDIN : 0), NULL);
	peer_collect(&p, input, input ? strlen(input) : 0, ret);
	peer_close(&p);
}
