#include "kit/decode.h"
#include <errno.h>
#include <stddef.h>
#include <string.h>

#define IN_COMMAND(member) offsetof(struct kit_command, member)
#define IN_PUT(member)	   offsetof(struct kit_put, member)
#define IN_PORT(member)	   offsetof(struct kit_port, member)
#define IN_VOLUME(member)  offsetof(struct kit_volume, member)
#define VOLUME_LEAST	   (UINT64_C(512) << 20)

/* ---- environment ---- */

bool kit_variable_ok(const char *s)
{
	static const char bytes[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

	return *s && (*s < '0' || *s > '9') && strspn(s, bytes) == strlen(s) && strlen(s) <= 255;
}

const char *kit_variable_reserved(const char *name)
{
	static const struct {
		const char *name;
		bool prefix;
		const char *why;
	} rules[] = {
		{"DASH_", true, "variables that begin with DASH_ are reserved"},
		{"SBX_", true, "variables that begin with SBX_ are reserved"},
		{"DOCKER_", true, "variables that begin with DOCKER_ are reserved"},
		{"LD_", true, "variables of the dynamic loader are reserved"},
		{"GLIBC_TUNABLES", false, "variables of the dynamic loader are reserved"},
		{"HOME", false, "the sandbox sets it"},
		{"USER", false, "the sandbox sets it"},
		{"LOGNAME", false, "the sandbox sets it"},
		{"SHELL", false, "the sandbox sets it"},
		{"PATH", false, "the sandbox sets it"},
		{"PWD", false, "the sandbox sets it"},
		{"BASH_ENV", false, "the sandbox sets it"},
		{"ENV", false, "every shell would run what it names"},
		{"WORKSPACE_DIR", false, "the sandbox sets it"},
		{"MCP_GATEWAY_URL", false, "the sandbox sets it"},
		/* the way out and whom it is trusted by */
		{"HTTP_PROXY", false, "the way out is the sandbox's"},
		{"HTTPS_PROXY", false, "the way out is the sandbox's"},
		{"ALL_PROXY", false, "the way out is the sandbox's"},
		{"FTP_PROXY", false, "the way out is the sandbox's"},
		{"NO_PROXY", false, "the way out is the sandbox's"},
		{"SSL_CERT_FILE", false, "trust in certificates is the sandbox's"},
		{"SSL_CERT_DIR", false, "trust in certificates is the sandbox's"},
		{"NIX_SSL_CERT_FILE", false, "trust in certificates is the sandbox's"},
		{"NODE_EXTRA_CA_CERTS", false, "trust in certificates is the sandbox's"},
		{"NODE_TLS_REJECT_UNAUTHORIZED", false, "trust in certificates is the sandbox's"},
		{"DENO_CERT", false, "trust in certificates is the sandbox's"},
		{"REQUESTS_CA_BUNDLE", false, "trust in certificates is the sandbox's"},
		{"CURL_CA_BUNDLE", false, "trust in certificates is the sandbox's"},
		{"AWS_CA_BUNDLE", false, "trust in certificates is the sandbox's"},
		{"GIT_SSL_CAINFO", false, "trust in certificates is the sandbox's"},
		{"GIT_SSL_CAPATH", false, "trust in certificates is the sandbox's"},
		{"GIT_SSL_NO_VERIFY", false, "trust in certificates is the sandbox's"},
		{"PIP_CERT", false, "trust in certificates is the sandbox's"},
		{"CARGO_HTTP_CAINFO", false, "trust in certificates is the sandbox's"},
		{"CODEX_CA_CERTIFICATE", false, "trust in certificates is the sandbox's"},
		{"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", false,
			"trust in certificates is the sandbox's"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		/* clients take proxy variables in small letters, too */
		if (rules[i].prefix ? strncmp(name, rules[i].name, strlen(rules[i].name)) == 0
				    : strcmp(name, rules[i].name) == 0 ||
					      (strstr(rules[i].name, "_PROXY") &&
						      strcasecmp(name, rules[i].name) == 0))
			return rules[i].why;
	return NULL;
}

bool kit_variable_steers(const char *name)
{
	static const char *const names[] = {"NODE_OPTIONS", "NODE_PATH", "PYTHONPATH", "PYTHONHOME",
		"PYTHONSTARTUP", "PERL5LIB", "PERL5OPT", "RUBYLIB", "RUBYOPT", "CLASSPATH",
		"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "EDITOR", "VISUAL",
		"PAGER", "BROWSER", "PROMPT_COMMAND", "PS1", "IFS", "SSH_ASKPASS", "LESSOPEN",
		"RUSTC_WRAPPER", "GOFLAGS", "MAKEFLAGS", "CC", "CXX"};
	static const char *const prefixes[] = {
		"GIT_", "SSH_", "PIP_", "NPM_CONFIG_", "npm_config_"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

int decode_variables(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_parts *p = &d->s->parts;
	const struct ynode *key, *value;

	(void)item;
	if (!decode_is(v, YNODE_MAP))
		return FAULT(d, v, "environment.variables must be a mapping");
	p->vars = kit_mem_array(&d->s->mem, v->count / 2, sizeof(*p->vars));
	if (!p->vars)
		return decode_nomem(d);
	for (key = ynode_first(d->t, v); key; key = ynode_next(d->t, value)) {
		struct kit_variable *var = &p->vars[p->n_vars];
		const char *why;
		int r;

		value = ynode_next(d->t, key);
		if (!kit_variable_ok(key->text))
			return FAULT(d, key, "'%.64s' is not a name for a variable", key->text);
		why = kit_variable_reserved(key->text);
		if (why)
			return FAULT(d, key, "a kit must not set %.64s: %s", key->text, why);
		var->at = decode_at(key);
		var->steers = kit_variable_steers(key->text);
		r = decode_text(d, key, "a variable", &var->name);
		if (r == 0)
			r = decode_text(d, value, key->text, &var->value);
		if (r < 0)
			return r;
		p->n_vars++;
	}
	return 0;
}

int decode_environment(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"variables", FIELD_TAKE, 0, decode_variables, 0},
	};

	return decode_map(d, v, "environment", fields, ARRAY_LEN(fields), item);
}

/* ---- setup ---- */

/* A user by number or by a name as useradd would take it; it becomes an argument inside. */
static int take_user(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_command *c = item;
	int r = decode_text(d, v, "user", &c->user);
	size_t n = r == 0 ? strlen(c->user) : 0;

	if (r < 0)
		return r;
	if (n == 0 || n > 32 || strspn(c->user, "abcdefghijklmnopqrstuvwxyz0123456789_-") != n ||
		c->user[0] == '-' ||
		(c->user[0] >= '0' && c->user[0] <= '9' &&
			(strspn(c->user, "0123456789") != n || n > 9)))
		return FAULT(d, v, "user must be the number or the name of a user");
	return 0;
}

static void install_init(void *item)
{
	((struct kit_command *)item)->user = "0";
}

static void startup_init(void *item)
{
	((struct kit_command *)item)->user = "1000";
}

static int install_done(struct decode *d, const struct ynode *v, void *item)
{
	const struct kit_command *c = item;

	return c->shell[strspn(c->shell, " \t\n")] ? 0 : FAULT(d, v, "the command is empty");
}

static int startup_done(struct decode *d, const struct ynode *v, void *item)
{
	const struct kit_command *c = item;

	return c->argv.n && c->argv.v[0].text[0] ? 0 : FAULT(d, v, "the command is empty");
}

static const struct field install_fields[] = {
	{"command", FIELD_TEXT, IN_COMMAND(shell), NULL, FIELD_REQUIRED},
	{"user", FIELD_TAKE, 0, take_user, 0},
	{"description", FIELD_TEXT, IN_COMMAND(description), NULL, 0},
};
static const struct field startup_fields[] = {
	{"command", FIELD_WORDS, IN_COMMAND(argv), NULL, FIELD_REQUIRED},
	{"user", FIELD_TAKE, 0, take_user, 0},
	{"background", FIELD_BOOL, IN_COMMAND(background), NULL, 0},
	{"description", FIELD_TEXT, IN_COMMAND(description), NULL, 0},
};

static int install_as(struct decode *d, const struct ynode *v, const char *what)
{
	const struct list_form form = {what, install_fields, ARRAY_LEN(install_fields),
		sizeof(struct kit_command), install_init, install_done};

	return decode_list(d, v, &form, &d->s->parts.install, &d->s->parts.n_install);
}

static int startup_as(struct decode *d, const struct ynode *v, const char *what)
{
	const struct list_form form = {what, startup_fields, ARRAY_LEN(startup_fields),
		sizeof(struct kit_command), startup_init, startup_done};

	return decode_list(d, v, &form, &d->s->parts.startup, &d->s->parts.n_startup);
}

static int take_install(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	return install_as(d, v, "setup.install");
}
static int take_startup(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	return startup_as(d, v, "setup.startup");
}
static int take_install1(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	return install_as(d, v, "commands.install");
}
static int take_startup1(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	return startup_as(d, v, "commands.startup");
}

static int take_content(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_put *f = item;
	int r = decode_text(d, v, "content", &f->content);

	f->len = r == 0 ? v->len : 0;
	return r;
}

static void put_init(void *item)
{
	((struct kit_put *)item)->mode = 0644;
}

static const struct field put_fields[] = {
	{"path", FIELD_PATH, IN_PUT(path), NULL, FIELD_REQUIRED},
	{"content", FIELD_TAKE, 0, take_content, FIELD_REQUIRED},
	{"mode", FIELD_MODE, IN_PUT(mode), NULL, 0},
	{"onlyIfMissing", FIELD_BOOL, IN_PUT(if_missing), NULL, 0},
	{"description", FIELD_TEXT, IN_PUT(description), NULL, 0},
};

static int files_as(struct decode *d, const struct ynode *v, const char *what)
{
	const struct list_form form = {
		what, put_fields, ARRAY_LEN(put_fields), sizeof(struct kit_put), put_init, NULL};
	struct kit_parts *p = &d->s->parts;
	int r = decode_list(d, v, &form, &p->files, &p->n_files);

	for (size_t i = 0; r == 0 && i < p->n_files; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(p->files[i].path, p->files[j].path) == 0)
				return kit_fault(d->e, d->s, p->files[i].at,
					"%s has the path %.256s twice", what, p->files[i].path);
	return r;
}

static int take_files(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	return files_as(d, v, "setup.files");
}
static int take_files1(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	return files_as(d, v, "commands.initFiles");
}

int decode_setup(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"install", FIELD_TAKE, 0, take_install, 0},
		{"startup", FIELD_TAKE, 0, take_startup, 0},
		{"files", FIELD_TAKE, 0, take_files, 0},
	};

	return decode_map(d, v, "setup", fields, ARRAY_LEN(fields), item);
}

int decode_commands(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"install", FIELD_TAKE, 0, take_install1, 0},
		{"startup", FIELD_TAKE, 0, take_startup1, 0},
		{"initFiles", FIELD_TAKE, 0, take_files1, 0},
	};

	return decode_map(d, v, "commands", fields, ARRAY_LEN(fields), item);
}

