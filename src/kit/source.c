#include "kit/source.h"
#include "kit/git.h"
#include "kit/kit.h"
#include "kit/zip.h"
#include "base/io.h"
#include "base/paths.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void kit_source_fini(struct kit_source *s)
{
	if (!s)
		return;
	kit_tree_fini(&s->tree);
	buf_fini(&s->bundle);
}

void kit_source_auto(struct kit_source *s)
{
	kit_source_fini(s);
}

static int bad_ref(struct err *e, const char *text, const char *why)
{
	return err_set(e, ERR_INVALID, -EINVAL, "'%.200s' is no kit: %s", text, why);
}

/* url_fault() - what a URL of a repository may be; git and ssh take more than is good */
static const char *url_fault(const char *url)
{
	static const char more[] = "-._~/:@+%";
	bool https = strncmp(url, "https://", 8) == 0;
	const char *host = strstr(url, "://") + 3;
	const char *path = strchr(host, '/'), *at = strchr(host, '@');

	for (const char *c = host; *c; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
			    (*c >= '0' && *c <= '9') || strchr(more, *c)))
			return "the URL has a character that must not stand there";
	if (!path || path == host || path[1] == '\0')
		return "the URL needs a host and a path";
	if (https && at && at < path)
		return "a user name or password does not belong into the URL";
	if (*host == '-' || (at && at < path && (at[1] == '-' || at == host)))
		return "the host begins with '-'";
	if (strstr(path, "/../") || strstr(path, "//"))
		return "the path of the URL is not in its simplest form";
	return NULL;
}

