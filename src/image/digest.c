#include "image/digest.h"
#include <openssl/evp.h>
#include <string.h>

struct digest {
	EVP_MD_CTX *md;
};

struct digest *digest_new(void)
{
	struct digest *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->md = EVP_MD_CTX_new();
	if (!d->md) {
		free(d);
		return NULL;
	}
	return d;
}

void digest_free(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->md);
	free(d);
}

bool digest_begin(struct digest *d)
{
	return EVP_DigestInit_ex(d->md, EVP_sha256(), NULL) == 1;
}

bool digest_add(struct digest *d, const void *p, size_t len)
{
	return EVP_DigestUpdate(d->md, p, len) == 1;
}

bool digest_end(struct digest *d, char ret_hex[DIGEST_HEX_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char sum[EVP_MAX_MD_SIZE];

	if (EVP_DigestFinal_ex(d->md, sum, NULL) != 1)
		return false;
	for (size_t i = 0; i < DIGEST_HEX_LEN / 2; i++) {
		ret_hex[2 * i] = digits[sum[i] >> 4];
		ret_hex[2 * i + 1] = digits[sum[i] & 15];
	}
	ret_hex[DIGEST_HEX_LEN] = '\0';
	return true;
}

bool digest_parse(const char *s, char ret_hex[DIGEST_HEX_LEN + 1])
{
	static const char name[] = "sha256:";

	if (strncmp(s, name, strlen(name)) != 0)
		return false;
	s += strlen(name);
	if (strlen(s) != DIGEST_HEX_LEN || strspn(s, "0123456789abcdef") != DIGEST_HEX_LEN)
		return false;
	memcpy(ret_hex, s, DIGEST_HEX_LEN + 1);
	return true;
}

bool digest_of(const void *p, size_t len, char ret_hex[DIGEST_HEX_LEN + 1])
{
	struct digest *d = digest_new();
	bool ok = d && digest_begin(d) && digest_add(d, p, len) && digest_end(d, ret_hex);

	digest_free(d);
	return ok;
}
