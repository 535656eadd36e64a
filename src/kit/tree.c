#include "kit/tree.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

void kit_tree_fini(struct kit_tree *t)
{
	if (!t)
		return;
	free(t->v);
	kit_mem_fini(&t->mem);
	*t = (struct kit_tree){0};
}

void kit_tree_auto(struct kit_tree *t)
{
	kit_tree_fini(t);
}

static int refuse(struct err *e, const char *root, const char *path, const char *why)
{
	return err_set(e, ERR_INVALID, -EINVAL, "%s/%.200s:1:1: %s", root, path, why);
}

/* path_fault() - NULL: relative, clean, and nothing a terminal or another reader takes differently */
static const char *path_fault(const char *p)
{
	size_t depth = 0;

	if (p[0] == '/')
		return "an absolute path is not allowed";
	if (p[0] == '\0')
		return "an empty path is not allowed";
	if (strlen(p) > KIT_TREE_PATH_MAX)
		return "the path is too long";
	for (const char *c = p; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f || *c == '\\')
			return "the path has a character that must not stand there";
	for (const char *c = p; c;) {
		size_t n = strcspn(c, "/");

		if (n == 0)
			return "the path has an empty part";
		if ((n == 1 && c[0] == '.') || (n == 2 && c[0] == '.' && c[1] == '.'))
			return "a path with '.' or '..' is not allowed";
		if (n > 255)
			return "the path is too long";
		if (++depth > KIT_TREE_DEPTH_MAX)
			return "nested too deep";
		c = c[n] ? c + n + 1 : NULL;
	}
	return NULL;
}

/* A link may point around inside the home only: it is in the guest, but a host tool may look too. */
static const char *link_fault(const char *path, const char *target, size_t len)
{
	if (strncmp(path, "files/home/", strlen("files/home/")) != 0)
		return "a link is allowed beneath files/home only";
	if (len == 0 || len > KIT_TREE_PATH_MAX || memchr(target, '\0', len))
		return "a malformed link";
	if (target[0] == '/')
		return "an absolute link is not allowed";
	for (const char *c = target; c; c = strchr(c, '/')) {
		c += *c == '/';
		if (strncmp(c, "..", 2) == 0 && (c[2] == '/' || c[2] == '\0'))
			return "a link with '..' is not allowed";
	}
	return NULL;
}

/* plain_mode() - who else may write, set-id and the like are a matter of the checkout, not of the kit */
static uint32_t plain_mode(const struct kit_entry *entry)
{
	bool run = entry->type == KIT_DIR || (entry->mode & 0111);

	if (entry->type == KIT_LINK)
		return 0777;
	if (entry->mode && !(entry->mode & 0044))
		return run ? 0700 : 0600;
	return run ? 0755 : 0644;
}

static int append(struct kit_tree *t, const struct kit_entry *entry)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		struct kit_entry *bigger = reallocarray(t->v, cap, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		t->v = bigger;
		t->cap = cap;
	}
	t->v[t->n++] = *entry;
	return 0;
}

bool kit_tree_wants(const char *path)
{
	return strcmp(path, "spec.yaml") == 0 || strcmp(path, "files") == 0 ||
	       strncmp(path, "files/", strlen("files/")) == 0;
}

int kit_tree_judge(const char *root, const struct kit_entry *entry, struct err *e)
{
	const char *fault = path_fault(entry->path);

	return fault ? refuse(e, root, entry->path, fault) : 0;
}

