/* The list of fields of a canonical request: lower case, without what concerns one hop. */
#include "http/canon_int.h"
#include "http/internal.h"
#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Written anew by whoever sends, or meant for this hop (RFC 9110 7.6.1, and those before it). */
static const char *const hop[] = {"connection", "content-length", "expect", "host",
	"http2-settings", "keep-alive", "proxy-authenticate", "proxy-authentication-info",
	"proxy-authorization", "proxy-connection", "te", "transfer-encoding", "upgrade"};

static const char *const overriding[] = {"x-http-method", "x-http-method-override",
	"x-method-override", "x-original-method", "x-original-url", "x-rewrite-url"};

static bool in_list(const char *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (list[i][0] == name[0] && strcmp(list[i], name) == 0)
			return true;
	return false;
}

bool http_hop_field(const char *name)
{
	return in_list(hop, ARRAY_LEN(hop), name);
}

/* may_nominate() - Connection takes fields away on this hop. What says who asks, and for what, must
 * not go that way: then two servers would see two requests.
 */
static bool may_nominate(const char *name)
{
	static const char *const parts[] = {"auth", "token", "key", "cookie", "secret", "forwarded",
		"sec-", "x-amz-", "host", "origin", "content-", "range", "method", "if-"};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (strstr(name, parts[i]))
			return false;
	return true;
}

/* nominated() - is @name in a Connection field? */
static bool nominated(const struct http_head *h, const char *name)
{
	for (size_t i = 0; i < h->n_fields; i++)
		if (strcasecmp(h->fields[i].name, "connection") == 0 &&
			http_has_token(h->fields[i].value, name))
			return true;
	return false;
}

static void add(struct http_canon *c, const char *name, size_t name_len, const char *value,
	size_t value_len, bool never_index)
{
	c->q.fields.v[c->q.fields.n++] = (struct egress_field){.name = name,
		.value = value,
		.name_len = (uint16_t)name_len,
		.value_len = (uint16_t)value_len,
		.never_index = never_index};
}

/* drop() - is the field not passed on? Notes what overrides the method on the way. */
static bool drop(struct http_canon *c, const char *name)
{
	if (http_hop_field(name))
		return true;
	/* A handshake is between neighbours: each side of us has its own key. */
	if (c->q.kind == EGRESS_WEBSOCKET && (strcmp(name, "sec-websocket-key") == 0 ||
						     strcmp(name, "sec-websocket-version") == 0 ||
						     strcmp(name, "sec-websocket-accept") == 0))
		return true;
	if (in_list(overriding, ARRAY_LEN(overriding), name))
		c->overrides = true;
	return false;
}

/* looks_alike() - a name that many a server takes for one that decides who asks or how long it is */
static bool looks_alike(const char *name)
{
	char other[64];
	size_t n = strlen(name);

	if (!strchr(name, '_') || n >= sizeof(other))
		return false;
	for (size_t i = 0; i <= n; i++)
		other[i] = name[i] == '_' ? '-' : name[i];
	return http_known(other) || http_hop_field(other);
}

static bool judge_names(struct http_canon *c, const struct egress_fields *f)
{
	for (uint16_t i = 0; i < f->n; i++)
		if (looks_alike(f->v[i].name))
			return canon_refuse(c, 400, "malformed",
				"a header field that can be taken for another");
	return true;
}

/* judge_once() - fields that must not be there twice, by the same list as for HTTP/1 */
static bool judge_once(struct http_canon *c, const struct egress_fields *f)
{
	for (uint16_t i = 0; i < f->n; i++) {
		if (!http_once(f->v[i].name))
			continue;
		for (uint16_t k = (uint16_t)(i + 1); k < f->n; k++)
			if (strcmp(f->v[i].name, f->v[k].name) == 0)
				return canon_refuse(
					c, 400, "malformed", "a header field is there twice");
	}
	return true;
}

/* has_override() - a parameter "_method", also in escapes */
static bool has_override(const char *query)
{
	while (*query) {
		static const char want[] = "_method";
		size_t at = 0;

		query++; /* '?' or '&' */
		while (*query && !strchr("=&", *query) && at <= sizeof(want)) {
			unsigned char ch = (unsigned char)*query;

			if (ch == '%' && isxdigit((unsigned char)query[1]) &&
				isxdigit((unsigned char)query[2])) {
				char two[3] = {query[1], query[2], '\0'};

				ch = (unsigned char)strtol(two, NULL, 16);
				query += 2;
			}
			query++;
			if (at < sizeof(want) - 1 && tolower(ch) == want[at])
				at++;
			else
				at = sizeof(want) + 1;
		}
		if (at == sizeof(want) - 1 && (!*query || strchr("=&", *query)))
			return true;
		query += strcspn(query, "&");
	}
	return false;
}

