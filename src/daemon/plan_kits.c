#include "daemon/plan.h"
#include "daemon/port_spec.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The part of a plan that kits made, read back: resolve_kits.c writes it. */

#define TEXT_MAX    4096
#define ORIGIN_MAX  4096
#define NAME_MAX_   128
#define CONTENT_MAX (64U << 10)

/* One list of the plan: its items are read one by one by @one into an array that is the plan's. */
struct list {
	const char *name;
	const struct js *from;
	void *to; /* address of the pointer to the array */
	size_t *n;
	size_t size; /* of an item */
	void (*one)(struct js_reader *rd, void *item);
};

static const char *opt_str(struct js_reader *rd, const char *key, size_t max)
{
	return js_take_str(rd, key, max, NULL);
}

static const struct js *strings(struct js_reader *rd, const char *key, size_t max)
{
	const struct js *v = js_take_array(rd, key, max);

	for (size_t i = 0; rd->r == 0 && i < js_len(v); i++)
		if (!js_str(js_at(v, i)))
			js_fault(rd, key, "must be an array of strings");
	return v;
}

static const struct js *pairs(struct js_reader *rd, const char *key)
{
	const struct js *v = js_take_object(rd, key), *item;
	const char *name;
	void *iter = NULL;

	while (rd->r == 0 && v && js_each(v, &iter, &name, &item))
		if (!js_str(item))
			js_fault(rd, key, "must be an object of strings");
	return v;
}

static const char *absolute(struct js_reader *rd, const char *key)
{
	const char *s = js_want_str(rd, key, PATH_MAX - 1);

	if (rd->r == 0 && s[0] != '/')
		js_fault(rd, key, "must be an absolute path");
	return s;
}

static enum plan_phase phase(struct js_reader *rd)
{
	const char *s = js_take_str(rd, "phase", 16, "");

	if (strcmp(s, "install") == 0)
		return PLAN_INSTALL;
	if (strcmp(s, "runtime") == 0)
		return PLAN_RUNTIME;
	if (s[0])
		js_fault(rd, "phase", "must be install or runtime");
	return PLAN_ALWAYS;
}

static void take_kit(struct js_reader *rd, void *item)
{
	struct plan_kit *k = item;

	k->name = js_want_str(rd, "name", NAME_MAX_);
	k->version = opt_str(rd, "version", TEXT_MAX);
	k->origin = js_want_str(rd, "origin", ORIGIN_MAX);
	k->digest = js_want_str(rd, "digest", HASH_HEX);
	k->builtin = js_take_bool(rd, "builtin", false);
}

static void take_network(struct js_reader *rd, void *item)
{
	struct plan_network *n = item;
	const char *decision;

	n->resource = js_want_str(rd, "resource", TEXT_MAX);
	decision = js_want_str(rd, "decision", 16);
	n->deny = strcmp(decision, "deny") == 0;
	if (rd->r == 0 && !n->deny && strcmp(decision, "allow") != 0)
		js_fault(rd, "decision", "must be allow or deny");
	n->kit = js_want_str(rd, "kit", NAME_MAX_);
	n->phase = phase(rd);
}

static void take_inject(struct js_reader *rd, void *item)
{
	struct plan_inject *in = item;

	in->domain = js_want_str(rd, "domain", TEXT_MAX);
	in->kit = js_want_str(rd, "kit", NAME_MAX_);
	in->header = opt_str(rd, "header", TEXT_MAX);
	in->format = opt_str(rd, "format", TEXT_MAX);
	in->username = opt_str(rd, "username", TEXT_MAX);
}

static void take_install(struct js_reader *rd, void *item)
{
	struct plan_install *c = item;

	c->command = js_want_str(rd, "command", PLAN_COMMAND_MAX);
	c->user = js_want_str(rd, "user", NAME_MAX_);
	c->description = opt_str(rd, "description", TEXT_MAX);
	c->kit = js_want_str(rd, "kit", NAME_MAX_);
	c->line = (uint32_t)js_take_int(rd, "line", 0, INT32_MAX, 0);
}

static void take_startup(struct js_reader *rd, void *item)
{
	struct plan_startup *c = item;

	c->argv = strings(rd, "argv", PLAN_ARGV_MAX);
	if (rd->r == 0 && js_len(c->argv) == 0)
		js_fault(rd, "argv", "must not be empty");
	c->user = js_want_str(rd, "user", NAME_MAX_);
	c->description = opt_str(rd, "description", TEXT_MAX);
	c->background = js_take_bool(rd, "background", false);
	c->kit = js_want_str(rd, "kit", NAME_MAX_);
}

