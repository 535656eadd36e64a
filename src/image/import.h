/* import.h - an image of others becomes an image of the store: from an OCI layout, an archive or a registry
 *
 * What is read from an image is read by sbx-image in its jail; here are only its report, and files of our own.
 * Archives and registries are fetched by skopeo into an OCI layout in the store first, with the user's own
 * credentials for registries (skopeo login, docker login). Kernel and modules are those of the default image.
 * Nothing half-made stays, as with builds. Thread: any.
 */
#ifndef IMAGE_IMPORT_H
#define IMAGE_IMPORT_H
#include "image/build.h"

enum image_pull {
	IMAGE_PULL_MISSING, /* what is here is taken as it is */
	IMAGE_PULL_ALWAYS, /* the registry is asked whether the reference means something else now */
	IMAGE_PULL_NEVER,
};
bool image_pull_from_name(
	const char *word, enum image_pull *ret); /* "missing", "always", "never" */

struct image_import {
	const struct paths *paths;
	const char *source; /* a reference, see ref.h */
	const char *name; /* what to call it; NULL: nothing, it is known by its reference */
	enum image_pull pull;
	bool again; /* make it anew of the same bytes: what was here may be damaged */
	const bool *interrupted; /* as in struct image_build */
	image_progress_fn progress; /* may be NULL */
	void *ctx;
};

/* image_import() - *ret_image is here, found, fetched or made; -EINTR when interrupted, -EBADMSG when the image breaks a
 * rule, -ENOENT when it is not here and must not be fetched. On failure no name means anything new; what was loaded of
 * a download is kept for the next try of the same reference.
 */
int image_import(const struct image_import *ask, struct image *ret_image, struct err *e) MUST_USE;
#endif
