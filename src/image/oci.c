#include "image/oci.h"
#include <errno.h>
#include <string.h>

#define INDEX_MAX 256 /* manifests in an index */

static int bad(struct err *e, const char *what)
{
	return err_set(e, ERR_INVALID, -EBADMSG, "the image's %s", what);
}

/* text_of() - a string member of at most @max bytes; NULL: none, or too long */
static const char *text_of(const struct js *o, const char *key, size_t max)
{
	const char *s = js_str(js_get(o, key));

	return s && strlen(s) <= max ? s : NULL;
}

static int blob_of(const struct js *o, struct oci_blob *ret, struct err *e)
{
	const char *digest = text_of(o, "digest", 256);
	int64_t size = js_int(js_get(o, "size"), -1);

	if (!digest || size < 0)
		return bad(e, "descriptor has no digest or size");
	if (!digest_parse(digest, ret->digest))
		return err_set(e, ERR_INVALID, -EBADMSG,
			"the image has a digest that is not SHA-256: '%.100s'", digest);
	ret->bytes = (uint64_t)size;
	return 0;
}

static int parse(const char *text, size_t len, const char *what, struct js **ret, struct err *e)
{
	int r = js_parse(text, len, OCI_TEXT_MAX, ret, e);

	if (r < 0)
		return err_wrap(e, -EBADMSG, "the image's %s", what);
	return js_is_object(*ret) ? 0 : bad(e, "JSON is no object");
}

/* ---- index ------------------------------------------------------------------------------------ */

static bool is_ours(const struct js *manifest)
{
	const struct js *platform = js_get(manifest, "platform");
	const char *os = text_of(platform, "os", 64), *arch = text_of(platform, "architecture", 64);

	return os && arch && strcmp(os, "linux") == 0 && strcmp(arch, "amd64") == 0;
}

static bool has_ref(const struct js *manifest, const char *ref)
{
	const char *name =
		text_of(js_get(manifest, "annotations"), "org.opencontainers.image.ref.name", 512);

	return name && strcmp(name, ref) == 0;
}

static const struct js *choose(const struct js *list, const char *ref)
{
	const struct js *found = NULL;
	size_t n = js_len(list);

	if (ref) {
		for (size_t i = 0; i < n; i++)
			if (has_ref(js_at(list, i), ref))
				return js_at(list, i);
		return NULL;
	}
	if (n == 1)
		return js_at(list, 0);
	for (size_t i = 0; i < n && !found; i++)
		if (is_ours(js_at(list, i)))
			found = js_at(list, i);
	return found;
}

int oci_choose(const char *text, size_t len, const char *ref, struct oci_blob *ret, bool *ret_index,
	struct err *e)
{
	AUTO_JS index = NULL;
	const struct js *list, *one;
	const char *type;
	int r = parse(text, len, "index", &index, e);

	if (r < 0)
		return r;
	list = js_get(index, "manifests");
	if (!js_is_array(list) || js_len(list) == 0 || js_len(list) > INDEX_MAX)
		return bad(e, "index has no manifests, or too many");
	one = choose(list, ref);
	if (!one && ref)
		return err_set(e, ERR_NOT_FOUND, -ENOENT, "the layout has no image '%.200s'", ref);
	if (!one)
		return err_set(e, ERR_NOT_FOUND, -ENOENT,
			"none of the image's %zu manifests is for linux/amd64", js_len(list));
	type = text_of(one, "mediaType", 256);
	*ret_index =
		type && (strcmp(type, "application/vnd.oci.image.index.v1+json") == 0 ||
				strcmp(type, "application/vnd.docker.distribution.manifest.list."
					     "v2+json") == 0);
	return blob_of(one, ret, e);
}

/* ---- manifest --------------------------------------------------------------------------------- */

static bool layer_format(const char *type, enum layer_format *ret)
{
	static const struct {
		const char *type;
		enum layer_format format;
	} known[] = {
		{"application/vnd.oci.image.layer.v1.tar", LAYER_TAR},
		{"application/vnd.oci.image.layer.v1.tar+gzip", LAYER_GZIP},
		{"application/vnd.oci.image.layer.v1.tar+zstd", LAYER_ZSTD},
		{"application/vnd.oci.image.layer.nondistributable.v1.tar", LAYER_TAR},
		{"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", LAYER_GZIP},
		{"application/vnd.docker.image.rootfs.diff.tar", LAYER_TAR},
		{"application/vnd.docker.image.rootfs.diff.tar.gzip", LAYER_GZIP},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(type, known[i].type) == 0) {
			*ret = known[i].format;
			return true;
		}
	return false;
}

