/* internal.h - what the files of kit/ share with each other and with nobody else */
#ifndef KIT_INTERNAL_H
#define KIT_INTERNAL_H
#include "base/buf.h"
#include "base/err.h"

/* kit_home_read() - files/home beneath the kit's directory @dir as a tar stream; nothing when absent
 * Entries are sorted and carry no times, so that equal trees give equal bytes. Regular files,
 * directories and links that stay inside; anything else refuses the kit. @path is for messages.
 */
int kit_home_read(int dir, const char *path, struct buf *out, struct err *e) MUST_USE;
#endif
