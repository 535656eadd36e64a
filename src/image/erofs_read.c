#include "image/erofs_read.h"
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC	     0xe0f5e1e2U
#define SUPER_AT     1024
#define SLOT	     32U
#define INODE_LEN    64U
#define DIRENT_LEN   12U
#define XATTR_HEAD   12U
#define XATTR_ENTRY  4U
#define XATTR_NAME   "capability" /* of the name space "security" */
#define XATTR_SPACE  6
#define LAYOUT_PLAIN 0
#define LAYOUT_TAIL  2

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) | get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
	return get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* within() - do @len bytes from @at lie in the image? */
static bool within(const struct erofs_reader *r, uint64_t at, uint64_t len)
{
	return at <= r->bytes && len <= r->bytes - at;
}

static int read_at(const struct erofs_reader *r, uint64_t at, void *dst, size_t len)
{
	uint8_t *p = dst;

	if (!within(r, at, len))
		return -EBADMSG;
	while (len) {
		ssize_t n = pread(r->fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int erofs_read_open(int fd, struct erofs_reader *ret)
{
	struct erofs_reader r = {.fd = fd};
	uint8_t super[64];
	struct stat st;
	int n;

	if (fstat(fd, &st) < 0)
		return -errno;
	r.bytes = (uint64_t)st.st_size;
	n = read_at(&r, SUPER_AT, super, sizeof(super));
	if (n < 0)
		return n;
	/* inodes are counted from the image's first block, as erofs.h has it */
	if (get32(super) != MAGIC || super[12] != 12 || get32(super + 40) != 0)
		return -EBADMSG;
	r.root = get16(super + 14);
	*ret = r;
	return 0;
}

/* take_capability() - the only attribute that there can be, behind the inode */
static int take_capability(
	const struct erofs_reader *r, uint64_t at, size_t len, struct erofs_inode *in)
{
	uint8_t raw[XATTR_HEAD + XATTR_ENTRY + sizeof(XATTR_NAME) + EROFS_CAPABILITY_MAX + 4];
	const uint8_t *p = raw + XATTR_HEAD;
	size_t name = strlen(XATTR_NAME), value;
	int n;

	if (len > sizeof(raw))
		return -EBADMSG;
	n = read_at(r, at, raw, len);
	if (n < 0)
		return n;
	value = get16(p + 2);
	if (raw[4] != 0 || p[0] != name || p[1] != XATTR_SPACE || value > EROFS_CAPABILITY_MAX ||
		XATTR_HEAD + XATTR_ENTRY + name + value > len ||
		memcmp(p + XATTR_ENTRY, XATTR_NAME, name) != 0)
		return -EBADMSG;
	memcpy(in->capability, p + XATTR_ENTRY + name, value);
	in->capability_len = (uint8_t)value;
	return 0;
}

int erofs_read_node(const struct erofs_reader *r, uint64_t nid, struct erofs_node *ret)
{
	struct erofs_node n = {0};
	uint8_t raw[INODE_LEN];
	uint64_t at;
	size_t xattr;
	unsigned layout;
	int f;

	if (nid > r->bytes / SLOT)
		return -EBADMSG;
	at = nid * SLOT;
	f = read_at(r, at, raw, sizeof(raw));
	if (f < 0)
		return f;
	layout = get16(raw) >> 1 & 7;
	if (!(raw[0] & 1) || (layout != LAYOUT_PLAIN && layout != LAYOUT_TAIL))
		return -EBADMSG;
	xattr = get16(raw + 2) ? XATTR_HEAD + (get16(raw + 2) - 1) * (size_t)4 : 0;
	n.in = (struct erofs_inode){.mode = get16(raw + 4),
		.uid = get32(raw + 24),
		.gid = get32(raw + 28),
		.nlink = get32(raw + 44),
		.mtime = (int64_t)get64(raw + 32),
		.size = get64(raw + 8)};
	n.start = (uint64_t)get32(raw + 16) * EROFS_BLOCK;
	n.tail = at + INODE_LEN + xattr;
	n.whole = layout == LAYOUT_TAIL ? n.in.size / EROFS_BLOCK * EROFS_BLOCK : n.in.size;
	if (!within(r, n.start, n.whole) || !within(r, n.tail, n.in.size - n.whole))
		return -EBADMSG;
	f = xattr ? take_capability(r, at + INODE_LEN, xattr, &n.in) : 0;
	if (f == 0)
		*ret = n;
	return f;
}

int erofs_read_data(const struct erofs_reader *r, const struct erofs_node *n, uint64_t at,
	void *dst, size_t len)
{
	uint8_t *p = dst;
	size_t part;
	int f = 0;

	if (at > n->in.size || len > n->in.size - at)
		return -EBADMSG;
	part = at < n->whole ? len < n->whole - at ? len : (size_t)(n->whole - at) : 0;
	if (part)
		f = read_at(r, n->start + at, p, part);
	if (f == 0 && part < len)
		f = read_at(r, n->tail + (at + part - n->whole), p + part, len - part);
	return f;
}

int erofs_read_block(const struct erofs_reader *r, const struct erofs_node *n, uint64_t at,
	struct erofs_block *ret)
{
	size_t first;
	int f;

	ret->count = ret->next = 0;
	if (at >= n->in.size)
		return -EBADMSG;
	ret->len = n->in.size - at < EROFS_BLOCK ? (size_t)(n->in.size - at) : EROFS_BLOCK;
	if (ret->len < DIRENT_LEN)
		return -EBADMSG;
	f = erofs_read_data(r, n, at, ret->bytes, ret->len);
	if (f < 0)
		return f;
	/* Where the first name stands says how many entries there are before it. */
	first = get16(ret->bytes + 8);
	if (first == 0 || first % DIRENT_LEN || first > ret->len)
		return -EBADMSG;
	ret->count = first / DIRENT_LEN;
	return 0;
}

int erofs_next(struct erofs_block *b, struct erofs_dirent *ret)
{
	const uint8_t *p = b->bytes + b->next * DIRENT_LEN;
	size_t at, end, len;

	if (b->next == b->count)
		return 0;
	at = get16(p + 8);
	end = b->next + 1 < b->count ? get16(p + DIRENT_LEN + 8) : b->len;
	if (at < b->count * DIRENT_LEN || at >= end || end > b->len)
		return -EBADMSG;
	/* zeros behind the last name of a block that is not full */
	len = strnlen((const char *)b->bytes + at, end - at);
	if (len == 0 || len > EROFS_NAME_MAX || (b->next + 1 < b->count && len != end - at) ||
		memchr(b->bytes + at, '/', len))
		return -EBADMSG;
	*ret = (struct erofs_dirent){get64(p), (const char *)b->bytes + at, (uint16_t)len, p[10]};
	b->next++;
	return 1;
}
