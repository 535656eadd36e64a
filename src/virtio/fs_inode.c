/* fs_inode.c - objects the guest holds, their handles, and the budget of descriptors
 *
 * An object lives while the guest holds it (nlookup), has it open, or it is the parent of one that
 * lives: the way back to it is parent and name. The parents form a forest at all times: whatever
 * the host moves around meanwhile, fs_inode_place() breaks a loop before it can exist.
 * A node id carries a sequence number above its slot, so that one that was forgotten never means
 * another object.
 */
#include "virtio/fs_int.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

#define BUCKETS_MIN 1024u

static uint32_t bucket(const struct fs_server *s, unsigned export, uint64_t dev, uint64_t ino)
{
	uint64_t h = (ino + export) * 0x9e3779b97f4a7c15u;

	h ^= (dev + 1) * 0xc2b2ae3d27d4eb4fu;
	h ^= h >> 29;
	return (uint32_t)(h & (s->n_buckets - 1));
}

static uint64_t statx_dev(const struct statx *st)
{
	return (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor;
}

static uint64_t statx_birth(const struct statx *st)
{
	return st->stx_mask & STATX_BTIME ? fs_time_ns(&st->stx_btime) : 0;
}

static void hash_in(struct fs_server *s, struct fs_inode *i)
{
	struct fs_inode **b = &s->buckets[bucket(s, i->export, i->dev, i->ino)];

	i->hash_next = *b;
	*b = i;
	i->hashed = true;
}

static void hash_out(struct fs_server *s, struct fs_inode *i)
{
	struct fs_inode **p;

	if (!i->hashed)
		return;
	for (p = &s->buckets[bucket(s, i->export, i->dev, i->ino)]; *p != i; p = &(*p)->hash_next)
		assert(*p);
	*p = i->hash_next;
	i->hashed = false;
}

/* A failed growth only makes the chains longer. */
static void hash_grow(struct fs_server *s)
{
	struct fs_inode **old = s->buckets, **b;
	uint32_t n = s->n_buckets;

	if (s->n_inodes < n || !(b = calloc((size_t)n * 2, sizeof(*b))))
		return;
	s->buckets = b;
	s->n_buckets = n * 2;
	for (uint32_t k = 0; k < n; k++)
		for (struct fs_inode *i = old[k], *next; i; i = next) {
			next = i->hash_next;
			hash_in(s, i);
		}
	free(old);
}

static struct fs_inode *slot(const struct fs_server *s, uint32_t index)
{
	if (index >= s->n_chunks * FS_INODE_CHUNK)
		return NULL;
	return &s->chunks[index / FS_INODE_CHUNK][index % FS_INODE_CHUNK];
}

static int add_chunk(struct fs_server *s)
{
	struct fs_inode *c;

	if (s->n_chunks == s->cap_chunks) {
		uint32_t cap = s->cap_chunks ? s->cap_chunks * 2 : 16;
		struct fs_inode **p = reallocarray(s->chunks, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		s->chunks = p;
		s->cap_chunks = cap;
	}
	c = calloc(FS_INODE_CHUNK, sizeof(*c));
	if (!c)
		return -ENOMEM;
	for (uint32_t k = FS_INODE_CHUNK; k-- > 0;) {
		c[k].slot = s->n_chunks * FS_INODE_CHUNK + k;
		c[k].hash_next = s->free_inodes;
		s->free_inodes = &c[k];
	}
	s->chunks[s->n_chunks++] = c;
	return 0;
}

static int inode_new(
	struct fs_server *s, unsigned export, const struct statx *st, struct fs_inode **ret)
{
	struct fs_inode *i;
	uint32_t at;
	int r;

	if (s->n_inodes >= s->cfg.max_inodes)
		return -ENFILE;
	if (!s->free_inodes && (r = add_chunk(s)) < 0)
		return r;
	i = s->free_inodes;
	s->free_inodes = i->hash_next;
	at = i->slot;
	*i = (struct fs_inode){
		.slot = at,
		.nodeid = ++s->seq << FS_SLOT_BITS | at,
		.dev = statx_dev(st),
		.ino = st->stx_ino,
		.btime_ns = statx_birth(st),
		.fd = -1,
		.type = (uint16_t)(st->stx_mode & S_IFMT),
		.export = (uint8_t) export,
	};
	s->n_inodes++;
	hash_grow(s);
	hash_in(s, i);
	*ret = i;
	return 0;
}

static void inode_free(struct fs_server *s, struct fs_inode *i)
{
	fs_lock_drop_inode(s, i);
	hash_out(s, i);
	if (!i->root)
		fs_dir_drop(s, i);
	free(i->name);
	i->name = NULL;
	i->nodeid = 0;
	i->hash_next = s->free_inodes;
	s->free_inodes = i;
	s->n_inodes--;
}

bool fs_inode_is(const struct fs_inode *i, const struct statx *st)
{
	return i->ino == st->stx_ino && i->dev == statx_dev(st) &&
	       i->type == (st->stx_mode & S_IFMT) && i->btime_ns == statx_birth(st);
}

struct fs_inode *fs_inode_find(struct fs_server *s, unsigned export, const struct statx *st)
{
	uint64_t dev = statx_dev(st);
	struct fs_inode *i = s->buckets[bucket(s, export, dev, st->stx_ino)];

	while (i && !(i->ino == st->stx_ino && i->dev == dev && i->export == export))
		i = i->hash_next;
	return i;
}

struct fs_inode *fs_inode_peek(const struct fs_server *s, uint64_t nodeid)
{
	struct fs_inode *i = slot(s, (uint32_t)(nodeid & ((1u << FS_SLOT_BITS) - 1)));
	bool held =
		i && i->nodeid == nodeid && nodeid != 0 && (i->root || i->nlookup || i->handles);

	return held ? i : NULL;
}

struct fs_inode *fs_inode_get(struct fs_server *s, uint64_t nodeid)
{
	struct fs_inode *i = fs_inode_peek(s, nodeid);

	s->faults += !i;
	return i;
}

/* Would @i become its own ancestor? Then a link of the chain is from before the host moved
 * things; cut it next to @i, so that what hangs there has to be looked up again.
 */
static void cut_loop(struct fs_inode *i, struct fs_inode *parent)
{
	for (struct fs_inode *p = parent; p; p = p->parent)
		if (p->parent == i) {
			p->parent = NULL;
			free(p->name);
			p->name = NULL;
			i->kids--;
			return;
		}
}

void fs_inode_unplace(struct fs_server *s, struct fs_inode *i)
{
	struct fs_inode *parent = i->parent;

	free(i->name);
	i->name = NULL;
	i->parent = NULL;
	if (parent) {
		parent->kids--;
		fs_inode_reap(s, parent);
	}
}

int fs_inode_place(
	struct fs_server *s, struct fs_inode *i, struct fs_inode *parent, const char *name)
{
	char *copy;

	if (i->root || i == parent || (i->parent == parent && strcmp(i->name, name) == 0))
		return 0;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	if (i->kids)
		cut_loop(i, parent);
	parent->kids++; /* first, so that it outlives the old place */
	fs_inode_unplace(s, i);
	i->parent = parent;
	i->name = copy;
	return 0;
}

int fs_inode_enter(struct fs_server *s, struct fs_inode *parent, unsigned export, const char *name,
	const struct statx *st, struct fs_inode **ret_inode)
{
	struct fs_inode *i = fs_inode_find(s, export, st);
	int r;

	/* The number was given to a new object: the old one is gone, whoever still holds it. */
	if (i && !i->root && !fs_inode_is(i, st)) {
		hash_out(s, i);
		i = NULL;
	}
	if (!i) {
		r = inode_new(s, export, st, &i);
		if (r < 0)
			return r;
	}
	i->nlookup++;
	r = parent ? fs_inode_place(s, i, parent, name) : 0;
	if (r < 0) {
		fs_inode_forget(s, i, 1);
		return r;
	}
	i->checked_ms = s->now_ms;
	fs_mask_see(s, i, st);
	*ret_inode = i;
	return 0;
}

void fs_inode_reap(struct fs_server *s, struct fs_inode *i)
{
	while (i && !i->root && !i->nlookup && !i->handles && !i->kids) {
		struct fs_inode *parent = i->parent;

		if (parent)
			parent->kids--;
		i->parent = NULL;
		inode_free(s, i);
		i = parent;
	}
}

void fs_inode_forget(struct fs_server *s, struct fs_inode *i, uint64_t n)
{
	if (n > i->nlookup) {
		if (!i->root)
			s->faults++;
		n = i->nlookup;
	}
	i->nlookup -= n;
	fs_inode_reap(s, i);
}

/* -- handles */

bool fs_handle_room(const struct fs_server *s)
{
	return s->free_handles && s->n_handles + s->n_locks < s->cfg.max_fds - FS_FDS_SPARE;
}

int fs_handle_new(struct fs_server *s, struct fs_inode *i, int fd, bool dir, bool writable,
	struct fs_handle **ret_handle)
{
	struct fs_handle *h = s->free_handles;
	int r;

	if (!fs_handle_room(s))
		return -ENFILE;
	r = fd >= 0 ? fs_fd_reserve(s) : 0;
	if (r < 0)
		return r;
	s->free_handles = h->next;
	*h = (struct fs_handle){
		.fh = ++s->seq << FS_HANDLE_BITS | (uint64_t)(h - s->handles),
		.inode = i,
		.fd = fd,
		.dir = dir,
		.writable = writable,
	};
	if (i) {
		h->next = i->handles;
		i->handles = h;
	}
	s->n_handles++;
	s->fds += fd >= 0;
	*ret_handle = h;
	return 0;
}

struct fs_handle *fs_handle_get(struct fs_server *s, uint64_t fh, uint64_t nodeid, bool dir)
{
	uint64_t at = fh & ((1u << FS_HANDLE_BITS) - 1);
	struct fs_handle *h = at < s->cfg.max_fds ? &s->handles[at] : NULL;

	if (h && fh != 0 && h->fh == fh && h->dir == dir &&
		nodeid == (h->inode ? h->inode->nodeid : FUSE_ROOT_ID))
		return h;
	s->faults++;
	return NULL;
}

void fs_handle_free(struct fs_server *s, struct fs_handle *h)
{
	struct fs_inode *i = h->inode;

	if (s->dirbuf.owner == h)
		s->dirbuf.owner = NULL;
	if (i) {
		struct fs_handle **p = &i->handles;

		while (*p != h)
			p = &(*p)->next;
		*p = h->next;
	}
	if (h->fd >= 0) {
		close(h->fd);
		s->fds--;
	}
	*h = (struct fs_handle){.fd = -1, .next = s->free_handles};
	s->free_handles = h;
	s->n_handles--;
	if (i)
		fs_inode_reap(s, i);
}

/* -- descriptors of directories, least recently used go first */

static void lru_out(struct fs_server *s, struct fs_inode *i)
{
	*(i->lru_prev ? &i->lru_prev->lru_next : &s->lru_first) = i->lru_next;
	*(i->lru_next ? &i->lru_next->lru_prev : &s->lru_last) = i->lru_prev;
	i->lru_prev = i->lru_next = NULL;
}

static void lru_in(struct fs_server *s, struct fs_inode *i)
{
	i->lru_prev = NULL;
	i->lru_next = s->lru_first;
	*(s->lru_first ? &s->lru_first->lru_prev : &s->lru_last) = i;
	s->lru_first = i;
}

void fs_dir_cache(struct fs_server *s, struct fs_inode *i, int fd)
{
	assert(i->fd < 0 && !i->root);
	i->fd = fd;
	s->fds++;
	lru_in(s, i);
}

void fs_dir_touch(struct fs_server *s, struct fs_inode *i)
{
	if (i->root || s->lru_first == i)
		return;
	lru_out(s, i);
	lru_in(s, i);
}

void fs_dir_drop(struct fs_server *s, struct fs_inode *i)
{
	if (i->fd < 0)
		return;
	lru_out(s, i);
	close(i->fd);
	i->fd = -1;
	s->fds--;
}

int fs_fd_reserve(struct fs_server *s)
{
	while (s->fds >= s->cfg.max_fds) {
		if (!s->lru_last)
			return -ENFILE;
		fs_dir_drop(s, s->lru_last);
	}
	return 0;
}

/* -- the whole table */

static int add_root(struct fs_server *s, unsigned export)
{
	struct statx st;
	struct fs_inode *i;
	int r = fs_stat_fd(s->cfg.exports[export].fd, &st);

	if (r < 0)
		return r;
	if ((st.stx_mode & S_IFMT) != (s->cfg.exports[export].is_file ? S_IFREG : S_IFDIR))
		return -EINVAL;
	r = inode_new(s, export, &st, &i);
	if (r < 0)
		return r;
	i->root = true;
	i->fd = s->cfg.exports[export].fd;
	s->mnt_id[export] = st.stx_mnt_id;
	s->owner_uid[export] = st.stx_uid;
	s->roots[export] = i;
	return 0;
}

int fs_table_init(struct fs_server *s)
{
	int r = 0;

	s->n_buckets = BUCKETS_MIN;
	s->buckets = calloc(s->n_buckets, sizeof(*s->buckets));
	s->handles = calloc(s->cfg.max_fds, sizeof(*s->handles));
	if (!s->buckets || !s->handles)
		return -ENOMEM;
	for (uint32_t k = s->cfg.max_fds; k-- > 0;) {
		s->handles[k].fd = -1;
		s->handles[k].next = s->free_handles;
		s->free_handles = &s->handles[k];
	}
	for (unsigned k = 0; k < s->cfg.n_exports && r == 0; k++)
		r = add_root(s, k);
	return r;
}

void fs_table_clear(struct fs_server *s)
{
	for (uint32_t k = 0; s->handles && k < s->cfg.max_fds && s->n_handles; k++)
		if (s->handles[k].fh)
			fs_handle_free(s, &s->handles[k]);
	for (uint32_t k = 0; k < s->n_chunks * FS_INODE_CHUNK; k++) {
		struct fs_inode *i = slot(s, k);

		if (i->nodeid) {
			i->nlookup = 0;
			fs_inode_reap(s, i);
		}
	}
}

void fs_table_fini(struct fs_server *s)
{
	fs_table_clear(s);
	for (uint32_t k = 0; k < s->n_chunks; k++)
		free(s->chunks[k]);
	free(s->chunks);
	free(s->buckets);
	free(s->handles);
}
