/* The install commands, and the window that is theirs alone. */
#include "base/clock.h"
#include "base/escape.h"
#include "base/log.h"
#include "daemon/agent_run.h"
#include "daemon/credentials.h"
#include "daemon/provision.h"
#include "daemon/setup_log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TELL_MS	   500 /* between two lines of a command that somebody is shown */
#define BEAT_MS	   5000 /* a silent command is still a sign of life */
#define TITLE_MAX  100
#define CONNECT_MS 10000

struct installing {
	struct sandbox *s;
	struct setup_log *log;
	sandbox_step_fn step;
	void *ctx;
	struct provision_env env;
	char title[TITLE_MAX + 128]; /* of the command that runs */
	char shown[SETUP_LINE_MAX];
	int64_t told_ms;
};

/* ---- the window ---- */

/* differs() - does the plan say anything of phases? Else the window opens nothing and closes nothing. */
static bool differs(const struct plan *p)
{
	for (size_t i = 0; i < p->n_network; i++)
		if (p->network[i].phase != PLAN_ALWAYS)
			return true;
	for (size_t i = 0; i < p->n_credentials; i++)
		if (p->credentials[i].phase != PLAN_ALWAYS)
			return true;
	return false;
}

static void set_installing(struct sandbox *s, bool installing)
{
	(void)pthread_mutex_lock(&s->lock);
	s->installing = installing;
	(void)pthread_mutex_unlock(&s->lock);
}

static bool has(const struct credentials *c, const char *var, bool whole)
{
	size_t n = whole ? strlen(var) + 1 : strcspn(var, "=") + 1;

	for (size_t i = 0; i < c->n_env; i++)
		if (strncmp(c->env[i], var, n) == 0)
			return true;
	return false;
}

/* other_credentials() - the guest was set up with the variables of the time after the window: those of
 * the window are added, the others taken away. What the plan itself sets wins, as it does there.
 */
static int other_credentials(
	struct installing *in, const struct credentials *after, const struct credentials *now)
{
	const struct js *own = in->s->plan->env;
	int r = 0;

	for (size_t i = 0; i < now->n_env && r == 0; i++) {
		AUTO_FREE char *name = strndup(now->env[i], strcspn(now->env[i], "="));

		if (!name)
			return -ENOMEM;
		if (!has(after, now->env[i], true) && !js_get(own, name))
			r = provision_env_add(&in->env, "%s", now->env[i]);
	}
	for (size_t i = 0; i < after->n_env && r == 0; i++) {
		AUTO_FREE char *name = strndup(after->env[i], strcspn(after->env[i], "="));

		if (!name)
			return -ENOMEM;
		if (!has(now, after->env[i], false) && !js_get(own, name))
			r = provision_env_add(&in->env, "%s", name);
	}
	return r;
}

static int push(struct sandbox *s, struct err *e)
{
	int r;

	egress_push_begin(s);
	r = egress_configure(s, e);
	if (r == 0)
		r = egress_push_secrets(s, e);
	egress_push_end(s);
	return r;
}

static int open_window(struct installing *in, struct err *e)
{
	struct sandbox *s = in->s;
	struct credentials after = {0}, now = {0};
	int r = differs(s->plan) ? credentials_for(s, &after, e) : 0;

	if (r == 0 && differs(s->plan)) {
		set_installing(s, true);
		r = credentials_for(s, &now, e);
		if (r == 0) {
			r = other_credentials(in, &after, &now);
			r = r < 0 ? err_sys(e, r, "make the environment of a command") : push(s, e);
		}
	}
	credentials_fini(&after);
	credentials_fini(&now);
	return r < 0 ? err_wrap(e, r, "open the way out for the installation") : 0;
}

/* close_window() - whatever was begun in it is cut: no process inside lives on, and front and vault are
 * ended and started anew, so that no stream, name, token or value of the window is left in them
 */
static int close_window(struct sandbox *s, int dir, struct err *e)
{
	int64_t deadline = clock_ms() + PROVISION_SETTLE_MS;
	int r = agent_settle(s, AGENT_SETTLE_END | AGENT_SETTLE_SYNC, deadline, e);

	if (r < 0)
		return err_wrap(e, r, "end what the installation left running");
	if (!differs(s->plan))
		return 0;
	set_installing(s, false);
	egress_stop(s);
	r = egress_start(s, dir, e);
	if (r == 0)
		r = egress_connect(s, clock_ms() + CONNECT_MS, e);
	return r < 0 ? err_wrap(e, r, "close the way out of the installation") : 0;
}

/* ---- one command ---- */

/* tell() - the command's last line, for who waits; @force: also when there is none */
static void tell(struct installing *in, bool force)
{
	char line[SETUP_LINE_MAX], shown[SETUP_LINE_MAX + 256], text[TITLE_MAX + 512];

	setup_log_last(in->log, line);
	if (!in->step || (!force && strcmp(line, in->shown) == 0))
		return;
	memcpy(in->shown, line, sizeof(line));
	in->told_ms = clock_ms();
	(void)snprintf(text, sizeof(text), "%s\n%s", in->title,
		escape_text(shown, sizeof(shown), line, strlen(line)));
	in->step(in->ctx, text);
}

