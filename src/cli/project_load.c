/* The files of a project, read once, and the environment that they come to. */
#include "base/io.h"
#include "cli/project.h"
#include "cli/values.h"
#include "dist/key.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_NAME   "sbxenv.yaml"
#define HIDDEN_NAME ".sbxenv.yaml"
#define DIGEST_MAX  (8U << 20)

struct texts {
	struct buf b[PROJECT_PATHS_MAX + 1];
	char dir[PROJECT_PATHS_MAX + 1][PATH_MAX];
	size_t n;
};

static void texts_auto(struct texts *t)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->b[i].data) /* there may be secrets in it */
			explicit_bzero(t->b[i].data, t->b[i].cap);
		buf_fini(&t->b[i]);
	}
}

void project_auto(struct project *p)
{
	js_free(p->env);
	js_free(p->lines);
}

static int no_memory(struct err *e)
{
	return err_sys(e, -ENOMEM, "read the environment");
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* find_file() - @path is a file, or a folder that has one; @ret is absolute and free of links */
static int find_file(const char *path, char ret[PATH_MAX], struct err *e)
{
	char in[PATH_MAX];

	if (!is_dir(path))
		return realpath(path, ret) ? 0 : err_sys(e, -errno, "open '%.200s'", path);
	if (paths_join(in, path, FILE_NAME) < 0)
		return err_set(e, ERR_INVALID, -ENAMETOOLONG, "'%.200s' is too long", path);
	if (realpath(in, ret))
		return 0;
	if (errno == ENOENT && paths_join(in, path, HIDDEN_NAME) == 0 && realpath(in, ret))
		return 0;
	(void)err_set(e, ERR_NOT_FOUND, -ENOENT, "there is no " FILE_NAME " in '%.200s'", path);
	err_hint(e, "give its path: sbx env plan PATH");
	return -ENOENT;
}

static int read_one(struct project *p, struct texts *t, const char *file, struct err *e)
{
	AUTO_FD fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	char *slash;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, -errno, "open '%.200s'", file);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, -EINVAL, "'%.200s' is no file", file);
	buf_init(&t->b[t->n], ENVFILE_BYTES);
	r = io_read_fd(fd, &t->b[t->n++]);
	if (r < 0)
		return r == -EFBIG
			       ? err_set(e, ERR_LIMIT, r, "%.200s:1:1: it is larger than %u KiB",
					 file, ENVFILE_BYTES >> 10)
			       : err_sys(e, r, "read '%.200s'", file);
	(void)snprintf(p->files[p->n_files++], PATH_MAX, "%s", file);
	(void)snprintf(t->dir[t->n - 1], PATH_MAX, "%s", file);
	slash = strrchr(t->dir[t->n - 1], '/');
	slash[slash == t->dir[t->n - 1]] = '\0';
	return 0;
}

static int read_all(const struct project_args *a, struct project *p, struct texts *t, struct err *e)
{
	const char *home = getenv("HOME");
	char base[PATH_MAX] = "", found[PROJECT_PATHS_MAX][PATH_MAX], at[PATH_MAX];
	bool own = false;
	int r = 0;

	if (home && home[0] == '/' && paths_join(at, home, HIDDEN_NAME) == 0 && !realpath(at, base))
		base[0] = '\0';
	for (size_t i = 0; i < a->n_paths && r == 0; i++) {
		r = find_file(a->paths[i], found[i], e);
		own |= r == 0 && strcmp(found[i], base) == 0;
	}
	if (r == 0 && base[0] && !own)
		r = read_one(p, t, base, e);
	for (size_t i = 0; i < a->n_paths && r == 0; i++) {
		r = read_one(p, t, found[i], e);
		if (i == 0 && r == 0)
			memcpy(p->dir, t->dir[t->n - 1], PATH_MAX);
	}
	return r;
}

/* ---- paths ---- */

static int real_share(const struct js *share, struct js **ret, struct err *e)
{
	AUTO_JS o = js_object();
	struct workspace ws = {.read_only = js_bool(js_get(share, "read_only"))};
	int r;

	(void)snprintf(ws.path, sizeof(ws.path), "%s", js_str(js_get(share, "path")));
	r = workspace_resolve(&ws, e);
	if (r < 0)
		return r;
	if (js_set_str(o, "path", ws.path) || js_set_bool(o, "read_only", ws.read_only))
		return no_memory(e);
	*ret = TAKE(o);
	return 0;
}

static int real_source(const char *source, char ret[PATH_MAX], struct err *e)
{
	if (source[0] != '/') {
		(void)snprintf(ret, PATH_MAX, "%s", source);
		return 0;
	}
	return realpath(source, ret) ? 0 : err_sys(e, -errno, "open kit '%.200s'", source);
}

