/* The startup commands: at each start, beside the agent. Sessions inside, so that they outlive this
 * daemon; what they print is followed as long as it lives.
 */
#include "base/clock.h"
#include "base/escape.h"
#include "base/log.h"
#include "daemon/agent_run.h"
#include "daemon/provision.h"
#include "daemon/setup_log.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define LIVE_MS	      (7 * 86400000LL) /* for as long a command is followed */
#define FOLLOWERS_MAX 24 /* of a sandbox; the sessions of others go on unheard */

/* One start's; shared by the threads that follow its commands. */
struct startup {
	struct sandbox *s; /* a reference */
	struct setup_log *log; /* a reference */
	struct provision_env env;
	uint64_t run; /* which start this is */
	atomic_uint refs, followers;
};

struct job {
	struct startup *u; /* a reference */
	size_t i;
	bool unheard;
};

static struct startup *startup_get(struct startup *u)
{
	(void)atomic_fetch_add(&u->refs, 1);
	return u;
}

static void startup_put(struct startup *u)
{
	if (atomic_fetch_sub(&u->refs, 1) != 1)
		return;
	provision_env_fini(&u->env);
	setup_log_put(u->log);
	sandbox_put(u->s);
	free(u);
}

/* lives() - it is still this start's machine */
static bool lives(const struct startup *u)
{
	struct sandbox *s = u->s;
	bool yes;

	(void)pthread_mutex_lock(&s->lock);
	yes = s->run == u->run && (s->status == STATUS_RUNNING || s->status == STATUS_PAUSED);
	(void)pthread_mutex_unlock(&s->lock);
	return yes;
}

static void on_output(void *ctx, const void *p, size_t len)
{
	struct job *j = ctx;

	setup_log_add(j->u->log, p, len);
}

static int on_tick(void *ctx, struct err *e)
{
	struct job *j = ctx;

	return j->unheard || !lives(j->u) ? err_set(e, ERR_UNAVAILABLE, -ECANCELED, "let go") : 0;
}

/* failed() - nobody is stopped by it: a note, and the log */
static void failed(const struct job *j, const char *how)
{
	const struct plan_startup *c = &j->u->s->plan->startup[j->i];
	struct sandbox *s = j->u->s;

	setup_log_say(j->u->log, "-- startup %zu (kit %.40s) %s", j->i + 1, c->kit, how);
	log_info("sandbox %s: startup command %zu of kit %s %s", s->name, j->i + 1, c->kit, how);
	(void)pthread_mutex_lock(&s->lock);
	if (s->run == j->u->run && !s->startup_note[0])
		(void)snprintf(s->startup_note, sizeof(s->startup_note),
			"startup command %zu (kit %.40s) %.100s: sbx logs --setup %.64s", j->i + 1,
			c->kit, how, s->name);
	(void)pthread_mutex_unlock(&s->lock);
}

static int fill(const struct job *j, struct agent_exec *m)
{
	const struct plan_startup *c = &j->u->s->plan->startup[j->i];
	size_t n = js_len(c->argv);

	m->argv.v = calloc(n + 1, sizeof(char *));
	if (!m->argv.v)
		return -ENOMEM;
	for (; m->argv.n < n; m->argv.n++)
		m->argv.v[m->argv.n] = (char *)(uintptr_t)js_str(js_at(c->argv, m->argv.n));
	m->env = (struct agent_strv){.v = j->u->env.v, .n = j->u->env.n};
	m->flags = AGENT_EXEC_PERSIST | AGENT_EXEC_SERVICE;
	(void)snprintf(m->session, sizeof(m->session), "startup-%zu", j->i + 1);
	/* The usual one is the agent's user, whatever its number in this image. */
	(void)snprintf(m->user, sizeof(m->user), "%s", strcmp(c->user, "1000") == 0 ? "" : c->user);
	return 0;
}

static void run_one(struct job *j)
{
	const struct agent_watcher w = {.output = on_output, .tick = on_tick, .ctx = j};
	AUTO_FREE struct agent_exec *m = calloc(1, sizeof(*m));
	struct agent_exit x = {0};
	struct err e = {0};
	char how[ERR_MSG_MAX];
	int r = m ? fill(j, m) : -ENOMEM;

	if (r < 0)
		(void)err_sys(&e, r, "run a command inside");
	else
		r = agent_run(j->u->s, m, clock_ms() + LIVE_MS, &w, &x, &e);
	if (m)
		free(m->argv.v);
	if (r == -ECANCELED || !lives(j->u))
		return; /* its sandbox has ended, and with it everybody inside */
	if (r < 0)
		(void)snprintf(how, sizeof(how), "failed: %.400s", e.msg);
	else if (x.signal)
		(void)snprintf(how, sizeof(how), "was ended by signal %u", x.signal);
	else if (x.code)
		(void)snprintf(how, sizeof(how), "ended with status %u", x.code);
	else
		return;
	failed(j, how);
}

static void *follower_main(void *arg)
{
	struct job *j = arg;

	run_one(j);
	(void)atomic_fetch_sub(&j->u->followers, 1);
	startup_put(j->u);
	free(j);
	return NULL;
}

/* beside() - a background command, by a thread that follows it */
static void beside(struct startup *u, size_t i)
{
	struct job own = {.u = u, .i = i, .unheard = true};
	struct job *j = malloc(sizeof(*j));

	if (j && atomic_fetch_add(&u->followers, 1) < FOLLOWERS_MAX) {
		*j = (struct job){.u = startup_get(u), .i = i};
		if (thread_start(follower_main, j) == 0)
			return;
		startup_put(u);
	}
	if (j)
		(void)atomic_fetch_sub(&u->followers, 1);
	free(j);
	run_one(&own);
}

static void *startup_main(void *arg)
{
	struct startup *u = arg;
	const struct plan *p = u->s->plan;

	for (size_t i = 0; i < p->n_startup && lives(u); i++) {
		const struct plan_startup *c = &p->startup[i];
		struct job j = {.u = u, .i = i};
		char text[200];

		(void)escape_str(text, sizeof(text),
			c->description && c->description[0] ? c->description
							    : js_str(js_at(c->argv, 0)));
		setup_log_say(u->log, "-- startup %zu/%zu: %s (kit %.40s)", i + 1, p->n_startup,
			text, c->kit);
		if (c->background)
			beside(u, i);
		else
			run_one(&j);
	}
	startup_put(u);
	return NULL;
}

void startup_run(struct sandbox *s)
{
	struct startup *u;
	struct err e = {0};
	int r;

	if (s->plan->n_startup == 0)
		return;
	u = calloc(1, sizeof(*u));
	if (!u) {
		log_err("sandbox %s: no memory for its startup commands", s->name);
		return;
	}
	u->s = sandbox_get(s);
	u->refs = 1;
	(void)pthread_mutex_lock(&s->lock);
	u->run = s->run;
	(void)pthread_mutex_unlock(&s->lock);
	r = setup_log_open(s, false, &u->log, &e);
	if (r == 0)
		r = provision_env_usual(s, &u->env, &e);
	if (r == 0) {
		r = thread_start(startup_main, u);
		if (r == 0)
			return;
		(void)err_sys(&e, r, "start a thread");
	}
	log_err("sandbox %s: its startup commands do not run: %s", s->name, e.msg);
	startup_put(u);
}
