/* One connection of the load generator: TLS, and as much of HTTP/1.1 and HTTP/2 as it takes to ask and count. */
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define WINDOW (1U << 30)
#define GIVE   (1U << 22) /* give the connection's window back in such steps */

enum {
	FRAME_DATA,
	FRAME_HEADERS,
	FRAME_RST = 3,
	FRAME_SETTINGS = 4,
	FRAME_PING = 6,
	FRAME_GOAWAY,
	FRAME_WINDOW_UPDATE
};

#define UP_FRAME 16384 /* bytes of an upload in one frame */
#define UP_CAP	 (4 * (UP_FRAME + 9))

static SSL_CTX *ctx;
static uint8_t scratch[65536];
static char filler[65536];

int bench_connect(uint16_t port)
{
	const struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0)
		bench_die("connect to port %u: %s", port, strerror(errno));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* Ports of a few ten thousand connections a minute must not run out. */
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
	return fd;
}

static void put(struct conn *c, const void *p, size_t len)
{
	if (c->out_at == c->out_len)
		c->out_at = c->out_len = 0;
	if (c->out_len + len > sizeof(c->out))
		bench_die("too much to send");
	memcpy(c->out + c->out_len, p, len);
	c->out_len += len;
}

static void put_frame(struct conn *c, size_t len, uint8_t type, uint8_t flags, uint32_t id)
{
	const uint8_t h[9] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags,
		(uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};

	put(c, h, sizeof(h));
}

static void put_u32(struct conn *c, uint32_t v)
{
	v = htonl(v);
	put(c, &v, sizeof(v));
}

static void h2_preface(struct conn *c)
{
	static const uint8_t settings[] = {0, 1, 0, 0, 0, 0, /* no dynamic table for answers */
		0, 2, 0, 0, 0, 0, /* no push */
		0, 4, WINDOW >> 24, 0, 0, 0};

	put(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	put_frame(c, sizeof(settings), FRAME_SETTINGS, 0, 0);
	put(c, settings, sizeof(settings));
	put_frame(c, 4, 8, 0, 0);
	put_u32(c, WINDOW);
	c->next_id = 1;
	c->window = c->initial_window = 65535;
}

static void start_tls(struct conn *c)
{
	static const uint8_t h2[] = "\2h2", h1[] = "\10http/1.1";

	if (!ctx) {
		ctx = SSL_CTX_new(TLS_client_method());
		if (!ctx)
			bench_die("no TLS");
		SSL_CTX_set_mode(
			ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
		SSL_CTX_set_read_ahead(ctx, 1);
	}
	c->ssl = SSL_new(ctx);
	if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 ||
		SSL_set_tlsext_host_name(c->ssl, c->host) != 1 ||
		SSL_set_alpn_protos(c->ssl, c->j->h2 ? h2 : h1, c->j->h2 ? 3 : 9) != 0)
		bench_die("no TLS session");
	SSL_set_connect_state(c->ssl);
	c->state = CONN_HANDSHAKE;
}

void conn_open(struct conn *c, const struct job *j, uint64_t number)
{
	uint16_t port = j->way == WAY_CONNECT ? j->origin : 443;
	bool proxy = j->way == WAY_CONNECT || (j->way == WAY_STREAM && j->names > 0);
	uint32_t events = c->events;

	*c = (struct conn){.j = j, .fd = -1, .events = events};
	if (j->names > 0)
		(void)snprintf(c->host, sizeof(c->host), "n%u.%s", (unsigned)(number % j->names),
			BENCH_NAME);
	else
		(void)snprintf(c->host, sizeof(c->host), "%s", BENCH_NAME);
	c->fd = j->way == WAY_STREAM ? play_stream(j->play, proxy) : bench_connect(j->port);
	if (proxy) {
		char text[256];
		int n = snprintf(text, sizeof(text),
			"CONNECT %s:%u HTTP/1.1\r\nHost: %s:%u\r\n\r\n", c->host, port, c->host,
			port);

		/* A fresh socket takes it at once. */
		if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n)
			bench_die("CONNECT was not sent: %s", strerror(errno));
		c->state = CONN_PROXY;
	} else {
		start_tls(c);
	}
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0)
		bench_die("fcntl: %s", strerror(errno));
}

void conn_close(struct conn *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	own_close_fd(&c->fd);
	free(c->up);
	c->up = NULL;
	c->up_len = c->up_at = 0;
	c->up_left = 0;
	c->state = CONN_CLOSED;
	c->busy = 0;
}

