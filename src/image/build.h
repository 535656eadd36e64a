/* build.h - make an image: run libexec's image-build and publish what it made
 *
 * The script does the work (packages, file system, kernel) as a child in a process group of its own
 * and writes "PROGRESS percent text" lines to descriptor 3. Nothing half-made stays: on failure,
 * SIGINT or SIGTERM the group is killed and its directory removed; what an earlier build that was
 * killed left is removed by the next. One build at a time per store (a lock; a second one waits).
 */
#ifndef IMAGE_BUILD_H
#define IMAGE_BUILD_H
#include "base/paths.h"
#include "image/store.h"

/* image_progress_fn() - @percent 0..100, @text a short present-tense phrase (trusted: our script) */
typedef void (*image_progress_fn)(void *ctx, unsigned percent, const char *text);

struct image_build {
	const struct paths *paths;
	const char *name; /* what to call it; NULL: "default" */
	bool force; /* build even when an image with this content is there */
	const bool *
		interrupted; /* set by the caller's signal handler: stop and clean up; may be NULL */
	image_progress_fn progress; /* may be NULL */
	void *ctx;
};

/* image_build() - 0 with the image; *ret_built (may be NULL) is false when it was there already
 * -EINTR when interrupted. The script's last lines are part of the message when it fails; its whole
 * output is in <cache>/images/build.log.
 */
int image_build(const struct image_build *b, struct image *ret_image, bool *ret_built,
	struct err *e) MUST_USE;

/* A progress display on @fd (stderr): a bar redrawn in place on a terminal, else one plain line per
 * step. image_progress_show is an image_progress_fn with a struct image_progress as ctx.
 */
struct image_progress {
	int fd;
	bool tty;
	unsigned percent;
	char text[80];
	long started_ms;
};
void image_progress_init(struct image_progress *p, int fd);
void image_progress_show(void *progress, unsigned percent, const char *text);
void image_progress_end(struct image_progress *p); /* leaves the line ended */
#endif
