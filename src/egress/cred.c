#include "egress/cred.h"
#include "egress/text.h"
#include "policy/path.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MATCHED_MAX 16
#define BASIC_MAX   (EGRESS_SECRET_MAX + 512)

/* The slots that are for this request, and where the stand-in was found. */
struct look {
	struct cred *c;
	const struct cred_ask *a;
	const struct slot *slot[MATCHED_MAX];
	unsigned n;
	const struct slot *hit; /* the guest sent its stand-in in that slot */
	int hit_field; /* index of the field it stood in; -1: in the query */
};

/* ---- pieces ---- */

bool cred_refuse(struct cred *c, int status, const char *code, const char *fmt, ...)
{
	va_list ap;

	c->status = status;
	c->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(c->text, sizeof(c->text), fmt, ap);
	va_end(ap);
	return false;
}

char *cred_own(struct cred *c, size_t len)
{
	char *p = c->n_owned < CRED_OWNED_MAX ? calloc(1, len) : NULL;

	if (p) {
		c->owned[c->n_owned] = p;
		c->owned_len[c->n_owned++] = len;
	}
	return p;
}

void cred_clear(struct cred *c)
{
	for (unsigned i = 0; i < c->n_owned; i++) {
		explicit_bzero(c->owned[i], c->owned_len[i]);
		free(c->owned[i]);
	}
	for (unsigned i = 0; i < c->n_scrub; i++)
		scrub_unref(c->scrub[i]);
	c->fields.n = 0;
	c->query = "";
	c->body = CRED_BODY_FREE;
	c->used[0] = c->note[0] = '\0';
	c->n_owned = c->n_scrub = 0;
	c->oauth = NULL;
	c->sign = NULL;
	c->strip_cookies = false;
	c->status = 0;
}

int cred_find(const struct cred *c, const char *name)
{
	int found = -1;

	for (uint16_t i = 0; i < c->fields.n; i++) {
		if (strcasecmp(c->fields.v[i].name, name) != 0)
			continue;
		if (found >= 0)
			return -2;
		found = i;
	}
	return found;
}

bool cred_put(struct cred *c, const char *name, const char *value, size_t len)
{
	int at = cred_find(c, name);
	struct egress_field *f;
	char *lower;

	if (at < 0) {
		if (c->fields.n == EGRESS_FIELDS_MAX || len > UINT16_MAX)
			return cred_refuse(c, 431, "too_large", "too many fields");
		lower = cred_own(c, strlen(name) + 1);
		if (!lower)
			return cred_refuse(c, 503, "limit", "no memory");
		for (size_t i = 0; name[i]; i++)
			lower[i] =
				(char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
		at = c->fields.n++;
		c->fields.v[at].name = lower;
		c->fields.v[at].name_len = (uint16_t)strlen(lower);
	}
	f = &c->fields.v[at];
	f->value = value;
	f->value_len = (uint16_t)len;
	f->never_index = true;
	return true;
}

void cred_drop(struct cred *c, const char *name)
{
	uint16_t n = 0;

	for (uint16_t i = 0; i < c->fields.n; i++)
		if (strcasecmp(c->fields.v[i].name, name) != 0)
			c->fields.v[n++] = c->fields.v[i];
	c->fields.n = n;
}

bool cred_use(struct cred *c, const struct cred_ask *a, const char *name)
{
	const struct secret *s = secrets_get(a->secrets, name);

	if (!s)
		return cred_refuse(c, 403, "credential_missing",
			"the secret '%s' is not set: sbx secret set %s", name, name);
	if (c->n_scrub < SCRUB_SETS_MAX)
		c->scrub[c->n_scrub++] = scrub_ref(s->scrub);
	if (!c->used[0])
		(void)snprintf(c->used, sizeof(c->used), "%s", name);
	return true;
}

/* ---- where stand-ins are ---- */

/* holds() - @p as it is, or with its percent escapes read */
static bool holds(const char *p, size_t len, const char *sentinel)
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

/* next_sentinel() - all of the configuration, one a call: *at begins at 0; NULL at the end */
static const char *next_sentinel(const struct vault_config *v, size_t *at)
{
	size_t i = (*at)++;

	if (i < v->c.n_credentials)
		return v->c.credentials[i].sentinel;
	i -= v->c.n_credentials;
	if (i < 2 * (size_t)v->c.n_oauth) {
		const struct egress_oauth *o = &v->c.oauth[i / 2];

		return i % 2 ? o->refresh_sentinel : o->access_sentinel;
	}
	return NULL;
}

/* param() - the parameter @name of a query; NULL: absent; *ret_again: there is another */
static const char *param(const char *query, const char *name, size_t *ret_len, bool *ret_again)
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
static bool in_query(const struct look *l, const char *sentinel)
{
	const char *query = l->a->q->query, *own;
	size_t len;
	bool again;

	if (!l->hit || l->hit_field >= 0)
		return holds(query, strlen(query), sentinel);
	own = param(query, l->hit->slot->header, &len, &again);
	return own && (holds(query, (size_t)(own - query), sentinel) ||
			      holds(own + len, strlen(own + len), sentinel));
}

static bool anywhere(const struct look *l, const char *sentinel, const char **ret_where)
{
	const struct egress_request *q = l->a->q;
	const struct egress_fields *f = &q->fields;

	*ret_where = "the path";
	if (holds(q->path, strlen(q->path), sentinel))
		return true;
	*ret_where = "the query";
	if (in_query(l, sentinel))
		return true;
	for (uint16_t i = 0; i < f->n; i++) {
		if (l->hit && l->hit_field == i)
			continue;
		*ret_where = f->v[i].name;
		if (holds(f->v[i].value, f->v[i].value_len, sentinel) ||
			in_name(&f->v[i], sentinel) ||
			holds_basic(f->v[i].value, f->v[i].value_len, sentinel))
			return true;
	}
	return false;
}

static bool placeholder_ok(const struct look *l, const char *sentinel, const char *where)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->slot[i]->slot->kind == EGRESS_SLOT_PLACEHOLDER &&
			strcasecmp(l->slot[i]->slot->header, where) == 0 &&
			strcmp(l->slot[i]->credential->sentinel, sentinel) == 0)
			return true;
	return false;
}

