#include "daemon/resolve.h"
#include "dist/admit.h"
#include "kit/put.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WARNINGS_MOST 32

/* The kits of a Create: read, composed, and written into the plan. plan_kits.c reads it back. */

/* A kit of the list: a reference, or an object that says where the local copy is from. */
static int take_ref(
	struct resolving *s, const struct js *v, size_t i, const char **ref, const char **origin)
{
	struct js_reader rd;
	char where[40];

	*origin = NULL;
	*ref = js_str(v);
	if (*ref)
		return 0;
	(void)snprintf(where, sizeof(where), "kits[%zu]", i);
	js_read(&rd, v, where, s->e);
	*ref = js_want_str(&rd, "path", PATH_MAX - 1);
	*origin = js_take_str(&rd, "origin", KIT_REF_MAX - 1, NULL);
	return js_done(&rd);
}

/* check_ref() - this program has no network, and no working directory that means something */
static int check_ref(struct resolving *s, const char *key, const char *ref)
{
	if (strlen(ref) < PATH_MAX && (ref[0] == '/' || kit_name_ok(ref)))
		return 0;
	return err_set(s->e, ERR_INVALID, -EINVAL,
		"%s: '%.200s' is neither a name nor an absolute path", key, ref);
}

static int take_args(struct resolving *s, struct kit_pair *args)
{
	for (size_t i = 0; i < js_len(s->kit_args); i++) {
		struct js_reader rd;
		char where[40];
		int r;

		(void)snprintf(where, sizeof(where), "kit_args[%zu]", i);
		js_read(&rd, js_at(s->kit_args, i), where, s->e);
		args[i].key = js_want_str(&rd, "name", 256);
		args[i].value = js_want_str(&rd, "value", KIT_VALUE_MAX);
		r = js_done(&rd);
		if (r < 0)
			return r;
	}
	return 0;
}

/* admit() - by the settings: the client has judged before it fetched, but clients are many */
static int admit(struct resolving *s)
{
	AUTO(dist_rules) rules = {0};
	int r = dist_rules_load(s->paths, &rules, s->e);

	for (size_t i = 0; r == 0 && i < s->kits->n; i++)
		r = dist_admit(&rules, s->kits->sources[i], s->paths->cache, s->e);
	return r;
}

int resolve_kits(struct resolving *s)
{
	const char *refs[KIT_MIXINS_MAX], *origins[KIT_MIXINS_MAX];
	AUTO_FREE struct kit_pair *args = calloc(js_len(s->kit_args) + 1, sizeof(*args));
	const struct kit_request q = {.agent = s->agent,
		.agent_origin = s->agent_origin,
		.mixins = refs,
		.origins = origins,
		.n_mixins = js_len(s->kit_list),
		.args = args,
		.n_args = js_len(s->kit_args),
		.data_dir = s->paths->data};
	int r = args ? check_ref(s, "agent", s->agent) : err_sys(s->e, -ENOMEM, "read kits");

	for (size_t i = 0; r == 0 && i < q.n_mixins; i++) {
		r = take_ref(s, js_at(s->kit_list, i), i, &refs[i], &origins[i]);
		if (r == 0)
			r = check_ref(s, "kits", refs[i]);
	}
	if (r == 0)
		r = take_args(s, args);
	if (r == 0)
		r = kit_resolve(&q, &s->kits, s->e);
	if (r == 0)
		r = admit(s);
	if (r < 0)
		return r;
	s->kit = s->kits->plan;
	s->kit_name = s->kit->kits[s->kit->agent].spec->name.text;
	return kit_plan_check_enforced(s->kit, s->e);
}

/* ---- writing ---- */

static const char *kit_at(const struct resolving *s, struct kit_place at)
{
	return s->kit->kits[at.kit].spec->name.text;
}

static bool set_text(struct js *o, const char *key, const char *text)
{
	return text && js_set_str(o, key, text);
}

/* set_words() - nothing when there are none */
static bool set_words(struct js *o, const char *key, const struct kit_words *w)
{
	AUTO_JS list = js_array();
	bool bad = false;

	for (size_t i = 0; i < w->n; i++)
		bad |= js_add_str(list, w->v[i].text);
	return bad || (w->n && js_set(o, key, TAKE(list)));
}

