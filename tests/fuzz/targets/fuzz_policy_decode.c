/* fuzz_policy_decode.c - the policy as front and vault get it: strict, and what is taken encodes to the
 * same bytes and judges without a fault
 */
#include "policy/policy.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const hosts[] = {
		"a.x.com", "localhost", "10.1.2.3", "[2001:db8::1]", "x"};
	AUTO_POLICY *p = NULL;
	AUTO(buf) again;

	buf_init(&again, POLICY_BYTES_MAX);
	if (policy_decode(data, size, &p) < 0)
		return 0;
	assert(policy_encode(p, &again) == 0);
	assert(again.len == size && memcmp(again.data, data, size) == 0);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		for (int kind = 0; kind < POLICY_KINDS; kind++) {
			struct policy_host h;
			struct policy_request r = {.kind = (enum policy_kind)kind,
				.host = &h,
				.port = 443,
				.method = "GET",
				.path = "/a/b"};
			struct policy_verdict v;

			assert(policy_host_parse(hosts[i], strlen(hosts[i]), &h));
			policy_decide(p, &r, &v);
			assert(v.decision == POLICY_DENY || v.rule);
		}
	return 0;
}
