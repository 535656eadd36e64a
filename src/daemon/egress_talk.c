/* The sockets to all fronts and vaults: one thread reads, anybody asks. As watch.c does for machines. */
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "daemon/credentials.h"
#include "daemon/egress.h"
#include "daemon/sandbox.h"
#include "store/audit.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define BURST	32 /* messages of one before the others have their turn */
#define REAP_MS 1000

struct egress_watch {
	int epoll_fd;
};

static struct egress *of(const struct egress_end *x)
{
	return &x->s->egress;
}

int egress_send(struct egress_end *x, const struct egress_msg *m, int fd)
{
	AUTO(buf) out = {0};
	int r;

	buf_init(&out, EGRESS_CONTROL_MAX);
	if (x->fd < 0)
		return -ENOTCONN;
	r = egress_put_msg(&out, m);
	/* Not waited for: one that does not read its socket is hung. */
	if (r == 0)
		r = io_send_fd(x->fd, out.data, out.len, fd, 0);
	if (out.data)
		explicit_bzero(out.data, out.cap); /* it may have held a secret */
	return r;
}

static struct egress_call_slot *free_call(struct egress_end *x)
{
	for (size_t i = 0; i < EGRESS_CALLS; i++)
		if (x->calls[i].seq == 0)
			return &x->calls[i];
	return NULL;
}

/* wait_reply() - with the lock held */
static int wait_reply(struct egress_end *x, struct egress_call_slot *c, int64_t deadline, int was)
{
	while (!c->answered) {
		if (x->fd != was)
			return -ENOTCONN;
		if (sandbox_wait(x->s, deadline) < 0 && !c->answered)
			return -ETIMEDOUT;
	}
	return 0;
}

static int call_within(struct egress_end *x, struct egress_msg *m, int fd, int ms,
	struct egress_stats *ret_stats, struct err *e)
{
	int64_t deadline = clock_ms() + ms;
	struct sandbox *s = x->s;
	struct egress_call_slot *c, got = {0};
	int r;

	(void)pthread_mutex_lock(&s->lock);
	c = free_call(x);
	if (!c) {
		(void)pthread_mutex_unlock(&s->lock);
		return err_set(e, ERR_LIMIT, -EAGAIN, "too many questions to %s at once",
			egress_name(x->who));
	}
	if (++x->next_seq == 0)
		x->next_seq = 1;
	*c = (struct egress_call_slot){.seq = x->next_seq};
	m->seq = c->seq;
	r = egress_send(x, m, fd);
	if (r == 0)
		r = wait_reply(x, c, deadline, x->fd);
	got = *c;
	c->seq = 0;
	(void)pthread_mutex_unlock(&s->lock);
	if (r == 0 && got.result < 0)
		return err_set(e, err_code_from_errno(got.result), got.result, "%s: %s",
			egress_name(x->who), got.text[0] ? got.text : strerror(-got.result));
	if (r < 0)
		return err_sys(e, r, "ask %s of sandbox '%s'", egress_name(x->who), s->name);
	if (ret_stats)
		*ret_stats = got.stats;
	return 0;
}

int egress_call(struct egress_end *x, struct egress_msg *m, int fd, struct egress_stats *ret_stats,
	struct err *e)
{
	return call_within(x, m, fd, EGRESS_CALL_MS, ret_stats, e);
}

void egress_gap(struct sandbox *s, const char *why)
{
	const struct audit_who who = {.id = s->id, .name = s->name, .agent = s->plan->agent};
	const struct egress_record r = {.time_ms = (uint64_t)clock_real_ms(),
		.event = EGRESS_ON_TCP,
		.decision = EGRESS_REFUSED,
		.way = EGRESS_REDIRECTED,
		.host = "",
		.method = "",
		.path = "",
		.rule = "",
		.reason = "lost",
		.credential = "",
		.note = why};
	AUTO(buf) b = {0};
	struct err e = {0};

	buf_init(&b, EGRESS_CONTROL_MAX);
	if (egress_put_record(&b, &r) < 0 ||
		audit_add(s->d->audit, &who, (const uint8_t *)b.data, b.len, &e) < 0)
		log_err("sandbox %s: %s, and that cannot be recorded: %s", s->name, why, e.msg);
}

void egress_drain(struct egress_end *front)
{
	struct egress_msg m = {.op = EGRESS_OP_DRAIN};
	struct err e = {0};

	if (call_within(front, &m, -1, EGRESS_DRAIN_MS, NULL, &e) < 0)
		egress_gap(front->s, "sbx-front did not hand on its last records");
}

/* ---- what they say ---- */

