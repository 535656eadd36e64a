#include "daemon/watch.h"
#include "daemon/files.h"
#include "daemon/ports.h"
#include "daemon/proc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "machine/spawn.h"
#include "proto/frame.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define ENDING_POLL_MS 10
#define REAP_MS	       200
#define BURST	       64 /* messages of one machine before the others have their turn */

struct watch {
	struct daemon *d;
	int epoll_fd;
	int wake_fd; /* something was added to ending[] */
	pthread_mutex_t lock; /* of ending[] */
	struct sandbox *ending[DAEMON_BOXES_MAX]; /* references */
	size_t n_ending;
};

static void forget_stream(int *fd)
{
	own_close_fd(fd); /* a port that nobody waits on: the guest sees a reset */
}

/* on_message() - false: the machine broke the rules */
static bool on_message(struct sandbox *s, const struct link_msg *m, int *fd)
{
	switch (m->op) {
	case LINK_HELLO:
		if (s->machine != 0 || strcmp(m->text, s->id) != 0)
			return false;
		s->machine = m->state;
		return true;
	case LINK_STREAM:
		if (m->port == FRAME_PORT_BOOT && s->want_boot && s->boot_fd < 0)
			s->boot_fd = own_take_fd(fd);
		else
			forget_stream(fd);
		return true;
	case LINK_STATE:
		s->machine = m->state;
		if (m->state == LINK_STOPPED || m->state == LINK_CRASHED)
			memcpy(s->why, m->text, sizeof(s->why));
		return true;
	case LINK_REPLY:
		for (size_t i = 0; i < SANDBOX_REPLIES; i++)
			if (m->seq != 0 && s->questions[i].seq == m->seq) {
				s->questions[i].answered = true;
				s->questions[i].reply = *m;
			}
		return true; /* too late is no crime */
	case LINK_OPEN:
	case LINK_PAUSE:
	case LINK_RESUME:
	case LINK_STOP:
	case LINK_KILL:
	case LINK_STATS:
	case LINK_EGRESS:
		break;
	}
	return false;
}

static void add_ending(struct watch *w, struct sandbox *s)
{
	bool known = false;

	(void)sandbox_get(s);
	(void)pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->n_ending; i++)
		known |= w->ending[i] == s;
	if (!known) {
		assert(w->n_ending < DAEMON_BOXES_MAX); /* as many as there are sandboxes */
		w->ending[w->n_ending++] = s;
	}
	(void)pthread_mutex_unlock(&w->lock);
	if (known)
		sandbox_put(s);
	(void)eventfd_write(w->wake_fd, 1);
}

/* drop_link() - with s->lock held; the reference that the watch had goes with it (result true) */
static bool drop_link(struct watch *w, struct sandbox *s)
{
	if (s->link_fd < 0)
		return false;
	(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, s->link_fd, NULL);
	own_close_fd(&s->link_fd);
	s->ending_since = clock_ms();
	(void)pthread_cond_broadcast(&s->changed);
	return true;
}

static void on_link(struct watch *w, struct sandbox *s)
{
	bool over = false, dropped = false;

	(void)pthread_mutex_lock(&s->lock);
	for (int i = 0; i < BURST && s->link_fd >= 0 && !over; i++) {
		AUTO_FD fd = -1;
		struct link_msg m;
		int r = link_recv(s->link_fd, &m, &fd, 0);

		if (r == -ETIMEDOUT)
			break;
		over = r <= 0 || !on_message(s, &m, &fd);
		if (over && r != 0)
			log_warn("sandbox %s: its machine broke the rules of the link", s->name);
	}
	(void)pthread_cond_broadcast(&s->changed);
	if (over)
		dropped = drop_link(w, s);
	(void)pthread_mutex_unlock(&s->lock);
	if (dropped) {
		add_ending(w, s);
		sandbox_put(s);
	}
}

/* ---- the end of a machine ---- */

