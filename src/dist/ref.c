#include "dist/ref.h"
#include "json/json.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static int bad(struct err *e, const char *text, const char *why)
{
	return err_set(e, ERR_INVALID, -EINVAL, "'%.200s' is no place of kits: %s", text, why);
}

static bool only(const char *s, size_t n, const char *bytes)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] == '\0' || !strchr(bytes, s[i]))
			return false;
	return n > 0;
}

/* ---- hosts ---- */

static const char *label_fault(const char *s, size_t n)
{
	if (n == 0 || n > 63 || s[0] == '-' || s[n - 1] == '-')
		return "the host is malformed";
	if (!only(s, n, LOWER DIGITS "-"))
		return "the host has a character that must not stand there";
	if (n >= 4 && strncmp(s, "xn--", 4) == 0)
		return "names with xn-- are refused: they look like others";
	return NULL;
}

/* host_fault() - @s is in small letters, without port */
static const char *host_fault(const char *s)
{
	size_t n = strlen(s);

	if (s[0] == '[')
		return n > 4 && s[n - 1] == ']' && only(s + 1, n - 2, DIGITS "abcdef:.")
			       ? NULL
			       : "the host is malformed";
	for (;;) {
		const char *fault;

		n = strcspn(s, ".");
		fault = label_fault(s, n);
		if (fault || s[n] == '\0')
			return fault;
		s += n + 1;
	}
}

/* take_host() - HOST[:PORT] of @n bytes, canonical into @dst; @port is the one that goes without saying */
static const char *take_host(const char *s, size_t n, const char *port, char *dst, size_t cap)
{
	static const char *const docker[] = {
		"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"};
	const char *fault;
	char *colon;

	if (n == 0 || n >= cap)
		return "the host is empty or too long";
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)s[i] >= 0x80 || (unsigned char)s[i] <= ' ')
			return "the host has a character that must not stand there";
		dst[i] = (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] | 0x20 : s[i]);
	}
	dst[n] = '\0';
	colon = strrchr(dst, ':');
	if (colon && strchr(colon, ']'))
		colon = NULL;
	if (colon) {
		if (!only(colon + 1, strlen(colon + 1), DIGITS) || colon[1] == '0' ||
			strlen(colon + 1) > 5)
			return "the port is malformed";
		*colon = '\0';
	}
	fault = host_fault(dst);
	if (colon && strcmp(colon + 1, port) != 0)
		*colon = ':';
	for (size_t i = 0; i < ARRAY_LEN(docker); i++)
		if (strcmp(dst, docker[i]) == 0)
			(void)snprintf(dst, cap, "docker.io");
	return fault;
}

/* ---- references ---- */

/* part_fault() - one part of a repository: words of a-z0-9 with separators between them */
static const char *part_fault(const char *s, size_t n)
{
	if (n == 0)
		return "the repository has an empty part";
	if (!only(s, n, LOWER DIGITS "._-"))
		return "a repository has small letters, digits, '.', '_' and '-'";
	if (strchr("._-", s[0]) || strchr("._-", s[n - 1]))
		return "a part of the repository begins or ends with '.', '_' or '-'";
	for (size_t i = 1; i < n; i++)
		if (s[i] == '.' && strchr("._-", s[i - 1]))
			return "the repository has '.' beside another separator";
	return NULL;
}

static const char *take_repository(struct dist_ref *r, const char *s, size_t n)
{
	bool word = !memchr(s, '/', n) && strcmp(r->registry, "docker.io") == 0;
	const char *end = s + n;

	if (n == 0 || n + 8 >= sizeof(r->repository))
		return "the repository is empty or too long";
	for (const char *at = s; at <= end;) {
		const char *slash = memchr(at, '/', (size_t)(end - at));
		const char *stop = slash ? slash : end;
		const char *fault = part_fault(at, (size_t)(stop - at));

		if (fault)
			return fault;
		at = stop + 1;
	}
	(void)snprintf(
		r->repository, sizeof(r->repository), "%s%.*s", word ? "library/" : "", (int)n, s);
	return NULL;
}

