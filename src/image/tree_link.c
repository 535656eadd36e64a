/* Hard links: a name for a file of its own layer, or of one below, that may itself be hidden. */
#include "image/tree.h"
#include "image/tree_int.h"
#include <string.h>

static bool note_linked(struct tree *t, uint64_t nid)
{
	if (!tree_grow(&t->linked, &t->cap_linked, t->n_linked + 1, sizeof(*t->linked), 64))
		return false;
	t->linked[t->n_linked++] = nid;
	return true;
}

static uint32_t *bucket_of(struct tree *t, const char *path)
{
	return &t->bucket[tree_hash(t, 0, path, strlen(path)) % TREE_BUCKETS];
}

/* named() - the node that @path names without following anything; 0: none */
static tree_ref named(const struct tree *t, const char *path)
{
	tree_ref at = TREE_ROOT;

	for (const char *slash; at; path = slash + 1) {
		slash = strchr(path, '/');
		if (!slash)
			return tree_find(t, at, path, strlen(path));
		at = tree_find(t, at, path, (size_t)(slash - path));
	}
	return 0;
}

static enum tree_fault wait_for(struct tree *t, tree_ref node, const char *target)
{
	uint32_t text, *bucket = bucket_of(t, target);

	if (t->n_waits >= TREE_LINKS_MAX)
		return TREE_MANY_LINKS;
	text = tree_keep_text(t, target, strlen(target));
	if (!text || !tree_grow(&t->wait, &t->cap_waits, t->n_waits + 1, sizeof(*t->wait), 64))
		return TREE_NO_MEMORY;
	t->node[node].target = text;
	t->wait[t->n_waits] = (struct tree_wait){node, text, *bucket};
	*bucket = ++t->n_waits;
	t->waiting++;
	return TREE_OK;
}

enum tree_fault tree_link(struct tree *t, const char *path, const char *target)
{
	tree_ref node, to = named(t, target);
	enum tree_fault f = tree_add(t, path, TREE_LINK, &node);
	const struct tree_node *file;

	if (f != TREE_OK || node == to)
		return f == TREE_OK ? TREE_NO_TARGET : f;
	file = &t->node[to];
	if (to && file->layer == t->layer && file->type == TREE_LINK) {
		/* A link to a link: both wait for the same. */
		char text[4096];

		(void)strncpy(text, t->text + file->target, sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		return wait_for(t, node, text);
	}
	if (!to || file->layer != t->layer || file->type == TREE_DIR || file->type == TREE_NOTHING)
		return wait_for(t, node, target);
	t->node[node].type = file->type;
	t->node[node].nid = file->nid;
	t->node[node].target = file->target;
	return note_linked(t, file->nid) ? TREE_OK : TREE_NO_MEMORY;
}

bool tree_wants(const struct tree *t, const char *path)
{
	uint32_t i;

	if (!t->waiting)
		return false;
	i = t->bucket[tree_hash(t, 0, path, strlen(path)) % TREE_BUCKETS];
	for (; i; i = t->wait[i - 1].next)
		if (t->wait[i - 1].node && strcmp(t->text + t->wait[i - 1].target, path) == 0)
			return true;
	return false;
}

size_t tree_waits(const struct tree *t)
{
	return t->n_waits;
}

enum tree_fault tree_wants_link(struct tree *t, const char *path, const char *target)
{
	const struct tree_node *file;
	enum tree_fault f = TREE_OK;
	tree_ref to;

	if (!tree_wants(t, path))
		return TREE_OK;
	to = named(t, target);
	file = &t->node[to];
	if (to && file->layer == t->layer &&
		(file->type == TREE_FILE || file->type == TREE_SYMLINK || file->type == TREE_FIFO))
		return tree_found(t, path, file->nid, (enum tree_type)file->type) ? TREE_OK
										  : TREE_NO_MEMORY;
	for (uint32_t i = *bucket_of(t, path); i && f == TREE_OK; i = t->wait[i - 1].next) {
		tree_ref node = t->wait[i - 1].node;

		if (!node || strcmp(t->text + t->wait[i - 1].target, path) != 0)
			continue;
		t->wait[i - 1].node = 0;
		t->waiting--;
		f = wait_for(t, node, target);
	}
	return f;
}

size_t tree_waiting(const struct tree *t)
{
	return t->waiting;
}

bool tree_found(struct tree *t, const char *path, uint64_t nid, enum tree_type type)
{
	for (uint32_t i = *bucket_of(t, path); i; i = t->wait[i - 1].next) {
		struct tree_wait *w = &t->wait[i - 1];
		struct tree_node *n = &t->node[w->node];

		if (!w->node || strcmp(t->text + w->target, path) != 0)
			continue;
		w->node = 0;
		t->waiting--;
		if (n->type != TREE_LINK)
			continue; /* replaced by a later entry of its layer */
		n->type = (uint8_t)type;
		n->nid = nid;
		n->target = 0;
		if (!note_linked(t, nid))
			return false;
	}
	return true;
}
