/* fuzz_hello.c - ClientHellos: a verdict never changes back when more bytes come */
#include "tls/hello.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_hello whole, part;
	enum tls_hello_result all = tls_hello_parse(data, size, &whole), r;

	assert(strlen(whole.sni) <= TLS_SNI_MAX);
	if (all != TLS_HELLO_OK)
		assert(whole.sni[0] == '\0' && !whole.alpn && whole.version == 0);
	for (size_t n = 0; n < size; n += 1 + size / 16) {
		r = tls_hello_parse(data, n, &part);
		if (all == TLS_HELLO_MORE)
			assert(r == TLS_HELLO_MORE);
		else if (all == TLS_HELLO_OK)
			assert(r == TLS_HELLO_MORE || r == TLS_HELLO_OK);
		else
			assert(r == TLS_HELLO_MORE || r == all);
	}
	return 0;
}
