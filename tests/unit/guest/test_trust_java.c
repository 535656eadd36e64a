/* test_trust_java.c - the sandbox's authority in the stores of JVMs: in, replaced, out, the rest kept; read
 * by a JVM where there is one
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

/* The authorities of two starts: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes
 * -days 3650 -subj "/O=sbx/CN=first" ("second"); keytool names them by their SHA-256.
 */
static const char first[] = "-----BEGIN CERTIFICATE-----\n"
			    "MIIBkTCCATegAwIBAgIUP7T4XMYE2PEIQJHolCqyP6JdnzgwCgYIKoZIzj0EAwIw\n"
			    "HjEMMAoGA1UECgwDc2J4MQ4wDAYDVQQDDAVmaXJzdDAeFw0yNjExMjIxNDQ0MzNa\n"
			    "Fw0zNjExMTkxNDQ0MzNaMB4xDDAKBgNVBAoMA3NieDEOMAwGA1UEAwwFZmlyc3Qw\n"
			    "WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQDqvYA4eNn07K0Ph0wPHMjndGVWwU/\n"
			    "EfF5q7LcvNjaFnW8MYFytPFRulaLhAZxllZzUZ1EMaRIqW3a076R1O4bo1MwUTAd\n"
			    "BgNVHQ4EFgQUt2jj7XbBbQ16dUV6tJcSCDe4Ei4wHwYDVR0jBBgwFoAUt2jj7XbB\n"
			    "bQ16dUV6tJcSCDe4Ei4wDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBF\n"
			    "AiEA2qY8qyebCzwBTB77Wc5zAeolxtGP15LHe23WG2E2t3gCIHcVTm+qzhQ8lhEN\n"
			    "HZi897PqoexohCsDUcEsjqyJ/1Ng\n"
			    "-----END CERTIFICATE-----\n";
static const char second[] = "-----BEGIN CERTIFICATE-----\n"
			     "MIIBkzCCATmgAwIBAgIUQguHpn40A0m9CYsGHaygrxfwoD8wCgYIKoZIzj0EAwIw\n"
			     "HzEMMAoGA1UECgwDc2J4MQ8wDQYDVQQDDAZzZWNvbmQwHhcNMjYxMTIyMTQ0NDMz\n"
			     "WhcNMzYxMTE5MTQ0NDMzWjAfMQwwCgYDVQQKDANzYngxDzANBgNVBAMMBnNlY29u\n"
			     "ZDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABI1USK1N25022htegfl1o9W/GNhD\n"
			     "O9IUtehabnzIpe5J4WVWaVs/rydkTWPXdQadYKnXDxtgfl+KY4ZP6oSoXFCjUzBR\n"
			     "MB0GA1UdDgQWBBQIbJL4rRi5qeYL68sNIbPheubZ3jAfBgNVHSMEGDAWgBQIbJL4\n"
			     "rRi5qeYL68sNIbPheubZ3jAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gA\n"
			     "MEUCIBV9fG+CYv7eM5/0WaRiDfFlWdmXyRqh/mXOX/wteaUCAiEAxS6EpwYiUFBx\n"
			     "6Ljr6UyJRrzsKGkZ10L5q7RKvG2MKXU=\n"
			     "-----END CERTIFICATE-----\n";
#define FIRST_SHA256                                                                               \
	"46:7C:9E:B0:0F:13:55:56:82:57:F9:12:F8:72:02:B0:89:92:DA:29:C0:E9:28:C2:9D:3A:82:38:27:"  \
	"89:DA:1C"
#define SECOND_SHA256                                                                              \
	"FF:85:24:97:80:BB:8C:32:08:0B:99:EC:9B:F0:1A:BD:A0:70:B9:58:C8:6E:9B:11:1E:8C:B3:4A:14:"  \
	"89:C6:11"
#define CERT_BYTES 8192

