#include "dist/proof.h"
#include "base/escape.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BUNDLE_TYPE  "application/vnd.dev.sigstore.bundle.v0.3+json"
#define BUNDLE_BEGIN "application/vnd.dev.sigstore.bundle"

void dist_signers_fini(struct dist_signers *s)
{
	for (size_t i = 0; s && i < s->n; i++)
		dist_key_free(s->v[i]);
	if (s)
		s->n = 0;
}

void dist_signers_auto(struct dist_signers *s)
{
	dist_signers_fini(s);
}

static int malformed(struct err *e, const char *why)
{
	return err_set(e, ERR_INVALID, -EBADMSG, "the signature is malformed: %s", why);
}

static int nobody(struct err *e, size_t n)
{
	return err_set(e, ERR_DENIED, -EACCES,
		n == 1 ? "the signature is not of that key over this kit"
		       : "the signature is of none of the trusted keys over this kit");
}

/* who() - the signer of these bytes; -1: none of them */
static int who(const struct dist_signers *s, const void *p, size_t len, const char *signature)
{
	for (size_t i = 0; i < s->n; i++)
		if (dist_signed(s->v[i], p, len, signature))
			return (int)i;
	return -1;
}

struct checking {
	const void *zip;
	size_t zip_len;
	char zip_hex[DIST_HEX];
	const struct dist_signers *signers;
	struct err *e;
};

static int check_bundle(const struct checking *c, const struct js *o)
{
	const struct js *message = js_get(o, "messageSignature");
	const struct js *digest = js_get(message, "messageDigest");
	const char *type = js_str(js_get(o, "mediaType"));
	const char *signature = js_str(js_get(message, "signature"));
	const char *claimed = js_str(js_get(digest, "digest"));
	const char *algorithm = js_str(js_get(digest, "algorithm"));
	unsigned char md[64];
	char hex[DIST_HEX] = "";
	int at;

	if (!type || strncmp(type, BUNDLE_BEGIN, strlen(BUNDLE_BEGIN)) != 0 || !signature)
		return malformed(c->e, "no bundle with a message signature");
	if (claimed) {
		if (!algorithm || strcmp(algorithm, "SHA2_256") != 0 ||
			dist_unbase64(claimed, md, sizeof(md)) != 32)
			return malformed(c->e, "its digest is no SHA-256");
		for (size_t i = 0; i < 32; i++)
			(void)snprintf(hex + 2 * i, 3, "%02x", md[i]);
		if (strcmp(hex, c->zip_hex) != 0)
			return err_set(c->e, ERR_DENIED, -EACCES,
				"the signature is of another kit, or this one was changed since");
	}
	at = who(c->signers, c->zip, c->zip_len, signature);
	return at < 0 ? nobody(c->e, c->signers->n) : at;
}

/* check_pulled() - signature → payload → manifest → layer, each by the digest of the next */
static int check_pulled(const struct checking *c, const struct js *o)
{
	const char *manifest = js_str(js_get(o, "manifest"));
	const struct js *list = js_get(o, "signatures");
	struct dist_kit kit;
	char hex[DIST_HEX];

	if (!manifest || !js_is_array(list) || js_len(list) > DIST_SIGNATURES_MAX)
		return malformed(c->e, "neither a bundle nor of a registry");
	if (dist_kit_read(manifest, strlen(manifest), &kit, c->e) < 0)
		return err_wrap(c->e, -EBADMSG, "the manifest beside the kit");
	if (strcmp(kit.layer, c->zip_hex) != 0 || kit.layer_bytes != c->zip_len)
		return err_set(c->e, ERR_DENIED, -EACCES,
			"the signature is of another kit, or this one was changed since");
	if (!dist_sha256(manifest, strlen(manifest), hex))
		return err_sys(c->e, -ENOMEM, "check a signature");
	for (size_t i = 0; i < js_len(list); i++) {
		const char *payload = js_str(js_get(js_at(list, i), "payload"));
		const char *signature = js_str(js_get(js_at(list, i), "signature"));
		int at;

		if (!payload || !signature)
			return malformed(c->e, "a payload or signature is no text");
		if (dist_payload_check(payload, strlen(payload), hex, NULL) < 0)
			continue;
		at = who(c->signers, payload, strlen(payload), signature);
		if (at >= 0)
			return at;
	}
	return nobody(c->e, c->signers->n);
}

