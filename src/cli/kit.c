/* sbx kit validate|inspect|pack|ls; kit_dist.c and kit_sign.c have the others */
#include "kit/kit.h"
#include "base/escape.h"
#include "base/io.h"
#include "base/paths.h"
#include "cli/box.h"
#include "cli/kit_show.h"
#include "cli/kit_verbs.h"
#include "cli/kits.h"
#include "cli/report.h"
#include "cli/verb.h"
#include "kit/resolve.h"
#include "kit/zip.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int kit_verb_load(
	const struct kit_args_cli *a, bool whole, struct kit_resolved **ret, struct err *e)
{
	struct kit_pair args[ARGS_KIT_ARGS_MAX];
	const char *refs[ARGS_KITS_MAX + 1], *origins[ARGS_KITS_MAX + 1];
	AUTO(kits_at) at = {0};
	struct paths paths;
	struct kit_request q = {.args = args, .n_args = a->n_args, .data_dir = paths.data};
	size_t n = (whole ? a->n_kits : 0) + 1;
	int r;

	for (size_t i = 0; i < a->n_args; i++)
		args[i] = (struct kit_pair){.key = a->args[i].key, .value = a->args[i].value};
	refs[0] = a->ref;
	for (size_t i = 1; i < n; i++)
		refs[i] = a->kits[i - 1];
	r = paths_find(&paths, e);
	if (r == 0)
		r = kits_find(refs, n, &paths, true, &at, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		/* errors name a local kit as it was typed */
		refs[i] = at.v[i].origin[0] ? at.v[i].path : refs[i];
		origins[i] = at.v[i].origin[0] ? at.v[i].origin : NULL;
	}
	q.agent = whole ? refs[0] : NULL;
	q.agent_origin = whole ? origins[0] : NULL;
	q.mixins = whole ? refs + 1 : refs;
	q.origins = whole ? origins + 1 : origins;
	q.n_mixins = whole ? a->n_kits : 1;
	return kit_resolve(&q, ret, e);
}

static void tell_warnings(const struct js *kit)
{
	const struct js *list = js_get(kit, "warnings");

	for (size_t i = 0; i < js_len(list); i++)
		report_note("%s", js_str(js_at(list, i)));
}

static int kit_validate(int argc, char **argv)
{
	static const struct kit_form form = {.options = "aj",
		.words = "KIT",
		.doc = "Check a kit: a directory, a ZIP file, "
		       "git+https://HOST/PATH#ref=COMMIT&dir=DIR, "
		       "or the name of a built-in one. Faults are told with file, line and "
		       "column."};
	AUTO_KIT_RESOLVED *kit = NULL;
	const struct kit_use *use;
	struct kit_args_cli a;
	AUTO_JS o = NULL;
	struct err e = {0};

	if (kit_args_parse(argc, argv, ARGS_EXIT, &form, &a, &e) < 0)
		return report_err(&e, CLI_USAGE);
	if (kit_verb_load(&a, false, &kit, &e) < 0)
		return report_err(&e, CLI_FAIL);
	o = kit_spec_json(kit->specs[0]);
	if (!o)
		return report_err(&e, CLI_FAIL);
	tell_warnings(o);
	use = kit_unenforced(kit->specs[0]);
	if (a.json) {
		AUTO_JS out = js_object();

		if (js_set_bool(out, "valid", true) ||
			js_set_str(out, "name", kit->specs[0]->name.text) ||
			js_set_copy(out, "kind", js_get(o, "kind")) ||
			js_set_copy(out, "schema", js_get(o, "schema")) ||
			js_set_str(out, "origin", kit->sources[0]->origin) ||
			js_set_copy(out, "warnings", js_get(o, "warnings")) ||
			js_set_str(out, "not_supported_by_run", use ? use->field : NULL) ||
			box_print(out, &e) < 0)
			return report_err(&e, CLI_FAIL);
		return report_flush();
	}
	if (use)
		report_note("%s:%u:%u: run does not support %s yet, and refuses the kit",
			kit->specs[0]->file, use->at.line, use->at.column, use->field);
	printf("%s is valid: %s, schema %d\n", kit->specs[0]->name.text,
		kit->specs[0]->kind == KIT_MIXIN ? "mixin" : "agent", kit->specs[0]->schema);
	return report_flush();
}

