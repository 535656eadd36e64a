/* fuzz_dist_proof.c - what lies beside a kit and says who signed it, as a stranger may have written it; and key files */
#include "dist/proof.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* the seeds are of this key, over this kit */
#define ZIP "PK the packed kit"
static const char pem[] = "-----BEGIN PUBLIC KEY-----\n"
			  "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEGNcpj6g4TSBLy+3m9A2hS7WZ1APB\n"
			  "ktj6lQAPqMFgYLm6t90FvWhtinV/K5n6bWB61v3wSq7lKT4HWk/+pS7n3g==\n"
			  "-----END PUBLIC KEY-----\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dist_signers signers;
	char hint[DIST_HINT_MAX];
	struct err e = {0};

	if (size > DIST_PROOF_MAX)
		return 0;
	if (signers.n == 0) {
		assert(dist_key_public("k", pem, strlen(pem), &signers.v[0], &e) == 0);
		assert(dist_key_hint(signers.v[0], signers.hints[0]) == 0);
		signers.n = 1;
	}
	if (dist_proof_check((const char *)data, size, ZIP, strlen(ZIP), &signers, hint, &e) == 0) {
		assert(strcmp(hint, signers.hints[0]) == 0);
		/* whatever it is that was accepted, it is not accepted for another kit */
		assert(dist_proof_check((const char *)data, size, ZIP "x", strlen(ZIP) + 1,
			       &signers, hint, &e) == -EACCES);
	} else {
		assert(e.code != ERR_NONE && e.msg[0]);
	}
	if (size < DIST_KEY_FILE_MAX) {
		AUTO_FREE char *text = strndup((const char *)data, size);
		AUTO_DIST_KEY *k = NULL;

		if (text && dist_key_public("k", text, strlen(text), &k, &e) < 0)
			assert(!k);
	}
	return 0;
}
