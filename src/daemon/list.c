#include "daemon/ports.h"
#include <errno.h>
#include <string.h>
#include <time.h>

struct sandbox *sandbox_new(struct daemon *d, struct plan *plan, const struct store_sandbox *row)
{
	struct sandbox *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;

	if (!s)
		return NULL;
	s->ports = ports_new();
	if (!s->ports) {
		free(s);
		return NULL;
	}
	s->d = d;
	s->plan = plan;
	s->row = *row;
	s->row.plan = NULL;
	memcpy(s->id, row->id, sizeof(s->id));
	memcpy(s->name, row->name, sizeof(s->name));
	s->refs = 1;
	s->status = status_from_name(row->status);
	s->link_fd = s->pidfd = s->boot_fd = s->log_fd = -1;
	egress_init(s);
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&s->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	return s;
}

static void box_free(struct sandbox *s)
{
	ports_free(s->ports); /* its thread may be about to use the rest */
	own_close_fd(&s->link_fd);
	own_close_fd(&s->pidfd);
	own_close_fd(&s->boot_fd);
	own_close_fd(&s->log_fd);
	egress_fini(s);
	(void)pthread_mutex_destroy(&s->lock);
	(void)pthread_cond_destroy(&s->changed);
	plan_free(s->plan);
	for (size_t i = 0; i < s->n_former; i++)
		plan_free(s->former[i]);
	free(s);
}

struct sandbox *sandbox_get(struct sandbox *s)
{
	(void)pthread_mutex_lock(&s->d->lock);
	s->refs++;
	(void)pthread_mutex_unlock(&s->d->lock);
	return s;
}

void sandbox_put(struct sandbox *s)
{
	bool last;

	if (!s)
		return;
	(void)pthread_mutex_lock(&s->d->lock);
	last = --s->refs == 0;
	(void)pthread_mutex_unlock(&s->d->lock);
	if (last)
		box_free(s);
}

void sandbox_putp(struct sandbox **s)
{
	sandbox_put(*s);
	*s = NULL;
}

/* find_locked() - a name before an id: ids look like names */
static struct sandbox *find_locked(struct daemon *d, const char *key)
{
	for (struct sandbox *s = d->boxes; s; s = s->next)
		if (strcmp(s->name, key) == 0)
			return s;
	for (struct sandbox *s = d->boxes; s; s = s->next)
		if (strcmp(s->id, key) == 0)
			return s;
	return NULL;
}

int sandbox_list_add(struct sandbox *s, struct err *e)
{
	struct daemon *d = s->d;
	struct sandbox **at;
	int r = 0;

	(void)pthread_mutex_lock(&d->lock);
	if (find_locked(d, s->name) || find_locked(d, s->id)) {
		r = err_set(e, ERR_CONFLICT, -EEXIST, "sandbox '%s' exists already", s->name);
		err_hint(e, "choose another --name, or remove it with: sbx rm %s", s->name);
	} else if (d->n_boxes >= DAEMON_BOXES_MAX)
		r = err_set(
			e, ERR_LIMIT, -ENOSPC, "there are %d sandboxes already", DAEMON_BOXES_MAX);
	if (r == 0) {
		for (at = &d->boxes; *at; at = &(*at)->next)
			;
		*at = s;
		s->refs++;
		d->n_boxes++;
	}
	(void)pthread_mutex_unlock(&d->lock);
	return r;
}

void sandbox_list_remove(struct sandbox *s)
{
	struct daemon *d = s->d;
	bool found = false;

	(void)pthread_mutex_lock(&d->lock);
	for (struct sandbox **at = &d->boxes; *at; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			s->next = NULL;
			d->n_boxes--;
			found = true;
			break;
		}
	(void)pthread_mutex_unlock(&d->lock);
	if (found)
		sandbox_put(s);
}

struct sandbox *sandbox_find(struct daemon *d, const char *key, struct err *e)
{
	struct sandbox *s;

	(void)pthread_mutex_lock(&d->lock);
	s = find_locked(d, key);
	if (s)
		s->refs++;
	(void)pthread_mutex_unlock(&d->lock);
	if (!s) {
		(void)err_set(e, ERR_NOT_FOUND, -ENOENT, "sandbox '%.80s' not found", key);
		err_hint(e, "sbx ls shows what there is");
	}
	return s;
}

int sandbox_all(struct daemon *d, struct sandbox ***ret, size_t *ret_n)
{
	struct sandbox **all;
	size_t n = 0;

	(void)pthread_mutex_lock(&d->lock);
	all = calloc(d->n_boxes + 1, sizeof(struct sandbox *));
	for (struct sandbox *s = d->boxes; all && s; s = s->next) {
		s->refs++;
		all[n++] = s;
	}
	(void)pthread_mutex_unlock(&d->lock);
	if (!all)
		return -ENOMEM;
	*ret = all;
	*ret_n = n;
	return 0;
}
