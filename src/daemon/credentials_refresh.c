/* Commands that have to be asked again, because what they printed has grown old. */
#include "daemon/credentials.h"
#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <poll.h>
#include <string.h>

#define REFRESH_LEAST_S 60
#define ROUND_MS	10000

struct due {
	int64_t before, now;
	bool any; /* there are commands at all */
	size_t n;
	struct {
		char scope[STORE_ID_LEN + 1], name[SECRET_NAME_MAX + 1];
	} list[32];
};

bool credentials_due(const struct secret_entry *x, int64_t before_ms, int64_t now_ms)
{
	int64_t least = x->refresh_s < REFRESH_LEAST_S ? REFRESH_LEAST_S : x->refresh_s;
	int64_t every = least * 1000;

	/* Counted from when the secret was set: no state to keep, and however long a round took, none
	 * is missed.
	 */
	return x->command[0] && now_ms >= x->created_ms &&
	       (before_ms < x->created_ms ? 0 : (before_ms - x->created_ms) / every) !=
		       (now_ms - x->created_ms) / every;
}

static int note_due(void *ctx, const struct secret_entry *x)
{
	struct due *l = ctx;

	l->any |= x->command[0] != '\0';
	if (l->n == ARRAY_LEN(l->list) || !credentials_due(x, l->before, l->now))
		return 0;
	memcpy(l->list[l->n].scope, x->scope, sizeof(x->scope));
	memcpy(l->list[l->n].name, x->name, sizeof(x->name));
	l->n++;
	return 0;
}

/* any_runs() - only vaults that are there have values that grow old */
static bool any_runs(struct daemon *d)
{
	struct sandbox **all;
	bool found = false;
	size_t n;

	if (sandbox_all(d, &all, &n) < 0)
		return true;
	for (size_t i = 0; i < n; i++) {
		found |= status_has_machine(sandbox_status(all[i]));
		sandbox_put(all[i]);
	}
	free(all);
	return found;
}

static void *refresher(void *arg)
{
	struct daemon *d = arg;
	int64_t before = clock_real_ms();
	bool asked = false;

	for (;;) {
		struct due l = {.before = before};
		struct err e = {0};

		(void)poll(NULL, 0, ROUND_MS);
		if (!atomic_load(&d->commands) || !any_runs(d))
			continue;
		/* Nobody shall be asked for a password every few seconds by something in the background. */
		if (asked && !secret_file_ready(d->secrets))
			continue;
		l.now = clock_real_ms();
		atomic_store(&d->commands, false);
		if (secret_file_each(d->secrets, note_due, &l, &e) < 0) {
			log_warn("%s", e.msg);
			l.any = asked = true;
			l.n = 0;
		} else {
			asked = false;
			before = l.now;
		}
		if (l.any)
			atomic_store(&d->commands, true);
		for (size_t i = 0; i < l.n; i++)
			credentials_changed(d, l.list[i].scope, l.list[i].name);
	}
	return NULL;
}

void credentials_refresher(struct daemon *d)
{
	bool idle = false;

	atomic_store(&d->commands, true);
	if (atomic_compare_exchange_strong(&d->refreshing, &idle, true) &&
		thread_start(refresher, d) < 0)
		atomic_store(&d->refreshing, false);
}