int dist_proof_check(const char *text, size_t len, const void *zip, size_t zip_len,
	const struct dist_signers *signers, char ret_hint[DIST_HINT_MAX], struct err *e)
{
	struct checking c = {.zip = zip, .zip_len = zip_len, .signers = signers, .e = e};
	AUTO_JS o = NULL;
	const char *old;
	int r = js_parse(text, len, DIST_PROOF_MAX, &o, e);

	if (r < 0)
		return err_wrap(e, -EBADMSG, "the signature");
	if (!dist_sha256(zip, zip_len, c.zip_hex))
		return err_sys(e, -ENOMEM, "check a signature");
	old = js_str(js_get(o, "base64Signature"));
	if (old) {
		r = who(signers, zip, zip_len, old);
		r = r < 0 ? nobody(e, signers->n) : r;
	} else {
		r = js_get(o, "manifest") ? check_pulled(&c, o) : check_bundle(&c, o);
	}
	if (r < 0)
		return r;
	memcpy(ret_hint, signers->hints[r], DIST_HINT_MAX);
	return 0;
}

int dist_bundle_write(
	const struct dist_key *k, const void *zip, size_t zip_len, struct buf *out, struct err *e)
{
	AUTO_JS o = js_object();
	AUTO_JS material = js_object();
	AUTO_JS key = js_object();
	AUTO_JS message = js_object();
	AUTO_JS digest = js_object();
	char signature[DIST_SIG_MAX], hint[DIST_HINT_MAX], hex[DIST_HEX], md[64];
	unsigned char raw[32];
	int r = dist_sign(k, zip, zip_len, signature, e);

	if (r < 0)
		return r;
	if (dist_key_hint(k, hint) < 0 || !dist_sha256(zip, zip_len, hex))
		return err_sys(e, -ENOMEM, "write a signature");
	for (size_t i = 0; i < sizeof(raw); i++) {
		char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		raw[i] = (unsigned char)strtoul(two, NULL, 16);
	}
	dist_base64(raw, sizeof(raw), md);
	if (js_set_str(key, "hint", hint) || js_set(material, "publicKey", TAKE(key)) ||
		js_set_str(digest, "algorithm", "SHA2_256") || js_set_str(digest, "digest", md) ||
		js_set(message, "messageDigest", TAKE(digest)) ||
		js_set_str(message, "signature", signature) ||
		js_set_str(o, "mediaType", BUNDLE_TYPE) ||
		js_set(o, "verificationMaterial", TAKE(material)) ||
		js_set(o, "messageSignature", TAKE(message)) || js_canonical(o, out) < 0 ||
		buf_add(out, "\n", 1) < 0)
		return err_sys(e, -ENOMEM, "write a signature");
	return 0;
}

static bool is_text(const char *s, size_t len)
{
	unsigned cp;

	for (size_t at = 0; at < len;) {
		size_t n = utf8_decode(s + at, len - at, &cp);

		if (n == 0 || cp == 0)
			return false;
		at += n;
	}
	return true;
}

int dist_pulled_write(const char *manifest, size_t manifest_len, const struct dist_paper *papers,
	size_t n, struct buf *out)
{
	AUTO_JS o = js_object();
	AUTO_JS list = js_array();
	bool failed = false;

	if (!is_text(manifest, manifest_len))
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		AUTO_JS one = js_object();

		if (!is_text(papers[i].payload, papers[i].payload_len))
			continue;
		failed |= js_set_strn(one, "payload", papers[i].payload, papers[i].payload_len);
		failed |= js_set_str(one, "signature", papers[i].signature);
		failed |= js_add(list, TAKE(one));
	}
	if (failed || js_set_strn(o, "manifest", manifest, manifest_len) ||
		js_set(o, "signatures", TAKE(list)))
		return -ENOMEM;
	return js_print(o, out);
}