static bool ref_ok(const char *s)
{
	static const char bytes[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-";
	size_t n = strlen(s);

	return n && strspn(s, bytes) == n && s[0] != '-' && s[0] != '/' && s[n - 1] != '/' &&
	       !strstr(s, "..") && !strstr(s, "//");
}

/* take_fragment() - "ref=X&dir=Y" in any order, each once at most */
static const char *take_fragment(struct kit_ref *r, const char *at)
{
	while (*at) {
		size_t n = strcspn(at, "&");
		bool ref = strncmp(at, "ref=", 4) == 0, dir = strncmp(at, "dir=", 4) == 0;
		char *dst = ref ? r->ref : r->dir;
		size_t cap = ref ? sizeof(r->ref) : sizeof(r->dir);

		if (!ref && !dir)
			return "behind '#' stand ref=COMMIT and dir=DIRECTORY";
		if (*dst)
			return "ref or dir is there twice";
		if (n <= 4 || n - 4 >= cap)
			return "ref or dir is empty or too long";
		(void)snprintf(dst, cap, "%.*s", (int)(n - 4), at + 4);
		at += n + (at[n] == '&');
	}
	return NULL;
}

static int parse_git(const char *text, struct kit_ref *r, struct err *e)
{
	const char *url = text + strlen("git+"), *hash = strchr(url, '#'), *fault;
	size_t n = hash ? (size_t)(hash - url) : strlen(url);
	struct kit_entry dir = {.path = r->dir, .type = KIT_DIR};

	if (strncmp(url, "https://", 8) != 0 && strncmp(url, "ssh://", 6) != 0)
		return bad_ref(e, text, "git+https:// and git+ssh:// are allowed");
	(void)snprintf(r->path, sizeof(r->path), "%.*s", (int)n, url);
	fault = hash ? take_fragment(r, hash + 1) : NULL;
	if (!fault)
		fault = url_fault(r->path);
	if (!fault && r->ref[0] && !ref_ok(r->ref))
		fault = "ref is no commit, tag or branch";
	if (!fault && r->dir[0] && kit_tree_judge("", &dir, NULL) < 0)
		fault = "dir must be relative, without '.' or '..' parts";
	if (fault)
		return bad_ref(e, text, fault);
	if (!r->ref[0])
		(void)snprintf(r->ref, sizeof(r->ref), "HEAD");
	r->kind = KIT_GIT;
	return 0;
}

/* in_registry() - "HOST/PATH:TAG" or "HOST/PATH@sha256:...": a host has a dot or a port, or is localhost */
static bool in_registry(const char *text)
{
	size_t host = strcspn(text, "/");
	const char *last = strrchr(text, '/');

	if (strncmp(text, "oci://", 6) == 0)
		return true;
	if (!last || text[0] == '.' || text[0] == '/' || text[0] == '~' || strstr(text, "://"))
		return false;
	return (memchr(text, '.', host) || memchr(text, ':', host) ||
		       strncmp(text, "localhost/", 10) == 0) &&
	       strpbrk(last, ":@");
}

int kit_ref_parse(const char *text, struct kit_ref *ret_ref, struct err *e)
{
	AUTO_FREE struct kit_ref *r = calloc(1, sizeof(*r));
	size_t n = strlen(text);
	int q = 0;

	if (!r)
		return err_sys(e, -ENOMEM, "read a kit's name");
	if (n >= KIT_REF_MAX || n >= sizeof(r->path))
		return bad_ref(e, text, "it is too long");
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return bad_ref(e, text, "it has a control character");
	(void)snprintf(r->path, sizeof(r->path), "%s", text);
	if (strncmp(text, "git+", 4) == 0) {
		q = parse_git(text, r, e);
	} else if (strstr(text, "://") && strncmp(text, "oci://", 6) != 0) {
		q = bad_ref(e, text, "a name, a path, git+https://, git+ssh:// or oci:// is");
	} else if (n > 4 && strcmp(text + n - 4, ".zip") == 0 && !strstr(text, "://")) {
		r->kind = KIT_ZIP;
	} else if (in_registry(text)) {
		r->kind = KIT_OCI;
	} else if (strchr(text, '/') || strcmp(text, ".") == 0 || strcmp(text, "..") == 0) {
		r->kind = KIT_DIRECTORY;
	} else if (!kit_name_ok(text)) {
		q = err_set(e, ERR_NOT_FOUND, -ENOENT, "agent or kit '%.200s' not found", text);
	}
	if (q < 0)
		return q;
	*ret_ref = *r;
	return 0;
}

static int set_origin(struct kit_source *s, const char *path, struct err *e)
{
	AUTO_FREE char *real = realpath(path, NULL);
	const char *use = real ? real : path;

	if (strlen(use) >= sizeof(s->origin))
		return err_sys(e, -ENAMETOOLONG, "open kit '%.100s'", path);
	(void)snprintf(s->origin, sizeof(s->origin), "%s", use);
	return 0;
}

static int read_directory(struct kit_source *s, const char *path, struct err *e)
{
	AUTO_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return err_sys(e, -errno, "open kit '%s'", path);
	if (paths_join(s->file, path, "spec.yaml") < 0)
		return err_sys(e, -ENAMETOOLONG, "open kit '%.100s'", path);
	r = kit_tree_dir(&s->tree, fd, path, e);
	return r == 0 ? set_origin(s, path, e) : r;
}

static int read_zip(struct kit_source *s, const char *path, struct err *e)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	AUTO(buf) bytes;
	int r;

	buf_init(&bytes, KIT_ZIP_MAX);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, -errno, "open kit '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, -EINVAL, "%s:1:1: not a regular file", path);
	if (paths_join(s->file, path, "spec.yaml") < 0)
		return err_sys(e, -ENAMETOOLONG, "open kit '%.100s'", path);
	r = io_read_fd(fd, &bytes);
	if (r == -EFBIG)
		return err_set(
			e, ERR_LIMIT, r, "%s:1:1: larger than %u MiB", path, KIT_ZIP_MAX >> 20);
	if (r < 0)
		return err_sys(e, r, "read kit '%s'", path);
	r = kit_zip_read(&s->tree, buf_str(&bytes), bytes.len, path, e);
	return r == 0 ? set_origin(s, path, e) : r;
}

