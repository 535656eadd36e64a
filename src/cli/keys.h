/* keys.h - the key sequence that leaves a terminal without ending what runs in it
 *
 * Written as in docker: keys separated by commas, each one a character or "ctrl-" with a letter or
 * one of @ [ \ ] ^ _ . Pure; the matcher holds back what may yet become the sequence.
 */
#ifndef CLI_KEYS_H
#define CLI_KEYS_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

#define KEYS_MAX     8
#define KEYS_DEFAULT "ctrl-\\"

struct keys {
	unsigned char seq[KEYS_MAX];
	size_t len; /* 0: nothing detaches */
	size_t matched; /* bytes of seq that were typed and are held back */
};

/* keys_parse() - "" gives an empty sequence */
int keys_parse(const char *text, struct keys *ret_keys, struct err *e) MUST_USE;
/* keys_filter() - pass @len typed bytes on to @out, which has room for len + KEYS_MAX
 * True when the sequence is complete; the bytes after it are dropped.
 */
bool keys_filter(struct keys *k, const char *in, size_t len, char *out, size_t *ret_out_len);
#endif
