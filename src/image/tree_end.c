/* After the last layer: what lies behind symlinks goes where they lead, and the directories are written. */
#include "image/tree.h"
#include "image/tree_int.h"
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define HOPS_MAX   40 /* symlinks in one path */
#define PATH_LEN   4096
#define ROUNDS_MAX 40 /* symlinks behind symlinks */

/* ---- what a path leads to --------------------------------------------------------------------- */

static tree_ref into(struct tree *t, tree_ref dir, const char *name, size_t len, bool make)
{
	tree_ref ref = tree_find(t, dir, name, len);
	enum tree_fault f;

	if (ref && t->node[ref].type == TREE_NOTHING)
		ref = 0;
	return ref || !make ? ref : tree_make(t, dir, name, len, TREE_DIR, &f);
}

/* follow() - put the target of symlink @ref before the rest of the path; false: too long */
static bool follow(const struct tree *t, tree_ref ref, char path[PATH_LEN], const char *rest)
{
	char next[PATH_LEN];
	const char *target = t->text + t->node[ref].target;
	size_t a = strlen(target), b = strlen(rest);

	if (!t->node[ref].target || a + b + 2 > PATH_LEN)
		return false;
	memcpy(next, target, a);
	next[a] = '/';
	memcpy(next + a + 1, rest, b + 1);
	memcpy(path, next, a + b + 2);
	return true;
}

tree_ref tree_resolve(struct tree *t, tree_ref from, const char *start, bool make)
{
	char path[PATH_LEN];
	const char *p = path;
	tree_ref at = from;
	unsigned hops = 0;

	if (strlen(start) >= PATH_LEN)
		return 0;
	memcpy(path, start, strlen(start) + 1);
	while (at) {
		size_t len;
		tree_ref next;

		if (*p == '/' && p == path)
			at = TREE_ROOT;
		p += strspn(p, "/");
		len = strcspn(p, "/");
		if (len == 0)
			break;
		if (len == 1 && p[0] == '.') {
			p += len;
			continue;
		}
		if (len == 2 && p[0] == '.' && p[1] == '.') {
			at = t->node[at].parent;
			p += len;
			continue;
		}
		next = into(t, at, p, len, make);
		p += len;
		if (next && t->node[next].type == TREE_SYMLINK) {
			if (++hops > HOPS_MAX || !follow(t, next, path, p))
				return 0;
			p = path;
			continue;
		}
		at = next;
	}
	return at;
}

tree_ref tree_lookup(const struct tree *t, const char *path)
{
	union {
		const struct tree *in;
		struct tree *out;
	} same = {.in = t}; /* without @make nothing is changed */

	return tree_resolve(same.out, TREE_ROOT, path, false);
}

/* ---- what lies behind symlinks ---------------------------------------------------------------- */

static void take_over(struct tree_node *to, const struct tree_node *from)
{
	to->type = from->type;
	to->nid = from->nid;
	to->target = from->target;
	to->mode = from->mode;
	to->uid = from->uid;
	to->gid = from->gid;
	to->mtime = from->mtime;
	to->layer = from->layer;
	to->meta_layer = from->meta_layer;
}

static bool move_to(struct tree *t, tree_ref node, tree_ref dir)
{
	t->node[node].parent = dir;
	t->node[node].next = t->node[dir].child;
	t->node[dir].child = node;
	return tree_rehash(t, node);
}

/* later() - what is in @c is merged into @dir afterwards; @c itself is nobody's any more */
static void later(struct tree *t, tree_ref c, tree_ref dir, tree_ref *todo)
{
	struct tree_node *n = &t->node[c];

	n->type = TREE_NOTHING;
	n->parent = 0;
	n->nid = dir;
	n->next = *todo;
	*todo = c;
}

