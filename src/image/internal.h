/* internal.h - what the files of image/ share with each other and with nobody else */
#ifndef IMAGE_INTERNAL_H
#define IMAGE_INTERNAL_H
#include "image/build.h"
#include "image/ref.h"
#include "image/store.h"
#include "json/json.h"

bool image_id_ok(const char *s);
bool image_name_ok(const char *s);

/* image_load() - the image in @dir (any place): meta.json read strictly, then image_check() */
int image_load(const char *dir, struct image *ret_image, struct err *e) MUST_USE;
/* image_check() - the cheap check: all three files have their sizes and magic numbers */
int image_check(const struct image *img, struct err *e) MUST_USE;

/* image_store_publish() - make the finished directory @dir (same file system) an image of the store
 * On failure @dir is left to the caller. An image of the same id is replaced in one step.
 */
int image_store_publish(const struct image_store *s, const char *dir, struct image *ret_image,
	struct err *e) MUST_USE;
/* image_store_name() - let @name mean @id */
int image_store_name(
	const struct image_store *s, const char *name, const char *id, struct err *e) MUST_USE;

/* What a reference means: store_refs.c */
struct image_reference {
	char id[IMAGE_ID_LEN + 1];
	char digest[IMAGE_DIGEST_LEN + 1]; /* at the registry; zeros: none */
	char name[IMAGE_REF_MAX + 1]; /* "": an archive or layout */
};
/* image_store_refer() - let @ref mean @id; @digest "" or what the registry calls it */
int image_store_refer(const struct image_store *s, const struct image_ref *ref, const char *id,
	const char *digest, struct err *e) MUST_USE;
/* image_store_referred() - false: not known here, or damaged. The image may be gone. */
bool image_store_referred(
	const struct image_store *s, const struct image_ref *ref, struct image_reference *ret);
void image_store_unrefer(const struct image_store *s, const char *id);
void image_find_reference(const struct image_store *s, struct image *img);
void image_set_reference(struct image *img, const struct image_reference *r);

/* What is half made lies in the store under these names; who holds the lock may remove it. */
#define IMPORT_WORK  ".import"
#define IMPORT_FETCH ".fetch-" /* and a key: what was loaded of a download, for the next try */

/* image_lock_store() - one build or import at a time; a second one waits. A descriptor. */
int image_lock_store(const struct image_store *store, const bool *interrupted,
	image_progress_fn progress, void *ctx, struct err *e) MUST_USE;
bool image_stop_wanted(const bool *interrupted);
/* image_line_fn() - a whole line, terminated; a negative errno ends the following */
typedef int (*image_line_fn)(void *ctx, char *line, size_t len);
/* image_follow() - the lines of a child, at most @max bytes each, until it closes its end: 0
 * -EINTR when @interrupted, -ETIMEDOUT after an hour, or what @line said.
 */
int image_follow(
	int fd, const bool *interrupted, size_t max, image_line_fn line, void *ctx) MUST_USE;
/* image_remove_leftovers() - needs the lock; @keep: the name of one that stays, or NULL */
void image_remove_leftovers(const struct image_store *s, const char *keep);
/* image_remove_tree() - links are not followed, mounts not entered */
void image_remove_tree(const char *dir);
#endif
