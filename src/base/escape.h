/* escape.h - the one function that makes untrusted text fit for a terminal, a log or a prompt
 *
 * What is not a printable character in valid UTF-8 (controls, C1, bidi overrides, zero-width,
 * line and paragraph separators, broken sequences) becomes \n, \t, \xNN or \u{N}. A backslash
 * doubles, so the result is unambiguous.
 */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H
#include <stddef.h>

/* escape_text() - escape @len bytes of @src into @dst (@cap bytes, always terminated)
 * Cut with "..." when it does not fit. Returns dst.
 */
char *escape_text(char *dst, size_t cap, const char *src, size_t len);
/* escape_str() - as escape_text() for a terminated string; NULL gives "" */
char *escape_str(char *dst, size_t cap, const char *src);
/* escape_again() - of text that was escaped when it was made and has been out of our hands since: the
 * same, but its backslashes do not double
 */
char *escape_again(char *dst, size_t cap, const char *src);
/* ESC(s) - escaped copy in the caller's frame, at most 1 KiB; lives to the end of the block */
#define ESC(s) escape_str((char[1024]){0}, 1024, (s))

/* utf8_decode() - one code point of @len bytes at @s; returns its length, or 0 when malformed */
size_t utf8_decode(const char *s, size_t len, unsigned *ret_cp);
#endif