static void on_output(void *ctx, const void *p, size_t len)
{
	struct installing *in = ctx;

	setup_log_add(in->log, p, len);
	if (clock_ms() - in->told_ms >= TELL_MS)
		tell(in, false);
}

static int on_tick(void *ctx, struct err *e)
{
	struct installing *in = ctx;
	struct sandbox *s = in->s;
	bool stopped;

	(void)pthread_mutex_lock(&s->lock);
	stopped = s->abort_start || s->status != STATUS_STARTING;
	(void)pthread_mutex_unlock(&s->lock);
	if (stopped)
		return err_set(e, ERR_CONFLICT, -ECANCELED, "it was stopped while it installed");
	tell(in, clock_ms() - in->told_ms >= BEAT_MS);
	return 0;
}

/* name_it() - how a command is called: by its description, else by its first line */
static void name_it(struct installing *in, size_t i)
{
	const struct plan_install *c = &in->s->plan->install[i];
	const char *text = c->description && c->description[0] ? c->description : c->command;
	char shown[TITLE_MAX];

	text += strspn(text, " \t\n");
	(void)escape_text(shown, 60, text, strcspn(text, "\n"));
	(void)snprintf(in->title, sizeof(in->title), "install %zu/%zu: %s (kit %.40s)", i + 1,
		in->s->plan->n_install, shown, c->kit);
}

/* failed() - who wrote the command, and what it said last */
static int failed(struct installing *in, size_t i, const char *how, int num, struct err *e)
{
	const struct plan_install *c = &in->s->plan->install[i];
	char place[32] = "", words[200];
	int r;

	if (c->line)
		(void)snprintf(place, sizeof(place), ", spec.yaml:%u", c->line);
	setup_log_words(in->log, words, sizeof(words));
	setup_log_say(in->log, "-- %s", how);
	r = err_set(e, num == -ETIMEDOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE, num, "%s%s: %s%s%s",
		in->title, place, how, words[0] ? "; its last words: " : "", words);
	err_hint(e, "sbx logs --setup %s shows all of it; the next start begins anew", in->s->name);
	return r;
}

static int run_one(struct installing *in, size_t i, struct err *e)
{
	const struct plan_install *c = &in->s->plan->install[i];
	const struct agent_watcher w = {.output = on_output, .tick = on_tick, .ctx = in};
	char *argv[] = {
		(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)c->command};
	AUTO_FREE struct agent_exec *m = calloc(1, sizeof(*m));
	struct agent_exit x = {0};
	struct err why = {0};
	char how[ERR_MSG_MAX];
	int r;

	if (!m)
		return err_sys(e, -ENOMEM, "run a command inside");
	m->argv = (struct agent_strv){.v = argv, .n = ARRAY_LEN(argv)};
	m->env = (struct agent_strv){.v = in->env.v, .n = in->env.n};
	(void)snprintf(m->user, sizeof(m->user), "%s", c->user);
	(void)snprintf(m->cwd, sizeof(m->cwd), "%s",
		in->s->plan->image_workdir[0] ? in->s->plan->image_workdir : "/");
	name_it(in, i);
	setup_log_say(in->log, "-- %s", in->title);
	setup_log_mark(in->log);
	if (in->step)
		in->step(in->ctx, in->title);
	r = agent_run(in->s, m, clock_ms() + PROVISION_COMMAND_MS, &w, &x, &why);
	/* A machine that ended is none of the command's faults: its reason is known above. */
	if (r == -ECANCELED || r == -ECONNRESET || r == -ENOTCONN) {
		*e = why;
		return r;
	}
	if (r == -ETIMEDOUT)
		(void)snprintf(how, sizeof(how), "did not end within %d minutes",
			PROVISION_COMMAND_MS / 60000);
	else if (r < 0)
		(void)snprintf(how, sizeof(how), "%s", why.msg);
	else if (x.signal)
		(void)snprintf(how, sizeof(how), "was ended by signal %u", x.signal);
	else if (x.code)
		(void)snprintf(how, sizeof(how), "ended with status %u", x.code);
	else
		return 0;
	return failed(in, i, how, r < 0 ? r : -EIO, e);
}

int provision_install(struct sandbox *s, int dir, struct setup_log *log, sandbox_step_fn step,
	void *ctx, struct err *e)
{
	struct installing in = {.s = s, .log = log, .step = step, .ctx = ctx};
	int r = 0;

	if (s->plan->n_install == 0)
		return 0;
	r = provision_env_usual(s, &in.env, e);
	if (r == 0)
		r = open_window(&in, e);
	for (size_t i = 0; r == 0 && i < s->plan->n_install; i++)
		r = run_one(&in, i, e);
	if (r == 0 && step)
		step(ctx, "ending what the installation left");
	if (r == 0)
		r = close_window(s, dir, e);
	set_installing(s, false); /* one that failed is ended with its machine */
	provision_env_fini(&in.env);
	return r;
}
