/* digest.h - SHA-256 as images write it: "sha256:" and 64 hex digits
 *
 * Thread: any.
 */
#ifndef IMAGE_DIGEST_H
#define IMAGE_DIGEST_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>

#define DIGEST_HEX_LEN 64

struct digest; /* one that is being taken */

struct digest *digest_new(void) MUST_USE; /* NULL without memory */
void digest_free(struct digest *d); /* NULL is fine */
bool digest_begin(struct digest *d) MUST_USE;
bool digest_add(struct digest *d, const void *p, size_t len) MUST_USE;
/* digest_end() - the 64 digits, terminated */
bool digest_end(struct digest *d, char ret_hex[DIGEST_HEX_LEN + 1]) MUST_USE;

/* digest_parse() - "sha256:HEX" in small letters and nothing else; other algorithms are refused */
bool digest_parse(const char *s, char ret_hex[DIGEST_HEX_LEN + 1]) MUST_USE;
/* digest_of() - of @len bytes */
bool digest_of(const void *p, size_t len, char ret_hex[DIGEST_HEX_LEN + 1]) MUST_USE;
#endif
