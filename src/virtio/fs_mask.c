/* fs_mask.c - names whose contents are never served (FS-18)
 *
 * A name is masked by a pattern over its path, and all below it with it. What it names is also known
 * by its identity from then on, so that another name of the same file hides it too; when the server
 * is made, the shares are walked for such files. Where that walk had to be cut short, files with
 * further names are not opened at all: better too little than what was to stay hidden.
 * The guest can neither make nor move nor remove a masked name, nor rename a directory that leads to
 * one by a pattern that says so.
 */
#include "virtio/fs_int.h"
#include "base/clock.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define PARTS_MAX    2048
#define HIDDEN_MAX   4096 /* power of two: slots; three quarters are used */
#define SCAN_DEPTH   64
#define SCAN_ENTRIES 1000000u
#define SCAN_MS	     5000

struct hidden {
	uint64_t dev, ino, btime_ns; /* ino 0: free */
};

struct fs_masks {
	struct fs_pattern pattern[FS_MASKS_MAX];
	size_t n;
	struct hidden hidden[HIDDEN_MAX];
	unsigned n_hidden;
	bool cut; /* there may be files that were not found */
	struct fs_part part[PARTS_MAX];
};

static struct hidden identity(const struct statx *st)
{
	return (struct hidden){.dev = (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor,
		.ino = st->stx_ino,
		.btime_ns = st->stx_mask & STATX_BTIME ? fs_time_ns(&st->stx_btime) : 0};
}

static struct hidden *slot(struct fs_masks *m, const struct hidden *h)
{
	size_t k = (size_t)((h->ino ^ h->dev) * 0x9e3779b97f4a7c15u >> 40);

	for (;; k++) {
		struct hidden *at = &m->hidden[k & (HIDDEN_MAX - 1)];

		if (at->ino == 0 ||
			(at->ino == h->ino && at->dev == h->dev && at->btime_ns == h->btime_ns))
			return at;
	}
}

static void remember(struct fs_masks *m, const struct statx *st)
{
	struct hidden h = identity(st), *at = slot(m, &h);

	if (at->ino)
		return;
	if (m->n_hidden >= HIDDEN_MAX / 4 * 3) {
		/* One name: its pattern is enough. */
		m->cut |= S_ISREG(st->stx_mode) && st->stx_nlink > 1;
		return;
	}
	*at = h;
	m->n_hidden++;
}

static bool matches(const struct fs_masks *m, const struct fs_trail *t)
{
	for (size_t i = 0; i < m->n; i++)
		for (size_t k = 0; k < t->n; k++)
			if (fs_pattern_at(&m->pattern[i], t, k))
				return true;
	return false;
}

static struct fs_trail trail(struct fs_server *s, const struct fs_inode *i, const char *name)
{
	struct fs_trail t = {.part = s->masks->part};

