#include "egress/sigv4.h"
#include "egress/cred.h"
#include "egress/text.h"
#include "tls/digest.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PARAMS_MAX    128
#define CANONICAL_MAX (256u << 10)

/* ---- the parts ---- */

static bool copy(char *dst, size_t cap, const char *from, size_t len)
{
	if (len == 0 || len >= cap)
		return false;
	memcpy(dst, from, len);
	dst[len] = '\0';
	return true;
}

/* piece() - up to @stop, which must follow; *at moves behind it */
static bool piece(const char **at, const char *stop, char *dst, size_t cap)
{
	const char *end = strstr(*at, stop);

	if (!end || !copy(dst, cap, *at, (size_t)(end - *at)))
		return false;
	*at = end + strlen(stop);
	return true;
}

bool sigv4_parse(const char *p, struct sigv4_scope *s)
{
	static const char scheme[] = "AWS4-HMAC-SHA256 ";
	const char *credential = strstr(p, "Credential="), *names = strstr(p, "SignedHeaders=");

	if (strncmp(p, scheme, sizeof(scheme) - 1) != 0 || !credential || !names ||
		!strstr(p, "Signature="))
		return false;
	credential += strlen("Credential=");
	names += strlen("SignedHeaders=");
	return piece(&credential, "/", s->id, sizeof(s->id)) &&
	       piece(&credential, "/", s->date, sizeof(s->date)) &&
	       piece(&credential, "/", s->region, sizeof(s->region)) &&
	       piece(&credential, "/", s->service, sizeof(s->service)) &&
	       strncmp(credential, "aws4_request", 12) == 0 && strlen(s->date) == 8 &&
	       copy(s->signed_headers, sizeof(s->signed_headers), names, strcspn(names, ", "));
}

struct item {
	const char *p;
	size_t len;
};

static int by_bytes(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int r = memcmp(x->p, y->p, n);

	return r ? r : (x->len > y->len) - (x->len < y->len);
}

int sigv4_query(const char *query, struct buf *out)
{
	struct item item[PARAMS_MAX];
	size_t n = 0;
	int r = 0;

	for (const char *p = query; *p; p += strcspn(p, "&")) {
		p++;
		if (*p == '\0' || *p == '&')
			continue;
		if (n == PARAMS_MAX)
			return -E2BIG;
		item[n].p = p;
		item[n++].len = strcspn(p, "&");
	}
	qsort(item, n, sizeof(item[0]), by_bytes);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (i > 0)
			r = buf_add(out, "&", 1);
		if (r == 0)
			r = buf_add(out, item[i].p, item[i].len);
		if (r == 0 && !memchr(item[i].p, '=', item[i].len))
			r = buf_add(out, "=", 1);
	}
	return r;
}

static int hmac(const uint8_t *key, size_t key_len, const char *text, uint8_t out[TLS_SHA256])
{
	return tls_hmac_sha256(key, key_len, text, strlen(text), out);
}

int sigv4_sign(const struct sigv4_scope *s, const char *secret, const char *amz_date,
	const char *canonical, size_t len, char ret_hex[65])
{
	char first[EGRESS_SECRET_MAX + 8], to_sign[512], hex[65];
	uint8_t a[TLS_SHA256], b[TLS_SHA256];
	int n = snprintf(first, sizeof(first), "AWS4%s", secret), r;

	if (n < 0 || (size_t)n >= sizeof(first) || tls_sha256(canonical, len, a) < 0) {
		explicit_bzero(first, sizeof(first));
		return -EINVAL;
	}
	text_hex(a, sizeof(a), false, hex);
	r = snprintf(to_sign, sizeof(to_sign), "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%s",
		amz_date, s->date, s->region, s->service, hex);
	if (r < 0 || (size_t)r >= sizeof(to_sign)) {
		explicit_bzero(first, sizeof(first));
		return -EINVAL;
	}
	r = hmac((const uint8_t *)first, (size_t)n, s->date, a);
	if (r == 0)
		r = hmac(a, sizeof(a), s->region, b);
	if (r == 0)
		r = hmac(b, sizeof(b), s->service, a);
	if (r == 0)
		r = hmac(a, sizeof(a), "aws4_request", b);
	if (r == 0)
		r = hmac(b, sizeof(b), to_sign, a);
	if (r == 0)
		text_hex(a, sizeof(a), false, ret_hex);
	explicit_bzero(first, sizeof(first));
	explicit_bzero(a, sizeof(a));
	explicit_bzero(b, sizeof(b));
	return r;
}

