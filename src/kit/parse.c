#include "kit/kit.h"
#include "kit/ytree.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PATH_TEXT_MAX 1023
#define CPUS_MAX      1024

struct parse {
	struct ytree tree;
	struct kit *kit;
	struct kit_file file; /* the entry of setup.files that is being read */
	struct err *e;
};

/* One field of the schema. take() NULL: the schema has it, this version does not act on it, and to
 * ignore it would promise what is not done.
 */
struct field {
	const char *name;
	int (*take)(struct parse *p, const struct ynode *v);
	bool required;
};

#define FAULT(p, node, ...) yaml_fault((p)->e, &(p)->tree, (node), __VA_ARGS__)

static int take_map(struct parse *p, const struct ynode *map, const char *what,
	const struct field *fields, size_t n_fields)
{
	const struct ynode *key, *value;
	uint64_t seen = 0;
	int r;

	if (map->kind != YNODE_MAP)
		return FAULT(p, map, "%s must be a mapping", what);
	for (key = ynode_first(&p->tree, map); key; key = ynode_next(&p->tree, value)) {
		size_t i = 0;

		value = ynode_next(&p->tree, key);
		while (i < n_fields && strcmp(fields[i].name, key->text) != 0)
			i++;
		if (i == n_fields)
			return FAULT(p, key, "unknown field '%.64s' in %s", key->text, what);
		if (!fields[i].take)
			return FAULT(p, key, "not supported yet: %s", fields[i].name);
		r = fields[i].take(p, value);
		if (r < 0)
			return r;
		seen |= UINT64_C(1) << i;
	}
	for (size_t i = 0; i < n_fields; i++)
		if (fields[i].required && !(seen & UINT64_C(1) << i))
			return FAULT(p, map, "%s has no field '%s'", what, fields[i].name);
	return 0;
}

/* check_text() - what a plain scalar may not be: nothing at all, or the word for it */
static int check_text(struct parse *p, const struct ynode *v, const char *what)
{
	if (v->kind != YNODE_SCALAR)
		return FAULT(p, v, "%s must be text", what);
	if (v->plain &&
		(v->len == 0 || strcmp(v->text, "~") == 0 || strcasecmp(v->text, "null") == 0))
		return FAULT(p, v, "%s has no value: quote it if text is meant", what);
	if (strstr(v->text, "${{"))
		return FAULT(p, v, "not supported yet: kit arguments (${{ ... }})");
	return 0;
}

static int take_text(struct parse *p, const struct ynode *v, const char *what, char **dst)
{
	int r = check_text(p, v, what);

	if (r < 0)
		return r;
	*dst = strdup(v->text);
	return *dst ? 0 : err_sys(p->e, -ENOMEM, "read a kit");
}

static int take_strings(
	struct parse *p, const struct ynode *v, const char *what, struct kit_strv *ret)
{
	const struct ynode *item;
	struct kit_strv s = {0};
	int r = 0;

	if (v->kind != YNODE_LIST)
		return FAULT(p, v, "%s must be a list of text", what);
	s.v = calloc(v->count + 1U, sizeof(*s.v));
	if (!s.v)
		return err_sys(p->e, -ENOMEM, "read a kit");
	for (item = ynode_first(&p->tree, v); item && r == 0; item = ynode_next(&p->tree, item)) {
		r = take_text(p, item, what, &s.v[s.n]);
		if (r == 0)
			s.n++;
	}
	if (r < 0) {
		kit_strv_fini(&s);
		return r;
	}
	*ret = s;
	return 0;
}

/* ---- top level ---- */

static int take_schema(struct parse *p, const struct ynode *v)
{
	int r = check_text(p, v, "schemaVersion");

	if (r < 0)
		return r;
	if (strcmp(v->text, "1") == 0 || strcmp(v->text, "3") == 0)
		return FAULT(p, v, "not supported yet: schemaVersion %s", v->text);
	return strcmp(v->text, "2") == 0 ? 0 : FAULT(p, v, "schemaVersion must be \"2\"");
}

static int take_kind(struct parse *p, const struct ynode *v)
{
	int r = check_text(p, v, "kind");

	if (r < 0)
		return r;
	if (strcmp(v->text, "mixin") == 0)
		return FAULT(p, v, "not supported yet: kind mixin");
	return strcmp(v->text, "sandbox") == 0 ? 0 : FAULT(p, v, "kind must be sandbox or mixin");
}

bool kit_name_ok(const char *s)
{
	size_t n = strlen(s);

	return n >= 1 && n <= 64 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n &&
	       s[0] != '-' && s[n - 1] != '-';
}