/* put() - a list of the plan; an empty one is left out */
static void put(struct resolving *s, const char *key, struct js *list)
{
	if (js_len(list) > 0)
		s->bad |= js_set(s->out, key, list);
	else
		js_free(list);
}

static int hash(struct resolving *s, const struct buf *b, char hex[HASH_HEX])
{
	int r = hash_bytes(buf_str(b), b->len, hex);

	return r < 0 ? err_sys(s->e, r, "hash the kits") : 0;
}

/* write_kits() - who they are, and the digest of all they say: their plan and every byte of them */
static int write_kits(struct resolving *s)
{
	const struct kit_plan *p = s->kit;
	AUTO_JS json = kit_plan_json(p);
	AUTO_JS list = js_array();
	char hex[HASH_HEX];
	AUTO(buf) all;
	int r = json ? 0 : -ENOMEM;

	buf_init(&all, PLAN_TEXT_MAX * 8);
	if (r == 0)
		r = js_canonical(json, &all);
	if (r < 0)
		return err_sys(s->e, r, "write down the kits");
	for (size_t i = 0; i < p->n_kits; i++) {
		const struct kit_member *k = &p->kits[i];
		AUTO_JS o = js_object();
		AUTO(buf) bytes;

		buf_init(&bytes, 2 * KIT_TREE_BYTES_MAX);
		r = kit_tree_bytes(k->spec->tree, &bytes);
		r = r < 0 ? err_sys(s->e, r, "read the kits") : hash(s, &bytes, hex);
		if (r == 0)
			r = buf_add(&all, hex, sizeof(hex));
		if (r < 0)
			return r;
		s->bad |= js_set_str(o, "name", k->spec->name.text);
		s->bad |= set_text(o, "version", k->spec->version.text);
		s->bad |= js_set_str(o, "origin", k->origin);
		s->bad |= js_set_bool(o, "builtin", k->builtin);
		s->bad |= js_set_str(o, "digest", hex);
		s->bad |= js_add(list, TAKE(o));
	}
	put(s, "kits", TAKE(list));
	r = hash(s, &all, hex);
	if (r == 0)
		s->bad |= js_set_str(s->out, "kits_digest", hex);
	return r;
}

static void add_hosts(struct resolving *s, struct js *list, const struct kit_words *w,
	const char *decision, const char *phase)
{
	for (size_t i = 0; i < w->n; i++) {
		AUTO_JS o = js_object();

		s->bad |= js_set_str(o, "resource", w->v[i].text);
		s->bad |= js_set_str(o, "decision", decision);
		s->bad |= js_set_str(o, "kit", kit_at(s, w->v[i].at));
		s->bad |= set_text(o, "phase", phase);
		s->bad |= js_add(list, TAKE(o));
	}
}

/* write_network() - @dropped: denials of an earlier version, which hold until somebody approves it */
static void write_network(struct resolving *s, const struct kit_surface *dropped)
{
	AUTO_JS list = js_array();

	for (size_t i = 0; i < dropped->n; i++) {
		AUTO_JS o = js_object();

		s->bad |= js_set_str(o, "resource", dropped->v[i]) ||
			  js_set_str(o, "decision", "deny") ||
			  js_set_str(o, "kit", "(as approved before)") || js_add(list, TAKE(o));
	}

	add_hosts(s, list, &s->kit->parts.deny, "deny", NULL);
	add_hosts(s, list, &s->kit->parts.allow, "allow", NULL);
	add_hosts(s, list, &s->kit->parts.install_allow, "allow", "install");
	put(s, "network", TAKE(list));
}

static struct js *oauth_json(const struct kit_oauth *a)
{
	AUTO_JS o = js_object();
	AUTO_JS fields = js_object();
	bool bad = js_set_str(o, "host", a->host) || js_set_str(o, "path", a->path) ||
		   set_words(o, "resource_hosts", &a->hosts) ||
		   set_text(o, "access_token", a->access) ||
		   set_text(o, "refresh_token", a->refresh) ||
		   set_text(o, "credential_file", a->file_path) ||
		   set_text(o, "structure", a->structure) ||
		   set_text(o, "template", a->template_text) ||
		   (a->passthrough && js_set_bool(o, "passthrough", true));

