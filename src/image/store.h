/* store.h - the images on this host: <cache>/images/<id>/, published by one rename
 *
 * An image is a directory with root.img (read-only file system), kernel, modules.cpio and meta.json.
 * It is written beside its place and renamed, so what is there is whole; what was damaged later is
 * told by size and magic at each start and by digest on demand. <cache>/images/names/<name> is a
 * small file with the id that name means, <cache>/images/refs/<key> the same of a reference (ref.h). Image directories are never changed once published.
 * Thread: any, one store per thread. Faults: struct err. The caller owns all memory.
 */
#ifndef IMAGE_STORE_H
#define IMAGE_STORE_H
#include "base/err.h"
#include "base/name.h"
#include "image/ref.h"
#include "json/json.h"
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_ID_LEN	 16
#define IMAGE_DIGEST_LEN 64
#define IMAGE_DEFAULT	 "default"

struct image_store {
	char dir[PATH_MAX]; /* <cache>/images */
};

struct image {
	char id[IMAGE_ID_LEN + 1]; /* hex: the content key, see image_build() */
	char name[NAME_MAX_LEN + 1]; /* "" when no name means it any more */
	char reference[IMAGE_REF_MAX + 1]; /* what it was pulled as; "" : not from a registry */
	char pin[IMAGE_DIGEST_LEN + 1]; /* the digest that @reference had there; "" as above */
	char manifest[IMAGE_DIGEST_LEN + 1]; /* of an image of others: its own digest; else "" */
	char root_digest[IMAGE_DIGEST_LEN + 1]; /* SHA-256 of root.img, hex */
	char kernel_digest[IMAGE_DIGEST_LEN + 1];
	char modules_digest[IMAGE_DIGEST_LEN + 1];
	char format[16]; /* of root.img, as mount(2) names it: "squashfs", "erofs" */
	char kernel_version[64]; /* "6.1.0-56-cloud-amd64" */
	uint64_t root_bytes, kernel_bytes, modules_bytes;
	int64_t created_ms; /* since 1970 */
	char root[PATH_MAX], kernel[PATH_MAX], modules[PATH_MAX];
};

/* image_store_open() - @cache is paths.cache; creates <cache>/images (0700) when missing */
int image_store_open(const char *cache, struct image_store *ret_store, struct err *e) MUST_USE;

/* image_store_list() - all whole images, newest first; free() the array. A directory that is not a
 * valid image is left out and counted in *ret_broken (NULL: not wanted).
 */
int image_store_list(const struct image_store *s, struct image **ret_images, size_t *ret_count,
	size_t *ret_broken, struct err *e) MUST_USE;

/* image_store_lookup() - by name, id, a prefix of an id of at least 4 digits that is unique, or a reference
 * (ref.h), for which image_ref_missing() is the fault when it is not here.
 * Includes the cheap check (sizes, magic numbers), as every start does. -ENOENT with a hint when
 * there is none, -EBADMSG when it is there and broken.
 */
int image_store_lookup(const struct image_store *s, const char *ref, struct image *ret_image,
	struct err *e) MUST_USE;

/* image_meta() - meta.json as it lies there, the caller's. "run" in it, of an image of others, is what a program is to
 * be started with, as its makers said (oci.h: oci_config()): hostile text within limits.
 */
int image_meta(const struct image *img, struct js **ret_meta, struct err *e) MUST_USE;

/* image_store_verify() - read everything and compare digests; seconds */
int image_store_verify(const struct image *img, struct err *e) MUST_USE;

/* image_store_remove() - by name or id, broken ones too. Running machines keep what they have open;
 * whether a stopped sandbox still needs it is the caller's question.
 */
int image_store_remove(const struct image_store *s, const char *ref, struct err *e) MUST_USE;

/* image_open_root(), image_open_kernel(), image_open_modules() - open read-only, check size and magic on that very
 * descriptor, and return it: what was checked is what is used
 */
int image_open_root(const struct image *img, struct err *e) MUST_USE;
int image_open_kernel(const struct image *img, struct err *e) MUST_USE;
int image_open_modules(const struct image *img, struct err *e) MUST_USE;
#endif
