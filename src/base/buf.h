/* buf.h - growing byte buffer that cannot be made without a maximum
 *
 * buf_init(&b, max): nothing is allocated until the first byte. Adding beyond @max, or running out
 * of memory, fails with -ENOBUFS/-ENOMEM and changes nothing. Always NUL-terminated once non-empty,
 * so that text can be used in place (the NUL does not count in len).
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H
#include "base/own.h"
#include <stddef.h>
#include <stdint.h>
#include <stdarg.h>

struct buf {
	char *data; /* NULL while empty */
	size_t len; /* bytes in use */
	size_t cap;
	size_t max;
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b); /* copes with NULL and half-built */
void buf_auto(struct buf *b);
void buf_clear(struct buf *b); /* len = 0, memory kept */
int buf_add(struct buf *b, const void *bytes, size_t len) MUST_USE;
int buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_USE;
int buf_addv(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0) MUST_USE;
/* buf_room() - make room for @len more bytes and point at it; buf_grew() then counts them in */
int buf_room(struct buf *b, size_t len, char **ret_room) MUST_USE;
void buf_grew(struct buf *b, size_t len);
/* buf_eat() - drop the first @len bytes (len <= b->len) */
void buf_eat(struct buf *b, size_t len);
/* buf_take() - the bytes are the caller's to free(); "" when empty, NULL without memory */
char *buf_take(struct buf *b) MUST_USE;
const char *buf_str(const struct buf *b); /* borrowed; "" when empty */
#endif
