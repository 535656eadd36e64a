#include "daemon/hardlinks.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/own.h"
#include <fts.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ENTRIES_MAX 20000
#define LINKS_MAX   512
#define SCAN_MS	    200

struct link_seen {
	dev_t dev;
	ino_t ino;
	nlink_t have, seen;
	char name[80];
};

struct scan {
	struct link_seen *links;
	size_t n;
	bool whole; /* everything was looked at */
};

static void see(struct scan *s, const char *path, const struct stat *st)
{
	struct link_seen *l;

	for (size_t i = 0; i < s->n; i++)
		if (s->links[i].ino == st->st_ino && s->links[i].dev == st->st_dev) {
			s->links[i].seen++;
			return;
		}
	if (s->n == LINKS_MAX)
		return;
	l = &s->links[s->n++];
	*l = (struct link_seen){st->st_dev, st->st_ino, st->st_nlink, 1, ""};
	(void)escape_str(l->name, sizeof(l->name), path);
}

static void walk(struct scan *s, FTS *tree, size_t top)
{
	int64_t deadline = clock_ms() + SCAN_MS;
	unsigned entries = 0;
	FTSENT *f;

	while ((f = fts_read(tree))) {
		if (++entries > ENTRIES_MAX || clock_ms() > deadline)
			return;
		if (f->fts_info == FTS_F && S_ISREG(f->fts_statp->st_mode) &&
			f->fts_statp->st_nlink > 1)
			see(s, f->fts_path + top, f->fts_statp);
	}
	s->whole = true;
}

void hardlinks_note(const char *dir, char *dst, size_t cap)
{
	AUTO_FREE char *copy = strdup(dir);
	AUTO_FREE struct link_seen *links = calloc(LINKS_MAX, sizeof(*links));
	char *const roots[] = {copy, NULL};
	struct scan s = {.links = links};
	const char *first = NULL;
	unsigned outside = 0;
	FTS *tree;

	dst[0] = '\0';
	if (!copy || !links)
		return;
	tree = fts_open(roots, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);
	if (!tree)
		return;
	walk(&s, tree, strlen(dir) + 1);
	(void)fts_close(tree);
	/* When not everything was seen, a name may simply not have come up: then nothing is said. */
	for (size_t i = 0; s.whole && i < s.n; i++)
		if (links[i].seen < links[i].have) {
			outside++;
			first = first ? first : links[i].name;
		}
	if (outside)
		(void)snprintf(dst, cap,
			"%u file%s in the workspace %s also named outside of it (hard links), e.g. "
			"'%s': "
			"writing to one writes to the other",
			outside, outside > 1 ? "s" : "", outside > 1 ? "are" : "is", first);
}
