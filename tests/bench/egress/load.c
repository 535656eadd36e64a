/* Jobs of the load generator: requests in a loop, at a rate, connections anew, connections that idle. */
#include "load.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define CONNS_MAX 1024
#define TIMES_MAX (1U << 22)
#define STUCK_NS  (10 * INT64_C(1000000000)) /* nothing answered for so long: give up */

static struct {
	const struct job *j;
	struct result *r;
	struct conn *conn;
	int ep;
	bool counting;
	uint64_t opened;
	int64_t now, last_answer;
	uint32_t *times; /* of answers, ns */
	uint32_t n_times;
	int64_t backlog[4096]; /* requests that are due and find no free connection */
	unsigned backlog_at, backlog_n;
} run;

static struct conn *idle;
static unsigned n_idle;

void load_bytes(struct conn *c, size_t n)
{
	(void)c;
	if (run.counting)
		run.r->bytes += n;
}

void load_done(struct conn *c, int64_t began, bool ok, const char *why)
{
	(void)c;
	run.last_answer = run.now;
	if (!run.counting)
		began = 0;
	if (!ok) {
		run.r->errors++;
		if (!run.r->first_error[0])
			(void)snprintf(run.r->first_error, sizeof(run.r->first_error), "%s", why);
		return;
	}
	if (!run.counting)
		return;
	run.r->requests++;
	if (run.n_times < TIMES_MAX) {
		int64_t took = bench_ns() - began;

		run.times[run.n_times++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
	}
}

static void watch(struct conn *c, bool fresh)
{
	struct epoll_event ev = {.events = conn_wants(c), .data.ptr = c};

	if (!fresh && ev.events == c->events)
		return;
	c->events = ev.events;
	if (epoll_ctl(run.ep, fresh ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->fd, &ev) < 0)
		bench_die("epoll: %s", strerror(errno));
}

static void open_one(struct conn *c)
{
	conn_open(c, run.j, run.opened++);
	(void)conn_step(c);
	if (c->state != CONN_CLOSED)
		watch(c, true);
}

/* more() - what the kind of load wants of a connection that stands */
static void more(struct conn *c)
{
	const struct job *j = run.j;

	if (j->load == LOAD_LOOP)
		while (conn_request(c, run.now))
			;
	while (j->load == LOAD_RATE && run.backlog_n > 0 &&
		conn_request(c, run.backlog[run.backlog_at])) {
		run.backlog_at = (run.backlog_at + 1) % 4096;
		run.backlog_n--;
	}
	if (j->load == LOAD_NEW && c->busy == 0) {
		if (c->next_id == (j->h2 ? 3U : 2U)) { /* its one request was answered */
			conn_close(c);
			if (run.counting)
				run.r->connections++;
			open_one(c);
			return;
		}
		(void)conn_request(c, run.now);
	}
}

static void on_event(struct conn *c, uint32_t events)
{
	c->reading = events & (EPOLLIN | EPOLLHUP | EPOLLERR);
	if (!conn_step(c)) {
		if (run.r->errors > 1000)
			bench_die("too many errors: %s", run.r->first_error);
		open_one(c);
		return;
	}
	c->reading = false;
	more(c);
	if (c->state == CONN_OPEN && (c->out_at < c->out_len || c->up_left > 0))
		(void)conn_step(c);
	if (c->state != CONN_CLOSED)
		watch(c, false);
}

/* due() - requests of a rate whose time has come, each to a connection that is free */
static void due(int64_t *next)
{
	static unsigned turn;
	const struct job *j = run.j;

	for (; *next <= run.now; *next += 1000000000 / j->rate) {
		unsigned tries = 0;

		for (; tries < j->conns; tries++) {
			struct conn *c = &run.conn[turn++ % j->conns];

			if (run.backlog_n > 0 || !conn_request(c, run.now))
				continue;
			(void)conn_step(c);
			if (c->state != CONN_CLOSED)
				watch(c, false);
			break;
		}
		if (tries == j->conns && run.backlog_n < 4096) {
			run.backlog[(run.backlog_at + run.backlog_n) % 4096] = run.now;
			run.backlog_n++;
		}
	}
}

/* loop_until() - until @end */
static void loop_until(int64_t end)
{
	const struct job *j = run.j;
	int64_t next = run.now;

	while (run.now < end) {
		struct epoll_event ev[64];
		int64_t till = j->load == LOAD_RATE && next < end ? next : end;
		struct timespec wait = {0, till > run.now ? till - run.now : 0};
		int n;

		while (wait.tv_nsec >= 1000000000) {
			wait.tv_nsec -= 1000000000;
			wait.tv_sec++;
		}
		n = epoll_pwait2(run.ep, ev, 64, &wait, NULL);
		run.now = bench_ns();
		for (int i = 0; i < n; i++)
			on_event(ev[i].data.ptr, ev[i].events);
		if (j->load == LOAD_RATE)
			due(&next);
		if (run.now - run.last_answer > STUCK_NS)
			bench_die("nothing was answered for 10 s (%s)", run.r->first_error);
	}
}

static int by_time(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int64_t pids_cpu(const struct job *j)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < j->n_pids; i++)
		sum += bench_cpu_ns(j->pid[i]);
	return sum;
}

