/* text.h - encodings of bytes as text: base64, percent, hexadecimal; pure */
#ifndef EGRESS_TEXT_H
#define EGRESS_TEXT_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TEXT_BASE64_LEN(n) (((n) + 2) / 3 * 4)

/* text_base64() - TEXT_BASE64_LEN(@len) characters and a NUL into @dst */
void text_base64(const void *p, size_t len, char *dst);
/* text_unbase64() - either alphabet, with or without padding; -1: not base64, or more than @cap bytes */
ssize_t text_unbase64(const char *p, size_t len, void *dst, size_t cap) MUST_USE;
/* text_unpercent() - %XX to bytes, the rest as it is ('+' too); always fits into @len bytes */
size_t text_unpercent(const char *p, size_t len, char *dst);
/* text_percent() - escape everything but unreserved characters; @dst has 3 * @len + 1 bytes; returns its length */
size_t text_percent(const void *p, size_t len, bool upper, char *dst);
/* text_hex() - 2 * @len characters and a NUL */
void text_hex(const void *p, size_t len, bool upper, char *dst);
/* text_jwt() - where the signature of a JWT (RFC 7519, in its compact form, signed) begins; 0: it is none. Its
 * header is an object, its signature at least TEXT_SIGNATURE_MIN characters: other tokens have dots as well.
 */
#define TEXT_SIGNATURE_MIN 40
size_t text_jwt(const char *p, size_t len);
#endif
