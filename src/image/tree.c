#include "image/tree.h"
#include "image/tree_int.h"
#include <assert.h>
#include <string.h>
#include <sys/random.h>

#define TEXT_MAX (1U << 28)

static const char *const texts[] = {
	[TREE_OK] = "no fault",
	[TREE_HIDDEN] = "an entry is hidden by a layer above",
	[TREE_MANY] = "there are too many files",
	[TREE_MANY_LINKS] = "there are too many hard links",
	[TREE_NOT_A_DIR] = "a path goes through something that is no directory",
	[TREE_LONG_NAME] = "a name is longer than 255 bytes",
	[TREE_DEEP] = "directories lie too deep in one another",
	[TREE_NO_TARGET] = "a hard link leads to nothing",
	[TREE_NO_MEMORY] = "there is not enough memory",
};
static_assert(ARRAY_LEN(texts) == TREE_FAULT_COUNT, "a text per fault");

const char *tree_fault_text(enum tree_fault f)
{
	return (unsigned)f < TREE_FAULT_COUNT ? texts[f] : texts[TREE_NO_MEMORY];
}

/* ---- memory ----------------------------------------------------------------------------------- */

bool tree_grow(void *pp, uint32_t *cap, uint32_t need, size_t each, uint32_t first)
{
	void **array = pp, *more;
	uint32_t next = *cap ? *cap : first;

	while (next < need)
		next += next / 2;
	if (next == *cap)
		return true;
	more = reallocarray(*array, next, each);
	if (!more)
		return false;
	*array = more;
	*cap = next;
	return true;
}

uint32_t tree_keep_text(struct tree *t, const char *s, size_t len)
{
	uint32_t at = t->text_len;

	if (len >= TEXT_MAX - at ||
		!tree_grow(&t->text, &t->text_cap, at + (uint32_t)len + 1, 1, 1U << 16))
		return 0;
	memcpy(t->text + at, s, len);
	t->text[at + len] = '\0';
	t->text_len += (uint32_t)len + 1;
	return at;
}

/* FNV-1a over the bytes, from a random start: who makes an image cannot choose what collides. */
uint64_t tree_hash(const struct tree *t, tree_ref dir, const char *s, size_t len)
{
	uint64_t h = t->seed ^ (dir * 0x9e3779b97f4a7c15ULL);

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)s[i]) * 0x100000001b3ULL;
	return h ^ h >> 29;
}

static void table_put(struct tree *t, tree_ref ref)
{
	const struct tree_node *n = &t->node[ref];
	uint32_t mask = t->table_size - 1;
	uint32_t i = (uint32_t)tree_hash(t, n->parent, t->text + n->name, n->len) & mask;

	while (t->table[i])
		i = (i + 1) & mask;
	t->table[i] = ref;
}

/* table_room() - for one more; a node that was moved has left its old place behind */
static bool table_room(struct tree *t)
{
	uint32_t used = t->n + t->n / 4, size = t->table_size;
	tree_ref *old = t->table;

	if (size && used < size / 2)
		return true;
	size = size ? size * 2 : 1U << 12;
	t->table = calloc(size, sizeof(*t->table));
	if (!t->table) {
		t->table = old;
		return false;
	}
	t->table_size = size;
	for (tree_ref i = TREE_ROOT + 1; i < t->n; i++)
		table_put(t, i);
	free(old);
	return true;
}

bool tree_rehash(struct tree *t, tree_ref node)
{
	if (!table_room(t))
		return false;
	table_put(t, node);
	return true;
}

struct tree *tree_new(void)
{
	struct tree *t = calloc(1, sizeof(*t));
	struct tree_node *root;

	if (!t)
		return NULL;
	(void)!tree_keep_text(t, "", 0); /* at 0, which means none from here on */
	if (!t->text || getrandom(&t->seed, sizeof(t->seed), 0) != sizeof(t->seed) ||
		!tree_grow(&t->node, &t->cap, TREE_ROOT + 1, sizeof(*t->node), 1U << 12)) {
		tree_free(t);
		return NULL;
	}
	memset(t->node, 0, 2 * sizeof(*t->node));
	t->n = TREE_ROOT + 1;
	t->layer = -1;
	root = &t->node[TREE_ROOT];
	root->parent = TREE_ROOT;
	root->type = TREE_DIR;
	root->mode = 0755;
	root->meta_layer = root->gone = root->opaque = TREE_NO_LAYER;
	return t;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	free(t->node);
	free(t->text);
	free(t->table);
	free(t->wait);
	free(t->linked);
	free(t);
}

