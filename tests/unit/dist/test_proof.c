/* test_proof.c - keys, signatures and what holds them; manifests of kits */
#include "check.h"
#include "dist/proof.h"
#include "dist/rules.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZIP "PK the packed kit"

struct pair {
	struct dist_key *secret, *open;
};
static struct pair mine, other;

static void make(struct pair *p, const char *password)
{
	AUTO(buf) secret, open;
	struct err e = {0};

	buf_init(&secret, DIST_KEY_FILE_MAX);
	buf_init(&open, DIST_KEY_FILE_MAX);
	assert_int_equal(dist_key_make(password, &secret, &open, &e), 0);
	assert_int_equal(
		dist_key_private("k", buf_str(&secret), secret.len, password, &p->secret, &e), 0);
	assert_int_equal(dist_key_public("k", buf_str(&open), open.len, &p->open, &e), 0);
}

static int setup(void **state)
{
	(void)state;
	make(&mine, NULL);
	make(&other, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dist_key_free(mine.secret);
	dist_key_free(mine.open);
	dist_key_free(other.secret);
	dist_key_free(other.open);
	return 0;
}

static void signers(struct dist_signers *s, const struct pair *p)
{
	s->n = 1;
	s->v[0] = p->open;
	assert_int_equal(dist_key_hint(p->open, s->hints[0]), 0);
}

static int check(const struct buf *proof, const void *zip, size_t len, const struct pair *by)
{
	struct dist_signers s;
	char hint[DIST_HINT_MAX];
	struct err e = {0};
	int r;

	signers(&s, by);
	r = dist_proof_check(buf_str(proof), proof->len, zip, len, &s, hint, &e);
	assert_true((r == 0) == (e.code == ERR_NONE));
	if (r == 0)
		assert_string_equal(hint, s.hints[0]);
	return r;
}

static void test_keys(void **state)
{
	struct pair p = {0};
	struct dist_key *k = NULL;
	AUTO(buf) secret, open;
	struct err e = {0};

	(void)state;
	buf_init(&secret, DIST_KEY_FILE_MAX);
	buf_init(&open, DIST_KEY_FILE_MAX);
	make(&p, "a password");
	dist_key_free(p.secret);
	dist_key_free(p.open);
	assert_int_equal(dist_key_make("pw", &secret, &open, &e), 0);
	assert_non_null(strstr(buf_str(&secret), "BEGIN ENCRYPTED PRIVATE KEY"));
	assert_int_equal(
		dist_key_private("k", buf_str(&secret), secret.len, NULL, &k, &e), -ENOKEY);
	assert_int_equal(
		dist_key_private("k", buf_str(&secret), secret.len, "PW", &k, &e), -EKEYREJECTED);
	assert_int_equal(dist_key_private("k", buf_str(&open), open.len, "", &k, &e), -EINVAL);
	assert_int_equal(dist_key_public("k", buf_str(&secret), secret.len, &k, &e), -EINVAL);
	assert_int_equal(dist_key_public("k", "", 0, &k, &e), -EINVAL);
	assert_null(k);
}

/* openssl ecparam -name secp384r1, openssl genpkey ed25519: other kinds are not taken */
static void test_other_keys(void **state)
{
	static const char ed25519[] =
		"-----BEGIN PUBLIC KEY-----\n"
		"MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
		"-----END PUBLIC KEY-----\n";
	static const char cosign[] = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"
				     "eyJrZGYiOnt9fQ==\n"
				     "-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n";
	struct dist_key *k = NULL;
	struct err e = {0};

	(void)state;
	assert_int_equal(dist_key_public("k", ed25519, strlen(ed25519), &k, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "no key for ECDSA on P-256"));
	assert_int_equal(dist_key_private("k", cosign, strlen(cosign), "x", &k, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "cosign's own form"));
}

static void test_bundle(void **state)
{
	AUTO(buf) b, changed;
	struct err e = {0};
	char *at;

	(void)state;
	buf_init(&b, DIST_PROOF_MAX);
	buf_init(&changed, DIST_PROOF_MAX);
	assert_int_equal(dist_bundle_write(mine.secret, ZIP, strlen(ZIP), &b, &e), 0);
	assert_int_equal(check(&b, ZIP, strlen(ZIP), &mine), 0);
	assert_int_equal(check(&b, ZIP, strlen(ZIP), &other), -EACCES);
	assert_int_equal(check(&b, ZIP "x", strlen(ZIP) + 1, &mine), -EACCES);
	/* a digest that is left out is no way around the signature */
	assert_int_equal(buf_add(&changed, b.data, b.len), 0);
	at = strstr(changed.data, "messageDigest");
	at[0] = 'M';
	assert_int_equal(check(&changed, ZIP, strlen(ZIP), &mine), 0);
	assert_int_equal(check(&changed, ZIP "x", strlen(ZIP) + 1, &mine), -EACCES);
	/* no key of nobody's */
	at = strstr(changed.data, "\"signature\":\"") + strlen("\"signature\":\"");
	at[10] = at[10] == 'A' ? 'B' : 'A';
	assert_int_equal(check(&changed, ZIP, strlen(ZIP), &mine), -EACCES);
}

static void test_old_bundle(void **state)
{
	char sig[DIST_SIG_MAX];
	AUTO(buf) b;
	struct err e = {0};

	(void)state;
	buf_init(&b, DIST_PROOF_MAX);
	assert_int_equal(dist_sign(mine.secret, ZIP, strlen(ZIP), sig, &e), 0);
	assert_int_equal(buf_addf(&b, "{\"base64Signature\":\"%s\",\"cert\":\"\"}", sig), 0);
	assert_int_equal(check(&b, ZIP, strlen(ZIP), &mine), 0);
	assert_int_equal(check(&b, ZIP, strlen(ZIP), &other), -EACCES);
}

static void kit_manifest(struct buf *out, char hex[DIST_HEX])
{
	struct dist_kit kit = {.name = "k", .version = "1", .layer_bytes = strlen(ZIP)};

	assert_true(dist_sha256(ZIP, strlen(ZIP), kit.layer));
	assert_int_equal(dist_kit_write(&kit, out), 0);
	assert_true(dist_sha256(buf_str(out), out->len, hex));
}

static void test_pulled(void **state)
{
	char hex[DIST_HEX], sig[DIST_SIG_MAX];
	AUTO(buf) manifest, payload, wrong, proof, bad;
	struct dist_paper papers[2];
	struct err e = {0};

	(void)state;
	buf_init(&manifest, DIST_MANIFEST_MAX);
	buf_init(&payload, DIST_PAYLOAD_MAX);
	buf_init(&wrong, DIST_PAYLOAD_MAX);
	buf_init(&proof, DIST_PROOF_MAX);
	buf_init(&bad, DIST_PROOF_MAX);
	kit_manifest(&manifest, hex);
	assert_int_equal(dist_payload_write("r.example/k", hex, &payload), 0);
	assert_int_equal(dist_sign(mine.secret, buf_str(&payload), payload.len, sig, &e), 0);
	papers[0] = (struct dist_paper){"{}", "AAAA", 2}; /* somebody else's beside it */
	papers[1] = (struct dist_paper){buf_str(&payload), sig, payload.len};
	assert_int_equal(dist_pulled_write(buf_str(&manifest), manifest.len, papers, 2, &proof), 0);
	assert_int_equal(check(&proof, ZIP, strlen(ZIP), &mine), 0);
	assert_int_equal(check(&proof, ZIP, strlen(ZIP), &other), -EACCES);
	assert_int_equal(check(&proof, ZIP "x", strlen(ZIP) + 1, &mine), -EACCES);
	/* a good signature, but over a statement about another manifest */
	hex[0] = hex[0] == '0' ? '1' : '0';
	assert_int_equal(dist_payload_write("r.example/k", hex, &wrong), 0);
	assert_int_equal(dist_sign(mine.secret, buf_str(&wrong), wrong.len, sig, &e), 0);
	papers[1] = (struct dist_paper){buf_str(&wrong), sig, wrong.len};
	assert_int_equal(dist_pulled_write(buf_str(&manifest), manifest.len, papers, 2, &bad), 0);
	assert_int_equal(check(&bad, ZIP, strlen(ZIP), &mine), -EACCES);
}

static void test_malformed(void **state)
{
	static const char *const all[] = {"", "{", "[]", "{}", "null", "{\"manifest\":1}",
		"{\"manifest\":\"{}\",\"signatures\":[]}", "{\"mediaType\":\"x\"}",
		"{\"base64Signature\":\"\"}", "{\"base64Signature\":\"!!!!\"}",
		"{\"base64Signature\":\"AA==AAAA\"}",
		"{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\","
		"\"dsseEnvelope\":{}}",
		"{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\","
		"\"messageSignature\":{\"signature\":\"AAAA\",\"messageDigest\":{\"algorithm\":"
		"\"SHA2_512\",\"digest\":\"AAAA\"}}}"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		AUTO(buf) b;
		int r;

		buf_init(&b, DIST_PROOF_MAX);
		assert_int_equal(buf_add(&b, all[i], strlen(all[i])), 0);
		r = check(&b, ZIP, strlen(ZIP), &mine);
		if (r != -EBADMSG && r != -EACCES)
			fail_msg("%s: %d", all[i], r);
	}
}

static void test_manifests(void **state)
{
	static const struct {
		const char *from, *to;
	} all[] = {
		{"application/vnd.sbx.kit.v1\"", "application/vnd.sbx.kit.v2\""},
		{DIST_TYPE_ZIP, "application/vnd.sbx.kit.v1+zap"},
		{DIST_TYPE_EMPTY, "application/vnd.oci.image.config.v1+json"},
		{DIST_TYPE_MANIFEST, "application/vnd.oci.image.index.v1+json"},
		{"\"layers\":[", "\"layers\":[{},"},
		{"\"schemaVersion\":2", "\"schemaVersion\":1"},
		{"\"size\":17", "\"size\":17,\"urls\":[\"http://169.254.169.254/\"]"},
		{"\"size\":17", "\"size\":17,\"data\":\"AAAA\""},
		{"\"size\":17", "\"size\":-1"},
		{"\"size\":17", "\"size\":0"},
		{"\"size\":17", "\"size\":1.5"},
		{"\"size\":17", "\"size\":33554433"},
		{"\"size\":17", "\"size\":99999999999999999999"},
		{"\"size\":2", "\"size\":3"},
		{"sha256:", "sha512:"},
		{"sha256:", "sha256:../"},
		{"\"config\"", "\"subject\":{},\"config\""},
		{"{", "{\"artifactType\":\"x\","},
	};
	char hex[DIST_HEX];
	AUTO(buf) m;
	struct dist_kit kit;
	struct err e = {0};

	(void)state;
	buf_init(&m, DIST_MANIFEST_MAX);
	kit_manifest(&m, hex);
	assert_int_equal(dist_kit_read(buf_str(&m), m.len, &kit, &e), 0);
	assert_string_equal(kit.name, "k");
	assert_string_equal(kit.version, "1");
	assert_int_equal(kit.layer_bytes, strlen(ZIP));
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		const char *at = strstr(buf_str(&m), all[i].from);
		AUTO(buf) b;

		buf_init(&b, DIST_MANIFEST_MAX);
		assert_non_null(at);
		assert_int_equal(buf_add(&b, m.data, (size_t)(at - m.data)), 0);
		assert_int_equal(buf_addf(&b, "%s%s", all[i].to, at + strlen(all[i].from)), 0);
		e = (struct err){0};
		if (dist_kit_read(buf_str(&b), b.len, &kit, &e) != -EBADMSG)
			fail_msg("taken: %s", all[i].to);
		assert_int_not_equal(e.code, ERR_NONE);
	}
}

