#define ZLIB_CONST
#include "kit/zip.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#define LOCAL_SIG     0x04034b50U
#define CENTRAL_SIG   0x02014b50U
#define END_SIG	      0x06054b50U
#define LOCAL_BYTES   30U
#define CENTRAL_BYTES 46U
#define END_BYTES     22U

#define FLAG_ENCRYPTED	0x0001U
#define FLAG_SPEED	0x0006U /* what the compressor tried: says nothing to a reader */
#define FLAG_DESCRIPTOR 0x0008U /* checksum and sizes stand behind the data, too */
#define FLAG_UTF8	0x0800U
#define FLAGS_TAKEN	(FLAG_SPEED | FLAG_DESCRIPTOR | FLAG_UTF8)

#define STORED		0
#define DEFLATED	8
#define HOST_UNIX	3
#define RATIO_MAX	1100U /* deflate cannot do better than 1032 */
#define DESCRIPTOR_MOST 16U

/* One entry, as the directory describes it. */
struct entry {
	uint16_t host, flags, method;
	uint32_t crc, packed, size, mode, at;
	const uint8_t *name;
	size_t name_len;
};

struct zip {
	const uint8_t *p;
	size_t len;
	const char *root;
	struct kit_tree *out;
	struct err *e;
	uint32_t directory, directory_len, count;
	size_t end; /* of the data of the entry before */
	bool described; /* that one has a descriptor behind its data */
};

static uint16_t u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int bad(const struct zip *z, const char *why)
{
	return err_set(z->e, ERR_INVALID, -EINVAL, "%s:1:1: %s", z->root, why);
}

static int bad_entry(const struct zip *z, const struct entry *f, const char *why)
{
	return err_set(z->e, ERR_INVALID, -EINVAL, "%s/%.*s:1:1: %s", z->root,
		(int)(f->name_len > 200 ? 200 : f->name_len), (const char *)f->name, why);
}

/* read_end() - the last bytes: one archive, whole, and nothing behind it */
static int read_end(struct zip *z)
{
	const uint8_t *p = z->p + z->len - END_BYTES;
	uint16_t count;

	if (z->len < END_BYTES || u32(p) != END_SIG || u16(p + 20) != 0)
		return bad(z, "no ZIP file, or one with something behind its end");
	count = u16(p + 8);
	if (u16(p + 4) || u16(p + 6) || count != u16(p + 10))
		return bad(z, "an archive in several parts is not allowed");
	z->directory_len = u32(p + 12);
	z->directory = u32(p + 16);
	if (count == 0xffff || z->directory == 0xffffffff || z->directory_len == 0xffffffff)
		return bad(z, "ZIP64 is not allowed");
	if (count > KIT_TREE_ENTRIES_MAX)
		return bad(z, "too many entries");
	if ((uint64_t)z->directory + z->directory_len != z->len - END_BYTES)
		return bad(z, "the directory is not where its end says");
	z->count = count;
	return 0;
}

/* extras_ok() - extensions may say times and owners, but neither sizes nor another name */
static bool extras_ok(const uint8_t *p, size_t len)
{
	while (len >= 4) {
		size_t n = u16(p + 2);

		if (u16(p) == 0x0001 || u16(p) == 0x7075 || u16(p) == 0x6375 || n > len - 4)
			return false;
		p += 4 + n;
		len -= 4 + n;
	}
	return len == 0;
}

/* read_central() - the entry at *@at of the directory; moves *@at behind it */
static int read_central(struct zip *z, size_t *at, struct entry *f)
{
	size_t left = z->directory + z->directory_len - *at, name, extra, comment;
	const uint8_t *p = z->p + *at;

	if (left < CENTRAL_BYTES || u32(p) != CENTRAL_SIG)
		return bad(z, "the directory is cut");
	*f = (struct entry){.host = (uint16_t)(u16(p + 4) >> 8),
		.flags = u16(p + 8),
		.method = u16(p + 10),
		.crc = u32(p + 16),
		.packed = u32(p + 20),
		.size = u32(p + 24),
		.mode = u32(p + 38) >> 16,
		.at = u32(p + 42)};
	name = u16(p + 28);
	extra = u16(p + 30);
	comment = u16(p + 32);
	if (left - CENTRAL_BYTES < name + extra + comment)
		return bad(z, "the directory is cut");
	f->name = p + CENTRAL_BYTES;
	f->name_len = name;
	*at += CENTRAL_BYTES + name + extra + comment;
	if (name == 0 || name > KIT_TREE_PATH_MAX + 1 || memchr(f->name, '\0', name))
		return bad(z, "an entry has no proper name");
	if (f->flags & FLAG_ENCRYPTED)
		return bad_entry(z, f, "an encrypted entry is not allowed");
	if (f->flags & ~FLAGS_TAKEN)
		return bad_entry(z, f, "an entry with odd flags is not allowed");
	if (f->method != STORED && f->method != DEFLATED)
		return bad_entry(z, f, "an entry must be stored or deflated");
	if (u16(p + 34) != 0 || !extras_ok(f->name + name, extra))
		return bad_entry(z, f, "an entry with odd extensions is not allowed");
	return 0;
}

