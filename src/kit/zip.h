/* zip.h - a kit in a ZIP file: a strict reader of the part of the format that kits need, and a writer
 *
 * The reader is our own, over zlib: the libraries there are take whatever other programs have ever
 * written (several archives in one file, overlapping entries, names that differ between directory
 * and data, encryption, links by extensions), and each of these lets two readers of one file see two
 * kits - the one that was approved and the one that runs. What is taken here is one form only: the
 * entries stand one behind the other from the first byte, each is described twice in the same
 * words, stored or deflated; then the directory, then its end, then nothing. No ZIP64, no
 * encryption, no comment of the archive. Sizes are believed only as far as they come true.
 * Pure; hostile bytes. Thread: any.
 */
#ifndef KIT_ZIP_H
#define KIT_ZIP_H
#include "kit/tree.h"

#define KIT_ZIP_MAX (32U << 20) /* bytes of the file */

/* kit_zip_read() - fills and seals @t. -EINVAL with the entry and the rule; -EFBIG beyond a limit.
 * What is neither spec.yaml nor beneath files/ is judged by its name and left out.
 */
int kit_zip_read(struct kit_tree *t, const void *bytes, size_t len, const char *root,
	struct err *e) MUST_USE;
/* kit_zip_write() - equal trees give equal bytes, on every host: entries are stored, sorted, and
 * carry no times
 */
int kit_zip_write(const struct kit_tree *t, struct buf *out) MUST_USE;
#endif
