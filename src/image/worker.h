/* worker.h - sbx-image: an image in an OCI layout becomes one read-only file system, in a jail of its own
 *
 * Everything in an image is hostile: compressed data, archives, names, JSON. So a process without network, paths
 * and rights reads it: it sees the layout's directory (read-only, nothing leads up from it) and the file it writes.
 * Nothing is extracted on the host's file system. Stages as in sbx-machine: open, load, drop, run.
 *
 * Descriptors: 2 log, 3 report, 4 the layout's directory, 5 the image (a regular file, empty).
 * Arguments: [--max-bytes N] [--ref NAME]. The report is lines: "P done all\n" (bytes of blobs), then one of
 * "R JSON\n" and "E JSON\n" (the API's form of an error). Exit status 0 with R.
 * R: {"digest","bytes","root_digest","files","devices","uncompressed","run":{...}}, see oci.h.
 * With --export the way back: 4 is a regular file or pipe to write one layer to (a tar stream), 5 the image, read-only.
 * R: {"bytes","files"}.
 */
#ifndef IMAGE_WORKER_H
#define IMAGE_WORKER_H
#include "base/err.h"
#include "image/oci.h"
#include <stdbool.h>
#include <stdint.h>

#define WORKER_REPORT_FD 3
#define WORKER_LAYOUT_FD 4
#define WORKER_IMAGE_FD	 5
#define WORKER_LAYER_FD	 4 /* with --export, instead of a layout */
#define WORKER_MAX_BYTES (64ULL << 30) /* of an image, when nothing else is said */

struct jail_table;
extern const struct jail_table image_table; /* the system calls of its last stage */

struct worker {
	uint64_t max_bytes;
	const char *ref; /* NULL: the only one, or linux/amd64's */
	int layout_fd; /* a mount of its own after the drop */
	bool export; /* an image becomes a layer */
	struct oci_manifest manifest;
	char digest[DIGEST_HEX_LEN + 1]; /* of the manifest */
	struct js *run;
	uint64_t before, all; /* bytes of blobs: of the layers that are done, of all */
	int64_t shown_ms;
};

/* worker_drop() - all rights; what is left is reading beneath the layout and writing the image */
int worker_drop(struct worker *w, struct err *e) MUST_USE;
/* worker_run() - the whole conversion; *ret_result the R line's object, the caller's */
int worker_run(struct worker *w, struct js **ret_result, struct err *e) MUST_USE;
/* worker_export() - the same the other way round */
int worker_export(const struct worker *w, struct js **ret_result, struct err *e) MUST_USE;
void worker_fini(struct worker *w);
#endif
