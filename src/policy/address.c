#include "policy/address.h"
#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

enum { V4 = 4, V6 = 6 };

struct range {
	uint8_t byte[16];
	uint8_t prefix;
	enum policy_address_class class;
};

#define C(name) POLICY_ADDRESS_##name

/* First match counts: what is special within a range stands before it. Sources: the IANA registries of
 * special-purpose addresses; the metadata services of the large clouds.
 */
static const struct range ranges4[] = {
	{{169, 254, 169, 0}, 24, C(METADATA)}, /* AWS, GCP, Azure, OpenStack, and their siblings */
	{{169, 254, 170, 0}, 24, C(METADATA)}, /* containers of AWS */
	{{169, 254, 0, 23}, 32, C(METADATA)}, /* Tencent */
	{{100, 100, 100, 200}, 32, C(METADATA)}, /* Alibaba */
	{{168, 63, 129, 16}, 32, C(METADATA)}, /* Azure's wire server: a public address */
	{{192, 0, 0, 192}, 32, C(METADATA)}, /* Oracle */
	{{0, 0, 0, 0}, 32, C(UNSPECIFIED)},
	{{0}, 8, C(RESERVED)},
	{{10}, 8, C(PRIVATE)},
	{{100, 64}, 10, C(PRIVATE)},
	{{127}, 8, C(LOOPBACK)},
	{{169, 254}, 16, C(LINKLOCAL)},
	{{172, 16}, 12, C(PRIVATE)},
	{{192, 0, 0}, 24, C(RESERVED)},
	{{192, 0, 2}, 24, C(RESERVED)},
	{{192, 88, 99}, 24, C(EMBEDDED)},
	{{192, 168}, 16, C(PRIVATE)},
	{{198, 18}, 15, C(RESERVED)},
	{{198, 51, 100}, 24, C(RESERVED)},
	{{203, 0, 113}, 24, C(RESERVED)},
	{{224}, 4, C(MULTICAST)},
	{{240}, 4, C(RESERVED)},
};
static const struct range ranges6[] = {
	{{0xfd, 0, 0x0e, 0xc2}, 64, C(METADATA)}, /* AWS: fd00:ec2::254, ::23 */
	{{0xfd, 0x20, 0, 0xce}, 64, C(METADATA)}, /* GCP */
	{{0xfe, 0x80, [12] = 0xa9, 0xfe, 0xa9, 0xfe}, 128, C(METADATA)}, /* OpenStack */
	{{0}, 128, C(UNSPECIFIED)},
	{{[15] = 1}, 128, C(LOOPBACK)},
	{{0}, 96, C(EMBEDDED)},
	{{[8] = 0xff, 0xff, 0, 0}, 96, C(EMBEDDED)},
	{{0, 0x64, 0xff, 0x9b}, 96, C(EMBEDDED)},
	{{0, 0x64, 0xff, 0x9b, 0, 1}, 48, C(EMBEDDED)},
	{{0x20, 0x01, 0, 0}, 32, C(EMBEDDED)},
	{{0x20, 0x02}, 16, C(EMBEDDED)},
	{{0x20, 0x01, 0x0d, 0xb8}, 32, C(RESERVED)},
	{{0x20, 0x01}, 23, C(RESERVED)},
	{{0x3f, 0xff}, 20, C(RESERVED)},
	{{0xfc}, 7, C(PRIVATE)},
	{{0xfe, 0x80}, 10, C(LINKLOCAL)},
	{{0xfe, 0xc0}, 10, C(PRIVATE)},
	{{0xff}, 8, C(MULTICAST)},
	{{0x20}, 3, C(PUBLIC)},
};

static bool parse4(const char *text, size_t len, uint8_t byte[4])
{
	size_t at = 0;

	for (unsigned part = 0; part < 4; part++) {
		unsigned v = 0, digits = 0;

		while (at < len && text[at] >= '0' && text[at] <= '9' && digits < 4) {
			v = v * 10 + (unsigned)(text[at++] - '0');
			digits++;
		}
		if (digits == 0 || v > 255 || (digits > 1 && text[at - digits] == '0'))
			return false;
		byte[part] = (uint8_t)v;
		if (part < 3 && (at >= len || text[at++] != '.'))
			return false;
	}
	return at == len;
}

static void unmap(struct policy_address *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, 0xff};

	if (memcmp(a->byte, mapped, 12) != 0)
		return;
	a->family = V4;
	memcpy(a->byte, a->byte + 12, 4);
	memset(a->byte + 4, 0, 12);
}

bool policy_address_parse(const char *text, size_t len, struct policy_address *ret_a)
{
	struct policy_address a = {.family = V4};
	char copy[POLICY_ADDRESS_TEXT];

	if (len == 0 || len >= sizeof(copy))
		return false;
	if (!memchr(text, ':', len)) {
		if (!parse4(text, len, a.byte))
			return false;
	} else {
		if (memchr(text, '\0', len))
			return false;
		memcpy(copy, text, len);
		copy[len] = '\0';
		a.family = V6;
		if (inet_pton(AF_INET6, copy, a.byte) != 1)
			return false;
		unmap(&a);
	}
	*ret_a = a;
	return true;
}

