#include "daemon/ports.h"
#include "base/io.h"
#include "base/log.h"
#include "daemon/files.h"
#include "daemon/port_spec.h"
#include "daemon/ports_serve.h"
#include "daemon/watch.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG	   256
#define TRIES	   16 /* for a free port that both loopback addresses have */
#define LABEL_MAX  256 /* of a port's name */
#define FILE_BYTES (256U << 10)

struct port {
	struct port_spec spec;
	uint16_t bound; /* the host port that it has, or had last; 0: none yet */
	char name[LABEL_MAX], kit[LABEL_MAX]; /* "": none; the user's own */
	unsigned id; /* for the server; never used again */
	bool listening;
	bool asked; /* by the change that is under way */
	char trouble[160]; /* why it does not listen though the sandbox runs */
};

struct ports {
	pthread_mutex_t lock; /* all below; held over bind(), which does not wait */
	bool loaded;
	struct port v[PORTS_MAX];
	size_t n;
	unsigned next_id;
	struct ports_server *server; /* NULL: no machine */
};

struct ports *ports_new(void)
{
	struct ports *p = calloc(1, sizeof(*p));

	if (p)
		(void)pthread_mutex_init(&p->lock, NULL);
	return p;
}

void ports_free(struct ports *p)
{
	if (!p)
		return;
	ports_server_free(p->server);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

/* ---- what is kept ---- */

static void read_port(struct js_reader *rd, struct port *p)
{
	const char *address;

	p->spec.container = (uint16_t)js_want_int(rd, "container", 1, UINT16_MAX);
	p->spec.host = (uint16_t)js_take_int(rd, "host", 0, UINT16_MAX, 0);
	p->bound = (uint16_t)js_take_int(rd, "bound", 0, UINT16_MAX, 0);
	address = js_want_str(rd, "address", PORT_ADDRESS_MAX - 1);
	if (rd->r == 0 && address[0] && !port_spec_address(address))
		js_fault(rd, "address", "must be a loopback address");
	(void)snprintf(p->spec.address, sizeof(p->spec.address), "%s", address);
	(void)snprintf(p->name, sizeof(p->name), "%s", js_take_str(rd, "name", LABEL_MAX - 1, ""));
	(void)snprintf(p->kit, sizeof(p->kit), "%s", js_take_str(rd, "kit", LABEL_MAX - 1, ""));
}

static int load_file(struct sandbox *s, struct ports *p, struct err *e)
{
	AUTO_FD dir = sandbox_dir(s, NULL);
	AUTO(buf) text = {0};
	AUTO_JS doc = NULL;
	const struct js *list;
	struct js_reader rd;
	int r;

	buf_init(&text, FILE_BYTES);
	r = dir < 0 ? -ENOENT : io_read_file(dir, FILE_PORTS, &text);
	if (r < 0)
		return r == -ENOENT ? r : err_sys(e, r, "read '" FILE_PORTS "'");
	r = js_parse(buf_str(&text), text.len, FILE_BYTES, &doc, e);
	if (r < 0)
		return r;
	js_read(&rd, doc, "", e);
	(void)js_want_int(&rd, "version", 1, 1);
	list = js_take_array(&rd, "ports", PORTS_MAX);
	r = js_done(&rd);
	for (p->n = 0; r == 0 && p->n < js_len(list); p->n++) {
		p->v[p->n] = (struct port){.id = ++p->next_id};
		js_read(&rd, js_at(list, p->n), "ports", e);
		read_port(&rd, &p->v[p->n]);
		r = js_done(&rd);
	}
	return r;
}

static void from_plan(const struct plan *plan, struct ports *p)
{
	p->n = 0;
	for (size_t i = 0; i < plan->n_ports && p->n < PORTS_MAX; i++) {
		const struct plan_port *from = &plan->ports[i];
		struct port *to = &p->v[p->n];

		if (strcmp(from->protocol, "udp") == 0)
			continue; /* of a plan from before they were refused */
		*to = (struct port){.id = ++p->next_id,
			.spec = {.container = from->container, .host = from->host}};
		/* A kit's port without a protocol is IPv4 alone. */
		(void)snprintf(to->spec.address, sizeof(to->spec.address), "%s",
			from->address	    ? from->address
			: from->protocol[0] ? ""
					    : PORT_LOOPBACK4);
		(void)snprintf(to->name, sizeof(to->name), "%s", from->name ? from->name : "");
		(void)snprintf(to->kit, sizeof(to->kit), "%s", from->kit ? from->kit : "");
		p->n++;
	}
}

/* get() - with the lock; what is kept was read */
static struct ports *get(struct sandbox *s)
{
	struct ports *p = s->ports;
	struct err e = {0};
	int r;

	(void)pthread_mutex_lock(&p->lock);
	if (p->loaded)
		return p;
	r = load_file(s, p, &e);
	if (r < 0 && r != -ENOENT)
		log_err("sandbox %s: its published ports are those of its plan: %s", s->name,
			e.msg);
	if (r < 0)
		from_plan(s->plan, p);
	p->loaded = true;
	return p;
}

static void put(struct ports *p)
{
	(void)pthread_mutex_unlock(&p->lock);
}

static struct js *port_json(const struct port *p)
{
	AUTO_JS o = js_object();
	bool bad = js_set_int(o, "container", p->spec.container);

	bad |= js_set_str(o, "address", p->spec.address);
	bad |= p->spec.host && js_set_int(o, "host", p->spec.host);
	bad |= p->bound && js_set_int(o, "bound", p->bound);
	bad |= p->name[0] && js_set_str(o, "name", p->name);
	bad |= p->kit[0] && js_set_str(o, "kit", p->kit);
	return bad ? NULL : TAKE(o);
}

static int save(struct sandbox *s, const struct port *v, size_t n, struct err *e)
{
	AUTO_FD dir = sandbox_dir(s, e);
	AUTO_JS doc = js_object();
	AUTO_JS list = js_array();
	AUTO(buf) text = {0};
	bool bad = js_set_int(doc, "version", 1);
	int r;

	if (dir < 0)
		return dir;
	for (size_t i = 0; i < n; i++)
		bad |= js_add(list, port_json(&v[i]));
	bad |= js_set(doc, "ports", TAKE(list));
	buf_init(&text, FILE_BYTES);
	r = bad ? -ENOMEM : js_canonical(doc, &text);
	if (r == 0)
		r = io_replace_file(dir, FILE_PORTS, text.data, text.len, 0600);
	return r < 0 ? err_sys(e, r, "write '" FILE_PORTS "'") : 0;
}

/* ---- listening ---- */

static int listen_at(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	bool is6 = strchr(address, ':');
	struct sockaddr *at = is6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
	socklen_t len = is6 ? sizeof(v6) : sizeof(v4);
	AUTO_FD fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;

	if (fd < 0)
		return -errno;
	if (inet_pton(at->sa_family, address, is6 ? (void *)&v6.sin6_addr : &v4.sin_addr) != 1)
		return -EINVAL;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
		(is6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
		bind(fd, at, len) < 0 || listen(fd, BACKLOG) < 0 || getsockname(fd, at, &len) < 0)
		return -errno;
	*ret_port = ntohs(is6 ? v6.sin6_port : v4.sin_port);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* listen_both() - one port on both loopback addresses; on a host without IPv6 on the one it has */
static int listen_both(uint16_t port, int fds[2], uint16_t *ret_port)
{
	int r = -EADDRINUSE;

	for (int i = 0; i < (port ? 1 : TRIES) && r == -EADDRINUSE; i++) {
		r = listen_at(PORT_LOOPBACK4, port, &fds[0], ret_port);
		if (r < 0)
			break;
		r = listen_at(PORT_LOOPBACK6, *ret_port, &fds[1], ret_port);
		if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)
			r = 0;
		if (r < 0)
			own_close_fd(&fds[0]);
	}
	return r;
}

static int listen_on(struct sandbox *s, struct port *p, uint16_t port)
{
	struct ports_server *server = s->ports->server;
	int fds[2] = {-1, -1};
	uint16_t bound = 0;
	int r = p->spec.address[0] ? listen_at(p->spec.address, port, &fds[0], &bound)
				   : listen_both(port, fds, &bound);

	for (int i = 0; i < 2 && r == 0; i++) {
		if (fds[i] < 0)
			continue;
		r = ports_server_add(server, p->id, fds[i], p->spec.container);
		if (r == 0)
			fds[i] = -1;
	}
	if (r < 0) {
		ports_server_remove(server, p->id);
		own_close_fd(&fds[0]);
		own_close_fd(&fds[1]);
		return r;
	}
	p->bound = bound;
	p->listening = true;
	p->trouble[0] = '\0';
	return 0;
}

static const char *where(const struct port *p)
{
	return p->spec.address[0] ? p->spec.address : "localhost";
}

/* begin_listen() - where it was before, or where it shall be; told in p->trouble and @e */
static int begin_listen(struct sandbox *s, struct port *p, struct err *e)
{
	uint16_t first = p->spec.host ? p->spec.host : p->bound;
	int r = listen_on(s, p, first);

	if (r == -EADDRINUSE && p->spec.host == 0 && first != 0)
		r = listen_on(s, p, 0); /* somebody else has it now: another will do */
	if (r == 0)
		return 0;
	(void)snprintf(p->trouble, sizeof(p->trouble), "port %u of %s %s", first, where(p),
		r == -EADDRINUSE ? "is taken by another program"
		: r == -EACCES	 ? "is only for root (below 1024)"
				 : strerror(-r));
	(void)err_set(e, ERR_CONFLICT, r, "port %u of the sandbox cannot be published: %s",
		p->spec.container, p->trouble);
	err_hint(e, "sbx ports %s --publish %u takes any port that is free", s->name,
		p->spec.container);
	return r;
}

static int dial(void *ctx)
{
	struct sandbox *s = ctx;
	struct err e = {0};

	sandbox_touch(s);
	return box_open_stream(s, FRAME_PORT_AGENT, &e);
}

/* serve() - the server, when there is something to serve */
static int serve(struct sandbox *s, struct ports *p)
{
	return p->server || p->n == 0 ? 0 : ports_server_new(dial, s, PORTS_DIAL_MS, &p->server);
}

void ports_open(struct sandbox *s)
{
	struct ports *p = get(s);
	struct err e = {0};
	bool moved = false;
	int r = serve(s, p);

	if (r < 0)
		log_err("sandbox %s: published ports: %s", s->name, strerror(-r));
	for (size_t i = 0; r == 0 && i < p->n; i++) {
		uint16_t before = p->v[i].bound;

		if (p->v[i].listening)
			continue;
		if (begin_listen(s, &p->v[i], &e) < 0)
			log_warn("sandbox %s: %s", s->name, e.msg);
		moved |= p->v[i].bound != before;
	}
	if (moved && save(s, p->v, p->n, &e) < 0)
		log_warn("sandbox %s: %s", s->name, e.msg);
	put(p);
}

void ports_close(struct sandbox *s)
{
	struct ports *p = s->ports;

	(void)pthread_mutex_lock(&p->lock);
	ports_server_free(TAKE(p->server));
	for (size_t i = 0; i < p->n; i++) {
		p->v[i].listening = false;
		p->v[i].trouble[0] = '\0';
	}
	put(p);
}

/* ---- changes ---- */

static bool fits(const struct port *p, const struct port_spec *w)
{
	uint16_t host = p->spec.host ? p->spec.host : p->bound;

	return p->spec.container == w->container && (!w->host || w->host == host);
}

/* drop_spec() - from @next, those that @spec means; an address in it counts only together with a host port */
static int drop_spec(
	struct sandbox *s, struct port *next, size_t *n, const char *spec, struct err *e)
{
	struct port_spec w;
	size_t kept = 0;
	int r = port_spec_parse(spec, &w, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < *n; i++)
		if (!fits(&next[i], &w))
			next[kept++] = next[i];
	if (kept == *n)
		return err_set(e, ERR_NOT_FOUND, -ENOENT, "sandbox '%s' does not publish '%.100s'",
			s->name, spec);
	*n = kept;
	return 0;
}

static bool same(const struct port_spec *a, const struct port_spec *b)
{
	return a->container == b->container && a->host == b->host &&
	       strcmp(a->address, b->address) == 0;
}

static int add_spec(struct ports *p, struct port *next, size_t *n, const char *spec, struct err *e)
{
	struct port_spec w;
	int r = port_spec_parse(spec, &w, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < *n; i++)
		if (w.host && same(&next[i].spec, &w))
			return next[i].asked = true, 0; /* it is there: does it listen? */
	if (*n == PORTS_MAX)
		return err_set(
			e, ERR_LIMIT, -E2BIG, "a sandbox publishes at most %d ports", PORTS_MAX);
	next[(*n)++] = (struct port){.spec = w, .id = ++p->next_id, .asked = true};
	return 0;
}

static bool holds(const struct port *v, size_t n, unsigned id)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].id == id)
			return true;
	return false;
}