	for (size_t i = 0; i < a->n_fields; i++)
		bad |= js_set_str(fields, a->fields[i].key, a->fields[i].value);
	if (a->n_fields)
		bad |= js_set(o, "fields", TAKE(fields));
	return bad ? NULL : TAKE(o);
}

static struct js *injects_json(const struct resolving *s, const struct kit_credential *c)
{
	AUTO_JS list = js_array();
	bool bad = false;

	for (size_t i = 0; i < c->n_injects; i++) {
		const struct kit_inject *in = &c->injects[i];
		AUTO_JS o = js_object();

		bad |= js_set_str(o, "domain", in->domain) ||
		       js_set_str(o, "kit", kit_at(s, in->at)) ||
		       set_text(o, "header", in->header) || set_text(o, "format", in->format) ||
		       set_text(o, "username", in->username) || js_add(list, TAKE(o));
	}
	return bad ? NULL : TAKE(list);
}

/* write_credentials() - of those that some kit owns: routes without an owner go nowhere; what was withheld
 * as a whole is not there
 */
static void write_credentials(struct resolving *s)
{
	AUTO_JS list = js_array();

	for (size_t i = 0; i < s->kit->parts.n_creds; i++) {
		const struct kit_credential *c = &s->kit->parts.creds[i];
		AUTO_JS o = js_object();

		if (!c->owner || (c->variables.n + c->n_injects + c->env.n == 0 && !c->file_path &&
					 !c->oauth.at.line && !s->kit->kits[c->at.kit].builtin))
			continue;
		s->bad |= js_set_str(o, "service", c->service) ||
			  js_set_str(o, "kit", kit_at(s, c->at)) ||
			  set_text(o, "description", c->description) ||
			  (c->required && js_set_bool(o, "required", true)) ||
			  (c->phase != KIT_PHASE_ALWAYS &&
				  js_set_str(o, "phase", kit_phase_name(c->phase))) ||
			  set_words(o, "variables", &c->variables) ||
			  set_words(o, "env", &c->env) || set_text(o, "file", c->file_path) ||
			  set_text(o, "parser", c->file_parser) ||
			  (c->file_first && js_set_bool(o, "file_first", true)) ||
			  (c->n_injects && js_set(o, "injects", injects_json(s, c))) ||
			  (c->oauth.at.line && js_set(o, "oauth", oauth_json(&c->oauth))) ||
			  js_add(list, TAKE(o));
	}
	put(s, "credentials", TAKE(list));
}

static void write_commands(struct resolving *s)
{
	const struct kit_parts *p = &s->kit->parts;
	AUTO_JS install = js_array();
	AUTO_JS startup = js_array();

	for (size_t i = 0; i < p->n_install; i++) {
		const struct kit_command *c = &p->install[i];
		AUTO_JS o = js_object();

		s->bad |= js_set_str(o, "command", c->shell) || js_set_str(o, "user", c->user) ||
			  set_text(o, "description", c->description) ||
			  js_set_str(o, "kit", kit_at(s, c->at)) ||
			  js_set_int(o, "line", c->at.line) || js_add(install, TAKE(o));
	}
	for (size_t i = 0; i < p->n_startup; i++) {
		const struct kit_command *c = &p->startup[i];
		AUTO_JS o = js_object();

		s->bad |= set_words(o, "argv", &c->argv) || js_set_str(o, "user", c->user) ||
			  (c->background && js_set_bool(o, "background", true)) ||
			  set_text(o, "description", c->description) ||
			  js_set_str(o, "kit", kit_at(s, c->at)) || js_add(startup, TAKE(o));
	}
	put(s, "install", TAKE(install));
	put(s, "startup", TAKE(startup));
}

