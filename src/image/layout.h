/* layout.h - an OCI layout written by us: what `sbx image save` and `sbx template save` make
 *
 * In a directory of its own in the cache, which goes when its owner does not live any more: who makes the next one
 * removes it. Thread: any, one layout per thread.
 */
#ifndef IMAGE_LAYOUT_H
#define IMAGE_LAYOUT_H
#include "image/build.h"
#include "image/store.h"
#include "json/json.h"

struct layout {
	char dir[PATH_MAX]; /* <cache>/save-XXXXXX */
	char oci[PATH_MAX]; /* the layout in it */
	int lock; /* held while it is in use */
	int layer; /* the layer is written here: a tar stream */
	struct js *layers, *diff_ids; /* of those that are whole, lowest first */
};

/* layout_new() - @l->layer is open for writing */
int layout_new(const struct paths *p, struct layout *l, struct err *e) MUST_USE;
/* layout_next() - the layer is whole; l->layer is open for the next one above it */
int layout_next(struct layout *l, struct err *e) MUST_USE;
/* layout_end() - the last layer is whole: its digest, configuration, manifest and index. @run as in meta.json's "run", may be
 * NULL; @name the image's, may be NULL; @description may be NULL.
 */
int layout_end(struct layout *l, const struct js *run, const char *name, const char *description,
	struct err *e) MUST_USE;
void layout_fini(struct layout *l); /* removes it; NULL and what was never begun are fine */

struct layout_save {
	const char *file; /* an OCI archive, replaced as a whole */
	const bool *interrupted; /* may be NULL */
	image_progress_fn progress; /* may be NULL */
	void *ctx;
};
/* layout_archive() - the finished layout as one file, compressed */
int layout_archive(const struct layout *l, const struct layout_save *s, struct err *e) MUST_USE;

/* image_layer() - all files of an image of the store, as one layer into the file @layer */
int image_layer(const struct paths *p, const struct image *img, int layer,
	const struct layout_save *s, struct err *e) MUST_USE;
/* image_save() - an image of the store into an archive that `sbx image load` and skopeo read */
int image_save(const struct paths *p, const struct image *img, const struct layout_save *s,
	struct err *e) MUST_USE;
#endif