bool policy_address_from(unsigned family, const uint8_t byte[16], struct policy_address *ret_a)
{
	struct policy_address a = {.family = (uint8_t)family};

	if (family != V4 && family != V6)
		return false;
	memcpy(a.byte, byte, family == V4 ? 4 : 16);
	if (family == V6)
		unmap(&a);
	*ret_a = a;
	return true;
}

char *policy_address_text(const struct policy_address *a, char dst[POLICY_ADDRESS_TEXT])
{
	dst[0] = '\0';
	if (a->family == V4 || a->family == V6)
		(void)inet_ntop(
			a->family == V4 ? AF_INET : AF_INET6, a->byte, dst, POLICY_ADDRESS_TEXT);
	return dst;
}

bool policy_address_same(const struct policy_address *a, const struct policy_address *b)
{
	return a->family == b->family && memcmp(a->byte, b->byte, sizeof(a->byte)) == 0;
}

static bool bits_same(const uint8_t *a, const uint8_t *b, unsigned prefix)
{
	unsigned whole = prefix / 8, rest = prefix % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) & (0xff00U >> rest) & 0xffU) == 0;
}

bool policy_address_in(
	const struct policy_address *a, const struct policy_address *net, unsigned prefix)
{
	if (a->family != net->family || prefix > (a->family == V4 ? 32U : 128U))
		return false;
	return bits_same(a->byte, net->byte, prefix);
}

static enum policy_address_class look_up(
	const uint8_t *byte, const struct range *r, size_t n, enum policy_address_class other)
{
	for (size_t i = 0; i < n; i++)
		if (bits_same(byte, r[i].byte, r[i].prefix))
			return r[i].class;
	return other;
}

static enum policy_address_class class4(const uint8_t *byte)
{
	return look_up(byte, ranges4, ARRAY_LEN(ranges4), C(PUBLIC));
}

/* class6() - an address that hides an IPv4 one is as bad as that one when it is a metadata service */
static enum policy_address_class class6(const uint8_t *b)
{
	enum policy_address_class c = look_up(b, ranges6, ARRAY_LEN(ranges6), C(RESERVED));
	uint8_t teredo[4];

	if (c == C(PUBLIC) || c == C(PRIVATE) || c == C(LINKLOCAL)) {
		/* ISATAP: 0000:5efe or 0200:5efe, then the IPv4 address */
		if ((b[8] & 0xfd) == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe)
			return class4(b + 12) == C(METADATA) ? C(METADATA) : C(EMBEDDED);
		return c;
	}
	if (c != C(EMBEDDED))
		return c;
	for (unsigned i = 0; i < 4; i++)
		teredo[i] = (uint8_t)~b[12 + i];
	if (class4(b + 12) == C(METADATA) || (b[0] == 0x20 && class4(b + 2) == C(METADATA)) ||
		(b[0] == 0x20 && class4(teredo) == C(METADATA)))
		return C(METADATA);
	return c;
}

enum policy_address_class policy_address_class(const struct policy_address *a)
{
	struct policy_address plain;

	if (!policy_address_from(a->family, a->byte, &plain))
		return C(RESERVED);
	return plain.family == V4 ? class4(plain.byte) : class6(plain.byte);
}

const char *policy_address_class_name(enum policy_address_class c)
{
	static const char *const names[] = {"public", "private", "loopback", "link-local",
		"metadata", "multicast", "unspecified", "embedded", "reserved"};
	static_assert(ARRAY_LEN(names) == POLICY_ADDRESS_CLASSES, "a name per class");

	return (unsigned)c < ARRAY_LEN(names) ? names[c] : "reserved";
}

static const uint8_t inside6[8] = {0xfd, 0x53, 0x62, 0x78};

bool policy_address_host(const struct policy_address *a)
{
	static const uint8_t host4[2][4] = {{127, 0, 0, 1}, {198, 18, 0, 254}};
	static const uint8_t host6[2][16] = {{[15] = 1}, {0xfd, 0x53, 0x62, 0x78, [15] = 0xfe}};

	for (unsigned i = 0; i < 2; i++) {
		if (a->family == V4 && memcmp(a->byte, host4[i], 4) == 0)
			return true;
		if (a->family == V6 && memcmp(a->byte, host6[i], 16) == 0)
			return true;
	}
	return false;
}

bool policy_address_inside(const struct policy_address *a)
{
	static const uint8_t inside4[3] = {198, 18, 0};

	if (a->family == V4)
		return memcmp(a->byte, inside4, 3) == 0;
	return a->family == V6 && memcmp(a->byte, inside6, 8) == 0;
}
