#include "machine/emulated.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

static int send_line(struct emulated_qmp *q, const char *command)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "{\"execute\":\"%s\"}\n", command);

	if (n < 0 || (size_t)n >= sizeof(line))
		return -EINVAL;
	/* A QEMU that does not read its socket is not waited for. */
	return io_write_full(q->fd, line, (size_t)n, clock_ms());
}

static void answered(struct emulated_qmp *q, int result)
{
	struct emulated_asked first;

	if (q->n_asked == 0) {
		q->broken(q->ctx, "QEMU answered a command that was never given");
		return;
	}
	first = q->asked[0];
	q->n_asked--;
	memmove(q->asked, q->asked + 1, q->n_asked * sizeof(first));
	if (first.done)
		first.done(first.ctx, first.tag, result);
}

static void on_line(struct emulated_qmp *q, const char *line, size_t len)
{
	struct qmp_msg m;

	switch (qmp_parse(line, len, &m)) {
	case QMP_GREETING:
		if (q->greeted || send_line(q, "qmp_capabilities") < 0) {
			q->broken(q->ctx, "QEMU's control socket does not work");
			return;
		}
		q->greeted = true;
		q->asked[q->n_asked++] = (struct emulated_asked){0};
		return;
	case QMP_RETURN:
		answered(q, 0);
		return;
	case QMP_ERROR:
		log_debug("qemu: %s", m.text);
		answered(q, -EIO);
		return;
	case QMP_EVENT:
		if (strcmp(m.text, "SHUTDOWN") == 0)
			(void)snprintf(q->end, sizeof(q->end), "%s", m.detail);
		return;
	case QMP_BAD:
	default:
		q->broken(q->ctx, "QEMU sent a malformed line on its control socket");
	}
}

/* take_in() - read once, judge the whole lines; false when nothing came */
static bool take_in(struct emulated_qmp *q)
{
	char *room, *end;
	ssize_t n;

	if (buf_room(&q->in, 1024, &room) < 0) {
		q->broken(q->ctx, "QEMU sent an endless line on its control socket");
		return false;
	}
	n = read(q->fd, room, 1024);
	if (n == 0) { /* also half-closed: it would be readable for ever */
		loop_del_fd(q->src);
		q->src = NULL;
	}
	if (n <= 0)
		return false;
	buf_grew(&q->in, (size_t)n);
	while (q->in.len && (end = memchr(q->in.data, '\n', q->in.len))) {
		size_t len = (size_t)(end - q->in.data);

		on_line(q, q->in.data, len);
		buf_eat(&q->in, len + 1);
	}
	return true;
}

static void on_qmp(void *ctx, uint32_t events)
{
	struct emulated_qmp *q = ctx;

	if (!take_in(q) && events & (EPOLLHUP | EPOLLERR)) {
		loop_del_fd(q->src); /* its exit tells the rest */
		q->src = NULL;
	}
}

int emulated_qmp_open(struct emulated_qmp *q, struct loop *l, int fd,
	void (*broken)(void *ctx, const char *why), void *ctx)
{
	int r;

	*q = (struct emulated_qmp){.fd = fd, .broken = broken, .ctx = ctx};
	buf_init(&q->in, QMP_LINE_MAX + 1024);
	r = io_set_nonblock(fd, true);
	return r < 0 ? r : loop_add_fd(l, fd, EPOLLIN, on_qmp, q, &q->src);
}

void emulated_qmp_close(struct emulated_qmp *q)
{
	loop_del_fd(q->src);
	q->src = NULL;
	own_close_fd(&q->fd);
	buf_fini(&q->in);
}

int emulated_qmp_ask(
	struct emulated_qmp *q, const char *command, uint32_t tag, engine_done_fn done, void *ctx)
{
	int r;

	if (!q->greeted)
		return -EAGAIN;
	if (q->n_asked == EMU_ASKED_MAX)
		return -EBUSY;
	r = send_line(q, command);
	if (r < 0)
		return r;
	q->asked[q->n_asked++] = (struct emulated_asked){.tag = tag, .done = done, .ctx = ctx};
	return 0;
}

void emulated_qmp_drain(struct emulated_qmp *q)
{
	for (unsigned i = 0; i < 64 && q->fd >= 0; i++)
		if (!take_in(q))
			return;
}