static int64_t own_cpu(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static double time_at(double part)
{
	return run.n_times ? run.times[(uint32_t)((run.n_times - 1) * part)] / 1000.0 : 0;
}

static void begin(const struct job *j, struct result *r)
{
	memset(r, 0, sizeof(*r));
	if (!run.times)
		run.times = malloc(TIMES_MAX * sizeof(*run.times));
	run.conn = calloc(j->conns, sizeof(*run.conn));
	if (!run.times || !run.conn || j->conns > CONNS_MAX)
		bench_die("no memory");
	run.j = j;
	run.r = r;
	run.counting = false;
	run.n_times = run.backlog_n = 0;
	run.opened = 0;
	run.ep = epoll_create1(EPOLL_CLOEXEC);
	run.now = run.last_answer = bench_ns();
}

static void end(void)
{
	for (unsigned i = 0; i < run.j->conns; i++)
		conn_close(&run.conn[i]);
	free(run.conn);
	close(run.ep);
}

void load_run(const struct job *j, struct result *ret_r)
{
	int64_t began, cpu, own;

	begin(j, ret_r);
	for (unsigned i = 0; i < j->conns; i++)
		open_one(&run.conn[i]);
	loop_until(run.now + (int64_t)(j->warm * 1e9));
	run.counting = true;
	began = bench_ns();
	cpu = pids_cpu(j);
	own = own_cpu();
	loop_until(began + (int64_t)(j->seconds * 1e9));
	run.counting = false;
	ret_r->seconds = (double)(bench_ns() - began) / 1e9;
	ret_r->cpu_seconds = (double)(pids_cpu(j) - cpu) / 1e9;
	ret_r->client_cpu_seconds = (double)(own_cpu() - own) / 1e9;
	qsort(run.times, run.n_times, sizeof(*run.times), by_time);
	ret_r->p50_us = time_at(0.5);
	ret_r->p90_us = time_at(0.9);
	ret_r->p99_us = time_at(0.99);
	ret_r->max_us = time_at(1);
	end();
}

/* settle() - one request of a connection, with nothing else going on; false: it broke */
static bool settle(struct conn *c)
{
	bool asked = false;

	for (unsigned i = 0; i < 1000; i++) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN};

		if (c->state == CONN_OPEN && !asked) {
			asked = conn_request(c, run.now);
		} else if (asked && c->busy == 0) {
			return true;
		} else if (i > 0 && poll(&p, 1, 10000) <= 0) {
			return false;
		}
		c->reading = true;
		if (!conn_step(c))
			return false;
	}
	return false;
}

unsigned load_idle(const struct job *j)
{
	static struct job kept;
	static struct result r;

	kept = *j;
	begin(&kept, &r);
	idle = run.conn;
	for (n_idle = 0; n_idle < j->conns; n_idle++) {
		conn_open(&idle[n_idle], &kept, n_idle);
		if (!settle(&idle[n_idle])) {
			fprintf(stderr, "bench_egress: connection %u: %s\n", n_idle, r.first_error);
			break;
		}
	}
	return n_idle;
}

void load_idle_end(void)
{
	if (!idle)
		return;
	end();
	idle = NULL;
	n_idle = 0;
}