static bool fail(struct conn *c, const char *why)
{
	for (unsigned i = 0; i < LOAD_SLOTS; i++)
		c->slot[i].id = 0;
	load_done(c, 0, false, why);
	conn_close(c);
	return false;
}

static struct slot *slot_of(struct conn *c, uint32_t id)
{
	for (unsigned i = 0; i < LOAD_SLOTS; i++)
		if (c->slot[i].id == id)
			return &c->slot[i];
	return NULL;
}

static void h1_request(struct conn *c)
{
	const struct job *j = c->j;
	char text[512], host[80];
	int n;

	(void)snprintf(
		host, sizeof(host), j->way == WAY_CONNECT ? "%s:%u" : "%s", c->host, j->origin);
	if (j->upload)
		n = snprintf(text, sizeof(text),
			"POST /sink HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\n"
			"Content-Length: %llu\r\n\r\n",
			host, (unsigned long long)j->bytes);
	else
		n = snprintf(text, sizeof(text),
			"GET /b/%llu HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: "
			"*/*\r\n\r\n",
			(unsigned long long)j->bytes, host);
	put(c, text, (size_t)n);
	c->up_left = j->upload ? j->bytes : 0;
}

static void h2_request(struct conn *c, uint32_t id)
{
	bool upload = c->j->upload;
	uint8_t b[256];
	size_t n = 0, len;
	char path[32];

	b[n++] = upload ? 0x83 : 0x82; /* :method POST, GET */
	b[n++] = 0x87; /* :scheme https */
	if (upload)
		len = (size_t)snprintf(path, sizeof(path), "/sink");
	else
		len = (size_t)snprintf(
			path, sizeof(path), "/b/%llu", (unsigned long long)c->j->bytes);
	b[n++] = 0x04; /* :path, not indexed */
	b[n++] = (uint8_t)len;
	memcpy(b + n, path, len);
	n += len;
	len = strlen(c->host);
	b[n++] = 0x01; /* :authority, not indexed */
	b[n++] = (uint8_t)len;
	memcpy(b + n, c->host, len);
	n += len;
	memcpy(b + n, "\x0f\x2b\5bench", 8); /* user-agent */
	n += 8;
	memcpy(b + n, "\x0f\4\3*/*", 6); /* accept */
	n += 6;
	if (upload) {
		len = (size_t)snprintf(path, sizeof(path), "%llu", (unsigned long long)c->j->bytes);
		memcpy(b + n, "\x0f\x0d", 2); /* content-length */
		b[n + 2] = (uint8_t)len;
		memcpy(b + n + 3, path, len);
		n += 3 + len;
		c->up_left = c->j->bytes;
		c->up_id = id;
		c->stream_window = c->initial_window;
	}
	put_frame(c, n, FRAME_HEADERS, upload ? 4 : 5, id);
	put(c, b, n);
}

bool conn_request(struct conn *c, int64_t began)
{
	unsigned most = c->j->h2 ? c->j->streams : 1;
	struct slot *s = slot_of(c, 0);

	if (c->state != CONN_OPEN || c->busy >= most || !s || c->out_len > LOAD_OUT - 1024)
		return false;
	s->id = c->j->h2 ? c->next_id : 1;
	s->began = began;
	c->next_id += 2;
	c->busy++;
	if (c->j->h2)
		h2_request(c, s->id);
	else
		h1_request(c);
	return true;
}

static void over(struct conn *c, uint32_t id, bool ok, const char *why)
{
	struct slot *s = slot_of(c, id);

	if (!s)
		return;
	s->id = 0;
	c->busy--;
	load_done(c, s->began, ok, why);
}

/* ---- answers ---- */

static bool h1_head(struct conn *c)
{
	const char *length;
	char *end;

	c->head[c->head_len] = '\0';
	end = strstr(c->head, "\r\n\r\n");
	if (!end)
		return c->head_len < LOAD_HEAD || fail(c, "a head without end");
	*end = '\0';
	length = strcasestr(c->head, "\r\ncontent-length:");
	if (strncmp(c->head, "HTTP/1.1 200", 12) != 0 || !length) {
		c->head[strcspn(c->head, "\r\n")] = '\0';
		return fail(c, c->head);
	}
	c->body_left = strtoull(length + 17, NULL, 10);
	c->in_body = true;
	return true;
}

