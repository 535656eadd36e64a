#include "machine/machine.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "jail/root.h"
#include "machine/spawn.h"
#include "proto/frame.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* ---- states: link.md has the meaning of each ---- */

static const unsigned moves[] = {
	[LINK_STARTING] = 1u << LINK_RUNNING | 1u << LINK_STOPPED | 1u << LINK_CRASHED,
	[LINK_RUNNING] = 1u << LINK_PAUSED | 1u << LINK_STOPPED | 1u << LINK_CRASHED,
	[LINK_PAUSED] = 1u << LINK_RUNNING | 1u << LINK_STOPPED | 1u << LINK_CRASHED,
	[LINK_STOPPED] = 0,
	[LINK_CRASHED] = 0,
};

/* write_end() - what became of the machine, for a daemon that is not connected now */
static void write_end(const struct machine *m, enum link_state state, const char *reason)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "%s\n%s\n",
		state == LINK_STOPPED ? "stopped" : "crashed", reason);

	if (m->exit_fd < 0 || n < 0)
		return;
	if (n >= (int)sizeof(text))
		n = (int)sizeof(text) - 1;
	(void)!pwrite(m->exit_fd, text, (size_t)n, 0);
}

void machine_move(struct machine *m, enum link_state to, const char *reason)
{
	assert(moves[m->state] >> to & 1);
	log_info("state %d to %d: %s", (int)m->state, (int)to, reason);
	m->state = to;
	if (to == LINK_STOPPED || to == LINK_CRASHED) {
		write_end(m, to, reason);
		loop_stop(m->loop);
	}
	control_state(&m->control, to, reason);
}

/* ---- open ---- */

static int read_plan(struct machine *m, struct err *e)
{
	struct buf b;
	int r;

	buf_init(&b, MACHINE_PLAN_BYTES);
	r = io_read_fd(MACHINE_PLAN_FD, &b);
	if (r == 0)
		r = machine_plan_decode(b.data, b.len, &m->plan);
	buf_fini(&b);
	if (r < 0)
		return err_sys(e, r, "read the machine's plan");
	close(MACHINE_PLAN_FD);
	/* Whatever is executed from here on gets descriptors by name only. */
	for (int fd = MACHINE_PLAN_FD + 1; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) >= 0 && io_set_cloexec(fd, true) < 0)
			return err_sys(e, -errno, "mark descriptors");
	return 0;
}

/* hold_exports() - from here on no way leads up from a shared folder, and none into one that is
 * read-only, also not for whoever takes this process over
 */
static int hold_exports(struct machine *m, struct err *e)
{
	for (size_t i = 0; i < m->plan.n_exports; i++) {
		struct machine_export *x = &m->plan.exports[i];
		int fd = jail_hold(x->fd, x->read_only);

		if (fd < 0 && fd != -ESTALE && jail_may_miss("shares")) {
			jail_report_add(
				&m->report, "machine", "shares", false, "%s", strerror(-fd));
			continue;
		}
		if (fd < 0) {
			(void)err_sys(e, fd, "make a mount of shared folder %zu", i);
			err_hint(e,
				fd == -ESTALE
					? "it was moved or replaced while the sandbox was started"
					: "SBX_JAIL_ALLOW_MISSING=shares starts without");
			return fd;
		}
		close(x->fd);
		x->fd = fd;
	}
	if (m->plan.n_exports)
		jail_report_add(&m->report, "machine", "shares", true, "%zu mounts of their own",
			m->plan.n_exports);
	return 0;
}

/* pid_on_host() - /proc is still the daemon's: "self" there is our number as it sees us */
static pid_t pid_on_host(void)
{
	char text[32] = "";

	if (readlink("/proc/self", text, sizeof(text) - 1) < 0)
		return 0;
	return (pid_t)strtol(text, NULL, 10);
}

