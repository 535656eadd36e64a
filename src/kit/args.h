/* args.h - arguments of a kit: ${{ kit.args.NAME }} in spec.yaml and in files/
 *
 * A placeholder is put in place of text, never of structure: before the document is read each one is
 * masked by letters of the same width, so that places stay right and what a value holds (colons,
 * quotes, lines) cannot become YAML; the value then takes the mask's place in the scalar.
 */
#ifndef KIT_ARGS_H
#define KIT_ARGS_H
#include "kit/decode.h"

#define KIT_HOLES_MAX 1024

struct kit_hole {
	unsigned line, column;
	size_t len; /* of the placeholder as it was written */
	const char *name; /* borrowed from the text; name_len bytes */
	size_t name_len;
};

struct kit_holes {
	struct kit_hole *v;
	size_t n;
	char letter; /* of the masks */
	char *masked; /* as long as the text */
};

/* kit_holes_find() - all placeholders of @text; -EINVAL for a malformed one */
int kit_holes_find(struct kit_holes *h, const char *file, const char *text, size_t len,
	struct err *e) MUST_USE;
void kit_holes_auto(struct kit_holes *h);

/* kit_args_read() - the declarations, @key being the key "args" (NULL: none); each placeholder must
 * be declared, and none stands within the declarations
 */
int kit_args_read(struct decode *d, const struct ynode *key, const struct kit_holes *h) MUST_USE;
/* kit_args_give() - decide what each argument is: given, or the default */
int kit_args_give(struct decode *d, const struct kit_args *given) MUST_USE;
/* kit_args_fill() - put the values in the scalars of @t */
int kit_args_fill(struct decode *d, struct ytree *t, const struct kit_holes *h) MUST_USE;
/* kit_args_file() - a file's bytes with the values put in; @ret_bytes is the same when there is
 * nothing to do
 */
int kit_args_file(struct decode *d, const struct kit_entry *f, const char **ret_bytes,
	size_t *ret_len) MUST_USE;
/* kit_pattern_match() - does @value match @pattern as a whole? 1, 0, or -EINVAL: no pattern */
int kit_pattern_match(const char *pattern, const char *value, char why[128]) MUST_USE;
#endif