/* surface_json() - what the plan asks for, as an approval would show it */
static struct js *surface_json(const struct kit_plan *p)
{
	AUTO(kit_surface) s = {0};
	AUTO_JS list = js_array();

	if (kit_plan_surface(p, &s) < 0)
		return NULL;
	for (size_t i = 0; i < s.n; i++)
		if (js_add_str(list, s.v[i]))
			return NULL;
	return TAKE(list);
}

static int kit_inspect(int argc, char **argv)
{
	static const struct kit_form form = {.options = "akj",
		.words = "KIT",
		.doc = "Show a kit, normalised; with --kit an agent together with mixins, as a "
		       "sandbox "
		       "would get them, and what they ask for."};
	AUTO_KIT_RESOLVED *kit = NULL;
	struct kit_args_cli a;
	AUTO_JS o = NULL;
	struct err e = {0};

	if (kit_args_parse(argc, argv, ARGS_EXIT, &form, &a, &e) < 0)
		return report_err(&e, CLI_USAGE);
	if (kit_verb_load(&a, a.n_kits > 0, &kit, &e) < 0)
		return report_err(&e, CLI_FAIL);
	o = kit->plan ? kit_plan_json(kit->plan) : kit_spec_json(kit->specs[0]);
	if (!o || (kit->plan && js_set(o, "asks_for", surface_json(kit->plan)))) {
		(void)err_sys(&e, -ENOMEM, "show kit '%.200s'", a.ref);
		return report_err(&e, CLI_FAIL);
	}
	tell_warnings(o);
	if (a.json)
		return box_print(o, &e) < 0 ? report_err(&e, CLI_FAIL) : report_flush();
	kit_show(o);
	kit_show_lines("ASKS FOR", js_get(o, "asks_for"));
	return report_flush();
}

int kit_verb_write(
	const char *path, bool force, const void *p, size_t len, unsigned mode, struct err *e)
{
	int r;

	if (!force && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		r = err_set(e, ERR_CONFLICT, -EEXIST, "'%.200s' is there already", path);
		err_hint(e, "--force writes over it");
		return r;
	}
	r = io_replace_file(AT_FDCWD, path, p, len, mode);
	return r < 0 ? err_sys(e, r, "write '%.200s'", path) : 0;
}

int kit_verb_zip_name(const char *path, struct err *e)
{
	int r;

	if (strlen(path) >= 5 && strcmp(path + strlen(path) - 4, ".zip") == 0)
		return 0;
	r = err_set(e, ERR_INVALID, -EINVAL, "'%.200s' does not end in .zip", path);
	err_hint(e, "a kit is recognised as a ZIP file by its name");
	return r;
}