/* A store of a JVM before 18 with one certificate "other" of three bytes, its digest by sha1sum */
static const char jks[] =
	"\xfe\xed\xfe\xed\0\0\0\2\0\0\0\1\0\0\0\2\0\5other\0\0\0\0\0\0\0\7\0\5X.509\0\0\0\3abc"
	"\x2e\xa5\x78\xae\xdb\xa0\x88\x01\x87\x19\xb8\xd2\xa1\xc3\x7a\xb8\x30\xc6\x0a\x61";
/* One of a JVM since 18 that is empty: PFX { 3, data { { data { { } } } } } */
static const char p12[] =
	"\x30\x29\x02\x01\x03\x30\x24\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x17\x04\x15"
	"\x30\x13\x30\x11\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x04\x04\x02\x30\x00";

static const struct kind {
	const char *name, *store;
	size_t len;
} kinds[] = {{"jks", jks, sizeof(jks) - 1}, {"p12", p12, sizeof(p12) - 1}};

static bool holds(const struct buf *b, const void *what, size_t len)
{
	return memmem(b->data, b->len, what, len) != NULL;
}

static bool holds_cert(const struct buf *b, const char *pem)
{
	uint8_t der[TRUST_DER_MAX];
	size_t len;

	assert_int_equal(trust_der(pem, der, &len), 0);
	return holds(b, der, len);
}

static void test_in_replaced_and_out(void **state)
{
	(void)state;
	for (size_t k = 0; k < 2; k++) {
		AUTO(buf) one = {0};
		AUTO(buf) again = {0};
		AUTO(buf) two = {0};
		AUTO(buf) none = {0};

		buf_init(&one, CERT_BYTES);
		buf_init(&again, CERT_BYTES);
		buf_init(&two, CERT_BYTES);
		buf_init(&none, CERT_BYTES);
		assert_int_equal(trust_java_store(kinds[k].store, kinds[k].len, first, &one), 0);
		assert_true(holds_cert(&one, first));
		assert_int_equal(trust_java_store(one.data, one.len, first, &again), 0);
		assert_int_equal(one.len, again.len); /* the next start has nothing to write */
		assert_memory_equal(one.data, again.data, one.len);
		assert_int_equal(trust_java_store(one.data, one.len, second, &two), 0);
		assert_true(holds_cert(&two, second) && !holds_cert(&two, first));
		assert_int_equal(trust_java_store(two.data, two.len, "", &none), 0);
		assert_int_equal(none.len, kinds[k].len);
		assert_memory_equal(none.data, kinds[k].store, none.len);
	}
}

/* A digest after the content says that there is a password; so does content that is not "data". */
static void test_what_is_not_ours_to_write(void **state)
{
	char changed[sizeof(jks)], long_pem[16384];
	static const char with_digest[] =
		"\x30\x2b\x02\x01\x03\x30\x24\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x17"
		"\x04\x15\x30\x13\x30\x11\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x04\x04"
		"\x02\x30\x00\x30\x00";
	AUTO(buf) out = {0};
	AUTO(buf) small = {0};

	(void)state;
	buf_init(&out, CERT_BYTES);
	buf_init(&small, sizeof(jks));
	memcpy(changed, jks, sizeof(jks));
	changed[sizeof(jks) - 2] ^= 1; /* another password makes another digest */
	assert_int_equal(trust_java_store(changed, sizeof(jks) - 1, first, &out), -EKEYREJECTED);
	assert_int_equal(
		trust_java_store(with_digest, sizeof(with_digest) - 1, first, &out), -EKEYREJECTED);
	memcpy(changed, p12, sizeof(p12));
	changed[36] = 6; /* encryptedData */
	assert_int_equal(trust_java_store(changed, sizeof(p12) - 1, first, &out), -EKEYREJECTED);
	assert_int_equal(trust_java_store("", 0, first, &out), -EBADMSG);
	assert_int_equal(trust_java_store("PK\3\4 is no store", 16, first, &out), -EBADMSG);
	assert_int_equal(trust_java_store(jks, sizeof(jks) - 1, "no PEM", &out), -EBADMSG);
	memset(long_pem, 'A', sizeof(long_pem));
	memcpy(long_pem, "-----BEGIN CERTIFICATE-----", 27);
	memcpy(long_pem + sizeof(long_pem) - 26, "-----END CERTIFICATE-----", 26);
	assert_int_equal(trust_java_store(jks, sizeof(jks) - 1, long_pem, &out), -EBADMSG);
	assert_int_equal(trust_java_store(jks, sizeof(jks) - 1, first, &small), -ENOBUFS);
}