/* ---- ports and volumes ---- */

static int take_container(struct decode *d, const struct ynode *v, void *item)
{
	uint64_t n = 0;
	int r = decode_number(d, v, "a port", 1, 65535, &n);

	((struct kit_port *)item)->container = (uint16_t)n;
	return r;
}

static int take_protocol(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_port *p = item;
	int r = decode_text(d, v, "protocol", &p->protocol);

	if (r < 0 || strcmp(p->protocol, "tcp") == 0 || strcmp(p->protocol, "udp") == 0 ||
		p->protocol[0] == '\0')
		return r;
	return FAULT(d, v, "protocol must be tcp or udp");
}

static void port_init(void *item)
{
	((struct kit_port *)item)->protocol = "";
}

int decode_ports(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"container", FIELD_TAKE, 0, take_container, FIELD_REQUIRED},
		{"protocol", FIELD_TAKE, 0, take_protocol, 0},
		{"name", FIELD_TEXT, IN_PORT(name), NULL, 0},
	};
	static const struct list_form form = {
		"ports", fields, ARRAY_LEN(fields), sizeof(struct kit_port), port_init, NULL};
	struct kit_parts *p = &d->s->parts;

	(void)item;
	if (p->ports)
		return FAULT(d, v, "the ports are here twice");
	return decode_list(d, v, &form, &p->ports, &p->n_ports);
}

