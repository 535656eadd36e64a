#include "dist/artifact.h"
#include "kit/zip.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ANNOTATIONS_MAX 32
#define TEXT_MAX	1024
#define SIGNATURE_KEY	"dev.cosignproject.cosign/signature"
#define TITLE_KEY	"org.opencontainers.image.title"
#define VERSION_KEY	"org.opencontainers.image.version"
#define REF_KEY		"org.opencontainers.image.ref.name"
#define SIGNATURE_TYPE	"cosign container image signature"

static int bad(struct err *e, const char *what)
{
	return err_set(e, ERR_INVALID, -EBADMSG, "%s", what);
}

static int parse(const char *text, size_t len, size_t max, struct js **ret, struct err *e)
{
	int r = js_parse(text, len, max, ret, e);

	return r < 0 ? err_wrap(e, -EBADMSG, "malformed") : 0;
}

/* take_hex() - "sha256:HEX" */
static bool take_hex(const char *s, char ret[DIST_HEX])
{
	if (!s || strncmp(s, "sha256:", 7) != 0 || strlen(s + 7) != 64 ||
		strspn(s + 7, "0123456789abcdef") != 64)
		return false;
	memcpy(ret, s + 7, 65);
	return true;
}

struct descriptor {
	const char *type;
	char digest[DIST_HEX];
	int64_t bytes;
	const struct js *annotations; /* NULL: none */
};

static int take_annotations(struct js_reader *rd, const struct js **ret)
{
	const struct js *v = js_take_object(rd, "annotations"), *item;
	const char *key;
	void *iter = NULL;

	if (v && js_len(v) > ANNOTATIONS_MAX)
		js_fault(rd, "annotations", "are too many");
	while (v && js_each(v, &iter, &key, &item))
		if (!js_str(item) || strlen(js_str(item)) > 8 * TEXT_MAX)
			js_fault(rd, "annotations", "must be texts");
	*ret = v;
	return 0;
}

/* descriptor_read() - strict: "urls", "data", "platform" have no place in a kit */
static int descriptor_read(
	const struct js *o, const char *where, struct descriptor *ret, struct err *e)
{
	struct js_reader rd;
	const char *digest;

	js_read(&rd, o, where, e);
	ret->type = js_want_str(&rd, "mediaType", 255);
	digest = js_want_str(&rd, "digest", 255);
	ret->bytes = js_want_int(&rd, "size", 0, INT64_MAX);
	(void)take_annotations(&rd, &ret->annotations);
	if (rd.r == 0 && !take_hex(digest, ret->digest))
		js_fault(&rd, "digest", "must be sha256: and 64 digits");
	return js_done(&rd) < 0 ? -EBADMSG : 0;
}

static void take_word(const struct js *annotations, const char *key, char *dst, size_t cap)
{
	const char *s = js_str(js_get(annotations, key));

	if (s && strlen(s) < cap)
		(void)snprintf(dst, cap, "%s", s);
}

int dist_kit_read(const char *text, size_t len, struct dist_kit *ret_kit, struct err *e)
{
	AUTO_JS o = NULL;
	struct js_reader rd;
	struct descriptor config = {0}, layer = {0};
	const struct js *layers, *notes, *config_json;
	const char *type, *artifact;
	struct dist_kit kit = {0};
	int r = parse(text, len, DIST_MANIFEST_MAX, &o, e);

	if (r < 0)
		return r;
	artifact = js_str(js_get(o, "artifactType"));
	if (!js_is_object(o) || !artifact || strcmp(artifact, DIST_TYPE_KIT) != 0)
		return bad(e, "it is no kit, but an image or another artifact");
	js_read(&rd, o, "manifest", e);
	(void)js_want_int(&rd, "schemaVersion", 2, 2);
	type = js_want_str(&rd, "mediaType", 255);
	(void)js_want_str(&rd, "artifactType", 255);
	config_json = js_take_object(&rd, "config");
	layers = js_take_array(&rd, "layers", 1);
	(void)take_annotations(&rd, &notes);
	if (js_done(&rd) < 0)
		return -EBADMSG;
	if (strcmp(type, DIST_TYPE_MANIFEST) != 0)
		return bad(e, "its manifest is of another type");
	r = descriptor_read(config_json, "manifest.config", &config, e);
	if (r == 0)
		r = descriptor_read(js_at(layers, 0), "manifest.layers[0]", &layer, e);
	if (r < 0)
		return r;
	if (strcmp(config.type, DIST_TYPE_EMPTY) != 0 || config.bytes != 2)
		return bad(e, "its configuration is not the empty one");
	if (strcmp(layer.type, DIST_TYPE_ZIP) != 0)
		return bad(e, "its layer is no packed kit");
	if (layer.bytes < 1 || layer.bytes > KIT_ZIP_MAX)
		return bad(e, "its layer is empty or too large");
	memcpy(kit.layer, layer.digest, sizeof(kit.layer));
	kit.layer_bytes = (uint64_t)layer.bytes;
	take_word(notes, TITLE_KEY, kit.name, sizeof(kit.name));
	take_word(notes, VERSION_KEY, kit.version, sizeof(kit.version));
	*ret_kit = kit;
	return 0;
}