int kit_tree_add(struct kit_tree *t, const char *root, const struct kit_entry *entry, struct err *e)
{
	struct kit_entry copy = *entry;
	const char *fault = path_fault(entry->path);

	if (!fault && entry->type == KIT_LINK) {
		copy.bytes = kit_mem_dup(&t->mem, entry->bytes, entry->len);
		if (!copy.bytes)
			return err_sys(e, -ENOMEM, "read kit '%s'", root);
		fault = link_fault(entry->path, copy.bytes, entry->len);
	}
	if (fault)
		return refuse(e, root, entry->path, fault);
	if (t->n == KIT_TREE_ENTRIES_MAX)
		return err_set(
			e, ERR_LIMIT, -EFBIG, "%s: more than %d files", root, KIT_TREE_ENTRIES_MAX);
	if (entry->len > KIT_TREE_BYTES_MAX - t->bytes)
		return err_set(e, ERR_LIMIT, -EFBIG, "%s: more than %u MiB of files", root,
			KIT_TREE_BYTES_MAX >> 20);
	t->bytes += entry->len;
	copy.path = kit_mem_str(&t->mem, entry->path);
	if (entry->type == KIT_DIR)
		copy.len = 0;
	if (entry->type != KIT_LINK)
		copy.bytes = kit_mem_dup(&t->mem, entry->bytes ? entry->bytes : "", copy.len);
	copy.mode = plain_mode(entry);
	if (!copy.path || !copy.bytes || append(t, &copy) < 0)
		return err_sys(e, -ENOMEM, "read kit '%s'", root);
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct kit_entry *)a)->path, ((const struct kit_entry *)b)->path);
}

static const struct kit_entry *find_in(const struct kit_entry *v, size_t n, const char *path)
{
	const struct kit_entry key = {.path = path};

	return n ? bsearch(&key, v, n, sizeof(*v), by_path) : NULL;
}

const struct kit_entry *kit_tree_find(const struct kit_tree *t, const char *path)
{
	return find_in(t->v, t->n, path);
}

/* add_parents() - directories that are named only by what is in them; @n entries are sorted */
static int add_parents(struct kit_tree *t, size_t n, const char *root, struct err *e)
{
	char done[KIT_TREE_PATH_MAX + 1] = ""; /* the parent added last: neighbours share it */

	for (size_t i = 0; i < n; i++) {
		char path[KIT_TREE_PATH_MAX + 1];

		(void)snprintf(path, sizeof(path), "%s", t->v[i].path);
		for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
			struct kit_entry dir = {.path = path, .type = KIT_DIR};
			const struct kit_entry *there;
			int r = 0;

			*slash = '\0';
			there = find_in(t->v, n, path);
			if (there && there->type != KIT_DIR)
				return refuse(e, root, t->v[i].path,
					"a file lies beneath what is no directory");
			if (!there && (strncmp(done, path, strlen(path)) != 0 ||
					      (done[strlen(path)] && done[strlen(path)] != '/')))
				r = kit_tree_add(t, root, &dir, e);
			if (r < 0)
				return r;
			if (!there)
				(void)snprintf(done, sizeof(done), "%s", path);
			*slash = '/';
		}
	}
	return 0;
}

int kit_tree_seal(struct kit_tree *t, const char *root, struct err *e)
{
	size_t n = t->n, kept = 0;
	int r;

	if (n)
		qsort(t->v, n, sizeof(*t->v), by_path);
	for (size_t i = 1; i < n; i++)
		if (strcmp(t->v[i - 1].path, t->v[i].path) == 0)
			return refuse(e, root, t->v[i].path, "the name is there twice");
	r = add_parents(t, n, root, e);
	if (r < 0)
		return r;
	if (t->n)
		qsort(t->v, t->n, sizeof(*t->v), by_path);
	/* neighbours may have asked for the same parent */
	for (size_t i = 0; i < t->n; i++)
		if (kept == 0 || strcmp(t->v[kept - 1].path, t->v[i].path) != 0)
			t->v[kept++] = t->v[i];
	t->n = kept;
	return 0;
}

int kit_tree_bytes(const struct kit_tree *t, struct buf *out)
{
	static const char types[] = {[KIT_FILE] = 'f', [KIT_DIR] = 'd', [KIT_LINK] = 'l'};
	int r = buf_addf(out, "sbx kit 1\n");

	for (size_t i = 0; r == 0 && i < t->n; i++) {
		const struct kit_entry *f = &t->v[i];

		/* a path has no line breaks: the head of each entry is one line */
		r = buf_addf(out, "%c %03o %zu %s\n", types[f->type], f->mode, f->len, f->path);
		if (r == 0 && f->len)
			r = buf_add(out, f->bytes, f->len);
	}
	return r;
}
