#include "tls/client.h"
#include "tls/internal.h"
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SESSION_SECONDS 3600 /* then the server's certificate is verified again */
#define BUCKETS		64u /* a power of two */

struct kept {
	SSL_SESSION *session; /* owned */
	struct kept *next;
	struct kept *newer, *older;
	int64_t until_s;
	char key[TLS_NAME_MAX + 32];
};

struct tls_client {
	SSL_CTX *ctx;
	struct kept *bucket[BUCKETS];
	struct kept *newest, *oldest;
	size_t n;
	unsigned sessions; /* struct tls that point here */
	bool dead;
};

/* ---- sessions to reuse: the newest of each server, each used once ---- */

static unsigned hash(const char *s)
{
	unsigned h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h & (BUCKETS - 1);
}

static void drop(struct tls_client *c, struct kept *k)
{
	struct kept **at = &c->bucket[hash(k->key)];

	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	*(k->newer ? &k->newer->older : &c->newest) = k->older;
	*(k->older ? &k->older->newer : &c->oldest) = k->newer;
	c->n--;
	SSL_SESSION_free(k->session);
	free(k);
}

static struct kept *find(struct tls_client *c, const char *key)
{
	struct kept *k = c->bucket[hash(key)];

	while (k && strcmp(k->key, key) != 0)
		k = k->next;
	return k;
}

/* on_session() - 1: the session is ours to free */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls *t = SSL_get_app_data(ssl);
	struct tls_client *c = t->client;
	struct kept *k, **at;

	if (!c || c->dead || !SSL_SESSION_is_resumable(session))
		return 0;
	k = find(c, t->key);
	if (k)
		drop(c, k);
	if (c->n >= TLS_SESSIONS_MAX)
		drop(c, c->oldest);
	k = calloc(1, sizeof(*k));
	if (!k)
		return 0;
	k->session = session;
	k->until_s = time(NULL) + SESSION_SECONDS;
	(void)snprintf(k->key, sizeof(k->key), "%s", t->key);
	at = &c->bucket[hash(k->key)];
	k->next = *at;
	*at = k;
	k->older = c->newest;
	*(c->newest ? &c->newest->newer : &c->oldest) = k;
	c->newest = k;
	c->n++;
	return 1;
}

static void reuse(struct tls_client *c, struct tls *t)
{
	struct kept *k = find(c, t->key);
	int64_t left = k ? k->until_s - time(NULL) : 0;

	if (!k)
		return;
	if (left > 0 && left <= SESSION_SECONDS)
		(void)SSL_set_session(t->ssl, k->session);
	drop(c, k);
}

/* ---- verification ---- */

static const char *reason(int error)
{
	switch (error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return "the certificate has expired";
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "the certificate is not valid yet";
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		return "the certificate is self-signed";
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_UNTRUSTED:
		return "the certificate is from an authority that is not trusted";
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return "the certificate is for another host";
	case X509_V_ERR_EE_KEY_TOO_SMALL:
	case X509_V_ERR_CA_KEY_TOO_SMALL:
	case X509_V_ERR_CA_MD_TOO_WEAK:
		return "the certificate is too weak";
	case X509_V_ERR_CERT_REVOKED:
		return "the certificate is revoked";
	case X509_V_ERR_INVALID_PURPOSE:
		return "the certificate is not for a server";
	case X509_V_ERR_INVALID_CA:
	case X509_V_ERR_PATH_LENGTH_EXCEEDED:
		return "the certificate is signed by one that may not sign";
	default:
		return NULL;
	}
}

static int on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = SSL_get_app_data(ssl);
	int error = X509_STORE_CTX_get_error(store);
	const char *text = reason(error);

	if (ok || t->why[0])
		return ok;
	if (text)
		(void)snprintf(t->why, sizeof(t->why), "%s", text);
	else
		(void)snprintf(t->why, sizeof(t->why), "the certificate is refused: %s",
			X509_verify_cert_error_string(error));
	return 0;
}