/* read_local() - where the data of @f begins; its own head must say what the directory says */
static int read_local(struct zip *z, const struct entry *f, const uint8_t **ret_data)
{
	const uint8_t *p = z->p + f->at;
	size_t gap, name, extra;

	if (f->at < z->end || f->at > z->directory || z->directory - f->at < LOCAL_BYTES ||
		u32(p) != LOCAL_SIG)
		return bad_entry(z, f, "entries overlap, or are not in order");
	gap = f->at - z->end;
	if (gap != 0 && !(z->described && gap >= 12 && gap <= DESCRIPTOR_MOST))
		return bad_entry(z, f, "something lies before this entry");
	name = u16(p + 26);
	extra = u16(p + 28);
	if (z->directory - f->at - LOCAL_BYTES < name + extra ||
		z->directory - f->at - LOCAL_BYTES - name - extra < f->packed)
		return bad_entry(z, f, "the entry is cut");
	if (name != f->name_len || memcmp(p + LOCAL_BYTES, f->name, name) != 0 ||
		u16(p + 6) != f->flags || u16(p + 8) != f->method ||
		!extras_ok(p + LOCAL_BYTES + name, extra))
		return bad_entry(z, f, "the directory says something else than the entry");
	if (f->flags & FLAG_DESCRIPTOR ? (u32(p + 14) && u32(p + 14) != f->crc) ||
						 (u32(p + 18) && u32(p + 18) != f->packed) ||
						 (u32(p + 22) && u32(p + 22) != f->size)
				       : u32(p + 14) != f->crc || u32(p + 18) != f->packed ||
						 u32(p + 22) != f->size)
		return bad_entry(z, f, "the directory says something else than the entry");
	*ret_data = p + LOCAL_BYTES + name + extra;
	z->end = f->at + LOCAL_BYTES + name + extra + f->packed;
	z->described = f->flags & FLAG_DESCRIPTOR;
	return 0;
}

/* unpack() - exactly f->size bytes out of exactly f->packed ones */
static int unpack(const struct zip *z, const struct entry *f, const uint8_t *data, char *dst)
{
	z_stream s = {0};
	int r;

	if (f->method == STORED) {
		if (f->packed != f->size)
			return bad_entry(z, f, "the sizes of the entry do not fit");
		memcpy(dst, data, f->size);
		return 0;
	}
	if (inflateInit2(&s, -15) != Z_OK)
		return err_sys(z->e, -ENOMEM, "read '%s'", z->root);
	s.next_in = data;
	s.avail_in = f->packed;
	s.next_out = (Bytef *)dst;
	s.avail_out = f->size + 1; /* one more than it says: what is longer shows itself */
	r = inflate(&s, Z_FINISH);
	(void)inflateEnd(&s);
	return r == Z_STREAM_END && s.total_out == f->size && s.avail_in == 0
		       ? 0
		       : bad_entry(z, f, "the compressed data is damaged");
}

static int entry_type(const struct zip *z, const struct entry *f, struct kit_entry *out)
{
	bool dir = f->name[f->name_len - 1] == '/';
	uint32_t type = f->host == HOST_UNIX ? f->mode & S_IFMT : 0;

	out->mode = f->host == HOST_UNIX ? f->mode & 0777 : 0;
	out->type = dir ? KIT_DIR : type == S_IFLNK ? KIT_LINK : KIT_FILE;
	if (type && type != (dir ? S_IFDIR : out->type == KIT_LINK ? S_IFLNK : S_IFREG))
		return bad_entry(z, f, "neither file, directory nor link");
	if (dir && (f->size || f->packed > 2))
		return bad_entry(z, f, "a directory has no content");
	return 0;
}

static int read_entry(struct zip *z, const struct entry *f)
{
	char name[KIT_TREE_PATH_MAX + 2];
	struct kit_entry out = {.path = name};
	AUTO_FREE char *bytes = NULL;
	const uint8_t *data = NULL;
	int r = read_local(z, f, &data);

	if (r == 0)
		r = entry_type(z, f, &out);
	if (r < 0)
		return r;
	memcpy(name, f->name, f->name_len);
	name[f->name_len - (out.type == KIT_DIR)] = '\0';
	if (f->size > KIT_TREE_BYTES_MAX || f->size / RATIO_MAX > f->packed)
		return bad_entry(z, f, "the entry is too large");
	if (!kit_tree_wants(name)) {
		out.len = 0;
		return kit_tree_judge(z->root, &out, z->e);
	}
	bytes = malloc((size_t)f->size + 2);
	if (!bytes)
		return err_sys(z->e, -ENOMEM, "read '%s'", z->root);
	r = out.type == KIT_DIR ? 0 : unpack(z, f, data, bytes);
	if (r == 0 && crc32(0, (const Bytef *)bytes, out.type == KIT_DIR ? 0 : f->size) != f->crc)
		return bad_entry(z, f, "the checksum of the entry is wrong");
	out.bytes = bytes;
	out.len = f->size;
	return r == 0 ? kit_tree_add(z->out, z->root, &out, z->e) : r;
}

