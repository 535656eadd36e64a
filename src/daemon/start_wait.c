#include "base/clock.h"
#include "base/escape.h"
#include "daemon/provision.h"
#include <errno.h>
#include <string.h>

bool start_wait_turn(struct sandbox *s, sandbox_step_fn step, void *ctx)
{
	bool waited = false;
	uint64_t seen = 0;

	(void)pthread_mutex_lock(&s->lock);
	while (s->providing && !s->gone) {
		char text[sizeof(s->progress)];
		bool news = s->progress_seq != seen;

		waited = true;
		seen = s->progress_seq;
		memcpy(text, s->progress, sizeof(text));
		if (!news) {
			(void)!sandbox_wait(s, clock_ms() + 1000);
			continue;
		}
		(void)pthread_mutex_unlock(&s->lock);
		if (step)
			step(ctx, text);
		(void)pthread_mutex_lock(&s->lock);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return waited;
}

int start_did_not(struct sandbox *s, struct err *e)
{
	int r;

	(void)pthread_mutex_lock(&s->lock);
	r = err_set(e, ERR_UNAVAILABLE, -EAGAIN, "sandbox '%s' did not start: %.300s", s->name,
		ESC(s->row.reason));
	(void)pthread_mutex_unlock(&s->lock);
	err_hint(e, "sbx logs --setup %s shows how far it came", s->name);
	return r;
}
