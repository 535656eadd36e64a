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

/* may_pass() - at the hosts of its slots some credentials' stand-ins may stand in bodies: an agent that shows its
 * environment to its model would be stuck with a history that nobody takes
 */
static bool may_pass(const struct cred_ask *a, const char *sentinel)
{
	const struct vault_config *v = a->config;

	for (size_t i = 0; i < v->n_slots && a->q->scheme == EGRESS_HTTPS; i++)
		if (v->slots[i].credential->pass_body &&
			strcmp(v->slots[i].credential->sentinel, sentinel) == 0 &&
			slot_matches(&v->slots[i], a->host, a->q->port, a->q->path))
			return true;
	return false;
}

bool cred_look(struct cred *c, const struct cred_ask *a, const struct buf *body)
{
	const char *sentinel;
	size_t at = 0;

	while (body->len && (sentinel = cred_match_sentinel(a->config, &at))) {
		if (!sentinel[0] || !cred_match_holds(body->data, body->len, sentinel))
			continue;
		if (!may_pass(a, sentinel))
			return cred_refuse(c, 403, "sentinel",
				"a credential's stand-in stands in the body, where it is not for");
		cred_note(c, "stand-in in body");
	}
	return true;
}

/* escape_json() - @dst has 2 * @len bytes; values have no control characters (secrets_put()) */
static size_t escape_json(const char *p, size_t len, char *dst)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (p[i] == '"' || p[i] == '\\')
			dst[n++] = '\\';
		dst[n++] = p[i];
	}
	return n;
}

/* encode() - the value as the body's type writes it; NULL: refused */
static char *encode(
	struct cred *c, const struct cred_ask *a, const struct secret *v, size_t *ret_len)
{
	const char *type = egress_field(&a->q->fields, "content-type");
	char *out = cred_own(c, 3 * v->len + 1);

	if (!out) {
		(void)cred_refuse(c, 503, "limit", "no memory");
		return NULL;
	}
	if (type && strcasestr(type, "x-www-form-urlencoded")) {
		*ret_len = text_percent(v->value, v->len, true, out);
	} else if (type && strcasestr(type, "json")) {
		*ret_len = escape_json(v->value, v->len, out);
	} else {
		memcpy(out, v->value, v->len);
		*ret_len = v->len;
	}
	return out;
}

/* replace() - every @from in the body becomes @to */
static bool replace(
	struct cred *c, struct buf *body, const char *from, const char *to, size_t to_len)
{
	size_t want = strlen(from), hits = 0, n = 0, len;
	const char *at = body->data, *end = at + body->len;
	const char *hit;
	char *out;

	for (hit = at; (hit = memmem(hit, (size_t)(end - hit), from, want)); hit += want)
		hits++;
	len = body->len - hits * want + hits * to_len;
	if (len > body->max)
		return cred_refuse(c, 413, "too_large", "the body is too large");
	out = cred_own(c, len + 1);
	if (!out)
		return cred_refuse(c, 503, "limit", "no memory");
	for (; (hit = memmem(at, (size_t)(end - at), from, want)); at = hit + want) {
		memcpy(out + n, at, (size_t)(hit - at));
		n += (size_t)(hit - at);
		memcpy(out + n, to, to_len);
		n += to_len;
	}
	memcpy(out + n, at, (size_t)(end - at));
	explicit_bzero(body->data, body->len);
	buf_clear(body);
	return buf_add(body, out, len) == 0 || cred_refuse(c, 503, "limit", "no memory");
}

/* swap() - every @stand_in in the body becomes the secret of that name */
static bool swap(struct cred *c, const struct cred_ask *a, struct buf *body, const char *stand_in,
	const char *name)
{
	const struct secret *v = secrets_get(a->secrets, name);
	size_t len = 0;
	char *value;

	if (!stand_in[0] || body->len == 0 ||
		!memmem(body->data, body->len, stand_in, strlen(stand_in)))
		return true;
	if (!v)
		return cred_refuse(
			c, 403, "credential_missing", "the secret '%s' is not set", name);
	value = encode(c, a, v, &len);
	return value && replace(c, body, stand_in, value, len);
}

/* swap_jwt() - the guest's has the sentinel as its signature: with the claims that it was given, and with no
 * others, it stands for the real one
 */
static bool swap_jwt(struct cred *c, const struct cred_ask *a, struct buf *body,
	const char *sentinel, const char *name)
{
	const struct secret *v = secrets_get(a->secrets, name);
	size_t signature = v ? text_jwt(v->value, v->len) : 0;
	char *stand_in;

	if (!signature)
		return swap(c, a, body, sentinel, name);
	if (!sentinel[0])
		return true;
	stand_in = cred_own(c, signature + strlen(sentinel) + 1);
	if (!stand_in)
		return cred_refuse(c, 503, "limit", "no memory");
	memcpy(stand_in, v->value, signature);
	memcpy(stand_in + signature, sentinel, strlen(sentinel) + 1);
	return swap(c, a, body, stand_in, name);
}

bool cred_place(struct cred *c, const struct cred_ask *a, struct buf *body)
{
	const struct vault_config *v = a->config;

	for (size_t i = 0; i < v->n_slots && body->len > 0; i++) {
		const struct slot *s = &v->slots[i];
		const char *sentinel = s->credential->sentinel;

		if (s->slot->kind != EGRESS_SLOT_PLACEHOLDER ||
			strcmp(s->slot->header, CRED_BODY) != 0 ||
			!slot_matches(s, a->host, a->q->port, a->q->path) ||
			!memmem(body->data, body->len, sentinel, strlen(sentinel)))
			continue;
		if (!cred_use(c, a, s->credential->name) ||
			!swap(c, a, body, sentinel, s->credential->name))
			return false;
	}
	return cred_look(c, a, body) && cred_guard(c, a);
}

bool cred_swap(struct cred *c, const struct cred_ask *a, struct buf *body)
{
	const struct egress_oauth *o = c->oauth;
	char refresh[160], id[160], device[160];

	(void)snprintf(refresh, sizeof(refresh), "%s.refresh", o->credential);
	(void)snprintf(id, sizeof(id), "%s.id", o->credential);
	(void)snprintf(device, sizeof(device), "%s.device", o->credential);
	/* Revocation endpoints take the access token as well. */
	if (!(o->claims ? swap_jwt : swap)(c, a, body, o->access_sentinel, o->credential) ||
		!swap(c, a, body, o->refresh_sentinel, refresh) ||
		!swap_jwt(c, a, body, o->id_sentinel, id) ||
		!swap(c, a, body, o->device_sentinel, device))
		return false;
	(void)snprintf(c->used, sizeof(c->used), "%s", o->credential);
	return cred_look(c, a, body);
}