static int take_volume_type(struct decode *d, const struct ynode *v, void *item)
{
	const char *type;
	int r = decode_text(d, v, "type", &type);

	if (r < 0)
		return r;
	((struct kit_volume *)item)->tmpfs = strcmp(type, "tmpfs") == 0;
	return type[0] == '\0' || strcmp(type, "tmpfs") == 0
		       ? 0
		       : FAULT(d, v, "type must be \"\" or tmpfs");
}

static int take_volume_mode(struct decode *d, const struct ynode *v, void *item)
{
	return decode_mode(d, v, "mode", 01777, &((struct kit_volume *)item)->mode);
}

static int volume_done(struct decode *d, const struct ynode *v, void *item)
{
	const struct kit_volume *w = item;

	return !w->tmpfs && w->bytes && w->bytes < VOLUME_LEAST
		       ? FAULT(d, v, "a volume has at least 512m")
		       : 0;
}

/* more_volumes() - schema 1 has two lists of them */
static int more_volumes(
	struct decode *d, const struct ynode *v, const struct list_form *form, size_t *ret_first)
{
	struct kit_parts *p = &d->s->parts;
	struct kit_volume *more = NULL, *all;
	size_t n = 0;
	int r = decode_list(d, v, form, &more, &n);

	*ret_first = p->n_volumes;
	if (r < 0)
		return r;
	all = kit_mem_array(&d->s->mem, p->n_volumes + n, sizeof(*all));
	if (!all)
		return decode_nomem(d);
	if (p->n_volumes)
		memcpy(all, p->volumes, p->n_volumes * sizeof(*all));
	if (n)
		memcpy(all + p->n_volumes, more, n * sizeof(*all));
	p->volumes = all;
	p->n_volumes += n;
	return 0;
}