static bool placeholder_ok_any(const struct look *l, const char *where)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->slot[i]->slot->kind == EGRESS_SLOT_PLACEHOLDER &&
			strcasecmp(l->slot[i]->slot->header, where) == 0)
			return true;
	return false;
}

/* signs_with() - AWS requests name the stand-in of the access key */
static bool signs_with(const struct look *l, const char *where)
{
	return l->c->sign && strcasecmp(where, "authorization") == 0;
}

static bool no_strays(const struct look *l)
{
	const char *sentinel, *where;
	size_t at = 0;

	while ((sentinel = next_sentinel(l->a->config, &at)))
		if (sentinel[0] && anywhere(l, sentinel, &where) &&
			!placeholder_ok(l, sentinel, where) && !signs_with(l, where))
			return cred_refuse(l->c, 403, "sentinel",
				"a credential's stand-in stands in %s, where it is not for", where);
	return true;
}

/* ---- slots ---- */

/* strip_scheme() - "Bearer X": X; a value without a scheme is itself */
static const char *strip_scheme(const char *p)
{
	size_t n = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

	return n > 0 && n < 16 && p[n] == ' ' ? p + n + 1 : p;
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
static int try_slot(struct look *l, const struct slot *s)
{
	const char *sentinel = s->credential->sentinel, *value;
	size_t len;
	bool again;
	int at;

	if (s->slot->kind == EGRESS_SLOT_QUERY) {
		value = param(l->a->q->query, s->slot->header, &len, &again);
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
	return strcmp(strip_scheme(value), sentinel) == 0 ? 1 : -1;
}

static bool same_location(const struct slot *a, const struct slot *b)
{
	return (a->slot->kind == EGRESS_SLOT_QUERY) == (b->slot->kind == EGRESS_SLOT_QUERY) &&
	       strcasecmp(location(a), location(b)) == 0;
}

static bool find_hit(struct look *l)
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

/* no_foreign() - what stands in a slot and is no stand-in was brought along */
static bool no_foreign(struct look *l)
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
		if (param(l->a->q->query, params[i], &len, &again))
			return cred_refuse(l->c, 403, "foreign_credential",
				"%s holds a credential that is not this sandbox's", params[i]);
	}
	return true;
}

/* ---- putting the real one in ---- */

static bool put_formatted(struct look *l, const struct slot *s, const struct secret *v)
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

static bool put_basic(struct look *l, const struct slot *s, const struct secret *v)
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

static bool put_query(struct look *l, const struct slot *s, const struct secret *v)
{
	const char *query = l->a->q->query, *old;
	size_t len = 0, escaped, head,
	       room = strlen(query) + strlen(s->slot->header) + 3 * v->len + 4;
	char *out = cred_own(l->c, room + 1);
	bool again;

	if (!out)
		return cred_refuse(l->c, 503, "limit", "no memory");
	old = param(query, s->slot->header, &len, &again);
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

static bool put_slot(struct look *l, const struct slot *s)
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

/* inject() - the client sent nothing: the first slot whose secret is there */
static bool inject(struct look *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		const struct slot *s = l->slot[i];

		if (s->slot->kind == EGRESS_SLOT_PLACEHOLDER ||
			s->slot->kind == EGRESS_SLOT_SIGV4 ||
			!secrets_get(l->a->secrets, s->credential->name))
			continue;
		return put_slot(l, s);
	}
	return true;
}