/* lock_is_free() - the kernel's word that machine and engine are gone */
static bool lock_is_free(struct sandbox *s)
{
	AUTO_FD dir = sandbox_dir(s, NULL);
	AUTO_FD fd = -1;

	if (dir < 0)
		return true; /* no directory, no machine */
	fd = openat(dir, FILE_LOCK, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT;
	return flock(fd, LOCK_EX | LOCK_NB) == 0; /* and closed at once */
}

/* exit_file() - what the machine wrote down at its end; true when it says "crashed" */
static bool exit_file(struct sandbox *s, char dst[200], bool *ret_known)
{
	AUTO_FD dir = sandbox_dir(s, NULL);
	AUTO(buf) b = {0};
	char *line;

	*ret_known = false;
	dst[0] = '\0';
	buf_init(&b, 1024);
	if (dir < 0 || io_read_file(dir, MACHINE_EXIT_FILE, &b) < 0 || b.len == 0)
		return true;
	line = strchr(b.data, '\n');
	if (!line)
		return true;
	*line++ = '\0';
	line[strcspn(line, "\n")] = '\0';
	(void)snprintf(dst, 200, "%s", line);
	*ret_known = strcmp(b.data, "stopped") == 0 || strcmp(b.data, "crashed") == 0;
	return strcmp(b.data, "stopped") != 0;
}

/* reap() - descriptors are closed a moment before a process can be waited for: wait that moment */
static void reap(struct sandbox *s, char dst[200])
{
	struct pollfd p = {.fd = s->pidfd, .events = POLLIN};
	int status = 0;

	if (s->pidfd < 0)
		return;
	/* One that let go of its lock but lives is none of ours any more. */
	(void)pidfd_send_signal(s->pidfd, SIGKILL, NULL, 0);
	if (poll(&p, 1, REAP_MS) <= 0 || !s->child || waitpid(s->pid, &status, WNOHANG) != s->pid)
		return;
	s->child = false;
	if (WIFSIGNALED(status))
		(void)snprintf(dst, 200, "sbx-machine was ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		(void)snprintf(dst, 200, "sbx-machine ended with status %d", WEXITSTATUS(status));
}

/* keep_log() - what the machine said to stderr; its memfd dies with us */
static void keep_log(struct sandbox *s)
{
	AUTO_FD dir = sandbox_dir(s, NULL);
	AUTO(buf) b = {0};

	buf_init(&b, MACHINE_LOG_MAX + 1);
	if (s->log_fd >= 0 && dir >= 0 && lseek(s->log_fd, 0, SEEK_SET) == 0 &&
		io_read_fd(s->log_fd, &b) == 0)
		/* A sealed memfd is as long as it may become: what was not written is NUL. */
		(void)!io_replace_file(
			dir, FILE_MACHINE_LOG, buf_str(&b), strnlen(buf_str(&b), b.len), 0600);
	own_close_fd(&s->log_fd);
}

static void settle(struct sandbox *s, bool lock_free)
{
	char reaped[200] = "", wrote[200], reason[300];
	bool known, crashed = exit_file(s, wrote, &known), asked, starting;
	const bool starved = machine_starved(s->id);

	if (lock_free)
		reap(s, reaped); /* pid and pidfd change here and before a start only */
	(void)pthread_mutex_lock(&s->lock);
	keep_log(s);
	asked = s->asked_to_end;
	starting = s->status == STATUS_STARTING; /* never ran: that is a failed start, no crash */
	if (s->machine == LINK_STOPPED || s->machine == LINK_CRASHED)
		crashed = s->machine == LINK_CRASHED;
	if (crashed && starved)
		(void)snprintf(s->why, sizeof(s->why),
			"its machine reached its memory limit on this host and was killed");
	(void)snprintf(reason, sizeof(reason), "%s%s",
		starting && !s->end_reason[0] ? START_FAILED : "",
		s->end_reason[0] ? s->end_reason
		: !lock_free	 ? "processes of the machine do not end"
		: asked		 ? starting ? "it was stopped while it started" : ""
		: s->why[0]	 ? s->why
		: known		 ? wrote
		: reaped[0]	 ? reaped
				 : "sbx-machine ended without a word");
	if (crashed && !asked && s->killed && !s->end_reason[0])
		(void)snprintf(reason, sizeof(reason), "the machine did not end and was killed");
	s->machine = 0;
	s->killed = s->asked_to_end = s->abort_start = s->want_boot = false;
	s->end_reason[0] = '\0'; /* why stays: whoever starts it may not have read it yet */
	s->pid = 0;
	own_close_fd(&s->pidfd);
	own_close_fd(&s->boot_fd);
	(void)pthread_mutex_unlock(&s->lock);
	ports_close(s);
	egress_stop(s);
	machine_forget(s->id);
	if (status_has_machine(sandbox_status(s)))
		sandbox_settle(
			s, asked || starting || !crashed ? STATUS_STOPPED : STATUS_CRASHED, reason);
	(void)pthread_mutex_lock(&s->lock);
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
}

/* forget_ending() - take it off the list, unless its end was told again since @seen. Whoever starts
 * it waits for this (sandbox_start), so no machine meets the end of the one before it.
 */
static bool forget_ending(struct watch *w, struct sandbox *s, size_t at, int64_t seen)
{
	bool done;

	(void)pthread_mutex_lock(&s->lock);
	done = s->ending_since == seen;
	if (done) {
		(void)pthread_mutex_lock(&w->lock);
		w->ending[at] = w->ending[--w->n_ending]; /* only this thread removes */
		(void)pthread_mutex_unlock(&w->lock);
		s->ending_since = 0;
		(void)pthread_cond_broadcast(&s->changed);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return done;
}

/* kill_unknown() - of a daemon before us that was killed before it wrote down whom it had started */
static void kill_unknown(struct sandbox *s)
{
	AUTO_FD dir = sandbox_dir(s, NULL);
	AUTO_FD link = dir < 0 ? -1 : link_connect(dir, LINK_SOCKET);
	AUTO_FD pidfd = -1;
	pid_t pid;

	if (link < 0 || !link_peer_is_us(link))
		return;
	pidfd = proc_of_peer(link, &pid);
	if (pidfd >= 0)
		(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
}

/* check_ending() - true when it is over; *ret_seen: which end that was */
static bool check_ending(struct sandbox *s, int64_t *ret_seen)
{
	bool free = lock_is_free(s), unknown = false;
	int64_t since;

	(void)pthread_mutex_lock(&s->lock);
	*ret_seen = s->ending_since;
	since = clock_ms() - s->ending_since;
	if (!free && since > WATCH_KILL_MS && !s->killed) {
		s->killed = true;
		unknown = s->pidfd < 0;
		if (!unknown)
			(void)pidfd_send_signal(s->pidfd, SIGKILL, NULL, 0);
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (unknown)
		kill_unknown(s);
	if (!free && since < WATCH_GIVE_UP_MS)
		return false;
	settle(s, free);
	return true;
}

static bool run_ending(struct watch *w)
{
	bool left;

	for (size_t i = 0;;) {
		struct sandbox *s;
		int64_t seen;

		(void)pthread_mutex_lock(&w->lock);
		s = i < w->n_ending ? w->ending[i] : NULL;
		(void)pthread_mutex_unlock(&w->lock);
		if (!s)
			break;
		if (check_ending(s, &seen) && forget_ending(w, s, i, seen))
			sandbox_put(s);
		else
			i++;
	}
	(void)pthread_mutex_lock(&w->lock);
	left = w->n_ending > 0;
	(void)pthread_mutex_unlock(&w->lock);
	return left;
}

static void *watch_main(void *arg)
{
	struct watch *w = arg;
	bool ending = false;

	for (;;) {
		struct epoll_event ev[32];
		int n = epoll_wait(w->epoll_fd, ev, ARRAY_LEN(ev), ending ? ENDING_POLL_MS : -1);
		eventfd_t count;

		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr)
				on_link(w, ev[i].data.ptr);
			else
				(void)eventfd_read(w->wake_fd, &count);
		}
		ending = run_ending(w);
	}
	return NULL;
}

int watch_new(struct daemon *d, struct watch **ret, struct err *e)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return err_sys(e, -ENOMEM, "start the watcher");
	w->d = d;
	(void)pthread_mutex_init(&w->lock, NULL);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->epoll_fd < 0 || w->wake_fd < 0 ||
		epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &ev) < 0)
		r = -errno;
	else
		r = thread_start(watch_main, w);
	if (r < 0) {
		own_close_fd(&w->epoll_fd);
		own_close_fd(&w->wake_fd);
		free(w);
		return err_sys(e, r, "start the watcher");
	}
	*ret = w;
	return 0;
}