/* Every cut and every changed byte of a store that holds ours: refused, or a store again */
static void test_damaged(void **state)
{
	(void)state;
	for (size_t k = 0; k < 2; k++) {
		AUTO(buf) good = {0};

		buf_init(&good, CERT_BYTES);
		assert_int_equal(trust_java_store(kinds[k].store, kinds[k].len, first, &good), 0);
		for (size_t n = 0; n < good.len; n++) {
			AUTO(buf) out = {0};
			AUTO_FREE char *cut = malloc(n ? n : 1); /* so that ASan sees its end */
			int r;

			buf_init(&out, CERT_BYTES);
			assert_non_null(cut);
			memcpy(cut, good.data, n);
			assert_true(trust_java_store(cut, n, second, &out) < 0);
			buf_clear(&out);
			good.data[n] = (char)(good.data[n] ^ 0xff);
			r = trust_java_store(good.data, good.len, second, &out);
			assert_true(r == -EBADMSG || r == -EKEYREJECTED || r == 0);
			good.data[n] = (char)(good.data[n] ^ 0xff);
		}
	}
}

static void put(const char *root, const char *name, const void *p, size_t len)
{
	char path[256], command[512];
	FILE *f;

	(void)snprintf(command, sizeof(command), "mkdir -p \"$(dirname %s%s)\"", root, name);
	assert_int_equal(system(command), 0);
	(void)snprintf(path, sizeof(path), "%s%s", root, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void get(const char *root, const char *name, struct buf *out)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s%s", root, name);
	buf_clear(out);
	assert_int_equal(io_read_file(AT_FDCWD, path, out), 0);
}

static void test_wherever_a_jvm_lies(void **state)
{
	static const char *const at[] = {"/etc/ssl/certs/java/cacerts",
		"/usr/lib/jvm/temurin/lib/security/cacerts",
		"/usr/lib/jvm/old/jre/lib/security/cacerts",
		"/usr/local/java/jdk/lib/security/cacerts",
		"/opt/java/openjdk/lib/security/cacerts", "/opt/jdk/lib/security/cacerts",
		"/home/agent/.sdkman/candidates/java/21/lib/security/cacerts"};
	char root[] = "/tmp/sbx-java-XXXXXX", path[256], command[256];
	AUTO(buf) b = {0};
	struct stat st;

	(void)state;
	buf_init(&b, CERT_BYTES);
	assert_non_null(mkdtemp(root));
	assert_int_equal(trust_java(root, first), 0);
	for (size_t i = 0; i < ARRAY_LEN(at); i++)
		put(root, at[i], kinds[i % 2].store, kinds[i % 2].len);
	/* what is none, is somebody else's, or never ends */
	put(root, "/opt/x/lib/security/cacerts", "none", 4);
	put(root, "/outside", jks, sizeof(jks) - 1);
	put(root, "/opt/y/lib/security/other", "", 0);
	(void)snprintf(path, sizeof(path), "%s/opt/y/lib/security/cacerts", root);
	assert_int_equal(symlink("../../../../outside", path), 0);
	put(root, "/opt/z/lib/security/other", "", 0);
	(void)snprintf(path, sizeof(path), "%s/opt/z/lib/security/cacerts", root);
	assert_int_equal(mkfifo(path, 0600), 0);
	(void)snprintf(path, sizeof(path), "%s%s", root, at[0]);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(trust_java(root, first), ARRAY_LEN(at));
	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		get(root, at[i], &b);
		assert_true(holds_cert(&b, first));
	}
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	get(root, "/outside", &b);
	assert_false(holds_cert(&b, first));
	assert_int_equal(trust_java(root, ""), ARRAY_LEN(at));
	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		get(root, at[i], &b);
		assert_int_equal(b.len, kinds[i % 2].len);
		assert_memory_equal(b.data, kinds[i % 2].store, b.len);
	}
	(void)snprintf(command, sizeof(command), "rm -rf %s", root);
	assert_int_equal(system(command), 0);
}

