/* fetch.h - skopeo brings an image from an archive, a registry or a daemon into an OCI layout
 *
 * With the user's own configuration: credentials (skopeo login, docker login), mirrors, certificates. skopeo verifies
 * digests on the way; sbx-image does it again. Thread: any; waits.
 * Faults: -ENOENT when skopeo is missing, -EINTR, -ETIMEDOUT (an hour, or five minutes without a byte), -ENOSPC, else
 * -EIO with skopeo's own last words.
 */
#ifndef IMAGE_FETCH_H
#define IMAGE_FETCH_H
#include "image/build.h"
#include "image/digest.h"

struct image_fetch {
	const char *source; /* as skopeo takes it: "docker://...", "oci-archive:..." */
	const char *
		dir; /* of ours, there; what an earlier try left in it is used again, blob by blob */
	const char *what; /* is done, for the display; NULL: the image is fetched */
	const bool *interrupted; /* may be NULL */
	image_progress_fn progress; /* may be NULL */
	void *ctx;
};

/* image_fetch() - into <dir>/layout, the image of linux/amd64 */
int image_fetch(const struct image_fetch *f, struct err *e) MUST_USE;
/* image_fetch_drop_pieces() - of a layout that an earlier try left: all but whole blobs. 0 also when there is none. */
int image_fetch_drop_pieces(const char *layout, struct err *e) MUST_USE;
/* image_fetch_digest() - what the registry calls source now: the digest of its manifest or index */
int image_fetch_digest(
	const struct image_fetch *f, char ret_hex[DIGEST_HEX_LEN + 1], struct err *e) MUST_USE;
/* image_fetch_copy() - the layout @layout as the archive @source ("oci-archive:...") */
int image_fetch_copy(const struct image_fetch *f, const char *layout, struct err *e) MUST_USE;
#endif
