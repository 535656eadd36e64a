/* layer.h - one layer of an image: a tar stream, mostly compressed, into the tree and the image
 *
 * Reads @fd from its start by pread, so that it can be read twice: once more when a hard link names a file
 * that a layer above hides. Both digests are taken on the way: of the blob as it lies there and of the tar
 * stream (diff_id). Device nodes are left out and counted. Memory: fixed, see layer_reader_new().
 * Thread: any, one reader per thread. Faults of the layer: -EBADMSG with @e; of the host: other errno.
 * Source: image-spec layer.md, config.md ("diff_ids").
 */
#ifndef IMAGE_LAYER_H
#define IMAGE_LAYER_H
#include "base/err.h"
#include "image/erofs.h"
#include "image/tree.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAYER_DIGEST_LEN 64 /* SHA-256 in hex */

enum layer_format { LAYER_TAR, LAYER_GZIP, LAYER_ZSTD };

struct layer {
	int fd; /* borrowed */
	enum layer_format format;
	uint64_t blob_bytes; /* what the manifest says; another size is a fault */
	char digest[LAYER_DIGEST_LEN + 1]; /* of the blob; "" : not checked */
	char diff_id[LAYER_DIGEST_LEN + 1];
};

struct layer_reader; /* buffers, limits that count over all layers */

struct layer_limits {
	uint64_t bytes; /* of all layers, uncompressed, headers included */
	uint64_t entries; /* of all layers */
};

/* layer_progress_fn() - @done bytes of the blob of this layer are read */
typedef void (*layer_progress_fn)(void *ctx, uint64_t done);

struct layer_reader *layer_reader_new(
	const struct layer_limits *limits, layer_progress_fn progress, void *ctx) MUST_USE;
void layer_reader_free(struct layer_reader *r); /* NULL is fine */

/* layer_apply() - tree_layer() was called for it */
int layer_apply(struct layer_reader *r, const struct layer *l, struct tree *t, struct erofs *w,
	struct err *e) MUST_USE;
uint64_t layer_devices(const struct layer_reader *r); /* nodes that were left out */
uint64_t layer_bytes(const struct layer_reader *r); /* uncompressed, so far */
#endif
