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

#define IMPORT_SOURCE_MAX 1024

struct image_import {
	const struct paths *paths;
	/* a directory with an OCI layout; an archive (docker save, oci-archive); else a reference that skopeo knows:
	 * "debian:12", "docker://host/name@sha256:...", "docker-daemon:name:tag"
	 */
	const char *source;
	const char *name; /* what to call it */
	bool *interrupted; /* as in struct image_build */
	image_progress_fn progress; /* may be NULL */
	void *ctx;
};

/* image_import() - -EINTR when interrupted, -EBADMSG when the image breaks a rule; nothing is changed then */
int image_import(const struct image_import *ask, struct image *ret_image, struct err *e) MUST_USE;
#endif