static bool h1_input(struct conn *c, const uint8_t *p, size_t len)
{
	while (len > 0) {
		size_t n;

		if (!c->in_body) {
			const char *end;
			size_t before = c->head_len;

			n = len < LOAD_HEAD - before ? len : LOAD_HEAD - before;
			memcpy(c->head + before, p, n);
			c->head_len += n;
			if (!h1_head(c))
				return false;
			if (!c->in_body)
				return true;
			end = c->head + strlen(c->head) + 4;
			n = (size_t)(end - c->head) - before;
			c->head_len = 0;
		} else {
			n = len < c->body_left ? len : (size_t)c->body_left;
			c->body_left -= n;
			load_bytes(c, n);
		}
		p += n;
		len -= n;
		if (c->in_body && c->body_left == 0) {
			c->in_body = false;
			over(c, 1, true, NULL);
			if (c->state == CONN_CLOSED)
				return false;
		}
	}
	return true;
}

static uint32_t get_u32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return ntohl(v);
}

/* h2_windows() - how much the peer lets through, of its SETTINGS and WINDOW_UPDATEs */
static void h2_windows(struct conn *c)
{
	if (c->frame_type == FRAME_WINDOW_UPDATE) {
		if (c->frame_id == 0)
			c->window += get_u32(c->head + 9);
		else if (c->frame_id == c->up_id)
			c->stream_window += get_u32(c->head + 9);
	}
	if (c->frame_type != FRAME_SETTINGS || (c->frame_flags & 1))
		return;
	for (size_t at = 9; at + 6 <= c->head_len; at += 6) {
		if (c->head[at] != 0 || c->head[at + 1] != 4)
			continue;
		c->stream_window += get_u32(c->head + at + 2) - c->initial_window;
		c->initial_window = get_u32(c->head + at + 2);
	}
}

static bool h2_frame_over(struct conn *c)
{
	uint8_t type = c->frame_type;

	if (type == FRAME_GOAWAY)
		return fail(c, "GOAWAY");
	if (type == FRAME_RST)
		over(c, c->frame_id, false, "RST_STREAM");
	if (type == FRAME_SETTINGS && !(c->frame_flags & 1))
		put_frame(c, 0, FRAME_SETTINGS, 1, 0);
	if (type == FRAME_PING && !(c->frame_flags & 1)) {
		put_frame(c, 8, FRAME_PING, 1, 0);
		put(c, c->head + 9, 8);
	}
	/* :status 200 is one byte of the static table, after at most a change of the table's size. */
	if (type == FRAME_HEADERS && !memchr(c->head + 9, 0x88, 4))
		over(c, c->frame_id, false, "a status that is not 200");
	if ((type == FRAME_HEADERS || type == FRAME_DATA) && (c->frame_flags & 1))
		over(c, c->frame_id, true, NULL);
	if (c->unacked >= GIVE) {
		put_frame(c, 4, 8, 0, 0);
		put_u32(c, (uint32_t)c->unacked);
		c->unacked = 0;
	}
	return c->state != CONN_CLOSED;
}

