#include "tls/server.h"
#include "tls/internal.h"
#include "tls/x509.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct tls_server {
	SSL_CTX *ctx;
};

/* read_sni() - one host_name entry; anything else leaves the name empty */
static void read_sni(struct tls *t)
{
	const unsigned char *p;
	size_t len, list, name;

	if (SSL_client_hello_get0_ext(t->ssl, TLSEXT_TYPE_server_name, &p, &len) != 1 || len < 5)
		return;
	list = (size_t)p[0] << 8 | p[1];
	name = (size_t)p[3] << 8 | p[4];
	if (list + 2 != len || p[2] != TLSEXT_NAMETYPE_host_name || name + 5 != len ||
		name > TLS_NAME_MAX || memchr(p + 5, 0, name))
		return;
	memcpy(t->sni, p + 5, name);
	t->sni[name] = '\0';
	if (!tls_name_ok(t->sni))
		t->sni[0] = '\0';
}

static void read_alpn(struct tls *t)
{
	const unsigned char *p;
	size_t len;

	if (SSL_client_hello_get0_ext(
		    t->ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &p, &len) != 1 ||
		len < 2 || len - 2 > sizeof(t->offered) || ((size_t)p[0] << 8 | p[1]) != len - 2)
		return;
	memcpy(t->offered, p + 2, len - 2);
	t->offered_len = len - 2;
}

static int on_hello(SSL *ssl, int *alert, void *ctx)
{
	struct tls *t = SSL_get_app_data(ssl);

	(void)ctx;
	if (!t->hello_seen) {
		t->hello_seen = true;
		read_sni(t);
		read_alpn(t);
	}
	if (t->broken) {
		*alert = SSL_AD_UNRECOGNIZED_NAME;
		return SSL_CLIENT_HELLO_ERROR;
	}
	return t->chosen ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_RETRY;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned in_len, void *ctx)
{
	struct tls *t = SSL_get_app_data(ssl);
	size_t want = strlen(t->alpn);

	(void)ctx;
	if (!want)
		return SSL_TLSEXT_ERR_NOACK;
	for (unsigned i = 0; i < in_len; i += in[i] + 1u) {
		if (in[i] == want && i + 1 + want <= in_len &&
			memcmp(in + i + 1, t->alpn, want) == 0) {
			*out = in + i + 1;
			*out_len = (unsigned char)want;
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_NOACK;
}

int tls_server_ctx_new(struct tls_server **ret_ctx, struct err *e)
{
	static const unsigned char id[] = "sbx";
	struct tls_server *s;
	int r = tls_start(e);

	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_sys(e, -ENOMEM, "make the TLS server");
	s->ctx = tls_context(true);
	if (!s->ctx || SSL_CTX_set_session_id_context(s->ctx, id, sizeof(id) - 1) != 1 ||
		SSL_CTX_set_num_tickets(s->ctx, 1) != 1 ||
		SSL_CTX_set_max_early_data(s->ctx, 0) != 1) {
		tls_server_ctx_free(s);
		return tls_err(e, "make the TLS server");
	}
	(void)SSL_CTX_set_session_cache_mode(s->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_client_hello_cb(s->ctx, on_hello, NULL);
	SSL_CTX_set_alpn_select_cb(s->ctx, on_alpn, NULL);
	*ret_ctx = s;
	return 0;
}

void tls_server_ctx_free(struct tls_server *s)
{
	if (!s)
		return;
	SSL_CTX_free(s->ctx);
	free(s);
}

struct tls *tls_server_new(struct tls_server *s, int fd, const void *ahead, size_t ahead_len)
{
	struct tls *t = tls_new(s->ctx, fd, NULL);

	if (!t)
		return NULL;
	t->server = true;
	if (ahead_len) {
		t->ahead = malloc(ahead_len);
		if (!t->ahead) {
			tls_free(t);
			return NULL;
		}
		memcpy(t->ahead, ahead, ahead_len);
		t->ahead_len = ahead_len;
	}
	SSL_set_accept_state(t->ssl);
	return t;
}

const char *tls_server_name(const struct tls *t)
{
	return t->sni;
}

bool tls_server_offers(const struct tls *t, const char *alpn)
{
	size_t want = strlen(alpn);

	for (size_t i = 0; i < t->offered_len; i += t->offered[i] + 1u)
		if (t->offered[i] == want && i + 1 + want <= t->offered_len &&
			memcmp(t->offered + i + 1, alpn, want) == 0)
			return true;
	return false;
}

int tls_server_choose(struct tls *t, const struct tls_leaf *leaf, const char *alpn)
{
	if (alpn && strlen(alpn) >= sizeof(t->alpn))
		return -EINVAL;
	if (SSL_use_cert_and_key(t->ssl, leaf->cert, leaf->key, NULL, 1) != 1)
		return -ENOMEM;
	(void)snprintf(t->alpn, sizeof(t->alpn), "%s", alpn ? alpn : "");
	t->chosen = true;
	return 0;
}

void tls_server_refuse(struct tls *t)
{
	if (SSL_is_init_finished(t->ssl))
		return;
	t->broken = true;
	(void)snprintf(t->why, sizeof(t->why), "refused");
	(void)SSL_do_handshake(t->ssl); /* sends the alert */
}