static void test_signature_manifests(void **state)
{
	AUTO_FREE struct dist_signatures *s = calloc(1, sizeof(*s)), *t = calloc(1, sizeof(*t));
	AUTO(buf) config, m;
	char hex[DIST_HEX];
	struct err e = {0};

	(void)state;
	buf_init(&config, DIST_MANIFEST_MAX);
	buf_init(&m, DIST_MANIFEST_MAX);
	assert_non_null(s);
	assert_non_null(t);
	for (s->n = 0; s->n < 3; s->n++) {
		memset(s->v[s->n].payload, 'a' + (int)s->n, 64);
		s->v[s->n].payload_bytes = 100 + s->n;
		(void)snprintf(s->v[s->n].value, DIST_SIGNATURE_MAX, "sig%zu", s->n);
	}
	assert_int_equal(dist_signatures_config(s, &config), 0);
	assert_non_null(strstr(buf_str(&config), "\"diff_ids\":[\"sha256:aaaa"));
	assert_true(dist_sha256(config.data, config.len, hex));
	assert_int_equal(dist_signatures_write(s, hex, config.len, &m), 0);
	assert_int_equal(dist_signatures_read(buf_str(&m), m.len, t, &e), 0);
	assert_int_equal(t->n, 3);
	assert_int_equal(memcmp(s->v, t->v, 3 * sizeof(s->v[0])), 0);
	memcpy(strstr(m.data, "\"size\":100"), "\"size\":-10", 10);
	assert_int_equal(dist_signatures_read(buf_str(&m), m.len, t, &e), -EBADMSG);
}

