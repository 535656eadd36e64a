/* name.h - what a sandbox may be called
 *
 * 2 to 63 ASCII letters, digits, '-', '.'; begins and ends alphanumeric; no ".."; "default" is
 * reserved. Names become file names, host names and arguments, so nothing else is let through.
 */
#ifndef BASE_NAME_H
#define BASE_NAME_H
#include "base/err.h"

#define NAME_MAX_LEN 63

/* name_check() - 0, or -EINVAL with @e saying which rule */
int name_check(const char *name, struct err *e) MUST_USE;
/* name_from() - make a valid name from any text (a directory's base name); never fails */
void name_from(char dst[NAME_MAX_LEN + 1], const char *prefix, const char *text);
#endif