/* ---- a request ---- */

/* put_path() - S3 takes the path as it was sent; the others escape it once more */
static int put_path(const struct sigv4_scope *s, const char *path, struct buf *out)
{
	char *twice;
	int r;

	if (strcmp(s->service, "s3") == 0)
		return buf_add(out, path, strlen(path));
	twice = malloc(3 * strlen(path) + 1);
	if (!twice)
		return -ENOMEM;
	r = 0;
	for (const char *p = path; *p && r == 0;) {
		size_t len = strcspn(p, "/");

		r = buf_add(out, twice, text_percent(p, len, true, twice));
		p += len;
		if (r == 0 && *p == '/') {
			r = buf_add(out, "/", 1);
			p++;
		}
	}
	free(twice);
	return r;
}

/* put_value() - blanks at the ends gone, runs of them one */
static int put_value(const char *value, struct buf *out)
{
	int r = 0;

	while (*value == ' ')
		value++;
	for (; *value && r == 0; value++)
		if (*value != ' ' || (value[1] != ' ' && value[1] != '\0'))
			r = buf_add(out, value, 1);
	return r;
}

static int put_host(const struct cred_ask *a, struct buf *out)
{
	if (a->q->port == 443)
		return buf_addf(out, "%s", a->host->name);
	return buf_addf(out, "%s:%u", a->host->name, (unsigned)a->q->port);
}

static int put_headers(const struct sigv4_scope *s, const struct cred *c, const struct cred_ask *a,
	size_t body_len, struct buf *out)
{
	const char *p = s->signed_headers;
	int r = 0;

	while (*p && r == 0) {
		size_t len = strcspn(p, ";");
		char name[128];
		int at;

		if (!copy(name, sizeof(name), p, len))
			return -EINVAL;
		p += len + (p[len] == ';');
		r = buf_addf(out, "%s:", name);
		at = cred_find(c, name);
		if (r == 0 && strcmp(name, "host") == 0)
			r = put_host(a, out);
		else if (r == 0 && strcmp(name, "content-length") == 0)
			r = buf_addf(out, "%zu",
				a->q->length == EGRESS_LENGTH_UNKNOWN ? body_len
								      : (size_t)a->q->length);
		else if (r == 0)
			r = at < 0 ? -EINVAL : put_value(c->fields.v[at].value, out);
		if (r == 0)
			r = buf_add(out, "\n", 1);
	}
	return r;
}

static int put_canonical(const struct sigv4_scope *s, const struct cred *c,
	const struct cred_ask *a, const char *hash, size_t body_len, struct buf *out)
{
	int r = buf_addf(out, "%s\n", a->q->method);

	if (r == 0)
		r = put_path(s, c->path, out);
	if (r == 0)
		r = buf_add(out, "\n", 1);
	if (r == 0)
		r = sigv4_query(a->q->query, out);
	if (r == 0)
		r = buf_add(out, "\n", 1);
	if (r == 0)
		r = put_headers(s, c, a, body_len, out);
	if (r == 0)
		r = buf_addf(out, "\n%s\n%s", s->signed_headers, hash);
	return r;
}

/* hash_of() - as the client said, or of the body */
static bool hash_of(struct cred *c, const struct buf *body, char hash[80])
{
	const char *said = egress_field(&c->fields, "x-amz-content-sha256");
	uint8_t md[TLS_SHA256];

	if (said) {
		if (strncmp(said, "STREAMING-", 10) == 0)
			return cred_refuse(c, 501, "signature",
				"a body that is signed piece by piece cannot be signed anew");
		if (strlen(said) != 64 && strcmp(said, "UNSIGNED-PAYLOAD") != 0)
			return cred_refuse(
				c, 400, "malformed", "x-amz-content-sha256 is malformed");
		(void)snprintf(hash, 80, "%s", said);
		return true;
	}
	if (tls_sha256(buf_str(body), body->len, md) < 0)
		return cred_refuse(c, 503, "limit", "no memory");
	text_hex(md, sizeof(md), false, hash);
	return true;
}