static void test_settings(void **state)
{
	char dir[] = "/tmp/sbx-rules-XXXXXX", file[64], text[512];
	AUTO(dist_rules) rules = {0};
	AUTO_FREE struct paths *p = calloc(1, sizeof(*p));
	AUTO(buf) secret, open;
	struct err e = {0};

	(void)state;
	buf_init(&secret, DIST_KEY_FILE_MAX);
	buf_init(&open, DIST_KEY_FILE_MAX);
	assert_non_null(p);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(p->config, sizeof(p->config), "%s", dir);
	assert_int_equal(dist_rules_load(p, &rules, &e), 0);
	assert_true(rules.allow_local && !rules.require_signature && rules.signers.n == 0);
	assert_string_equal(rules.sources, DIST_DEFAULT_SOURCES);
	assert_int_equal(dist_key_make(NULL, &secret, &open, &e), 0);
	(void)snprintf(file, sizeof(file), "%s/k.pub", dir);
	assert_int_equal(io_replace_file(AT_FDCWD, file, open.data, open.len, 0600), 0);
	(void)snprintf(text, sizeof(text),
		"{\"kit.requireSignature\":\"true\",\"kit.allowLocalKits\":\"false\","
		"\"kit.trustedSigners\":\"[{\\\"key\\\":\\\"%s\\\"}]\"}",
		file);
	(void)snprintf(p->data, sizeof(p->data), "%s/settings.json", dir);
	assert_int_equal(io_replace_file(AT_FDCWD, p->data, text, strlen(text), 0600), 0);
	assert_int_equal(dist_rules_load(p, &rules, &e), 0);
	assert_true(!rules.allow_local && rules.require_signature && rules.signers.n == 1);
	/* a key file that is gone is no silent "nobody" */
	assert_int_equal(unlink(file), 0);
	{
		AUTO(dist_rules) none = {0};

		assert_int_equal(dist_rules_load(p, &none, &e), -ENOENT);
		assert_non_null(strstr(e.msg, "kit.trustedSigners"));
	}
	assert_int_equal(unlink(p->data), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_non_null(dist_signers_fault("[{\"identity\":\"a\",\"issuer\":\"b\"}]"));
	assert_non_null(dist_signers_fault("[{\"key\":\"relative\"}]"));
	assert_non_null(dist_signers_fault("[{\"key\":\"/a\",\"x\":1}]"));
	assert_non_null(dist_signers_fault("{}"));
	assert_null(dist_signers_fault("[{\"key\":\"/a\"}]"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_other_keys),
		cmocka_unit_test(test_bundle),
		cmocka_unit_test(test_old_bundle),
		cmocka_unit_test(test_pulled),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_manifests),
		cmocka_unit_test(test_signature_manifests),
		cmocka_unit_test(test_settings),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
