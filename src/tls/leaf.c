#include "tls/internal.h"
#include "tls/x509.h"
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LEAF_SECONDS (2 * 86400)
#define BUCKETS	     512u /* a power of two */

struct entry {
	struct tls_leaf leaf;
	struct entry *next; /* in its bucket */
	struct entry *newer, *older;
	int64_t renew_s;
	char name[TLS_NAME_MAX + 1]; /* lower case */
};

struct tls_leaves {
	struct tls_ca *ca;
	EVP_PKEY *key;
	X509 *pattern; /* what all leaves share; each starts as a copy of it */
	struct entry *bucket[BUCKETS];
	struct entry *newest, *oldest;
	size_t n, max;
	uint64_t minted;
	int64_t allowance, allowance_s; /* mints left, as of then */
};

static unsigned hash(const char *s)
{
	unsigned h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h & (BUCKETS - 1);
}

static X509 *make_pattern(struct tls_leaves *l)
{
	X509 *x = X509_new();

	if (!x)
		return NULL;
	if (X509_set_version(x, X509_VERSION_3) != 1 || X509_set_pubkey(x, l->key) != 1 ||
		X509_set_issuer_name(x, X509_get_subject_name(l->ca->cert)) != 1 ||
		x509_add_ext(x, l->ca->cert, NID_basic_constraints, "critical,CA:FALSE") < 0 ||
		x509_add_ext(x, l->ca->cert, NID_key_usage, "critical,digitalSignature") < 0 ||
		x509_add_ext(x, l->ca->cert, NID_ext_key_usage, "serverAuth") < 0 ||
		x509_add_ext(x, l->ca->cert, NID_authority_key_identifier, "keyid:always") < 0 ||
		/* only a whole certificate can be copied */
		x509_set_serial(x) < 0 || x509_set_times(x, 0, 1) < 0 ||
		X509_sign(x, l->ca->key, EVP_sha256()) <= 0) {
		X509_free(x);
		return NULL;
	}
	return x;
}

int tls_leaves_new(struct tls_ca *ca, size_t max, struct tls_leaves **ret_leaves, struct err *e)
{
	struct tls_leaves *l = calloc(1, sizeof(*l));

	if (!l)
		return err_sys(e, -ENOMEM, "make the leaf certificates' key");
	l->ca = ca;
	l->max = max;
	l->allowance = TLS_MINT_BURST;
	l->key = x509_new_key();
	l->pattern = l->key ? make_pattern(l) : NULL;
	if (!l->pattern) {
		tls_leaves_free(l);
		return tls_err(e, "make the leaf certificates' key");
	}
	*ret_leaves = l;
	return 0;
}

static void unlink_entry(struct tls_leaves *l, struct entry *n)
{
	struct entry **at = &l->bucket[hash(n->name)];

	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	*(n->newer ? &n->newer->older : &l->newest) = n->older;
	*(n->older ? &n->older->newer : &l->oldest) = n->newer;
	l->n--;
}

static void free_entry(struct entry *n)
{
	X509_free(n->leaf.cert);
	free(n);
}

void tls_leaves_free(struct tls_leaves *l)
{
	if (!l)
		return;
	while (l->oldest) {
		struct entry *n = l->oldest;

		unlink_entry(l, n);
		free_entry(n);
	}
	X509_free(l->pattern);
	EVP_PKEY_free(l->key);
	free(l);
}

static void link_entry(struct tls_leaves *l, struct entry *n)
{
	struct entry **at = &l->bucket[hash(n->name)];

	n->next = *at;
	*at = n;
	n->older = l->newest;
	n->newer = NULL;
	*(l->newest ? &l->newest->newer : &l->oldest) = n;
	l->newest = n;
	l->n++;
}

/* general_name() - the host as a subject alternative name; no text goes through a parser */
static GENERAL_NAME *general_name(const char *name)
{
	uint8_t address[16];
	size_t len;
	bool is_address = tls_is_address(name, address, &len);
	ASN1_STRING *s = is_address ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
	GENERAL_NAME *g = GENERAL_NAME_new();
	int ok =
		g && s &&
		(is_address ? ASN1_STRING_set(s, address, (int)len) : ASN1_STRING_set(s, name, -1));

	if (!ok) {
		GENERAL_NAME_free(g);
		ASN1_STRING_free(s);
		return NULL;
	}
	GENERAL_NAME_set0_value(g, is_address ? GEN_IPADD : GEN_DNS, s);
	return g;
}

