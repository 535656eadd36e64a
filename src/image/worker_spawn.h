/* worker_spawn.h - start sbx-image in its namespaces and follow its report; see worker.h
 *
 * Thread: any; waits until the worker has ended.
 */
#ifndef IMAGE_WORKER_SPAWN_H
#define IMAGE_WORKER_SPAWN_H
#include "image/build.h"
#include "json/json.h"

struct worker_job {
	const char *program; /* libexec's sbx-image */
	int layout_fd; /* directory; borrowed */
	int image_fd; /* regular file, empty; borrowed */
	bool export; /* the way back: layout_fd is a file for the layer, image_fd an image */
	const char *ref; /* NULL: any */
	const bool *interrupted; /* may be NULL */
	image_progress_fn progress; /* may be NULL; from 10 to 95 percent */
	void *ctx;
};

/* worker_do() - *ret_result is the caller's. -EINTR, -ETIMEDOUT (an hour), or what the worker said of the image */
int worker_do(const struct worker_job *job, struct js **ret_result, struct err *e) MUST_USE;
#endif
