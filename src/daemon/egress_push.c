/* What front and vault enforce: the configuration, made of policy, host and credentials, and what may
 * change while they run.
 */
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "daemon/approvals.h"
#include "daemon/credentials.h"
#include "daemon/egress.h"
#include "daemon/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>

/* One at a time: what is sent last is what is in force, in both. */
void egress_push_begin(struct sandbox *s)
{
	(void)pthread_mutex_lock(&s->lock);
	while (s->egress.pushing)
		(void)pthread_cond_wait(&s->changed, &s->lock);
	s->egress.pushing = true;
	(void)pthread_mutex_unlock(&s->lock);
}

void egress_push_end(struct sandbox *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->egress.pushing = false;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
}

static int seal(const struct buf *b, struct err *e)
{
	AUTO_FD fd = memfd_create("sbx-egress", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = fd < 0 ? -errno : io_write_full(fd, b->data, b->len, IO_FOREVER);

	if (r == 0 &&
		(lseek(fd, 0, SEEK_SET) < 0 ||
			fcntl(fd, F_ADD_SEALS,
				F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0))
		r = -errno;
	return r < 0 ? err_sys(e, r, "write the configuration of the way out") : TAKE_FD(fd);
}

static int send_config(struct egress_end *x, const struct egress_config *c, struct err *e)
{
	struct egress_msg m = {.op = EGRESS_OP_CONFIG};
	struct egress_config part = *c;
	AUTO(buf) out = {0};
	AUTO_FD fd = -1;
	int r;

	if (x->who == EGRESS_FRONT) { /* it holds no credentials and dials nothing */
		part.n_servers = part.n_hosts = part.n_credentials = part.n_oauth = 0;
		part.n_proxies = part.n_redirects = 0;
		part.extra_ca = part.authz_url = "";
	}
	buf_init(&out, EGRESS_CONFIG_MAX);
	r = egress_put_config(&out, &part);
	if (r < 0)
		return err_sys(e, r, "make the configuration of %s", egress_name(x->who));
	fd = seal(&out, e);
	return fd < 0 ? fd : egress_call(x, &m, fd, NULL, e);
}

static uint64_t next_generation(struct sandbox *s)
{
	uint64_t now = (uint64_t)clock_real_ms();

	(void)pthread_mutex_lock(&s->lock);
	/* By the clock, so that it grows across daemons, too. */
	s->egress.generation = now > s->egress.generation ? now : s->egress.generation + 1;
	now = s->egress.generation;
	(void)pthread_mutex_unlock(&s->lock);
	return now;
}

static int push_value(void *ctx, const char *name, const void *value, size_t len)
{
	struct err e = {0};

	return egress_push_secret(ctx, name, value, len, &e);
}

int egress_configure(struct sandbox *s, struct err *e)
{
	struct egress_parts *parts = NULL;
	struct egress_config c;
	int r = egress_fill(s, &c, &parts, e);

	c.generation = next_generation(s);
	/* The vault first: it never lets through more than the front has been told. */
	for (size_t i = EGRESS_ENDS; i-- > 0 && r == 0;)
		r = send_config(&s->egress.end[i], &c, e);
	egress_parts_free(parts);
	return r;
}

int egress_push_secrets(struct sandbox *s, struct err *e)
{
	return credentials_each(s, push_value, s, e);
}

/* is_wanted() - a sandbox that does not run has nobody to tell; one that starts is told then */
static bool is_wanted(struct sandbox *s)
{
	bool wanted;

	(void)pthread_mutex_lock(&s->lock);
	wanted = s->egress.wanted;
	(void)pthread_mutex_unlock(&s->lock);
	return wanted;
}

int egress_push_policy(struct sandbox *s, struct err *e)
{
	int r = 0;

	egress_push_begin(s);
	if (is_wanted(s))
		r = egress_configure(s, e);
	egress_push_end(s);
	/* One that has just ended gets it when it is started anew. */
	return r == -ENOTCONN ? 0 : r;
}

int egress_push_secret(
	struct sandbox *s, const char *name, const void *value, size_t len, struct err *e)
{
	struct egress_msg m = {.op = EGRESS_OP_SECRET,
		.name = name,
		.yes = value != NULL,
		.blob = value,
		.blob_len = value ? len : 0};
	struct egress_end *vault = &s->egress.end[1];
	bool up;
	int r;

	(void)pthread_mutex_lock(&s->lock);
	up = vault->fd >= 0;
	(void)pthread_mutex_unlock(&s->lock);
	r = up ? egress_call(vault, &m, -1, NULL, e) : 0;
	return r == -ENOTCONN ? 0 : r;
}

int egress_stats(struct sandbox *s, enum egress_who who, struct egress_stats *ret, struct err *e)
{
	struct egress_msg m = {.op = EGRESS_OP_STATS};

	return egress_call(&s->egress.end[who == EGRESS_FRONT ? 0 : 1], &m, -1, ret, e);
}

void egress_verdict(struct sandbox *s, uint64_t id, bool allow)
{
	const struct egress_msg m = {.op = EGRESS_OP_VERDICT, .id = id, .yes = allow};

	(void)pthread_mutex_lock(&s->lock);
	(void)!egress_send(&s->egress.end[0], &m, -1);
	(void)pthread_mutex_unlock(&s->lock);
}

/* ---- changes that come from elsewhere ---- */

/* close_way() - what could not be told is not in force: nothing may go on under what was before. Both
 * end; they come back with what holds now, or (egress.c) not at all.
 */
static void close_way(struct sandbox *s, const struct err *e)
{
	log_err("sandbox %s: front and vault are ended, since they could not be told of a change: "
		"%s",
		s->name, e->msg);
	(void)pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < EGRESS_ENDS; i++)
		if (s->egress.end[i].pidfd >= 0)
			(void)pidfd_send_signal(s->egress.end[i].pidfd, SIGKILL, NULL, 0);
	(void)pthread_mutex_unlock(&s->lock);
}

/* new_table() - of rules, or of credentials */
static void new_table(struct sandbox *s)
{
	struct err e = {0};

	if (egress_push_policy(s, &e) < 0)
		close_way(s, &e);
}

static void new_value(struct sandbox *s, const char *name, const void *value, size_t len)
{
	struct err e = {0};

	if (egress_push_secret(s, name, value, len, &e) < 0)
		close_way(s, &e);
}

/* answered() - by a person, or because nobody did in time */
static void answered(struct daemon *d, const struct approval *a, bool allow)
{
	AUTO_BOX s = sandbox_find(d, a->box, NULL);

	if (s)
		egress_verdict(s, a->ask, allow);
}

bool egress_ask(struct sandbox *s, const struct egress_msg *m)
{
	struct approval a = {.ask = m->id, .port = m->port};

	(void)snprintf(a.box, sizeof(a.box), "%s", s->id);
	(void)snprintf(a.name, sizeof(a.name), "%s", s->name);
	(void)snprintf(a.host, sizeof(a.host), "%s", m->name);
	(void)snprintf(a.method, sizeof(a.method), "%s", m->method);
	(void)snprintf(a.path, sizeof(a.path), "%s", m->path);
	(void)snprintf(a.rule, sizeof(a.rule), "%s", m->rule);
	return approvals_add(s->d, &a) == 0;
}

int egress_open(struct daemon *d, struct err *e)
{
	credentials_hooks(new_table, new_value);
	daemon_policy_hook(d, new_table);
	approvals_hook(d, answered);
	return egress_watch_new(&d->egress_watch, e);
}
