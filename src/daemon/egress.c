/* The life of front and vault: started before the machine, ended after it, started anew between. */
#include "daemon/egress.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "daemon/files.h"
#include "daemon/proc.h"
#include "daemon/sandbox.h"
#include "daemon/watch.h"
#include "egress/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define GONE_MS	      2000 /* for a killed process to be gone */
#define BIND_MS	      500 /* for one that was just started to bind its socket */
#define AGAIN_MS      200 /* between two tries to start one anew */
#define STREAMS_BYTES (1 << 20) /* a burst of connections waits in the socket, and is not refused */

static struct egress_end *end_of(struct sandbox *s, enum egress_who who)
{
	return &s->egress.end[who == EGRESS_FRONT ? 0 : 1];
}

const char *egress_name(enum egress_who who)
{
	return who == EGRESS_FRONT ? "sbx-front" : "sbx-vault";
}

static const char *socket_name(enum egress_who who)
{
	return who == EGRESS_FRONT ? EGRESS_FRONT_SOCKET : EGRESS_VAULT_SOCKET;
}

void egress_init(struct sandbox *s)
{
	static const enum egress_who who[EGRESS_ENDS] = {EGRESS_FRONT, EGRESS_VAULT};

	s->egress = (struct egress){.streams_fd = -1};
	for (size_t i = 0; i < EGRESS_ENDS; i++)
		s->egress.end[i] = (struct egress_end){
			.s = s, .who = who[i], .fd = -1, .pidfd = -1, .log_fd = -1};
}

void egress_fini(struct sandbox *s)
{
	for (size_t i = 0; i < EGRESS_ENDS; i++) {
		own_close_fd(&s->egress.end[i].fd);
		own_close_fd(&s->egress.end[i].pidfd);
		own_close_fd(&s->egress.end[i].log_fd);
	}
	own_close_fd(&s->egress.streams_fd);
}

/* ---- ending ---- */

/* end_unknown() - whoever listens on the socket, by the kernel's word; true: there was one */
static bool end_unknown(int dir, enum egress_who who)
{
	AUTO_FD fd = link_connect(dir, socket_name(who));
	struct pollfd p = {.events = POLLIN};
	AUTO_FD pidfd = -1;
	pid_t pid;

	if (fd < 0 || !link_peer_is_us(fd))
		return false;
	pidfd = proc_of_peer(fd, &pid);
	if (pidfd < 0)
		return false;
	(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	p.fd = pidfd;
	(void)poll(&p, 1, GONE_MS);
	return true;
}

/* end_leftovers() - of an earlier run; one that has not bound its socket yet does so in a moment */
static int end_leftovers(int dir, struct err *e)
{
	int64_t deadline = clock_ms() + GONE_MS, bound = clock_ms() + BIND_MS;

	while (!egress_all_gone(dir)) {
		bool found = end_unknown(dir, EGRESS_FRONT);

		found |= end_unknown(dir, EGRESS_VAULT);

		if (clock_ms() >= (found ? deadline : bound))
			return err_set(e, ERR_CONFLICT, -EBUSY,
				"front or vault of an earlier run of this sandbox are still alive");
		(void)usleep(5000);
	}
	return 0;
}

/* keep_log() - what it said to stderr; with the lock held */
static void keep_log(struct egress_end *x, int dir)
{
	AUTO(buf) b = {0};

	buf_init(&b, EGRESS_LOG_MAX + 1);
	if (x->log_fd >= 0 && dir >= 0 && lseek(x->log_fd, 0, SEEK_SET) == 0 &&
		io_read_fd(x->log_fd, &b) == 0)
		(void)!io_replace_file(dir,
			x->who == EGRESS_FRONT ? FILE_FRONT_LOG : FILE_VAULT_LOG, buf_str(&b),
			strnlen(buf_str(&b), b.len), 0600);
	own_close_fd(&x->log_fd);
}

void egress_stop(struct sandbox *s)
{
	struct egress *g = &s->egress;
	AUTO_FD dir = sandbox_dir(s, NULL);
	int64_t deadline;
	struct err e = {0};
	bool up;

	(void)pthread_mutex_lock(&s->lock);
	g->wanted = false;
	own_close_fd(&g->streams_fd);
	up = g->end[0].fd >= 0 && g->end[0].hello;
	(void)pthread_mutex_unlock(&s->lock);
	if (up)
		egress_drain(&g->end[0]);
	(void)pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < EGRESS_ENDS; i++) {
		struct egress_end *x = &g->end[i];

		if (x->pidfd >= 0)
			(void)pidfd_send_signal(x->pidfd, SIGKILL, NULL, 0);
		if (x->fd >= 0)
			(void)shutdown(x->fd, SHUT_RDWR); /* the reader sees the end and reaps */
	}
	deadline = clock_ms() + GONE_MS;
	while ((g->end[0].fd >= 0 || g->end[1].fd >= 0 || g->repairing) &&
		sandbox_wait(s, deadline) == 0)
		;
	for (size_t i = 0; i < EGRESS_ENDS; i++)
		keep_log(&g->end[i], dir);
	(void)pthread_mutex_unlock(&s->lock);
	if (dir >= 0 && end_leftovers(dir, &e) < 0)
		log_err("sandbox %s: %s", s->name, e.msg);
}