static bool replace_placeholder(struct look *l, const struct slot *s)
{
	const char *sentinel = s->credential->sentinel, *at, *from;
	const struct secret *v = secrets_get(l->a->secrets, s->credential->name);
	size_t want = strlen(sentinel), room, n = 0;
	int i = cred_find(l->c, s->slot->header);
	char *out;

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

/* limit_codings() - of the client's what can be looked into */
static bool limit_codings(struct cred *c)
{
	const char *had = egress_field(&c->fields, "accept-encoding");
	bool gzip, br;
	const char *want;

	if (!had)
		return true;
	gzip = strcasestr(had, "gzip") || strchr(had, '*');
	br = strcasestr(had, "br") != NULL;
	want = gzip && br ? "gzip, br" : gzip ? "gzip" : br ? "br" : "identity";
	cred_drop(c, "accept-encoding");
	return cred_put(c, "accept-encoding", want, strlen(want));
}

/* ---- the whole ---- */

static bool small_text(const struct egress_request *q)
{
	const char *type = egress_field(&q->fields, "content-type");

	return !type || strcasestr(type, "json") || strcasestr(type, "x-www-form-urlencoded") ||
	       strcasestr(type, "text/plain");
}

static void find_slots(struct look *l)
{
	const struct vault_config *v = l->a->config;

	if (l->a->q->scheme != EGRESS_HTTPS)
		return;
	for (size_t i = 0; i < v->n_slots && l->n < MATCHED_MAX; i++)
		if (slot_matches(&v->slots[i], l->a->host, l->a->q->port, l->a->q->path))
			l->slot[l->n++] = &v->slots[i];
}

static void find_oauth(struct look *l)
{
	const struct vault_config *v = l->a->config;

	if (l->a->q->scheme != EGRESS_HTTPS || l->a->q->port != 443)
		return;
	for (uint32_t i = 0; i < v->c.n_oauth; i++)
		if (strcmp(v->c.oauth[i].host, l->a->host->name) == 0 &&
			policy_path_matches(v->c.oauth[i].path, l->a->q->path, false))
			l->c->oauth = &v->c.oauth[i];
}

static bool manage(struct look *l)
{
	if (!find_hit(l) || !no_foreign(l))
		return false;
	if (!(l->hit ? put_slot(l, l->hit) : inject(l)))
		return false;
	for (unsigned i = 0; i < l->n; i++)
		if (l->slot[i]->slot->kind == EGRESS_SLOT_PLACEHOLDER &&
			!replace_placeholder(l, l->slot[i]))
			return false;
	/* What comes back is looked into, frame by frame: they must not be compressed. */
	if (l->a->q->kind == EGRESS_WEBSOCKET)
		cred_drop(l->c, "sec-websocket-extensions");
	/* A session begun with a credential would be one itself. */
	cred_drop(l->c, "cookie");
	l->c->strip_cookies = true;
	return true;
}

bool cred_apply(struct cred *c, const struct cred_ask *a)
{
	struct look l = {.c = c, .a = a, .hit_field = -1};

	c->fields = a->q->fields;
	c->query = a->q->query;
	if (a->config->c.n_credentials == 0 && a->config->c.n_oauth == 0)
		return true;
	find_slots(&l);
	find_oauth(&l);
	if (l.n > 0 && !manage(&l))
		return false;
	if (!no_strays(&l))
		return false;
	if (c->oauth)
		c->body = CRED_BODY_TOKEN;
	else if (c->sign)
		c->body = egress_field(&a->q->fields, "x-amz-content-sha256") ? CRED_BODY_FREE
									      : CRED_BODY_SIGN;
	else if (small_text(a->q))
		c->body = CRED_BODY_LOOK;
	if (c->oauth) {
		cred_drop(c, "accept-encoding");
		return true;
	}
	return c->n_scrub == 0 || limit_codings(c);
}

bool cred_look(struct cred *c, const struct cred_ask *a, const struct buf *body)
{
	const char *sentinel;
	size_t at = 0;

	while (body->len && (sentinel = next_sentinel(a->config, &at)))
		if (sentinel[0] && holds(body->data, body->len, sentinel))
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
