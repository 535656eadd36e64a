/* sbx kit sign|verify|keygen */
#include "base/io.h"
#include "cli/box.h"
#include "cli/kit_key.h"
#include "cli/kits.h"
#include "cli/kit_verbs.h"
#include "cli/report.h"
#include "cli/verb.h"
#include "dist/admit.h"
#include "dist/cache.h"
#include "dist/fetch.h"
#include "dist/push.h"
#include "kit/zip.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool in_registry(const char *ref)
{
	return kits_remote(ref) && strncmp(ref, "git+", 4) != 0;
}

/* sign_local() - the signature lies beside spec.yaml, or beside the ZIP file */
static int sign_local(const struct kit_args_cli *a, const struct dist_key *key,
	char ret_file[PATH_MAX], struct err *e)
{
	AUTO_KIT_RESOLVED *kit = NULL;
	const struct kit_source *src;
	AUTO(buf) zip, bundle;
	char file[PATH_MAX + 32];
	int r = kit_verb_load(a, false, &kit, e);

	buf_init(&zip, KIT_ZIP_MAX);
	buf_init(&bundle, DIST_PROOF_MAX);
	if (r < 0)
		return r;
	src = kit->sources[0];
	if (src->origin[0] != '/')
		return err_set(e, ERR_INVALID, -EINVAL,
			"'%.200s' is neither a directory, a ZIP file nor in a registry", a->ref);
	if (kit_zip_write(&src->tree, &zip) < 0)
		return err_set(e, ERR_LIMIT, -EFBIG, "the kit is too large");
	r = dist_bundle_write(key, zip.data, zip.len, &bundle, e);
	if (r < 0)
		return r;
	(void)snprintf(file, sizeof(file), "%.*s%s", PATH_MAX - 32, src->origin,
		src->kind == KIT_ZIP ? CACHE_PROOF : "/" KIT_BUNDLE);
	if (strlen(file) >= PATH_MAX)
		return err_sys(e, -ENAMETOOLONG, "sign '%.200s'", a->ref);
	(void)snprintf(ret_file, PATH_MAX, "%.*s", PATH_MAX - 1, file);
	return kit_verb_write(ret_file, true, bundle.data, bundle.len, 0644, e);
}

static int sign(const struct kit_args_cli *a, struct js **ret, struct err *e)
{
	AUTO_DIST_KEY *key = NULL;
	AUTO_JS o = js_object();
	char file[PATH_MAX] = "", hex[DIST_HEX] = "", digest[80] = "";
	struct dist_ref ref;
	struct paths p;
	int r = paths_find(&p, e);

	if (r == 0)
		r = kit_key_private(a->keys[0], &key, e);
	if (r == 0 && in_registry(a->ref)) {
		r = dist_ref_parse(a->ref, &ref, e);
		if (r == 0)
			r = dist_push_signature(&ref, key, p.cache, hex, e);
		(void)snprintf(digest, sizeof(digest), "sha256:%s", hex);
	} else if (r == 0) {
		r = sign_local(a, key, file, e);
	}
	if (r < 0)
		return r;
	if (js_set_str(o, "kit", a->ref) || js_set_str(o, "file", file[0] ? file : NULL) ||
		js_set_str(o, "digest", digest[0] ? digest : NULL))
		return err_sys(e, -ENOMEM, "sign");
	*ret = TAKE(o);
	return 0;
}