int watch_add(struct sandbox *s, int link_fd, struct err *e)
{
	struct epoll_event ev = {.events = EPOLLIN, .data = {.ptr = s}};
	AUTO_FD fd = link_fd;
	int r = 0;

	(void)sandbox_get(s); /* the watch's own */
	(void)pthread_mutex_lock(&s->lock);
	assert(s->link_fd < 0);
	s->machine = 0;
	memset(s->questions, 0, sizeof(s->questions));
	s->link_fd = fd;
	if (epoll_ctl(s->d->watch->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		r = err_sys(e, -errno, "watch the machine");
		s->link_fd = -1;
	} else
		(void)TAKE_FD(fd);
	(void)pthread_mutex_unlock(&s->lock);
	if (r < 0)
		sandbox_put(s);
	return r;
}

void watch_end(struct sandbox *s, const char *reason)
{
	bool dropped;

	(void)pthread_mutex_lock(&s->lock);
	if (reason)
		(void)snprintf(s->end_reason, sizeof(s->end_reason), "%s", reason);
	s->asked_to_end = true;
	if (s->pidfd >= 0)
		(void)pidfd_send_signal(s->pidfd, SIGKILL, NULL, 0);
	dropped = drop_link(s->d->watch, s);
	s->ending_since = clock_ms();
	(void)pthread_mutex_unlock(&s->lock);
	add_ending(s->d->watch, s);
	if (dropped)
		sandbox_put(s);
}

void watch_over(struct sandbox *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->ending_since = clock_ms();
	(void)pthread_mutex_unlock(&s->lock);
	add_ending(s->d->watch, s);
}

int watch_settled(struct sandbox *s, int64_t deadline)
{
	int r = 0;

	(void)pthread_mutex_lock(&s->lock);
	while (r == 0 && status_has_machine(s->status))
		r = sandbox_wait(s, deadline);
	if (!status_has_machine(s->status))
		r = 0;
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}
