#include "daemon/view.h"
#include "base/escape.h"
#include "machine/touched.h"
#include "virtio/fs_watch.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BUDGET (512u << 10) /* of all paths together: an answer has a maximum */

static const struct {
	unsigned bit;
	const char *name;
} names[] = {
	{FS_CREATED, "created"},
	{FS_WRITTEN, "written"},
	{FS_RENAMED, "renamed"},
	{FS_LINKED, "linked"},
	{FS_EXECUTABLE, "executable"},
};

static size_t rank(const char *rule)
{
	size_t i = 0;

	while (i < fs_watch_n_rules && strcmp(fs_watch_rules[i].pattern, rule) != 0)
		i++;
	return i;
}

static unsigned depth(const char *path)
{
	unsigned n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

/* What is executed soonest first: the order of the rules, then what is nearest to the top. */
static int compare(const void *pa, const void *pb)
{
	const struct touched_entry *a = pa, *b = pb;
	size_t ra = rank(a->rule), rb = rank(b->rule);
	unsigned da = depth(a->path), db = depth(b->path);

	if (ra != rb)
		return ra < rb ? -1 : 1;
	if (da != db)
		return da < db ? -1 : 1;
	return a->export != b->export ? (a->export < b->export ? -1 : 1) : strcmp(a->path, b->path);
}

static bool add_one(struct js *list, const struct plan *p, const struct touched_entry *t,
	size_t *budget, uint64_t *lost)
{
	char raw[PATH_MAX + FS_WATCH_PATH_MAX], text[2 * sizeof(raw)];
	const char *why = fs_watch_why(t->rule);
	AUTO_JS v = NULL;
	AUTO_JS changes = NULL;
	bool bad = false;

	if (t->export >= p->n_workspaces)
		return false;
	(void)snprintf(raw, sizeof(raw), "%s%s%s", p->workspaces[t->export].path,
		t->path[0] ? "/" : "", t->path);
	(void)escape_str(text, sizeof(text), raw);
	if (strlen(text) > *budget) {
		++*lost;
		return false;
	}
	*budget -= strlen(text);
	v = js_object();
	changes = js_array();
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (t->changes & names[i].bit)
			bad |= js_add_str(changes, names[i].name);
	bad |= js_set_str(v, "path", text);
	bad |= js_set_str(v, "why", why[0] ? why : "tools of the host may obey it");
	bad |= js_set(v, "changes", TAKE(changes));
	bad |= view_time(v, "at", t->at_ms);
	return bad | js_add(list, TAKE(v));
}

static bool add_all(struct js *o, const struct plan *p, const struct touched *t)
{
	AUTO_FREE struct touched_entry *sorted = calloc(TOUCHED_MAX, sizeof(*sorted));
	uint64_t lost = touched_lost(t);
	size_t n = touched_len(t), budget = TEXT_BUDGET;
	AUTO_JS files = js_array();
	bool bad = !sorted;

	for (size_t i = 0; i < n && sorted; i++)
		sorted[i] = touched_at(t, i);
	if (sorted)
		qsort(sorted, n, sizeof(*sorted), compare);
	for (size_t i = 0; i < n && sorted; i++)
		bad |= add_one(files, p, &sorted[i], &budget, &lost);
	bad |= js_set(o, "files", TAKE(files));
	return bad | js_set_int(o, "more", lost > INT64_MAX ? INT64_MAX : (int64_t)lost);
}

bool view_touched(struct js *box, const struct plan *p, int dir)
{
	AUTO_FD fd =
		openat(dir, MACHINE_TOUCHED_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct touched *t = touched_new();
	AUTO_JS o = js_object();
	int r = fd < 0 ? (errno == ENOENT ? 0 : -errno) : t ? touched_read(t, fd) : 0;
	bool bad = !t;

	if (t)
		bad |= add_all(o, p, t);
	/* An empty report must not look like a clean one. */
	bad |= js_set_bool(o, "complete", r == 0);
	touched_free(t);
	return bad | js_set(box, "touched", TAKE(o));
}
