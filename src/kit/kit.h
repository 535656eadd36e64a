/* kit.h - names of kits, and which are built in
 *
 * A built-in kit is <data>/kits/<name>. What a kit holds is spec.h's, what several make together
 * plan.h's, what a start puts into the guest of it put.h's.
 * Thread: any.
 */
#ifndef KIT_KIT_H
#define KIT_KIT_H
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIT_SPEC_MAX (256U << 10)

struct kit_strv {
	char **v; /* NULL-terminated; NULL while empty */
	size_t n;
};
void kit_strv_fini(struct kit_strv *s);

/* kit_name_ok() - may a kit be called that? Such a name is one harmless path component. */
bool kit_name_ok(const char *s);

/* kit_not_found() - -ENOENT: says what there is instead */
int kit_not_found(const char *ref, const char *data_dir, struct err *e);
/* kit_list() - names of the built-in kits, sorted; kit_strv_fini() */
int kit_list(const char *data_dir, struct kit_strv *ret_names, struct err *e) MUST_USE;
#endif
