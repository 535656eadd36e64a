#include "egress/cred_match.h"
#include "egress/text.h"
#include <string.h>
#include <strings.h>

#define BASIC_MAX (EGRESS_SECRET_MAX + 512)

/* ---- where stand-ins are ---- */

bool cred_match_holds(const char *p, size_t len, const char *sentinel)
{
	size_t want = strlen(sentinel), n;
	char *plain;
	bool found;

	if (len < want)
		return false;
	if (memmem(p, len, sentinel, want))
		return true;
	if (!memchr(p, '%', len))
		return false;
	plain = malloc(len);
	if (!plain)
		return true; /* what cannot be looked into is not let through */
	n = text_unpercent(p, len, plain);
	found = memmem(plain, n, sentinel, want) != NULL;
	free(plain);
	return found;
}

/* holds_basic() - inside of "Basic BASE64" */
static bool holds_basic(const char *p, size_t len, const char *sentinel)
{
	char plain[BASIC_MAX];
	ssize_t n;

	if (len < 6 || strncasecmp(p, "basic ", 6) != 0)
		return false;
	n = text_unbase64(p + 6, len - 6, plain, sizeof(plain));
	return n > 0 && memmem(plain, (size_t)n, sentinel, strlen(sentinel));
}

const char *cred_match_sentinel(const struct vault_config *v, size_t *at)
{
	size_t i = (*at)++;

	if (i < v->c.n_credentials)
		return v->c.credentials[i].sentinel;
	i -= v->c.n_credentials;
	if (i < 4 * (size_t)v->c.n_oauth) {
		const struct egress_oauth *o = &v->c.oauth[i / 4];
		const char *const all[] = {o->access_sentinel, o->refresh_sentinel, o->id_sentinel,
			o->device_sentinel};

		return all[i % 4];
	}
	return NULL;
}

const char *cred_match_param(const char *query, const char *name, size_t *ret_len, bool *ret_again)
{
	size_t want = strlen(name);
	const char *found = NULL;

	*ret_again = false;
	for (const char *p = query; *p; p += strcspn(p, "&")) {
		size_t len;
		char plain[64];

		p++; /* '?' or '&' */
		len = strcspn(p, "=&");
		if (len >= sizeof(plain) || text_unpercent(p, len, plain) != want ||
			memcmp(plain, name, want) != 0)
			continue;
		*ret_again = found != NULL;
		found = p[len] == '=' ? p + len + 1 : p + len;
		*ret_len = strcspn(found, "&");
		p = found;
	}
	return found;
}

/* in_name() - names come in lower case, whatever a stand-in looks like */
static bool in_name(const struct egress_field *f, const char *sentinel)
{
	size_t want = strlen(sentinel);

	for (size_t i = 0; i + want <= f->name_len; i++)
		if (strncasecmp(f->name + i, sentinel, want) == 0)
			return true;
	return false;
}

/* in_query() - and not as the value of the parameter that is its slot */
static bool in_query(const struct cred_match *l, const char *sentinel)
{
	const char *query = l->a->q->query, *own;
	size_t len;
	bool again;

	if (!l->hit || l->hit_field >= 0)
		return cred_match_holds(query, strlen(query), sentinel);
	own = cred_match_param(query, l->hit->slot->header, &len, &again);
	return own && (cred_match_holds(query, (size_t)(own - query), sentinel) ||
			      cred_match_holds(own + len, strlen(own + len), sentinel));
}

static bool in_field(const struct egress_field *f, const char *sentinel)
{
	return cred_match_holds(f->value, f->value_len, sentinel) || in_name(f, sentinel) ||
	       holds_basic(f->value, f->value_len, sentinel);
}

static bool placeholder_ok(const struct cred_match *l, const char *sentinel, const char *where)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->slot[i]->slot->kind == EGRESS_SLOT_PLACEHOLDER &&
			strcasecmp(l->slot[i]->slot->header, where) == 0 &&
			strcmp(l->slot[i]->credential->sentinel, sentinel) == 0)
			return true;
	return false;
}

static bool placeholder_ok_any(const struct cred_match *l, const char *where)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->slot[i]->slot->kind == EGRESS_SLOT_PLACEHOLDER &&
			strcasecmp(l->slot[i]->slot->header, where) == 0)
			return true;
	return false;
}

/* signs_with() - AWS requests name the stand-in of the access key */
static bool signs_with(const struct cred_match *l, const char *where)
{
	return l->c->sign && strcasecmp(where, "authorization") == 0;
}

/* find_stray() - where @sentinel stands and is not for; NULL: nowhere */
static const char *find_stray(const struct cred_match *l, const char *sentinel)
{
	const struct egress_request *q = l->a->q;
	const struct egress_fields *f = &q->fields;

	if (cred_match_holds(q->path, strlen(q->path), sentinel) &&
		!placeholder_ok(l, sentinel, CRED_PATH))
		return "the path";
	if (in_query(l, sentinel))
		return "the query";
	for (uint16_t i = 0; i < f->n; i++)
		if (!(l->hit && l->hit_field == i) && in_field(&f->v[i], sentinel) &&
			!placeholder_ok(l, sentinel, f->v[i].name) && !signs_with(l, f->v[i].name))
			return f->v[i].name;
	return NULL;
}

bool cred_match_no_strays(const struct cred_match *l)
{
	const char *sentinel, *where;
	size_t at = 0;

	while ((sentinel = cred_match_sentinel(l->a->config, &at))) {
		where = sentinel[0] ? find_stray(l, sentinel) : NULL;
		if (where)
			return cred_refuse(l->c, 403, "sentinel",
				"a credential's stand-in stands in %s, where it is not for", where);
	}
	return true;
}

