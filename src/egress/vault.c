#include "egress/vault.h"
#include "json/json.h"
#include "base/clock.h"
#include "base/log.h"
#include "egress/chan.h"
#include "egress/resolver.h"
#include "link/link.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define TICK_MS 1000

/* ---- open, load ---- */

int vault_open(struct vault *v, const char *id, struct err *e)
{
	struct stat st;

	v->dir_fd = VAULT_DIR_FD;
	v->listen_fd = v->control_fd = v->peer_fd = v->resolver_fd = -1;
	if (!id[0] || strlen(id) >= sizeof(v->id))
		return err_set(e, ERR_INVALID, -EINVAL, "usage: sbx-vault ID");
	(void)snprintf(v->id, sizeof(v->id), "%s", id);
	if (fstat(v->dir_fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID, -EBADF,
			"descriptor %d is not the sandbox's directory", VAULT_DIR_FD);
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_sys(e, -errno, "keep others out of our memory");
	v->listen_fd = link_listen(v->dir_fd, EGRESS_VAULT_SOCKET);
	if (v->listen_fd < 0)
		return err_sys(e, v->listen_fd, "make the socket %s", EGRESS_VAULT_SOCKET);
	v->loop = loop_new();
	v->secrets = secrets_new();
	if (!v->loop || !v->secrets)
		return err_sys(e, -ENOMEM, "start");
	return 0;
}

int vault_load(struct vault *v, struct err *e)
{
	int r;

	js_seed();
	/* Before OpenSSL and any secret: what the child shares with us holds neither. */
	r = resolver_fork(v, &v->resolver_fd, e);
	if (r < 0)
		return r;
	v->roots = tls_roots_new();
	if (!v->roots)
		return err_sys(e, -ENOMEM, "read the host's trusted certificates");
	r = tls_roots_system(v->roots, e);
	if (r < 0 && r != -ENOENT)
		return r;
	/* A host without any: only what the configuration brings is trusted. */
	r = tls_client_ctx_new(v->roots, NULL, &v->tls, e);
	if (r < 0)
		return r;
	v->tls_ca = strdup("");
	return v->tls_ca ? 0 : err_sys(e, -ENOMEM, "start");
}

/* ---- configuration ---- */

/* trust() - a new context when the extra certificates are others than before */
static int trust(struct vault *v, const char *pem, struct err *e)
{
	struct tls_roots *extra = NULL;
	struct tls_client *tls = NULL;
	char *copy;
	int r = 0;

	if (strcmp(v->tls_ca, pem) == 0)
		return 0;
	copy = strdup(pem);
	if (pem[0]) {
		extra = tls_roots_new();
		r = extra ? tls_roots_add(extra, pem, strlen(pem), true, NULL, e) : -ENOMEM;
	}
	if (r == 0)
		r = copy ? tls_client_ctx_new(v->roots, extra, &tls, e) : -ENOMEM;
	tls_roots_free(extra);
	if (r < 0) {
		free(copy);
		return err_wrap(e, r, "extra certificates");
	}
	tls_client_ctx_free(v->tls);
	free(v->tls_ca);
	v->tls = tls;
	v->tls_ca = copy;
	return 0;
}

int vault_configure(struct vault *v, const void *bytes, size_t len, struct err *e)
{
	struct vault_config *c;
	int r = vault_config_new(bytes, len, &c, e);

	if (r < 0)
		return r;
	r = trust(v, c->c.extra_ca, e);
	if (r == 0)
		r = resolve_configure(v->resolve, &c->c);
	if (r < 0) {
		vault_config_unref(c);
		return err_wrap(e, r, "configure");
	}
	vault_config_unref(v->config);
	v->config = c;
	v->changes++;
	for (struct chan *x = v->chans; x; x = x->next)
		if (!x->dead)
			exchange_recheck(x);
	/* Kept connections were made under other rules. */
	for (struct up *u = v->ups; u; u = u->next)
		if (u->idle_since || (u->h2 && u->n_streams == 0))
			up_close(u);
	return 0;
}

/* ---- run ---- */

static void on_resolver_lost(void *ctx)
{
	struct vault *v = ctx;

	log_err("the resolver has ended");
	v->stop = true;
}

static void on_tick(void *ctx)
{
	struct vault *v = ctx;
	int64_t now = clock_ms();

	v->tick = NULL;
	for (struct chan *c = v->chans; c; c = c->next)
		if (!c->dead)
			exchange_tick(c, now);
	for (struct up *u = v->ups; u; u = u->next) {
		if (u->dead)
			continue;
		if (u->state != UP_READY && now > u->deadline)
			up_fail(u, 504, "timeout", "no connection to %s in time", u->host.name);
		else if ((u->idle_since && now - u->idle_since > VAULT_IDLE_MS) ||
			 (u->h2 && u->n_streams == 0 && now - u->done_ms > VAULT_IDLE_MS))
			up_close(u);
	}
}

/* keep_ticking() - a timer only while something could run out of time */
static void keep_ticking(struct vault *v)
{
	if (!v->tick && (v->n_ups > 0 || v->n_chans > 0))
		(void)!loop_add_timer(v->loop, clock_ms() + TICK_MS, on_tick, v, &v->tick);
}

static void sweep(struct vault *v)
{
	struct chan **c = &v->chans;
	struct up **u = &v->ups;

	v->any_dead = false;
	while (*c) {
		struct chan *x = *c;

		if (!x->dead || x->dirty) {
			v->any_dead |= x->dead;
			c = &x->next;
			continue;
		}
		*c = x->next;
		v->n_chans--;
		chan_free(x);
	}
	while (*u) {
		struct up *x = *u;

		if (!x->dead || x->dirty) {
			v->any_dead |= x->dead;
			u = &x->next;
			continue;
		}
		*u = x->next;
		v->n_ups--;
		up_free(x);
	}
}

bool vault_round(struct vault *v)
{
	struct chan *c = v->dirty_chans;
	struct up *u = v->dirty_ups;

	v->dirty_chans = NULL;
	v->dirty_ups = NULL;
	while (c) {
		struct chan *next = c->next_dirty;

		c->dirty = false;
		if (!c->dead)
			chan_flush(c);
		c = next;
	}
	while (u) {
		struct up *next = u->next_dirty;

		u->dirty = false;
		if (!u->dead)
			up_flush(u);
		u = next;
	}
	if (v->any_dead)
		sweep(v);
	keep_ticking(v);
	return v->dirty_chans || v->dirty_ups;
}

int vault_run(struct vault *v, struct err *e)
{
	int r;

	v->resolve = resolve_new(v->loop, TAKE_FD(v->resolver_fd), on_resolver_lost, v);
	if (!v->resolve)
		return err_sys(e, -ENOMEM, "start");
	r = control_start(v, e);
	while (r == 0 && !v->stop) {
		r = loop_once(v->loop, vault_round(v) ? 0 : -1);
		if (r < 0)
			return err_sys(e, r, "wait for events");
	}
	return r;
}

void vault_close(struct vault *v)
{
	control_stop(v);
	for (struct chan *c = v->chans; c; c = c->next)
		chan_close(c);
	for (struct up *u = v->ups; u; u = u->next)
		up_close(u);
	v->dirty_chans = NULL;
	v->dirty_ups = NULL;
	for (struct chan *c = v->chans; c; c = c->next)
		c->dirty = false;
	for (struct up *u = v->ups; u; u = u->next)
		u->dirty = false;
	sweep(v);
	loop_del_timer(v->tick);
	vault_config_unref(v->config);
	resolve_free(v->resolve);
	tls_client_ctx_free(v->tls);
	tls_roots_free(v->roots);
	secrets_free(v->secrets);
	free(v->tls_ca);
	loop_free(v->loop);
	own_close_fd(&v->resolver_fd);
}
