#include "daemon/agent.h"
#include "daemon/watch.h"
#include "base/clock.h"
#include "base/log.h"
#include <errno.h>

#define POWER_MS 5000 /* for the agent to take SHUTDOWN */
#define SYNC_MS	 6000 /* for its guest, after the grace: to kill who is left, and write its disk */
#define PAUSE_MS 5000
#define CLOCK_MS 2000
#define KILL_MS	 (WATCH_GIVE_UP_MS + 2000)

/* shut_down() - ask the agent; when it does not answer, the power button; wait, then kill */
static int shut_down(struct sandbox *s, int64_t timeout_ms, struct err *e)
{
	int64_t now = clock_ms(), deadline = now + timeout_ms,
		polite = now + (timeout_ms < POWER_MS ? timeout_ms : POWER_MS);
	struct link_msg reply;
	struct err why = {0};

	if (timeout_ms > 0) {
		if (agent_shutdown(s, (uint32_t)timeout_ms, polite, &why) < 0) {
			log_info("sandbox %s: %s; pressing the power button", s->name, why.msg);
			(void)!box_ask(
				s, LINK_STOP, (uint64_t)clock_left(deadline), polite, &reply, &why);
		} else
			deadline += SYNC_MS; /* a kill now would lose what is not written yet */
		if (watch_settled(s, deadline) == 0)
			return 0;
	}
	box_kill(s);
	if (watch_settled(s, clock_ms() + WATCH_KILL_MS) == 0)
		return 0;
	watch_end(s, NULL);
	if (watch_settled(s, clock_ms() + KILL_MS) == 0)
		return 0;
	return err_set(e, ERR_TIMEOUT, -ETIMEDOUT, "processes of sandbox '%s' do not end", s->name);
}

int sandbox_stop_owned(struct sandbox *s, int64_t timeout_ms, struct err *e)
{
	enum status status = sandbox_status(s);
	struct link_msg reply;
	struct err why = {0};
	int r;

	if (!status_has_machine(status))
		return 0; /* it is what was asked for */
	if (status == STATUS_PAUSED && timeout_ms > 0 &&
		box_ask(s, LINK_RESUME, 0, clock_ms() + PAUSE_MS, &reply, &why) < 0)
		timeout_ms = 0; /* a guest that stands still cannot shut down */
	(void)pthread_mutex_lock(&s->lock);
	s->asked_to_end = true;
	(void)pthread_mutex_unlock(&s->lock);
	if (status != STATUS_STOPPING) {
		r = sandbox_move(s, STATUS_STOPPING, "", e);
		/* It may have ended by itself just now; a full disk is no reason to keep it running. */
		if (r < 0 && r != -ENOSPC && status_has_machine(sandbox_status(s)))
			return r;
	}
	return shut_down(s, timeout_ms, e);
}

int sandbox_stop(struct sandbox *s, int64_t timeout_ms, struct err *e)
{
	int r;

	/* A start that is under way owns the sandbox: tell it to give up, then it is our turn. */
	(void)pthread_mutex_lock(&s->lock);
	if (s->status == STATUS_STARTING) {
		s->abort_start = true;
		s->asked_to_end = true;
	}
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
	if (sandbox_status(s) == STATUS_STARTING)
		box_kill(s);
	r = sandbox_begin(s, "stop", clock_ms() + SANDBOX_BUSY_MS, e);
	if (r < 0)
		return r;
	r = sandbox_stop_owned(s, timeout_ms, e);
	sandbox_end(s);
	return r;
}

void sandbox_abandon_installs(struct daemon *d)
{
	int64_t deadline = clock_ms() + KILL_MS;
	struct sandbox **all;
	size_t n;

	if (sandbox_all(d, &all, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		bool installs;

		(void)pthread_mutex_lock(&all[i]->lock);
		installs = all[i]->providing;
		all[i]->abort_start |= installs;
		all[i]->asked_to_end |= installs;
		(void)pthread_cond_broadcast(&all[i]->changed);
		(void)pthread_mutex_unlock(&all[i]->lock);
		if (installs) {
			log_info("sandbox %s: its installation ends with the daemon", all[i]->name);
			box_kill(all[i]);
			continue;
		}
		sandbox_put(all[i]);
		all[i] = NULL;
	}
	for (size_t i = 0; i < n; i++) {
		if (all[i])
			(void)!watch_settled(all[i], deadline);
		sandbox_put(all[i]);
	}
	free(all);
}

static int pause_owned(struct sandbox *s, bool pause, struct err *e)
{
	enum status want = pause ? STATUS_PAUSED : STATUS_RUNNING, now = sandbox_status(s);
	struct link_msg reply;
	struct err late = {0};
	int r;

	if (now == want)
		return 0;
	if (now != (pause ? STATUS_RUNNING : STATUS_PAUSED))
		return err_set(
			e, ERR_CONFLICT, -EBUSY, "sandbox '%s' is %s", s->name, status_name(now));
	r = box_ask(s, pause ? LINK_PAUSE : LINK_RESUME, 0, clock_ms() + PAUSE_MS, &reply, e);
	/* It has happened: a full disk must not make us believe the contrary, or nobody could resume. */
	if (r == 0)
		sandbox_settle(s, want, "");
	/* The guest's clock stood still as well. */
	if (r == 0 && !pause && agent_clock(s, clock_ms() + CLOCK_MS, &late) < 0)
		log_warn("sandbox %s: its clock could not be set: %s", s->name, late.msg);
	return r;
}

int sandbox_pause(struct sandbox *s, bool pause, struct err *e)
{
	int r = sandbox_begin(s, pause ? "pause" : "resume", clock_ms() + SANDBOX_BUSY_MS, e);

	if (r < 0)
		return r;
	r = pause_owned(s, pause, e);
	sandbox_end(s);
	return r;
}
