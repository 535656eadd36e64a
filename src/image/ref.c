#include "image/ref.h"
#include "base/own.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SMALL	     "abcdefghijklmnopqrstuvwxyz"
#define DIGITS	     "0123456789"
#define TAG_MAX	     128
#define MISSING_HINT "sbx image pull "

bool image_ref_is(const char *text)
{
	return strpbrk(text, "/:") != NULL;
}

int image_ref_missing(const char *name, struct err *e)
{
	(void)err_set(e, ERR_NOT_FOUND, -ENOENT, "image '%s' is not on this host", name);
	err_hint(e, MISSING_HINT "%s", name);
	return -ENOENT;
}

void image_ref_of_missing(const struct err *e, char ret_name[IMAGE_REF_MAX + 1])
{
	size_t n = strlen(MISSING_HINT);
	bool is = e->code == ERR_NOT_FOUND && strncmp(e->hint, MISSING_HINT, n) == 0;

	(void)snprintf(ret_name, IMAGE_REF_MAX + 1, "%s", is ? e->hint + n : "");
}

static int malformed(const char *text, const char *why, struct err *e)
{
	return err_set(
		e, ERR_INVALID, -EINVAL, "'%.200s' is no reference of an image: %s", text, why);
}

/* ---- registries ------------------------------------------------------------------------------- */

/* is_host() - a first part that names a registry: a dot, a port, or "localhost" */
static bool is_host(const char *host)
{
	return strchr(host, '.') || strchr(host, ':') || strcmp(host, "localhost") == 0;
}

