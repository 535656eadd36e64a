#include "image/erofs.h"
#include <assert.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define MAGIC	  0xe0f5e1e2U
#define SUPER_AT  1024U
#define SUPER_LEN 128U
#define ROOT_AT                                                                                    \
	(SUPER_AT + SUPER_LEN) /* its number has 16 bits only: it stands in the first block */
#define SLOT	       32U /* a nid counts these */
#define INODE_LEN      64U
#define NLINK_AT       44U /* in an inode */
#define DIRENT_LEN     12U
#define XATTR_HEAD     12U
#define XATTR_ENTRY    4U
#define XATTR_SECURITY 6
#define CLUSTER	       16U /* blocks that inodes are given at a time */
#define WINDOW	       (1U << 20)

enum layout { PLAIN = 0, INLINE = 2 };

/* Where the next block and the next inode go. A copy of it tells where directories will be. */
struct place {
	uint64_t end; /* block */
	uint64_t cluster; /* its first block; 0: none yet */
	size_t used; /* bytes of the cluster */
};

struct erofs {
	int fd;
	uint64_t max_blocks;
	struct place at, plan;
	bool planning;
	bool root_planned, root_written;
	uint64_t window_at; /* byte of the file */
	size_t window_len;
	struct erofs_inode in; /* the file that is being written */
	uint64_t start, whole; /* block; bytes of it that are in whole blocks */
	uint64_t got;
	uint32_t ino;
	uint8_t root[INODE_LEN];
	uint8_t tail[EROFS_BLOCK];
	uint8_t meta[CLUSTER * EROFS_BLOCK];
	uint8_t window[WINDOW];
};

static void put16(uint8_t *p, uint32_t v)
{
	uint16_t le = htole16((uint16_t)v);

	memcpy(p, &le, sizeof(le));
}

static void put32(uint8_t *p, uint64_t v)
{
	uint32_t le = htole32((uint32_t)v);

	memcpy(p, &le, sizeof(le));
}

