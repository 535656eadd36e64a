/* sbx kit push|pull */
#include "cli/box.h"
#include "cli/kit_key.h"
#include "cli/kit_verbs.h"
#include "cli/report.h"
#include "cli/verb.h"
#include "dist/admit.h"
#include "dist/cache.h"
#include "dist/fetch.h"
#include "dist/push.h"
#include "kit/zip.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* push() - what a registry gets is what `kit pack` writes */
static int push(const struct kit_args_cli *a, const struct paths *p, struct js **ret, struct err *e)
{
	AUTO_KIT_RESOLVED *kit = NULL;
	AUTO_DIST_KEY *key = NULL;
	AUTO_JS o = js_object();
	struct dist_ref ref;
	char digest[DIST_HEX], text[80], name[700];
	AUTO(buf) zip;
	int r = dist_ref_parse(a->to, &ref, e);

	buf_init(&zip, KIT_ZIP_MAX);
	if (r == 0 && ref.digest[0])
		r = err_set(e, ERR_INVALID, -EINVAL,
			"push: '%.200s' has a digest, which only comes out of it", a->to);
	if (r == 0)
		r = kit_verb_load(a, false, &kit, e);
	if (r == 0 && kit_zip_write(&kit->sources[0]->tree, &zip) < 0)
		r = err_set(e, ERR_LIMIT, -EFBIG, "the kit is too large");
	if (r == 0 && a->sign)
		r = kit_key_private(a->keys[0], &key, e);
	if (r == 0)
		r = dist_push(&ref, kit->specs[0]->name.text, kit->specs[0]->version.text, &zip,
			key, p->cache, digest, e);
	if (r < 0)
		return r;
	(void)snprintf(text, sizeof(text), "sha256:%s", digest);
	(void)snprintf(name, sizeof(name), "oci://%s/%s:%s", ref.registry, ref.repository, ref.tag);
	if (js_set_str(o, "name", kit->specs[0]->name.text) || js_set_str(o, "reference", name) ||
		js_set_str(o, "digest", text) || js_set_bool(o, "signed", a->sign))
		return err_sys(e, -ENOMEM, "push");
	*ret = TAKE(o);
	return 0;
}