static const char *take_digest(struct dist_ref *r, const char *s)
{
	if (strncmp(s, "sha256:", 7) != 0 || strlen(s + 7) != 64 ||
		!only(s + 7, 64, DIGITS "abcdef"))
		return "the digest is not sha256: and 64 digits";
	memcpy(r->digest, s + 7, 64);
	r->digest[64] = '\0';
	return NULL;
}

static const char *take_tag(struct dist_ref *r, const char *s, size_t n)
{
	if (n == 0 || n >= sizeof(r->tag) || strchr(".-", s[0]) ||
		!only(s, n, LOWER UPPER DIGITS "._-"))
		return "the tag is malformed";
	(void)snprintf(r->tag, sizeof(r->tag), "%.*s", (int)n, s);
	return NULL;
}

int dist_ref_parse(const char *text, struct dist_ref *ret_ref, struct err *e)
{
	struct dist_ref r = {0};
	const char *s = strncmp(text, "oci://", 6) == 0 ? text + 6 : text;
	const char *slash = strchr(s, '/'), *at = strchr(s, '@');
	const char *end = at ? at : s + strlen(s), *colon = NULL, *fault;

	if (!slash || slash > end)
		return bad(e, text, "it needs a registry and a repository");
	for (const char *c = slash; c < end; c++)
		if (*c == ':')
			colon = colon ? colon : c;
	fault = take_host(s, (size_t)(slash - s), "443", r.registry, sizeof(r.registry));
	if (!fault)
		fault = take_repository(&r, slash + 1, (size_t)((colon ? colon : end) - slash - 1));
	if (!fault && colon)
		fault = take_tag(&r, colon + 1, (size_t)(end - colon - 1));
	if (!fault && at)
		fault = take_digest(&r, at + 1);
	if (fault)
		return bad(e, text, fault);
	if (!colon && !at)
		(void)snprintf(r.tag, sizeof(r.tag), "latest");
	*ret_ref = r;
	return 0;
}

int dist_ref_origin(const struct dist_ref *r, char *dst, size_t cap)
{
	int n = snprintf(dst, cap, "oci://%s/%s%s%s", r->registry, r->repository,
		r->digest[0] ? "@sha256:" : ":", r->digest[0] ? r->digest : r->tag);

	return n > 0 && (size_t)n < cap ? 0 : -ENAMETOOLONG;
}

bool dist_ref_loopback(const struct dist_ref *r)
{
	size_t n = strcspn(r->registry, ":");

	if (strncmp(r->registry, "[::1]", 5) == 0)
		return true;
	if (n == 9 && strncmp(r->registry, "localhost", n) == 0)
		return true;
	return n < 16 && strncmp(r->registry, "127.", 4) == 0 && only(r->registry, n, DIGITS ".");
}

/* ---- places ---- */

static int join_place(const char *text, const char *host, const char *path, size_t n,
	char dst[DIST_PLACE_MAX], struct err *e)
{
	int len = snprintf(dst, DIST_PLACE_MAX, "%s/%.*s", host, (int)n, path);

	return len < DIST_PLACE_MAX ? 0 : bad(e, text, "it is too long");
}

int dist_place_ref(const struct dist_ref *r, char dst[DIST_PLACE_MAX], struct err *e)
{
	return join_place(r->repository, r->registry, r->repository, strlen(r->repository), dst, e);
}

/* path_fault() - what is escaped, or leads upwards, may be another path for whoever serves it */
static const char *path_fault(const char *s, size_t n)
{
	if (n == 0)
		return "it has no path";
	if (!only(s, n, LOWER UPPER DIGITS "._-~/+"))
		return "the path has a character that must not stand there";
	for (const char *at = s; at <= s + n;) {
		const char *slash = memchr(at, '/', (size_t)(s + n - at));
		size_t part = slash ? (size_t)(slash - at) : (size_t)(s + n - at);

		if (part == 0 || (part == 1 && at[0] == '.') ||
			(part == 2 && at[0] == '.' && at[1] == '.'))
			return "the path is not in its simplest form";
		at += part + 1;
	}
	return NULL;
}