/* take_host() - in small letters; docker.io has other names */
static bool take_host(char *host)
{
	size_t name = strcspn(host, ":");

	for (char *p = host; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	if (name == 0 || strspn(host, SMALL DIGITS ".-") != name || host[0] == '.' ||
		host[0] == '-' || strstr(host, ".."))
		return false;
	if (host[name] &&
		(!host[name + 1] || strspn(host + name + 1, DIGITS) != strlen(host + name + 1) ||
			strlen(host + name + 1) > 5))
		return false;
	if (name > 1 && host[name - 1] == '.')
		return false;
	if (strcmp(host, "index.docker.io") == 0 || strcmp(host, "registry-1.docker.io") == 0)
		memcpy(host, "docker.io", sizeof("docker.io"));
	return true;
}

/* is_path() - parts of small letters and digits, with single separators within */
static bool is_path(const char *path)
{
	for (;;) {
		size_t n = strcspn(path, "/");

		if (n == 0 || strspn(path, SMALL DIGITS "._-") < n ||
			!strchr(SMALL DIGITS, path[0]) || !strchr(SMALL DIGITS, path[n - 1]))
			return false;
		if (!path[n])
			return true;
		path += n + 1;
	}
}

static bool is_tag(const char *tag)
{
	size_t n = strlen(tag);

	return n > 0 && n <= TAG_MAX &&
	       strspn(tag, SMALL "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "._-") == n && tag[0] != '.' &&
	       tag[0] != '-';
}

static int no_host(const char *text, struct err *e)
{
	int r = malformed(text, "it does not say which registry it is in", e);

	err_hint(e, "docker.io/%s%.120s, if that is meant", strchr(text, '/') ? "" : "library/",
		text);
	return r;
}

/* put_together() - the one form of host, path and tag or digest */
static bool put_together(struct image_ref *ref, const char *host, const char *path, const char *tag)
{
	const char *library =
		strcmp(host, "docker.io") == 0 && !strchr(path, '/') ? "library/" : "";
	size_t cap = sizeof(ref->name);
	int n = snprintf(ref->repository, cap, "%s/%s%s", host, library, path);

	if (n < 0 || (size_t)n >= cap)
		return false;
	n = ref->pin[0] ? snprintf(ref->name, cap, "%.*s@sha256:%s", n, ref->repository, ref->pin)
			: snprintf(ref->name, cap, "%.*s:%s", n, ref->repository, tag);
	return n > 0 && (size_t)n < cap;
}

static int parse_registry(const char *text, struct image_ref *ref, struct err *e)
{
	char host[IMAGE_REF_MAX + 1], *path, *at, *tag;

	if (strlen(text) > IMAGE_REF_MAX)
		return malformed(text, "it is longer than 220 characters", e);
	memcpy(host, text, strlen(text) + 1);
	at = strchr(host, '@');
	if (at) {
		*at = '\0';
		if (!digest_parse(at + 1, ref->pin))
			return malformed(text, "its digest is not \"sha256:\" and 64 digits", e);
	}
	path = strchr(host, '/');
	if (!path)
		return no_host(text, e);
	*path++ = '\0';
	if (!is_host(host))
		return no_host(text, e);
	tag = strchr(path, ':');
	if (tag)
		*tag++ = '\0';
	if (tag && !is_tag(tag))
		return malformed(text, "its tag is malformed", e);
	if (!take_host(host))
		return malformed(text, "its registry is malformed", e);
	if (!is_path(path))
		return malformed(
			text, "its path may have small letters, digits, and . _ - within", e);
	if (!put_together(ref, host, path, tag ? tag : "latest"))
		return malformed(text, "it is longer than 220 characters", e);
	ref->kind = IMAGE_REF_REGISTRY;
	(void)snprintf(ref->source, sizeof(ref->source), "docker://%s", ref->name);
	return digest_of(ref->name, strlen(ref->name), ref->key)
		       ? 0
		       : err_sys(e, -ENOMEM, "name an image");
}

/* ---- archives and layouts --------------------------------------------------------------------- */

/* local_key() - what stands there now: another file, or the same one written again, is another image */
static int local_key(struct image_ref *ref, const char *path, struct err *e)
{
	char text[sizeof(ref->source) + 128];
	struct stat st;
	int n;

	if (stat(path, &st) < 0)
		return err_sys(e, -errno, "open '%s'", path);
	n = snprintf(text, sizeof(text), "%s %llu %llu %lld %lld.%09ld", ref->source,
		(unsigned long long)st.st_dev, (unsigned long long)st.st_ino, (long long)st.st_size,
		(long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	return n > 0 && (size_t)n < sizeof(text) && digest_of(text, (size_t)n, ref->key)
		       ? 0
		       : err_sys(e, -ENAMETOOLONG, "name an image");
}

/* find_local() - the file or directory of "PATH" or "PATH:NAME"; *ret_rest: where NAME's colon stands */
static bool find_local(const char *text, char ret_path[PATH_MAX], const char **ret_rest)
{
	char asked[PATH_MAX];
	size_t n = strlen(text);

	if (n == 0 || n >= sizeof(asked))
		return false;
	memcpy(asked, text, n + 1);
	*ret_rest = text + n;
	if (realpath(asked, ret_path))
		return true;
	for (char *colon = asked; (colon = strchr(colon, ':')); colon++) {
		*colon = '\0';
		if (realpath(asked, ret_path)) {
			*ret_rest = text + (colon - asked);
			return true;
		}
		*colon = ':';
	}
	return false;
}

static int parse_local(
	const char *text, const char *transport, struct image_ref *ref, struct err *e)
{
	char path[PATH_MAX], mark[PATH_MAX + 16];
	const char *rest;
	struct stat st;

	if (!find_local(text, path, &rest) || stat(path, &st) < 0)
		return err_set(e, ERR_NOT_FOUND, -ENOENT,
			"'%.200s' is neither an archive nor an OCI layout", text);
	if (S_ISDIR(st.st_mode)) {
		(void)snprintf(mark, sizeof(mark), "%s/oci-layout", path);
		if (access(mark, R_OK) < 0)
			return err_set(e, ERR_INVALID, -EINVAL,
				"'%.200s' is a directory without an OCI layout", path);
		transport = "oci";
		memcpy(ref->layout, path, strlen(path) + 1);
		(void)snprintf(mark, sizeof(mark), "%s/index.json", path);
	} else {
		if (strcmp(transport, "oci") == 0)
			return err_set(e, ERR_INVALID, -ENOTDIR,
				"'%.200s' is no directory: an archive of that form is "
				"oci-archive:PATH",
				path);
		(void)snprintf(mark, sizeof(mark), "%s", path);
	}
	ref->kind = IMAGE_REF_LOCAL;
	(void)snprintf(ref->tag, sizeof(ref->tag), "%s", *rest ? rest + 1 : "");
	if (snprintf(ref->source, sizeof(ref->source), "%s:%s%.300s", transport, path, rest) >=
		(int)sizeof(ref->source))
		return err_sys(e, -ENAMETOOLONG, "open '%.200s'", path);
	return local_key(ref, mark, e);
}

/* archive_kind() - of a path without a word in front: an OCI archive begins with its mark, blobs or index */
static const char *archive_kind(const char *path)
{
	static const char *const members[] = {"oci-layout", "blobs", "./oci-layout", "index.json"};
	char head[512] = {0};
	FILE *f = fopen(path, "re");

	if (f && fread(head, 1, sizeof(head) - 1, f) > 0)
		for (size_t i = 0; i < ARRAY_LEN(members); i++)
			if (strncmp(head, members[i], strlen(members[i])) == 0) {
				(void)fclose(f);
				return "oci-archive";
			}
	if (f)
		(void)fclose(f);
	return "docker-archive";
}

/* parse_daemon() - what another program on this host keeps; skopeo knows how its images are called */
static int parse_daemon(const char *text, struct image_ref *ref, struct err *e)
{
	if (strlen(text) > IMAGE_REF_MAX || strpbrk(text, " \n"))
		return malformed(text, "it is longer than 220 characters or has blanks", e);
	ref->kind = IMAGE_REF_LOCAL;
	(void)snprintf(ref->name, sizeof(ref->name), "%s", text);
	(void)snprintf(ref->source, sizeof(ref->source), "%s", text);
	return digest_of(text, strlen(text), ref->key) ? 0 : err_sys(e, -ENOMEM, "name an image");
}

int image_ref_parse(const char *text, struct image_ref *ret, struct err *e)
{
	static const char *const local[] = {"oci-archive", "docker-archive", "oci"};
	struct image_ref ref = {0};
	int r = 1;

	if (!*text || text[0] == '-')
		return malformed(text, "it is empty or begins with '-'", e);
	for (size_t i = 0; i < ARRAY_LEN(local) && r > 0; i++) {
		size_t n = strlen(local[i]);

		if (strncmp(text, local[i], n) == 0 && text[n] == ':')
			r = parse_local(text + n + 1, local[i], &ref, e);
	}
	if (r > 0 && (strncmp(text, "docker-daemon:", 14) == 0 ||
			     strncmp(text, "containers-storage:", 19) == 0))
		r = parse_daemon(text, &ref, e);
	if (r > 0 && strncmp(text, "docker://", 9) == 0)
		r = parse_registry(text + 9, &ref, e);
	/* A path says that it is one: what lies in the current folder is never taken for a registry. */
	if (r > 0 && (text[0] == '/' || text[0] == '.'))
		r = parse_local(text, archive_kind(text), &ref, e);
	if (r > 0)
		r = parse_registry(text, &ref, e);
	if (r < 0)
		return r;
	*ret = ref;
	return 0;
}
