#include "proto/tar.h"
#include "proto/tar_format.h"
#include <errno.h>
#include <string.h>

static void put_octal(uint8_t *dst, size_t len, uint64_t v)
{
	dst[len - 1] = '\0';
	for (size_t i = len - 1; i-- > 0; v >>= 3)
		dst[i] = (uint8_t)('0' + (v & 7));
}

static bool fits(uint64_t v, unsigned digits)
{
	return v >> (3 * digits) == 0;
}

/* split_name() - name and prefix fields; false when the path fits neither */
static bool split_name(uint8_t *h, const char *path)
{
	size_t len = strlen(path);
	const char *cut;

	if (len <= NAME_LEN) {
		memcpy(h + AT_NAME, path, len);
		return true;
	}
	cut = len - 1 > NAME_LEN ? path + len - 1 - NAME_LEN : path + 1;
	cut = strchr(cut, '/');
	if (!cut || cut == path || cut[1] == '\0' || cut - path > PREFIX_LEN)
		return false;
	memcpy(h + AT_PREFIX, path, (size_t)(cut - path));
	memcpy(h + AT_NAME, cut + 1, strlen(cut + 1));
	return true;
}

static int put_head(struct buf *out, uint8_t *h, char flag, uint32_t mode, uint64_t size)
{
	uint64_t sum = 0;

	put_octal(h + AT_MODE, 8, mode);
	put_octal(h + AT_SIZE, 12, size);
	memcpy(h + AT_MAGIC, "ustar\00000", 8);
	h[AT_TYPE] = (uint8_t)flag;
	memset(h + AT_SUM, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += h[i];
	put_octal(h + AT_SUM, 7, sum);
	return buf_add(out, h, TAR_BLOCK);
}

/* pax_bytes() - LENGTH counts its own digits too */
static int pax_bytes(struct buf *out, const char *key, const void *value, size_t n)
{
	size_t rest = 1 + strlen(key) + 1 + n + 1, len = rest + 1;
	int r;

	for (size_t digits = 1, top = 10; len >= top; digits++, top *= 10)
		len = rest + digits + 1;
	r = buf_addf(out, "%zu %s=", len, key);
	if (r == 0)
		r = buf_add(out, value, n);
	return r < 0 ? r : buf_add(out, "\n", 1);
}

static int pax_record(struct buf *out, const char *key, const char *value)
{
	return pax_bytes(out, key, value, strlen(value));
}

static int pax_number(struct buf *out, const char *key, int64_t v)
{
	char text[24], *p = text + sizeof(text) - 1;
	uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;

	*p = '\0';
	do {
		*--p = (char)('0' + u % 10);
		u /= 10;
	} while (u);
	if (v < 0)
		*--p = '-';
	return pax_record(out, key, p);
}

static int put_zeros(struct buf *out, size_t n)
{
	char *room;
	int r = buf_room(out, n, &room);

	if (r < 0)
		return r;
	memset(room, 0, n);
	buf_grew(out, n);
	return 0;
}

static int put_pax(struct buf *out, const struct buf *records)
{
	uint8_t h[TAR_BLOCK] = {0};
	int r;

	memcpy(h + AT_NAME, "pax", 3);
	put_octal(h + AT_UID, 8, 0);
	put_octal(h + AT_GID, 8, 0);
	put_octal(h + AT_MTIME, 12, 0);
	r = put_head(out, h, 'x', 0644, records->len);
	if (r == 0)
		r = buf_add(out, records->data, records->len);
	return r < 0 ? r : put_zeros(out, tar_padding(records->len));
}

static bool may_be_written(const struct tar_entry *e)
{
	char clean[TAR_PATH_MAX];
	size_t link = strnlen(e->linkname, TAR_PATH_MAX);

	if (!tar_clean_path(clean, e->path, strnlen(e->path, TAR_PATH_MAX)) ||
		strcmp(clean, e->path) != 0)
		return false;
	if (e->type == TAR_HARDLINK &&
		(!tar_clean_path(clean, e->linkname, link) || strcmp(clean, e->linkname) != 0))
		return false;
	if (e->type == TAR_SYMLINK && (link == 0 || link == TAR_PATH_MAX))
		return false;
	return e->type == TAR_FILE || e->size == 0;
}

/* put_fields() - what fits goes into @h, what does not becomes a record */
static int put_fields(uint8_t *h, struct buf *pax, const struct tar_entry *e)
{
	size_t link = strlen(e->linkname);
	int r = 0;

	if (!split_name(h, e->path)) {
		memcpy(h + AT_NAME, e->path, NAME_LEN);
		r = pax_record(pax, "path", e->path);
	}
	memcpy(h + AT_LINK, e->linkname, link < NAME_LEN ? link : NAME_LEN);
	if (r == 0 && link > NAME_LEN)
		r = pax_record(pax, "linkpath", e->linkname);
	put_octal(h + AT_UID, 8, fits(e->uid, 7) ? e->uid : 0);
	if (r == 0 && !fits(e->uid, 7))
		r = pax_number(pax, "uid", e->uid);
	put_octal(h + AT_GID, 8, fits(e->gid, 7) ? e->gid : 0);
	if (r == 0 && !fits(e->gid, 7))
		r = pax_number(pax, "gid", e->gid);
	put_octal(h + AT_MTIME, 12,
		e->mtime >= 0 && fits((uint64_t)e->mtime, 11) ? (uint64_t)e->mtime : 0);
	if (r == 0 && (e->mtime < 0 || !fits((uint64_t)e->mtime, 11)))
		r = pax_number(pax, "mtime", e->mtime);
	if (r == 0 && !fits(e->size, 11))
		r = e->size > INT64_MAX ? -EINVAL : pax_number(pax, "size", (int64_t)e->size);
	return r;
}

int tar_put_entry(struct buf *out, const struct tar_entry *e)
{
	static const char flags[] = {
		[TAR_FILE] = '0',
		[TAR_HARDLINK] = '1',
		[TAR_SYMLINK] = '2',
		[TAR_CHAR_DEVICE] = '3',
		[TAR_BLOCK_DEVICE] = '4',
		[TAR_DIR] = '5',
		[TAR_FIFO] = '6',
	};
	uint8_t h[TAR_BLOCK] = {0};
	AUTO(buf) pax;
	int r;

	buf_init(&pax, TAR_PAX_MAX);
	if (!may_be_written(e))
		return -EINVAL;
	r = put_fields(h, &pax, e);
	if (r == 0 && e->type == TAR_FILE && e->capability_len)
		r = pax_bytes(
			&pax, "SCHILY.xattr.security.capability", e->capability, e->capability_len);
	if (r == 0 && pax.len)
		r = put_pax(out, &pax);
	if (r < 0)
		return r;
	return put_head(out, h, flags[e->type], e->mode & 07777, fits(e->size, 11) ? e->size : 0);
}

int tar_put_end(struct buf *out)
{
	return put_zeros(out, TAR_END_BYTES);
}
