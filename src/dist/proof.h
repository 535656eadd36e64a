/* proof.h - what shows that somebody signed a kit, as a text that lies beside it
 *
 * What is signed is the packed kit: the bytes of `sbx kit pack`, the same whatever the kit came from. The text is
 *   a bundle: {"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",...} with a public key's hint and a
 *     message signature; cosign's older {"base64Signature":"..."} is read, too; or
 *   of a kit that was pulled: {"manifest":"...","signatures":[{"payload":"...","signature":"..."}]}: signed is a
 *     payload, which names the manifest by digest, which names the packed kit by digest.
 * Pure; hostile text. Thread: any.
 * Source: sigstore protobuf-specs sigstore_bundle.proto; cosign's LocalSignedPayload.
 */
#ifndef DIST_PROOF_H
#define DIST_PROOF_H
#include "dist/artifact.h"
#include "dist/key.h"

#define DIST_PROOF_MAX	 (1U << 20)
#define DIST_SIGNERS_MAX 32

struct dist_signers {
	struct dist_key *v[DIST_SIGNERS_MAX]; /* the struct's */
	char hints[DIST_SIGNERS_MAX][DIST_HINT_MAX];
	size_t n;
};
void dist_signers_fini(struct dist_signers *s);
void dist_signers_auto(struct dist_signers *s);

/* dist_proof_check() - does the text show that one of @signers signed the packed kit? ret_hint names which. -EACCES:
 * it is of another kit or of somebody else; -EBADMSG: malformed.
 */
int dist_proof_check(const char *text, size_t len, const void *zip, size_t zip_len,
	const struct dist_signers *signers, char ret_hint[DIST_HINT_MAX], struct err *e) MUST_USE;
/* dist_bundle_write() - a bundle with @k's signature over the packed kit */
int dist_bundle_write(const struct dist_key *k, const void *zip, size_t zip_len, struct buf *out,
	struct err *e) MUST_USE;

struct dist_paper {
	const char *payload, *signature;
	size_t payload_len;
};
/* dist_pulled_write() - the second form; payloads that are no UTF-8 are left out */
int dist_pulled_write(const char *manifest, size_t manifest_len, const struct dist_paper *papers,
	size_t n, struct buf *out) MUST_USE;
#endif