/* join_cookies() - HTTP/2 may send them in crumbs (RFC 9113 8.2.3); as one they go on */
static bool join_cookies(struct http_canon *c)
{
	struct egress_fields *f = &c->q.fields;
	uint16_t first = UINT16_MAX, kept = 0;
	size_t at = c->text.len;
	unsigned n = 0;
	char *room;

	for (uint16_t i = 0; i < f->n; i++)
		n += strcmp(f->v[i].name, "cookie") == 0;
	if (n < 2)
		return true;
	for (uint16_t i = 0; i < f->n; i++) {
		const struct egress_field *v = &f->v[i];

		if (strcmp(v->name, "cookie") != 0) {
			f->v[kept++] = *v;
			continue;
		}
		if (buf_room(&c->text, (size_t)v->value_len + 3, &room) < 0)
			return canon_refuse(c, 431, "malformed", "header too large");
		if (first != UINT16_MAX) {
			memcpy(room, "; ", 2);
			room += 2;
		}
		memcpy(room, v->value, v->value_len);
		buf_grew(&c->text, (size_t)v->value_len + (first != UINT16_MAX ? 2 : 0));
		if (first == UINT16_MAX) {
			first = kept;
			f->v[kept++] = *v;
		}
	}
	f->n = kept;
	if (c->text.len - at > UINT16_MAX || buf_add(&c->text, "", 1) < 0)
		return canon_refuse(c, 431, "malformed", "header too large");
	f->v[first].value = c->text.data + at;
	f->v[first].value_len = (uint16_t)(c->text.len - 1 - at);
	return true;
}

/* judge_nominations() - each name in a Connection field */
static bool judge_nominations(struct http_canon *c, const struct http_head *h)
{
	for (size_t i = 0; i < h->n_fields; i++) {
		const char *list = h->fields[i].value;

		if (strcasecmp(h->fields[i].name, "connection") != 0)
			continue;
		while (*list) {
			char name[64];
			size_t n;

			list += strspn(list, " \t,");
			n = strcspn(list, " \t,");
			for (size_t k = 0; k < n && k < sizeof(name) - 1; k++)
				name[k] = (char)tolower((unsigned char)list[k]);
			name[n < sizeof(name) ? n : sizeof(name) - 1] = '\0';
			if (n >= sizeof(name) || !may_nominate(name))
				return canon_refuse(c, 400, "malformed",
					"Connection names a field that is not hop-by-hop");
			list += n;
		}
	}
	return true;
}

bool canon_fields_h1(struct http_canon *c, const struct http_head *h)
{
	if (!judge_nominations(c, h))
		return false;
	for (size_t i = 0; i < h->n_fields; i++) {
		const struct http_field *f = &h->fields[i];
		char *room;

		if (buf_room(&c->text, f->name_len + 1, &room) < 0)
			return canon_refuse(c, 431, "malformed", "header too large");
		for (size_t k = 0; k <= f->name_len; k++)
			room[k] = (char)tolower((unsigned char)f->name[k]);
		if (drop(c, room) || nominated(h, room))
			continue;
		if (c->q.fields.n == EGRESS_FIELDS_MAX || f->value_len > UINT16_MAX)
			return canon_refuse(c, 431, "malformed", "header too large");
		buf_grew(&c->text, f->name_len + 1);
		add(c, room, f->name_len, f->value, f->value_len, false);
	}
	if (has_override(c->q.query))
		c->overrides = true;
	return judge_names(c, &c->q.fields) && judge_once(c, &c->q.fields) && join_cookies(c);
}

bool canon_fields_h2(struct http_canon *c, const struct h2_head *h)
{
	if (!judge_names(c, h->fields) || !judge_once(c, h->fields))
		return false;
	for (uint16_t i = 0; i < h->fields->n; i++) {
		const struct egress_field *f = &h->fields->v[i];

		if (!drop(c, f->name))
			c->q.fields.v[c->q.fields.n++] = *f;
	}
	if (has_override(c->q.query))
		c->overrides = true;
	return join_cookies(c);
}

bool http_canon_no_overrides(struct http_canon *c)
{
	struct egress_fields *f = &c->q.fields;
	uint16_t kept = 0;

	if (!c->overrides)
		return true;
	if (has_override(c->q.query))
		return canon_refuse(
			c, 400, "method", "the query names another method than the request's");
	for (uint16_t i = 0; i < f->n; i++)
		if (!in_list(overriding, ARRAY_LEN(overriding), f->v[i].name))
			f->v[kept++] = f->v[i];
	f->n = kept;
	c->overrides = false;
	return true;
}
