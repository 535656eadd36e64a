/* A request in the form of a frame, with any fields: a real value goes to its own host only, a stand-in nowhere */
#include "egress/cred.h"
#include "policy/path.h"
#include <assert.h>
#include <string.h>

#define STAND_IN "sbx-standin-0123456789abcdef"
#define REAL	 "real-value-of-the-secret"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static struct vault_config config;
static struct slot slots[4];
static struct egress_slot slot[4] = {
	{EGRESS_SLOT_HEADER, "api.test.example", "", "authorization", "Bearer %s", ""},
	{EGRESS_SLOT_QUERY, "q.test.example", "", "key", "", ""},
	{EGRESS_SLOT_BASIC, "git.test.example", "", "", "", "x"},
	{EGRESS_SLOT_PLACEHOLDER, "mark.test.example", "", "x-note", "", ""},
};
static struct egress_credential credential = {"c", STAND_IN, 4, slot};
static struct secrets *secrets;

static void set_up(void)
{
	config.c.credentials = &credential;
	config.c.n_credentials = 1;
	config.slots = slots;
	config.n_slots = 4;
	for (unsigned i = 0; i < 4; i++) {
		slots[i].credential = &credential;
		slots[i].slot = &slot[i];
		if (policy_pattern_parse(
			    slot[i].host, strlen(slot[i].host), &slots[i].pattern, NULL) < 0)
			abort();
		slots[i].pattern.port = 443;
	}
	secrets = secrets_new();
	if (!secrets || secrets_put(secrets, "c", REAL, strlen(REAL)) < 0)
		abort();
}

static bool managed(const struct policy_host *h, uint16_t port)
{
	for (unsigned i = 0; i < 4; i++)
		if (pattern_matches(&slots[i].pattern, h, port))
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static struct egress_request q;
	static struct cred c;
	struct egress_frame f = {.type = EGRESS_REQUEST, .end = true, .body = p, .len = len};
	struct policy_host host;
	struct cred_ask a = {.config = &config, .q = &q, .host = &host};
	bool ok;

	if (!secrets)
		set_up();
	a.secrets = secrets;

	if (len > EGRESS_FRAME_MAX || egress_get_request(&f, &q) != PROTO_OK ||
		!policy_host_parse(q.host, strlen(q.host), &host))
		return 0;
	ok = cred_apply(&c, &a);
	assert(ok || c.status >= 400);
	for (uint16_t i = 0; ok && i < c.fields.n; i++) {
		bool real = strstr(c.fields.v[i].value, REAL) != NULL;

		assert(strlen(c.fields.v[i].value) == c.fields.v[i].value_len);
		assert(!strpbrk(c.fields.v[i].value, "\r\n"));
		assert(!strstr(c.fields.v[i].value, STAND_IN));
		/* who knows the value already may send it anywhere */
		assert(!real || managed(&host, q.port) ||
			egress_field(&q.fields, c.fields.v[i].name));
		assert(!real || q.scheme == EGRESS_HTTPS ||
			egress_field(&q.fields, c.fields.v[i].name));
	}
	assert(!ok || (!strstr(c.query, STAND_IN) && !strstr(q.path, STAND_IN)));
	assert(!c.used[0] || (q.scheme == EGRESS_HTTPS && managed(&host, q.port)));
	cred_clear(&c);
	return 0;
}
