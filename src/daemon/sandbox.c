#include "daemon/sandbox.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/log.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int sandbox_wait(struct sandbox *s, int64_t deadline)
{
	struct timespec ts = {.tv_sec = deadline / 1000, .tv_nsec = deadline % 1000 * 1000000};

	return pthread_cond_timedwait(&s->changed, &s->lock, &ts) == ETIMEDOUT ? -ETIMEDOUT : 0;
}

int sandbox_begin(struct sandbox *s, const char *what, int64_t deadline, struct err *e)
{
	int r = 0;

	(void)pthread_mutex_lock(&s->lock);
	while (s->busy && !s->gone && r == 0 && !(s->providing && !s->abort_start))
		r = sandbox_wait(s, deadline);
	if (s->gone)
		r = err_set(e, ERR_NOT_FOUND, -ENOENT, "sandbox '%s' was removed", s->name);
	else if (s->busy && s->providing && !s->abort_start) {
		/* That may take half an hour: to wait without a word is no help. */
		r = err_set(e, ERR_CONFLICT, -EINPROGRESS,
			"sandbox '%s' is installed for the first time (%.100s)", s->name,
			ESC(s->progress));
		err_hint(e, "sbx logs --setup -f %s shows it, sbx stop %s ends it", s->name,
			s->name);
	} else if (s->busy)
		r = err_set(e, ERR_CONFLICT, -EBUSY, "sandbox '%s' is busy: %s is not done yet",
			s->name, s->busy);
	else {
		s->busy = what;
		r = 0;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

void sandbox_end(struct sandbox *s)
{
	(void)pthread_mutex_lock(&s->lock);
	assert(s->busy);
	s->busy = NULL;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
}

enum status sandbox_status(struct sandbox *s)
{
	enum status st;

	(void)pthread_mutex_lock(&s->lock);
	st = s->status;
	(void)pthread_mutex_unlock(&s->lock);
	return st;
}

bool sandbox_installing(struct sandbox *s)
{
	bool installing;

	(void)pthread_mutex_lock(&s->lock);
	installing = s->installing;
	(void)pthread_mutex_unlock(&s->lock);
	return installing;
}

/* fill() - the row that goes with status @to */
static void fill(
	const struct sandbox *s, enum status to, const char *reason, struct store_sandbox *row)
{
	*row = s->row;
	(void)snprintf(row->status, sizeof(row->status), "%s", status_name(to));
	(void)snprintf(row->reason, sizeof(row->reason), "%s", reason);
	switch (to) {
	case STATUS_RUNNING:
		if (s->status != STATUS_PAUSED)
			row->started_ms = row->last_used_ms = clock_real_ms();
		break;
	case STATUS_STOPPED:
	case STATUS_CRASHED:
		if (s->status != STATUS_CREATING)
			row->stopped_ms = clock_real_ms();
		row->machine_pid = 0;
		row->machine_start = 0;
		break;
	case STATUS_CREATING:
	case STATUS_STARTING:
	case STATUS_PAUSED:
	case STATUS_STOPPING:
	case STATUS_REMOVING:
	case STATUS_COUNT:
		break;
	}
}

static int move(struct sandbox *s, enum status to, const char *reason, bool anyway, struct err *e)
{
	struct store_sandbox row;
	int r;

	(void)pthread_mutex_lock(&s->lock);
	if (!status_moves(s->status, to)) {
		r = err_set(e, ERR_CONFLICT, -EBUSY, "sandbox '%s' is %s", s->name,
			status_name(s->status));
		(void)pthread_mutex_unlock(&s->lock);
		return r;
	}
	fill(s, to, reason, &row);
	r = store_update(s->d->store, &row, e);
	if (r == 0 || anyway) {
		log_info("sandbox %s (%s): %s -> %s%s%s", s->name, s->id, status_name(s->status),
			status_name(to), reason[0] ? ": " : "", reason);
		s->row = row;
		s->status = to;
		s->silent = false;
		(void)pthread_cond_broadcast(&s->changed);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

int sandbox_move(struct sandbox *s, enum status to, const char *reason, struct err *e)
{
	return move(s, to, reason, false, e);
}

void sandbox_settle(struct sandbox *s, enum status to, const char *reason)
{
	struct err e = {0};

	/* What could not be written is found out again at the next start of the daemon. */
	if (move(s, to, reason, true, &e) < 0)
		log_err("sandbox %s: %s", s->name, e.msg);
}

int sandbox_save(struct sandbox *s, struct err *e)
{
	int r;

	(void)pthread_mutex_lock(&s->lock);
	r = store_update(s->d->store, &s->row, e);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

void sandbox_touch(struct sandbox *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->row.last_used_ms = clock_real_ms();
	(void)pthread_mutex_unlock(&s->lock);
}

int sandbox_dir(const struct sandbox *s, struct err *e)
{
	int fd = openat(s->d->boxes_fd, s->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? err_sys(e, -errno, "open the directory of sandbox '%s'", s->name) : fd;
}