int decode_volumes(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"path", FIELD_PATH, IN_VOLUME(path), NULL, FIELD_REQUIRED},
		{"type", FIELD_TAKE, 0, take_volume_type, 0},
		{"size", FIELD_SIZE, IN_VOLUME(bytes), NULL, 0},
		{"mode", FIELD_TAKE, 0, take_volume_mode, 0},
	};
	static const struct list_form form = {
		"volumes", fields, ARRAY_LEN(fields), sizeof(struct kit_volume), NULL, volume_done};
	size_t first;

	(void)item;
	return more_volumes(d, v, &form, &first);
}

int decode_tmpfs(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"path", FIELD_PATH, IN_VOLUME(path), NULL, FIELD_REQUIRED},
		{"size", FIELD_SIZE, IN_VOLUME(bytes), NULL, 0},
		{"mode", FIELD_TAKE, 0, take_volume_mode, 0},
	};
	static const struct list_form form = {
		"tmpfs", fields, ARRAY_LEN(fields), sizeof(struct kit_volume), NULL, NULL};
	size_t first;
	int r = more_volumes(d, v, &form, &first);

	(void)item;
	for (size_t i = first; r == 0 && i < d->s->parts.n_volumes; i++)
		d->s->parts.volumes[i].tmpfs = true;
	return r;
}
