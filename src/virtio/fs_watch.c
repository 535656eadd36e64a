/* fs_watch.c - from a change to a name to the rule it falls under, and the telling of it
 *
 * The cost of a name that no rule knows is what counts: rules are found by the first letter of
 * their last component, those for whole trees apart from those for single names.
 */
#include "virtio/fs_int.h"
#include "virtio/fs_pattern.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>

#define PARTS_MAX 2048 /* a longer path cannot be named by one system call either */
#define AGAIN_MS  10000 /* a handle in use is told of again */
#define LETTERS	  256
#define NO_RULE	  UINT16_MAX

struct rule {
	struct fs_pattern p;
	uint16_t next; /* of the same letter */
};

struct fs_watch {
	struct rule *rules;
	uint16_t names[LETTERS + 1], trees[LETTERS + 1]; /* the last: begins with '*' or '?' */
	struct fs_part part[PARTS_MAX];
	char path[FS_WATCH_PATH_MAX], old_path[FS_WATCH_PATH_MAX];
};

static unsigned letter(const struct fs_part *s)
{
	return (unsigned)tolower((unsigned char)s->name[0]);
}

/* From the last to the first, so that the lists are in the order of the table. */
static int parse_rules(struct fs_watch *w)
{
	for (size_t k = 0; k <= LETTERS; k++)
		w->names[k] = w->trees[k] = NO_RULE;
	for (size_t k = fs_watch_n_rules; k-- > 0;) {
		struct rule *r = &w->rules[k];
		const struct fs_part *last;
		uint16_t *list;
		unsigned at;

		if (fs_pattern_parse(fs_watch_rules[k].pattern, true, &r->p) < 0)
			return -EINVAL;
		last = &r->p.part[r->p.n - 1];
		at = last->name[0] == '*' || last->name[0] == '?' ? LETTERS : letter(last);
		list = r->p.tree ? &w->trees[at] : &w->names[at];
		r->next = *list;
		*list = (uint16_t)k;
	}
	return 0;
}

int fs_watch_init(struct fs_server *s)
{
	if (!s->cfg.changed)
		return 0;
	s->watch = calloc(1, sizeof(*s->watch));
	if (!s->watch)
		return -ENOMEM;
	s->watch->rules = calloc(fs_watch_n_rules, sizeof(*s->watch->rules));
	return s->watch->rules ? parse_rules(s->watch) : -ENOMEM;
}

void fs_watch_fini(struct fs_server *s)
{
	if (s->watch)
		free(s->watch->rules);
	free(s->watch);
	s->watch = NULL;
}

/* -- paths */

static size_t add_tail(const char *tail, struct fs_part *part, size_t n)
{
	size_t end = strlen(tail);

	while (end > 0 && n < PARTS_MAX) {
		size_t at = end;

		while (at > 0 && tail[at - 1] != '/')
			at--;
		if (at < end)
			part[n++] = (struct fs_part){tail + at, end - at};
		end = at > 0 ? at - 1 : 0;
	}
	return n;
}

size_t fs_trail_parts(const struct fs_server *s, const struct fs_inode *i, const char *name,
	struct fs_part *part, size_t cap, size_t *ret_inside)
{
	const struct fs_inode *at = i;
	size_t n = 0;

	if (name)
		part[n++] = (struct fs_part){name, strlen(name)};
	for (; at && !at->root && at->name && n < cap; at = at->parent)
		part[n++] = (struct fs_part){at->name, strlen(at->name)};
	*ret_inside = n;
	return at && at->root ? add_tail(s->cfg.exports[i->export].tail, part, n) : n;
}

/* The path as text; from the end, since the end is what must not be lost. */
static const char *path_text(const struct fs_trail *t, bool dir, char dst[FS_WATCH_PATH_MAX])
{
	size_t at = FS_WATCH_PATH_MAX - 1;

	dst[at] = '\0';
	if (dir)
		dst[--at] = '/';
	for (size_t k = 0; k < t->inside; k++) {
		const struct fs_part *p = &t->part[k];

		if (p->len + 5 > at) {
			at -= 4;
			memcpy(dst + at, ".../", 4);
			break;
		}
		if (k > 0)
			dst[--at] = '/';
		at -= p->len;
		memcpy(dst + at, p->name, p->len);
	}
	return dst + at;
}

