/* images.h - make sure that there is a root image, with a progress display */
#ifndef CLI_IMAGES_H
#define CLI_IMAGES_H
#include "base/paths.h"
#include <stdbool.h>

/* images_need_default() - build the default image when there is none; seconds to minutes */
int images_need_default(const struct paths *p, bool quiet, struct err *e) MUST_USE;
/* images_build() - as `sbx image build`; @name NULL: the default one. Writes its id to @ret_id. */
int images_build(const struct paths *p, const char *name, bool force, bool quiet, char ret_id[64],
	bool *ret_built, struct err *e) MUST_USE;
/* images_import() - as `sbx image load` and `pull`; see image/import.h for @source. @name NULL: made of @source. */
int images_import(const struct paths *p, const char *source, const char *name, bool quiet,
	char ret_id[64], struct err *e) MUST_USE;
#endif
