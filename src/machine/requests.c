/* What the daemon may ask of the machine, and in which states. */
#include "machine/machine.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include "base/clock.h"

#define IN(state)   (1u << (state))
#define ALIVE	    (IN(LINK_STARTING) | IN(LINK_RUNNING) | IN(LINK_PAUSED))
#define STOP_MS_MAX 600000u

static void on_open(void *ctx, const struct link_msg *q, int fd)
{
	struct machine *m = ctx;

	/* Refused streams are closed there: the daemon reads their end. */
	(void)!vsock_connect(m->devices.vsock, q->port, fd);
}

static void paused(void *ctx, uint32_t seq, int result)
{
	struct machine *m = ctx;
	const struct link_msg q = {.seq = seq};

	/* Asked twice while QEMU was slow, it is answered twice. */
	if (result == 0 && m->state == LINK_RUNNING)
		machine_move(m, LINK_PAUSED, "paused");
	control_reply(&m->control, &q, result, result < 0 ? "the engine refused" : NULL, NULL);
}

static void resumed(void *ctx, uint32_t seq, int result)
{
	struct machine *m = ctx;
	const struct link_msg q = {.seq = seq};

	if (result == 0 && m->state == LINK_PAUSED)
		machine_move(m, LINK_RUNNING, "resumed");
	control_reply(&m->control, &q, result, result < 0 ? "the engine refused" : NULL, NULL);
}

static void on_pause(void *ctx, const struct link_msg *q, int fd)
{
	struct machine *m = ctx;
	int r = m->ops->pause(m->engine, q->seq, paused, m);

	(void)fd;
	if (r < 0)
		control_reply(&m->control, q, r, "the engine does not answer", NULL);
}

static void on_resume(void *ctx, const struct link_msg *q, int fd)
{
	struct machine *m = ctx;
	int r = m->ops->resume(m->engine, q->seq, resumed, m);

	(void)fd;
	if (r < 0)
		control_reply(&m->control, q, r, "the engine does not answer", NULL);
}

static void on_stop_timeout(void *ctx)
{
	struct machine *m = ctx;

	m->stop_timer = NULL;
	m->asked_to_end = "stopped; the guest did not power off in time";
	m->ops->kill(m->engine);
}

static void on_stop(void *ctx, const struct link_msg *q, int fd)
{
	struct machine *m = ctx;
	uint64_t grace_ms = q->n[0] < STOP_MS_MAX ? q->n[0] : STOP_MS_MAX;

	(void)fd;
	control_reply(&m->control, q, 0, NULL, NULL);
	m->asked_to_end = "stopped";
	if (m->state == LINK_PAUSED)
		(void)m->ops->resume(m->engine, 0, NULL, NULL);
	(void)m->ops->power_button(m->engine);
	loop_del_timer(m->stop_timer);
	m->stop_timer = NULL;
	if (loop_add_timer(m->loop, clock_ms() + (int64_t)grace_ms, on_stop_timeout, m,
		    &m->stop_timer) < 0)
		m->ops->kill(m->engine);
}

static void on_kill(void *ctx, const struct link_msg *q, int fd)
{
	struct machine *m = ctx;

	(void)q;
	(void)fd;
	m->asked_to_end = "killed";
	m->ops->kill(m->engine);
}

/* on_egress() - only what keeps one message one stream is taken */
static void on_egress(void *ctx, const struct link_msg *q, int fd)
{
	struct machine *m = ctx;
	socklen_t len = sizeof(int);
	int type = 0, domain = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET ||
		getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX) {
		close(fd);
		control_reply(&m->control, q, -ENOTSOCK, "not a socket for streams", NULL);
		return;
	}
	own_close_fd(&m->egress_fd);
	m->egress_fd = fd;
	control_reply(&m->control, q, 0, NULL, NULL);
}

/* own_resident() - second number of /proc/self/statm, in pages */
static uint64_t own_resident(const struct machine *m)
{
	unsigned long long pages = 0;
	char text[128];
	ssize_t n = pread(m->statm_fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = 0;
	if (sscanf(text, "%*u %llu", &pages) != 1)
		return 0;
	return pages * (unsigned long long)sysconf(_SC_PAGESIZE);
}

static uint64_t own_cpu_ms(void)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u) < 0)
		return 0;
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

static void on_stats(void *ctx, const struct link_msg *q, int fd)
{
	struct machine *m = ctx;
	struct engine_stats engine = {0};
	struct vsock_stats streams;
	uint64_t numbers[5] = {own_resident(m)};

	(void)fd;
	(void)m->ops->stats(m->engine, &engine); /* an engine that just ended has none */
	vsock_stats(m->devices.vsock, &streams);
	numbers[1] = engine.resident_bytes;
	numbers[2] = own_cpu_ms() + engine.cpu_ms;
	numbers[3] = streams.streams;
	if (q->n[0] == LINK_STATS_MOVED) {
		numbers[0] = streams.to_guest_bytes;
		numbers[1] = streams.to_host_bytes;
	}
	numbers[4] = devices_faults(&m->devices) + m->control.faults;
	control_reply(&m->control, q, 0, machine_broken(m), numbers);
}

const struct control_request machine_requests[] = {
	{LINK_OPEN, ALIVE, on_open},
	{LINK_PAUSE, IN(LINK_RUNNING), on_pause},
	{LINK_RESUME, IN(LINK_PAUSED), on_resume},
	{LINK_STOP, ALIVE, on_stop},
	{LINK_KILL, ALIVE, on_kill},
	{LINK_STATS, ALIVE, on_stats},
	{LINK_EGRESS, ALIVE, on_egress},
};
const size_t machine_n_requests = ARRAY_LEN(machine_requests);