int dist_place_git(const char *url, char dst[DIST_PLACE_MAX], struct err *e)
{
	const char *s = strstr(url, "://"), *slash, *user, *fault;
	char host[256];
	size_t n;

	if (!s)
		return bad(e, url, "it is no URL");
	s += 3;
	slash = strchr(s, '/');
	if (!slash)
		return bad(e, url, "it has no path");
	user = memchr(s, '@', (size_t)(slash - s));
	if (user)
		s = user + 1;
	fault = take_host(s, (size_t)(slash - s), strncmp(url, "ssh:", 4) == 0 ? "22" : "443", host,
		sizeof(host));
	n = strlen(slash + 1);
	while (n && slash[n] == '/')
		n--;
	if (n > 4 && strncmp(slash + 1 + n - 4, ".git", 4) == 0)
		n -= 4;
	if (!fault)
		fault = path_fault(slash + 1, n);
	return fault ? bad(e, url, fault) : join_place(url, host, slash + 1, n, dst, e);
}

/* entry_canonical() - one entry of a list: "*", HOST, HOST/ or HOST/PATH */
static int entry_canonical(const char *entry, char dst[DIST_PLACE_MAX], struct err *e)
{
	const char *slash = strchr(entry, '/'), *fault;
	char host[256];
	size_t n = slash ? strlen(slash + 1) : 0;

	if (strcmp(entry, "*") == 0) {
		(void)snprintf(dst, DIST_PLACE_MAX, "*");
		return 0;
	}
	if (strstr(entry, "://"))
		return bad(e, entry, "it is written without a scheme");
	fault = take_host(
		entry, slash ? (size_t)(slash - entry) : strlen(entry), "443", host, sizeof(host));
	while (n && slash[n] == '/')
		n--;
	if (!fault && n)
		fault = path_fault(slash + 1, n);
	if (fault)
		return bad(e, entry, fault);
	return n ? join_place(entry, host, slash + 1, n, dst, e)
		 : (snprintf(dst, DIST_PLACE_MAX, "%s", host), 0);
}

static int parse_list(const char *text, struct js **ret, struct err *e)
{
	int r = js_parse(text, strlen(text), 16384, ret, e);

	if (r < 0)
		return err_wrap(e, r, "a list of places as [\"docker.io/\"]");
	if (!js_is_array(*ret) || js_len(*ret) > DIST_PLACES)
		return err_set(e, ERR_INVALID, -EINVAL,
			"must be a list of at most %d places, such as [\"docker.io/\"]",
			DIST_PLACES);
	for (size_t i = 0; i < js_len(*ret); i++)
		if (!js_str(js_at(*ret, i)))
			return err_set(e, ERR_INVALID, -EINVAL,
				"must be a list of texts, such as [\"docker.io/\"]");
	return 0;
}

int dist_places_check(const char *list, struct err *e)
{
	AUTO_JS v = NULL;
	char place[DIST_PLACE_MAX];
	int r = parse_list(list, &v, e);

	for (size_t i = 0; r == 0 && i < js_len(v); i++)
		r = entry_canonical(js_str(js_at(v, i)), place, e);
	return r;
}

int dist_places_allow(const char *list, const char *place, struct err *e)
{
	AUTO_JS v = NULL;
	char entry[DIST_PLACE_MAX];
	int r = parse_list(list, &v, e);

	for (size_t i = 0; r == 0 && i < js_len(v); i++) {
		size_t n;

		r = entry_canonical(js_str(js_at(v, i)), entry, e);
		if (r < 0)
			return r;
		n = strlen(entry);
		if (strcmp(entry, "*") == 0 ||
			(strncmp(place, entry, n) == 0 && (place[n] == '\0' || place[n] == '/')))
			return 0;
	}
	if (r < 0)
		return r;
	r = err_set(e, ERR_DENIED, -EACCES, "kits from '%.300s' are not allowed", place);
	err_hint(e, "the setting kit.allowedSources lists what is: %.150s", list);
	return r;
}