/* merge_one() - @c, which lost its place, into @dir; where both have it, the upper layer's counts */
static bool merge_one(struct tree *t, tree_ref c, tree_ref dir, tree_ref *todo)
{
	struct tree_node *n = &t->node[c];
	tree_ref there = tree_find(t, dir, t->text + n->name, n->len);
	struct tree_node *old = &t->node[there];

	if (!there)
		return move_to(t, c, dir);
	if (old->type == TREE_NOTHING && n->layer > old->gone)
		return true;
	if (n->type == TREE_DIR && (old->type == TREE_DIR || old->type == TREE_SYMLINK)) {
		if (old->type == TREE_DIR && n->meta_layer < old->meta_layer)
			take_over(old, n);
		later(t, c, there, todo);
		return true;
	}
	if (n->layer < old->layer || old->type == TREE_NOTHING) {
		take_over(old, n);
		if (n->type == TREE_DIR)
			later(t, c, there, todo);
	}
	return true;
}

/* merge() - all that is in @from into @dir */
static bool merge(struct tree *t, tree_ref from, tree_ref dir)
{
	tree_ref todo = 0;

	for (;;) {
		tree_ref c = t->node[from].child;

		t->node[from].child = 0;
		while (c) {
			tree_ref next = t->node[c].next;

			if (!merge_one(t, c, dir, &todo))
				return false;
			c = next;
		}
		if (!todo)
			return true;
		from = todo;
		dir = (tree_ref)t->node[from].nid;
		todo = t->node[from].next;
	}
}

enum tree_fault tree_finish(struct tree *t)
{
	bool again = true;

	if (t->waiting)
		return TREE_NO_TARGET;
	for (unsigned round = 0; again; round++) {
		if (round == ROUNDS_MAX)
			return TREE_DEEP;
		again = false;
		for (tree_ref i = TREE_ROOT + 1; i < t->n; i++) {
			tree_ref dir;

			if (t->node[i].type != TREE_SYMLINK || !t->node[i].child)
				continue;
			dir = tree_resolve(t, t->node[i].parent, t->text + t->node[i].target, true);
			if (!dir || t->node[dir].type != TREE_DIR)
				return TREE_NOT_A_DIR;
			if (!merge(t, i, dir))
				return TREE_NO_MEMORY;
			again = true;
		}
	}
	return TREE_OK;
}

/* ---- directories ------------------------------------------------------------------------------ */

struct listing {
	struct erofs_dirent *entry;
	uint32_t cap;
	size_t n;
};

static uint8_t type_of(uint8_t type)
{
	switch (type) {
	case TREE_DIR:
		return DT_DIR;
	case TREE_FILE:
		return DT_REG;
	case TREE_SYMLINK:
		return DT_LNK;
	case TREE_FIFO:
		return DT_FIFO;
	default:
		return DT_UNKNOWN;
	}
}

static int by_name(const void *a, const void *b)
{
	const struct erofs_dirent *x = a, *y = b;
	int r = memcmp(x->name, y->name, x->len < y->len ? x->len : y->len);

	return r ? r : (int)x->len - (int)y->len;
}

static bool list(struct listing *l, uint64_t nid, const char *name, size_t len, uint8_t type)
{
	if (!tree_grow(&l->entry, &l->cap, (uint32_t)l->n + 1, sizeof(*l->entry), 256))
		return false;
	l->entry[l->n++] = (struct erofs_dirent){nid, name, (uint16_t)len, type};
	return true;
}

/* list_dir() - what is in @dir, sorted */
static bool list_dir(const struct tree *t, tree_ref dir, struct listing *l)
{
	const struct tree_node *d = &t->node[dir];

	l->n = 0;
	if (!list(l, d->nid, ".", 1, DT_DIR) || !list(l, t->node[d->parent].nid, "..", 2, DT_DIR))
		return false;
	for (tree_ref c = d->child; c; c = t->node[c].next) {
		const struct tree_node *n = &t->node[c];

		if (type_of(n->type) != DT_UNKNOWN &&
			!list(l, n->nid, t->text + n->name, n->len, type_of(n->type)))
			return false;
	}
	qsort(l->entry, l->n, sizeof(*l->entry), by_name);
	return true;
}