static int take_name(struct parse *p, const struct ynode *v)
{
	int r = take_text(p, v, "name", &p->kit->name);

	if (r < 0)
		return r;
	return kit_name_ok(p->kit->name) ? 0
					 : FAULT(p, v,
						   "name must be 1 to 64 of a-z, 0-9 and '-', not "
						   "beginning or ending with '-'");
}

static int take_version(struct parse *p, const struct ynode *v)
{
	return take_text(p, v, "version", &p->kit->version);
}

static int take_display_name(struct parse *p, const struct ynode *v)
{
	return take_text(p, v, "displayName", &p->kit->display_name);
}

static int take_description(struct parse *p, const struct ynode *v)
{
	return take_text(p, v, "description", &p->kit->description);
}

/* ---- sandbox ---- */

static int take_image(struct parse *p, const struct ynode *v)
{
	int r = take_text(p, v, "sandbox.image", &p->kit->image);

	return r < 0 || p->kit->image[0] ? r : FAULT(p, v, "sandbox.image is empty");
}

static int take_argv(struct parse *p, const struct ynode *v, const char *what, struct kit_strv *ret)
{
	int r = take_strings(p, v, what, ret);

	if (r == 0 && ret->n && ret->v[0][0] == '\0')
		return FAULT(p, v, "%s begins with an empty word", what);
	return r;
}

static int take_entrypoint(struct parse *p, const struct ynode *v)
{
	return take_argv(p, v, "sandbox.entrypoint", &p->kit->entrypoint);
}

static int take_default(struct parse *p, const struct ynode *v)
{
	return take_strings(p, v, "sandbox.command.default", &p->kit->command);
}

static int take_interactive(struct parse *p, const struct ynode *v)
{
	p->kit->has_interactive = true;
	return take_strings(p, v, "sandbox.command.interactive", &p->kit->interactive);
}

static int take_command(struct parse *p, const struct ynode *v)
{
	static const struct field fields[] = {
		{.name = "default", .take = take_default},
		{.name = "interactive", .take = take_interactive},
	};

	if (v->kind == YNODE_LIST)
		return take_strings(p, v, "sandbox.command", &p->kit->command);
	return take_map(p, v, "sandbox.command", fields, ARRAY_LEN(fields));
}

/* digits() - a decimal number that begins @text; false when there is none or it is too large */
static bool digits(const char *text, uint64_t *ret, const char **ret_end)
{
	uint64_t n = 0;

	if (*text < '0' || *text > '9')
		return false;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return false;
	*ret = n;
	*ret_end = text;
	return true;
}

static int take_cpu(struct parse *p, const struct ynode *v)
{
	int r = check_text(p, v, "sandbox.resources.cpu");
	const char *end;
	uint64_t n;

	if (r < 0)
		return r;
	if (!digits(v->text, &n, &end) || *end || n < 1 || n > CPUS_MAX)
		return FAULT(p, v, "sandbox.resources.cpu must be a whole number from 1 to %d",
			CPUS_MAX);
	p->kit->cpus = (uint32_t)n;
	return 0;
}

static int take_memory(struct parse *p, const struct ynode *v)
{
	static const char units[] = "kmgt";
	int r = check_text(p, v, "sandbox.resources.memory");
	const char *end, *unit;
	uint64_t n = 0;
	bool ok;

	if (r < 0)
		return r;
	ok = digits(v->text, &n, &end) && n > 0;
	unit = ok && *end ? strchr(units, *end | 0x20) : NULL;
	if (ok && unit) {
		ok = !__builtin_mul_overflow(n, UINT64_C(1) << 10 * (unit - units + 1), &n);
		end++;
	}
	if (!ok || *end || n > INT64_MAX)
		return FAULT(p, v, "sandbox.resources.memory must be a size like 512m or 4g");
	p->kit->memory_bytes = n;
	return 0;
}

static int take_resources(struct parse *p, const struct ynode *v)
{
	static const struct field fields[] = {
		{.name = "cpu", .take = take_cpu},
		{.name = "memory", .take = take_memory},
		{.name = "gpu"},
	};

	return take_map(p, v, "sandbox.resources", fields, ARRAY_LEN(fields));
}

static int take_sandbox(struct parse *p, const struct ynode *v)
{
	static const struct field fields[] = {
		{.name = "image", .take = take_image},
		{.name = "entrypoint", .take = take_entrypoint},
		{.name = "command", .take = take_command},
		{.name = "resources", .take = take_resources},
		{.name = "build"},
	};
	int r = take_map(p, v, "sandbox", fields, ARRAY_LEN(fields));

	if (r == 0 && p->kit->entrypoint.n + p->kit->command.n == 0)
		return FAULT(p, v, "sandbox has neither entrypoint nor command: nothing to run");
	if (r == 0 && p->kit->entrypoint.n == 0 && p->kit->has_interactive &&
		p->kit->interactive.n == 0)
		return FAULT(p, v, "sandbox.command.interactive is empty: nothing to run");
	return r;
}