bool cred_match_body(const struct cred_match *l)
{
	return placeholder_ok_any(l, CRED_BODY);
}

/* ---- slots ---- */

/* strip_scheme() - "Bearer X": X; a value without a scheme is itself */
static const char *strip_scheme(const char *p)
{
	size_t n = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

	return n > 0 && n < 16 && p[n] == ' ' ? p + n + 1 : p;
}

/* is_stand_in() - the sentinel, or a JWT that it signs: its claims were for the guest, the real ones go out */
static bool is_stand_in(const struct egress_credential *c, const char *value)
{
	size_t signature = c->claims ? text_jwt(value, strlen(value)) : 0;

	return strcmp(value + signature, c->sentinel) == 0;
}

static bool basic_hit(const char *value, const char *sentinel)
{
	char plain[BASIC_MAX + 1], *colon;
	ssize_t n;

	if (strncasecmp(value, "basic ", 6) != 0)
		return false;
	n = text_unbase64(value + 6, strlen(value + 6), plain, BASIC_MAX);
	if (n <= 0 || memchr(plain, '\0', (size_t)n))
		return false;
	plain[n] = '\0';
	colon = strchr(plain, ':');
	if (!colon)
		return false;
	*colon = '\0';
	return strcmp(colon + 1, sentinel) == 0 || strcmp(plain, sentinel) == 0;
}

static const char *location(const struct slot *s)
{
	return s->slot->kind == EGRESS_SLOT_BASIC || s->slot->kind == EGRESS_SLOT_SIGV4
		       ? "authorization"
		       : s->slot->header;
}

/* try_slot() - 1: the stand-in is there; 0: nothing is; -1: something else is; -2: refused */
static int try_slot(struct cred_match *l, const struct slot *s)
{
	const char *sentinel = s->credential->sentinel, *value;
	size_t len;
	bool again;
	int at;

	if (s->slot->kind == EGRESS_SLOT_QUERY) {
		value = cred_match_param(l->a->q->query, s->slot->header, &len, &again);
		if (again)
			return -2;
		if (!value)
			return 0;
		return len == strlen(sentinel) && memcmp(value, sentinel, len) == 0 ? 1 : -1;
	}
	at = cred_find(l->c, location(s));
	if (at < 0)
		return at == -1 ? 0 : -2;
	value = l->c->fields.v[at].value;
	if (s->slot->kind == EGRESS_SLOT_BASIC)
		return basic_hit(value, sentinel) ? 1 : -1;
	if (s->slot->kind == EGRESS_SLOT_SIGV4)
		return strncmp(value, "AWS4-HMAC-SHA256 ", 17) == 0 ? 1 : -1;
	return is_stand_in(s->credential, strip_scheme(value)) ? 1 : -1;
}

static bool same_location(const struct slot *a, const struct slot *b)
{
	return (a->slot->kind == EGRESS_SLOT_QUERY) == (b->slot->kind == EGRESS_SLOT_QUERY) &&
	       strcasecmp(location(a), location(b)) == 0;
}

bool cred_match_hit(struct cred_match *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		const struct slot *s = l->slot[i];
		int r = s->slot->kind == EGRESS_SLOT_PLACEHOLDER ? 0 : try_slot(l, s);

		if (r == -2)
			return cred_refuse(l->c, 403, "foreign_credential",
				"%s stands there more than once", location(s));
		if (r != 1)
			continue;
		if (l->hit && (l->hit->credential != s->credential || !same_location(l->hit, s)))
			return cred_refuse(
				l->c, 403, "foreign_credential", "two credentials in one request");
		l->hit = s;
		l->hit_field =
			s->slot->kind == EGRESS_SLOT_QUERY ? -1 : cred_find(l->c, location(s));
	}
	return true;
}

bool cred_match_no_foreign(struct cred_match *l)
{
	static const char *const usual[] = {"authorization", "x-api-key", "api-key",
		"x-goog-api-key", "private-token", "x-auth-token", "x-access-token", "job-token"};
	static const char *const params[] = {"access_token", "api_key", "apikey", "private_token",
		"oauth_token", "auth_token", "X-Amz-Signature"};
	size_t len;
	bool again;

	for (unsigned i = 0; i < l->n; i++) {
		const struct slot *s = l->slot[i];

		if (s->slot->kind == EGRESS_SLOT_PLACEHOLDER ||
			(l->hit && same_location(l->hit, s)))
			continue;
		if (try_slot(l, s) != 0)
			return cred_refuse(l->c, 403, "foreign_credential",
				"%s holds a credential that is not this sandbox's", location(s));
	}
	for (unsigned i = 0; i < l->n_elsewhere; i++) {
		const struct slot *s = l->elsewhere[i];

		if (s->slot->kind != EGRESS_SLOT_PLACEHOLDER &&
			!(l->hit && same_location(l->hit, s)) && try_slot(l, s) != 0)
			return cred_refuse(l->c, 403, "foreign_credential",
				"%s holds a credential that is not for this path", location(s));
	}
	for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
		if (l->hit && l->hit_field >= 0 && strcasecmp(location(l->hit), usual[i]) == 0)
			continue;
		if (cred_find(l->c, usual[i]) != -1 && !placeholder_ok_any(l, usual[i]))
			return cred_refuse(l->c, 403, "foreign_credential",
				"%s holds a credential that is not this sandbox's", usual[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(params); i++) {
		if (l->hit && l->hit_field < 0 && strcmp(l->hit->slot->header, params[i]) == 0)
			continue;
		if (cred_match_param(l->a->q->query, params[i], &len, &again))
			return cred_refuse(l->c, 403, "foreign_credential",
				"%s holds a credential that is not this sandbox's", params[i]);
	}
	return true;
}