/* apply() - what is in @next and does not listen begins to; one that cannot takes all new ones back */
static int apply(struct sandbox *s, struct ports *p, struct port *next, size_t n, struct err *e)
{
	int r = n == 0 || p->server || !status_has_machine(sandbox_status(s))
			? 0
			: ports_server_new(dial, s, PORTS_DIAL_MS, &p->server);

	if (r < 0)
		return err_sys(e, r, "publish ports");
	for (size_t i = 0; p->server && i < n && r == 0; i++)
		if (!next[i].listening) {
			r = begin_listen(s, &next[i], e);
			/* One that was in trouble before is no fault of this change. */
			if (r < 0 && !next[i].asked)
				r = 0;
		}
	return r;
}

static int change(struct sandbox *s, struct ports *p, const struct js *publish,
	const struct js *unpublish, struct port *next, struct err *e)
{
	size_t n = p->n;
	int r = 0;

	memcpy(next, p->v, p->n * sizeof(*next));
	for (size_t i = 0; r == 0 && i < js_len(unpublish); i++)
		r = drop_spec(s, next, &n, js_str(js_at(unpublish, i)), e);
	/* Its host port may be given to another one in the same request. */
	for (size_t i = 0; r == 0 && p->server && i < p->n; i++)
		if (!holds(next, n, p->v[i].id)) {
			ports_server_remove(p->server, p->v[i].id);
			p->v[i].listening = false;
		}
	for (size_t i = 0; r == 0 && i < js_len(publish); i++)
		r = add_spec(p, next, &n, js_str(js_at(publish, i)), e);
	if (r == 0)
		r = apply(s, p, next, n, e);
	if (r == 0)
		r = save(s, next, n, e);
	if (r < 0) {
		struct err lost = {0};

		for (size_t i = 0; p->server && i < n; i++)
			if (!holds(p->v, p->n, next[i].id))
				ports_server_remove(p->server, next[i].id);
		for (size_t i = 0; p->server && i < p->n; i++)
			if (!p->v[i].listening)
				(void)!begin_listen(s, &p->v[i], &lost);
		return r;
	}
	for (size_t i = 0; i < n; i++)
		next[i].asked = false;
	memcpy(p->v, next, n * sizeof(*next));
	p->n = n;
	return 0;
}