static void on_reply(struct egress_end *x, const struct egress_msg *m)
{
	for (size_t i = 0; i < EGRESS_CALLS; i++) {
		struct egress_call_slot *c = &x->calls[i];

		if (m->seq == 0 || c->seq != m->seq)
			continue;
		c->result = m->result;
		c->answered = true;
		(void)snprintf(c->text, sizeof(c->text), "%s", m->text);
		if (m->blob_len > 0 &&
			egress_get_stats(m->blob, m->blob_len, &c->stats) != PROTO_OK)
			c->stats = (struct egress_stats){0};
	}
}

static void reply(struct egress_end *x, uint32_t seq, int result)
{
	const struct egress_msg m = {
		.op = EGRESS_OP_REPLY, .seq = seq, .result = result, .text = ""};

	(void)!egress_send(x, &m, -1);
}

/* ---- what is handed on, without the lock: whoever takes it may write files, or answer at once ---- */

static void on_audit(struct egress_end *x, const struct egress_msg *m)
{
	struct sandbox *s = x->s;
	const struct audit_who who = {.id = s->id, .name = s->name, .agent = s->plan->agent};
	struct err e = {0};
	int r;

	(void)pthread_mutex_unlock(&s->lock);
	r = audit_add(s->d->audit, &who, m->blob, m->blob_len, &e);
	(void)pthread_mutex_lock(&s->lock);
	if (r < 0)
		log_err("sandbox %s: records of %s: %s", s->name, egress_name(x->who), e.msg);
	if (r == -EBADMSG)
		x->faults++;
	reply(x, m->seq, r);
}

static void on_ask(struct egress_end *x, const struct egress_msg *m)
{
	bool asked;

	(void)pthread_mutex_unlock(&x->s->lock);
	asked = egress_ask(x->s, m);
	(void)pthread_mutex_lock(&x->s->lock);
	if (!asked) {
		const struct egress_msg no = {.op = EGRESS_OP_VERDICT, .id = m->id};

		(void)!egress_send(x, &no, -1);
	}
}

/* A token on its way into the file of secrets. That tells all vaults, this one among them, and waits
 * for their answers: which this thread has to read.
 */
struct caught {
	struct egress_end *x; /* with a reference to its sandbox */
	uint32_t seq;
	char name[256];
	size_t len;
	uint8_t value[EGRESS_SECRET_MAX];
};

static void *keep_caught(void *arg)
{
	struct caught *c = arg;
	struct sandbox *s = c->x->s;
	struct err e = {0};
	int r = credentials_caught(s, c->name, c->value, c->len, &e);

	if (r < 0)
		log_err("sandbox %s: a renewed token cannot be kept: %s", s->name, e.msg);
	(void)pthread_mutex_lock(&s->lock);
	reply(c->x, c->seq, r);
	(void)pthread_mutex_unlock(&s->lock);
	explicit_bzero(c, sizeof(*c));
	free(c);
	sandbox_put(s);
	return NULL;
}

static void on_caught(struct egress_end *x, const struct egress_msg *m)
{
	struct caught *c = m->blob_len > EGRESS_SECRET_MAX ? NULL : calloc(1, sizeof(*c));

	if (!c || snprintf(c->name, sizeof(c->name), "%s", m->name) >= (int)sizeof(c->name)) {
		free(c);
		reply(x, m->seq, -ENOMEM);
		return;
	}
	c->x = x;
	c->seq = m->seq;
	c->len = m->blob_len;
	memcpy(c->value, m->blob, m->blob_len);
	(void)pthread_mutex_unlock(&x->s->lock);
	(void)sandbox_get(x->s);
	if (thread_start(keep_caught, c) < 0) {
		explicit_bzero(c, sizeof(*c));
		free(c);
		sandbox_put(x->s);
		(void)pthread_mutex_lock(&x->s->lock);
		reply(x, m->seq, -EAGAIN);
		return;
	}
	(void)pthread_mutex_lock(&x->s->lock);
}

/* on_message() - false: it broke the rules */
static bool on_message(struct egress_end *x, const struct egress_msg *m)
{
	switch (m->op) {
	case EGRESS_OP_HELLO:
		if (x->hello || m->who != x->who || strcmp(m->name, x->s->id) != 0)
			return false;
		x->hello = true;
		return true;
	case EGRESS_OP_REPLY:
		on_reply(x, m);
		return true; /* too late is no crime */
	case EGRESS_OP_ASK:
		if (x->who == EGRESS_FRONT)
			on_ask(x, m);
		return x->who == EGRESS_FRONT;
	case EGRESS_OP_CAUGHT:
		if (x->who == EGRESS_VAULT)
			on_caught(x, m);
		return x->who == EGRESS_VAULT;
	case EGRESS_OP_AUDIT:
		on_audit(x, m);
		return true;
	case EGRESS_OP_CONFIG:
	case EGRESS_OP_PEER:
	case EGRESS_OP_STREAMS:
	case EGRESS_OP_SECRET:
	case EGRESS_OP_VERDICT:
	case EGRESS_OP_STATS:
	case EGRESS_OP_DRAIN:
		break;
	}
	return false;
}

