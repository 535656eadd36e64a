/* artifact.h - a kit as an OCI artifact, and its signatures as cosign stores them: JSON to structs and back
 *
 * A kit is a manifest with artifactType DIST_TYPE_KIT, the empty configuration and one layer, the packed ZIP.
 * Signatures of a manifest are an image with the tag "sha256-HEX.sig" beside it; each layer is a payload ("simple
 * signing") whose annotation holds the signature over its bytes. Pure; hostile text; every list and text has a
 * maximum. Read strictly: a manifest of a kit has nothing in it that is not named here. Thread: any.
 * Source: image-spec manifest.md (artifacts), cosign SIGNATURE_SPEC.md, containers-signature(5).
 */
#ifndef DIST_ARTIFACT_H
#define DIST_ARTIFACT_H
#include "dist/ref.h"
#include "base/buf.h"
#include "json/json.h"
#include <stdint.h>

#define DIST_TYPE_KIT	   "application/vnd.sbx.kit.v1"
#define DIST_TYPE_ZIP	   "application/vnd.sbx.kit.v1+zip"
#define DIST_TYPE_EMPTY	   "application/vnd.oci.empty.v1+json"
#define DIST_TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define DIST_TYPE_CONFIG   "application/vnd.oci.image.config.v1+json"
#define DIST_TYPE_PAYLOAD  "application/vnd.dev.cosign.simplesigning.v1+json"
#define DIST_EMPTY	   "{}"

#define DIST_MANIFEST_MAX   (256U << 10)
#define DIST_PAYLOAD_MAX    16384
#define DIST_SIGNATURES_MAX 32
#define DIST_SIGNATURE_MAX  512 /* in base64 */

struct dist_kit {
	char name[65], version[65]; /* version "": not said */
	char layer[DIST_HEX];
	uint64_t layer_bytes;
};
/* dist_kit_read() - -EBADMSG with what is wrong; a layer of at most KIT_ZIP_MAX */
int dist_kit_read(const char *text, size_t len, struct dist_kit *ret_kit, struct err *e) MUST_USE;
/* dist_kit_write() - equal kits give equal bytes */
int dist_kit_write(const struct dist_kit *kit, struct buf *out) MUST_USE;

struct dist_signature {
	char payload[DIST_HEX]; /* digest of the blob */
	uint64_t payload_bytes;
	char value[DIST_SIGNATURE_MAX]; /* base64 */
};
struct dist_signatures {
	struct dist_signature v[DIST_SIGNATURES_MAX];
	size_t n;
};
/* dist_signatures_read() - layers of other kinds are left out, as cosign does */
int dist_signatures_read(
	const char *text, size_t len, struct dist_signatures *ret, struct err *e) MUST_USE;
/* dist_signatures_write() - the manifest and the configuration that it names (digest @config) */
int dist_signatures_config(const struct dist_signatures *s, struct buf *out) MUST_USE;
int dist_signatures_write(const struct dist_signatures *s, const char *config, size_t config_bytes,
	struct buf *out) MUST_USE;

/* dist_payload_write() - what is signed: the manifest of digest @digest, called @reference */
int dist_payload_write(const char *reference, const char *digest, struct buf *out) MUST_USE;
/* dist_payload_check() - does it speak of the manifest @digest? The reference in it is not looked at, as the
 * format's specification asks. -EBADMSG
 */
int dist_payload_check(const char *text, size_t len, const char *digest, struct err *e) MUST_USE;

/* dist_layout_index() - index.json of an OCI layout with one manifest, named "kit" */
int dist_layout_index(const char *digest, size_t bytes, struct buf *out) MUST_USE;
#endif