static int fill_store(SSL_CTX *ctx, const struct tls_roots *a, const struct tls_roots *b)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	int r = a ? tls_roots_put(a, store) : 0;

	return r < 0 || !b ? r : tls_roots_put(b, store);
}

int tls_client_ctx_new(const struct tls_roots *a, const struct tls_roots *b,
	struct tls_client **ret_ctx, struct err *e)
{
	struct tls_client *c;
	int r = tls_start(e);

	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_sys(e, -ENOMEM, "make the TLS client");
	c->ctx = tls_context(false);
	if (!c->ctx || fill_store(c->ctx, a, b) < 0) {
		tls_client_ctx_free(c);
		return tls_err(e, "make the TLS client");
	}
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, on_verify);
	SSL_CTX_set_verify_depth(c->ctx, 8);
	(void)SSL_CTX_set_session_cache_mode(
		c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->ctx, on_session);
	*ret_ctx = c;
	return 0;
}

static void let_go(struct tls_client *c)
{
	if (!c->dead || c->sessions)
		return;
	SSL_CTX_free(c->ctx);
	free(c);
}

void tls_client_ctx_free(struct tls_client *c)
{
	if (!c)
		return;
	while (c->oldest)
		drop(c, c->oldest);
	c->dead = true;
	let_go(c);
}

void tls_client_forget(struct tls *t)
{
	struct tls_client *c = t->client;

	if (!c)
		return;
	t->client = NULL;
	c->sessions--;
	let_go(c);
}

/* ---- one session ---- */

static int set_peer(struct tls *t, const char *host)
{
	X509_VERIFY_PARAM *p = SSL_get0_param(t->ssl);
	uint8_t address[16];
	size_t len;

	X509_VERIFY_PARAM_set_hostflags(
		p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (tls_is_address(host, address, &len))
		return X509_VERIFY_PARAM_set1_ip(p, address, len) == 1 ? 0 : -ENOMEM;
	if (!tls_name_ok(host))
		return -EINVAL;
	if (X509_VERIFY_PARAM_set1_host(p, host, 0) != 1 ||
		/* SSL_set_tlsext_host_name(), without its cast */
		SSL_ctrl(t->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
			(void *)(uintptr_t)host) != 1)
		return -ENOMEM;
	return 0;
}

static int set_alpn(struct tls *t, const struct tls_dial *d)
{
	static const unsigned char both[] = "\x02h2\x08http/1.1";
	const unsigned char *p = d->h2 ? both : both + 3;
	unsigned len = (d->h2 ? 3u : 0u) + (d->http ? 9u : 0u);

	return len == 0 || SSL_set_alpn_protos(t->ssl, p, len) == 0 ? 0 : -ENOMEM;
}

int tls_client_new(struct tls_client *c, const struct tls_dial *d, struct tls **ret_tls)
{
	struct tls *t = tls_new(c->ctx, d->fd, d->under);
	int r;

	if (!t)
		return -ENOMEM;
	t->client = c;
	c->sessions++;
	(void)snprintf(t->key, sizeof(t->key), "%s:%u%s%s", d->host, (unsigned)d->port,
		d->h2 ? " h2" : "", d->http ? " http" : "");
	r = set_peer(t, d->host);
	if (r == 0)
		r = set_alpn(t, d);
	if (r < 0) {
		tls_free(t);
		return r;
	}
	SSL_set_connect_state(t->ssl);
	reuse(c, t);
	*ret_tls = t;
	return 0;
}

bool tls_client_verified(const struct tls *t)
{
	return !t->server && !t->broken && SSL_is_init_finished(t->ssl) &&
	       SSL_get_verify_mode(t->ssl) == SSL_VERIFY_PEER &&
	       SSL_get_verify_result(t->ssl) == X509_V_OK && SSL_get0_peer_certificate(t->ssl);
}
