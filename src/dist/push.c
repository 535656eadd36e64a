#include "dist/push.h"
#include "dist/skopeo.h"
#include "base/paths.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* take_old() - the signatures that are there already, their payloads into the layout that is pushed */
static int take_old(
	struct dist_work *w, const struct dist_ref *tag, struct dist_signatures *all, struct err *e)
{
	AUTO(buf) text;
	char digest[DIST_HEX];
	int r;

	buf_init(&text, DIST_MANIFEST_MAX);
	r = skopeo_manifest(w, tag, &text, digest, e);
	if (r == -ENOENT) {
		*e = (struct err){0};
		return 0;
	}
	if (r == 0)
		r = dist_signatures_read(buf_str(&text), text.len, all, e);
	if (r == 0 && all->n)
		r = skopeo_pull(w, tag, digest, e);
	for (size_t i = 0; r == 0 && i < all->n; i++) {
		AUTO(buf) payload;

		buf_init(&payload, DIST_PAYLOAD_MAX);
		r = skopeo_blob(w, all->v[i].payload, all->v[i].payload_bytes, &payload, e);
		if (r == 0)
			r = skopeo_add(w, payload.data, payload.len, digest, e);
	}
	return r;
}

static int add_signature(struct dist_work *w, const struct dist_ref *ref, const char *digest,
	const struct dist_key *key, struct dist_signatures *all, struct err *e)
{
	struct dist_signature *s = &all->v[all->n];
	char name[600];
	AUTO(buf) payload;
	int r;

	buf_init(&payload, DIST_PAYLOAD_MAX);
	if (all->n == DIST_SIGNATURES_MAX)
		return err_set(
			e, ERR_LIMIT, -E2BIG, "it has %d signatures already", DIST_SIGNATURES_MAX);
	(void)snprintf(name, sizeof(name), "%s/%s", ref->registry, ref->repository);
	if (dist_payload_write(name, digest, &payload) < 0)
		return err_sys(e, -ENOMEM, "sign");
	r = dist_sign(key, payload.data, payload.len, s->value, e);
	if (r == 0)
		r = skopeo_add(w, payload.data, payload.len, s->payload, e);
	s->payload_bytes = payload.len;
	all->n++;
	return r;
}

static int sign(struct dist_work *w, const struct dist_ref *ref, const char *digest,
	const struct dist_key *key, struct err *e)
{
	AUTO_FREE struct dist_signatures *all = calloc(1, sizeof(*all));
	struct dist_ref tag = *ref;
	char hex[DIST_HEX];
	AUTO(buf) config, manifest;
	int r;

	buf_init(&config, DIST_MANIFEST_MAX);
	buf_init(&manifest, DIST_MANIFEST_MAX);
	tag.digest[0] = '\0';
	(void)snprintf(tag.tag, sizeof(tag.tag), "sha256-%s.sig", digest);
	if (!all)
		return err_sys(e, -ENOMEM, "sign");
	r = take_old(w, &tag, all, e);
	if (r == 0)
		r = add_signature(w, ref, digest, key, all, e);
	if (r < 0)
		return r;
	if (dist_signatures_config(all, &config) < 0)
		return err_sys(e, -ENOMEM, "sign");
	r = skopeo_add(w, config.data, config.len, hex, e);
	if (r == 0 && dist_signatures_write(all, hex, config.len, &manifest) < 0)
		r = err_sys(e, -ENOMEM, "sign");
	return r == 0 ? skopeo_push(w, &tag, &manifest, hex, e) : r;
}

static int begin(struct dist_work *w, const char *cache, struct err *e)
{
	int r = paths_mkdir(cache, e);

	return r == 0 ? dist_work_begin(w, cache, e) : r;
}

int dist_push(const struct dist_ref *ref, const char *name, const char *version,
	const struct buf *zip, const struct dist_key *key, const char *cache,
	char ret_digest[DIST_HEX], struct err *e)
{
	AUTO(dist_work) w = {.fd = -1};
	struct dist_kit kit = {.layer_bytes = zip->len};
	char empty[DIST_HEX];
	AUTO(buf) manifest;
	int r = begin(&w, cache, e);

	buf_init(&manifest, DIST_MANIFEST_MAX);
	(void)snprintf(kit.name, sizeof(kit.name), "%s", name);
	(void)snprintf(kit.version, sizeof(kit.version), "%.64s", version ? version : "");
	if (r == 0)
		r = skopeo_add(&w, zip->data, zip->len, kit.layer, e);
	if (r == 0)
		r = skopeo_add(&w, DIST_EMPTY, strlen(DIST_EMPTY), empty, e);
	if (r == 0 && dist_kit_write(&kit, &manifest) < 0)
		r = err_sys(e, -ENOMEM, "write the manifest");
	if (r == 0)
		r = skopeo_push(&w, ref, &manifest, ret_digest, e);
	if (r == 0 && key)
		r = sign(&w, ref, ret_digest, key, e);
	return r < 0 ? err_wrap(e, r, "push to %s/%s", ref->registry, ref->repository) : 0;
}

int dist_push_signature(const struct dist_ref *ref, const struct dist_key *key, const char *cache,
	char ret_digest[DIST_HEX], struct err *e)
{
	AUTO(dist_work) w = {.fd = -1};
	struct dist_kit kit;
	AUTO(buf) manifest;
	int r = begin(&w, cache, e);

	buf_init(&manifest, DIST_MANIFEST_MAX);
	if (r == 0)
		r = skopeo_manifest(&w, ref, &manifest, ret_digest, e);
	if (r == 0)
		r = dist_kit_read(buf_str(&manifest), manifest.len, &kit, e);
	if (r == 0)
		r = sign(&w, ref, ret_digest, key, e);
	return r < 0 ? err_wrap(e, r, "sign %s/%s", ref->registry, ref->repository) : 0;
}