	t.n = fs_trail_parts(s, i, name, s->masks->part, PARTS_MAX - 1, &t.inside);
	/* A share's own name is not judged, unless the share is one file. */
	if (!s->cfg.exports[i->export].is_file)
		t.n = t.inside;
	return t;
}

bool fs_mask_name(struct fs_server *s, const struct fs_inode *dir, const char *name)
{
	struct fs_trail t;

	if (!s->masks)
		return false;
	t = trail(s, dir, name);
	return matches(s->masks, &t);
}

bool fs_mask_leads(struct fs_server *s, const struct fs_inode *dir, const char *name)
{
	struct fs_trail t;

	if (!s->masks)
		return false;
	t = trail(s, dir, name);
	for (size_t i = 0; i < s->masks->n; i++)
		if (fs_pattern_leads(&s->masks->pattern[i], &t))
			return true;
	return false;
}

bool fs_mask_hides(struct fs_server *s, const struct statx *st)
{
	struct hidden h;

	if (!s->masks)
		return false;
	if (s->masks->cut && S_ISREG(st->stx_mode) && st->stx_nlink > 1)
		return true;
	h = identity(st);
	return slot(s->masks, &h)->ino != 0;
}

void fs_mask_see(struct fs_server *s, struct fs_inode *i, const struct statx *st)
{
	if (!s->masks)
		return;
	if (!i->root || s->cfg.exports[i->export].is_file) {
		struct fs_trail t = trail(s, i, NULL);

		if (matches(s->masks, &t)) {
			remember(s->masks, st);
			i->masked = true;
		}
	}
	if (!i->masked)
		i->masked = fs_mask_hides(s, st);
}

void fs_mask_attr(struct fuse_attr *a)
{
	*a = (struct fuse_attr){.ino = a->ino,
		.mode = a->mode & S_IFMT,
		.nlink = 1,
		.uid = a->uid,
		.gid = a->gid,
		.blksize = a->blksize};
}

/* -- what there is when the server is made */

struct scan {
	struct fs_server *s;
	unsigned export;
	DIR *dir[SCAN_DEPTH];
	char name[SCAN_DEPTH][256];
	unsigned depth, entries;
	int64_t deadline;
};

/* Descend into @name of the innermost directory; what cannot be opened cannot be served either. */
static void descend(struct scan *sc, const char *name)
{
	AUTO_FD fd = -1;
	DIR *d;

	if (sc->depth == SCAN_DEPTH) {
		sc->s->masks->cut = true;
		return;
	}
	fd = fs_open_at(sc->s,
		sc->depth ? dirfd(sc->dir[sc->depth - 1]) : sc->s->cfg.exports[sc->export].fd, name,
		O_RDONLY | O_DIRECTORY, 0);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return;
	(void)TAKE_FD(fd);
	memcpy(sc->name[sc->depth], name, strlen(name) + 1);
	sc->dir[sc->depth++] = d;
}

static void look_at(struct scan *sc, const struct dirent *e)
{
	struct fs_masks *m = sc->s->masks;
	struct fs_trail t = {.part = m->part};
	struct statx st;

	m->part[t.n++] = (struct fs_part){e->d_name, strlen(e->d_name)};
	for (unsigned k = sc->depth; k-- > 1;) /* the first is the share's root */
		m->part[t.n++] = (struct fs_part){sc->name[k], strlen(sc->name[k])};
	t.inside = t.n;
	if (matches(m, &t) &&
		fs_stat_at(sc->s, sc->export, dirfd(sc->dir[sc->depth - 1]), e->d_name, &st) == 0)
		remember(m, &st);
	if (e->d_type == DT_DIR || e->d_type == DT_UNKNOWN)
		descend(sc, e->d_name);
}

static void scan_export(struct scan *sc)
{
	descend(sc, ".");
	while (sc->depth > 0) {
		const struct dirent *e = readdir(sc->dir[sc->depth - 1]);

		if (++sc->entries > SCAN_ENTRIES ||
			(sc->entries % 1024 == 0 && clock_ms() > sc->deadline)) {
			sc->s->masks->cut = true;
			e = NULL;
		}
		if (!e)
			(void)closedir(sc->dir[--sc->depth]);
		else if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			look_at(sc, e);
	}
}

int fs_mask_scan(struct fs_server *s)
{
	AUTO_FREE struct scan *sc = NULL;

	if (!s->masks)
		return 0;
	sc = calloc(1, sizeof(*sc));
	if (!sc)
		return -ENOMEM;
	sc->s = s;
	sc->deadline = clock_ms() + SCAN_MS;
	for (sc->export = 0; sc->export < s->cfg.n_exports; sc->export ++)
		if (!s->cfg.exports[sc->export].is_file)
			scan_export(sc);
	for (unsigned k = 0; k < s->cfg.n_exports; k++) {
		struct statx st;

		if (fs_stat_fd(s->roots[k]->fd, &st) == 0)
			fs_mask_see(s, s->roots[k], &st);
	}
	return 0;
}

int fs_mask_init(struct fs_server *s)
{
	struct fs_masks *m;

	if (s->cfg.n_masks == 0)
		return 0;
	if (s->cfg.n_masks > FS_MASKS_MAX)
		return -EINVAL;
	m = s->masks = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	for (; m->n < s->cfg.n_masks; m->n++)
		if (fs_pattern_parse(s->cfg.masks[m->n], false, &m->pattern[m->n]) < 0)
			return -EINVAL;
	return 0;
}

void fs_mask_fini(struct fs_server *s)
{
	free(s->masks);
	s->masks = NULL;
}
