#include "kit/git.h"
#include "kit/git_run.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define LIST_MAX   (2U << 20) /* bytes of a directory's list */
#define LISTED_MAX 16384
#define REF	   "refs/kit/it"
#define BUNDLE	   "kit.sig.bundle"

struct object {
	char name[KIT_TREE_PATH_MAX + 1];
	char id[65];
	enum kit_entry_type type;
	uint32_t mode;
	uint64_t size;
};

struct reading {
	const struct kit_git *g;
	struct kit_tree *out;
	struct err *e;
	char dir[PATH_MAX], repo[PATH_MAX];
	char root[160]; /* names the source in errors */
	char commit[65];
	int64_t deadline;
	struct object *v;
	size_t n;
};

static int run(struct reading *rd, const struct buf *input, struct buf *output,
	const char *const *args, size_t n)
{
	struct git_run g = {.home = rd->dir,
		.protocols = rd->g->protocols,
		.input = input,
		.output = output,
		.deadline = rd->deadline};

	for (size_t i = 0; i < n; i++)
		g.args[i] = args[i];
	return git_run(&g, rd->e);
}
#define RUN(rd, input, output, ...)                                                                \
	run(rd, input, output, (const char *const[]){__VA_ARGS__},                                 \
		sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static int fetch(struct reading *rd)
{
	char spec[300];
	AUTO(buf) none, id;
	int r;

	buf_init(&none, 4096);
	buf_init(&id, 256);
	(void)snprintf(spec, sizeof(spec), "+%s:%s", rd->g->ref, REF);
	r = RUN(rd, NULL, &none, "init", "--quiet", "--bare", "--template=", rd->repo);
	if (r == 0)
		r = RUN(rd, NULL, &none, "-C", rd->repo, "fetch", "--quiet", "--depth=1",
			"--no-tags", "--no-recurse-submodules", "--no-write-fetch-head",
			"--end-of-options", rd->g->url, spec);
	if (r == 0)
		r = RUN(rd, NULL, &id, "-C", rd->repo, "rev-parse", "--verify", "--end-of-options",
			REF "^{commit}");
	if (r < 0)
		return r;
	id.len = strcspn(buf_str(&id), "\n");
	if ((id.len != 40 && id.len != 64) || strspn(buf_str(&id), "0123456789abcdef") != id.len)
		return err_set(rd->e, ERR_INTERNAL, -EINVAL, "git named no commit");
	(void)snprintf(rd->commit, sizeof(rd->commit), "%.*s", (int)id.len, id.data);
	return 0;
}

static int bad(struct reading *rd, const char *name, const char *why)
{
	return err_set(rd->e, ERR_INVALID, -EINVAL, "%s/%.200s:1:1: %s", rd->root, name, why);
}

/* take_line() - "MODE TYPE ID SIZE\tNAME" of ls-tree -l */
static int take_line(struct reading *rd, const char *line)
{
	struct object *o = &rd->v[rd->n];
	const char *tab = strchr(line, '\t'), *name = tab ? tab + 1 : "";
	struct kit_entry entry = {.path = name};
	char type[8], size[24];
	unsigned mode;

	if (!tab || sscanf(line, "%6o %7s %64s %23s", &mode, type, o->id, size) != 4)
		return bad(rd, name, "git's list is not understood");
	if (kit_tree_judge(rd->root, &entry, rd->e) < 0)
		return -EINVAL;
	if (!kit_tree_wants(name) && (strcmp(name, BUNDLE) != 0 || !rd->g->bundle))
		return 0;
	if (strcmp(type, "blob") != 0)
		return bad(rd, name, "neither file, directory nor link");
	(void)snprintf(o->name, sizeof(o->name), "%s", name);
	o->type = (mode & 0170000) == 0120000 ? KIT_LINK : KIT_FILE;
	o->mode = mode & 0777;
	o->size = strtoull(size, NULL, 10);
	if (o->size > KIT_TREE_BYTES_MAX)
		return bad(rd, name, "the file is too large");
	if (++rd->n > KIT_TREE_ENTRIES_MAX)
		return err_set(rd->e, ERR_LIMIT, -EFBIG, "%s: more than %d files", rd->root,
			KIT_TREE_ENTRIES_MAX);
	return 0;
}

static int list(struct reading *rd)
{
	char tree[KIT_TREE_PATH_MAX + 80];
	const char *at, *end;
	AUTO(buf) out;
	int r, lines = 0;

	buf_init(&out, LIST_MAX);
	(void)snprintf(tree, sizeof(tree), "%s:%s", rd->commit, rd->g->dir);
	r = RUN(rd, NULL, &out, "-C", rd->repo, "ls-tree", "-r", "-z", "-l", tree, "spec.yaml",
		"files", BUNDLE);
	if (r < 0)
		return r;
	rd->v = calloc(KIT_TREE_ENTRIES_MAX + 1, sizeof(*rd->v));
	if (!rd->v)
		return err_sys(rd->e, -ENOMEM, "read '%s'", rd->root);
	at = buf_str(&out);
	for (end = at + out.len; r == 0 && at < end; at += strlen(at) + 1) {
		if (++lines > LISTED_MAX)
			return err_set(rd->e, ERR_LIMIT, -EFBIG, "%s: too many files", rd->root);
		r = take_line(rd, at);
	}
	return r;
}

static int add_bundle(struct reading *rd, const struct kit_entry *f)
{
	if (f->type != KIT_FILE || buf_add(rd->g->bundle, f->bytes, f->len) < 0)
		return bad(rd, f->path, "no file, or too large");
	return 0;
}

/* add_blobs() - what cat-file gave: "ID blob SIZE\n", the bytes, "\n", for each that was asked for */
static int add_blobs(struct reading *rd, const struct buf *out)
{
	const char *at = buf_str(out);
	size_t left = out->len;

	for (size_t i = 0; i < rd->n; i++) {
		const struct object *o = &rd->v[i];
		const char *line = memchr(at, '\n', left);
		struct kit_entry f = {
			.path = o->name, .type = o->type, .mode = o->mode, .len = o->size};
		char head[128];
		int n = snprintf(
			head, sizeof(head), "%s blob %llu\n", o->id, (unsigned long long)o->size);
		int r;

		if (!line || (size_t)n > left || memcmp(at, head, (size_t)n) != 0 ||
			left - (size_t)n < o->size + 1)
			return bad(rd, o->name, "git did not give this file");
		f.bytes = at + n;
		r = strcmp(o->name, BUNDLE) == 0 ? add_bundle(rd, &f)
						 : kit_tree_add(rd->out, rd->root, &f, rd->e);
		if (r < 0)
			return r;
		at += (size_t)n + o->size + 1;
		left -= (size_t)n + o->size + 1;
	}
	return kit_tree_seal(rd->out, rd->root, rd->e);
}

static int blobs(struct reading *rd)
{
	AUTO(buf) names, out;
	uint64_t sum = 0;
	int r = 0;

	buf_init(&names, 1U << 20);
	buf_init(&out, KIT_TREE_BYTES_MAX + KIT_TREE_ENTRIES_MAX * 128U);
	for (size_t i = 0; r == 0 && i < rd->n; i++) {
		sum += rd->v[i].size;
		r = buf_addf(&names, "%s\n", rd->v[i].id);
	}
	if (r < 0)
		return err_sys(rd->e, r, "read '%s'", rd->root);
	if (sum > KIT_TREE_BYTES_MAX)
		return err_set(rd->e, ERR_LIMIT, -EFBIG, "%s: more than %u MiB of files", rd->root,
			KIT_TREE_BYTES_MAX >> 20);
	r = RUN(rd, &names, &out, "-C", rd->repo, "cat-file", "--batch", "--buffer");
	return r == 0 ? add_blobs(rd, &out) : r;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

int kit_git_read(const struct kit_git *g, struct kit_tree *t, char ret_commit[65], struct err *e)
{
	struct reading rd = {.g = g,
		.out = t,
		.e = e,
		.deadline = g->deadline ? g->deadline : clock_ms() + KIT_GIT_MS};
	const char *slash = strrchr(g->url, '/');
	AUTO_FD lock = -1;
	int r;

	(void)snprintf(rd.root, sizeof(rd.root), "%.64s%s%.64s", slash ? slash + 1 : g->url,
		g->dir[0] ? "/" : "", g->dir);
	if (snprintf(rd.dir, sizeof(rd.dir), "%s/kit-git-XXXXXX", g->tmp) >=
		(int)sizeof(rd.dir) - 8)
		return err_sys(e, -ENAMETOOLONG, "make a directory for git");
	if (!mkdtemp(rd.dir))
		return err_sys(e, -errno, "make a directory for git in '%s'", g->tmp);
	/* locked as long as it is in use: what a killed run left is told by that */
	lock = open(rd.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock >= 0)
		(void)flock(lock, LOCK_EX | LOCK_NB);
	(void)snprintf(rd.repo, sizeof(rd.repo), "%.*s/r", PATH_MAX - 3, rd.dir);
	r = fetch(&rd);
	if (r == 0)
		r = list(&rd);
	if (r == 0)
		r = blobs(&rd);
	free(rd.v);
	(void)nftw(rd.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	if (r == 0)
		(void)snprintf(ret_commit, 65, "%s", rd.commit);
	return r;
}
