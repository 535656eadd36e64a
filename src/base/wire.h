/* wire.h - cursor over bytes of a message, with a sticky error
 *
 * After the first read beyond the end (or write beyond the room) every further call does nothing
 * and returns zero, so that a codec is straight-line code which asks wire_ok() once at its end.
 * All integers are little-endian. No I/O, no allocation.
 */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire_r {
	const uint8_t *p; /* borrowed */
	size_t len, pos;
	bool bad;
};

struct wire_w {
	uint8_t *p; /* borrowed */
	size_t cap, pos;
	bool bad;
};

static inline struct wire_r wire_reader(const void *p, size_t len)
{
	return (struct wire_r){.p = p, .len = len};
}
static inline struct wire_w wire_writer(void *p, size_t cap)
{
	return (struct wire_w){.p = p, .cap = cap};
}

uint8_t wire_get_u8(struct wire_r *r);
uint16_t wire_get_u16(struct wire_r *r);
uint32_t wire_get_u32(struct wire_r *r);
uint64_t wire_get_u64(struct wire_r *r);
/* wire_get_bytes() - @len bytes in place; NULL (and bad) when there are fewer */
const uint8_t *wire_get_bytes(struct wire_r *r, size_t len);
/* wire_get_str() - u32 length + bytes, without NUL inside, at most @max; @ret_len may be NULL.
 * The result is in place and NOT terminated. NULL when bad; never NULL for an empty string.
 */
const char *wire_get_str(struct wire_r *r, size_t max, size_t *ret_len);
/* wire_get_strz() - as wire_get_str(), copied into @dst (@cap bytes, terminated; "" when bad) */
void wire_get_strz(struct wire_r *r, char *dst, size_t cap);
static inline size_t wire_left(const struct wire_r *r)
{
	return r->bad ? 0 : r->len - r->pos;
}
/* wire_done() - true when nothing went wrong and every byte was used */
static inline bool wire_done(const struct wire_r *r)
{
	return !r->bad && r->pos == r->len;
}

void wire_put_u8(struct wire_w *w, uint8_t v);
void wire_put_u16(struct wire_w *w, uint16_t v);
void wire_put_u32(struct wire_w *w, uint32_t v);
void wire_put_u64(struct wire_w *w, uint64_t v);
void wire_put_bytes(struct wire_w *w, const void *p, size_t len);
void wire_put_str(struct wire_w *w, const char *s); /* NULL counts as "" */
#endif
