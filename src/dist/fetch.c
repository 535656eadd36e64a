#include "dist/fetch.h"
#include "dist/admit.h"
#include "dist/cache.h"
#include "dist/skopeo.h"
#include "kit/zip.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- from a registry ---- */

/* add_papers() - the signatures of manifest @digest that the registry has, as a proof */
static int add_papers(struct dist_work *w, const struct dist_ref *ref, const char *digest,
	const struct buf *manifest, struct buf *proof, struct err *e)
{
	AUTO_FREE struct dist_signatures *all = calloc(1, sizeof(*all));
	struct buf payloads[DIST_SIGNATURES_MAX];
	struct dist_paper papers[DIST_SIGNATURES_MAX];
	struct dist_ref tag = *ref;
	char of_papers[DIST_HEX];
	AUTO(buf) text;
	size_t n = 0;
	int r;

	buf_init(&text, DIST_MANIFEST_MAX);
	tag.digest[0] = '\0';
	(void)snprintf(tag.tag, sizeof(tag.tag), "sha256-%s.sig", digest);
	r = all ? skopeo_manifest(w, &tag, &text, of_papers, e) : -ENOMEM;
	if (r == -ENOENT) {
		*e = (struct err){0};
		return 0;
	}
	if (r == 0)
		r = dist_signatures_read(buf_str(&text), text.len, all, e);
	if (r == 0 && all->n)
		r = skopeo_pull(w, &tag, of_papers, e);
	for (; r == 0 && n < all->n; n++) {
		buf_init(&payloads[n], DIST_PAYLOAD_MAX);
		r = skopeo_blob(w, all->v[n].payload, all->v[n].payload_bytes, &payloads[n], e);
		papers[n] = (struct dist_paper){.payload = buf_str(&payloads[n]),
			.payload_len = payloads[n].len,
			.signature = all->v[n].value};
	}
	if (r == 0 && n &&
		dist_pulled_write(buf_str(manifest), manifest->len, papers, n, proof) < 0)
		r = err_set(e, ERR_INVALID, -EBADMSG, "the signatures are malformed");
	for (size_t i = 0; i < n; i++)
		buf_fini(&payloads[i]);
	return r < 0 ? err_wrap(e, r, "the signatures of %s/%s", ref->registry, ref->repository)
		     : 0;
}

/* pull_layer() - *ref gets its digest; without @zip only that */
static int pull(struct dist_work *w, struct dist_ref *ref, struct buf *zip, struct buf *proof,
	struct err *e)
{
	AUTO(buf) manifest;
	struct dist_kit kit;
	char digest[DIST_HEX];
	int r;

	buf_init(&manifest, DIST_MANIFEST_MAX);
	r = skopeo_manifest(w, ref, &manifest, digest, e);
	if (r < 0)
		return r;
	memcpy(ref->digest, digest, sizeof(digest));
	r = dist_kit_read(buf_str(&manifest), manifest.len, &kit, e);
	if (r == 0 && zip)
		r = skopeo_pull(w, ref, digest, e);
	if (r == 0 && zip)
		r = skopeo_blob(w, kit.layer, kit.layer_bytes, zip, e);
	if (r == 0 && proof)
		r = add_papers(w, ref, digest, &manifest, proof, e);
	return r;
}

/* judge() - what came is a kit in one form only: the packed one, so that equal kits are equal bytes */
static int judge(const struct buf *zip, const char *origin, struct err *e)
{
	AUTO(kit_tree) tree = {0};
	AUTO(buf) again;
	int r = kit_zip_read(&tree, zip->data, zip->len, origin, e);

	buf_init(&again, KIT_ZIP_MAX);
	if (r < 0)
		return r;
	if (kit_zip_write(&tree, &again) < 0 || again.len != zip->len ||
		memcmp(again.data, zip->data, zip->len) != 0)
		return err_set(e, ERR_INVALID, -EBADMSG,
			"'%.200s' is not packed as sbx kit pack does it", origin);
	return 0;
}

int dist_pull(const struct dist_ref *from, const char *cache, struct buf *zip, struct buf *proof,
	char ret_origin[KIT_REF_MAX], struct err *e)
{
	AUTO(dist_work) w = {.fd = -1};
	struct dist_ref ref = *from;
	int r = paths_mkdir(cache, e);

	if (r == 0)
		r = dist_work_begin(&w, cache, e);
	if (r == 0)
		r = pull(&w, &ref, zip, proof, e);
	if (r == 0)
		r = dist_ref_origin(&ref, ret_origin, KIT_REF_MAX);
	if (r == 0)
		r = judge(zip, ret_origin, e);
	return r < 0 ? err_wrap(e, r, "kit of %s/%s", ref.registry, ref.repository) : 0;
}

/* ---- into the cache ---- */

struct fetching {
	const char *text;
	const struct paths *p;
	const struct dist_rules *rules;
	const struct kit_ref *ref;
	struct dist_fetched *out;
	struct buf zip, proof;
	struct err *e;
};

