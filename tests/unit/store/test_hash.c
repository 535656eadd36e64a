/* test_hash.c - SHA-256 against the vectors of FIPS 180 */
#include "check.h"
#include "store/hash.h"
#include <string.h>
#include <sys/mman.h>

static const struct {
	const char *text, *hex;
} vectors[] = {
	{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		AUTO_FD fd = memfd_create("hash", MFD_CLOEXEC);
		char hex[HASH_HEX];

		assert_int_equal(hash_bytes(vectors[i].text, strlen(vectors[i].text), hex), 0);
		assert_string_equal(hex, vectors[i].hex);
		assert_int_equal(write(fd, vectors[i].text, strlen(vectors[i].text)),
			(ssize_t)strlen(vectors[i].text));
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_int_equal(hash_fd(fd, hex), 0);
		assert_string_equal(hex, vectors[i].hex);
	}
	assert_true(hash_fd(-1, (char[HASH_HEX]){0}) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