void egress_sweep(int dir)
{
	struct err e = {0};

	if (end_leftovers(dir, &e) < 0)
		log_err("recovery: %s", e.msg);
}

/* ---- starting ---- */

static int make_log(const struct egress_end *x, struct err *e)
{
	AUTO_FD fd = memfd_create(egress_name(x->who), MFD_CLOEXEC | MFD_ALLOW_SEALING);

	/* It cannot grow, whatever they say. */
	if (fd < 0 || ftruncate(fd, EGRESS_LOG_MAX) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return err_sys(e, -errno, "make the log of %s", egress_name(x->who));
	return TAKE_FD(fd);
}

static int connect_to(struct egress_end *x, int dir, int pidfd, struct err *e)
{
	int64_t deadline = clock_ms() + EGRESS_START_MS;
	int pause_ms = 1, fd;

	while ((fd = link_connect(dir, socket_name(x->who))) < 0) {
		struct pollfd p = {.fd = pidfd, .events = POLLIN};

		if (fd != -ENOENT && fd != -ECONNREFUSED && fd != -EAGAIN)
			return err_sys(e, fd, "connect to %s", egress_name(x->who));
		if (clock_ms() >= deadline)
			return err_set(e, ERR_TIMEOUT, -ETIMEDOUT,
				"%s did not open its socket within %d s", egress_name(x->who),
				EGRESS_START_MS / 1000);
		if (poll(&p, 1, pause_ms) > 0)
			return err_set(e, ERR_INTERNAL, -EIO,
				"%s ended before it opened its socket", egress_name(x->who));
		if (pause_ms < 20)
			pause_ms *= 2;
	}
	if (!link_peer_is_us(fd)) {
		own_close_fd(&fd);
		return err_set(e, ERR_DENIED, -EPERM, "the socket of %s belongs to another user",
			egress_name(x->who));
	}
	return fd;
}

static int wait_hello(struct egress_end *x, struct err *e)
{
	int64_t deadline = clock_ms() + EGRESS_CALL_MS;
	int r = 0;

	(void)pthread_mutex_lock(&x->s->lock);
	while (!x->hello && x->fd >= 0 && r == 0)
		r = sandbox_wait(x->s, deadline);
	r = x->hello ? 0 : -EIO;
	(void)pthread_mutex_unlock(&x->s->lock);
	return r < 0 ? err_set(e, ERR_INTERNAL, r, "%s did not say who it is", egress_name(x->who))
		     : 0;
}

/* own_words() - the last line that a process said which did not come up */
static void own_words(int log_fd, struct err *e)
{
	AUTO(buf) b = {0};
	char *last;

	buf_init(&b, EGRESS_LOG_MAX + 1);
	if (lseek(log_fd, 0, SEEK_SET) != 0 || io_read_fd(log_fd, &b) < 0)
		return;
	b.len = strnlen(buf_str(&b), b.len);
	while (b.len > 0 && b.data[b.len - 1] == '\n')
		b.data[--b.len] = '\0';
	last = b.len ? strrchr(b.data, '\n') : NULL;
	if (b.len > 0)
		err_hint(e, "its last words: %.200s", last ? last + 1 : b.data);
}

/* start_one() - spawned, connected, heard of; it refuses everything until it is configured */
static int start_one(struct egress_end *x, int dir, struct err *e)
{
	struct sandbox *s = x->s;
	char program[PATH_MAX];
	AUTO_FD log = make_log(x, e);
	AUTO_FD pidfd = -1;
	pid_t pid;
	int r, fd;

	if (log < 0)
		return log;
	(void)unlinkat(dir, socket_name(x->who), 0);
	r = paths_join(program, s->d->paths.libexec, egress_name(x->who));
	if (r < 0)
		return err_sys(e, r, "find %s", egress_name(x->who));
	r = egress_spawn(x->who, s->id, program, dir, log, &pid, &pidfd, e);
	if (r < 0)
		return r;
	fd = connect_to(x, dir, pidfd, e);
	(void)pthread_mutex_lock(&s->lock);
	x->pid = pid;
	x->child = true;
	x->pidfd = TAKE_FD(pidfd);
	own_close_fd(&x->log_fd);
	x->log_fd = TAKE_FD(log);
	if (fd < 0) {
		(void)pidfd_send_signal(x->pidfd, SIGKILL, NULL, 0);
		(void)waitpid(pid, NULL, 0);
		own_close_fd(&x->pidfd);
		x->child = false;
		x->pid = 0;
		own_words(x->log_fd, e);
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (fd < 0)
		return fd;
	r = egress_watch_add(s->d->egress_watch, x, fd, e);
	return r < 0 ? r : wait_hello(x, e);
}

static int socket_pair(int ret[2], struct err *e)
{
	int bytes = STREAMS_BYTES;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret) < 0)
		return err_sys(e, -errno, "make a pair of sockets");
	for (int i = 0; i < 2; i++)
		(void)setsockopt(ret[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return 0;
}

static void set_flag(struct sandbox *s, bool *flag, bool value)
{
	(void)pthread_mutex_lock(&s->lock);
	*flag = value;
	(void)pthread_mutex_unlock(&s->lock);
}

/* join() - a new channel socket between both */
static int join(struct sandbox *s, struct err *e)
{
	struct egress_msg m = {.op = EGRESS_OP_PEER};
	int pair[2], r = socket_pair(pair, e);

	if (r < 0)
		return r;
	AUTO_FD front = pair[0], vault = pair[1];
	set_flag(s, &s->egress.joined, true); /* undone by the reader when one of them ends */
	r = egress_call(end_of(s, EGRESS_VAULT), &m, vault, NULL, e);
	if (r == 0)
		r = egress_call(end_of(s, EGRESS_FRONT), &m, front, NULL, e);
	if (r < 0)
		set_flag(s, &s->egress.joined, false);
	return r;
}

/* give_streams() - the front its end; the machine's is kept until egress_connect() */
static int give_streams(struct sandbox *s, struct err *e)
{
	struct egress_msg m = {.op = EGRESS_OP_STREAMS};
	int pair[2], r = socket_pair(pair, e);

	if (r < 0)
		return r;
	AUTO_FD front = pair[0], machine = pair[1];
	set_flag(s, &s->egress.streamed, true);
	r = egress_call(end_of(s, EGRESS_FRONT), &m, front, NULL, e);
	if (r < 0) {
		set_flag(s, &s->egress.streamed, false);
		return r;
	}
	(void)pthread_mutex_lock(&s->lock);
	own_close_fd(&s->egress.streams_fd);
	s->egress.streams_fd = TAKE_FD(machine);
	(void)pthread_mutex_unlock(&s->lock);
	return 0;
}

int egress_connect(struct sandbox *s, int64_t deadline, struct err *e)
{
	AUTO_FD fd = -1;
	int r;

	(void)pthread_mutex_lock(&s->lock);
	fd = TAKE_FD(s->egress.streams_fd);
	(void)pthread_mutex_unlock(&s->lock);
	r = fd < 0 ? 0 : box_give(s, LINK_EGRESS, fd, deadline, e);
	(void)pthread_mutex_lock(&s->lock);
	if (r < 0 && s->egress.streams_fd < 0) /* the next try's */
		s->egress.streams_fd = TAKE_FD(fd);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

static bool is_up(struct egress_end *x)
{
	bool up;

	(void)pthread_mutex_lock(&x->s->lock);
	up = x->fd >= 0;
	(void)pthread_mutex_unlock(&x->s->lock);
	return up;
}

static bool get_flag(struct sandbox *s, const bool *flag)
{
	bool set;

	(void)pthread_mutex_lock(&s->lock);
	set = *flag;
	(void)pthread_mutex_unlock(&s->lock);
	return set;
}

/* bring_up() - who is missing is started; all controls before the first channel, and that before the
 * first stream
 */
static int bring_up(struct sandbox *s, int dir, struct err *e)
{
	struct egress_end *front = end_of(s, EGRESS_FRONT), *vault = end_of(s, EGRESS_VAULT);
	struct egress *g = &s->egress;
	int r = is_up(vault) ? 0 : start_one(vault, dir, e);

	if (r == 0 && !is_up(front))
		r = start_one(front, dir, e);
	if (r < 0)
		return r;
	egress_push_begin(s);
	r = egress_configure(s, e);
	if (r == 0)
		r = egress_push_secrets(s, e);
	if (r == 0 && !get_flag(s, &g->joined))
		r = join(s, e);
	if (r == 0 && !get_flag(s, &g->streamed))
		r = give_streams(s, e);
	egress_push_end(s);
	return r;
}

/* words_of_the_dead() - one that ended while it was being configured knows why */
static void words_of_the_dead(struct sandbox *s, struct err *e)
{
	(void)pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < EGRESS_ENDS; i++)
		if (s->egress.end[i].fd < 0 && s->egress.end[i].log_fd >= 0)
			own_words(s->egress.end[i].log_fd, e);
	(void)pthread_mutex_unlock(&s->lock);
}

int egress_start(struct sandbox *s, int dir, struct err *e)
{
	struct egress *g = &s->egress;
	int r;

	egress_stop(s);
	r = end_leftovers(dir, e);
	(void)unlinkat(dir, EGRESS_PINS_FILE, 0); /* what an earlier guest was told */
	if (r == 0) {
		r = bring_up(s, dir, e);
		if (r < 0 && !e->hint[0])
			words_of_the_dead(s, e);
	}
	if (r < 0)
		return err_wrap(e, r, "open the way out");
	(void)pthread_mutex_lock(&s->lock);
	memset(g->failures, 0, sizeof(g->failures));
	for (size_t i = 0; i < EGRESS_ENDS; i++)
		memset(g->end[i].deaths, 0, sizeof(g->end[i].deaths));
	g->trouble[0] = '\0';
	g->wanted = true;
	if (g->end[0].fd < 0 || g->end[1].fd < 0) /* just now */
		r = err_set(e, ERR_INTERNAL, -EIO, "open the way out: front or vault ended");
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

/* ---- starting anew ---- */

/* count_one() - with the lock held; false: too many */
static bool count_one(int64_t times[EGRESS_DEATHS])
{
	int64_t now = clock_ms();

	memmove(times, times + 1, (EGRESS_DEATHS - 1) * sizeof(times[0]));
	times[EGRESS_DEATHS - 1] = now;
	return times[0] == 0 || now - times[0] > EGRESS_DEATHS_MS;
}

/* give_up() - nothing is let through by halves: the other one goes, too. With the lock held. */
static void give_up(struct sandbox *s, const char *who)
{
	struct egress *g = &s->egress;

	(void)snprintf(g->trouble, sizeof(g->trouble),
		"no way out: %s ended %d times within %d s; stop and start the sandbox", who,
		EGRESS_DEATHS, EGRESS_DEATHS_MS / 1000);
	log_err("sandbox %s: %s", s->name, g->trouble);
	g->wanted = false;
	for (size_t i = 0; i < EGRESS_ENDS; i++)
		if (g->end[i].pidfd >= 0)
			(void)pidfd_send_signal(g->end[i].pidfd, SIGKILL, NULL, 0);
}

/* repair_step() - 1: done, or nothing to do any more; 0: once more */
static int repair_step(struct sandbox *s)
{
	AUTO_FD dir = sandbox_dir(s, NULL);
	struct err e = {0};
	bool wanted;
	int r = dir < 0 ? dir : bring_up(s, dir, &e);

	if (r == 0)
		r = egress_connect(s, clock_ms() + EGRESS_CALL_MS, &e);
	(void)pthread_mutex_lock(&s->lock);
	if (r < 0 && s->egress.wanted && !count_one(s->egress.failures))
		give_up(s, "front or vault");
	wanted = s->egress.wanted;
	if (r == 0 || !wanted)
		s->egress.repairing =
			r == 0 && wanted && (s->egress.end[0].fd < 0 || s->egress.end[1].fd < 0);
	wanted = s->egress.repairing;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
	if (r < 0 && wanted)
		log_warn("sandbox %s: %s", s->name, e.msg);
	return !wanted;
}

static void *repair_main(void *arg)
{
	struct sandbox *s = arg;

	while (!repair_step(s))
		(void)usleep(AGAIN_MS * 1000);
	/* What was started while the sandbox ended is ended by nobody else. */
	(void)pthread_mutex_lock(&s->lock);
	if (!s->egress.wanted)
		for (size_t i = 0; i < EGRESS_ENDS; i++)
			if (s->egress.end[i].pidfd >= 0)
				(void)pidfd_send_signal(s->egress.end[i].pidfd, SIGKILL, NULL, 0);
	(void)pthread_mutex_unlock(&s->lock);
	sandbox_put(s);
	return NULL;
}

/* repair() - with the lock held */
static void repair(struct sandbox *s)
{
	if (s->egress.repairing)
		return; /* it looks again before it ends */
	s->egress.repairing = true;
	(void)pthread_mutex_unlock(&s->lock);
	if (thread_start(repair_main, sandbox_get(s)) < 0) {
		log_err("sandbox %s: no thread to start front or vault anew", s->name);
		sandbox_put(s);
		(void)pthread_mutex_lock(&s->lock);
		s->egress.repairing = false;
		give_up(s, "front or vault");
		return;
	}
	(void)pthread_mutex_lock(&s->lock);
}

void egress_lost(struct egress_end *x)
{
	struct sandbox *s = x->s;
	bool wanted;

	(void)pthread_mutex_lock(&s->lock);
	wanted = s->egress.wanted;
	(void)pthread_mutex_unlock(&s->lock);
	if (wanted && x->who == EGRESS_FRONT)
		egress_gap(s, "sbx-front ended by itself: its last records are missing");
	(void)pthread_mutex_lock(&s->lock);
	if (s->egress.wanted) {
		x->restarts++;
		log_warn("sandbox %s: %s ended by itself", s->name, egress_name(x->who));
		if (count_one(x->deaths))
			repair(s);
		else
			give_up(s, egress_name(x->who));
	}
	(void)pthread_mutex_unlock(&s->lock);
}

/* ---- a daemon after us ---- */

static void adopt_one(struct egress_end *x, int dir)
{
	AUTO_FD fd = link_connect(dir, socket_name(x->who));
	struct err e = {0};

	if (fd < 0 || !link_peer_is_us(fd))
		return;
	(void)pthread_mutex_lock(&x->s->lock);
	x->pidfd = proc_of_peer(fd, &x->pid);
	(void)pthread_mutex_unlock(&x->s->lock);
	if (egress_watch_add(x->s->d->egress_watch, x, TAKE_FD(fd), &e) < 0 ||
		wait_hello(x, &e) < 0)
		log_warn("sandbox %s: %s", x->s->name, e.msg);
}

void egress_adopt(struct sandbox *s)
{
	AUTO_FD dir = sandbox_dir(s, NULL);

	if (dir < 0)
		return;
	for (size_t i = 0; i < EGRESS_ENDS; i++)
		adopt_one(&s->egress.end[i], dir);
	(void)pthread_mutex_lock(&s->lock);
	s->egress.wanted = true;
	s->egress.joined = s->egress.streamed = false; /* or it died before it had given them */
	repair(s); /* who is missing, and the configuration of now */
	(void)pthread_mutex_unlock(&s->lock);
}

int egress_certificate(struct sandbox *s, struct buf *out, struct err *e)
{
	AUTO_FD dir = sandbox_dir(s, e);
	int r;

	if (dir < 0)
		return dir;
	r = io_read_file(dir, EGRESS_CERT_FILE, out);
	return r < 0 && r != -ENOENT ? err_sys(e, r, "read the sandbox's certificate") : 0;
}
