/* Java's trust stores. A JVM reads a file of its own and no variable of the environment, so that file
 * is written: what was in it stays, our authority is one entry more.
 *
 * Two formats, the ones that JVMs come with: JKS (all before 18, and Debian's), whose entries are in
 * the clear and whose end is a digest over a password that everybody knows; and since 18 PKCS #12
 * (RFC 7292) without password, digest and encryption, where an attribute of a certificate makes a JVM
 * (8u301, 11.0.12, 17 and later) trust it. A file of any other kind cannot be added to by someone who
 * has not got its password.
 */
#include "guest/trust.h"
#include "guest/der.h"
#include <errno.h>
#include <string.h>

#define JKS_HEAD   12 /* magic, version, count of entries */
#define JKS_DIGEST 20
#define JKS_KEY	   1
#define JKS_CERT   2
/* what the digest of a JKS begins with: "changeit" in UTF-16, and Sun's pepper */
#define PASSWORD   "\0c\0h\0a\0n\0g\0e\0i\0t"
#define PEPPER	   "Mighty Aphrodite"
#define SALT	   PASSWORD PEPPER
#define SALT_BYTES (sizeof(SALT) - 1)

/* Debian's ca-certificates-java names it so when it takes ours up from where we put it: whoever comes
 * second replaces the other's.
 */
#define ALIAS	  "debian:sbx.pem"
#define ALIAS_BMP "\0d\0e\0b\0i\0a\0n\0:\0s\0b\0x\0.\0p\0e\0m"

/* OIDs without tag and length */
#define OID_DATA     "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01" /* PKCS #7 data */
#define OID_CERT_BAG "\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x03"
#define OID_X509     "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x16\x01"
#define OID_NAME     "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x14" /* friendlyName */
#define OID_TRUSTED                                                                                \
	"\x60\x86\x48\x01\x86\xf9\x66\xad\xca\x7b\x01\x01" /* Oracle's TrustedKeyUsage */
#define OID_ANY_USE "\x55\x1d\x25\x00" /* anyExtendedKeyUsage */
#define OID(o)	    o, sizeof(o) - 1

/* ---- JKS ---- */

static bool take(struct der *d, size_t len, struct der *ret)
{
	if (d->len < len)
		return false;
	*ret = (struct der){d->p, len};
	d->p += len;
	d->len -= len;
	return true;
}

static bool number(struct der *d, unsigned bytes, uint64_t *ret)
{
	struct der got;

	if (!take(d, bytes, &got))
		return false;
	*ret = 0;
	for (unsigned i = 0; i < bytes; i++)
		*ret = *ret << 8 | got.p[i];
	return true;
}

/* counted() - a length of @bytes bytes, and what it is the length of */
static bool counted(struct der *d, unsigned bytes, struct der *ret)
{
	uint64_t len;

	return number(d, bytes, &len) && take(d, len, ret);
}

static bool jks_cert(struct der *d, uint64_t version)
{
	struct der skipped;

	return (version == 1 || counted(d, 2, &skipped)) && counted(d, 4, &skipped);
}

/* jks_entry() - takes one off @d */
static bool jks_entry(struct der *d, uint64_t version, struct der *ret_alias)
{
	struct der skipped;
	uint64_t kind, chain = 1;

	if (!number(d, 4, &kind) || !counted(d, 2, ret_alias) || !take(d, 8, &skipped))
		return false;
	if (kind == JKS_KEY && (!counted(d, 4, &skipped) || !number(d, 4, &chain)))
		return false;
	if (kind != JKS_KEY && kind != JKS_CERT)
		return false;
	for (uint64_t i = 0; i < chain; i++) /* ends with the bytes, whatever it says */
		if (!jks_cert(d, version))
			return false;
	return true;
}