static struct fs_trail trail(struct fs_server *s, const struct fs_inode *i, const char *name)
{
	struct fs_trail t = {.part = s->watch->part};

	/* one component of the tail may come on top of a full path */
	t.n = fs_trail_parts(s, i, name, s->watch->part, PARTS_MAX - 1, &t.inside);
	return t;
}

/* -- rules */

static uint16_t first_of(
	const struct fs_watch *w, uint16_t at, uint16_t best, const struct fs_trail *t, size_t k)
{
	for (; at != NO_RULE && at < best; at = w->rules[at].next)
		if (fs_pattern_at(&w->rules[at].p, t, k))
			return at;
	return best;
}

static uint16_t find_rule(const struct fs_watch *w, const struct fs_trail *t)
{
	uint16_t best = NO_RULE;

	if (t->n == 0)
		return NO_RULE;
	best = first_of(w, w->names[letter(&t->part[0])], best, t, 0);
	best = first_of(w, w->names[LETTERS], best, t, 0);
	/* Above the share only its own top counts: a project that lies somewhere in such a tree is
	 * not a part of it.
	 */
	for (size_t k = 0; k < t->n && k <= t->inside; k++) {
		best = first_of(w, w->trees[letter(&t->part[k])], best, t, k);
		best = first_of(w, w->trees[LETTERS], best, t, k);
	}
	return best;
}

static uint16_t find_leading(const struct fs_watch *w, const struct fs_trail *t)
{
	for (uint16_t k = 0; k < fs_watch_n_rules; k++)
		if (fs_watch_rules[k].why && fs_pattern_leads(&w->rules[k].p, t))
			return k;
	return NO_RULE;
}

static bool tell(struct fs_server *s, const struct fs_inode *i, const struct fs_trail *t,
	uint16_t rule, unsigned change, bool dir)
{
	if (rule == NO_RULE || !fs_watch_rules[rule].why)
		return false;
	s->cfg.changed(s->cfg.changed_ctx, i->export, fs_watch_rules[rule].pattern, change,
		path_text(t, dir, s->watch->path));
	return true;
}

void fs_watch_name(
	struct fs_server *s, const struct fs_inode *dir, const char *name, unsigned change)
{
	struct fs_trail t;

	if (!s->watch)
		return;
	t = trail(s, dir, name);
	(void)tell(s, dir, &t, find_rule(s->watch, &t), change, false);
}

static void changed(struct fs_server *s, const struct fs_inode *i, unsigned change, bool linked)
{
	struct fs_trail t = trail(s, i, NULL);

	if (!tell(s, i, &t, find_rule(s->watch, &t), change, false) && linked && t.n > 0)
		s->cfg.changed(s->cfg.changed_ctx, i->export, FS_WATCH_LINKED, change,
			path_text(&t, false, s->watch->path));
}

void fs_watch_inode(struct fs_server *s, const struct fs_inode *i, unsigned change)
{
	if (s->watch)
		changed(s, i, change, false);
}

void fs_watch_handle(struct fs_server *s, struct fs_handle *h)
{
	if (!s->watch || s->now_ms < h->tell_ms || !h->inode)
		return;
	h->tell_ms = s->now_ms + AGAIN_MS;
	changed(s, h->inode, FS_WRITTEN, h->linked);
}

void fs_watch_moved(struct fs_server *s, const struct fs_inode *from, const char *name,
	const struct fs_inode *to, const char *newname, bool dir)
{
	struct fs_trail t;
	const char *old;
	uint16_t rule;

	if (!s->watch)
		return;
	if (!dir) {
		fs_watch_name(s, to, newname, FS_RENAMED);
		return;
	}
	t = trail(s, from, name);
	old = path_text(&t, true, s->watch->old_path);
	t = trail(s, to, newname);
	if (s->cfg.moved)
		s->cfg.moved(
			s->cfg.changed_ctx, to->export, old, path_text(&t, true, s->watch->path));
	rule = find_rule(s->watch, &t);
	if (rule == NO_RULE)
		rule = find_leading(s->watch, &t);
	(void)tell(s, to, &t, rule, FS_RENAMED, true);
}