int kit_push(int argc, char **argv)
{
	static const struct kit_form form = {.options = "ajKs",
		.words = "KIT REGISTRY/REPOSITORY:TAG",
		.two = true,
		.doc = "Check a kit and put it into a registry, as an OCI artifact. skopeo speaks "
		       "with the registry: skopeo login (or docker's, or podman's) gives it "
		       "credentials. With --sign and --key a signature goes beside it, as cosign "
		       "has it."};
	struct kit_args_cli a;
	struct paths p;
	AUTO_JS o = NULL;
	struct err e = {0};

	if (kit_args_parse(argc, argv, ARGS_EXIT, &form, &a, &e) < 0)
		return report_err(&e, CLI_USAGE);
	if (a.sign != (a.n_keys == 1)) {
		(void)err_set(
			&e, ERR_INVALID, -EINVAL, "kit push: --sign and one --key belong together");
		return report_err(&e, CLI_USAGE);
	}
	if (paths_find(&p, &e) < 0 || push(&a, &p, &o, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (a.json)
		return box_print(o, &e) < 0 ? report_err(&e, CLI_FAIL) : report_flush();
	puts(box_str(o, "digest"));
	return report_flush();
}

struct pulled {
	struct buf zip, proof;
	char origin[KIT_REF_MAX], file[PATH_MAX];
};

/* judge() - of the settings: the source before anything is asked, the signature before anything is kept */
static int judge(const struct dist_rules *rules, const struct pulled *got, struct err *e)
{
	char hint[DIST_HINT_MAX];
	int r;

	if (!rules->require_signature)
		return 0;
	r = got->proof.len ? dist_proof_check(buf_str(&got->proof), got->proof.len, got->zip.data,
				     got->zip.len, &rules->signers, hint, e)
			   : err_set(e, ERR_DENIED, -EACCES, "the kit is not signed");
	if (r < 0)
		err_hint(e, "the setting " DIST_SETTING_REQUIRE
			    " is true; keys that are trusted: " DIST_SETTING_SIGNERS);
	return r;
}

static int keep(
	const struct kit_args_cli *a, const struct paths *p, struct pulled *got, struct err *e)
{
	char proof[PATH_MAX + 32];
	int r;

	if (!a->output)
		return dist_cache_put(p->cache, got->origin, &got->zip, &got->proof, got->file, e);
	r = kit_verb_write(a->output, a->force, got->zip.data, got->zip.len, 0644, e);
	(void)snprintf(got->file, sizeof(got->file), "%s", a->output);
	(void)snprintf(proof, sizeof(proof), "%s%s", a->output, CACHE_PROOF);
	if (r == 0 && got->proof.len)
		r = kit_verb_write(proof, a->force, got->proof.data, got->proof.len, 0644, e);
	return r;
}

static int pull(
	const struct kit_args_cli *a, const struct paths *p, struct pulled *got, struct err *e)
{
	AUTO(dist_rules) rules = {0};
	struct dist_ref ref;
	int r = dist_ref_parse(a->ref, &ref, e);

	if (r == 0)
		r = dist_rules_load(p, &rules, e);
	if (r == 0 && strncmp(a->ref, "oci://", 6) == 0)
		r = dist_admit_origin(&rules, a->ref, e);
	else if (r == 0) {
		char origin[KIT_REF_MAX];

		r = dist_ref_origin(&ref, origin, sizeof(origin));
		if (r == 0)
			r = dist_admit_origin(&rules, origin, e);
	}
	if (r == 0)
		r = dist_pull(&ref, p->cache, &got->zip, &got->proof, got->origin, e);
	if (r == 0)
		r = judge(&rules, got, e);
	return r == 0 ? keep(a, p, got, e) : r;
}

static int tell_pulled(const struct kit_args_cli *a, const struct pulled *got)
{
	AUTO_JS o = js_object();
	struct err e = {0};

	if (!a->json) {
		puts(a->output ? got->origin : got->file);
		return report_flush();
	}
	if (js_set_str(o, "origin", got->origin) || js_set_str(o, "file", got->file) ||
		js_set_int(o, "bytes", (int64_t)got->zip.len) ||
		js_set_bool(o, "signatures", got->proof.len > 0) || box_print(o, &e) < 0)
		return report_err(&e, CLI_FAIL);
	return report_flush();
}

int kit_pull(int argc, char **argv)
{
	static const struct kit_form form = {.options = "ofj",
		.words = "REGISTRY/REPOSITORY:TAG",
		.doc = "Fetch a kit from a registry into the cache, or into a ZIP file (-o), with "
		       "the signatures it has. Prints the file, or the digest it is pinned to."};
	AUTO_FREE struct pulled *got = calloc(1, sizeof(*got));
	struct kit_args_cli a;
	struct paths p;
	struct err e = {0};
	int r;

	if (kit_args_parse(argc, argv, ARGS_EXIT, &form, &a, &e) < 0)
		return report_err(&e, CLI_USAGE);
	if (a.output && kit_verb_zip_name(a.output, &e) < 0)
		return report_err(&e, CLI_USAGE);
	r = got ? paths_find(&p, &e) : err_sys(&e, -ENOMEM, "pull");
	if (r < 0)
		return report_err(&e, CLI_FAIL);
	buf_init(&got->zip, KIT_ZIP_MAX);
	buf_init(&got->proof, DIST_PROOF_MAX);
	r = pull(&a, &p, got, &e);
	r = r < 0 ? report_err(&e, CLI_FAIL) : tell_pulled(&a, got);
	buf_fini(&got->zip);
	buf_fini(&got->proof);
	return r;
}