static int one_layer(const struct js *o, struct layer *ret, struct err *e)
{
	const char *type = text_of(o, "mediaType", 256);
	struct oci_blob blob;
	int r = blob_of(o, &blob, e);

	if (r < 0)
		return r;
	if (js_len(js_get(o, "urls")) > 0)
		return bad(e, "manifest has a layer that lies elsewhere (urls): nobody asks there");
	*ret = (struct layer){.fd = -1, .blob_bytes = blob.bytes};
	memcpy(ret->digest, blob.digest, sizeof(ret->digest));
	if (!type || !layer_format(type, &ret->format))
		return err_set(e, ERR_INVALID, -EBADMSG,
			"the image has a layer of a kind that is not supported: '%.100s'",
			type ? type : "");
	return 0;
}

int oci_manifest(const char *text, size_t len, struct oci_manifest *ret_m, struct err *e)
{
	AUTO_JS o = NULL;
	const struct js *layers;
	int r = parse(text, len, "manifest", &o, e);

	if (r == 0)
		r = blob_of(js_get(o, "config"), &ret_m->config, e);
	if (r < 0)
		return r;
	layers = js_get(o, "layers");
	if (!js_is_array(layers) || js_len(layers) == 0)
		return bad(e, "manifest has no layers: there is nothing in it");
	if (js_len(layers) > TREE_LAYERS_MAX)
		return bad(e, "manifest has more than 127 layers");
	ret_m->n_layers = js_len(layers);
	for (size_t i = 0; i < ret_m->n_layers && r == 0; i++)
		r = one_layer(js_at(layers, i), &ret_m->layer[i], e);
	return r;
}

/* ---- configuration ---------------------------------------------------------------------------- */

static int diff_ids(const struct js *o, struct oci_manifest *m, struct err *e)
{
	const struct js *ids = js_get(js_get(o, "rootfs"), "diff_ids");

	if (!js_is_array(ids) || js_len(ids) != m->n_layers)
		return bad(e, "configuration does not name as many layers as its manifest");
	for (size_t i = 0; i < m->n_layers; i++) {
		const char *id = js_str(js_at(ids, i));

		if (!id || !digest_parse(id, m->layer[i].diff_id))
			return bad(e, "configuration has a layer without a SHA-256 digest");
	}
	return 0;
}

/* copy_list() - the strings of @from, or the names of its members; true: it failed */
static bool copy_list(struct js *to, const char *name, const struct js *from)
{
	AUTO_JS list = js_array();
	const struct js *value;
	const char *key;
	void *iter = NULL;
	bool failed = !list;

	if (js_len(from) > OCI_LIST_MAX)
		return true;
	if (js_is_array(from))
		for (size_t i = 0; i < js_len(from) && !failed; i++) {
			const char *s = js_str(js_at(from, i));

			failed = !s || strlen(s) > OCI_STRING_MAX || js_add_str(list, s);
		}
	else
		while (!failed && js_each(from, &iter, &key, &value))
			failed = strlen(key) > OCI_STRING_MAX || js_add_str(list, key);
	return failed || js_set(to, name, TAKE(list));
}

int oci_config(
	const char *text, size_t len, struct oci_manifest *m, struct js **ret_run, struct err *e)
{
	AUTO_JS o = NULL;
	AUTO_JS run = js_object();
	const struct js *c;
	const char *os, *arch, *about;
	int r = parse(text, len, "configuration", &o, e);

	if (r == 0)
		r = diff_ids(o, m, e);
	if (r < 0)
		return r;
	os = text_of(o, "os", 64);
	arch = text_of(o, "architecture", 64);
	if (!os || !arch || strcmp(os, "linux") != 0 || strcmp(arch, "amd64") != 0)
		return err_set(e, ERR_INVALID, -EBADMSG,
			"the image is for %.40s/%.40s, not for linux/amd64", os ? os : "?",
			arch ? arch : "?");
	c = js_get(o, "config");
	if (!run || copy_list(run, "env", js_get(c, "Env")) ||
		copy_list(run, "entrypoint", js_get(c, "Entrypoint")) ||
		copy_list(run, "cmd", js_get(c, "Cmd")) ||
		copy_list(run, "ports", js_get(c, "ExposedPorts")) ||
		copy_list(run, "volumes", js_get(c, "Volumes")) ||
		js_set_str(run, "user", text_of(c, "User", 256)) ||
		js_set_str(run, "workdir", text_of(c, "WorkingDir", 4096)) ||
		js_set_str(run, "stop_signal", text_of(c, "StopSignal", 32)))
		return bad(e, "configuration is malformed: arguments, variables, ports or volumes");
	about = text_of(js_get(c, "Labels"), "org.opencontainers.image.description", 1024);
	if (about && about[0] && js_set_str(run, "description", about))
		return err_sys(e, -ENOMEM, "read the configuration");
	*ret_run = TAKE(run);
	return 0;
}