static void write_argv(struct resolving *s, const char *key, bool tty)
{
	const struct kit_plan *p = s->kit;
	const struct kit_words *command =
		tty && p->interactive.given ? &p->interactive : &p->command;
	AUTO_JS list = js_array();

	/* Who says nothing of it gets what the image's makers meant, as everywhere where images are run. */
	if (!p->entrypoint.n)
		resolve_image_argv(s, "entrypoint", list);
	if (!p->entrypoint.n && !command->n)
		resolve_image_argv(s, "cmd", list);
	for (size_t i = 0; i < p->entrypoint.n; i++)
		s->bad |= js_add_str(list, p->entrypoint.v[i].text);
	for (size_t i = 0; i < command->n; i++)
		s->bad |= js_add_str(list, command->v[i].text);
	s->bad |= js_set(s->out, key, TAKE(list));
}

/* is_shared() - would the text in @dir be on the host? Also where one of its files is itself a share. */
static bool is_shared(const struct js *spaces, const char *dir, const char *file)
{
	const char *const names[] = {file, "kits-memory"};
	char path[PATH_MAX + 256];

	for (size_t i = 0; i < js_len(spaces); i++) {
		const char *share = js_str(js_get(js_at(spaces, i), "path"));

		if (plan_within(dir, share))
			return true;
		for (size_t k = 0; k < ARRAY_LEN(names); k++) {
			(void)snprintf(path, sizeof(path), "%s/%s",
				strcmp(dir, "/") == 0 ? "" : dir, names[k]);
			if (plan_within(share, path))
				return true;
		}
	}
	return false;
}

/* write_instructions() - beside the workspace, inside: the host's directory of that name stays as it is.
 * Where that place is itself a shared one, the user's home has to do.
 */
static void write_instructions(struct resolving *s)
{
	const struct js *spaces = js_get(s->out, "workspaces");
	const char *slash = strrchr(s->cwd, '/'), *file = s->kit->instructions_file.text;
	char dir[PATH_MAX], note[PATH_MAX + 512];
	AUTO_JS o = js_object();
	bool shared, nowhere;

	if (!file || s->kit->parts.n_texts == 0)
		return;
	(void)snprintf(
		dir, sizeof(dir), "%.*s", (int)(slash > s->cwd ? slash - s->cwd : 1), s->cwd);
	shared = is_shared(spaces, dir, file);
	nowhere = shared && is_shared(spaces, PLAN_GUEST_HOME, file);
	if (shared) {
		(void)snprintf(note, sizeof(note), "%.255s: %s, as %s is a shared folder", file,
			nowhere ? "left out" : "written to " PLAN_GUEST_HOME, dir);
		s->bad |= js_add_str(s->notes, note);
	}
	if (nowhere)
		return;
	if (shared || js_len(spaces) == 0)
		(void)snprintf(dir, sizeof(dir), PLAN_GUEST_HOME);
	s->bad |= js_set_str(o, "file", file);
	s->bad |= js_set_str(o, "dir", dir);
	s->bad |= js_set(s->out, "instructions", TAKE(o));
}

/* write_warnings() - what the kits say and nothing comes of; a person should know */
static void write_warnings(struct resolving *s)
{
	for (size_t i = 0; i < s->kit->n_warnings && i < WARNINGS_MOST; i++) {
		const struct kit_word *w = &s->kit->warnings[i];
		char text[ERR_MSG_MAX + 256];

		(void)snprintf(text, sizeof(text), "%s:%u:%u: %s",
			s->kit->kits[w->at.kit].spec->file, w->at.line, w->at.column, w->text);
		s->bad |= js_add_str(s->notes, text);
	}
}

/* new_parts() - of @all the files of the further kits; a part that is copied is in @ret's memory */
static int new_parts(struct resolving *s, const struct kit_parts *all, struct kit_parts *ret)
{
	*ret = *all;
	ret->home = calloc(all->n_home + 1, sizeof(*ret->home));
	ret->workspace = calloc(all->n_workspace + 1, sizeof(*ret->workspace));
	ret->files = calloc(all->n_files + 1, sizeof(*ret->files));
	ret->n_home = ret->n_workspace = ret->n_files = 0;
	if (!ret->home || !ret->workspace || !ret->files)
		return -ENOMEM;
	for (size_t i = 0; i < all->n_home; i++)
		if (resolve_is_new(s, kit_at(s, all->home[i].at)))
			ret->home[ret->n_home++] = all->home[i];
	for (size_t i = 0; i < all->n_workspace; i++)
		if (resolve_is_new(s, kit_at(s, all->workspace[i].at)))
			ret->workspace[ret->n_workspace++] = all->workspace[i];
	for (size_t i = 0; i < all->n_files; i++)
		if (resolve_is_new(s, kit_at(s, all->files[i].at)))
			ret->files[ret->n_files++] = all->files[i];
	return 0;
}

