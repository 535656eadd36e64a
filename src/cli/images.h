/* images.h - make sure that there is a root image, with a progress display */
#ifndef CLI_IMAGES_H
#define CLI_IMAGES_H
#include "base/paths.h"
#include "image/import.h"
#include <signal.h>
#include <stdbool.h>

/* images_need_default() - build the default image when there is none; seconds to minutes */
int images_need_default(const struct paths *p, bool quiet, struct err *e) MUST_USE;
/* images_build() - as `sbx image build`; @name NULL: the default one. Writes its id to @ret_id. */
int images_build(const struct paths *p, const char *name, bool force, bool quiet, char ret_id[64],
	bool *ret_built, struct err *e) MUST_USE;
struct images_ask {
	const char *
		source; /* a reference, see image/ref.h; of a file also without "./" when @name_it */
	const char *name; /* NULL: none, or made of @source when @name_it */
	enum image_pull pull;
	bool name_it; /* `sbx image load`, `pull`: it gets a name */
	bool again; /* make it of the same bytes once more */
	bool quiet;
};
/* images_import() - it is here afterwards; its id into @ret_id */
int images_import(const struct paths *p, const struct images_ask *ask, char ret_id[64],
	struct err *e) MUST_USE;

/* images_display_begin() - SIGINT and SIGTERM set *ret_interrupted until the end; the progress is shown unless @quiet */
struct images_display {
	struct image_progress progress;
	struct sigaction old_int, old_term;
	bool quiet;
};
void images_display_begin(struct images_display *d, bool quiet, const bool **ret_interrupted,
	image_progress_fn *ret_progress, void **ret_ctx);
void images_display_end(struct images_display *d);
#endif