static void put64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static int write_at(int fd, const uint8_t *p, size_t len, uint64_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int erofs_new(int fd, uint64_t max_bytes, struct erofs **ret_w)
{
	struct erofs *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->fd = fd;
	w->max_blocks = max_bytes / EROFS_BLOCK;
	if (w->max_blocks > UINT32_MAX)
		w->max_blocks = UINT32_MAX; /* block numbers have 32 bits */
	w->at.end = 1;
	*ret_w = w;
	return 0;
}

void erofs_free(struct erofs *w)
{
	free(w);
}

/* ---- where things go -------------------------------------------------------------------------- */

static uint64_t take_blocks(struct place *p, uint64_t n)
{
	uint64_t first = p->end;

	p->end += n;
	return first;
}

/* take_meta() - @len bytes within one block, at a slot; the position in the image */
static uint64_t take_meta(struct place *p, size_t len)
{
	size_t room = EROFS_BLOCK - p->used % EROFS_BLOCK;
	uint64_t pos;

	assert(len <= EROFS_BLOCK);
	if (len > room)
		p->used += room;
	if (p->cluster == 0 || p->used >= CLUSTER * EROFS_BLOCK) {
		p->cluster = take_blocks(p, CLUSTER);
		p->used = 0;
	}
	pos = p->cluster * EROFS_BLOCK + p->used;
	p->used += (len + SLOT - 1) / SLOT * SLOT;
	return pos;
}

static int in_limit(const struct erofs *w)
{
	return w->at.end > w->max_blocks ? -EFBIG : 0;
}

/* ---- bytes ------------------------------------------------------------------------------------ */

static int flush(struct erofs *w)
{
	int r = write_at(w->fd, w->window, w->window_len, w->window_at);

	w->window_at += w->window_len;
	w->window_len = 0;
	return r;
}

/* put() - at @pos of the image, behind what was put last or not */
static int put(struct erofs *w, uint64_t pos, const uint8_t *p, size_t len)
{
	while (len) {
		size_t n;

		if (pos != w->window_at + w->window_len || w->window_len == WINDOW) {
			int r = flush(w);

			if (r < 0)
				return r;
			w->window_at = pos;
		}
		n = len < WINDOW - w->window_len ? len : WINDOW - w->window_len;
		memcpy(w->window + w->window_len, p, n);
		w->window_len += n;
		pos += n;
		p += n;
		len -= n;
	}
	return 0;
}

/* flush_meta() - the cluster of inodes as far as it is used */
static int flush_meta(struct erofs *w)
{
	size_t len = (w->at.used + EROFS_BLOCK - 1) / EROFS_BLOCK * EROFS_BLOCK;

	if (w->at.cluster == 0)
		return 0;
	return write_at(w->fd, w->meta, len, w->at.cluster * EROFS_BLOCK);
}

static size_t xattr_len(const struct erofs_inode *in)
{
	size_t len = XATTR_ENTRY + strlen("capability") + in->capability_len;

	return in->capability_len ? XATTR_HEAD + (len + 3) / 4 * 4 : 0;
}

static void encode_xattr(uint8_t *p, const struct erofs_inode *in)
{
	size_t name = strlen("capability");

	if (!in->capability_len)
		return;
	p += XATTR_HEAD;
	p[0] = (uint8_t)name;
	p[1] = XATTR_SECURITY;
	put16(p + 2, in->capability_len);
	memcpy(p + XATTR_ENTRY, "capability", name);
	memcpy(p + XATTR_ENTRY + name, in->capability, in->capability_len);
}

static void encode_inode(uint8_t p[INODE_LEN], const struct erofs_inode *in, enum layout layout,
	uint64_t block, uint32_t ino)
{
	size_t xattr = xattr_len(in);

	memset(p, 0, INODE_LEN);
	put16(p, 1U | (unsigned)layout << 1); /* the long form */
	put16(p + 2, xattr ? (uint32_t)((xattr - XATTR_HEAD) / 4 + 1) : 0);
	put16(p + 4, in->mode);
	put64(p + 8, in->size);
	put32(p + 16, block);
	put32(p + 20, ino);
	put32(p + 24, in->uid);
	put32(p + 28, in->gid);
	put64(p + 32, (uint64_t)in->mtime);
	put32(p + NLINK_AT, in->nlink);
}

/* put_inode() - with its attribute, and the file's last @len bytes behind it */
static int put_inode(struct erofs *w, const struct erofs_inode *in, enum layout layout,
	uint64_t block, const uint8_t *tail, size_t len, uint64_t *ret_nid)
{
	struct place next = w->at;
	size_t xattr = xattr_len(in);
	uint64_t pos = take_meta(&next, INODE_LEN + xattr + len);
	uint8_t *p;

	if (next.cluster != w->at.cluster) {
		int r = flush_meta(w);

		if (r < 0)
			return r;
		memset(w->meta, 0, sizeof(w->meta));
	}
	w->at = next;
	p = w->meta + (pos - next.cluster * EROFS_BLOCK);
	encode_inode(p, in, layout, block, ++w->ino);
	encode_xattr(p + INODE_LEN, in);
	if (len)
		memcpy(p + INODE_LEN + xattr, tail, len);
	*ret_nid = pos / SLOT;
	return in_limit(w);
}

/* ---- files ------------------------------------------------------------------------------------ */

/* whole_blocks() - how many blocks of their own @size bytes get; the rest goes behind the inode */
static uint64_t whole_blocks(uint64_t size, size_t beside)
{
	uint64_t blocks = size / EROFS_BLOCK;

	return blocks + (size % EROFS_BLOCK + beside > EROFS_BLOCK);
}

int erofs_file_begin(struct erofs *w, const struct erofs_inode *in)
{
	uint64_t blocks = whole_blocks(in->size, INODE_LEN + xattr_len(in));

	assert(in->capability_len <= EROFS_CAPABILITY_MAX);
	if (blocks > w->max_blocks)
		return -EFBIG;
	w->in = *in;
	w->start = take_blocks(&w->at, blocks);
	w->whole = blocks * EROFS_BLOCK;
	w->got = 0;
	return in_limit(w);
}

int erofs_file_data(struct erofs *w, const void *p, size_t len)
{
	const uint8_t *bytes = p;
	size_t n = 0;
	int r = 0;

	assert(len <= w->in.size - w->got);
	if (w->got < w->whole) {
		n = len < w->whole - w->got ? len : (size_t)(w->whole - w->got);
		r = put(w, w->start * EROFS_BLOCK + w->got, bytes, n);
	}
	if (n < len)
		memcpy(w->tail + (w->got + n - w->whole), bytes + n, len - n);
	w->got += len;
	return r;
}

int erofs_file_end(struct erofs *w, uint64_t *ret_nid)
{
	static const uint8_t zero[EROFS_BLOCK];
	size_t pad = w->whole > w->in.size ? (size_t)(w->whole - w->in.size) : 0;
	size_t tail = w->in.size > w->whole ? (size_t)(w->in.size - w->whole) : 0;
	int r = 0;

	assert(w->got == w->in.size);
	if (pad)
		r = put(w, w->start * EROFS_BLOCK + w->got, zero, pad);
	if (r < 0)
		return r;
	return put_inode(w, &w->in, tail ? INLINE : PLAIN, w->start, w->tail, tail, ret_nid);
}

int erofs_small(
	struct erofs *w, const struct erofs_inode *in, const void *p, size_t len, uint64_t *ret_nid)
{
	assert(len <= EROFS_SMALL_MAX && len == in->size && !in->capability_len);
	return put_inode(w, in, len ? INLINE : PLAIN, 0, p, len, ret_nid);
}

int erofs_set_nlink(struct erofs *w, uint64_t nid, uint32_t nlink)
{
	uint64_t pos = nid * SLOT + NLINK_AT, cluster = w->at.cluster * EROFS_BLOCK;
	uint8_t le[4];

	put32(le, nlink);
	if (w->at.cluster && pos >= cluster && pos < cluster + sizeof(w->meta)) {
		memcpy(w->meta + (pos - cluster), le, sizeof(le));
		return 0;
	}
	return write_at(w->fd, le, sizeof(le), pos);
}

/* ---- directories ------------------------------------------------------------------------------ */

uint64_t erofs_dir_grow(uint64_t size, size_t len)
{
	size_t used = size % EROFS_BLOCK;

	/* An entry and its name are in one block. */
	if (used + DIRENT_LEN + len > EROFS_BLOCK)
		size += EROFS_BLOCK - used;
	return size + DIRENT_LEN + len;
}

int erofs_dir_place(struct erofs *w, uint64_t size, uint64_t *ret_nid)
{
	uint64_t blocks;

	if (!w->planning) {
		w->plan = w->at;
		w->planning = true;
	}
	if (!w->root_planned) {
		(void)take_blocks(&w->plan, (size + EROFS_BLOCK - 1) / EROFS_BLOCK);
		w->root_planned = true;
		*ret_nid = ROOT_AT / SLOT;
	} else {
		blocks = whole_blocks(size, INODE_LEN);
		(void)take_blocks(&w->plan, blocks);
		*ret_nid =
			take_meta(&w->plan,
				INODE_LEN + (size > blocks * EROFS_BLOCK
							    ? (size_t)(size - blocks * EROFS_BLOCK)
							    : 0)) /
			SLOT;
	}
	return w->plan.end > w->max_blocks ? -EFBIG : 0;
}

static uint8_t dirent_type(uint8_t dt)
{
	switch (dt) {
	case DT_REG:
		return 1;
	case DT_DIR:
		return 2;
	case DT_CHR:
		return 3;
	case DT_BLK:
		return 4;
	case DT_FIFO:
		return 5;
	case DT_SOCK:
		return 6;
	case DT_LNK:
		return 7;
	default:
		return 0;
	}
}

/* fill_block() - as many entries as fit; how many. *ret_len: bytes of the block that are used */
static size_t fill_block(
	uint8_t block[EROFS_BLOCK], const struct erofs_dirent *e, size_t n, size_t *ret_len)
{
	size_t count = 0, len = 0, name;

	while (count < n && len + DIRENT_LEN + e[count].len <= EROFS_BLOCK)
		len += DIRENT_LEN + e[count++].len;
	memset(block, 0, EROFS_BLOCK);
	name = count * DIRENT_LEN;
	for (size_t i = 0; i < count; i++) {
		uint8_t *p = block + i * DIRENT_LEN;

		put64(p, e[i].nid);
		put16(p + 8, (uint32_t)name);
		p[10] = dirent_type(e[i].type);
		memcpy(block + name, e[i].name, e[i].len);
		name += e[i].len;
	}
	*ret_len = len;
	return count;
}

static uint64_t dir_size(const struct erofs_dirent *e, size_t n)
{
	uint64_t size = 0;

	for (size_t i = 0; i < n; i++) {
		assert(e[i].len > 0 && e[i].len <= EROFS_NAME_MAX);
		size = erofs_dir_grow(size, e[i].len);
	}
	return size;
}

/* dir_blocks() - the entries; those of the last block stay in w->tail when they go behind the inode */
static int dir_blocks(struct erofs *w, const struct erofs_dirent *e, size_t n, uint64_t blocks)
{
	uint64_t block = take_blocks(&w->at, blocks), first = block;
	int r = in_limit(w);

	w->start = first;
	while (n && r == 0) {
		size_t len, count = fill_block(w->tail, e, n, &len);

		e += count;
		n -= count;
		if (block < first + blocks)
			r = put(w, block++ * EROFS_BLOCK, w->tail, EROFS_BLOCK);
	}
	return r;
}

int erofs_dir_write(struct erofs *w, const struct erofs_inode *in, const struct erofs_dirent *entry,
	size_t n, uint64_t nid)
{
	struct erofs_inode dir = *in;
	uint64_t blocks, got;
	size_t tail;
	int r;

	dir.size = dir_size(entry, n);
	dir.capability_len = 0;
	if (!w->root_written) {
		w->root_written = true;
		r = dir_blocks(w, entry, n, (dir.size + EROFS_BLOCK - 1) / EROFS_BLOCK);
		encode_inode(w->root, &dir, PLAIN, w->start, ++w->ino);
		return r;
	}
	blocks = whole_blocks(dir.size, INODE_LEN);
	r = dir_blocks(w, entry, n, blocks);
	if (r < 0)
		return r;
	tail = dir.size > blocks * EROFS_BLOCK ? (size_t)(dir.size - blocks * EROFS_BLOCK) : 0;
	r = put_inode(w, &dir, tail ? INLINE : PLAIN, w->start, w->tail, tail, &got);
	assert(r < 0 || got == nid);
	return r;
}

int erofs_end(struct erofs *w, uint64_t inodes, uint64_t *ret_bytes)
{
	uint8_t block[EROFS_BLOCK] = {0}, *super = block + SUPER_AT;
	uint64_t blocks;
	int r = flush(w);

	if (r == 0)
		r = flush_meta(w);
	if (r < 0)
		return r;
	/* What the last cluster has not used is not part of the image. */
	if (w->at.cluster && w->at.cluster + CLUSTER == w->at.end)
		w->at.end = w->at.cluster + (w->at.used + EROFS_BLOCK - 1) / EROFS_BLOCK;
	blocks = w->at.end;
	put32(super, MAGIC);
	put32(super + 8, 2); /* times are those of the files */
	super[12] = 12; /* blocks of 4 KiB */
	put16(super + 14, ROOT_AT / SLOT);
	put64(super + 16, inodes);
	put32(super + 36, blocks);
	memcpy(block + ROOT_AT, w->root, INODE_LEN);
	r = write_at(w->fd, block, sizeof(block), 0);
	if (r == 0 && ftruncate(w->fd, (off_t)(blocks * EROFS_BLOCK)) < 0)
		r = -errno;
	*ret_bytes = blocks * EROFS_BLOCK;
	return r;
}