static int kit_pack(int argc, char **argv)
{
	static const struct kit_form form = {.options = "aofj",
		.words = "DIR -o FILE.zip",
		.doc = "Check a kit and put it into a ZIP file: spec.yaml and files/, nothing "
		       "else. Equal "
		       "kits give equal bytes. Arguments stay placeholders; --kit-arg is for the "
		       "check."};
	AUTO_KIT_RESOLVED *kit = NULL;
	struct kit_args_cli a;
	struct err e = {0};
	AUTO(buf) zip;

	buf_init(&zip, KIT_ZIP_MAX);
	if (kit_args_parse(argc, argv, ARGS_EXIT, &form, &a, &e) < 0)
		return report_err(&e, CLI_USAGE);
	if (!a.output) {
		(void)err_set(&e, ERR_INVALID, -EINVAL, "kit pack: missing -o FILE.zip");
		return report_err(&e, CLI_USAGE);
	}
	if (kit_verb_zip_name(a.output, &e) < 0)
		return report_err(&e, CLI_USAGE);
	if (kit_verb_load(&a, false, &kit, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (kit_zip_write(&kit->sources[0]->tree, &zip) < 0) {
		(void)err_set(&e, ERR_LIMIT, -EFBIG, "the kit is too large for a ZIP file");
		return report_err(&e, CLI_FAIL);
	}
	if (kit_verb_write(a.output, a.force, zip.data, zip.len, 0644, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (a.json) {
		AUTO_JS out = js_object();

		if (js_set_str(out, "name", kit->specs[0]->name.text) ||
			js_set_str(out, "file", a.output) ||
			js_set_int(out, "bytes", (int64_t)zip.len) ||
			js_set_int(out, "entries", (int64_t)kit->sources[0]->tree.n) ||
			box_print(out, &e) < 0)
			return report_err(&e, CLI_FAIL);
	}
	return report_flush();
}

static int show_one(
	const char *name, const struct paths *p, bool quiet, struct js *list, struct err *e)
{
	const struct kit_request q = {.mixins = &name, .n_mixins = 1, .data_dir = p->data};
	AUTO_KIT_RESOLVED *kit = NULL;
	const struct kit_spec *s;
	char shown[512];
	int r = kit_resolve(&q, &kit, e);

	if (r < 0)
		return r;
	s = kit->specs[0];
	if (list) {
		AUTO_JS o = js_object();

		if (js_set_str(o, "name", s->name.text) ||
			js_set_str(o, "kind", s->kind == KIT_MIXIN ? "mixin" : "sandbox") ||
			js_set_str(o, "version", s->version.text) ||
			js_set_str(o, "description", s->description.text) || js_add(list, TAKE(o)))
			return err_sys(e, -ENOMEM, "list kits");
		return 0;
	}
	if (quiet)
		puts(s->name.text);
	else
		printf("%-16s %-8s %-10s %s\n", s->name.text,
			s->kind == KIT_MIXIN ? "mixin" : "agent",
			s->version.text ? s->version.text : "-",
			escape_str(shown, sizeof(shown),
				s->description.text ? s->description.text : ""));
	return 0;
}

static int kit_ls(int argc, char **argv)
{
	static const struct plain_form form = {
		.options = OPT_JSON | OPT_QUIET, .words = "", .doc = "List the built-in kits."};
	AUTO(plain_args) a = {0};
	AUTO_JS list = js_array();
	struct kit_strv names = {0};
	struct paths p;
	struct err e = {0};
	int r = verb_plain(argc, argv, &form, &a);
	bool json;

	if (r)
		return r;
	json = a.given & OPT_JSON;
	r = paths_find(&p, &e);
	if (r == 0)
		r = kit_list(p.data, &names, &e);
	if (r == 0 && !json && !(a.given & OPT_QUIET))
		printf("%-16s %-8s %-10s %s\n", "KIT", "KIND", "VERSION", "DESCRIPTION");
	for (size_t i = 0; r == 0 && i < names.n; i++)
		r = show_one(names.v[i], &p, a.given & OPT_QUIET, json ? list : NULL, &e);
	kit_strv_fini(&names);
	if (r == 0 && json) {
		AUTO_JS o = js_object();

		r = js_set(o, "kits", TAKE(list)) ? err_sys(&e, -ENOMEM, "list kits")
						  : box_print(o, &e);
	}
	return r < 0 ? report_err(&e, CLI_FAIL) : report_flush();
}

int verb_kit(int argc, char **argv)
{
	static const struct verb subs[] = {
		{"validate", kit_validate, "check one: every fault with its place"},
		{"inspect", kit_inspect, "show one, or an agent with mixins"},
		{"pack", kit_pack, "into a ZIP file"},
		{"push", kit_push, "into a registry"},
		{"pull", kit_pull, "from a registry"},
		{"sign", kit_sign, "with a private key"},
		{"verify", kit_verify, "is it signed, and by a key that is trusted?"},
		{"add", kit_add, "to a sandbox that is there"},
		{"keygen", kit_keygen, "a pair of keys to sign with"},
		{"approvals", kit_approvals, "ls and rm: what was approved"},
		{"ls", kit_ls, "the built-in ones"},
	};

	return verb_sub(subs, ARRAY_LEN(subs), argc, argv);
}