bool tree_layer(struct tree *t)
{
	if (t->layer + 1 >= TREE_LAYERS_MAX)
		return false;
	t->layer++;
	return true;
}

/* ---- names ------------------------------------------------------------------------------------ */

tree_ref tree_find(const struct tree *t, tree_ref dir, const char *name, size_t len)
{
	uint32_t mask = t->table_size - 1, i;

	if (!t->table_size)
		return 0;
	for (i = (uint32_t)tree_hash(t, dir, name, len) & mask; t->table[i]; i = (i + 1) & mask) {
		const struct tree_node *n = &t->node[t->table[i]];

		if (n->parent == dir && n->len == len && memcmp(t->text + n->name, name, len) == 0)
			return t->table[i];
	}
	return 0;
}

tree_ref tree_make(struct tree *t, tree_ref dir, const char *name, size_t len, enum tree_type type,
	enum tree_fault *ret_fault)
{
	struct tree_node *n;
	uint32_t text;

	if (len == 0 || len > EROFS_NAME_MAX) {
		*ret_fault = TREE_LONG_NAME;
		return 0;
	}
	if (t->n >= TREE_NODES_MAX) {
		*ret_fault = TREE_MANY;
		return 0;
	}
	*ret_fault = TREE_NO_MEMORY;
	text = tree_keep_text(t, name, len);
	if (!text || !tree_grow(&t->node, &t->cap, t->n + 1, sizeof(*t->node), 1U << 12) ||
		!table_room(t))
		return 0;
	n = &t->node[t->n];
	*n = (struct tree_node){.parent = dir,
		.next = t->node[dir].child,
		.name = text,
		.len = (uint8_t)len,
		.type = (uint8_t)type,
		.mode = 0755,
		.layer = (uint8_t)t->layer,
		.index = t->index,
		.meta_layer = TREE_NO_LAYER,
		.gone = TREE_NO_LAYER,
		.opaque = TREE_NO_LAYER};
	t->node[dir].child = t->n;
	table_put(t, t->n);
	return t->n++;
}

/* closed() - do the layers above say that the current one gives nothing in @dir? */
static bool closed(const struct tree *t, tree_ref dir)
{
	const struct tree_node *n = &t->node[dir];

	return n->opaque < t->layer || n->gone < t->layer;
}

/* enter() - the directory @name of @dir for an entry that lies in it, made when nobody gave it yet */
static enum tree_fault enter(
	struct tree *t, tree_ref dir, const char *name, size_t len, tree_ref *ret_dir)
{
	enum tree_fault f = TREE_OK;
	struct tree_node *n;
	tree_ref ref;

	if (closed(t, dir))
		return TREE_HIDDEN;
	ref = tree_find(t, dir, name, len);
	if (!ref) {
		*ret_dir = tree_make(t, dir, name, len, TREE_DIR, &f);
		return *ret_dir ? TREE_OK : f;
	}
	*ret_dir = ref;
	n = &t->node[ref];
	if (n->type == TREE_DIR)
		return TREE_OK;
	if (n->type == TREE_NOTHING) {
		if (n->gone < t->layer)
			return TREE_HIDDEN;
		n->type = TREE_DIR; /* gone below, and made anew in the same layer */
		n->layer = (uint8_t)t->layer;
		return TREE_OK;
	}
	if (n->layer < t->layer)
		return TREE_HIDDEN;
	return n->type == TREE_SYMLINK ? TREE_OK : TREE_NOT_A_DIR;
}

/* walk() - to the directory of @path's last component */
static enum tree_fault walk(
	struct tree *t, const char *path, tree_ref *ret_dir, const char **ret_name)
{
	tree_ref dir = TREE_ROOT;
	const char *slash;
	unsigned depth = 0;

	for (; (slash = strchr(path, '/')); path = slash + 1) {
		enum tree_fault f = enter(t, dir, path, (size_t)(slash - path), &dir);

		if (f != TREE_OK)
			return f;
		if (++depth >= TREE_DEPTH_MAX)
			return TREE_DEEP;
	}
	*ret_dir = dir;
	*ret_name = path;
	return closed(t, dir) ? TREE_HIDDEN : TREE_OK;
}

/* ---- one entry -------------------------------------------------------------------------------- */

static uint8_t upper(uint8_t a, int b)
{
	return a < b ? a : (uint8_t)b;
}