/* ---- environment ---- */

static bool variable_ok(const char *s)
{
	static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";

	return *s && strchr(first, *s) &&
	       strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789") ==
		       strlen(s);
}

static int take_variables(struct parse *p, const struct ynode *v)
{
	static const char *const reserved[] = {"DASH_", "SBX_", "DOCKER_"};
	struct kit *k = p->kit;
	const struct ynode *key, *value;

	if (v->kind != YNODE_MAP)
		return FAULT(p, v, "environment.variables must be a mapping");
	k->vars = calloc(v->count / 2 + 1U, sizeof(*k->vars));
	if (!k->vars)
		return err_sys(p->e, -ENOMEM, "read a kit");
	for (key = ynode_first(&p->tree, v); key; key = ynode_next(&p->tree, value)) {
		struct kit_var *var = &k->vars[k->n_vars];
		int r;

		value = ynode_next(&p->tree, key);
		if (!variable_ok(key->text))
			return FAULT(p, key, "'%.64s' is not a name for a variable", key->text);
		for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
			if (strncmp(key->text, reserved[i], strlen(reserved[i])) == 0)
				return FAULT(p, key, "variables that begin with %s are reserved",
					reserved[i]);
		k->n_vars++;
		r = take_text(p, key, "a variable", &var->name);
		if (r == 0)
			r = take_text(p, value, key->text, &var->value);
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_environment(struct parse *p, const struct ynode *v)
{
	static const struct field fields[] = {
		{.name = "variables", .take = take_variables},
	};

	return take_map(p, v, "environment", fields, ARRAY_LEN(fields));
}

/* ---- setup ---- */

/* path_ok() - absolute and already in its simplest form, so that nobody can read it differently */
static bool path_ok(const char *s)
{
	size_t n = strlen(s);

	if (n < 2 || n > PATH_TEXT_MAX || s[0] != '/' || s[n - 1] == '/')
		return false;
	for (const char *c = s; c; c = strchr(c + 1, '/'))
		if (strncmp(c, "//", 2) == 0 || strncmp(c, "/./", 3) == 0 ||
			strncmp(c, "/../", 4) == 0 || strcmp(c, "/.") == 0 || strcmp(c, "/..") == 0)
			return false;
	return true;
}

static int take_file_path(struct parse *p, const struct ynode *v)
{
	int r = take_text(p, v, "setup.files path", &p->file.path);

	if (r < 0 || path_ok(p->file.path))
		return r;
	return FAULT(p, v, "setup.files path must be absolute, without '.' or '..' parts");
}

static int take_file_content(struct parse *p, const struct ynode *v)
{
	int r = take_text(p, v, "setup.files content", &p->file.content);

	p->file.len = r == 0 ? v->len : 0;
	return r;
}

static int take_file_mode(struct parse *p, const struct ynode *v)
{
	int r = check_text(p, v, "setup.files mode");
	uint32_t mode = 0;

	if (r < 0)
		return r;
	if (v->len < 3 || v->len > 4 || strspn(v->text, "01234567") != v->len)
		return FAULT(p, v, "setup.files mode must be octal digits like \"0644\"");
	for (const char *c = v->text; *c; c++)
		mode = mode << 3 | (uint32_t)(*c - '0');
	if (mode > 0777)
		return FAULT(p, v, "setup.files mode must not have set-id or sticky bits");
	p->file.mode = mode;
	return 0;
}

static int take_file_if_missing(struct parse *p, const struct ynode *v)
{
	int r = check_text(p, v, "setup.files onlyIfMissing");

	if (r < 0)
		return r;
	if (v->plain && strcmp(v->text, "true") == 0)
		return FAULT(p, v, "not supported yet: onlyIfMissing");
	return v->plain && strcmp(v->text, "false") == 0
		       ? 0
		       : FAULT(p, v, "onlyIfMissing must be true or false");
}

static void file_fini(struct kit_file *f)
{
	free(f->path);
	free(f->content);
	*f = (struct kit_file){0};
}

static int take_files(struct parse *p, const struct ynode *v)
{
	static const struct field fields[] = {
		{.name = "path", .take = take_file_path, .required = true},
		{.name = "content", .take = take_file_content, .required = true},
		{.name = "mode", .take = take_file_mode},
		{.name = "onlyIfMissing", .take = take_file_if_missing},
	};
	struct kit *k = p->kit;
	const struct ynode *item;

	if (v->kind != YNODE_LIST)
		return FAULT(p, v, "setup.files must be a list");
	k->files = calloc(v->count + 1U, sizeof(*k->files));
	if (!k->files)
		return err_sys(p->e, -ENOMEM, "read a kit");
	for (item = ynode_first(&p->tree, v); item; item = ynode_next(&p->tree, item)) {
		int r;

		p->file = (struct kit_file){.mode = 0644};
		r = take_map(p, item, "setup.files", fields, ARRAY_LEN(fields));
		for (size_t i = 0; r == 0 && i < k->n_files; i++)
			if (strcmp(k->files[i].path, p->file.path) == 0)
				r = FAULT(p, item, "setup.files has the path %.256s twice",
					p->file.path);
		if (r < 0) {
			file_fini(&p->file);
			return r;
		}
		k->files[k->n_files++] = p->file;
	}
	return 0;
}

static int take_setup(struct parse *p, const struct ynode *v)
{
	static const struct field fields[] = {
		{.name = "files", .take = take_files},
		{.name = "install"},
		{.name = "startup"},
	};

	return take_map(p, v, "setup", fields, ARRAY_LEN(fields));
}

/* ---- agentInstructions ---- */

static int take_instructions_file(struct parse *p, const struct ynode *v)
{
	int r = take_text(p, v, "agentInstructions.filename", &p->kit->instructions_file);
	const char *f = p->kit->instructions_file;

	if (r < 0)
		return r;
	if (!*f || strlen(f) > 255 || strchr(f, '/') || strcmp(f, ".") == 0 || strcmp(f, "..") == 0)
		return FAULT(p, v, "agentInstructions.filename must be a file name without '/'");
	return 0;
}

static int take_instructions_text(struct parse *p, const struct ynode *v)
{
	return take_text(p, v, "agentInstructions.content", &p->kit->instructions);
}

static int take_instructions(struct parse *p, const struct ynode *v)
{
	static const struct field fields[] = {
		{.name = "filename", .take = take_instructions_file, .required = true},
		{.name = "content", .take = take_instructions_text},
	};

	return take_map(p, v, "agentInstructions", fields, ARRAY_LEN(fields));
}

static const struct field top[] = {
	{.name = "schemaVersion", .take = take_schema, .required = true},
	{.name = "kind", .take = take_kind, .required = true},
	{.name = "name", .take = take_name, .required = true},
	{.name = "version", .take = take_version},
	{.name = "displayName", .take = take_display_name},
	{.name = "description", .take = take_description},
	{.name = "sandbox", .take = take_sandbox, .required = true},
	{.name = "environment", .take = take_environment},
	{.name = "setup", .take = take_setup},
	{.name = "agentInstructions", .take = take_instructions},
	{.name = "sourceURL"},
	{.name = "licenses"},
	{.name = "locked"},
	{.name = "security"},
	{.name = "extends"},
	{.name = "mixins"},
	{.name = "requires"},
	{.name = "args"},
	{.name = "permissions"},
	{.name = "ports"},
	{.name = "credentials"},
	{.name = "volumes"},
};

int kit_parse(const char *file, const char *text, size_t len, struct kit **ret_kit, struct err *e)
{
	struct parse p = {.e = e};
	AUTO_KIT *k = NULL;
	int r;

	if (len > KIT_SPEC_MAX)
		return err_set(e, ERR_LIMIT, -EFBIG, "%s:1:1: larger than %u KiB", file,
			KIT_SPEC_MAX >> 10);
	k = calloc(1, sizeof(*k));
	if (!k)
		return err_sys(e, -ENOMEM, "read '%s'", file);
	buf_init(&k->spec, KIT_SPEC_MAX);
	buf_init(&k->home_tar, KIT_HOME_MAX);
	r = yaml_read(file, text, len, &p.tree, e);
	if (r < 0)
		return r;
	p.kit = k;
	r = take_map(&p, &p.tree.nodes[p.tree.root], "the kit", top, ARRAY_LEN(top));
	ytree_fini(&p.tree);
	if (r == 0)
		r = buf_add(&k->spec, text, len);
	if (r < 0)
		return r;
	*ret_kit = TAKE(k);
	return 0;
}

void kit_strv_fini(struct kit_strv *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct kit_strv){0};
}

void kit_free(struct kit *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->n_vars; i++) {
		free(k->vars[i].name);
		free(k->vars[i].value);
	}
	for (size_t i = 0; i < k->n_files; i++)
		file_fini(&k->files[i]);
	free(k->vars);
	free(k->files);
	kit_strv_fini(&k->entrypoint);
	kit_strv_fini(&k->command);
	kit_strv_fini(&k->interactive);
	free(k->name);
	free(k->version);
	free(k->display_name);
	free(k->description);
	free(k->dir);
	free(k->image);
	free(k->instructions_file);
	free(k->instructions);
	buf_fini(&k->spec);
	buf_fini(&k->home_tar);
	free(k);
}

void kit_freep(struct kit **k)
{
	kit_free(*k);
}
