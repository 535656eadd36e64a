#include "egress/cred_match.h"
#include "policy/path.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

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

void cred_note(struct cred *c, const char *what)
{
	size_t n = strlen(c->note);

	if (!strstr(c->note, what))
		(void)snprintf(c->note + n, sizeof(c->note) - n, "%s%s", n ? " " : "", what);
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
	c->path = c->query = "";
	c->body = CRED_BODY_FREE;
	c->used[0] = c->note[0] = '\0';
	c->n_owned = c->n_scrub = 0;
	c->oauth = NULL;
	c->sign = NULL;
	c->strip_cookies = false;
	c->range = (struct range){.kind = RANGE_NONE};
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
	if (s->signature && c->n_scrub < SCRUB_SETS_MAX)
		c->scrub[c->n_scrub++] = scrub_ref(s->signature);
	if (!c->used[0])
		(void)snprintf(c->used, sizeof(c->used), "%s", name);
	return true;
}

/* ---- the whole ---- */

bool cred_range(struct cred *c, const struct cred_ask *a)
{
	int at = cred_find(c, "range");
	uint64_t margin = 0;
	char *value;

	if (at == -1)
		return true;
	for (unsigned i = 0; i < c->n_scrub; i++)
		margin = scrub_longest(c->scrub[i]) > margin ? scrub_longest(c->scrub[i]) : margin;
	if (at < 0 || strcmp(a->q->method, "GET") != 0 ||
		!range_parse(c->fields.v[at].value, margin, &c->range)) {
		c->range.kind = RANGE_NONE;
		cred_drop(c, "range");
		cred_drop(c, "if-range");
		return true;
	}
	value = cred_own(c, RANGE_TEXT);
	if (!value)
		return cred_refuse(c, 503, "limit", "no memory");
	range_widen(&c->range, value);
	cred_drop(c, "accept-encoding"); /* a piece of something encoded cannot be looked into */
	return cred_put(c, "range", value, strlen(value)) &&
	       cred_put(c, "accept-encoding", "identity", 8);
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

bool cred_guard(struct cred *c, const struct cred_ask *a)
{
	return c->n_scrub == 0 || (limit_codings(c) && cred_range(c, a));
}

static bool refuse_path(struct cred_match *l)
{
	return cred_refuse(l->c, 403, "ambiguous_path",
		"servers may read the path in several ways (%s), and %s has credentials for some "
		"paths only",
		policy_path_flag_text(l->a->path_flags), l->a->host->name);
}

/* find_slots() - false: refused: a path that is looked at must have one reading (as in policy/decide.c) */
static bool find_slots(struct cred_match *l)
{
	const struct vault_config *v = l->a->config;

	if (l->a->q->scheme != EGRESS_HTTPS)
		return true;
	for (size_t i = 0; i < v->n_slots; i++) {
		const struct slot *s = &v->slots[i];

		if (!pattern_matches(&s->pattern, l->a->host, l->a->q->port))
			continue;
		if (s->slot->path[0] && l->a->path_flags)
			return refuse_path(l);
		if (!slot_matches(s, l->a->host, l->a->q->port, l->a->q->path)) {
			if (l->n_elsewhere < CRED_SLOTS_MAX)
				l->elsewhere[l->n_elsewhere++] = s;
		} else if (l->n < CRED_SLOTS_MAX) {
			l->slot[l->n++] = s;
		}
	}
	return true;
}

static bool find_oauth(struct cred_match *l)
{
	const struct vault_config *v = l->a->config;
	const char *method = l->a->q->method;
	bool read = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

	if (l->a->q->scheme != EGRESS_HTTPS || l->a->q->port != 443)
		return true;
	for (uint32_t i = 0; i < v->c.n_oauth; i++) {
		const struct egress_oauth *o = &v->c.oauth[i];

		if (strcmp(o->host, l->a->host->name) != 0)
			continue;
		/* Tokens are asked for by POST (RFC 6749 3.2): other ambiguous paths may be read. */
		if (l->a->path_flags && !read)
			return refuse_path(l);
		/* Widely, as a denial matches: tokens of an endpoint that is spelled otherwise would pass. */
		if ((policy_path_matches(o->path, l->a->q->path, true) ||
			    (o->device_path[0] &&
				    policy_path_matches(o->device_path, l->a->q->path, true))))
			l->c->oauth = o;
	}
	return true;
}

static bool manage(struct cred_match *l)
{
	if (!cred_match_hit(l) || !cred_match_no_foreign(l))
		return false;
	if (!(l->hit ? cred_inject_slot(l, l->hit) : cred_inject_first(l)))
		return false;
	for (unsigned i = 0; i < l->n; i++)
		if (l->slot[i]->slot->kind == EGRESS_SLOT_PLACEHOLDER &&
			!cred_inject_placeholder(l, l->slot[i]))
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
	struct cred_match l = {.c = c, .a = a, .hit_field = -1};

	c->fields.n = a->q->fields.n;
	memcpy(c->fields.v, a->q->fields.v, c->fields.n * sizeof(c->fields.v[0]));
	c->path = a->q->path;
	c->query = a->q->query;
	if (a->config->c.n_credentials == 0 && a->config->c.n_oauth == 0)
		return true;
	if (!find_slots(&l) || !find_oauth(&l))
		return false;
	if (l.n > 0 && !manage(&l))
		return false;
	if (!cred_match_no_strays(&l))
		return false;
	/* The host is managed as a whole: no key of one's own beside the paths of ours. */
	if (l.n == 0 && l.n_elsewhere > 0 && !cred_match_no_foreign(&l))
		return false;
	if (c->oauth)
		c->body = CRED_BODY_TOKEN;
	else if (c->sign)
		c->body = egress_field(&a->q->fields, "x-amz-content-sha256") ? CRED_BODY_FREE
									      : CRED_BODY_SIGN;
	else if (cred_body_is_text(a->q))
		c->body = cred_match_body(&l) ? CRED_BODY_PLACE : CRED_BODY_LOOK;
	if (c->oauth) {
		cred_drop(c, "accept-encoding");
		cred_drop(c, "range");
		return true;
	}
	return cred_guard(c, a);
}
