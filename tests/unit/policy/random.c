#include "random.h"
#include "policy/path.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

uint32_t dice_roll(struct dice *d, uint32_t sides)
{
	d->state = d->state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(d->state >> 33) % sides;
}

#define PICK(d, a) (a)[dice_roll((d), (uint32_t)ARRAY_LEN(a))]

static const char *const resources[] = {"x.com", "a.x.com", "b.a.x.com", "*.x.com", "**.x.com",
	"**.a.x.com", "a?.x.com", "[ab].x.com", "[!a].x.com", "a*.x.com", "*.*.x.com", "y.org",
	"**", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "8.8.8.0/24", "8.8.8.8", "0.0.0.0/0", "::/0",
	"2606:4700::/32", "169.254.169.254", "169.254.0.0/16", "127.0.0.0/8", "localhost:80",
	"localhost:443", "[fd00:ec2::254]"};
static const char *const hosts[] = {"x.com", "a.x.com", "b.a.x.com", "c.b.a.x.com", "ab.x.com",
	"b.x.com", "y.org", "z.y.org", "nope.net", "localhost", "gateway.sbx.internal", "10.1.2.3",
	"8.8.8.8", "[2606:4700::1]"};
static const char *const addresses[] = {"10.1.2.3", "10.1.9.9", "10.9.9.9", "8.8.8.8", "8.8.8.9",
	"9.9.9.9", "2606:4700::1", "169.254.169.254", "169.254.1.1", "127.0.0.1", "127.0.0.2",
	"198.18.0.254", "198.18.0.1", "fd00:ec2::254", "::ffff:10.1.2.3"};
static const char *const paths[] = {
	"/", "/a", "/a/b", "/A/b", "/a/b/", "/a//b", "/a/../b", "/a%2fb", "/p.S/M", "/p.S/N", "*"};
static const char *const patterns[] = {"/", "/a", "/a/*", "/a/**", "/**", "/*/b", "/**/b"};
static const char *const grpcs[] = {"p.S/M", "p.S/*", "*/*"};
static const char *const methods[] = {"GET", "POST", "PUT", "get", "PROPFIND"};

static const char *const ports[] = {"", "", ":80", ":443"};

static void random_rule(struct dice *d, struct policy_rule *r, char *resource, size_t cap)
{
	const char *base = PICK(d, resources);

	snprintf(resource, cap, "%s%s", base,
		strncmp(base, "localhost", 9) == 0 || strchr(base, ':') ? "" : PICK(d, ports));
	r->resource = resource;
	r->source = (enum policy_source)dice_roll(d, POLICY_SOURCE_PARENT);
	r->decision = (enum policy_decision[]){
		POLICY_DENY, POLICY_ASK, POLICY_ALLOW, POLICY_ALLOW, POLICY_ALLOW}[dice_roll(d, 5)];
	switch (dice_roll(d, 8)) {
	case 0:
		r->methods = POLICY_GET;
		break;
	case 1:
		r->methods = (uint16_t)(1 + dice_roll(d, POLICY_METHODS));
		r->path = PICK(d, patterns);
		break;
	case 2:
		r->path = PICK(d, patterns);
		break;
	case 3:
		r->websocket = true;
		r->path = dice_roll(d, 2) ? PICK(d, patterns) : NULL;
		break;
	case 4:
		r->grpc = PICK(d, grpcs);
		break;
	default:
		break;
	}
}

struct policy *random_policy(struct dice *d, unsigned n)
{
	struct policy *p = policy_new();

	assert(p);
	for (unsigned i = dice_roll(d, n + 1); i > 0; i--) {
		char id[16], resource[64];
		struct policy_rule r = {.id = id, .origin = "random"};

		snprintf(id, sizeof(id), "r%u", i);
		random_rule(d, &r, resource, sizeof(resource));
		(void)!policy_add(p, &r, NULL); /* some are refused: ranges with methods */
	}
	if (dice_roll(d, 4) == 0)
		policy_govern(p);
	if (dice_roll(d, 3) == 0 && policy_add_bypass(p, "**.x.com", NULL) < 0)
		assert(false);
	return p;
}

void random_request(struct dice *d, struct random_request *ret)
{
	const char *host = PICK(d, hosts), *addr = PICK(d, addresses), *path = PICK(d, paths);
	bool with_host = dice_roll(d, 6) != 0;
	size_t len;

	memset(ret, 0, sizeof(*ret));
	ret->r.kind = (enum policy_kind)dice_roll(d, POLICY_KINDS);
	ret->r.port = dice_roll(d, 2) ? 80 : 443;
	if (with_host) {
		if (!policy_host_parse(host, strlen(host), &ret->host))
			assert(false);
		ret->r.host = &ret->host;
	}
	if ((!with_host || dice_roll(d, 2)) &&
		!policy_address_parse(addr, strlen(addr), &ret->r.address))
		assert(false);
	ret->r.method = PICK(d, methods);
	if (policy_path_canon(path, strlen(path), ret->path, sizeof(ret->path), &len,
		    &ret->r.path_flags) != POLICY_PATH_OK)
		assert(false);
	ret->r.path = ret->path;
}