/* keytool() - what it says of the store @name in @root, as text */
static void keytool(const char *root, const char *name, const char *words, char *dst, size_t size)
{
	char command[512];
	FILE *f;
	size_t n;

	(void)snprintf(command, sizeof(command),
		"cd %s && LC_ALL=C keytool -keystore %s -noprompt %s 2>&1", root, name, words);
	f = popen(command, "re");
	assert_non_null(f);
	n = fread(dst, 1, size - 1, f);
	dst[n] = '\0';
	assert_int_equal(pclose(f), 0);
}

/* Stores as keytool makes them, ours added, and what keytool then finds in them */
static void test_a_jvm_reads_it(void **state)
{
	static const char *const make[][2] = {
		{"s.jks",
			"-importcert -storetype JKS -storepass changeit -alias other -file o.pem"},
		{"s.p12",
			"-importcert -storetype PKCS12 -storepass changeit -alias other -file o.pem"
			" -J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE"
			" -J-Dkeystore.pkcs12.macAlgorithm=NONE"}};
	char root[] = "/tmp/sbx-java-XXXXXX", name[16], text[16384], command[256];
	AUTO(buf) old = {0};
	AUTO(buf) new = {0};

	(void)state;
	if (system("command -v keytool >/dev/null 2>&1") != 0) {
		printf("skip: there is no keytool (a JDK) here\n");
		skip();
	}
	assert_non_null(mkdtemp(root));
	put(root, "/o.pem", second, strlen(second));
	buf_init(&old, 65536);
	buf_init(&new, 65536);
	for (size_t i = 0; i < ARRAY_LEN(make); i++) {
		keytool(root, make[i][0], make[i][1], text, sizeof(text));
		(void)snprintf(name, sizeof(name), "/%s", make[i][0]);
		get(root, name, &old);
		buf_clear(&new);
		assert_int_equal(trust_java_store(old.data, old.len, first, &new), 0);
		put(root, name, new.data, new.len);
		keytool(root, make[i][0], "-list -v -storepass changeit", text, sizeof(text));
		assert_non_null(strstr(text, "contains 2 entries"));
		assert_non_null(strstr(text, "Alias name: debian:sbx.pem"));
		assert_non_null(strstr(text, FIRST_SHA256));
		assert_non_null(strstr(text, SECOND_SHA256));
		assert_null(strstr(text, "NOT been verified"));
		/* and writes it: what it has added is kept, ours goes */
		keytool(root, make[i][0],
			"-importcert -storepass changeit -alias third -file o.pem", text,
			sizeof(text));
		get(root, name, &old);
		buf_clear(&new);
		assert_int_equal(trust_java_store(old.data, old.len, "", &new), 0);
		put(root, name, new.data, new.len);
		keytool(root, make[i][0], "-list -storepass changeit", text, sizeof(text));
		assert_non_null(strstr(text, "third, "));
		assert_null(strstr(text, "sbx.pem"));
	}
	(void)snprintf(command, sizeof(command), "rm -rf %s", root);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_replaced_and_out),
		cmocka_unit_test(test_what_is_not_ours_to_write),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_wherever_a_jvm_lies),
		cmocka_unit_test(test_a_jvm_reads_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
