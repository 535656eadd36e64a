/* skopeo.h - manifests and blobs of a registry, by the host's skopeo
 *
 * skopeo brings authentication (its auth files, those of docker and podman) and TLS (the host's roots, certs.d). It
 * runs without the host's list of mirrors and aliases, so that the registry that was judged is the one that is
 * asked; without TLS only to addresses of this host. It may write beneath one directory, files of bounded size,
 * until a deadline. A redirect of a registry is followed by skopeo: what came is therefore compared with its digest
 * here, and a tag is what the registry that was asked, over verified TLS, says it is.
 * Thread: any; waits. -EHOSTUNREACH with skopeo's last words; -ENOENT: the registry has no such thing.
 */
#ifndef DIST_SKOPEO_H
#define DIST_SKOPEO_H
#include "dist/ref.h"
#include "base/buf.h"
#include <limits.h>
#include <stdint.h>

#define DIST_FETCH_MS 120000

struct dist_work {
	char dir[PATH_MAX]; /* made by dist_work_begin(), removed by its end; "" before */
	int fd; /* of dir, locked as long as it is in use; -1 before */
	int64_t deadline; /* clock_ms() */
};
/* dist_work_begin() - a directory of its own beneath @parent, "kit-oci-XXXXXX" */
int dist_work_begin(struct dist_work *w, const char *parent, struct err *e) MUST_USE;
void dist_work_end(struct dist_work *w); /* copes with one that never began */
void dist_work_auto(struct dist_work *w);

/* skopeo_manifest() - the bytes, of at most out->max, and their digest; compared with the one in @ref */
int skopeo_manifest(struct dist_work *w, const struct dist_ref *ref, struct buf *out,
	char ret_digest[DIST_HEX], struct err *e) MUST_USE;
/* skopeo_pull() - manifest @digest and all its blobs into an OCI layout beneath w->dir */
int skopeo_pull(struct dist_work *w, const struct dist_ref *ref, const char *digest,
	struct err *e) MUST_USE;
/* skopeo_blob() - of that layout: exactly @bytes bytes of that digest */
int skopeo_blob(struct dist_work *w, const char *digest, uint64_t bytes, struct buf *out,
	struct err *e) MUST_USE;
/* skopeo_add() - a blob into a layout that is to be pushed; skopeo_push(): with that manifest, to the tag of @ref */
int skopeo_add(struct dist_work *w, const void *p, size_t len, char ret_digest[DIST_HEX],
	struct err *e) MUST_USE;
int skopeo_push(struct dist_work *w, const struct dist_ref *ref, const struct buf *manifest,
	char ret_digest[DIST_HEX], struct err *e) MUST_USE;
#endif
