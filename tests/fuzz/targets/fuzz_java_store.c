/* fuzz_java_store.c - JVMs' stores: what was made of one is read again, and is the same when made again */
#include "guest/trust.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Three bytes that no parser of ours looks into. */
static const char pem[] = "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf) one = {0};
	AUTO(buf) two = {0};
	AUTO(buf) none = {0};

	buf_init(&one, TRUST_JAVA_MAX);
	buf_init(&two, TRUST_JAVA_MAX);
	buf_init(&none, TRUST_JAVA_MAX);
	if (trust_java_store(data, size, pem, &one) < 0)
		return 0;
	assert(trust_java_store(one.data, one.len, pem, &two) == 0);
	assert(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
	assert(trust_java_store(one.data, one.len, "", &none) == 0 && none.len < one.len);
	return 0;
}
