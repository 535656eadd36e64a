#include "daemon/watch.h"
#include "base/clock.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>

/* send_locked() - with s->lock held; never waits: a machine that does not read its link is hung */
static int send_locked(struct sandbox *s, const struct link_msg *m, int fd, struct err *e)
{
	int r;

	if (s->link_fd < 0 || s->machine == 0)
		return err_set(e, ERR_CONFLICT, -ENOTCONN, "sandbox '%s' is %s", s->name,
			status_name(s->status));
	r = link_send(s->link_fd, m, fd, 0);
	if (r == -ETIMEDOUT) {
		s->silent = true;
		return err_set(
			e, ERR_TIMEOUT, r, "the machine of sandbox '%s' does not respond", s->name);
	}
	return r < 0 ? err_sys(e, r, "talk to the machine of sandbox '%s'", s->name) : 0;
}

int box_open_stream(struct sandbox *s, uint32_t port, struct err *e)
{
	struct link_msg m = {.op = LINK_OPEN, .port = port};
	AUTO_FD theirs = -1;
	AUTO_FD ours = -1;
	int fds[2], r = link_pair(fds);

	if (r < 0)
		return err_sys(e, r, "make a stream");
	theirs = fds[0];
	ours = fds[1];
	(void)pthread_mutex_lock(&s->lock);
	r = send_locked(s, &m, theirs, e);
	(void)pthread_mutex_unlock(&s->lock);
	return r < 0 ? r : TAKE_FD(ours);
}

static struct link_question *free_question(struct sandbox *s)
{
	for (size_t i = 0; i < SANDBOX_REPLIES; i++)
		if (s->questions[i].seq == 0)
			return &s->questions[i];
	return NULL;
}

static int ask(struct sandbox *s, struct link_msg m, int fd, int64_t deadline,
	struct link_msg *ret_reply, struct err *e)
{
	struct link_question *q;
	int r = 0;

	(void)pthread_mutex_lock(&s->lock);
	q = free_question(s);
	if (!q)
		r = err_set(e, ERR_LIMIT, -EAGAIN, "too many questions to sandbox '%s' at once",
			s->name);
	if (r == 0) {
		if (++s->next_seq == 0)
			s->next_seq = 1;
		m.seq = s->next_seq;
		*q = (struct link_question){.seq = m.seq};
		r = send_locked(s, &m, fd, e);
		while (r == 0 && !q->answered) {
			if (s->link_fd < 0)
				r = err_set(e, ERR_CONFLICT, -ENOTCONN, "sandbox '%s' has ended",
					s->name);
			else if (sandbox_wait(s, deadline) < 0 && !q->answered) {
				s->silent = true;
				r = err_set(e, ERR_TIMEOUT, -ETIMEDOUT,
					"the machine of sandbox '%s' does not respond", s->name);
			}
		}
		if (r == 0) {
			s->silent = false;
			*ret_reply = q->reply;
		}
		q->seq = 0;
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (r == 0 && ret_reply->result < 0)
		r = err_set(e, err_code_from_errno(ret_reply->result), ret_reply->result, "%s: %s",
			s->name,
			ret_reply->text[0] ? ret_reply->text : strerror(-ret_reply->result));
	return r;
}

int box_ask(struct sandbox *s, enum link_op op, uint64_t n0, int64_t deadline,
	struct link_msg *ret_reply, struct err *e)
{
	return ask(s, (struct link_msg){.op = op, .n = {n0}}, -1, deadline, ret_reply, e);
}

int box_give(struct sandbox *s, enum link_op op, int fd, int64_t deadline, struct err *e)
{
	struct link_msg reply;

	return ask(s, (struct link_msg){.op = op}, fd, deadline, &reply, e);
}

void box_kill(struct sandbox *s)
{
	struct link_msg m = {.op = LINK_KILL};

	(void)pthread_mutex_lock(&s->lock);
	if (send_locked(s, &m, -1, NULL) < 0 && s->pidfd >= 0)
		(void)pidfd_send_signal(s->pidfd, SIGKILL, NULL, 0);
	(void)pthread_mutex_unlock(&s->lock);
}
