/* The functions of one algorithm, not EVP: that reads a configuration file and loads providers, which
 * costs 1.8 MiB of resident memory in a daemon that hashes a plan now and then.
 */
#define OPENSSL_API_COMPAT 0x10100000L
#include "store/hash.h"
#include <errno.h>
#include <openssl/sha.h>
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
	unsigned char md[SHA256_DIGEST_LENGTH];
	SHA256_CTX ctx;

	if (!SHA256_Init(&ctx) || !SHA256_Update(&ctx, p, len) || !SHA256_Final(md, &ctx))
		return -ENOMEM;
	hex(md, sizeof(md), ret_hex);
	return 0;
}

int hash_fd(int fd, char ret_hex[HASH_HEX])
{
	unsigned char md[SHA256_DIGEST_LENGTH], chunk[16384];
	SHA256_CTX ctx;
	ssize_t got;

	if (!SHA256_Init(&ctx))
		return -ENOMEM;
	do {
		got = read(fd, chunk, sizeof(chunk));
		if (got > 0 && !SHA256_Update(&ctx, chunk, (size_t)got))
			return -ENOMEM;
	} while (got > 0 || (got < 0 && errno == EINTR));
	if (got < 0)
		return -errno;
	if (!SHA256_Final(md, &ctx))
		return -ENOMEM;
	hex(md, sizeof(md), ret_hex);
	return 0;
}
