#include "store/hash.h"
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

static void hex(const unsigned char *md, unsigned n, char out[HASH_HEX])
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < n && i < 32; i++) {
		out[2 * i] = digits[md[i] >> 4];
		out[2 * i + 1] = digits[md[i] & 15];
	}
	out[HASH_HEX - 1] = '\0';
}

int hash_bytes(const void *p, size_t len, char ret_hex[HASH_HEX])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_Digest(p, len, md, &n, EVP_sha256(), NULL) != 1 || n != 32)
		return -ENOMEM;
	hex(md, n, ret_hex);
	return 0;
}

int hash_fd(int fd, char ret_hex[HASH_HEX])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char md[EVP_MAX_MD_SIZE], chunk[16384];
	unsigned n = 0;
	ssize_t got = 0;
	int r = -ENOMEM;

	if (ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1) {
		do {
			got = read(fd, chunk, sizeof(chunk));
			if (got > 0 && EVP_DigestUpdate(ctx, chunk, (size_t)got) != 1)
				break;
		} while (got > 0 || (got < 0 && errno == EINTR));
		if (got < 0)
			r = -errno;
		else if (got == 0 && EVP_DigestFinal_ex(ctx, md, &n) == 1 && n == 32) {
			hex(md, n, ret_hex);
			r = 0;
		}
	}
	EVP_MD_CTX_free(ctx);
	return r;
}
