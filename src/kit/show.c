#include "kit/plan.h"
#include <stdio.h>
#include <string.h>

/* Plans and kits as JSON. Everything returns true when it failed, as json.h has it. */

struct show {
	const struct kit_member *kits; /* NULL: one kit, whose name is not repeated */
};

static bool set_kit(const struct show *s, struct js *o, struct kit_place at)
{
	return s->kits && js_set_str(o, "kit", s->kits[at.kit].spec->name.text);
}

static bool set_text(struct js *o, const char *key, const char *text)
{
	return text && js_set_str(o, key, text);
}

static struct js *words(const struct kit_words *w)
{
	AUTO_JS a = js_array();

	for (size_t i = 0; i < w->n; i++)
		if (js_add_str(a, w->v[i].text))
			return NULL;
	return TAKE(a);
}

static bool set_words(struct js *o, const char *key, const struct kit_words *w)
{
	return w->given && js_set(o, key, words(w));
}

static bool set_mode(struct js *o, uint32_t mode)
{
	char text[8];

	(void)snprintf(text, sizeof(text), "%04o", mode & 07777);
	return mode && js_set_str(o, "mode", text);
}

/* set_list() - a list under @key, when there is one */
typedef struct js *show_fn(const struct show *s, const void *item);
static bool set_list(const struct show *s, struct js *o, const char *key, const void *items,
	size_t n, size_t size, show_fn *one)
{
	AUTO_JS a = js_array();

	if (n == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (js_add(a, one(s, (const char *)items + i * size)))
			return true;
	return js_set(o, key, TAKE(a));
}

static struct js *show_host(const struct show *s, const void *item)
{
	const struct kit_word *w = item;
	AUTO_JS o = js_object();
	bool bad = js_set_str(o, "host", w->text) || set_kit(s, o, w->at);

	return bad ? NULL : TAKE(o);
}

static struct js *show_variable(const struct show *s, const void *item)
{
	const struct kit_variable *v = item;
	AUTO_JS o = js_object();
	bool bad = js_set_str(o, "name", v->name) || js_set_str(o, "value", v->value) ||
		   (v->steers && js_set_bool(o, "steers", true)) || set_kit(s, o, v->at);

	return bad ? NULL : TAKE(o);
}

static struct js *show_port(const struct show *s, const void *item)
{
	const struct kit_port *p = item;
	AUTO_JS o = js_object();
	bool bad = js_set_int(o, "container", p->container) ||
		   js_set_str(o, "protocol", p->protocol) || set_text(o, "name", p->name) ||
		   set_kit(s, o, p->at);

	return bad ? NULL : TAKE(o);
}

static struct js *show_volume(const struct show *s, const void *item)
{
	const struct kit_volume *v = item;
	AUTO_JS o = js_object();
	bool bad = js_set_str(o, "path", v->path) ||
		   js_set_str(o, "type", v->tmpfs ? "tmpfs" : "") ||
		   (v->bytes && js_set_int(o, "bytes", (int64_t)v->bytes)) ||
		   set_mode(o, v->mode) || set_kit(s, o, v->at);

	return bad ? NULL : TAKE(o);
}

static struct js *show_command(const struct show *s, const void *item)
{
	const struct kit_command *c = item;
	AUTO_JS o = js_object();
	bool bad = (c->shell ? js_set_str(o, "command", c->shell)
			     : js_set(o, "command", words(&c->argv))) ||
		   js_set_str(o, "user", c->user) || set_text(o, "description", c->description) ||
		   (c->background && js_set_bool(o, "background", true)) || set_kit(s, o, c->at);

	return bad ? NULL : TAKE(o);
}

static struct js *show_put(const struct show *s, const void *item)
{
	const struct kit_put *f = item;
	AUTO_JS o = js_object();
	bool bad = js_set_str(o, "path", f->path) || js_set_str(o, "content", f->content) ||
		   set_mode(o, f->mode) ||
		   (f->if_missing && js_set_bool(o, "onlyIfMissing", true)) ||
		   set_text(o, "description", f->description) || set_kit(s, o, f->at);

	return bad ? NULL : TAKE(o);
}

static struct js *show_placed(const struct show *s, const void *item)
{
	static const char *const types[] = {
		[KIT_FILE] = "file", [KIT_DIR] = "directory", [KIT_LINK] = "link"};
	const struct kit_placed *f = item;
	AUTO_JS o = js_object();
	bool bad = js_set_str(o, "path", f->path) || js_set_str(o, "type", types[f->entry->type]) ||
		   set_mode(o, f->entry->mode) ||
		   (f->entry->type == KIT_FILE && js_set_int(o, "bytes", (int64_t)f->len)) ||
		   (f->entry->type == KIT_LINK && js_set_str(o, "target", f->entry->bytes)) ||
		   set_kit(s, o, f->at);

	return bad ? NULL : TAKE(o);
}

static struct js *show_text(const struct show *s, const void *item)
{
	const struct kit_text *t = item;
	AUTO_JS o = js_object();
	bool bad = js_set_str(o, "text", t->text) || set_kit(s, o, t->at);

	return bad ? NULL : TAKE(o);
}

static struct js *show_inject(const struct show *s, const void *item)
{
	const struct kit_inject *in = item;
	AUTO_JS o = js_object();
	bool bad = js_set_str(o, "domain", in->domain) || set_text(o, "header", in->header) ||
		   set_text(o, "format", in->format) || set_text(o, "username", in->username) ||
		   set_kit(s, o, in->at);

	return bad ? NULL : TAKE(o);
}

static struct js *show_oauth(const struct kit_oauth *a)
{
	AUTO_JS o = js_object();
	AUTO_JS fields = js_object();
	bool bad = js_set_str(o, "host", a->host) || js_set_str(o, "path", a->path) ||
		   set_words(o, "resourceHosts", &a->hosts) ||
		   set_text(o, "accessToken", a->access) ||
		   set_text(o, "refreshToken", a->refresh) ||
		   set_text(o, "credentialFile", a->file_path) ||
		   set_text(o, "structure", a->structure) ||
		   set_text(o, "template", a->template_text) ||
		   js_set_bool(o, "passthrough", a->passthrough);

	for (size_t i = 0; i < a->n_fields; i++)
		bad |= js_set_str(fields, a->fields[i].key, a->fields[i].value);
	if (a->n_fields)
		bad |= js_set(o, "responseFields", TAKE(fields));
	return bad ? NULL : TAKE(o);
}

static struct js *show_cred(const struct show *s, const void *item)
{
	const struct kit_credential *c = item;
	AUTO_JS o = js_object();
	bool bad = js_set_str(o, "service", c->service) ||
		   set_text(o, "description", c->description) ||
		   js_set_bool(o, "required", c->required) || js_set_bool(o, "owner", c->owner) ||
		   (c->phase != KIT_PHASE_ALWAYS &&
			   js_set_str(o, "phase", kit_phase_name(c->phase))) ||
		   set_words(o, "variables", &c->variables) ||
		   (c->managed && js_set_bool(o, "proxyManaged", true)) ||
		   set_words(o, "env", &c->env) || set_text(o, "file", c->file_path) ||
		   set_text(o, "parser", c->file_parser) ||
		   (c->file_first && js_set_bool(o, "fileFirst", true)) ||
		   set_list(s, o, "inject", c->injects, c->n_injects, sizeof(*c->injects),
			   show_inject) ||
		   (c->oauth.at.line && js_set(o, "oauth", show_oauth(&c->oauth))) ||
		   set_kit(s, o, c->at);

	return bad ? NULL : TAKE(o);
}

static bool set_parts(const struct show *s, struct js *o, const struct kit_parts *p)
{
#define LIST(key, list, n, one) set_list(s, o, key, p->list, p->n, sizeof(*p->list), one)
	return set_list(s, o, "allow", p->allow.v, p->allow.n, sizeof(*p->allow.v), show_host) ||
	       set_list(s, o, "deny", p->deny.v, p->deny.n, sizeof(*p->deny.v), show_host) ||
	       set_list(s, o, "install_allow", p->install_allow.v, p->install_allow.n,
		       sizeof(*p->install_allow.v), show_host) ||
	       LIST("variables", vars, n_vars, show_variable) ||
	       LIST("ports", ports, n_ports, show_port) ||
	       LIST("volumes", volumes, n_volumes, show_volume) ||
	       LIST("credentials", creds, n_creds, show_cred) ||
	       LIST("install", install, n_install, show_command) ||
	       LIST("startup", startup, n_startup, show_command) ||
	       LIST("files", files, n_files, show_put) || LIST("home", home, n_home, show_placed) ||
	       LIST("workspace", workspace, n_workspace, show_placed) ||
	       LIST("instructions", texts, n_texts, show_text);
#undef LIST
}

struct js *kit_parts_json(const struct kit_parts *p, const struct kit_member *kits)
{
	const struct show s = {.kits = kits};
	AUTO_JS o = js_object();

	return set_parts(&s, o, p) ? NULL : TAKE(o);
}

static bool set_sizes(struct js *o, uint32_t cpu_milli, uint64_t memory, const char *gpu)
{
	return (cpu_milli && js_set_int(o, "cpu_milli", cpu_milli)) ||
	       (memory && js_set_int(o, "memory_bytes", (int64_t)memory)) ||
	       set_text(o, "gpu", gpu);
}

static struct js *show_member(const struct kit_member *k)
{
	AUTO_JS o = js_object();
	AUTO_JS args = js_object();
	bool bad = js_set_str(o, "name", k->spec->name.text) ||
		   set_text(o, "version", k->spec->version.text) ||
		   js_set_str(o, "kind", k->spec->kind == KIT_MIXIN ? "mixin" : "sandbox") ||
		   js_set_int(o, "schema", k->spec->schema) || set_text(o, "origin", k->origin) ||
		   js_set_bool(o, "builtin", k->builtin);

	for (size_t i = 0; i < k->spec->n_args; i++)
		bad |= js_set_str(args, k->spec->args[i].name, k->spec->args[i].value);
	if (k->spec->n_args)
		bad |= js_set(o, "args", TAKE(args));
	return bad ? NULL : TAKE(o);
}

static bool set_warnings(struct js *o, const struct kit_word *v, size_t n,
	const struct kit_member *kits, const char *file)
{
	AUTO_JS list = js_array();
	char text[ERR_MSG_MAX + 256];

	for (size_t i = 0; i < n; i++) {
		(void)snprintf(text, sizeof(text), "%s:%u:%u: %s",
			kits ? kits[v[i].at.kit].spec->file : file, v[i].at.line, v[i].at.column,
			v[i].text);
		if (js_add_str(list, text))
			return true;
	}
	return js_set(o, "warnings", TAKE(list));
}

struct js *kit_plan_json(const struct kit_plan *p)
{
	const struct show s = {.kits = p->kits};
	AUTO_JS o = js_object();
	AUTO_JS kits = js_array();
	bool bad = js_set_int(o, "version", 1);

	for (size_t i = 0; i < p->n_kits; i++)
		bad |= js_add(kits, show_member(&p->kits[i]));
	bad |= js_set(o, "kits", TAKE(kits)) ||
	       js_set_str(o, "agent", p->kits[p->agent].spec->name.text) ||
	       set_text(o, "image", p->image.text) || set_words(o, "entrypoint", &p->entrypoint) ||
	       set_words(o, "command", &p->command) ||
	       set_words(o, "interactive", &p->interactive) ||
	       set_sizes(o, p->cpu_milli, p->memory_bytes, p->gpu.text) ||
	       js_set_bool(o, "privileged", p->privileged) ||
	       set_text(o, "instructions_file", p->instructions_file.text) ||
	       set_parts(&s, o, &p->parts) ||
	       set_warnings(o, p->warnings, p->n_warnings, p->kits, NULL);
	return bad ? NULL : TAKE(o);
}

static struct js *show_args(const struct kit_spec *s)
{
	AUTO_JS all = js_object();

	for (size_t i = 0; i < s->n_args; i++) {
		const struct kit_arg *a = &s->args[i];
		AUTO_JS o = js_object();

		if (set_text(o, "description", a->description) ||
			js_set_str(o, "value", a->value) || set_text(o, "default", a->fallback) ||
			js_set_bool(o, "required", !a->fallback) ||
			set_text(o, "pattern", a->pattern) || set_words(o, "enum", &a->choices) ||
			js_set(all, a->name, TAKE(o)))
			return NULL;
	}
	return TAKE(all);
}

struct js *kit_spec_json(const struct kit_spec *k)
{
	const struct show s = {0};
	const struct kit_use *u = kit_unenforced(k);
	AUTO_JS o = js_object();
	bool bad = js_set_int(o, "schema", k->schema) ||
		   js_set_str(o, "kind", k->kind == KIT_MIXIN ? "mixin" : "sandbox") ||
		   js_set_str(o, "name", k->name.text) || set_text(o, "version", k->version.text) ||
		   set_text(o, "display_name", k->display_name.text) ||
		   set_text(o, "description", k->description.text) ||
		   set_text(o, "source_url", k->source_url.text) ||
		   set_words(o, "licenses", &k->licenses) || set_words(o, "locked", &k->locked) ||
		   set_words(o, "mixins", &k->mixins) || set_text(o, "extends", k->extends.text) ||
		   set_text(o, "requires_agent", k->requires_agent.text) ||
		   (k->privileged && js_set_bool(o, "privileged", true)) ||
		   (k->n_args && js_set(o, "args", show_args(k))) ||
		   set_text(o, "image", k->image.text) ||
		   set_words(o, "entrypoint", &k->entrypoint) ||
		   set_words(o, "command", &k->command) ||
		   set_words(o, "interactive", &k->interactive) ||
		   set_sizes(o, k->cpu_milli, k->memory_bytes, k->gpu.text) ||
		   set_text(o, "instructions_file", k->instructions_file.text) ||
		   set_parts(&s, o, &k->parts) ||
		   set_warnings(o, k->warnings, k->n_warnings, NULL, k->file) ||
		   js_set_str(o, "not_supported_by_run", u ? u->field : NULL);

	return bad ? NULL : TAKE(o);
}