/* one_message() - 1: there was one, 0: none now, negative: the end */
static int one_message(struct egress_end *x)
{
	uint8_t bytes[EGRESS_CONTROL_MAX + 1];
	struct egress_msg m;
	AUTO_FD fd = -1;
	ssize_t n = io_recv_fd(x->fd, bytes, sizeof(bytes), &fd, 0);
	int r = 1;

	if (n == -ETIMEDOUT || n == -EAGAIN)
		return 0;
	if (n <= 0)
		return n == 0 ? -EPIPE : (int)n;
	if (egress_get_msg(bytes, (size_t)n, fd >= 0, &m) != PROTO_OK || !on_message(x, &m)) {
		log_warn("sandbox %s: %s broke the rules of its control socket", x->s->name,
			egress_name(x->who));
		x->faults++;
		r = -EBADMSG;
	}
	explicit_bzero(bytes, (size_t)n);
	return r;
}

/* ---- the end of one ---- */

/* reap() - without the lock: nobody else uses pid and pidfd of one that has no socket any more */
static void reap(struct egress_end *x)
{
	struct pollfd p = {.fd = x->pidfd, .events = POLLIN};
	int status = 0;

	if (x->pidfd < 0)
		return;
	(void)pidfd_send_signal(x->pidfd, SIGKILL, NULL, 0);
	(void)poll(&p, 1, REAP_MS);
	if (x->child && waitpid(x->pid, &status, WNOHANG) == x->pid &&
		!(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
		log_debug(
			"sandbox %s: %s: wait status %d", x->s->name, egress_name(x->who), status);
}

/* over() - with the lock held; it stays the reader's until everything of it is gone */
static void over(struct egress_watch *w, struct egress_end *x)
{
	struct sandbox *s = x->s;

	(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, x->fd, NULL);
	(void)pthread_mutex_unlock(&s->lock);
	reap(x);
	(void)pthread_mutex_lock(&s->lock);
	own_close_fd(&x->fd);
	own_close_fd(&x->pidfd);
	x->pid = 0;
	x->child = x->hello = false;
	of(x)->joined = false;
	if (x->who == EGRESS_FRONT)
		of(x)->streamed = false;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
	egress_lost(x);
	sandbox_put(s);
}

static void on_event(struct egress_watch *w, struct egress_end *x)
{
	int r = 1;

	(void)pthread_mutex_lock(&x->s->lock);
	for (int i = 0; i < BURST && r > 0; i++)
		r = one_message(x);
	(void)pthread_cond_broadcast(&x->s->changed);
	if (r < 0)
		over(w, x); /* gives the lock back */
	else
		(void)pthread_mutex_unlock(&x->s->lock);
}

static void *watch_main(void *arg)
{
	struct egress_watch *w = arg;

	for (;;) {
		struct epoll_event ev[32];
		int n = epoll_wait(w->epoll_fd, ev, ARRAY_LEN(ev), -1);

		for (int i = 0; i < n; i++)
			on_event(w, ev[i].data.ptr);
	}
	return NULL;
}

int egress_watch_new(struct egress_watch **ret, struct err *e)
{
	struct egress_watch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return err_sys(e, -ENOMEM, "watch front and vault");
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	r = w->epoll_fd < 0 ? -errno : thread_start(watch_main, w);
	if (r < 0) {
		own_close_fd(&w->epoll_fd);
		free(w);
		return err_sys(e, r, "watch front and vault");
	}
	*ret = w;
	return 0;
}

int egress_watch_add(struct egress_watch *w, struct egress_end *x, int control_fd, struct err *e)
{
	struct epoll_event ev = {.events = EPOLLIN, .data = {.ptr = x}};
	AUTO_FD fd = control_fd;
	int r = 0;

	(void)sandbox_get(x->s); /* the reader's own */
	(void)pthread_mutex_lock(&x->s->lock);
	x->hello = false;
	memset(x->calls, 0, sizeof(x->calls));
	x->fd = fd;
	if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		r = err_sys(e, -errno, "watch %s", egress_name(x->who));
		x->fd = -1;
	} else {
		(void)TAKE_FD(fd);
	}
	(void)pthread_mutex_unlock(&x->s->lock);
	if (r < 0)
		sandbox_put(x->s);
	return r;
}
