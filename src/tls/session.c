/* The session runs over a BIO of our own: it first gives out the bytes that were looked at before the
 * session began, then calls recv() and send() (no SIGPIPE), or another session that carries this one
 * (TLS to a proxy, and inside of it TLS to the server).
 */
#include "tls/internal.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define RECORD	    16384 /* bytes in one, at most */
#define GATHER	    (TLS_WRITE_MANY / RECORD) /* records in one system call */
#define RECORD_COST 256 /* head, tag, padding */
#define READ_AHEAD  (2 * (RECORD + RECORD_COST))

/* Records on their way to one send(): the session that gathers is done with it before it returns. */
static _Thread_local struct {
	size_t len;
	uint8_t bytes[GATHER * (RECORD + RECORD_COST)];
} gathered;

/* ---- the BIO ---- */

/* send_left() - what an earlier send() did not take; 0: all gone, -EAGAIN, or what broke */
static int send_left(struct tls *t)
{
	while (t->left_pos < t->left_len) {
		ssize_t n =
			send(t->fd, t->left + t->left_pos, t->left_len - t->left_pos, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EINTR ? -EAGAIN : -errno;
		t->left_pos += (size_t)n;
	}
	free(t->left);
	t->left = NULL;
	t->left_len = t->left_pos = 0;
	return 0;
}

static ssize_t put_bytes(struct tls *t, const char *p, size_t len)
{
	ssize_t n;

	if (t->under)
		return tls_write(t->under, p, len);
	n = t->left ? send_left(t) : 0;
	if (n < 0)
		return n;
	n = send(t->fd, p, len, MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

static int bio_write(BIO *b, const char *p, size_t len, size_t *done)
{
	struct tls *t = BIO_get_data(b);
	ssize_t n;

	BIO_clear_retry_flags(b);
	if (t->gathers && len <= sizeof(gathered.bytes) - gathered.len) {
		memcpy(gathered.bytes + gathered.len, p, len);
		gathered.len += len;
		*done = len;
		return 1;
	}
	n = put_bytes(t, p, len);
	if (n == -EAGAIN || n == -EINTR) {
		BIO_set_retry_write(b);
		return 0;
	}
	if (n < 0)
		return 0;
	*done = (size_t)n;
	return 1;
}

static int bio_read(BIO *b, char *p, size_t cap, size_t *done)
{
	struct tls *t = BIO_get_data(b);
	ssize_t n;

	BIO_clear_retry_flags(b);
	if (t->ahead_pos < t->ahead_len) {
		size_t left = t->ahead_len - t->ahead_pos;

		*done = left < cap ? left : cap;
		memcpy(p, t->ahead + t->ahead_pos, *done);
		t->ahead_pos += *done;
		if (t->ahead_pos == t->ahead_len) {
			free(t->ahead);
			t->ahead = NULL;
		}
		return 1;
	}
	if (t->under) {
		n = tls_read(t->under, p, cap);
	} else {
		n = recv(t->fd, p, cap, 0);
		if (n < 0)
			n = -errno;
	}
	if (n == -EAGAIN || n == -EINTR) {
		BIO_set_retry_read(b);
		return 0;
	}
	if (n <= 0) {
		t->eof = true;
		return 0;
	}
	*done = (size_t)n;
	return 1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *p)
{
	const struct tls *t = BIO_get_data(b);

	(void)num;
	(void)p;
	if (cmd == BIO_CTRL_EOF)
		return t->eof;
	return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

static int make_method(void)
{
	if (method)
		return 0;
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sbx");
	if (!method)
		return -ENOMEM;
	if (BIO_meth_set_write_ex(method, bio_write) != 1 ||
		BIO_meth_set_read_ex(method, bio_read) != 1 ||
		BIO_meth_set_ctrl(method, bio_ctrl) != 1)
		return -ENOMEM;
	return 0;
}

/* ---- shared by both sides ---- */

int tls_start(struct err *e)
{
	static bool started;

	if (started)
		return 0;
	/* What is in force stands in this directory, not in a file that an operator forgot. */
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1 || make_method() < 0)
		return tls_err(e, "start OpenSSL");
	started = true;
	return 0;
}

SSL_CTX *tls_context(bool server)
{
	SSL_CTX *c = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	if (!c)
		return NULL;
	SSL_CTX_set_security_level(c, 2);
	SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
				       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				    SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(c, 1);
	SSL_CTX_set_default_read_buffer_len(c, READ_AHEAD);
	if (SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) != 1 ||
		SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!SHA1:!PSK") != 1 ||
		SSL_CTX_set1_groups_list(c, server ? "X25519:P-256" : "X25519:P-256:P-384") != 1) {
		SSL_CTX_free(c);
		return NULL;
	}
	return c;
}

struct tls *tls_new(SSL_CTX *ctx, int fd, struct tls *under)
{
	struct tls *t = calloc(1, sizeof(*t));
	BIO *b = BIO_new(method);

	if (t)
		t->ssl = SSL_new(ctx);
	if (!t || !t->ssl || !b) {
		BIO_free(b);
		tls_free(t);
		return NULL;
	}
	t->fd = fd;
	t->under = under;
	t->wants = TLS_READ; /* a handshake may be over before anything had to be waited for */
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	SSL_set_bio(t->ssl, b, b);
	SSL_set_app_data(t->ssl, t);
	return t;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	/* A connection that just ends does not make its session bad, as OpenSSL would have it. */
	if (t->ssl && !t->broken)
		SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(t->ssl);
	tls_client_forget(t);
	free(t->left);
	free(t->ahead);
	free(t);
}

void tls_ssl_error(char *dst, size_t cap, const char *otherwise)
{
	unsigned long code = ERR_peek_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	(void)snprintf(dst, cap, "%s", reason ? reason : otherwise);
	ERR_clear_error();
}

int tls_err(struct err *e, const char *what)
{
	char why[TLS_WHY_MAX];

	tls_ssl_error(why, sizeof(why), "no memory");
	return err_set(e, ERR_INTERNAL, -EPROTO, "%s: %s", what, why);
}

bool tls_is_address(const char *name, uint8_t ret_address[16], size_t *ret_len)
{
	if (inet_pton(AF_INET, name, ret_address) == 1) {
		*ret_len = 4;
		return true;
	}
	*ret_len = 16;
	return inet_pton(AF_INET6, name, ret_address) == 1;
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

bool tls_name_ok(const char *name)
{
	size_t len = strnlen(name, TLS_NAME_MAX + 1), label = 0;

	if (len == 0 || len > TLS_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if (!name_char(name[i]) || ++label > 63) {
			return false;
		}
	}
	return label > 0;
}

/* ---- progress ---- */

/* forget_errors() - SSL_get_error() looks at the queue, which is to hold nothing of another's. Clearing costs
 * more than looking, and there is hardly ever anything.
 */
static void forget_errors(void)
{
	if (ERR_peek_error())
		ERR_clear_error();
}

/* why_alert() - the words for what happens often enough to be read by people */
static void why_failed(struct tls *t)
{
	long verify = SSL_get_verify_result(t->ssl);

	if (t->why[0])
		return; /* the client's verification has said it already */
	if (t->eof && ERR_GET_REASON(ERR_peek_error()) != SSL_R_CERTIFICATE_VERIFY_FAILED)
		(void)snprintf(
			t->why, sizeof(t->why), "the connection was closed during the handshake");
	else if (!t->server && verify != X509_V_OK)
		(void)snprintf(t->why, sizeof(t->why), "certificate: %s",
			X509_verify_cert_error_string(verify));
	tls_ssl_error(t->why[0] ? (char[8]){0} : t->why, t->why[0] ? 8 : sizeof(t->why),
		"the handshake failed");
}

enum tls_step tls_handshake(struct tls *t)
{
	int r;

	if (t->broken)
		return TLS_FAILED;
	forget_errors();
	r = SSL_do_handshake(t->ssl);
	if (r == 1)
		return TLS_DONE;
	switch (SSL_get_error(t->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		t->wants = TLS_READ;
		return TLS_WANT;
	case SSL_ERROR_WANT_WRITE:
		t->wants = TLS_WRITE;
		return TLS_WANT;
	case SSL_ERROR_WANT_CLIENT_HELLO_CB:
		return TLS_HELLO;
	default:
		t->broken = true;
		why_failed(t);
		return TLS_FAILED;
	}
}

uint32_t tls_wants(const struct tls *t)
{
	return t->under ? tls_wants(t->under) : t->wants;
}

/* stuck() - a read or write that gave nothing: why, as a negative errno (0: the peer is done) */
static ssize_t stuck(struct tls *t, int r)
{
	switch (SSL_get_error(t->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		t->wants = TLS_READ;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		t->wants = TLS_WRITE;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		break;
	}
	t->broken = true;
	if (t->eof || ERR_peek_error() == 0) {
		ERR_clear_error();
		(void)snprintf(t->why, sizeof(t->why), "the connection was cut");
		return -ECONNRESET;
	}
	tls_ssl_error(t->why, sizeof(t->why), "broken record");
	return -EPROTO;
}

/* read_more() - what else is here already, behind the first record; how many bytes there are then.
 * What ends the session is told by the next call.
 */
static size_t read_more(struct tls *t, char *p, size_t got, size_t cap)
{
	while (got < cap && SSL_has_pending(t->ssl)) {
		size_t n = 0;
		int r = SSL_read_ex(t->ssl, p + got, cap - got, &n);

		if (r != 1) {
			t->late = stuck(t, r);
			t->is_late = t->late != -EAGAIN;
			break;
		}
		got += n;
	}
	return got;
}

ssize_t tls_read(struct tls *t, void *p, size_t cap)
{
	size_t got = 0;
	int r;

	if (t->is_late) {
		t->is_late = false;
		return t->late;
	}
	if (t->broken)
		return -EPROTO;
	assert(cap > 0);
	forget_errors();
	r = SSL_read_ex(t->ssl, p, cap, &got);
	return r == 1 ? (ssize_t)read_more(t, p, got, cap) : stuck(t, r);
}

static ssize_t write_record(struct tls *t, const void *p, size_t len)
{
	size_t done = 0;
	ssize_t n;
	int r;

	forget_errors();
	r = SSL_write_ex(t->ssl, p, len, &done);
	if (r == 1)
		return (ssize_t)done;
	n = stuck(t, r);
	return n == 0 || n == -ECONNRESET ? -EPIPE : n;
}

static ssize_t cut(struct tls *t)
{
	t->broken = true;
	(void)snprintf(t->why, sizeof(t->why), "the connection was cut");
	return -EPIPE;
}

/* send_gathered() - @last: bytes of the caller's in the last record. 0, or how many of these are owed:
 * the record is not wholly sent
 */
static ssize_t send_gathered(struct tls *t, size_t last)
{
	ssize_t n = send(t->fd, gathered.bytes, gathered.len, MSG_NOSIGNAL);
	size_t sent = n > 0 ? (size_t)n : 0;

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return cut(t);
	if (sent == gathered.len)
		return 0;
	t->left_len = gathered.len - sent;
	t->left_pos = 0;
	t->left = malloc(t->left_len);
	if (!t->left)
		return cut(t);
	memcpy(t->left, gathered.bytes + sent, t->left_len);
	t->owed = last;
	t->wants = TLS_WRITE;
	return (ssize_t)last;
}

/* write_many() - several records with one system call */
static ssize_t write_many(struct tls *t, const uint8_t *p, size_t len)
{
	size_t done = 0, last = 0;
	ssize_t n = 0;

	gathered.len = 0;
	t->gathers = true;
	for (unsigned i = 0; i < GATHER && done < len; i++) {
		n = write_record(t, p + done, len - done < RECORD ? len - done : RECORD);
		if (n < 0)
			break;
		last = (size_t)n;
		done += last;
	}
	t->gathers = false;
	if (done == 0)
		return n;
	n = send_gathered(t, last);
	if (n < 0)
		return n;
	return done > (size_t)n ? (ssize_t)done - n : -EAGAIN;
}

ssize_t tls_write(struct tls *t, const void *p, size_t len)
{
	size_t owed = t->owed < len ? t->owed : len;
	int r;

	if (t->broken)
		return -EPIPE;
	if (len == 0)
		return 0;
	r = t->left ? send_left(t) : 0;
	if (r == -EAGAIN)
		t->wants = TLS_WRITE;
	if (r < 0)
		return r == -EAGAIN ? r : cut(t);
	if (owed > 0) { /* the same bytes again: their record is gone now */
		t->owed -= owed;
		return (ssize_t)owed;
	}
	return t->under || len <= RECORD ? write_record(t, p, len) : write_many(t, p, len);
}

size_t tls_bytes(const struct tls *t)
{
	return t->left_len;
}

bool tls_pending(const struct tls *t)
{
	return t->is_late || t->ahead_pos < t->ahead_len || SSL_has_pending(t->ssl) ||
	       (t->under && tls_pending(t->under));
}

int tls_close(struct tls *t)
{
	int r;

	if (t->broken || SSL_in_init(t->ssl))
		return 0;
	ERR_clear_error();
	r = SSL_shutdown(t->ssl);
	if (r < 0 && SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_WRITE) {
		t->wants = TLS_WRITE;
		return -EAGAIN;
	}
	ERR_clear_error();
	return 0;
}

const char *tls_alpn(const struct tls *t)
{
	const unsigned char *p = NULL;
	unsigned len = 0;

	SSL_get0_alpn_selected(t->ssl, &p, &len);
	if (len == 2 && memcmp(p, "h2", 2) == 0)
		return "h2";
	if (len == 8 && memcmp(p, "http/1.1", 8) == 0)
		return "http/1.1";
	return "";
}

unsigned tls_version(const struct tls *t)
{
	if (!SSL_is_init_finished(t->ssl))
		return 0;
	return SSL_version(t->ssl) == TLS1_3_VERSION ? 13 : 12;
}

bool tls_resumed(const struct tls *t)
{
	return SSL_session_reused(t->ssl) == 1;
}

const char *tls_why(const struct tls *t)
{
	return t->why;
}