/* order_dirs() - all that can be reached, parents first; NULL without memory */
static tree_ref *order_dirs(const struct tree *t, size_t *ret_n)
{
	tree_ref *order = malloc(t->n * sizeof(*order));
	size_t n = 0;

	if (!order)
		return NULL;
	order[n++] = TREE_ROOT;
	for (size_t i = 0; i < n; i++)
		for (tree_ref c = t->node[order[i]].child; c; c = t->node[c].next)
			if (t->node[c].type == TREE_DIR)
				order[n++] = c;
	*ret_n = n;
	return order;
}

static int place_dirs(
	struct tree *t, struct erofs *w, const tree_ref *order, size_t n, struct listing *l)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		uint64_t size = 0;

		if (!list_dir(t, order[i], l))
			return -ENOMEM;
		for (size_t k = 0; k < l->n; k++)
			size = erofs_dir_grow(size, l->entry[k].len);
		r = erofs_dir_place(w, size, &t->node[order[i]].nid);
	}
	return r;
}

static void count(struct tree_counts *c, const struct listing *l)
{
	for (size_t i = 0; i < l->n; i++) {
		c->files += l->entry[i].type == DT_REG;
		c->symlinks += l->entry[i].type == DT_LNK;
		c->fifos += l->entry[i].type == DT_FIFO;
	}
	c->dirs++;
}

static int write_dirs(struct tree *t, struct erofs *w, const tree_ref *order, size_t n,
	struct listing *l, struct tree_counts *counts)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const struct tree_node *d = &t->node[order[i]];
		struct erofs_inode in = {
			.mode = S_IFDIR | d->mode, .uid = d->uid, .gid = d->gid, .mtime = d->mtime};

		if (!list_dir(t, order[i], l))
			return -ENOMEM;
		for (size_t k = 0; k < l->n; k++)
			in.nlink += l->entry[k].type == DT_DIR;
		count(counts, l);
		r = erofs_dir_write(w, &in, l->entry, l->n, d->nid);
	}
	return r;
}

/* ---- hard links ------------------------------------------------------------------------------- */

static int by_nid(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* write_links() - how many names each file has that has more than one */
static int write_links(
	struct tree *t, struct erofs *w, const tree_ref *order, size_t n, uint64_t *ret_links)
{
	AUTO_FREE uint32_t *names = calloc(t->n_linked + 1, sizeof(*names));
	uint32_t unique = 0;
	int r = 0;

	if (!names)
		return -ENOMEM;
	qsort(t->linked, t->n_linked, sizeof(*t->linked), by_nid);
	for (uint32_t i = 0; i < t->n_linked; i++)
		if (i == 0 || t->linked[i] != t->linked[unique - 1])
			t->linked[unique++] = t->linked[i];
	t->n_linked = unique;
	for (size_t i = 0; i < n; i++)
		for (tree_ref c = t->node[order[i]].child; c; c = t->node[c].next) {
			uint8_t type = type_of(t->node[c].type);
			uint64_t *at = type == DT_UNKNOWN || type == DT_DIR
					       ? NULL
					       : bsearch(&t->node[c].nid, t->linked, unique,
							 sizeof(*t->linked), by_nid);

			if (at)
				names[at - t->linked]++;
		}
	for (uint32_t i = 0; i < unique && r == 0; i++) {
		if (names[i] > 1)
			*ret_links += names[i] - 1;
		if (names[i] > 1)
			r = erofs_set_nlink(w, t->linked[i], names[i]);
	}
	return r;
}

int tree_write(struct tree *t, struct erofs *w, struct tree_counts *ret_counts)
{
	struct tree_counts counts = {0};
	struct listing l = {0};
	size_t n = 0;
	AUTO_FREE tree_ref *order = order_dirs(t, &n);
	int r = order ? 0 : -ENOMEM;

	if (r == 0 && t->n_linked)
		r = write_links(t, w, order, n, &counts.links);
	if (r == 0)
		r = place_dirs(t, w, order, n, &l);
	if (r == 0)
		r = write_dirs(t, w, order, n, &l, &counts);
	free(l.entry);
	if (r == 0)
		*ret_counts = counts;
	return r;
}
