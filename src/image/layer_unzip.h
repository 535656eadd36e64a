/* layer_unzip.h - the bytes of a blob, uncompressed, with both digests; see layer.h
 *
 * Borrowed buffers, one blob at a time.
 */
#ifndef IMAGE_LAYER_UNZIP_H
#define IMAGE_LAYER_UNZIP_H
#include "image/layer.h"

struct unzip;

struct unzip *unzip_new(void) MUST_USE;
void unzip_free(struct unzip *u);
/* unzip_begin() - from the start of @l's blob */
int unzip_begin(struct unzip *u, const struct layer *l, struct err *e) MUST_USE;
/* unzip_next() - some more bytes, valid until the next call; *ret_len 0: the end */
int unzip_next(struct unzip *u, const uint8_t **ret_p, size_t *ret_len, struct err *e) MUST_USE;
/* unzip_end() - after the end: are size and digests those of @l? */
int unzip_end(struct unzip *u, struct err *e) MUST_USE;
uint64_t unzip_done(const struct unzip *u); /* bytes of the blob that were read */
#endif