/* make_files() - what is put in at the first start, or when kits were added */
static int make_files(struct resolving *s, struct plan_files *f)
{
	const struct kit_owner owner = {PLAN_GUEST_UID, PLAN_GUEST_UID};
	struct kit_parts p;
	int r = new_parts(s, &s->kit->parts, &p);

	if (r == 0)
		r = kit_placed_tar(p.home, p.n_home, &f->home);
	if (r == 0)
		r = kit_placed_tar(p.workspace, p.n_workspace, &f->workspace);
	if (r == 0)
		r = kit_setup_tar(&p, false, s->cwd, owner, &f->setup);
	if (r == 0)
		r = kit_setup_tar(&p, true, s->cwd, owner, &f->missing);
	if (r == 0)
		r = kit_memory_tar(s->kit, owner, &f->memory);
	free(p.home);
	free(p.workspace);
	free(p.files);
	if (r == -ENOBUFS)
		return err_set(s->e, ERR_LIMIT, -EFBIG, "the kits' files are too large together");
	return r < 0 ? err_sys(s->e, r, "put together the files of the kits") : 0;
}

static int write_files(struct resolving *s, struct plan_files *f)
{
	const struct {
		const char *key;
		const struct buf *bytes;
	} all[] = {{"home", &f->home}, {"setup", &f->setup}, {"missing", &f->missing},
		{"workspace", &f->workspace}, {"memory", &f->memory}};
	AUTO_JS o = js_object();
	int r = make_files(s, f);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(all); i++) {
		char hex[HASH_HEX];

		if (all[i].bytes->len == 0)
			continue;
		r = hash(s, all[i].bytes, hex);
		if (r == 0)
			s->bad |= js_set_str(o, all[i].key, hex);
	}
	if (r == 0 && js_len(o) > 0)
		s->bad |= js_set(s->out, "files", TAKE(o));
	return r;
}

static void add_placed(struct resolving *s, struct js *list, const char *before, const char *path,
	struct kit_place at)
{
	AUTO_JS o = js_object();
	char text[PATH_MAX];

	if (js_len(list) == PLAN_PLACED_MAX ||
		snprintf(text, sizeof(text), "%s%s", before, path) >= (int)sizeof(text))
		return;
	s->bad |= js_set_str(o, "path", text) || js_set_str(o, "kit", kit_at(s, at)) ||
		  js_add(list, TAKE(o));
}

/* write_placed() - where the files go, for who looks at the sandbox; all kits', also when some are new */
static void write_placed(struct resolving *s)
{
	const struct kit_parts *p = &s->kit->parts;
	AUTO_JS list = js_array();

	for (size_t i = 0; i < p->n_files; i++)
		add_placed(s, list, "", p->files[i].path, p->files[i].at);
	for (size_t i = 0; i < p->n_workspace; i++)
		add_placed(s, list, "./", p->workspace[i].path, p->workspace[i].at);
	for (size_t i = 0; i < p->n_home; i++)
		add_placed(s, list, "~/", p->home[i].path, p->home[i].at);
	put(s, "placed", TAKE(list));
}

int resolve_kits_write(struct resolving *s, struct plan_files *files)
{
	AUTO(kit_surface) dropped = {0};
	int r = write_kits(s); /* before anything is taken out of them */

	if (r == 0 && s->old)
		r = resolve_added(s);
	if (r == 0)
		r = resolve_approval(s, &dropped);
	if (r < 0)
		return r;
	write_argv(s, "argv", false);
	write_argv(s, "argv_interactive", true);
	write_network(s, &dropped);
	write_credentials(s);
	write_commands(s);
	write_instructions(s);
	write_placed(s);
	resolve_only_new(s);
	write_warnings(s);
	r = resolve_mounts(s);
	return r == 0 ? write_files(s, files) : r;
}