/* cached() - the kit of f->out->origin is there, and signed if it has to be */
static bool cached(struct fetching *f)
{
	AUTO(kit_source) src = {.kind = KIT_ZIP};
	char hint[DIST_HINT_MAX];

	if (dist_cache_find(f->p->cache, f->out->origin, f->out->path, &f->zip) < 0)
		return false;
	f->out->cached = true;
	if (!f->rules->require_signature)
		return true;
	(void)snprintf(src.file, sizeof(src.file), "%.*s/spec.yaml", PATH_MAX - 12, f->out->path);
	if (dist_proof_find(&src, &f->proof, NULL) < 0 ||
		dist_proof_check(buf_str(&f->proof), f->proof.len, f->zip.data, f->zip.len,
			&f->rules->signers, hint, NULL) < 0) {
		/* it may have been signed since */
		f->out->cached = false;
		buf_clear(&f->zip);
		buf_clear(&f->proof);
	}
	return f->out->cached;
}

static int git_origin(const struct kit_ref *ref, const char *commit, char dst[KIT_REF_MAX])
{
	int n = snprintf(dst, KIT_REF_MAX, "git+%s#ref=%s%s%s", ref->path, commit,
		ref->dir[0] ? "&dir=" : "", ref->dir);

	return n < KIT_REF_MAX ? 0 : -ENAMETOOLONG;
}

static bool is_commit(const char *s)
{
	size_t n = strlen(s);

	return (n == 40 || n == 64) && strspn(s, "0123456789abcdef") == n;
}

static int fetch_git(struct fetching *f)
{
	AUTO_FREE struct kit_source *src = calloc(1, sizeof(*src));
	int r = src ? 0 : -ENOMEM;

	if (r == 0 && is_commit(f->ref->ref)) {
		r = git_origin(f->ref, f->ref->ref, f->out->origin);
		if (r == 0 && cached(f))
			return 0;
	}
	if (r == 0)
		r = paths_mkdir(f->p->cache, f->e);
	if (r == 0)
		r = kit_source_read(f->text, f->p->data, f->p->cache, src, f->e);
	if (r < 0)
		return r;
	(void)snprintf(f->out->origin, sizeof(f->out->origin), "%s", src->origin);
	r = kit_zip_write(&src->tree, &f->zip);
	if (r == 0 && src->bundle.len)
		r = buf_add(&f->proof, src->bundle.data, src->bundle.len);
	kit_source_fini(src);
	return r < 0 ? err_sys(f->e, r, "pack the kit of %s", f->ref->path) : 0;
}

static int fetch_oci(struct fetching *f)
{
	struct dist_ref ref;
	int r = dist_ref_parse(f->text, &ref, f->e);

	if (r == 0 && ref.digest[0]) {
		r = dist_ref_origin(&ref, f->out->origin, sizeof(f->out->origin));
		if (r == 0 && cached(f))
			return 0;
	}
	return r < 0 ? r
		     : dist_pull(&ref, f->p->cache, &f->zip,
			       f->rules->require_signature ? &f->proof : NULL, f->out->origin,
			       f->e);
}

static int check_signature(struct fetching *f)
{
	char hint[DIST_HINT_MAX];

	if (!f->rules->require_signature)
		return 0;
	if (f->proof.len == 0)
		return err_set(f->e, ERR_DENIED, -EACCES, "the kit is not signed");
	return dist_proof_check(buf_str(&f->proof), f->proof.len, f->zip.data, f->zip.len,
		&f->rules->signers, hint, f->e);
}

static int fetch(struct fetching *f)
{
	int r = dist_admit_origin(f->rules, f->text, f->e);

	if (r == 0)
		r = f->ref->kind == KIT_GIT ? fetch_git(f) : fetch_oci(f);
	if (r < 0 || f->out->cached)
		return r < 0 && f->e->code == ERR_NONE ? err_sys(f->e, r, "fetch the kit") : r;
	r = check_signature(f);
	if (r < 0) {
		err_hint(f->e, "the setting " DIST_SETTING_REQUIRE
			       " is true; keys that are trusted: " DIST_SETTING_SIGNERS);
		return err_wrap(f->e, r, "kit '%.200s'", f->out->origin);
	}
	return dist_cache_put(f->p->cache, f->out->origin, &f->zip, &f->proof, f->out->path, f->e);
}

int dist_fetch(const char *text, const struct paths *p, const struct dist_rules *rules,
	struct dist_fetched *ret, struct err *e)
{
	AUTO_FREE struct kit_ref *ref = calloc(1, sizeof(*ref));
	struct fetching f = {.text = text, .p = p, .rules = rules, .ref = ref, .out = ret, .e = e};
	int r;

	*ret = (struct dist_fetched){0};
	if (!ref)
		return err_sys(e, -ENOMEM, "read a kit's name");
	r = kit_ref_parse(text, ref, e);
	if (r < 0 || (ref->kind != KIT_GIT && ref->kind != KIT_OCI))
		return r;
	buf_init(&f.zip, KIT_ZIP_MAX);
	buf_init(&f.proof, DIST_PROOF_MAX);
	r = fetch(&f);
	buf_fini(&f.zip);
	buf_fini(&f.proof);
	ret->remote = r == 0;
	return r;
}
