#include "egress/cred_match.h"
#include "egress/text.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool put_formatted(struct cred_match *l, const struct slot *s, const struct secret *v)
{
	const char *format = s->slot->format[0] ? s->slot->format : "%s";
	const char *mark = strstr(format, "%s");
	size_t before = mark ? (size_t)(mark - format) : 0;
	size_t after = mark ? strlen(mark + 2) : 0;
	char *value;

	if (!mark)
		return cred_refuse(
			l->c, 503, "descriptor", "the format of %s is wrong", s->slot->header);
	value = cred_own(l->c, before + v->len + after + 1);
	if (!value)
		return cred_refuse(l->c, 503, "limit", "no memory");
	memcpy(value, format, before);
	memcpy(value + before, v->value, v->len);
	memcpy(value + before + v->len, mark + 2, after);
	return cred_put(l->c, s->slot->header, value, before + v->len + after);
}

static bool put_basic(struct cred_match *l, const struct slot *s, const struct secret *v)
{
	size_t user = strlen(s->slot->username), n = user + 1 + v->len;
	char *plain = cred_own(l->c, n + 1);
	char *value = cred_own(l->c, 6 + TEXT_BASE64_LEN(n) + 1);

	if (!plain || !value)
		return cred_refuse(l->c, 503, "limit", "no memory");
	memcpy(plain, s->slot->username, user);
	plain[user] = ':';
	memcpy(plain + user + 1, v->value, v->len);
	memcpy(value, "Basic ", 6);
	text_base64(plain, n, value + 6);
	return cred_put(l->c, "authorization", value, strlen(value));
}

static bool put_query(struct cred_match *l, const struct slot *s, const struct secret *v)
{
	const char *query = l->a->q->query, *old;
	size_t len = 0, escaped, head,
	       room = strlen(query) + strlen(s->slot->header) + 3 * v->len + 4;
	char *out = cred_own(l->c, room + 1);
	bool again;

	if (!out)
		return cred_refuse(l->c, 503, "limit", "no memory");
	old = cred_match_param(query, s->slot->header, &len, &again);
	if (old) {
		head = (size_t)(old - query);
		memcpy(out, query, head);
	} else {
		int n = snprintf(
			out, room, "%s%s%s=", query, query[0] ? "&" : "?", s->slot->header);

		if (n < 0 || (size_t)n >= room)
			return cred_refuse(l->c, 503, "limit", "no memory");
		head = (size_t)n;
	}
	escaped = text_percent(v->value, v->len, true, out + head);
	if (old)
		memcpy(out + head + escaped, old + len, strlen(old + len) + 1);
	l->c->query = out;
	return true;
}

bool cred_inject_slot(struct cred_match *l, const struct slot *s)
{
	const struct secret *v = secrets_get(l->a->secrets, s->credential->name);

	if (s->slot->kind == EGRESS_SLOT_SIGV4) {
		l->c->sign = s;
		return true; /* cred_sign() does it, when all else is settled */
	}
	if (!cred_use(l->c, l->a, s->credential->name))
		return false;
	switch (s->slot->kind) {
	case EGRESS_SLOT_HEADER:
		return put_formatted(l, s, v);
	case EGRESS_SLOT_BASIC:
		return put_basic(l, s, v);
	case EGRESS_SLOT_QUERY:
		return put_query(l, s, v);
	case EGRESS_SLOT_PLACEHOLDER:
	case EGRESS_SLOT_SIGV4:
		break;
	}
	return true;
}

bool cred_inject_first(struct cred_match *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		const struct slot *s = l->slot[i];

		if (s->slot->kind == EGRESS_SLOT_PLACEHOLDER ||
			s->slot->kind == EGRESS_SLOT_SIGV4 ||
			!secrets_get(l->a->secrets, s->credential->name))
			continue;
		return cred_inject_slot(l, s);
	}
	return true;
}

/* inject_path() - escaped, so that it stays within its segment; policy judged the path with the stand-in in it */
static bool inject_path(struct cred_match *l, const struct slot *s)
{
	const char *sentinel = s->credential->sentinel, *at, *from = l->c->path;
	const struct secret *v = secrets_get(l->a->secrets, s->credential->name);
	size_t want = strlen(sentinel), n = 0;
	char *out;

	if (!strstr(from, sentinel))
		return true;
	if (!cred_use(l->c, l->a, s->credential->name))
		return false;
	if (strspn(v->value, ".") == v->len)
		return cred_refuse(l->c, 403, "credential_missing",
			"the secret '%s' cannot stand in a path", s->credential->name);
	out = cred_own(l->c, strlen(from) / want * 3 * v->len + strlen(from) + 1);
	if (!out)
		return cred_refuse(l->c, 503, "limit", "no memory");
	while ((at = strstr(from, sentinel))) {
		memcpy(out + n, from, (size_t)(at - from));
		n += (size_t)(at - from);
		n += text_percent(v->value, v->len, true, out + n);
		from = at + want;
	}
	memcpy(out + n, from, strlen(from) + 1);
	l->c->path = out;
	return true;
}

bool cred_inject_placeholder(struct cred_match *l, const struct slot *s)
{
	const char *sentinel = s->credential->sentinel, *at, *from;
	const struct secret *v = secrets_get(l->a->secrets, s->credential->name);
	size_t want = strlen(sentinel), room, n = 0;
	int i = cred_find(l->c, s->slot->header);
	char *out;

	if (strcmp(s->slot->header, CRED_PATH) == 0)
		return inject_path(l, s);
	if (i < 0 || !strstr(l->c->fields.v[i].value, sentinel))
		return true;
	if (!cred_use(l->c, l->a, s->credential->name))
		return false;
	from = l->c->fields.v[i].value;
	room = (size_t)l->c->fields.v[i].value_len / want * v->len + l->c->fields.v[i].value_len +
	       1;
	out = cred_own(l->c, room);
	if (!out || room > UINT16_MAX)
		return cred_refuse(
			l->c, 431, "too_large", "the field %s is too long", s->slot->header);
	while ((at = strstr(from, sentinel))) {
		memcpy(out + n, from, (size_t)(at - from));
		n += (size_t)(at - from);
		memcpy(out + n, v->value, v->len);
		n += v->len;
		from = at + want;
	}
	memcpy(out + n, from, strlen(from));
	n += strlen(from);
	return cred_put(l->c, s->slot->header, out, n);
}
