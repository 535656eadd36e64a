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

static enum tree_fault wait_for(
	struct tree *t, tree_ref node, uint32_t born, const char *target, uint32_t before)
{
	uint32_t text, *bucket = bucket_of(t, target);

	if (t->n_waits >= TREE_LINKS_MAX)
		return TREE_MANY_LINKS;
	text = tree_keep_text(t, target, strlen(target));
	if (!text || !tree_grow(&t->wait, &t->cap_waits, t->n_waits + 1, sizeof(*t->wait), 64))
		return TREE_NO_MEMORY;
	t->node[node].target = text;
	t->wait[t->n_waits] = (struct tree_wait){.node = node,
		.born = born,
		.target = text,
		.before = before,
		.next = *bucket,
		.state = WAIT_NEW};
	*bucket = ++t->n_waits;
	t->waiting++;
	return TREE_OK;
}

static bool is_file(const struct tree_node *n)
{
	return n->type == TREE_FILE || n->type == TREE_SYMLINK || n->type == TREE_FIFO;
}

enum tree_fault tree_link(struct tree *t, const char *path, const char *target)
{
	tree_ref node, to = named(t, target);
	enum tree_fault f;
	struct tree_node file = t->node[to]; /* @path may be the same name */
	char text[4096];

	f = tree_add(t, path, TREE_LINK, &node);
	if (f != TREE_OK || node == to)
		return f == TREE_OK ? TREE_NO_TARGET : f;
	if (!to || file.layer != t->layer || (!is_file(&file) && file.type != TREE_LINK))
		return wait_for(t, node, t->index, target, t->index);
	if (file.type == TREE_LINK) {
		/* A link to a link: both wait for the same. */
		(void)strncpy(text, t->text + file.target, sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		return wait_for(t, node, t->index, text, file.index);
	}
	t->node[node].type = file.type;
	t->node[node].nid = file.nid;
	t->node[node].target = file.target;
	return note_linked(t, file.nid) ? TREE_OK : TREE_NO_MEMORY;
}

/* bind() - @w has its file */
static bool bind(struct tree *t, struct tree_wait *w, uint64_t nid, uint8_t type)
{
	struct tree_node *n = &t->node[w->node];

	w->node = 0;
	t->waiting--;
	if (n->type != TREE_LINK || n->index != w->born)
		return true; /* replaced by a later entry of its layer */
	n->type = type;
	n->nid = nid;
	n->target = 0;
	return note_linked(t, nid);
}

/* wanted() - does @w wait for the entry @path that is read now? */
static bool wanted(const struct tree *t, const struct tree_wait *w, const char *path)
{
	return w->node && w->state == WAIT_READY && w->best == t->index + 1 &&
	       strcmp(t->text + w->target, path) == 0;
}

void tree_pass(struct tree *t, bool first)
{
	t->index = 0;
	for (uint32_t i = 0; i < t->n_waits; i++) {
		struct tree_wait *w = &t->wait[i];

		if (first)
			w->before = UINT32_MAX;
		if (!first && w->state != WAIT_NEW)
			continue;
		w->state = WAIT_SCAN;
		w->best = 0;
	}
}

bool tree_pass_end(struct tree *t, bool *ret_more)
{
	*ret_more = false;
	for (uint32_t i = 0; i < t->n_waits; i++) {
		struct tree_wait *w = &t->wait[i];
		const struct tree_node *file;

		if (!w->node)
			continue;
		if (w->state == WAIT_SCAN)
			w->state = w->best ? WAIT_READY : WAIT_BELOW;
		if (w->state == WAIT_READY) { /* where it is seen, too, it has a number already */
			file = &t->node[named(t, t->text + w->target)];
			if (file->layer == t->layer && file->index + 1 == w->best &&
				is_file(file) && !bind(t, w, file->nid, file->type))
				return false;
		}
		*ret_more |= w->node && w->state != WAIT_BELOW;
	}
	return true;
}

void tree_next(struct tree *t)
{
	t->index++;
}

void tree_seen(struct tree *t, const char *path)
{
	if (!t->waiting)
		return;
	for (uint32_t i = *bucket_of(t, path); i; i = t->wait[i - 1].next) {
		struct tree_wait *w = &t->wait[i - 1];

		if (w->node && w->state == WAIT_SCAN && t->index < w->before &&
			strcmp(t->text + w->target, path) == 0)
			w->best = t->index + 1;
	}
}

bool tree_wants(struct tree *t, const char *path)
{
	if (!t->waiting)
		return false;
	for (uint32_t i = *bucket_of(t, path); i; i = t->wait[i - 1].next)
		if (wanted(t, &t->wait[i - 1], path))
			return true;
	return false;
}

enum tree_fault tree_wants_link(struct tree *t, const char *path, const char *target)
{
	enum tree_fault f = TREE_OK;

	if (!tree_wants(t, path))
		return TREE_OK;
	for (uint32_t i = *bucket_of(t, path); i && f == TREE_OK; i = t->wait[i - 1].next) {
		struct tree_wait *w = &t->wait[i - 1];
		tree_ref node = w->node;

		if (!wanted(t, w, path))
			continue;
		w->node = 0;
		t->waiting--;
		f = wait_for(t, node, w->born, target, t->index);
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

		if (wanted(t, w, path) && !bind(t, w, nid, (uint8_t)type))
			return false;
	}
	return true;
}
