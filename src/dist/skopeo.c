#include "dist/skopeo.h"
#include "dist/artifact.h"
#include "dist/key.h"
#include "kit/zip.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/paths.h"
#include "base/tool.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define WORDS_MAX (8U << 10)
#define ARGS_MAX  16
#define NAME_MAX_ 1024

/* ---- the directory ---- */

int dist_work_begin(struct dist_work *w, const char *parent, struct err *e)
{
	w->fd = -1;
	if (snprintf(w->dir, sizeof(w->dir), "%s/kit-oci-XXXXXX", parent) >=
		(int)sizeof(w->dir) - 128) {
		w->dir[0] = '\0';
		return err_sys(e, -ENAMETOOLONG, "make a directory for skopeo");
	}
	if (!mkdtemp(w->dir)) {
		int r = err_sys(e, -errno, "make a directory in '%s'", parent);

		w->dir[0] = '\0';
		return r;
	}
	w->fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->fd < 0 || flock(w->fd, LOCK_EX | LOCK_NB) < 0)
		return err_sys(e, -errno, "open '%s'", w->dir);
	w->deadline = clock_ms() + DIST_FETCH_MS;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

void dist_work_end(struct dist_work *w)
{
	if (w->dir[0])
		(void)nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	w->dir[0] = '\0';
	own_close_fd(&w->fd);
}

void dist_work_auto(struct dist_work *w)
{
	dist_work_end(w);
}

/* ---- running it ---- */

static void make_env(struct tool_env *env, const struct dist_work *w)
{
	static const char *const kept[] = {"HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME",
		"REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "https_proxy", "HTTPS_PROXY", "http_proxy",
		"HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "SSL_CERT_FILE",
		"SSL_CERT_DIR"};

	tool_env_put(env, "PATH", "/usr/local/bin:/usr/bin:/bin");
	tool_env_put(env, "TMPDIR", w->dir);
	tool_env_put(env, "LC_ALL", "C");
	tool_env_keep(env, kept, ARRAY_LEN(kept));
}

