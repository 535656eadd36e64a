#include "proto/tar.h"
#include "proto/tar_format.h"
#include <assert.h>
#include <string.h>

/* Reader: a stream is a row of blocks. HEAD collects one header block; an extended header (pax x,
 * GNU L and K) is collected in EXT and changes the entry that follows; g is skipped. An entry's
 * data is handed out in place, then its padding is dropped.
 */
enum state { HEAD, EXT, SKIP, DATA, PAD, ZERO, ENDED, FAULT };

enum { HAVE_PATH = 1, HAVE_LINK = 2, HAVE_SIZE = 4, HAVE_UID = 8, HAVE_GID = 16, HAVE_MTIME = 32 };

static const char *const fault_texts[] = {
	[TAR_OK] = "no fault",
	[TAR_BAD_CHECKSUM] = "a header's checksum is wrong",
	[TAR_BAD_NUMBER] = "a header has a malformed number",
	[TAR_BAD_PATH] = "a path is empty, too long or leaves the directory",
	[TAR_BAD_LINK] = "a link's target is empty, too long or leaves the directory",
	[TAR_BAD_TYPE] = "an entry is of a kind that is not supported",
	[TAR_BAD_SIZE] = "an entry that has no content has a size",
	[TAR_BAD_PAX] = "an extended header is malformed or too long",
	[TAR_BAD_END] = "the end mark is incomplete",
	[TAR_MANY_ENTRIES] = "there are too many entries",
	[TAR_MANY_BYTES] = "the contents are too large",
};
static_assert(ARRAY_LEN(fault_texts) == TAR_FAULT_COUNT, "a text per fault");

const char *tar_fault_text(enum tar_fault f)
{
	return (unsigned)f < TAR_FAULT_COUNT ? fault_texts[f] : fault_texts[TAR_BAD_TYPE];
}

void tar_reader_init(struct tar_reader *t, const struct tar_limits *limits)
{
	memset(t, 0, sizeof(*t));
	t->left = *limits;
	t->state = HEAD;
}

static enum tar_event fault(struct tar_reader *t, enum tar_fault f)
{
	t->state = FAULT;
	t->fault = f;
	return TAR_BAD;
}

bool tar_clean_path(char dst[TAR_PATH_MAX], const char *src, size_t len)
{
	size_t out = 0, i = 0;

	if (len == 0 || src[0] == '/' || memchr(src, 0, len))
		return false;
	while (i < len) {
		size_t n = 0;

		while (i + n < len && src[i + n] != '/')
			n++;
		if (n == 2 && src[i] == '.' && src[i + 1] == '.')
			return false;
		if (n > 0 && !(n == 1 && src[i] == '.')) {
			if (out + n + 2 > TAR_PATH_MAX)
				return false;
			if (out)
				dst[out++] = '/';
			memcpy(dst + out, src + i, n);
			out += n;
		}
		i += n + 1;
	}
	if (out == 0)
		dst[out++] = '.';
	dst[out] = '\0';
	return true;
}

/* get_number() - octal text ended by space or NUL, or base-256 (GNU): two's complement */
static bool get_number(const uint8_t *p, size_t len, int64_t *ret)
{
	uint64_t v = 0;
	size_t i = 0;

	if (p[0] & 0x80) {
		bool negative = p[0] & 0x40;
		uint8_t fill = negative ? 0xff : 0;

		for (; i < len; i++) {
			uint8_t b = i == 0 && !negative ? p[0] & 0x7f : p[i];

			if (i + 8 < len && b != fill)
				return false;
			v = v << 8 | b;
		}
		if ((int64_t)v < 0 ? !negative : negative)
			return false;
		*ret = (int64_t)v;
		return true;
	}
	while (i < len && p[i] == ' ')
		i++;
	for (; i < len && p[i] >= '0' && p[i] <= '7'; i++)
		v = v << 3 | (uint64_t)(p[i] - '0'); /* 12 digits at most: 36 bits */
	for (; i < len; i++)
		if (p[i] != ' ' && p[i] != 0)
			return false;
	*ret = (int64_t)v;
	return true;
}

/* get_decimal() - the whole of @s as a number without sign */
static bool get_decimal(const char *s, size_t len, uint64_t *ret)
{
	uint64_t v = 0;

	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
			return false;
	}
	*ret = v;
	return true;
}