static bool h2_input(struct conn *c, const uint8_t *p, size_t len)
{
	const uint8_t *h = (const uint8_t *)c->head;

	while (len > 0) {
		size_t n;

		if (!c->in_body) {
			n = len < 9 - c->head_len ? len : 9 - c->head_len;
			memcpy(c->head + c->head_len, p, n);
			c->head_len += n;
			p += n;
			len -= n;
			if (c->head_len < 9)
				return true;
			c->body_left = (uint64_t)h[0] << 16 | (uint64_t)h[1] << 8 | h[2];
			c->frame_type = h[3];
			c->frame_flags = h[4];
			c->frame_id = ((uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 |
					      (uint32_t)h[7] << 8 | h[8]) &
				      0x7fffffff;
			c->in_body = true;
		}
		n = len < c->body_left ? len : (size_t)c->body_left;
		if (c->frame_type == FRAME_DATA) {
			c->unacked += n;
			load_bytes(c, n);
		} else if (c->head_len < LOAD_HEAD) { /* the beginning of it is enough */
			size_t keep = n < LOAD_HEAD - c->head_len ? n : LOAD_HEAD - c->head_len;

			memcpy(c->head + c->head_len, p, keep);
			c->head_len += keep;
		}
		c->body_left -= n;
		p += n;
		len -= n;
		if (c->body_left == 0) {
			c->in_body = false;
			h2_windows(c);
			c->head_len = 0;
			if (!h2_frame_over(c))
				return false;
		}
	}
	return true;
}

/* ---- progress ---- */

/* waits() - is it only that the descriptor is not ready? */
static bool waits(struct conn *c, int r)
{
	int why = SSL_get_error(c->ssl, r);

	if (why == SSL_ERROR_WANT_WRITE)
		c->want_write = true;
	return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

static bool handshake(struct conn *c)
{
	const unsigned char *alpn;
	unsigned len;
	int r = SSL_do_handshake(c->ssl);

	if (r != 1)
		return waits(c, r) || fail(c, "the handshake failed");
	SSL_get0_alpn_selected(c->ssl, &alpn, &len);
	if (c->j->h2 && (len != 2 || memcmp(alpn, "h2", 2) != 0))
		return fail(c, "no HTTP/2");
	c->state = CONN_OPEN;
	if (c->j->h2)
		h2_preface(c);
	return true;
}

static bool after_connect(struct conn *c)
{
	ssize_t n = recv(c->fd, c->head + c->head_len, LOAD_HEAD - c->head_len, 0);

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0)
		return fail(c, "the proxy hung up");
	c->head_len += (size_t)n;
	c->head[c->head_len] = '\0';
	if (!strstr(c->head, "\r\n\r\n"))
		return true;
	if (strncmp(c->head + 8, " 200", 4) != 0)
		return fail(c, "the proxy refused CONNECT");
	c->head_len = 0;
	start_tls(c);
	return true;
}

/* next_frames() - of an upload over HTTP/2, as many as there is room for; false: the windows are closed */
static bool next_frames(struct conn *c)
{
	if (!c->up)
		c->up = malloc(UP_CAP);
	if (!c->up)
		bench_die("no memory");
	c->up_len = c->up_at = 0;
	while (c->up_left > 0 && c->up_len + UP_FRAME + 9 <= UP_CAP) {
		int64_t room = c->window < c->stream_window ? c->window : c->stream_window;
		size_t n = c->up_left < UP_FRAME ? (size_t)c->up_left : UP_FRAME;
		uint32_t id = htonl(c->up_id);
		char *p = c->up + c->up_len;

		if (room <= 0)
			break;
		n = (size_t)room < n ? (size_t)room : n;
		p[0] = 0;
		p[1] = (char)(n >> 8);
		p[2] = (char)n;
		p[3] = FRAME_DATA;
		p[4] = n == c->up_left; /* END_STREAM */
		memcpy(p + 5, &id, sizeof(id));
		memcpy(p + 9, filler, n);
		c->up_len += 9 + n;
		c->up_left -= n;
		c->window -= (int64_t)n;
		c->stream_window -= (int64_t)n;
		load_bytes(c, n);
	}
	return c->up_len > 0;
}

static bool write_out(struct conn *c)
{
	while (c->out_at < c->out_len || c->up_at < c->up_len || c->up_left > 0) {
		bool head = c->out_at < c->out_len, frames = !head && c->j->h2;
		const char *from = head ? c->out + c->out_at : filler;
		size_t n = head ? c->out_len - c->out_at : sizeof(filler), done;
		int r;

		if (frames) {
			if (c->up_at == c->up_len && !next_frames(c))
				return true;
			from = c->up + c->up_at;
			n = c->up_len - c->up_at;
		} else if (!head && n > c->up_left) {
			n = (size_t)c->up_left;
		}
		r = SSL_write_ex(c->ssl, from, n, &done);
		if (r != 1)
			return waits(c, r) || fail(c, "the connection broke while sending");
		if (head) {
			c->out_at += done;
		} else if (frames) {
			c->up_at += done;
		} else {
			c->up_left -= done;
			load_bytes(c, done);
		}
	}
	return true;
}

static bool read_in(struct conn *c)
{
	/* A few buffers, then others have their turn; what waits inside of the session is not left. */
	for (unsigned i = 0; i < 8 || SSL_has_pending(c->ssl); i++) {
		size_t n;
		int r = SSL_read_ex(c->ssl, scratch, sizeof(scratch), &n);

		if (r != 1)
			return waits(c, r) || fail(c, "the connection was closed");
		if (!(c->j->h2 ? h2_input(c, scratch, n) : h1_input(c, scratch, n)))
			return false;
		if (n < 8192 && !SSL_has_pending(c->ssl))
			break;
	}
	return true;
}

bool conn_step(struct conn *c)
{
	c->want_write = false;
	ERR_clear_error();
	if (c->state == CONN_PROXY && !after_connect(c))
		return false;
	if (c->state == CONN_HANDSHAKE && !handshake(c))
		return false;
	if (c->state != CONN_OPEN)
		return c->state != CONN_CLOSED;
	if (c->reading && !read_in(c))
		return false;
	return write_out(c);
}

uint32_t conn_wants(const struct conn *c)
{
	return EPOLLIN | (c->want_write ? EPOLLOUT : 0U);
}