/* add_names() - the SAN, and the name as CN where it fits: old clients show it */
static int add_names(X509 *x, const char *name)
{
	GENERAL_NAMES *list = GENERAL_NAMES_new();
	GENERAL_NAME *g = general_name(name);
	const unsigned char *cn = (const unsigned char *)(strlen(name) <= 64 ? name : "sbx");
	X509_NAME *subject = X509_get_subject_name(x);
	int ok = list && g;

	if (ok && sk_GENERAL_NAME_push(list, g) > 0)
		g = NULL;
	ok = ok && !g && X509_add1_ext_i2d(x, NID_subject_alt_name, list, 0, 0) == 1 &&
	     X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, cn, -1, -1, 0) == 1;
	GENERAL_NAME_free(g);
	GENERAL_NAMES_free(list);
	return ok ? 0 : -ENOMEM;
}

static int mint(struct tls_leaves *l, struct entry *n, int64_t now_s)
{
	int64_t until = now_s + LEAF_SECONDS;
	X509 *x;

	if (until > l->ca->until_s)
		until = l->ca->until_s;
	x = X509_dup(l->pattern);
	if (!x)
		return -ENOMEM;
	if (x509_set_serial(x) < 0 || x509_set_times(x, now_s - 3600, until) < 0 ||
		add_names(x, n->name) < 0 || X509_sign(x, l->ca->key, EVP_sha256()) <= 0) {
		X509_free(x);
		return -ENOMEM;
	}
	n->leaf.cert = x;
	n->leaf.key = l->key;
	n->renew_s = now_s + (until - now_s) / 2;
	l->minted++;
	return 0;
}

static struct entry *find(struct tls_leaves *l, const char *name)
{
	struct entry *n = l->bucket[hash(name)];

	while (n && strcmp(n->name, name) != 0)
		n = n->next;
	return n;
}

static int add(struct tls_leaves *l, const char *name, int64_t now_s, struct entry **ret)
{
	struct entry *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	(void)snprintf(n->name, sizeof(n->name), "%s", name);
	if (mint(l, n, now_s) < 0) {
		free(n);
		return -ENOMEM;
	}
	if (l->n >= l->max) {
		struct entry *old = l->oldest;

		unlink_entry(l, old);
		free_entry(old);
	}
	link_entry(l, n);
	*ret = n;
	return 0;
}

/* may_mint() - takes one of the allowance, which grows with time (a clock that was set back: not) */
static bool may_mint(struct tls_leaves *l, int64_t now_s)
{
	int64_t gone = l->allowance_s ? now_s - l->allowance_s : 0;

	if (gone > TLS_MINT_BURST)
		gone = TLS_MINT_BURST;
	if (gone > 0)
		l->allowance += gone * TLS_MINT_PER_S;
	if (l->allowance > TLS_MINT_BURST)
		l->allowance = TLS_MINT_BURST;
	l->allowance_s = now_s;
	return l->allowance > 0 && l->allowance-- > 0;
}

int tls_leaves_get(struct tls_leaves *l, const char *name, int64_t now_s,
	const struct tls_leaf **ret_leaf, struct err *e)
{
	char lower[TLS_NAME_MAX + 1];
	uint8_t address[16];
	size_t len = strnlen(name, sizeof(lower));
	struct entry *n;

	if (!tls_is_address(name, address, &len) && !tls_name_ok(name))
		return err_set(e, ERR_INVALID, -EINVAL, "no certificate can be for that name");
	for (len = 0; name[len]; len++)
		lower[len] =
			(char)(name[len] >= 'A' && name[len] <= 'Z' ? name[len] + 32 : name[len]);
	lower[len] = '\0';
	n = find(l, lower);
	if (n) {
		unlink_entry(l, n);
		if (n->renew_s > now_s && n->renew_s - now_s <= LEAF_SECONDS) {
			link_entry(l, n);
			*ret_leaf = &n->leaf;
			return 0;
		}
		free_entry(n);
	}
	if (!may_mint(l, now_s))
		return err_set(e, ERR_LIMIT, -EBUSY, "too many new names in a short time");
	if (add(l, lower, now_s, &n) < 0)
		return tls_err(e, "make a leaf certificate");
	*ret_leaf = &n->leaf;
	return 0;
}

uint64_t tls_leaves_minted(const struct tls_leaves *l)
{
	return l->minted;
}

int tls_leaf_pem(const struct tls_leaf *leaf, char *dst, size_t cap)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text = NULL;
	long len = 0;
	int r = -ENOMEM;

	if (b && PEM_write_bio_X509(b, leaf->cert) == 1)
		len = BIO_get_mem_data(b, &text);
	if (len > 0 && (size_t)len < cap) {
		memcpy(dst, text, (size_t)len);
		dst[len] = '\0';
		r = 0;
	}
	BIO_free(b);
	return r;
}
