#include "daemon/credentials.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* What the kits of a sandbox add to services, or make: variables, places, a login. */

#define MADE_RANDOM 40 /* characters of a stand-in */

static int nomem(struct err *e)
{
	return err_sys(e, -ENOMEM, "put the credentials of the kits together");
}

static int copy(char **to, const char *from)
{
	free(*to);
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

/* append() - @text to the list, when it is not there yet */
static int append(struct kit_strv *to, const char *text)
{
	char **bigger;

	for (size_t i = 0; i < to->n; i++)
		if (strcmp(to->v[i], text) == 0)
			return 0;
	bigger = reallocarray(to->v, to->n + 2, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	to->v = bigger;
	to->v[to->n] = strdup(text);
	if (!to->v[to->n])
		return -ENOMEM;
	to->v[++to->n] = NULL;
	return 0;
}

static struct service *make(const struct plan_credential *c)
{
	struct service *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->random = MADE_RANDOM;
	if (copy(&v->name, c->service) == 0 && copy(&v->prefix, "") == 0 &&
		copy(&v->description, c->description ? c->description : "of a kit") == 0)
		return v;
	service_free(v);
	return NULL;
}

static bool has_slot(const struct service *v, const struct service_slot *s)
{
	for (size_t i = 0; i < v->n_slots; i++)
		for (size_t k = 0; k < v->slots[i].hosts.n; k++)
			/* Basic and a field of that name are the same field of the request */
			if (strcmp(v->slots[i].hosts.v[k], s->hosts.v[0]) == 0 &&
				(v->slots[i].kind == EGRESS_SLOT_BASIC ||
					s->kind == EGRESS_SLOT_BASIC ||
					(v->slots[i].header && s->header &&
						strcmp(v->slots[i].header, s->header) == 0)))
				return true;
	return false;
}

static void drop_slot(struct service_slot *s)
{
	kit_strv_fini(&s->hosts);
	free(s->path);
	free(s->header);
	free(s->format);
	free(s->username);
}

/* fill_slot() - as the kit says it; as the service's first place says it; or as a bearer token */
static int fill_slot(const struct service *v, const struct plan_inject *in, struct service_slot *s)
{
	const struct service_slot *like = v->n_slots && !v->slots->path ? v->slots : NULL;
	int r = append(&s->hosts, in->domain);

	if (r < 0)
		return r;
	s->kind = in->username ? EGRESS_SLOT_BASIC : EGRESS_SLOT_HEADER;
	if (in->username)
		return copy(&s->username, in->username);
	if (in->header || !like) {
		r = copy(&s->header, in->header ? in->header : "authorization");
		if (r == 0)
			r = copy(&s->format, in->format	  ? in->format
					     : in->header ? "%s"
							  : "Bearer %s");
		return r;
	}
	s->kind = like->kind;
	r = copy(&s->header, like->header);
	if (r == 0)
		r = copy(&s->format, like->format);
	return r == 0 ? copy(&s->username, like->username) : r;
}

static int add_inject(struct service *v, const struct plan_inject *in)
{
	struct service_slot s = {0}, *bigger;
	int r = fill_slot(v, in, &s);

	if (r == 0 && has_slot(v, &s)) {
		drop_slot(&s);
		return 0;
	}
	bigger = r == 0 ? reallocarray(v->slots, v->n_slots + 1, sizeof(*bigger)) : NULL;
	if (!bigger) {
		drop_slot(&s);
		return -ENOMEM;
	}
	v->slots = bigger;
	v->slots[v->n_slots++] = s;
	return 0;
}

/* no_slots() - the credential does not hold now, and has no variable inside */
static void no_slots(struct service *v)
{
	kit_strv_fini(&v->env);
	for (size_t i = 0; i < v->n_slots; i++)
		drop_slot(&v->slots[i]);
	v->n_slots = 0;
}

static const char *field_of(const struct plan_oauth *o, const char *key, const char *other)
{
	const char *name = js_str(js_get(o->fields, key));

	return name ? name : other;
}

/* add_login() - a token endpoint of its own: that of the service, if it has one, is not used then */
static int add_login(struct service *v, const struct plan_oauth *from)
{
	struct service_oauth *o = v->oauth;
	int r = 0;

	if (!o)
		o = v->oauth = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	kit_strv_fini(&o->hosts);
	for (size_t i = 0; r == 0 && i < js_len(from->hosts); i++)
		r = append(&o->hosts, js_str(js_at(from->hosts, i)));
	if (r == 0)
		r = copy(&o->host, from->host);
	if (r == 0)
		r = copy(&o->path, from->path);
	if (r == 0)
		r = copy(&o->access_field, field_of(from, "accessToken", "access_token"));
	if (r == 0)
		r = copy(&o->refresh_field, field_of(from, "refreshToken", "refresh_token"));
	if (r == 0)
		r = copy(&o->access_text, from->access);
	return r == 0 ? copy(&o->refresh_text, from->refresh) : r;
}

static int add_one(
	struct service_set *set, const struct plan_credential *c, bool installing, struct err *e)
{
	bool holds = c->phase == PLAN_ALWAYS || (c->phase == PLAN_INSTALL) == installing;
	struct service *v = NULL;
	int r = 0;

	for (size_t i = 0; i < set->n && !v; i++)
		if (strcmp(set->list[i]->name, c->service) == 0)
			v = set->list[i];
	if (!v) {
		v = make(c);
		r = v ? service_set_put(set, v, e) : nomem(e);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; r == 0 && i < js_len(c->variables); i++)
		r = append(&v->env, js_str(js_at(c->variables, i)));
	for (size_t i = 0; r == 0 && i < c->n_injects; i++)
		r = add_inject(v, &c->injects[i]);
	if (r == 0 && c->oauth && !c->oauth->passthrough)
		r = add_login(v, c->oauth);
	if (!holds)
		no_slots(v);
	return r < 0 ? nomem(e) : 0;
}

int credentials_add_kits(
	const struct plan *p, bool installing, struct service_set *set, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->n_credentials; i++)
		r = add_one(set, &p->credentials[i], installing, e);
	return r;
}
