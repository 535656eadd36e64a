#include "proto/egress_config.h"
#include "proto/egress_wire.h"
#include <errno.h>
#include <string.h>

#define MAGIC	   0x43584253u /* "SBXC" */
#define VERSION	   2
#define FIRST_ROOM 16384
#define SLOTS_MAX  64

static void put_slots(struct wire_w *w, const struct egress_credential *c)
{
	wire_put_u16(w, c->n_slots);
	for (uint16_t i = 0; i < c->n_slots; i++) {
		const struct egress_slot *s = &c->slots[i];

		wire_put_u8(w, (uint8_t)s->kind);
		egress_put_text(w, s->host);
		egress_put_text(w, s->path);
		egress_put_text(w, s->header);
		egress_put_text(w, s->format);
		egress_put_text(w, s->username);
	}
}

static void put_lists(struct wire_w *w, const struct egress_config *c)
{
	wire_put_u32(w, c->n_servers);
	for (uint32_t i = 0; i < c->n_servers; i++) {
		egress_put_address(w, &c->servers[i].addr);
		wire_put_u16(w, c->servers[i].port);
	}
	wire_put_u32(w, c->n_hosts);
	for (uint32_t i = 0; i < c->n_hosts; i++) {
		egress_put_text(w, c->hosts[i].name);
		egress_put_address(w, &c->hosts[i].addr);
	}
	wire_put_u32(w, c->n_credentials);
	for (uint32_t i = 0; i < c->n_credentials; i++) {
		egress_put_text(w, c->credentials[i].name);
		egress_put_text(w, c->credentials[i].sentinel);
		wire_put_u8(w, c->credentials[i].pass_body);
		wire_put_u8(w, c->credentials[i].claims);
		put_slots(w, &c->credentials[i]);
	}
	wire_put_u32(w, c->n_oauth);
	for (uint32_t i = 0; i < c->n_oauth; i++) {
		const struct egress_oauth *o = &c->oauth[i];

		egress_put_text(w, o->credential);
		egress_put_text(w, o->host);
		egress_put_text(w, o->path);
		egress_put_text(w, o->access_field);
		egress_put_text(w, o->refresh_field);
		egress_put_text(w, o->access_sentinel);
		egress_put_text(w, o->refresh_sentinel);
		egress_put_text(w, o->id_field);
		egress_put_text(w, o->id_sentinel);
		egress_put_text(w, o->device_path);
		egress_put_text(w, o->device_field);
		egress_put_text(w, o->device_sentinel);
		wire_put_u8(w, o->claims);
	}
	wire_put_u32(w, c->n_proxies);
	for (uint32_t i = 0; i < c->n_proxies; i++) {
		egress_put_text(w, c->proxies[i].pattern);
		egress_put_text(w, c->proxies[i].url);
	}
	wire_put_u32(w, c->n_redirects);
	for (uint32_t i = 0; i < c->n_redirects; i++) {
		egress_put_address(w, &c->redirects[i].from);
		egress_put_address(w, &c->redirects[i].to);
		wire_put_u16(w, c->redirects[i].from_port);
		wire_put_u16(w, c->redirects[i].to_port);
	}
}

static void put_all(struct wire_w *w, const struct egress_config *c)
{
	wire_put_u32(w, MAGIC);
	wire_put_u16(w, VERSION);
	wire_put_u64(w, c->generation);
	egress_put_text(w, c->id);
	egress_put_text(w, c->name);
	egress_put_text(w, c->agent);
	egress_put_blob(w, c->policy, c->policy_len);
	wire_put_u32(w, c->ask_ms);
	egress_put_text(w, c->deny_hint);
	egress_put_blob(
		w, c->extra_ca, c->extra_ca && c->extra_ca[0] ? strlen(c->extra_ca) + 1 : 0);
	egress_put_text(w, c->authz_url);
	wire_put_u32(w, c->authz_ms);
	put_lists(w, c);
}