static int strings_only(const struct js *list, const char *key, struct err *e)
{
	for (size_t i = 0; i < js_len(list); i++)
		if (!js_str(js_at(list, i)))
			return err_set(
				e, ERR_INVALID, -EINVAL, "%s must be an array of strings", key);
	return 0;
}

int ports_change(
	struct sandbox *s, const struct js *publish, const struct js *unpublish, struct err *e)
{
	struct port *next;
	struct ports *p;
	int r = strings_only(publish, "publish", e);

	if (r == 0)
		r = strings_only(unpublish, "unpublish", e);
	if (r < 0)
		return r;
	next = calloc(PORTS_MAX, sizeof(*next));
	if (!next)
		return err_sys(e, -ENOMEM, "publish ports");
	p = get(s);
	r = change(s, p, publish, unpublish, next, e);
	put(p);
	free(next);
	return r;
}

/* ---- what is shown ---- */

static bool add_view(struct js *list, const struct port *p, const char *address)
{
	AUTO_JS o = js_object();
	char label[PORT_LABEL_MAX];
	uint16_t host = p->listening ? p->bound : p->spec.host;
	bool bad = js_set_str(o, "label", port_spec_label(address, host, p->spec.container, label));

	bad |= js_set_str(o, "address", address);
	bad |= host ? js_set_int(o, "host_port", host) : js_set_null(o, "host_port");
	bad |= js_set_int(o, "port", p->spec.container);
	bad |= js_set_str(o, "protocol", "tcp");
	bad |= js_set_bool(o, "fixed", p->spec.host != 0);
	bad |= js_set_bool(o, "listening", p->listening);
	bad |= js_set_str(o, "name", p->name[0] ? p->name : NULL);
	bad |= js_set_str(o, "kit", p->kit[0] ? p->kit : NULL);
	bad |= js_set_str(o, "trouble", p->trouble[0] ? p->trouble : NULL);
	return bad | js_add(list, TAKE(o));
}

bool ports_view(struct sandbox *s, struct js *o)
{
	struct ports *p = get(s);
	AUTO_JS list = js_array();
	bool bad = false;

	for (size_t i = 0; i < p->n; i++) {
		bool both = !p->v[i].spec.address[0];

		bad |= add_view(list, &p->v[i], both ? PORT_LOOPBACK4 : p->v[i].spec.address);
		if (both)
			bad |= add_view(list, &p->v[i], PORT_LOOPBACK6);
	}
	put(p);
	return bad | js_set(o, "ports", TAKE(list));
}

bool ports_notes(struct sandbox *s, struct js *notes)
{
	struct ports *p = get(s);
	bool bad = false;

	for (size_t i = 0; i < p->n; i++) {
		char text[256];

		if (!p->v[i].trouble[0])
			continue;
		(void)snprintf(text, sizeof(text), "port %u is not published: %s",
			p->v[i].spec.container, p->v[i].trouble);
		bad |= js_add_str(notes, text);
	}
	put(p);
	return bad;
}