static int real_kits(struct js *env, struct err *e)
{
	const struct js *kits = js_get(env, "kits");
	AUTO_JS all = js_array();
	char path[PATH_MAX];

	for (size_t i = 0; i < js_len(kits); i++) {
		AUTO_JS o = js_object();
		int r = real_source(js_str(js_get(js_at(kits, i), "source")), path, e);

		if (r < 0)
			return r;
		if (js_set_str(o, "source", path) ||
			js_set_copy(o, "args", js_get(js_at(kits, i), "args")) ||
			js_add(all, TAKE(o)))
			return no_memory(e);
	}
	if (js_set(env, "kits", TAKE(all)))
		return no_memory(e);
	if (real_source(js_str(js_get(env, "agent")), path, e) < 0)
		return e->num;
	return js_set_str(env, "agent", path) ? no_memory(e) : 0;
}

/* real_paths() - a link that is turned around later leads nowhere new: what is approved is the place */
static int real_paths(struct js *env, struct err *e)
{
	const struct js *more = js_get(env, "additional");
	AUTO_JS all = js_array();
	struct js *one;
	int r = 0;

	if (js_get(env, "workspace")) {
		r = real_share(js_get(env, "workspace"), &one, e);
		if (r == 0 && js_set(env, "workspace", one))
			r = no_memory(e);
	}
	for (size_t i = 0; i < js_len(more) && r == 0; i++) {
		r = real_share(js_at(more, i), &one, e);
		if (r == 0 && js_add(all, one))
			r = no_memory(e);
	}
	if (r == 0 && js_set(env, "additional", TAKE(all)))
		r = no_memory(e);
	return r < 0 ? r : real_kits(env, e);
}

/* ---- the whole ---- */

static int resolve(
	const struct project_args *a, struct project *p, const struct texts *t, struct err *e)
{
	struct envfile files[PROJECT_PATHS_MAX + 1];
	struct kit_pair args[ENVFILE_ARGS_MAX];
	AUTO_FREE char *names = NULL;
	struct envfile_request q = {
		.files = files, .n = t->n, .project = p->dir, .args = args, .n_args = a->given.n};

	if (a->given.n > ENVFILE_ARGS_MAX)
		return err_set(e, ERR_LIMIT, -E2BIG, "more than %d arguments", ENVFILE_ARGS_MAX);
	names = calloc(a->given.n + 1, 256);
	if (!names)
		return no_memory(e);
	for (size_t i = 0; i < t->n; i++)
		files[i] = (struct envfile){.file = p->files[i],
			.dir = t->dir[i],
			.text = buf_str(&t->b[i]),
			.len = t->b[i].len};
	for (size_t i = 0; i < a->given.n; i++) {
		const struct env_var *v = &a->given.v[i];

		(void)snprintf(names + 256 * i, 256, "%.*s", (int)v->name_len, v->text);
		args[i] = (struct kit_pair){names + 256 * i, v->text + v->name_len + 1};
	}
	return envfile_resolve(&q, &p->env, e);
}

static int name_it(const struct project_args *a, struct project *p, struct err *e)
{
	const char *name = a->name ? a->name : js_str(js_get(p->env, "name"));
	const char *agent = js_str(js_get(p->env, "agent")), *slash = strrchr(agent, '/');

	if (!name) {
		name_from(p->name, slash ? slash + 1 : agent, strrchr(p->dir, '/') + 1);
		return 0;
	}
	if (name_check(name, e) < 0)
		return err_wrap(e, e->num, "%.200s: name", p->files[p->n_files - 1]);
	(void)snprintf(p->name, sizeof(p->name), "%s", name);
	return 0;
}

static int digest_it(struct project *p, const struct texts *t, struct err *e)
{
	char hex[65];
	AUTO(buf) b = {0};
	AUTO(buf) paths = {0};
	bool bad = false;

	buf_init(&b, DIGEST_MAX);
	buf_init(&paths, sizeof(p->files));
	for (size_t i = 0; i < t->n; i++) {
		bad |= buf_add(&paths, p->files[i], strlen(p->files[i]) + 1) < 0;
		(void)snprintf(hex, sizeof(hex), "%zu %zu ", strlen(p->files[i]), t->b[i].len);
		bad |= buf_add(&b, hex, strlen(hex)) < 0;
		bad |= buf_add(&b, p->files[i], strlen(p->files[i])) < 0;
		bad |= buf_add(&b, t->b[i].data, t->b[i].len) < 0;
	}
	bad |= js_canonical(p->env, &b) < 0 || buf_add(&b, p->name, strlen(p->name)) < 0;
	bad |= !dist_sha256(b.data, b.len, p->digest) || !dist_sha256(paths.data, paths.len, hex);
	if (b.data)
		explicit_bzero(b.data, b.cap);
	if (bad)
		return no_memory(e);
	(void)snprintf(p->id, sizeof(p->id), "%.16s", hex);
	return 0;
}

int project_load(const struct project_args *a, struct project *p, struct err *e)
{
	AUTO(texts) t = {0};
	int r;

	*p = (struct project){0};
	r = read_all(a, p, &t, e);
	if (r == 0)
		r = resolve(a, p, &t, e);
	if (r == 0)
		r = real_paths(p->env, e);
	if (r == 0)
		r = name_it(a, p, e);
	if (r == 0)
		r = digest_it(p, &t, e);
	if (r == 0 && envfile_lines(p->env, p->dir, &p->lines) < 0)
		r = no_memory(e);
	return r;
}