static void take_volume(struct js_reader *rd, void *item)
{
	struct plan_volume *v = item;

	v->path = absolute(rd, "path");
	v->tmpfs = js_take_bool(rd, "tmpfs", false);
	v->bytes = (uint64_t)js_take_int(rd, "bytes", 0, INT64_MAX, 0);
	v->mode = (uint32_t)js_take_int(rd, "mode", 0, 01777, 0);
	v->kit = js_want_str(rd, "kit", NAME_MAX_);
}

static void take_placed(struct js_reader *rd, void *item)
{
	struct plan_placed *f = item;

	f->path = js_want_str(rd, "path", PATH_MAX - 1);
	f->kit = js_want_str(rd, "kit", NAME_MAX_);
}

static void take_port(struct js_reader *rd, void *item)
{
	struct plan_port *p = item;

	p->container = (uint16_t)js_want_int(rd, "container", 1, UINT16_MAX);
	p->host = (uint16_t)js_take_int(rd, "host", 0, UINT16_MAX, 0);
	p->protocol = js_take_str(rd, "protocol", 8, "");
	if (rd->r == 0 && p->protocol[0] && strcmp(p->protocol, "tcp") != 0 &&
		strcmp(p->protocol, "udp") != 0)
		js_fault(rd, "protocol", "must be tcp or udp");
	p->address = opt_str(rd, "address", PORT_ADDRESS_MAX - 1);
	if (rd->r == 0 && p->address && p->address[0] && !port_spec_address(p->address))
		js_fault(rd, "address", "must be a loopback address");
	p->name = opt_str(rd, "name", TEXT_MAX);
	p->kit = opt_str(rd, "kit", NAME_MAX_);
}

/* read_list() - @l as part of @path ("" or "credentials[3].") */
static int read_list(const struct list *l, const char *path, struct err *e)
{
	size_t n = js_len(l->from);
	void *all;

	if (n == 0)
		return 0;
	all = calloc(n, l->size);
	if (!all)
		return err_sys(e, -ENOMEM, "read the plan");
	memcpy(l->to, &all, sizeof(all));
	for (size_t i = 0; i < n; i++) {
		struct js_reader rd;
		char where[96];
		int r;

		(void)snprintf(where, sizeof(where), "%s%s[%zu]", path, l->name, i);
		js_read(&rd, js_at(l->from, i), where, e);
		l->one(&rd, (char *)all + i * l->size);
		r = js_done(&rd);
		if (r < 0)
			return r;
		(*l->n)++;
	}
	return 0;
}

static int read_oauth(
	struct plan_credential *c, const struct js *from, const char *path, struct err *e)
{
	struct plan_oauth *o = calloc(1, sizeof(*o));
	struct js_reader rd;

	c->oauth = o;
	if (!o)
		return err_sys(e, -ENOMEM, "read the plan");
	js_read(&rd, from, path, e);
	o->host = js_want_str(&rd, "host", TEXT_MAX);
	o->path = js_want_str(&rd, "path", TEXT_MAX);
	o->hosts = strings(&rd, "resource_hosts", PLAN_NAMES_MAX);
	o->access = opt_str(&rd, "access_token", TEXT_MAX);
	o->refresh = opt_str(&rd, "refresh_token", TEXT_MAX);
	o->credential_file = opt_str(&rd, "credential_file", PATH_MAX - 1);
	o->structure = opt_str(&rd, "structure", CONTENT_MAX);
	o->template_text = opt_str(&rd, "template", CONTENT_MAX);
	o->fields = pairs(&rd, "fields");
	o->passthrough = js_take_bool(&rd, "passthrough", false);
	return js_done(&rd);
}

static int read_credential(
	struct plan_credential *c, const struct js *from, size_t i, struct err *e)
{
	const struct js *oauth;
	struct js_reader rd;
	char where[64];
	struct list injects = {.name = "injects",
		.to = &c->injects,
		.n = &c->n_injects,
		.size = sizeof(*c->injects),
		.one = take_inject};
	int r;