/* reason() - skopeo's last line is a log's: level=fatal msg="..." */
static int reason(struct buf *words, const char *what, struct err *e)
{
	static const char *const missing[] = {"manifest unknown", "name unknown",
		"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "StatusCode: 404"};
	const char *line = tool_last_line(words), *msg = strstr(line, "msg=\"");
	int r = -EHOSTUNREACH;

	for (size_t i = 0; i < ARRAY_LEN(missing); i++)
		if (strstr(line, missing[i]))
			r = -ENOENT;
	if (r == -ENOENT)
		return err_set(e, ERR_NOT_FOUND, r, "the registry has no '%.200s'", what);
	(void)err_set(e, ERR_UNAVAILABLE, r, "skopeo: %.300s", msg ? msg + 5 : line);
	if (strstr(line, "unauthorized") || strstr(line, "authentication required") ||
		strstr(line, "denied"))
		err_hint(e, "skopeo login, docker login or podman login gives it credentials");
	return r;
}

static int run(struct dist_work *w, const char *const *args, size_t n, const char *what,
	struct buf *output, struct err *e)
{
	static const char *const places[] = {
		"/usr/bin/skopeo", "/usr/local/bin/skopeo", "/bin/skopeo"};
	const char *argv[ARGS_MAX + 8] = {"skopeo", "--insecure-policy", "--registries-conf",
		"/dev/null", "--tmpdir", w->dir};
	AUTO_FREE struct tool_env *env = calloc(1, sizeof(*env));
	AUTO(buf) words;
	struct tool t = {.program = tool_find(places, ARRAY_LEN(places)),
		.argv = argv,
		.env = env,
		.dir = w->dir,
		.file_bytes = 2 * KIT_ZIP_MAX,
		.cpu_s = 120,
		.output = output,
		.words = &words,
		.deadline = w->deadline};
	int r, status = 0;

	buf_init(&words, WORDS_MAX);
	if (!env)
		return err_sys(e, -ENOMEM, "run skopeo");
	if (!t.program) {
		r = err_set(e, ERR_UNAVAILABLE, -ENOPKG,
			"skopeo is missing: it speaks with registries");
		err_hint(e, "install the package skopeo");
		return r;
	}
	assert(n <= ARGS_MAX);
	memcpy(argv + 6, args, n * sizeof(*args));
	make_env(env, w);
	r = tool_run(&t, &status);
	if (r == -ETIMEDOUT)
		return err_set(e, ERR_TIMEOUT, r, "skopeo took too long");
	if (r == -EFBIG)
		return err_set(e, ERR_LIMIT, r, "the registry gave more than is allowed");
	if (r < 0)
		return err_sys(e, r, "run skopeo");
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : reason(&words, what, e);
}

/* ref_name() - as skopeo wants it: by digest where there is one */
static int ref_name(const struct dist_ref *ref, const char *digest, char dst[NAME_MAX_])
{
	int n = snprintf(dst, NAME_MAX_, "docker://%s/%s%s%s", ref->registry, ref->repository,
		digest[0] ? "@sha256:" : ":", digest[0] ? digest : ref->tag);

	return n < NAME_MAX_ ? 0 : -ENAMETOOLONG;
}

int skopeo_manifest(struct dist_work *w, const struct dist_ref *ref, struct buf *out,
	char ret_digest[DIST_HEX], struct err *e)
{
	char name[NAME_MAX_];
	const char *const args[] = {"inspect", "--raw",
		dist_ref_loopback(ref) ? "--tls-verify=false" : "--tls-verify=true", "--", name};
	int r = ref_name(ref, ref->digest, name);

	if (r == 0)
		r = run(w, args, ARRAY_LEN(args), name + strlen("docker://"), out, e);
	if (r < 0)
		return e->code ? r : err_sys(e, r, "ask the registry");
	if (!dist_sha256(buf_str(out), out->len, ret_digest))
		return err_sys(e, -ENOMEM, "ask the registry");
	if (ref->digest[0] && strcmp(ref->digest, ret_digest) != 0)
		return err_set(e, ERR_DENIED, -EBADMSG,
			"the registry gave a manifest of another digest (sha256:%s)", ret_digest);
	return 0;
}

int skopeo_pull(struct dist_work *w, const struct dist_ref *ref, const char *digest, struct err *e)
{
	char name[NAME_MAX_], to[PATH_MAX + 16];
	const char *const args[] = {"copy", "--quiet", "--preserve-digests",
		dist_ref_loopback(ref) ? "--src-tls-verify=false" : "--src-tls-verify=true", "--",
		name, to};
	AUTO(buf) silent;

	buf_init(&silent, WORDS_MAX);
	(void)snprintf(to, sizeof(to), "oci:%s/in:kit", w->dir);
	if (ref_name(ref, digest, name) < 0)
		return err_sys(e, -ENAMETOOLONG, "ask the registry");
	return run(w, args, ARRAY_LEN(args), name + strlen("docker://"), &silent, e);
}

int skopeo_blob(
	struct dist_work *w, const char *digest, uint64_t bytes, struct buf *out, struct err *e)
{
	char path[128], hex[DIST_HEX];
	AUTO_FD fd = -1;
	struct stat st;
	int r;

	(void)snprintf(path, sizeof(path), "in/blobs/sha256/%s", digest);
	fd = openat(w->fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, -errno, "open what was pulled");
	if (!S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size != bytes)
		return err_set(e, ERR_DENIED, -EBADMSG,
			"a blob is not as long as its manifest says (sha256:%s)", digest);
	r = io_read_fd(fd, out);
	if (r < 0)
		return err_sys(e, r, "read what was pulled");
	if (!dist_sha256(buf_str(out), out->len, hex))
		return err_sys(e, -ENOMEM, "read what was pulled");
	return strcmp(hex, digest) == 0
		       ? 0
		       : err_set(e, ERR_DENIED, -EBADMSG,
				 "a blob has another digest than its manifest says (sha256:%s)",
				 digest);
}

/* ---- pushing ---- */

static int put_file(struct dist_work *w, const char *name, const void *p, size_t len)
{
	AUTO_FD fd =
		openat(w->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : io_write_full(fd, p, len, clock_ms() + 30000);
}

int skopeo_add(
	struct dist_work *w, const void *p, size_t len, char ret_digest[DIST_HEX], struct err *e)
{
	static const char *const dirs[] = {"out", "out/blobs", "out/blobs/sha256"};
	char name[128];
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if (mkdirat(w->fd, dirs[i], 0700) < 0 && errno != EEXIST)
			r = -errno;
	if (r == 0 && !dist_sha256(p, len, ret_digest))
		r = -ENOMEM;
	if (r == 0) {
		(void)snprintf(name, sizeof(name), "out/blobs/sha256/%s", ret_digest);
		r = put_file(w, name, p, len);
	}
	return r < 0 ? err_sys(e, r, "write an OCI layout") : 0;
}

int skopeo_push(struct dist_work *w, const struct dist_ref *ref, const struct buf *manifest,
	char ret_digest[DIST_HEX], struct err *e)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	char name[NAME_MAX_], from[PATH_MAX + 16];
	const char *const args[] = {"copy", "--quiet", "--preserve-digests",
		dist_ref_loopback(ref) ? "--dest-tls-verify=false" : "--dest-tls-verify=true", "--",
		from, name};
	AUTO(buf) index, silent;
	int r = skopeo_add(w, buf_str(manifest), manifest->len, ret_digest, e);

	buf_init(&index, 4096);
	buf_init(&silent, WORDS_MAX);
	if (r < 0)
		return r;
	r = dist_layout_index(ret_digest, manifest->len, &index);
	if (r == 0)
		r = put_file(w, "out/index.json", index.data, index.len);
	if (r == 0)
		r = put_file(w, "out/oci-layout", layout, strlen(layout));
	(void)snprintf(from, sizeof(from), "oci:%s/out:kit", w->dir);
	if (r == 0)
		r = ref_name(ref, "", name);
	if (r < 0)
		return err_sys(e, r, "write an OCI layout");
	return run(w, args, ARRAY_LEN(args), name + strlen("docker://"), &silent, e);
}
