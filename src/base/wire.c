#include "base/wire.h"
#include <endian.h>
#include <string.h>

static inline const uint8_t *take(struct wire_r *r, size_t len)
{
	const uint8_t *p;

	if (r->bad || len > r->len - r->pos) {
		r->bad = true;
		return NULL;
	}
	p = r->p + r->pos;
	r->pos += len;
	return p;
}

/* Inlined, so that each of the few sizes becomes one load or store: messages are made of these. */
static inline __attribute__((always_inline)) uint64_t get_le(struct wire_r *r, unsigned bytes)
{
	const uint8_t *p = take(r, bytes);
	uint64_t v = 0;

	if (p)
		memcpy(&v, p, bytes);
	return le64toh(v);
}

uint8_t wire_get_u8(struct wire_r *r)
{
	return (uint8_t)get_le(r, 1);
}

uint16_t wire_get_u16(struct wire_r *r)
{
	return (uint16_t)get_le(r, 2);
}

uint32_t wire_get_u32(struct wire_r *r)
{
	return (uint32_t)get_le(r, 4);
}

uint64_t wire_get_u64(struct wire_r *r)
{
	return get_le(r, 8);
}

const uint8_t *wire_get_bytes(struct wire_r *r, size_t len)
{
	return take(r, len);
}

const char *wire_get_str(struct wire_r *r, size_t max, size_t *ret_len)
{
	size_t len = wire_get_u32(r);
	const uint8_t *p;

	if (r->bad || len > max) {
		r->bad = true;
		return NULL;
	}
	p = take(r, len);
	if (!p)
		return NULL;
	if (len && memchr(p, 0, len)) {
		r->bad = true;
		return NULL;
	}
	if (ret_len)
		*ret_len = len;
	return (const char *)p;
}

void wire_get_strz(struct wire_r *r, char *dst, size_t cap)
{
	size_t len = 0;
	const char *s = wire_get_str(r, cap - 1, &len);

	if (s)
		memcpy(dst, s, len);
	dst[s ? len : 0] = '\0';
}

void wire_put_bytes(struct wire_w *w, const void *p, size_t len)
{
	if (w->bad || len > w->cap - w->pos) {
		w->bad = true;
		return;
	}
	if (len)
		memcpy(w->p + w->pos, p, len);
	w->pos += len;
}

static inline __attribute__((always_inline)) void put_le(
	struct wire_w *w, uint64_t v, unsigned bytes)
{
	const uint64_t le = htole64(v);

	if (w->bad || bytes > w->cap - w->pos) {
		w->bad = true;
		return;
	}
	memcpy(w->p + w->pos, &le, bytes);
	w->pos += bytes;
}

void wire_put_u8(struct wire_w *w, uint8_t v)
{
	put_le(w, v, 1);
}

void wire_put_u16(struct wire_w *w, uint16_t v)
{
	put_le(w, v, 2);
}

void wire_put_u32(struct wire_w *w, uint32_t v)
{
	put_le(w, v, 4);
}

void wire_put_u64(struct wire_w *w, uint64_t v)
{
	put_le(w, v, 8);
}

void wire_put_str(struct wire_w *w, const char *s)
{
	size_t len = s ? strlen(s) : 0;

	if (len > UINT32_MAX) {
		w->bad = true;
		return;
	}
	wire_put_u32(w, (uint32_t)len);
	wire_put_bytes(w, s, len);
}
