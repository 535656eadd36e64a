/* oci.h - the JSON of an image in an OCI layout: which manifest, which layers, how its programs are to be run
 *
 * Pure: text in, structures out. The text is hostile; every list has a maximum and every string a length.
 * Unknown members are left alone, as the specification asks. Thread: any. -EBADMSG with @e: malformed.
 * Source: image-spec image-layout.md, image-index.md, manifest.md, config.md; Docker's schema 2 has the same form.
 */
#ifndef IMAGE_OCI_H
#define IMAGE_OCI_H
#include "base/buf.h"
#include "base/err.h"
#include "image/digest.h"
#include "image/layer.h"
#include "image/tree.h"
#include "json/json.h"

#define OCI_TEXT_MAX   (4U << 20) /* index, manifest, configuration: each */
#define OCI_LIST_MAX   1024 /* arguments, variables, ports ... */
#define OCI_STRING_MAX 32768

struct oci_blob {
	char digest[DIGEST_HEX_LEN + 1];
	uint64_t bytes;
};

/* oci_choose() - the manifest that index @text names: by @ref (annotation "org.opencontainers.image.ref.name") when
 * given, else the only one, else that of linux/amd64. *ret_index: it names an index itself, look into that.
 */
int oci_choose(const char *text, size_t len, const char *ref, struct oci_blob *ret, bool *ret_index,
	struct err *e) MUST_USE;

struct oci_manifest {
	struct oci_blob config;
	struct layer layer[TREE_LAYERS_MAX]; /* lowest first, as written; fd is -1, diff_id "" */
	size_t n_layers;
};
int oci_manifest(const char *text, size_t len, struct oci_manifest *ret_m, struct err *e) MUST_USE;

/* oci_config() - @m's layers get their diff_ids, *ret_run what a program of the image is to be started with:
 * {"env":["A=b"],"entrypoint":[],"cmd":[],"user":"","workdir":"","ports":["80/tcp"],"volumes":[],"stop_signal":""}
 * and "description" when a label gives one.
 */
int oci_config(const char *text, size_t len, struct oci_manifest *m, struct js **ret_run,
	struct err *e) MUST_USE;
#endif