static bool pax_id(const char *s, size_t len, uint32_t *ret)
{
	uint64_t v;

	if (!get_decimal(s, len, &v) || v > UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

/* pax_time() - "[-]seconds[.fraction]" */
static bool pax_time(struct tar_reader *t, const char *s, size_t len)
{
	bool negative = len && s[0] == '-';
	const char *dot;
	uint64_t sec;
	uint32_t ns = 0, digit = 100000000;

	s += negative;
	len -= negative;
	dot = memchr(s, '.', len);
	if (!get_decimal(s, dot ? (size_t)(dot - s) : len, &sec) || sec > INT64_MAX / 4)
		return false;
	for (const char *p = dot ? dot + 1 : s + len; p < s + len; p++, digit /= 10) {
		if (*p < '0' || *p > '9')
			return false;
		ns += (uint32_t)(*p - '0') * digit;
	}
	t->next.mtime = negative ? -(int64_t)sec - (ns != 0) : (int64_t)sec;
	t->next.mtime_ns = negative && ns ? 1000000000 - ns : ns;
	return true;
}

static bool is_key(const char *key, size_t len, const char *want)
{
	return len == strlen(want) && memcmp(key, want, len) == 0;
}

static bool keep_text(char dst[TAR_PATH_MAX], const char *s, size_t len)
{
	if (len == 0 || len >= TAR_PATH_MAX || memchr(s, 0, len))
		return false;
	memcpy(dst, s, len);
	dst[len] = '\0';
	return true;
}

static enum tar_fault pax_capability(struct tar_reader *t, const char *v, size_t len)
{
	if (len == 0 || len > TAR_CAPABILITY_MAX)
		return TAR_BAD_PAX;
	memcpy(t->next.capability, v, len);
	t->next.capability_len = (uint8_t)len;
	return TAR_OK;
}

static enum tar_fault pax_field(
	struct tar_reader *t, const char *key, size_t klen, const char *v, size_t len)
{
	if (is_key(key, klen, "path")) {
		t->have |= HAVE_PATH;
		return keep_text(t->next_path, v, len) ? TAR_OK : TAR_BAD_PATH;
	}
	if (is_key(key, klen, "linkpath")) {
		t->have |= HAVE_LINK;
		return keep_text(t->next_link, v, len) ? TAR_OK : TAR_BAD_LINK;
	}
	if (is_key(key, klen, "size")) {
		t->have |= HAVE_SIZE;
		return get_decimal(v, len, &t->next.size) ? TAR_OK : TAR_BAD_NUMBER;
	}
	if (is_key(key, klen, "uid")) {
		t->have |= HAVE_UID;
		return pax_id(v, len, &t->next.uid) ? TAR_OK : TAR_BAD_NUMBER;
	}
	if (is_key(key, klen, "gid")) {
		t->have |= HAVE_GID;
		return pax_id(v, len, &t->next.gid) ? TAR_OK : TAR_BAD_NUMBER;
	}
	if (is_key(key, klen, "mtime")) {
		t->have |= HAVE_MTIME;
		return pax_time(t, v, len) ? TAR_OK : TAR_BAD_NUMBER;
	}
	if (is_key(key, klen, "SCHILY.xattr.security.capability"))
		return pax_capability(t, v, len);
	/* Its data is a map and pieces: taken as plain bytes it would give another file. */
	if (klen >= 10 && memcmp(key, "GNU.sparse", 10) == 0)
		return TAR_BAD_TYPE;
	return TAR_OK;
}

/* read_pax() - records "LENGTH KEY=VALUE\n", where LENGTH counts the whole record */
static enum tar_fault read_pax(struct tar_reader *t)
{
	const char *p = t->ext, *end = t->ext + t->got;

	while (p < end) {
		const char *space = memchr(p, ' ', (size_t)(end - p)), *eq;
		enum tar_fault f;
		uint64_t len;

		if (!space || space - p > 6 || !get_decimal(p, (size_t)(space - p), &len) ||
			len > (uint64_t)(end - p) || len < (uint64_t)(space - p) + 4 ||
			p[len - 1] != '\n')
			return TAR_BAD_PAX;
		eq = memchr(space + 1, '=', (size_t)(p + len - 1 - (space + 1)));
		if (!eq)
			return TAR_BAD_PAX;
		f = pax_field(t, space + 1, (size_t)(eq - space - 1), eq + 1,
			(size_t)(p + len - 1 - (eq + 1)));
		if (f != TAR_OK)
			return f;
		p += len;
	}
	return TAR_OK;
}

static enum tar_fault read_ext(struct tar_reader *t)
{
	if (t->ext_type == 'x')
		return read_pax(t);
	/* GNU long name: text and usually a NUL */
	while (t->got && t->ext[t->got - 1] == '\0')
		t->got--;
	if (t->ext_type == 'L') {
		t->have |= HAVE_PATH;
		return keep_text(t->next_path, t->ext, t->got) ? TAR_OK : TAR_BAD_PATH;
	}
	t->have |= HAVE_LINK;
	return keep_text(t->next_link, t->ext, t->got) ? TAR_OK : TAR_BAD_LINK;
}

static bool sum_is_right(const uint8_t *h)
{
	int64_t want, sum = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += i >= AT_SUM && i < AT_SUM + 8 ? ' ' : h[i];
	return get_number(h + AT_SUM, 8, &want) && want == sum;
}

static bool is_zero(const uint8_t *h)
{
	for (size_t i = 0; i < TAR_BLOCK; i++)
		if (h[i])
			return false;
	return true;
}

/* whole_name() - prefix and name of the header, or what an extended header gave */
static bool whole_name(struct tar_reader *t, char dst[TAR_PATH_MAX], bool *ret_slash)
{
	const char *name = (const char *)t->head + AT_NAME;
	const char *prefix = (const char *)t->head + AT_PREFIX;
	char text[TAR_PATH_MAX];
	size_t len = 0, n;

	if (t->have & HAVE_PATH) {
		len = strlen(t->next_path);
		memcpy(text, t->next_path, len);
	} else {
		/* GNU's own magic ("ustar  ") has other things where the prefix would be. */
		if (memcmp(t->head + AT_MAGIC, "ustar", 6) == 0) {
			len = strnlen(prefix, PREFIX_LEN);
			memcpy(text, prefix, len);
			if (len)
				text[len++] = '/';
		}
		n = strnlen(name, NAME_LEN);
		if (n == 0)
			return false;
		memcpy(text + len, name, n);
		len += n;
	}
	*ret_slash = len && text[len - 1] == '/';
	return tar_clean_path(dst, text, len);
}

static bool whole_link(struct tar_reader *t)
{
	const char *link = (const char *)t->head + AT_LINK;
	struct tar_entry *e = &t->entry;

	if (e->type == TAR_HARDLINK)
		return t->have & HAVE_LINK
			       ? tar_clean_path(e->linkname, t->next_link, strlen(t->next_link))
			       : tar_clean_path(e->linkname, link, strnlen(link, NAME_LEN));
	if (t->have & HAVE_LINK)
		return keep_text(e->linkname, t->next_link, strlen(t->next_link));
	return keep_text(e->linkname, link, strnlen(link, NAME_LEN));
}

static bool entry_type(uint8_t flag, enum tar_type *ret)
{
	switch (flag) {
	case 0:
	case '0':
	case '7':
		*ret = TAR_FILE;
		return true;
	case '1':
		*ret = TAR_HARDLINK;
		return true;
	case '2':
		*ret = TAR_SYMLINK;
		return true;
	case '3':
		*ret = TAR_CHAR_DEVICE;
		return true;
	case '4':
		*ret = TAR_BLOCK_DEVICE;
		return true;
	case '5':
		*ret = TAR_DIR;
		return true;
	case '6':
		*ret = TAR_FIFO;
		return true;
	default:
		return false;
	}
}

static bool entry_numbers(struct tar_reader *t)
{
	struct tar_entry *e = &t->entry;
	int64_t mode, uid, gid, mtime;

	if (!get_number(t->head + AT_MODE, 8, &mode) || !get_number(t->head + AT_UID, 8, &uid) ||
		!get_number(t->head + AT_GID, 8, &gid) ||
		!get_number(t->head + AT_MTIME, 12, &mtime))
		return false;
	if (uid < 0 || uid > UINT32_MAX || gid < 0 || gid > UINT32_MAX || mode < 0)
		return false;
	e->mode = (uint32_t)mode & 07777;
	e->uid = t->have & HAVE_UID ? t->next.uid : (uint32_t)uid;
	e->gid = t->have & HAVE_GID ? t->next.gid : (uint32_t)gid;
	e->mtime = t->have & HAVE_MTIME ? t->next.mtime : mtime;
	e->mtime_ns = t->have & HAVE_MTIME ? t->next.mtime_ns : 0;
	return true;
}

static enum tar_event begin_entry(struct tar_reader *t, uint64_t size)
{
	struct tar_entry *e = &t->entry;
	bool slash;

	e->linkname[0] = '\0';
	if (!entry_type(t->head[AT_TYPE], &e->type))
		return fault(t, TAR_BAD_TYPE);
	if (!whole_name(t, e->path, &slash))
		return fault(t, TAR_BAD_PATH);
	if (e->type == TAR_FILE && (slash || strcmp(e->path, ".") == 0))
		e->type = TAR_DIR; /* how V7 marked a directory */
	if ((e->type == TAR_SYMLINK || e->type == TAR_HARDLINK) && !whole_link(t))
		return fault(t, TAR_BAD_LINK);
	if (!entry_numbers(t))
		return fault(t, TAR_BAD_NUMBER);
	if (t->have & HAVE_SIZE)
		size = t->next.size;
	if (e->type != TAR_FILE && size != 0)
		return fault(t, TAR_BAD_SIZE);
	if (t->left.entries == 0)
		return fault(t, TAR_MANY_ENTRIES);
	if (size > t->left.bytes)
		return fault(t, TAR_MANY_BYTES);
	t->left.entries--;
	t->left.bytes -= size;
	e->size = t->body = size;
	t->pad = tar_padding(size);
	memcpy(e->capability, t->next.capability, sizeof(e->capability));
	e->capability_len = e->type == TAR_FILE ? t->next.capability_len : 0;
	t->next.capability_len = 0;
	t->have = 0;
	t->state = DATA;
	return TAR_ENTRY;
}

/* head_done() - a whole header block is there; TAR_MORE when it gives no event by itself */
static enum tar_event head_done(struct tar_reader *t)
{
	int64_t size;
	uint8_t flag = t->head[AT_TYPE];

	t->got = 0;
	if (is_zero(t->head)) {
		if (t->state != ZERO) {
			t->state = ZERO;
			return TAR_MORE;
		}
		t->state = ENDED;
		return TAR_END;
	}
	if (t->state == ZERO)
		return fault(t, TAR_BAD_END);
	if (!sum_is_right(t->head))
		return fault(t, TAR_BAD_CHECKSUM);
	if (!get_number(t->head + AT_SIZE, 12, &size) || size < 0)
		return fault(t, TAR_BAD_NUMBER);
	if (flag != 'x' && flag != 'g' && flag != 'L' && flag != 'K')
		return begin_entry(t, (uint64_t)size);
	/* Extended headers count as entries: an endless row of them is no stream. */
	if (t->left.entries == 0)
		return fault(t, TAR_MANY_ENTRIES);
	t->left.entries--;
	if ((uint64_t)size > TAR_PAX_MAX || (flag != 'g' && size == 0))
		return fault(t, TAR_BAD_PAX);
	t->ext_type = (char)flag;
	t->body = (uint64_t)size;
	t->pad = tar_padding((uint64_t)size);
	t->state = flag == 'g' ? SKIP : EXT;
	return TAR_MORE;
}

static size_t collect(void *dst, size_t *got, size_t want, const uint8_t **p, size_t *len)
{
	size_t n = want - *got < *len ? want - *got : *len;

	memcpy((uint8_t *)dst + *got, *p, n);
	*got += n;
	*p += n;
	*len -= n;
	return want - *got;
}

static void drop(uint64_t *left, const uint8_t **p, size_t *len)
{
	size_t n = *left < *len ? (size_t)*left : *len;

	*left -= n;
	*p += n;
	*len -= n;
}

static enum tar_event give_data(struct tar_reader *t, const uint8_t **p, size_t *len)
{
	if (t->body == 0) {
		t->state = PAD;
		return TAR_ENTRY_END;
	}
	if (*len == 0)
		return TAR_MORE;
	t->data = *p;
	t->data_len = t->body < *len ? (size_t)t->body : *len;
	drop(&t->body, p, len);
	return TAR_DATA;
}

/* step() - do what the state asks for; TAR_MORE with bytes left means: once more */
static enum tar_event step(struct tar_reader *t, const uint8_t **p, size_t *len)
{
	uint64_t pad = t->pad;
	enum tar_fault f;

	switch ((enum state)t->state) {
	case HEAD:
	case ZERO:
		if (collect(t->head, &t->got, TAR_BLOCK, p, len) > 0)
			return TAR_MORE;
		return head_done(t);
	case EXT:
		if (collect(t->ext, &t->got, (size_t)t->body, p, len) > 0)
			return TAR_MORE;
		f = read_ext(t);
		t->got = 0;
		t->state = PAD;
		return f == TAR_OK ? TAR_MORE : fault(t, f);
	case SKIP:
		drop(&t->body, p, len);
		if (t->body == 0)
			t->state = PAD;
		return TAR_MORE;
	case DATA:
		return give_data(t, p, len);
	case PAD:
		drop(&pad, p, len);
		t->pad = (size_t)pad;
		if (pad == 0)
			t->state = HEAD;
		return TAR_MORE;
	case ENDED:
		*p += *len;
		*len = 0;
		return TAR_END;
	case FAULT:
	default:
		*p += *len;
		*len = 0;
		return TAR_BAD;
	}
}

enum tar_event tar_next(struct tar_reader *t, const uint8_t **p, size_t *len)
{
	for (;;) {
		enum tar_event ev = step(t, p, len);

		if (ev != TAR_MORE || *len == 0)
			return ev;
	}
}
