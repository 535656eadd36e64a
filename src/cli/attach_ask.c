#include "cli/attach_int.h"
#include "base/clock.h"
#include "cli/report.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NUDGE_MS 100 /* a program draws its screen anew when the size changes, and so it does */

/* can_prompt() - a screen to put a question on; else a line has to do */
static bool can_prompt(const struct attach_run *r)
{
	const char *term = getenv("TERM");

	return r->raw && isatty(r->a->out) && term && term[0] && strcmp(term, "dumb") != 0;
}

static void note(struct attach_run *r, const struct ask_news *news)
{
	for (size_t i = 0; i < news->n; i++) {
		const struct question *q = &news->q[i];

		if (q->id <= r->noted)
			continue;
		r->noted = q->id;
		report_note(
			"sandbox '%s' waits for an answer: %s:%u %s%s%s; answer with: sbx approve "
			"[--deny] %llu",
			news->sandbox, q->host, q->port, q->method[0] ? q->method : "connection",
			q->path[0] ? " " : "", q->path, (unsigned long long)q->id);
	}
}

void attach_news(struct attach_run *r)
{
	struct ask_news news;
	ssize_t n = recv(r->questions, &news, sizeof(news), MSG_DONTWAIT);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n != (ssize_t)sizeof(news))
		r->questions = -1;
	else if (can_prompt(r))
		prompt_news(&r->prompt, &news, clock_ms());
	else
		note(r, &news);
}

/* nudge() - what stood on the alternate screen is gone: have it drawn anew */
static void nudge(struct attach_run *r, int64_t now)
{
	struct agent_size less = r->size;

	if (less.rows > 1)
		less.rows--;
	if (agent_put_resize(&r->tx, less) < 0)
		attach_fail(r, ERR_LIMIT, -ENOMEM, "out of memory");
	r->nudge_at = now + NUDGE_MS;
}

static void prompt_step(struct attach_run *r, int64_t now)
{
	bool full = r->prompt.full, was = prompt_holds(&r->prompt);
	struct ask_reply reply;

	if (prompt_turn(&r->prompt, &r->modes, r->size, now, &reply, &r->screen) < 0)
		attach_fail(r, ERR_LIMIT, -ENOMEM, "out of memory");
	if (reply.answer != ASK_NONE && reply.answer != ASK_LATER && r->questions >= 0)
		(void)!send(r->questions, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
	if (was && !prompt_holds(&r->prompt) && full)
		nudge(r, now);
}

void attach_ask(struct attach_run *r)
{
	int64_t now = clock_ms();

	if (r->nudge_at && now >= r->nudge_at) {
		r->nudge_at = 0;
		attach_resize(r, true);
	}
	if (r->prompt.state == PROMPT_WANTED &&
		(scan_whole(&r->scan) || now >= r->prompt.wanted_at + PROMPT_BEGIN_MS) &&
		prompt_enter(&r->prompt, &r->modes, r->size, now, &r->screen) < 0)
		attach_fail(r, ERR_LIMIT, -ENOMEM, "out of memory");
	if (!r->done)
		prompt_step(r, now);
}

void attach_take_back(struct attach_run *r)
{
	if (!prompt_holds(&r->prompt) || prompt_leave(&r->prompt, &r->modes, &r->screen) < 0)
		return;
	if (write(r->a->out, r->screen.data, r->screen.len) < 0)
		return; /* the terminal is gone */
}
