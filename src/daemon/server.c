#include "daemon/conn.h"
#include "daemon/policy.h"
#include "base/clock.h"
#include "base/log.h"
#include "link/link.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define DRAIN_MS 3000 /* for requests under way when the daemon ends */

static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
			   "Connection: close\r\nContent-Length: 80\r\n\r\n"
			   "{\"error\":{\"code\":\"unavailable\",\"message\":\"sbxd has too many "
			   "open connections\"}}\n";

int thread_start(void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t t;
	int r;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, DAEMON_STACK);
	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&t, &attr, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	return -r;
}

static void refuse(int fd, const char *text, size_t len)
{
	(void)!send(fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void take(struct daemon *d)
{
	AUTO_FD fd = accept4(d->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct conn *c;

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			(void)poll(NULL, 0, 50); /* the queue stays: wait for room, do not spin */
		return;
	}
	if (!link_peer_is_us(fd)) {
		log_warn("a connection of another user was refused");
		return;
	}
	if (atomic_fetch_add(&d->connections, 1) >= DAEMON_CONNS)
		goto full;
	c = calloc(1, sizeof(*c));
	if (!c)
		goto full;
	c->d = d;
	c->fd = fd;
	if (thread_start(conn_main, c) == 0) {
		(void)TAKE_FD(fd); /* the thread closes it */
		return;
	}
	free(c);
full:
	(void)atomic_fetch_sub(&d->connections, 1);
	refuse(fd, busy, sizeof(busy) - 1);
}

void daemon_stop(struct daemon *d)
{
	(void)eventfd_write(d->stop_fd, 1);
}

int server_run(struct daemon *d)
{
	int64_t deadline;

	for (;;) {
		struct pollfd p[] = {{.fd = d->listen_fd, .events = POLLIN},
			{.fd = d->stop_fd, .events = POLLIN}};

		if (poll(p, ARRAY_LEN(p), -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (p[1].revents)
			break;
		daemon_log_check(d);
		daemon_policy_check_org(d);
		take(d);
	}
	log_info("ending; sandboxes go on");
	own_close_fd(&d->listen_fd);
	/* Idle clients keep their connection open: only requests under way are worth waiting for,
	 * and those are short.
	 */
	deadline = clock_ms() + DRAIN_MS;
	while (atomic_load(&d->connections) > 0 && clock_ms() < deadline)
		(void)poll(NULL, 0, 20);
	return 0;
}
