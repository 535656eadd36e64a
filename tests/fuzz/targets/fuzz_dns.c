/* fuzz_dns.c - DNS from both hostile sides: questions can be answered, answers stay in their bounds
 *
 * Input: one byte (0: a question, else an answer to "a.test" of the type in the next two bytes), then
 * the message.
 */
#include "proto/dns.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void question(const uint8_t *p, size_t len)
{
	struct dns_query q, again;
	struct buf out;

	enum dns_result r = dns_get_query(p, len, &q);

	if (r == DNS_BAD && !q.answerable)
		return;
	buf_init(&out, DNS_MESSAGE_MAX);
	assert(dns_put_reply(&out, &q, DNS_REFUSED, NULL, 0, 512) == 0);
	assert(out.len >= 12 && out.len <= 512);
	assert(dns_get_query(out.data, out.len, &again) == DNS_BAD && !again.answerable);
	buf_clear(&out);
	if (r == DNS_OK && q.name[0]) {
		assert(dns_name_ok(q.name));
		assert(dns_put_query(&out, q.id, q.name, q.type) == 0);
		assert(dns_get_query(out.data, out.len, &again) == DNS_OK);
		assert(strcmp(again.name, q.name) == 0 && again.type == q.type);
	}
	buf_fini(&out);
}

static void answer(const uint8_t *p, size_t len)
{
	static struct dns_reply r;
	uint16_t type, id;

	if (len < 4)
		return;
	type = (uint16_t)(p[0] << 8 | p[1]);
	id = (uint16_t)(p[2] << 8 | p[3]);
	if (dns_get_reply(p + 2, len - 2, id, "a.test", type, &r) != DNS_OK)
		return;
	assert(r.n <= DNS_RECORDS_MAX && r.used <= sizeof(r.bytes));
	for (size_t i = 0; i < r.n; i++) {
		const struct dns_record *x = &r.records[i];

		assert(x->type == type && x->len > 0 && x->rdata >= r.bytes &&
			x->rdata + x->len <= r.bytes + r.used);
	}
	assert(r.next[0] == '\0' || (r.n == 0 && dns_name_ok(r.next)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t rdata[512];
	size_t len = size < sizeof(rdata) ? size : sizeof(rdata), before = len;

	if (size < 1)
		return 0;
	memcpy(rdata, data, len);
	if (dns_strip_ech(rdata, &len))
		assert(len <= before);
	if (data[0] == 0)
		question(data + 1, size - 1);
	else
		answer(data + 1, size - 1);
	return 0;
}