int kit_sign(int argc, char **argv)
{
	static const struct kit_form form = {.options = "jK",
		.words = "KIT --key FILE",
		.doc = "Sign a kit with a private key: of a directory the signature is the file "
		       "kit.sig.bundle in it, of a ZIP file FILE.zip.sig.bundle beside it, in a "
		       "registry the tag sha256-….sig beside it. What is signed are the bytes that "
		       "sbx kit pack writes (in a registry, the manifest): ECDSA on P-256 with "
		       "SHA-256, as cosign has it. Signatures without keys (Fulcio, Rekor) are not "
		       "made."};
	struct kit_args_cli a;
	AUTO_JS o = NULL;
	struct err e = {0};

	if (kit_args_parse(argc, argv, ARGS_EXIT, &form, &a, &e) < 0)
		return report_err(&e, CLI_USAGE);
	if (a.n_keys != 1) {
		(void)err_set(&e, ERR_INVALID, -EINVAL, "kit sign: give one --key FILE");
		err_hint(&e, "sbx kit keygen -o NAME makes NAME.key and NAME.pub");
		return report_err(&e, CLI_USAGE);
	}
	if (sign(&a, &o, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (a.json)
		return box_print(o, &e) < 0 ? report_err(&e, CLI_FAIL) : report_flush();
	puts(box_str(o, js_str(js_get(o, "file")) ? "file" : "digest"));
	return report_flush();
}

/* verify_pulled() - past the cache: what the registry has now */
static int verify_pulled(const char *text, const struct dist_rules *rules, const struct paths *p,
	char ret_hint[DIST_HINT_MAX], char ret_origin[KIT_REF_MAX], struct err *e)
{
	struct dist_ref ref;
	AUTO(buf) zip, proof;
	int r = dist_admit_origin(rules, text, e);

	buf_init(&zip, KIT_ZIP_MAX);
	buf_init(&proof, DIST_PROOF_MAX);
	if (r == 0)
		r = dist_ref_parse(text, &ref, e);
	if (r == 0)
		r = dist_pull(&ref, p->cache, &zip, &proof, ret_origin, e);
	if (r == 0 && proof.len == 0)
		r = err_set(e, ERR_DENIED, -EACCES, "the kit is not signed");
	return r < 0 ? r
		     : dist_proof_check(buf_str(&proof), proof.len, zip.data, zip.len,
			       &rules->signers, ret_hint, e);
}

static int verify(const struct kit_args_cli *a, struct js **ret, struct err *e)
{
	AUTO(dist_rules) rules = {0};
	AUTO_KIT_RESOLVED *kit = NULL;
	AUTO_JS o = js_object();
	char hint[DIST_HINT_MAX] = "", origin[KIT_REF_MAX] = "";
	struct paths p;
	int r = paths_find(&p, e);

	if (r == 0)
		r = dist_rules_load(&p, &rules, e);
	if (r == 0 && a->n_keys)
		dist_signers_fini(&rules.signers);
	for (size_t i = 0; r == 0 && i < a->n_keys; i++)
		r = dist_signers_add(&rules.signers, a->keys[i], e);
	if (r == 0 && rules.signers.n == 0) {
		r = err_set(e, ERR_INVALID, -EINVAL, "kit verify: by which key?");
		err_hint(e, "--key FILE, or the setting " DIST_SETTING_SIGNERS);
	}
	if (r == 0 && in_registry(a->ref)) {
		r = verify_pulled(a->ref, &rules, &p, hint, origin, e);
	} else if (r == 0) {
		r = kit_verb_load(a, false, &kit, e);
		if (r == 0)
			r = dist_verify(kit->sources[0], &rules.signers, hint, e);
		if (r == 0)
			(void)snprintf(origin, sizeof(origin), "%s", kit->sources[0]->origin);
	}
	if (r < 0)
		return err_wrap(e, r, "kit '%.200s'", a->ref);
	if (js_set_bool(o, "verified", true) || js_set_str(o, "origin", origin) ||
		js_set_str(o, "key", hint))
		return err_sys(e, -ENOMEM, "verify");
	*ret = TAKE(o);
	return 0;
}

int kit_verify(int argc, char **argv)
{
	static const struct kit_form form = {.options = "jK",
		.words = "KIT [--key FILE]",
		.doc = "Is a kit signed by one of these public keys (without --key: those of the "
		       "setting kit.trustedSigners), and unchanged since? Identities of Fulcio and "
		       "entries of Rekor are not looked at: keys only."};
	struct kit_args_cli a;
	AUTO_JS o = NULL;
	struct err e = {0};

	if (kit_args_parse(argc, argv, ARGS_EXIT, &form, &a, &e) < 0)
		return report_err(&e, CLI_USAGE);
	if (verify(&a, &o, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (a.json)
		return box_print(o, &e) < 0 ? report_err(&e, CLI_FAIL) : report_flush();
	printf("signed by the key %s\n", box_str(o, "key"));
	return report_flush();
}

static int keygen(const struct kit_args_cli *a, struct err *e)
{
	struct buf password, secret, open;
	char name[PATH_MAX];
	int r;

	buf_init(&password, DIST_PASSWORD_MAX);
	buf_init(&secret, DIST_KEY_FILE_MAX);
	buf_init(&open, DIST_KEY_FILE_MAX);
	r = kit_key_password(&password, e);
	if (r == 0)
		r = dist_key_make(buf_str(&password), &secret, &open, e);
	if (r == 0 && snprintf(name, sizeof(name), "%s.key", a->output) >= PATH_MAX - 1)
		r = err_sys(e, -ENAMETOOLONG, "write a key");
	if (r == 0)
		r = kit_verb_write(name, a->force, secret.data, secret.len, 0600, e);
	if (r == 0) {
		(void)snprintf(name, sizeof(name), "%s.pub", a->output);
		r = kit_verb_write(name, a->force, open.data, open.len, 0644, e);
	}
	if (password.data)
		explicit_bzero(password.data, password.cap);
	if (secret.data)
		explicit_bzero(secret.data, secret.cap);
	buf_fini(&password);
	buf_fini(&secret);
	buf_fini(&open);
	return r;
}

int kit_keygen(int argc, char **argv)
{
	static const struct kit_form form = {.options = "ofj",
		.words = "-o NAME",
		.none_too = true,
		.doc = "Make a pair of keys to sign kits: NAME.key (private, PKCS#8, encrypted "
		       "with a "
		       "password) and NAME.pub. The password is asked for, or that of the variable "
		       "COSIGN_PASSWORD; an empty variable makes one without."};
	struct kit_args_cli a;
	struct err e = {0};

	if (kit_args_parse(argc, argv, ARGS_EXIT, &form, &a, &e) < 0)
		return report_err(&e, CLI_USAGE);
	if (!a.output || a.ref) {
		(void)err_set(&e, ERR_INVALID, -EINVAL, "kit keygen: give -o NAME and no more");
		return report_err(&e, CLI_USAGE);
	}
	if (keygen(&a, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (a.json) {
		AUTO_JS o = js_object();
		char file[2][PATH_MAX + 8];

		(void)snprintf(file[0], sizeof(file[0]), "%s.key", a.output);
		(void)snprintf(file[1], sizeof(file[1]), "%s.pub", a.output);
		if (js_set_str(o, "private", file[0]) || js_set_str(o, "public", file[1]) ||
			box_print(o, &e) < 0)
			return report_err(&e, CLI_FAIL);
	}
	return report_flush();
}