static int add_number(struct buf *out, unsigned bytes, uint64_t v)
{
	uint8_t be[8];

	for (unsigned i = 0; i < bytes; i++)
		be[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
	return buf_add(out, be, bytes);
}

/* jks_add() - our entry; its time is nought, so that the same authority makes the same file */
static int jks_add(struct buf *out, uint64_t version, struct der cert)
{
	int r = add_number(out, 4, JKS_CERT);

	if (r == 0)
		r = add_number(out, 2, sizeof(ALIAS) - 1);
	if (r == 0)
		r = buf_add(out, ALIAS, sizeof(ALIAS) - 1);
	if (r == 0)
		r = add_number(out, 8, 0);
	if (r == 0 && version == 2)
		r = buf_add(out, "\0\5X.509", 7);
	if (r == 0)
		r = add_number(out, 4, cert.len);
	return r == 0 ? buf_add(out, cert.p, cert.len) : r;
}

static int jks_digest(const void *body, size_t len, uint8_t dst[JKS_DIGEST])
{
	AUTO(buf) all = {0};
	int r;

	buf_init(&all, SALT_BYTES + len);
	r = buf_add(&all, SALT, SALT_BYTES);
	if (r == 0)
		r = buf_add(&all, body, len);
	if (r == 0)
		trust_sha1(all.data, all.len, dst);
	return r;
}

static int jks_store(struct der old, struct der cert, struct buf *out)
{
	struct der at = {old.p, old.len - JKS_DIGEST}, alias;
	uint8_t digest[JKS_DIGEST];
	uint64_t magic, version, count, kept = 0;
	int r = jks_digest(old.p, at.len, digest);

	if (r < 0)
		return r;
	if (memcmp(old.p + at.len, digest, JKS_DIGEST) != 0)
		return -EKEYREJECTED;
	if (!number(&at, 4, &magic) || !number(&at, 4, &version) || !number(&at, 4, &count) ||
		(version != 1 && version != 2))
		return -EBADMSG;
	r = buf_add(out, old.p, JKS_HEAD);
	for (uint64_t i = 0; r == 0 && i < count; i++) {
		const uint8_t *entry = at.p;

		if (!jks_entry(&at, version, &alias))
			return -EBADMSG;
		if (der_is(alias, ALIAS, sizeof(ALIAS) - 1))
			continue;
		kept++;
		r = buf_add(out, entry, (size_t)(at.p - entry));
	}
	if (at.len > 0)
		return -EBADMSG;
	if (r == 0 && cert.len > 0)
		r = jks_add(out, version, cert);
	if (r < 0)
		return r;
	kept += cert.len > 0;
	for (unsigned i = 0; i < 4; i++)
		out->data[8 + i] = (char)(uint8_t)(kept >> 8 * (3 - i));
	r = jks_digest(out->data, out->len, digest);
	return r == 0 ? buf_add(out, digest, JKS_DIGEST) : r;
}

/* ---- PKCS #12 ---- */

/* wrap() - what is in @b becomes the content of one element of the same buffer */
static int wrap(struct buf *b, uint8_t tag)
{
	AUTO(buf) in = {0};
	int r;

	buf_init(&in, b->max);
	r = buf_add(&in, buf_str(b), b->len);
	buf_clear(b);
	return r == 0 ? der_put(b, tag, buf_str(&in), in.len) : r;
}

/* put_attribute() - SEQUENCE { @oid, SET { one value } } */
static int put_attribute(
	struct buf *out, const void *oid, size_t oid_len, uint8_t tag, const void *p, size_t len)
{
	AUTO(buf) values = {0};
	AUTO(buf) both = {0};
	int r;

	buf_init(&values, 256);
	buf_init(&both, 256);
	r = der_put(&values, tag, p, len);
	if (r == 0)
		r = der_put(&both, DER_OID, oid, oid_len);
	if (r == 0)
		r = der_put(&both, DER_SET, values.data, values.len);
	return r == 0 ? der_put(out, DER_SEQUENCE, both.data, both.len) : r;
}

/* put_bag() - SafeBag { certBag, [0] CertBag { x509, [0] OCTETS }, SET { name, trusted } } */
static int put_bag(struct buf *out, struct der cert)
{
	AUTO(buf) value = {0};
	AUTO(buf) inner = {0};
	AUTO(buf) bag = {0};
	AUTO(buf) attributes = {0};
	int r;

	buf_init(&value, TRUST_DER_MAX + 64);
	buf_init(&inner, TRUST_DER_MAX + 128);
	buf_init(&bag, TRUST_DER_MAX + 1024);
	buf_init(&attributes, 512);
	r = der_put(&value, DER_OCTETS, cert.p, cert.len);
	if (r == 0)
		r = der_put(&inner, DER_OID, OID(OID_X509));
	if (r == 0)
		r = der_put(&inner, DER_CONTEXT0, value.data, value.len);
	if (r == 0)
		r = wrap(&inner, DER_SEQUENCE);
	if (r == 0)
		r = put_attribute(&attributes, OID(OID_NAME), DER_BMP, OID(ALIAS_BMP));
	if (r == 0)
		r = put_attribute(&attributes, OID(OID_TRUSTED), DER_OID, OID(OID_ANY_USE));
	if (r == 0)
		r = der_put(&bag, DER_OID, OID(OID_CERT_BAG));
	if (r == 0)
		r = der_put(&bag, DER_CONTEXT0, inner.data, inner.len);
	if (r == 0)
		r = der_put(&bag, DER_SET, attributes.data, attributes.len);
	return r == 0 ? der_put(out, DER_SEQUENCE, bag.data, bag.len) : r;
}

/* is_ours() - has the bag's content our name among its attributes? */
static bool is_ours(struct der bag)
{
	struct der skipped, set, attribute, oid, values, name;
	uint8_t tag;

	if (!der_enter(&bag, DER_OID, &skipped) || !der_next(&bag, &tag, &skipped) ||
		!der_enter(&bag, DER_SET, &set))
		return false;
	while (der_enter(&set, DER_SEQUENCE, &attribute))
		if (der_enter(&attribute, DER_OID, &oid) && der_is(oid, OID(OID_NAME)) &&
			der_enter(&attribute, DER_SET, &values) &&
			der_enter(&values, DER_BMP, &name) && der_is(name, OID(ALIAS_BMP)))
			return true;
	return false;
}

/* content_of() - of ContentInfo { data, [0] OCTETS }; false: it is something else, such as encrypted */
static bool content_of(struct der *d, struct der *ret)
{
	struct der info, oid, inner;

	return der_enter(d, DER_SEQUENCE, &info) && der_enter(&info, DER_OID, &oid) &&
	       der_is(oid, OID(OID_DATA)) && der_enter(&info, DER_CONTEXT0, &inner) &&
	       der_enter(&inner, DER_OCTETS, ret);
}

/* copy_bags() - of one SafeContents, all but ours */
static int copy_bags(struct der contents, struct buf *out)
{
	struct der bags, body;
	int r = 0;

	if (!der_enter(&contents, DER_SEQUENCE, &bags))
		return -EBADMSG;
	while (r == 0 && bags.len > 0) {
		const uint8_t *whole = bags.p;

		if (!der_enter(&bags, DER_SEQUENCE, &body))
			return -EBADMSG;
		if (!is_ours(body))
			r = buf_add(out, whole, (size_t)(bags.p - whole));
	}
	return r;
}

/* wrap_content() - ContentInfo { data, [0] OCTETS of what is in @b } */
static int wrap_content(struct buf *b)
{
	AUTO(buf) both = {0};
	int r = wrap(b, DER_OCTETS);

	buf_init(&both, b->max);
	if (r == 0)
		r = wrap(b, DER_CONTEXT0);
	if (r == 0)
		r = der_put(&both, DER_OID, OID(OID_DATA));
	if (r == 0)
		r = buf_add(&both, b->data, b->len);
	if (r < 0)
		return r;
	buf_clear(b);
	return der_put(b, DER_SEQUENCE, both.data, both.len);
}

/* PFX { 3, ContentInfo { AuthenticatedSafe { ContentInfo { SafeContents { SafeBag… } }… } } } */
static int p12_store(struct der old, struct der cert, struct buf *out)
{
	struct der pfx, version, safe, infos, contents;
	AUTO(buf) bags = {0};
	int r = 0;

	buf_init(&bags, TRUST_JAVA_MAX);
	if (!der_enter(&old, DER_SEQUENCE, &pfx) || old.len > 0 ||
		!der_enter(&pfx, DER_INTEGER, &version) || !der_is(version, "\3", 1) ||
		!content_of(&pfx, &safe) || !der_enter(&safe, DER_SEQUENCE, &infos))
		return -EBADMSG;
	if (pfx.len > 0) /* a digest, whose password we have not got */
		return -EKEYREJECTED;
	while (r == 0 && infos.len > 0)
		r = content_of(&infos, &contents) ? copy_bags(contents, &bags) : -EKEYREJECTED;
	if (r == 0 && cert.len > 0)
		r = put_bag(&bags, cert);
	if (r == 0)
		r = wrap(&bags, DER_SEQUENCE);
	if (r == 0)
		r = wrap_content(&bags);
	if (r == 0)
		r = wrap(&bags, DER_SEQUENCE);
	if (r == 0)
		r = wrap_content(&bags);
	if (r == 0)
		r = der_put(out, DER_INTEGER, "\3", 1);
	if (r == 0)
		r = buf_add(out, bags.data, bags.len);
	return r == 0 ? wrap(out, DER_SEQUENCE) : r;
}

int trust_java_store(const void *old, size_t len, const char *pem, struct buf *out)
{
	static const uint8_t magic[] = {0xfe, 0xed, 0xfe, 0xed};
	const struct der store = {old, len};
	uint8_t der[TRUST_DER_MAX];
	struct der cert = {.p = der};

	if (pem[0] && trust_der(pem, der, &cert.len) < 0)
		return -EBADMSG;
	if (len >= JKS_HEAD + JKS_DIGEST && memcmp(old, magic, sizeof(magic)) == 0)
		return jks_store(store, cert, out);
	return p12_store(store, cert, out);
}