int egress_put_config(struct buf *out, const struct egress_config *c)
{
	if (c->n_servers > EGRESS_SERVERS_MAX || c->n_hosts > EGRESS_LIST_MAX ||
		c->n_credentials > EGRESS_LIST_MAX || c->n_oauth > EGRESS_LIST_MAX ||
		c->n_proxies > EGRESS_LIST_MAX || c->n_redirects > EGRESS_LIST_MAX)
		return -EMSGSIZE;
	for (size_t room = FIRST_ROOM; room <= EGRESS_CONFIG_MAX; room *= 4) {
		struct egress_open o;
		int r = egress_begin(out, 0, room, &o);

		if (r < 0)
			return r;
		put_all(&o.w, c);
		if (!o.w.bad) {
			buf_grew(out, o.w.pos);
			return 0;
		}
	}
	return -EMSGSIZE;
}

/* ---- decode ---- */

/* get_list() - memory for a list whose items take at least @least bytes each; NULL for none */
static void *get_list(struct wire_r *r, uint32_t max, size_t least, size_t item, uint32_t *ret_n)
{
	uint32_t n = wire_get_u32(r);
	void *list;

	*ret_n = 0;
	if (r->bad || n > max || n > wire_left(r) / least) {
		r->bad = true;
		return NULL;
	}
	if (n == 0)
		return NULL;
	list = calloc(n, item);
	if (!list)
		r->bad = true;
	else
		*ret_n = n;
	return list;
}

static bool get_bool(struct wire_r *r)
{
	uint8_t v = wire_get_u8(r);

	r->bad |= v > 1;
	return v == 1;
}

static void get_slots(struct wire_r *r, struct egress_credential *c)
{
	uint16_t n = wire_get_u16(r);

	if (r->bad || n > SLOTS_MAX) {
		r->bad = true;
		return;
	}
	c->slots = n > 0 ? calloc(n, sizeof(*c->slots)) : NULL;
	if (n > 0 && !c->slots) {
		r->bad = true;
		return;
	}
	c->n_slots = n;
	for (uint16_t i = 0; i < n; i++) {
		struct egress_slot *s = &c->slots[i];
		uint8_t kind = wire_get_u8(r);

		s->kind = (enum egress_slot_kind)kind;
		s->host = egress_get_text(r, NULL);
		s->path = egress_get_text(r, NULL);
		s->header = egress_get_text(r, NULL);
		s->format = egress_get_text(r, NULL);
		s->username = egress_get_text(r, NULL);
		if (kind < EGRESS_SLOT_HEADER || kind > EGRESS_SLOT_SIGV4)
			r->bad = true;
	}
}

static void get_resolver(struct wire_r *r, struct egress_config *c)
{
	c->servers = get_list(r, EGRESS_SERVERS_MAX, 19, sizeof(*c->servers), &c->n_servers);
	for (uint32_t i = 0; i < c->n_servers; i++) {
		egress_get_address(r, &c->servers[i].addr);
		c->servers[i].port = wire_get_u16(r);
	}
	c->hosts = get_list(r, EGRESS_LIST_MAX, 20, sizeof(*c->hosts), &c->n_hosts);
	for (uint32_t i = 0; i < c->n_hosts; i++) {
		c->hosts[i].name = egress_get_text(r, NULL);
		egress_get_address(r, &c->hosts[i].addr);
	}
}