int machine_open(struct machine *m, struct err *e)
{
	int r;

	*m = (struct machine){
		.listen_fd = -1, .exit_fd = -1, .jail_fd = -1, .statm_fd = -1, .egress_fd = -1};
	m->console.from_fd = -1;
	m->state = LINK_STARTING;
	r = read_plan(m, e);
	if (r == 0)
		r = hold_exports(m, e);
	if (r < 0)
		return r;
	m->exit_fd = openat(m->plan.dir_fd, MACHINE_EXIT_FILE,
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	m->jail_fd = openat(m->plan.dir_fd, MACHINE_JAIL_FILE,
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	m->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (m->exit_fd < 0 || m->jail_fd < 0 || m->statm_fd < 0)
		return err_sys(e, -errno, "open the machine's files");
	m->host_pid = pid_on_host();
	m->listen_fd = link_listen(m->plan.dir_fd, LINK_SOCKET);
	if (m->listen_fd < 0)
		return err_sys(e, m->listen_fd, "listen on '%s'", LINK_SOCKET);
	m->loop = loop_new();
	return m->loop ? 0 : err_sys(e, -errno, "make the event loop");
}

/* ---- load ---- */

static void on_driver_up(void *ctx)
{
	struct machine *m = ctx;

	if (m->state != LINK_STARTING)
		return;
	loop_del_timer(m->start_timer);
	m->start_timer = NULL;
	machine_move(m, LINK_RUNNING, "the guest's driver is up");
}

static int on_stream(void *ctx, uint32_t port, int fd)
{
	struct machine *m = ctx;
	const struct link_msg out = {.op = LINK_STREAM, .port = port};
	int r;

	if (port == FRAME_PORT_BOOT)
		return control_stream(&m->control, port, fd);
	if (m->egress_fd < 0)
		return -ENOTCONN;
	/* Not waited for: the guest decides how many of these there are. */
	r = link_send(m->egress_fd, &out, fd, 0);
	if (r == -EPIPE || r == -ECONNRESET)
		own_close_fd(&m->egress_fd);
	return r;
}

static void on_device_broken(void *ctx, const char *why)
{
	struct machine *m = ctx;

	log_warn("%s", why);
	m->ops->kill(m->engine);
}

const char *machine_broken(const struct machine *m)
{
	return m->broken[0] && devices_broken(&m->devices) ? m->broken : NULL;
}

static void on_mend_deadline(void *ctx)
{
	struct machine *m = ctx;

	m->mend_timer = NULL;
	if (!machine_broken(m))
		return;
	/* a guest that is paused cannot mend anything */
	if (m->state == LINK_PAUSED && loop_add_timer(m->loop, clock_ms() + MACHINE_MEND_MS,
					       on_mend_deadline, m, &m->mend_timer) == 0)
		return;
	m->given_up = true;
	m->ops->kill(m->engine);
}

static void on_queue_broken(void *ctx, const char *device, unsigned index, const char *why)
{
	struct machine *m = ctx;

	(void)snprintf(m->broken, sizeof(m->broken), "the guest broke queue %u of device %s: %s",
		index, device, why);
	log_warn("%s", m->broken);
	if (!m->mend_timer && loop_add_timer(m->loop, clock_ms() + MACHINE_MEND_MS,
				      on_mend_deadline, m, &m->mend_timer) < 0)
		m->ops->kill(m->engine);
}

bool machine_start_goes_on(int64_t elapsed_ms, uint64_t used_ms, uint64_t before_ms)
{
	return elapsed_ms < MACHINE_START_LAST_MS && used_ms < MACHINE_START_CPU_MS &&
	       (before_ms == 0 || used_ms >= before_ms + MACHINE_START_STEP_MS);
}

static void on_start_deadline(void *ctx)
{
	struct machine *m = ctx;
	int64_t now = clock_ms();
	struct engine_stats used = {0};

	m->start_timer = NULL;
	if (m->ops->stats(m->engine, &used) == 0 &&
		machine_start_goes_on(now - m->started_ms, used.cpu_ms, m->start_cpu_ms) &&
		loop_add_timer(m->loop, now + MACHINE_START_LOOK_MS, on_start_deadline, m,
			&m->start_timer) == 0) {
		m->start_cpu_ms = used.cpu_ms;
		return;
	}
	m->start_failed = true;
	m->ops->kill(m->engine);
}

/* on_ended() - says what a person can use: the guest's last words where it gave up by itself */
static void on_ended(void *ctx, bool crashed, const char *reason)
{
	struct machine *m = ctx;
	char text[LINK_TEXT], line[80];

	console_close(&m->console);
	if (m->asked_to_end) {
		machine_move(m, LINK_STOPPED, m->asked_to_end);
		return;
	}
	if (m->given_up) {
		machine_move(m, LINK_CRASHED, m->broken);
	} else if (m->start_failed) {
		console_last_line(&m->console, line, sizeof(line));
		(void)snprintf(text, sizeof(text),
			"the guest did not start within %d s; last line: %s",
			(int)((clock_ms() - m->started_ms) / 1000), line);
		machine_move(m, LINK_CRASHED, text);
	} else if (!crashed && console_find(&m->console, "Kernel panic", line, sizeof(line))) {
		(void)snprintf(text, sizeof(text), "the guest's kernel gave up: %s", line);
		machine_move(m, LINK_CRASHED, text);
	} else {
		machine_move(m, crashed ? LINK_CRASHED : LINK_STOPPED, reason);
	}
}

static int load_console(struct machine *m, int *ret_theirs, struct err *e)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, -errno, "make a socket pair");
	*ret_theirs = pair[1];
	r = console_open(
		&m->console, m->loop, pair[0], m->plan.console_fd, m->plan.console_max_bytes);
	return r < 0 ? err_sys(e, r, "open the console log") : 0;
}

