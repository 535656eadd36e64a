/* test_trust.c - the sandbox's authority in the guest's store: in, replaced, out; and the name OpenSSL
 * finds it by
 */
#include "check.h"
#include "base/io.h"
#include "guest/trust.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650
 *   -subj "/O=sbx/CN=sbx  Sandbox Authority of  Box " ; openssl x509 -noout -subject_hash
 */
#define CERT_HASH "636f830b"

static const char cert[] = "-----BEGIN CERTIFICATE-----\n"
			   "MIIBxjCCAWugAwIBAgIUcX+qwxdW0cZQzmbDXqzbMp9d13swCgYIKoZIzj0EAwIw\n"
			   "ODEMMAoGA1UECgwDc2J4MSgwJgYDVQQDDB9zYnggIFNhbmRib3ggQXV0aG9yaXR5\n"
			   "IG9mICBCb3ggMB4XDTI2MTEyMjEyMTczN1oXDTM2MTExOTEyMTczN1owODEMMAoG\n"
			   "A1UECgwDc2J4MSgwJgYDVQQDDB9zYnggIFNhbmRib3ggQXV0aG9yaXR5IG9mICBC\n"
			   "b3ggMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE5tcnb/jqW89vOPa3p0WlDjVC\n"
			   "+ucW/I2w5adM0hvlusPtzvFxvO1Ix1cb+M3ZRUcW2qcE5gfnXqKWjNEKQPVTaKNT\n"
			   "MFEwHQYDVR0OBBYEFHZHlwgeaRHW4wh2E49nLCmNqhFFMB8GA1UdIwQYMBaAFHZH\n"
			   "lwgeaRHW4wh2E49nLCmNqhFFMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwID\n"
			   "SQAwRgIhAIhWiWkvOQP2SCLzi5xOsbpGpAXBLvmnEBZdE9jiFY9gAiEAiQnoLFsq\n"
			   "d6xtDKrtLCGJsSwOBk3MuoNaZfRMhNFagdU=\n"
			   "-----END CERTIFICATE-----\n";

static void put(const char *root, const char *below, const char *text)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s%s", root, below);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static const char *get(const char *root, const char *below)
{
	static char text[65536];
	char path[256];
	AUTO(buf) b;

	buf_init(&b, sizeof(text) - 1);
	(void)snprintf(path, sizeof(path), "%s%s", root, below);
	if (io_read_file(AT_FDCWD, path, &b) < 0)
		return NULL;
	memcpy(text, buf_str(&b), b.len + 1);
	return text;
}

static void test_sha1(void **state)
{
	static const uint8_t abc[20] = {0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e,
		0x25, 0x71, 0x78, 0x50, 0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d};
	static const uint8_t two[20] = {0x84, 0x98, 0x3e, 0x44, 0x1c, 0x3b, 0xd2, 0x6e, 0xba, 0xae,
		0x4a, 0xa1, 0xf9, 0x51, 0x29, 0xe5, 0xe5, 0x46, 0x70, 0xf1};
	static const char text[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	uint8_t got[20];

	(void)state;
	trust_sha1("abc", 3, got);
	assert_memory_equal(got, abc, 20);
	trust_sha1(text, sizeof(text) - 1, got);
	assert_memory_equal(got, two, 20);
}

static void test_hash(void **state)
{
	char got[9], cut[sizeof(cert)];

	(void)state;
	assert_int_equal(trust_hash(cert, got), 0);
	assert_string_equal(got, CERT_HASH);
	assert_int_equal(trust_hash("", got), -EBADMSG);
	/* any cut is refused or read to its end, never beyond */
	for (size_t n = 0; n < 200; n++) {
		(void)snprintf(
			cut, sizeof(cut), "%.*s\n-----END CERTIFICATE-----\n", (int)(28 + n), cert);
		assert_true(trust_hash(cut, got) == -EBADMSG || n > 150);
	}
}

static void test_bundle(void **state)
{
	AUTO(buf) one = {0};
	AUTO(buf) two = {0};
	AUTO(buf) none = {0};

	(void)state;
	buf_init(&one, 65536);
	buf_init(&two, 65536);
	buf_init(&none, 65536);
	assert_int_equal(trust_bundle("others", "AAA\n", &one), 0);
	assert_int_equal(strncmp(one.data, "others\n", 7), 0);
	assert_non_null(strstr(one.data, "\nAAA\n"));
	assert_int_equal(trust_bundle(one.data, "BBB", &two), 0);
	assert_null(strstr(two.data, "AAA"));
	assert_non_null(strstr(two.data, "\nBBB\n"));
	assert_int_equal(two.len, one.len); /* nothing piles up */
	assert_int_equal(trust_bundle(two.data, "", &none), 0);
	assert_string_equal(none.data, "others\n");
}

static void test_install(void **state)
{
	char root[] = "/tmp/sbx-trust-XXXXXX", path[256], command[256];
	struct err e = {0};
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(root));
	assert_int_equal(trust_install(root, "", &e), 0); /* nothing there, nothing to take away */
	(void)snprintf(path, sizeof(path), "%s/etc", root);
	assert_int_equal(mkdir(path, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/etc/sudoers.d", root);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(trust_install(root, cert, &e), 0);
	assert_string_equal(get(root, "/usr/local/share/ca-certificates/sbx.crt"), cert);
	assert_non_null(strstr(get(root, "/etc/ssl/certs/ca-certificates.crt"), cert));
	assert_non_null(
		strstr(get(root, "/etc/sudoers.d/sbx-ca"), "NODE_EXTRA_CA_CERTS DENO_CERT"));
	(void)snprintf(path, sizeof(path), "%s/etc/ssl/certs/" CERT_HASH ".0", root);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(trust_install(root, cert, &e), 0); /* the next start */
	(void)snprintf(path, sizeof(path), "%s/etc/ssl/certs/" CERT_HASH ".1", root);
	assert_int_equal(lstat(path, &st), -1);
	put(root, "/etc/ssl/certs/ca-certificates.crt", "mine\n"); /* somebody made it anew */
	assert_int_equal(trust_install(root, cert, &e), 0);
	assert_int_equal(
		strncmp(get(root, "/etc/ssl/certs/ca-certificates.crt"), "mine\n# sbx", 10), 0);
	assert_int_equal(trust_install(root, "", &e), 0);
	assert_string_equal(get(root, "/etc/ssl/certs/ca-certificates.crt"), "mine\n");
	assert_null(get(root, "/usr/local/share/ca-certificates/sbx.crt"));
	(void)snprintf(command, sizeof(command), "rm -rf %s", root);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha1),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_bundle),
		cmocka_unit_test(test_install),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