int kit_zip_read(struct kit_tree *t, const void *bytes, size_t len, const char *root, struct err *e)
{
	struct zip z = {.p = bytes, .len = len, .root = root, .out = t, .e = e};
	size_t at, gap;
	int r;

	if (len > KIT_ZIP_MAX)
		return err_set(e, ERR_LIMIT, -EFBIG, "%s:1:1: larger than %u MiB", root,
			KIT_ZIP_MAX >> 20);
	if (len < END_BYTES)
		return bad(&z, "no ZIP file");
	r = read_end(&z);
	at = z.directory;
	for (uint32_t i = 0; r == 0 && i < z.count; i++) {
		struct entry f = {0};

		r = read_central(&z, &at, &f);
		if (r == 0)
			r = read_entry(&z, &f);
	}
	if (r < 0)
		return r;
	gap = z.directory - z.end;
	if (at != z.directory + z.directory_len ||
		(gap && !(z.described && gap >= 12 && gap <= DESCRIPTOR_MOST)))
		return bad(&z, "something lies between the entries and the directory");
	return kit_tree_seal(t, root, e);
}

/* ---- writing ---- */

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)v);
	put16(p + 2, (uint16_t)(v >> 16));
}

/* put_common() - the 26 bytes that both heads have: version to the length of the extensions */
static void put_common(uint8_t *p, const struct kit_entry *f, uint32_t crc)
{
	memset(p, 0, 26);
	put16(p, 20);
	put16(p + 2, FLAG_UTF8);
	put16(p + 8, 0x0021); /* 1980-01-01, the first day there is */
	put32(p + 10, crc);
	put32(p + 14, (uint32_t)f->len);
	put32(p + 18, (uint32_t)f->len);
	put16(p + 22, (uint16_t)(strlen(f->path) + (f->type == KIT_DIR)));
}

static int put_name(struct buf *out, const struct kit_entry *f)
{
	return buf_addf(out, "%s%s", f->path, f->type == KIT_DIR ? "/" : "");
}

static int put_local(struct buf *out, const struct kit_entry *f, uint32_t crc)
{
	uint8_t head[LOCAL_BYTES];
	int r;

	put32(head, LOCAL_SIG);
	put_common(head + 4, f, crc);
	r = buf_add(out, head, sizeof(head));
	if (r == 0)
		r = put_name(out, f);
	return r == 0 && f->len ? buf_add(out, f->bytes, f->len) : r;
}

static int put_central(struct buf *out, const struct kit_entry *f, uint32_t crc, uint32_t at)
{
	static const uint32_t types[] = {
		[KIT_FILE] = S_IFREG, [KIT_DIR] = S_IFDIR, [KIT_LINK] = S_IFLNK};
	uint8_t head[CENTRAL_BYTES] = {0};
	int r;

	put32(head, CENTRAL_SIG);
	put16(head + 4, HOST_UNIX << 8 | 20);
	put_common(head + 6, f, crc);
	put32(head + 38, (types[f->type] | f->mode) << 16);
	put32(head + 42, at);
	r = buf_add(out, head, sizeof(head));
	return r == 0 ? put_name(out, f) : r;
}

int kit_zip_write(const struct kit_tree *t, struct buf *out)
{
	AUTO_FREE uint32_t *at = calloc(t->n + 1, sizeof(*at));
	uint8_t end[END_BYTES] = {0};
	size_t begin = out->len, directory;
	int r = at ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < t->n; i++) {
		at[i] = (uint32_t)(out->len - begin);
		r = put_local(out, &t->v[i],
			(uint32_t)crc32(0, (const Bytef *)t->v[i].bytes, (uInt)t->v[i].len));
	}
	directory = out->len - begin;
	for (size_t i = 0; r == 0 && i < t->n; i++)
		r = put_central(out, &t->v[i],
			(uint32_t)crc32(0, (const Bytef *)t->v[i].bytes, (uInt)t->v[i].len), at[i]);
	put32(end, END_SIG);
	put16(end + 8, (uint16_t)t->n);
	put16(end + 10, (uint16_t)t->n);
	put32(end + 12, (uint32_t)(out->len - begin - directory));
	put32(end + 16, (uint32_t)directory);
	return r == 0 ? buf_add(out, end, sizeof(end)) : r;
}