/* descriptor_new() - NULL without memory */
static struct js *descriptor_new(const char *type, const char *hex, uint64_t bytes)
{
	AUTO_JS o = js_object();
	char digest[8 + DIST_HEX];

	(void)snprintf(digest, sizeof(digest), "sha256:%s", hex);
	if (js_set_str(o, "mediaType", type) || js_set_str(o, "digest", digest) ||
		js_set_int(o, "size", (int64_t)bytes))
		return NULL;
	return TAKE(o);
}

int dist_kit_write(const struct dist_kit *kit, struct buf *out)
{
	/* of the two bytes of DIST_EMPTY */
	static const char empty[] =
		"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
	AUTO_JS o = js_object();
	AUTO_JS layers = js_array();
	AUTO_JS notes = js_object();
	AUTO_JS title = js_object();
	AUTO_JS layer = descriptor_new(DIST_TYPE_ZIP, kit->layer, kit->layer_bytes);
	char file[80];

	(void)snprintf(file, sizeof(file), "%s.zip", kit->name);
	if (js_set_str(title, TITLE_KEY, file) || js_set(layer, "annotations", TAKE(title)) ||
		js_add(layers, TAKE(layer)) || js_set_str(notes, TITLE_KEY, kit->name) ||
		(kit->version[0] && js_set_str(notes, VERSION_KEY, kit->version)) ||
		js_set_int(o, "schemaVersion", 2) ||
		js_set_str(o, "mediaType", DIST_TYPE_MANIFEST) ||
		js_set_str(o, "artifactType", DIST_TYPE_KIT) ||
		js_set(o, "config", descriptor_new(DIST_TYPE_EMPTY, empty, 2)) ||
		js_set(o, "layers", TAKE(layers)) || js_set(o, "annotations", TAKE(notes)))
		return -ENOMEM;
	return js_canonical(o, out);
}

/* ---- signatures ---- */

int dist_signatures_read(const char *text, size_t len, struct dist_signatures *ret, struct err *e)
{
	AUTO_JS o = NULL;
	const struct js *layers;
	int r = parse(text, len, DIST_MANIFEST_MAX, &o, e);

	if (r < 0)
		return r;
	layers = js_get(o, "layers");
	if (!js_is_array(layers) || js_len(layers) > DIST_SIGNATURES_MAX)
		return bad(e, "the manifest of the signatures has no layers, or too many");
	ret->n = 0;
	for (size_t i = 0; i < js_len(layers); i++) {
		const struct js *l = js_at(layers, i);
		const char *type = js_str(js_get(l, "mediaType"));
		const char *value = js_str(js_get(js_get(l, "annotations"), SIGNATURE_KEY));
		struct dist_signature *s = &ret->v[ret->n];
		int64_t bytes = js_int(js_get(l, "size"), -1);

		if (!type || strcmp(type, DIST_TYPE_PAYLOAD) != 0 || !value)
			continue;
		if (bytes < 1 || bytes > DIST_PAYLOAD_MAX || strlen(value) >= sizeof(s->value) ||
			js_get(l, "urls") || !take_hex(js_str(js_get(l, "digest")), s->payload))
			return bad(e, "a signature in the registry is malformed");
		s->payload_bytes = (uint64_t)bytes;
		(void)snprintf(s->value, sizeof(s->value), "%s", value);
		ret->n++;
	}
	return 0;
}