static int load_control(struct machine *m, struct err *e)
{
	struct link_msg hello = {.op = LINK_HELLO, .state = LINK_STARTING};
	int r;

	hello.n[0] = (uint64_t)m->host_pid;
	hello.n[1] = (uint64_t)clock_real_ms();
	(void)snprintf(hello.text, sizeof(hello.text), "%s", m->plan.id);
	r = control_open(&m->control, m->loop, TAKE_FD(m->listen_fd), &hello, machine_requests,
		machine_n_requests, m);
	return r < 0 ? err_sys(e, r, "serve the link") : 0;
}

int machine_load(struct machine *m, struct err *e)
{
	const struct devices_events on_devices = {.driver_up = on_driver_up,
		.stream = on_stream,
		.broken = on_device_broken,
		.queue_broken = on_queue_broken,
		.ctx = m};
	const struct engine_events on_engine = {.ended = on_ended, .ctx = m};
	AUTO_FD vsock = -1, fs = -1, serial = -1;
	struct engine_ends ends;
	int r;

	if (m->plan.engine != MACHINE_EMULATED)
		return err_set(e, ERR_UNAVAILABLE, -ENOSYS, "this build has no such engine");
	m->ops = &engine_emulated;
	r = devices_open(&m->devices, m->loop, &m->plan, &on_devices, &vsock, &fs, e);
	if (r == 0)
		r = load_console(m, &serial, e);
	if (r == 0)
		r = load_control(m, e);
	if (r < 0)
		return r;
	ends = (struct engine_ends){.vsock_fd = vsock, .fs_fd = fs, .console_fd = serial};
	r = m->ops->open(&m->plan, &ends, &m->engine, e);
	if (r == 0)
		r = m->ops->start(m->engine, m->loop, &on_engine, &m->report, e);
	if (r < 0)
		return r;
	m->started_ms = clock_ms();
	r = loop_add_timer(m->loop, m->started_ms + MACHINE_START_DEADLINE_MS, on_start_deadline, m,
		&m->start_timer);
	return r < 0 ? err_sys(e, r, "set the start deadline") : 0;
}

/* ---- run ---- */

int machine_run(struct machine *m, struct err *e)
{
	int r = loop_run(m->loop);

	return r < 0 ? err_sys(e, r, "wait for events") : 0;
}

void machine_close(struct machine *m)
{
	if (m->ops)
		m->ops->free(m->engine);
	control_close(&m->control);
	devices_close(&m->devices);
	console_close(&m->console);
	loop_free(m->loop);
	own_close_fd(&m->listen_fd);
	own_close_fd(&m->exit_fd);
	own_close_fd(&m->jail_fd);
	own_close_fd(&m->statm_fd);
	own_close_fd(&m->egress_fd);
}
