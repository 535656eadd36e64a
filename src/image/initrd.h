/* initrd.h - the guest's first file system: the image's modules plus /init = sbx-guest
 *
 * Two cpio (newc) archives in a row, which is one initramfs to the kernel. Assembled on first use
 * per (image, agent) and kept in <cache>/initrd/, the few used last; replaced by rename, so that a reader sees a whole
 * one or none. Layout that sbx-guest finds as PID 1: /init, /dev/console, /modules/order (one file
 * name per line, load in that order with finit_module), the .ko files beside it, /modules/later (the same
 * form, for modules that are loaded only when needed).
 */
#ifndef IMAGE_INITRD_H
#define IMAGE_INITRD_H
#include "base/buf.h"
#include "image/store.h"

#define IMAGE_AGENT_MAX (16U << 20)

/* image_initrd() - open the initrd for @img with the agent program @agent (a path); read-only
 * descriptor, or a negative errno. *ret_path (PATH_MAX, may be NULL) gets its place.
 */
int image_initrd(const struct image_store *s, const struct image *img, const char *agent,
	char *ret_path, struct err *e) MUST_USE;

/* The newc writer. Names are relative, without leading slash; mode has the file type. */
struct cpio {
	struct buf *out;
	unsigned next_ino;
};
void cpio_init(struct cpio *c, struct buf *out);
int cpio_add(
	struct cpio *c, const char *name, unsigned mode, const void *data, size_t len) MUST_USE;
int cpio_add_dev(
	struct cpio *c, const char *name, unsigned mode, unsigned major, unsigned minor) MUST_USE;
int cpio_end(struct cpio *c) MUST_USE;
#endif