int dist_signatures_config(const struct dist_signatures *s, struct buf *out)
{
	AUTO_JS o = js_object();
	AUTO_JS rootfs = js_object();
	AUTO_JS ids = js_array();
	char digest[8 + DIST_HEX];
	bool failed = false;

	for (size_t i = 0; i < s->n; i++) {
		(void)snprintf(digest, sizeof(digest), "sha256:%s", s->v[i].payload);
		failed |= js_add_str(ids, digest);
	}
	if (failed || js_set_str(rootfs, "type", "layers") ||
		js_set(rootfs, "diff_ids", TAKE(ids)) || js_set_str(o, "architecture", "") ||
		js_set_str(o, "os", "") || js_set(o, "config", js_object()) ||
		js_set_str(o, "created", "0001-01-01T00:00:00Z") ||
		js_set(o, "rootfs", TAKE(rootfs)))
		return -ENOMEM;
	return js_canonical(o, out);
}

int dist_signatures_write(
	const struct dist_signatures *s, const char *config, size_t config_bytes, struct buf *out)
{
	AUTO_JS o = js_object();
	AUTO_JS layers = js_array();
	bool failed = false;

	for (size_t i = 0; i < s->n; i++) {
		AUTO_JS notes = js_object();
		AUTO_JS l =
			descriptor_new(DIST_TYPE_PAYLOAD, s->v[i].payload, s->v[i].payload_bytes);

		failed |= js_set_str(notes, SIGNATURE_KEY, s->v[i].value);
		failed |= js_set(l, "annotations", TAKE(notes));
		failed |= js_add(layers, TAKE(l));
	}
	if (failed || js_set_int(o, "schemaVersion", 2) ||
		js_set_str(o, "mediaType", DIST_TYPE_MANIFEST) ||
		js_set(o, "config", descriptor_new(DIST_TYPE_CONFIG, config, config_bytes)) ||
		js_set(o, "layers", TAKE(layers)))
		return -ENOMEM;
	return js_canonical(o, out);
}

int dist_payload_write(const char *reference, const char *digest, struct buf *out)
{
	AUTO_JS o = js_object();
	AUTO_JS critical = js_object();
	AUTO_JS identity = js_object();
	AUTO_JS image = js_object();
	char text[8 + DIST_HEX];

	(void)snprintf(text, sizeof(text), "sha256:%s", digest);
	if (js_set_str(identity, "docker-reference", reference) ||
		js_set_str(image, "docker-manifest-digest", text) ||
		js_set(critical, "identity", TAKE(identity)) ||
		js_set(critical, "image", TAKE(image)) ||
		js_set_str(critical, "type", SIGNATURE_TYPE) ||
		js_set(o, "critical", TAKE(critical)) || js_set_null(o, "optional"))
		return -ENOMEM;
	return js_canonical(o, out);
}

int dist_payload_check(const char *text, size_t len, const char *digest, struct err *e)
{
	AUTO_JS o = NULL;
	const struct js *critical;
	const char *type;
	char hex[DIST_HEX];
	int r = parse(text, len, DIST_PAYLOAD_MAX, &o, e);

	if (r < 0)
		return r;
	critical = js_get(o, "critical");
	type = js_str(js_get(critical, "type"));
	if (!type || strcmp(type, SIGNATURE_TYPE) != 0)
		return bad(e, "what was signed is no statement about a manifest");
	if (!take_hex(js_str(js_get(js_get(critical, "image"), "docker-manifest-digest")), hex) ||
		strcmp(hex, digest) != 0)
		return bad(e, "what was signed speaks of another manifest");
	return 0;
}

int dist_layout_index(const char *digest, size_t bytes, struct buf *out)
{
	AUTO_JS o = js_object();
	AUTO_JS list = js_array();
	AUTO_JS notes = js_object();
	AUTO_JS one = descriptor_new(DIST_TYPE_MANIFEST, digest, bytes);

	if (js_set_str(notes, REF_KEY, "kit") || js_set(one, "annotations", TAKE(notes)) ||
		js_add(list, TAKE(one)) || js_set_int(o, "schemaVersion", 2) ||
		js_set(o, "manifests", TAKE(list)))
		return -ENOMEM;
	return js_canonical(o, out);
}