static int read_git(struct kit_source *s, const struct kit_ref *ref, const char *tmp, struct err *e)
{
	const struct kit_git g = {.url = ref->path,
		.ref = ref->ref,
		.dir = ref->dir,
		.tmp = tmp,
		.bundle = &s->bundle,
		.protocols = "https:ssh"};
	int n, r;

	if (!tmp)
		return err_set(e, ERR_INVALID, -EINVAL,
			"'%.200s': a kit of a repository is not "
			"taken here",
			ref->path);
	buf_init(&s->bundle, KIT_BUNDLE_MAX);
	(void)snprintf(s->file, sizeof(s->file), "%s/spec.yaml", ref->dir[0] ? ref->dir : ".");
	r = kit_git_read(&g, &s->tree, s->commit, e);
	if (r < 0)
		return err_wrap(e, r, "kit of %s", ref->path);
	n = snprintf(s->origin, sizeof(s->origin), "git+%s#ref=%s%s%s", ref->path, s->commit,
		ref->dir[0] ? "&dir=" : "", ref->dir);
	return n >= (int)sizeof(s->origin) ? err_sys(e, -ENAMETOOLONG, "kit of %.100s", ref->path)
					   : 0;
}

static int read_builtin(struct kit_source *s, const char *name, const char *data_dir, struct err *e)
{
	char path[PATH_MAX];
	struct stat st;
	int r;

	if (snprintf(path, sizeof(path), "%s/kits/%s", data_dir, name) >= (int)sizeof(path))
		return err_sys(e, -ENAMETOOLONG, "open kit '%.100s'", name);
	if (stat(path, &st) < 0 && errno == ENOENT)
		return kit_not_found(name, data_dir, e);
	r = read_directory(s, path, e);
	(void)snprintf(s->origin, sizeof(s->origin), "builtin:%s", name);
	return r;
}

/* is_builtin() - is that directory one of ours, named by its path? */
static bool is_builtin(const char *path, const char *data_dir)
{
	char kits[PATH_MAX];
	AUTO_FREE char *real = realpath(path, NULL), *ours = NULL;

	if (paths_join(kits, data_dir, "kits") < 0)
		return false;
	ours = realpath(kits, NULL);
	return real && ours && strncmp(real, ours, strlen(ours)) == 0 &&
	       real[strlen(ours)] == '/' && !strchr(real + strlen(ours) + 1, '/');
}

int kit_source_read(const char *text, const char *data_dir, const char *tmp,
	struct kit_source *ret_source, struct err *e)
{
	AUTO_FREE struct kit_source *s = calloc(1, sizeof(*s));
	AUTO_FREE struct kit_ref *ref = calloc(1, sizeof(*ref));
	int r;

	if (!s || !ref)
		return err_sys(e, -ENOMEM, "read kit '%.200s'", text);
	r = kit_ref_parse(text, ref, e);
	if (r == -ENOENT)
		return kit_not_found(text, data_dir, e);
	if (r < 0)
		return r;
	s->kind = ref->kind;
	if (ref->kind == KIT_DIRECTORY && is_builtin(ref->path, data_dir))
		s->kind = KIT_BUILTIN;
	if (ref->kind == KIT_BUILTIN)
		r = read_builtin(s, ref->path, data_dir, e);
	else if (ref->kind == KIT_DIRECTORY)
		r = read_directory(s, ref->path, e);
	else if (ref->kind == KIT_ZIP)
		r = read_zip(s, ref->path, e);
	else if (ref->kind == KIT_GIT)
		r = read_git(s, ref, tmp, e);
	else
		r = err_set(e, ERR_INVALID, -EINVAL,
			"'%.200s': a kit of a registry is not taken here", text);
	if (r < 0) {
		kit_source_fini(s);
		return r;
	}
	*ret_source = *s;
	return 0;
}

int kit_source_check_name(const struct kit_source *source, const struct kit_spec *spec,
	const char *data_dir, struct err *e)
{
	char path[PATH_MAX];
	struct stat st;
	int r;

	if (source->kind == KIT_BUILTIN)
		return 0;
	if (snprintf(path, sizeof(path), "%s/kits/%s/spec.yaml", data_dir, spec->name.text) >=
			(int)sizeof(path) ||
		stat(path, &st) < 0)
		return 0;
	r = kit_fault(
		e, spec, spec->name.at, "'%s' is the name of a built-in kit", spec->name.text);
	err_hint(e, "give it another name; extends: %s builds on it", spec->name.text);
	return r;
}
