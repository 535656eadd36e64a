#include "guest/reap.h"
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

struct watch {
	struct watch *next;
	pid_t pid;
	reap_fn fn;
	void *ctx;
};

struct reaper {
	int fd;
	struct loop_fd *src;
	struct watch *watches; /* as many as there are streams and sessions */
};

static struct watch *take_watch(struct reaper *r, pid_t pid)
{
	for (struct watch **at = &r->watches; *at; at = &(*at)->next) {
		struct watch *w = *at;

		if (w->pid == pid) {
			*at = w->next;
			return w;
		}
	}
	return NULL;
}

void reaper_collect(struct reaper *r)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct watch *w = take_watch(r, pid);

		if (!w)
			continue;
		w->fn(w->ctx, status);
		free(w);
	}
}

static void on_signal(void *ctx, uint32_t events)
{
	struct signalfd_siginfo info;
	struct reaper *r = ctx;

	(void)events;
	/* Signals of several children merge into one: the news is only that there is some. */
	if (read(r->fd, &info, sizeof(info)) < 0 && errno != EAGAIN)
		return;
	reaper_collect(r);
}

int reaper_new(struct loop *l, struct reaper **ret_r)
{
	struct reaper *r = calloc(1, sizeof(*r));
	sigset_t set;
	int err;

	if (!r)
		return -ENOMEM;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	r->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	err = r->fd < 0 ? -errno : loop_add_fd(l, r->fd, EPOLLIN, on_signal, r, &r->src);
	if (err < 0) {
		if (r->fd >= 0)
			close(r->fd);
		free(r);
		return err;
	}
	*ret_r = r;
	return 0;
}

void reaper_free(struct reaper *r)
{
	if (!r)
		return;
	while (r->watches) {
		struct watch *w = r->watches;

		r->watches = w->next;
		free(w);
	}
	loop_del_fd(r->src);
	close(r->fd);
	free(r);
}

int reaper_watch(struct reaper *r, pid_t pid, reap_fn fn, void *ctx)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	*w = (struct watch){.next = r->watches, .pid = pid, .fn = fn, .ctx = ctx};
	r->watches = w;
	return 0;
}

void reaper_forget(struct reaper *r, pid_t pid)
{
	free(take_watch(r, pid));
}