static void get_credentials(struct wire_r *r, struct egress_config *c)
{
	c->credentials =
		get_list(r, EGRESS_LIST_MAX, 10, sizeof(*c->credentials), &c->n_credentials);
	for (uint32_t i = 0; i < c->n_credentials; i++) {
		c->credentials[i].name = egress_get_text(r, NULL);
		c->credentials[i].sentinel = egress_get_text(r, NULL);
		c->credentials[i].pass_body = get_bool(r);
		c->credentials[i].claims = get_bool(r);
		get_slots(r, &c->credentials[i]);
	}
	c->oauth = get_list(r, EGRESS_LIST_MAX, 37, sizeof(*c->oauth), &c->n_oauth);
	for (uint32_t i = 0; i < c->n_oauth; i++) {
		struct egress_oauth *o = &c->oauth[i];

		o->credential = egress_get_text(r, NULL);
		o->host = egress_get_text(r, NULL);
		o->path = egress_get_text(r, NULL);
		o->access_field = egress_get_text(r, NULL);
		o->refresh_field = egress_get_text(r, NULL);
		o->access_sentinel = egress_get_text(r, NULL);
		o->refresh_sentinel = egress_get_text(r, NULL);
		o->id_field = egress_get_text(r, NULL);
		o->id_sentinel = egress_get_text(r, NULL);
		o->device_path = egress_get_text(r, NULL);
		o->device_field = egress_get_text(r, NULL);
		o->device_sentinel = egress_get_text(r, NULL);
		o->claims = get_bool(r);
	}
}

static void get_routes(struct wire_r *r, struct egress_config *c)
{
	c->proxies = get_list(r, EGRESS_LIST_MAX, 6, sizeof(*c->proxies), &c->n_proxies);
	for (uint32_t i = 0; i < c->n_proxies; i++) {
		c->proxies[i].pattern = egress_get_text(r, NULL);
		c->proxies[i].url = egress_get_text(r, NULL);
	}
	c->redirects = get_list(r, EGRESS_LIST_MAX, 38, sizeof(*c->redirects), &c->n_redirects);
	for (uint32_t i = 0; i < c->n_redirects; i++) {
		egress_get_address(r, &c->redirects[i].from);
		egress_get_address(r, &c->redirects[i].to);
		c->redirects[i].from_port = wire_get_u16(r);
		c->redirects[i].to_port = wire_get_u16(r);
	}
}

static void get_all(struct wire_r *r, struct egress_config *c)
{
	uint32_t magic = wire_get_u32(r);
	uint16_t version = wire_get_u16(r);
	size_t len;

	if (magic != MAGIC || version != VERSION)
		r->bad = true;
	c->generation = wire_get_u64(r);
	c->id = egress_get_text(r, NULL);
	c->name = egress_get_text(r, NULL);
	c->agent = egress_get_text(r, NULL);
	c->policy = egress_get_blob(r, &c->policy_len);
	c->ask_ms = wire_get_u32(r);
	c->deny_hint = egress_get_text(r, NULL);
	c->extra_ca = (const char *)egress_get_blob(r, &len);
	if (len == 0)
		c->extra_ca = "";
	else if (len == 1 || memchr(c->extra_ca, '\0', len) != c->extra_ca + len - 1)
		r->bad = true;
	c->authz_url = egress_get_text(r, NULL);
	c->authz_ms = wire_get_u32(r);
	get_resolver(r, c);
	get_credentials(r, c);
	get_routes(r, c);
}

enum proto_result egress_get_config(const void *p, size_t len, struct egress_config *ret_c)
{
	struct wire_r r;

	*ret_c = (struct egress_config){0};
	if (len == 0 || len > EGRESS_CONFIG_MAX)
		return PROTO_MALFORMED;
	ret_c->bytes = malloc(len);
	if (!ret_c->bytes)
		return PROTO_MALFORMED;
	memcpy(ret_c->bytes, p, len);
	r = wire_reader(ret_c->bytes, len);
	get_all(&r, ret_c);
	if (wire_done(&r))
		return PROTO_OK;
	egress_config_fini(ret_c);
	return PROTO_MALFORMED;
}

void egress_config_fini(struct egress_config *c)
{
	for (uint32_t i = 0; i < c->n_credentials && c->bytes; i++)
		free(c->credentials[i].slots);
	if (c->bytes) {
		free(c->servers);
		free(c->hosts);
		free(c->credentials);
		free(c->oauth);
		free(c->proxies);
		free(c->redirects);
		free(c->bytes);
	}
	*c = (struct egress_config){0};
}
