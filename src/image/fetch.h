/* fetch.h - skopeo brings an image from an archive, a registry or a daemon into an OCI layout
 *
 * Thread: any; waits. skopeo verifies digests on the way; sbx-image does it again.
 */
#ifndef IMAGE_FETCH_H
#define IMAGE_FETCH_H
#include "base/err.h"
#include <stdbool.h>

/* image_fetch() - @source as in import.h; the new directory @layout holds the image of linux/amd64
 * -ENOENT when skopeo is missing; its own last words when it fails. What it has loaded of a download that broke off
 * is loaded again.
 */
int image_fetch(
	const char *source, const char *layout, const bool *interrupted, struct err *e) MUST_USE;

/* fetch_source() - @source as skopeo wants it: an archive by its content, else a registry's reference */
int fetch_source(const char *source, char *dst, size_t cap, struct err *e) MUST_USE;
#endif