	(void)snprintf(where, sizeof(where), "credentials[%zu]", i);
	js_read(&rd, from, where, e);
	c->service = js_want_str(&rd, "service", NAME_MAX_);
	c->kit = js_want_str(&rd, "kit", NAME_MAX_);
	c->description = opt_str(&rd, "description", TEXT_MAX);
	c->required = js_take_bool(&rd, "required", false);
	c->phase = phase(&rd);
	c->variables = strings(&rd, "variables", PLAN_NAMES_MAX);
	c->env = strings(&rd, "env", PLAN_NAMES_MAX);
	c->file = opt_str(&rd, "file", PATH_MAX - 1);
	c->parser = opt_str(&rd, "parser", TEXT_MAX);
	c->file_first = js_take_bool(&rd, "file_first", false);
	injects.from = js_take_array(&rd, "injects", PLAN_INJECTS_MAX);
	oauth = js_take_object(&rd, "oauth");
	r = js_done(&rd);
	if (r == 0 && oauth) {
		(void)snprintf(where, sizeof(where), "credentials[%zu].oauth", i);
		r = read_oauth(c, oauth, where, e);
	}
	(void)snprintf(where, sizeof(where), "credentials[%zu].", i);
	return r == 0 ? read_list(&injects, where, e) : r;
}

static int read_credentials(struct plan *p, const struct js *from, struct err *e)
{
	int r = 0;

	if (js_len(from) == 0)
		return 0;
	p->credentials = calloc(js_len(from), sizeof(*p->credentials));
	if (!p->credentials)
		return err_sys(e, -ENOMEM, "read the plan");
	for (size_t i = 0; r == 0 && i < js_len(from); i++)
		r = read_credential(&p->credentials[p->n_credentials++], js_at(from, i), i, e);
	return r;
}

static int read_instructions(struct plan *p, const struct js *from, struct err *e)
{
	struct js_reader rd;

	if (!from)
		return 0;
	js_read(&rd, from, "instructions", e);
	p->instructions_file = js_want_str(&rd, "file", 255);
	p->instructions_dir = absolute(&rd, "dir");
	if (rd.r == 0 && strchr(p->instructions_file, '/'))
		js_fault(&rd, "file", "must be a file name");
	return js_done(&rd);
}

void plan_kits_take(struct plan *p, struct js_reader *rd, struct plan_kits_json *ret)
{
	p->kits_digest = opt_str(rd, "kits_digest", HASH_HEX);
	p->surface = strings(rd, "surface", PLAN_SURFACE_MAX);
	p->asks = strings(rd, "asks", PLAN_SURFACE_MAX);
	p->approval = opt_str(rd, "approval", 64);
	p->withheld = strings(rd, "withheld", PLAN_SURFACE_MAX);
	(void)pairs(rd, "files"); /* digests: what is put in was written together with the plan */
	*ret = (struct plan_kits_json){
		.kits = js_take_array(rd, "kits", PLAN_KITS_MAX),
		.network = js_take_array(rd, "network", PLAN_NETWORK_MAX),
		.credentials = js_take_array(rd, "credentials", PLAN_CREDENTIALS_MAX),
		.install = js_take_array(rd, "install", PLAN_COMMANDS_MAX),
		.startup = js_take_array(rd, "startup", PLAN_COMMANDS_MAX),
		.volumes = js_take_array(rd, "volumes", PLAN_VOLUMES_MAX),
		.ports = js_take_array(rd, "ports", PLAN_PORTS_MAX),
		.placed = js_take_array(rd, "placed", PLAN_PLACED_MAX),
		.instructions = js_take_object(rd, "instructions"),
	};
}

int plan_kits_load(struct plan *p, const struct plan_kits_json *from, struct err *e)
{
#define LIST(list, one)                                                                            \
	{                                                                                          \
#list, from->list, &p->list, &p->n_##list, sizeof(*p->list), one                   \
	}
	const struct list lists[] = {
		LIST(kits, take_kit),
		LIST(network, take_network),
		LIST(install, take_install),
		LIST(startup, take_startup),
		LIST(volumes, take_volume),
		LIST(ports, take_port),
		LIST(placed, take_placed),
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(lists); i++)
		r = read_list(&lists[i], "", e);
	if (r == 0)
		r = read_credentials(p, from->credentials, e);
	return r == 0 ? read_instructions(p, from->instructions, e) : r;
}

void plan_kits_fini(struct plan *p)
{
	for (size_t i = 0; i < p->n_credentials; i++) {
		free(p->credentials[i].injects);
		free(p->credentials[i].oauth);
	}
	free(p->kits);
	free(p->network);
	free(p->credentials);
	free(p->install);
	free(p->startup);
	free(p->volumes);
	free(p->placed);
	free(p->ports);
}
