#include "egress/cred_match.h"
#include "egress/text.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool cred_body_is_text(const struct egress_request *q)
{
	const char *type = egress_field(&q->fields, "content-type");

	return !type || strcasestr(type, "json") || strcasestr(type, "x-www-form-urlencoded") ||
	       strcasestr(type, "text/plain");
}

bool cred_look(struct cred *c, const struct cred_ask *a, const struct buf *body)
{
	const char *sentinel;
	size_t at = 0;

	while (body->len && (sentinel = cred_match_sentinel(a->config, &at)))
		if (sentinel[0] && cred_match_holds(body->data, body->len, sentinel))
			return cred_refuse(c, 403, "sentinel",
				"a credential's stand-in stands in the body, where it is not for");
	return true;
}

/* swap_one() - every @sentinel in a small body becomes the secret of that name */
static bool swap_one(struct cred *c, const struct cred_ask *a, struct buf *body,
	const char *sentinel, const char *name)
{
	const char *type = egress_field(&a->q->fields, "content-type");
	bool form = type && strcasestr(type, "x-www-form-urlencoded");
	const struct secret *v = secrets_get(a->secrets, name);
	char *at, *value, *tail;
	size_t len, rest;

	while (sentinel[0] && body->len &&
		(at = memmem(body->data, body->len, sentinel, strlen(sentinel)))) {
		size_t head = (size_t)(at - body->data);

		if (!v)
			return cred_refuse(
				c, 403, "credential_missing", "the secret '%s' is not set", name);
		rest = body->len - head - strlen(sentinel);
		value = cred_own(c, 3 * v->len + 1);
		tail = cred_own(c, rest + 1);
		if (!value || !tail)
			return cred_refuse(c, 403, "sentinel", "too many stand-ins");
		len = form ? text_percent(v->value, v->len, true, value) : v->len;
		if (!form)
			memcpy(value, v->value, v->len);
		memcpy(tail, at + strlen(sentinel), rest);
		body->len = head;
		if (buf_add(body, value, len) < 0 || buf_add(body, tail, rest) < 0)
			return cred_refuse(c, 413, "too_large", "the body is too large");
	}
	return true;
}

bool cred_swap(struct cred *c, const struct cred_ask *a, struct buf *body)
{
	const struct egress_oauth *o = c->oauth;
	char refresh[160];

	(void)snprintf(refresh, sizeof(refresh), "%s.refresh", o->credential);
	/* Revocation endpoints take the access token as well. */
	if (!swap_one(c, a, body, o->access_sentinel, o->credential) ||
		!swap_one(c, a, body, o->refresh_sentinel, refresh))
		return false;
	(void)snprintf(c->used, sizeof(c->used), "%s", o->credential);
	return cred_look(c, a, body);
}