/* whiteout() - ".wh.@name" in @dir */
static enum tree_fault whiteout(struct tree *t, tree_ref dir, const char *name)
{
	enum tree_fault f = TREE_HIDDEN;
	tree_ref ref;

	if (strcmp(name, ".wh..opq") == 0) {
		t->node[dir].opaque = upper(t->node[dir].opaque, t->layer);
		return TREE_HIDDEN;
	}
	if (strncmp(name, ".wh.", 4) == 0 || !*name || strcmp(name, ".") == 0 ||
		strcmp(name, "..") == 0)
		return TREE_HIDDEN; /* what some storage drivers keep for themselves */
	ref = tree_find(t, dir, name, strlen(name));
	if (!ref) {
		ref = tree_make(t, dir, name, strlen(name), TREE_NOTHING, &f);
		if (!ref)
			return f;
	}
	t->node[ref].gone = upper(t->node[ref].gone, t->layer);
	return TREE_HIDDEN;
}

/* over_dir() - an entry of @type where a directory is known */
static enum tree_fault over_dir(struct tree *t, struct tree_node *n, enum tree_type type)
{
	bool named = n->meta_layer != TREE_NO_LAYER;

	if (n->gone < t->layer)
		return TREE_HIDDEN;
	if (type == TREE_DIR)
		return !named || n->meta_layer == t->layer ? TREE_OK : TREE_HIDDEN;
	if (type == TREE_SYMLINK && !named && n->opaque == TREE_NO_LAYER &&
		n->gone == TREE_NO_LAYER) {
		/* The layers above put something behind it without saying what it is. */
		n->type = TREE_SYMLINK;
		n->layer = (uint8_t)t->layer;
		n->index = t->index;
		return TREE_OK;
	}
	if (n->layer == t->layer || n->meta_layer == t->layer)
		return TREE_NOT_A_DIR;
	n->gone = upper(n->gone, t->layer); /* what lies below was replaced once already */
	return TREE_HIDDEN;
}

/* over() - an entry of @type where @ref is known already */
static enum tree_fault over(struct tree *t, tree_ref ref, enum tree_type type)
{
	struct tree_node *n = &t->node[ref];

	if (n->type == TREE_DIR)
		return over_dir(t, n, type);
	if (n->type == TREE_NOTHING ? n->gone < t->layer : n->layer < t->layer)
		return TREE_HIDDEN;
	/* The later entry of one layer replaces the earlier. */
	n->type = (uint8_t)type;
	n->layer = (uint8_t)t->layer;
	n->index = t->index;
	n->nid = 0;
	n->target = 0;
	return TREE_OK;
}

enum tree_fault tree_add(struct tree *t, const char *path, enum tree_type type, tree_ref *ret_node)
{
	enum tree_fault f;
	const char *name;
	tree_ref dir, ref;

	assert(t->layer >= 0);
	if (strcmp(path, ".") == 0) {
		*ret_node = TREE_ROOT;
		return type != TREE_DIR ? TREE_NOT_A_DIR : over(t, TREE_ROOT, TREE_DIR);
	}
	f = walk(t, path, &dir, &name);
	if (f != TREE_OK)
		return f;
	if (strncmp(name, ".wh.", 4) == 0)
		return whiteout(t, dir, name + 4);
	ref = tree_find(t, dir, name, strlen(name));
	if (ref) {
		f = over(t, ref, type);
		*ret_node = ref;
		return f;
	}
	*ret_node = tree_make(t, dir, name, strlen(name), type, &f);
	return *ret_node ? TREE_OK : f;
}

void tree_meta(struct tree *t, tree_ref node, const struct erofs_inode *in)
{
	struct tree_node *n = &t->node[node];

	n->mode = in->mode & 07777;
	n->uid = in->uid;
	n->gid = in->gid;
	n->mtime = in->mtime;
	n->meta_layer = (uint8_t)t->layer;
}

bool tree_file(struct tree *t, tree_ref node, uint64_t nid, const char *target)
{
	struct tree_node *n = &t->node[node];

	n->nid = nid;
	if (target) {
		uint32_t text = tree_keep_text(t, target, strlen(target));

		t->node[node].target = text;
		return text != 0;
	}
	return true;
}

enum tree_type tree_type_of(const struct tree *t, tree_ref node)
{
	return (enum tree_type)t->node[node].type;
}

uint64_t tree_nid_of(const struct tree *t, tree_ref node)
{
	return t->node[node].nid;
}