/* The key pair of a slot: two credentials, or one whose value is "ID:KEY" and whose stand-in is both. */
struct pair {
	const char *stand_in; /* for the id */
	const char *id, *key;
	size_t id_len;
};

static bool find_pair(struct cred *c, const struct cred_ask *a, struct pair *ret)
{
	const struct slot *slot = c->sign;
	const char *other = slot->slot->username;
	const struct secret *key = secrets_get(a->secrets, slot->credential->name), *id;
	const char *colon;

	*ret = (struct pair){.stand_in = ""};
	if (!cred_use(c, a, slot->credential->name))
		return false;
	if (other[0]) {
		for (uint32_t i = 0; i < a->config->c.n_credentials; i++)
			if (strcmp(a->config->c.credentials[i].name, other) == 0)
				ret->stand_in = a->config->c.credentials[i].sentinel;
		id = secrets_get(a->secrets, other);
		if (!cred_use(c, a, other))
			return false;
		ret->id = id->value;
		ret->id_len = id->len;
		ret->key = key->value;
		return true;
	}
	colon = strchr(key->value, ':');
	if (!colon || colon == key->value || !colon[1])
		return cred_refuse(c, 403, "credential_missing",
			"the secret '%s' is not of the form ID:KEY", slot->credential->name);
	ret->stand_in = slot->credential->sentinel;
	ret->id = key->value;
	ret->id_len = (size_t)(colon - key->value);
	ret->key = colon + 1;
	/* Servers name the id in their errors. */
	if (c->n_scrub < SCRUB_SETS_MAX) {
		c->scrub[c->n_scrub] = scrub_new(ret->id, ret->id_len);
		if (!c->scrub[c->n_scrub])
			return cred_refuse(c, 503, "limit", "no memory");
		c->n_scrub++;
	}
	return true;
}

static bool put_authorization(
	struct cred *c, const struct sigv4_scope *s, const struct pair *pair, const char *hex)
{
	size_t room = pair->id_len + strlen(s->signed_headers) + 400;
	char *value = cred_own(c, room);
	int n;

	if (!value)
		return cred_refuse(c, 503, "limit", "no memory");
	n = snprintf(value, room,
		"AWS4-HMAC-SHA256 Credential=%.*s/%s/%s/%s/aws4_request, SignedHeaders=%s, "
		"Signature=%s",
		(int)pair->id_len, pair->id, s->date, s->region, s->service, s->signed_headers,
		hex);
	if (n < 0 || (size_t)n >= room)
		return cred_refuse(c, 503, "limit", "no memory");
	return cred_put(c, "authorization", value, (size_t)n);
}

bool cred_sign(struct cred *c, const struct cred_ask *a, const struct buf *body)
{
	const char *was = egress_field(&c->fields, "authorization");
	const char *date = egress_field(&c->fields, "x-amz-date");
	AUTO(buf) canonical = {0};
	struct sigv4_scope s;
	struct pair pair;
	char hash[80], hex[65];

	if (!was || !sigv4_parse(was, &s) || !date || strlen(date) != 16 ||
		strncmp(date, s.date, 8) != 0)
		return cred_refuse(c, 400, "malformed", "the AWS signature is malformed");
	if (!find_pair(c, a, &pair))
		return false;
	if (strcmp(s.id, pair.stand_in) != 0 || cred_find(c, "x-amz-security-token") != -1)
		return cred_refuse(c, 403, "foreign_credential",
			"signed with an AWS key that is not this sandbox's");
	if (!cred_range(c, a) || !hash_of(c, body, hash))
		return false;
	buf_init(&canonical, CANONICAL_MAX);
	if (put_canonical(&s, c, a, hash, body->len, &canonical) < 0 ||
		sigv4_sign(&s, pair.key, date, canonical.data, canonical.len, hex) < 0)
		return cred_refuse(c, 400, "malformed", "the AWS request cannot be signed");
	return put_authorization(c, &s, &pair, hex);
}
