#include "guest/power.h"
#include "base/clock.h"
#include "guest/reap.h"
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>

#define SAY_MS	     50 /* for the answer to leave */
#define KILL_MS	     2000
#define GRACE_MAX_MS 600000

NORETURN void power_cut(void)
{
	(void)reboot(RB_POWER_OFF);
	for (;;)
		(void)pause();
}

static bool anybody_left(void)
{
	siginfo_t info;

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

bool power_end_others(void)
{
	assert(getpid() == 1);
	if (!anybody_left())
		return true;
	(void)kill(-1, SIGKILL);
	return false;
}

/* wait_for_all() - the loop goes on: commands that end are still reported */
static void wait_for_all(struct guest *g, int64_t deadline)
{
	while (anybody_left() && clock_left(deadline) > 0) {
		int left = clock_left(deadline);

		if (loop_once(g->loop, left < 20 ? left : 20) < 0)
			return;
	}
}

NORETURN void power_end(struct guest *g, uint32_t grace_ms)
{
	int64_t until = clock_ms() + SAY_MS;

	assert(getpid() == 1);
	if (grace_ms > GRACE_MAX_MS)
		grace_ms = GRACE_MAX_MS;
	(void)kill(-1, SIGTERM);
	(void)kill(-1, SIGHUP); /* shells at a terminal pass SIGTERM by */
	(void)kill(-1, SIGCONT);
	wait_for_all(g, clock_ms() + grace_ms);
	(void)kill(-1, SIGKILL);
	wait_for_all(g, clock_ms() + KILL_MS);
	while (clock_left(until) > 0 && loop_once(g->loop, clock_left(until)) == 0)
		;
	sync();
	/* By descriptor: its path is in a root that was left long ago. */
	if (g->scratch_fd >= 0 && fchdir(g->scratch_fd) == 0)
		(void)mount(NULL, ".", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	power_cut();
}
