#include "daemon/resolve.h"
#include "daemon/rules.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

void plan_host_find(struct plan_host *ret)
{
	struct sysinfo si = {0};
	int n = get_nprocs();

	ret->cpus = n > 0 ? (uint32_t)n : 1;
	ret->memory_bytes = sysinfo(&si) == 0 ? (uint64_t)si.totalram * si.mem_unit : 0;
}

static int read_create(struct resolving *s)
{
	struct js_reader rd;
	const char *name;
	int r;

	js_read(&rd, s->create, "", s->e);
	name = js_take_str(&rd, "name", PATH_MAX, "");
	s->agent = js_want_str(&rd, "agent", PATH_MAX - 1);
	s->approve = js_take_str(&rd, "approve", HASH_HEX - 1, "");
	s->kit_list = js_take_array(&rd, "kits", KIT_MIXINS_MAX);
	s->kit_args = js_take_array(&rd, "kit_args", RESOLVE_ARGS_MAX);
	s->agent_origin = js_take_str(&rd, "agent_origin", KIT_REF_MAX - 1, NULL);
	s->workspaces = js_take_array(&rd, "workspaces", MACHINE_EXPORTS_MAX);
	s->masks = js_take_array(&rd, "masks", MACHINE_MASKS_MAX);
	s->cpus = js_take_int(&rd, "cpus", 0, INT64_MAX, 0);
	s->memory_bytes = js_take_int(&rd, "memory_bytes", 0, INT64_MAX, 0);
	s->disk_bytes = js_take_int(&rd, "disk_bytes", 0, INT64_MAX, 0);
	s->env = js_take_object(&rd, "env");
	s->ports = js_take_array(&rd, "ports", PLAN_PORTS_MAX);
	s->policy = js_take_array(&rd, "policy", RULES_LIST_MAX);
	s->template = js_take_str(&rd, "template", 256, "");
	s->isolation = js_take_str(&rd, "isolation", 16, "auto");
	r = js_done(&rd);
	if (r < 0)
		return r;
	if (strlen(name) > NAME_MAX_LEN || (name[0] && name_check(name, s->e) < 0))
		return strlen(name) > NAME_MAX_LEN
			       ? err_set(s->e, ERR_INVALID, -EINVAL,
					 "a sandbox name has at most %d characters", NAME_MAX_LEN)
			       : -EINVAL;
	(void)snprintf(s->name, sizeof(s->name), "%s", name);
	return 0;
}

static int choose_engine(struct resolving *s)
{
	if (strcmp(s->isolation, "auto") == 0 || strcmp(s->isolation, "emulated") == 0) {
		s->bad |= js_set_str(s->out, "isolation", "emulated");
		return 0;
	}
	if (strcmp(s->isolation, "kvm") == 0) {
		(void)err_set(s->e, ERR_UNAVAILABLE, -ENODEV,
			"isolation 'kvm' is not available: this version runs sandboxes emulated");
		err_hint(s->e, "leave --isolation away, or say --isolation emulated");
		return -ENODEV;
	}
	return err_set(s->e, ERR_INVALID, -EINVAL,
		"isolation: '%s' is not one of auto, emulated, kvm", s->isolation);
}

static int limit(struct resolving *s, const char *what, const char *unit, uint64_t value,
	uint64_t min, uint64_t max)
{
	unsigned shift = strcmp(unit, "MiB") == 0 ? 20 : 0;

	if (value >= min && value <= max)
		return 0;
	return err_set(s->e, ERR_INVALID, -ERANGE, "%s: %llu %s is not between %llu and %llu %s",
		what, (unsigned long long)(value >> shift), unit,
		(unsigned long long)(min >> shift), (unsigned long long)(max >> shift), unit);
}

static int choose_sizes(struct resolving *s)
{
	uint64_t host_memory = s->host->memory_bytes, max_memory = host_memory / 4 * 3;
	uint64_t cpus = (uint64_t)s->cpus, memory = (uint64_t)s->memory_bytes,
		 disk = (uint64_t)s->disk_bytes;
	int r;

	if (cpus == 0)
		cpus = s->kit->cpu_milli ? (s->kit->cpu_milli + 999) / 1000 : PLAN_CPUS_DEFAULT;
	if (s->cpus == 0 && cpus > s->host->cpus)
		cpus = s->host->cpus;
	if (memory == 0) {
		memory = s->kit->memory_bytes ? s->kit->memory_bytes : PLAN_MEMORY_DEFAULT;
		if (memory > host_memory / 2)
			memory = host_memory / 2;
	}
	memory &= ~((1ULL << 20) - 1);
	if (disk == 0)
		disk = PLAN_DISK_DEFAULT;
	disk &= ~((1ULL << 20) - 1);
	r = limit(s, "cpus", "CPUs", cpus, 1, s->host->cpus);
	if (r == 0)
		r = limit(s, "memory", "MiB", memory, PLAN_MEMORY_MIN, max_memory);
	if (r == 0)
		r = limit(s, "disk", "MiB", disk, PLAN_DISK_MIN, PLAN_DISK_MAX);
	if (r < 0)
		return r;
	s->bad |= js_set_int(s->out, "cpus", (int64_t)cpus);
	s->bad |= js_set_int(s->out, "memory_bytes", (int64_t)memory);
	s->bad |= js_set_int(s->out, "disk_bytes", (int64_t)disk);
	return 0;
}

/* plan_load() judges them; a plan without any is what it was before there were masks */
static void add_masks(struct resolving *s)
{
	if (js_len(s->masks) > 0)
		s->bad |= js_set_copy(s->out, "masks", s->masks);
}

static int check_var(struct resolving *s, const char *name, const char *value)
{
	size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

	if (n == 0 || n > 255 || name[n] || (name[0] >= '0' && name[0] <= '9'))
		return err_set(s->e, ERR_INVALID, -EINVAL,
			"env: '%.64s' is not the name of a variable", name);
	if (!value || strlen(value) > 32768)
		return err_set(s->e, ERR_INVALID, -EINVAL,
			"env: the value of %s must be a string of at most 32768 bytes", name);
	return 0;
}

/* The image's variables, the kits', then what the person said: the later wins. */
static int add_env(struct resolving *s)
{
	AUTO_JS env = js_object();
	const struct js *value;
	const char *name;
	void *iter = NULL;

	resolve_image_env(s, env);
	s->bad |= js_set_str(env, "SBX_SANDBOX", s->name);
	for (size_t i = 0; i < s->kit->parts.n_vars; i++)
		s->bad |= js_set_str(env, s->kit->parts.vars[i].name, s->kit->parts.vars[i].value);
	while (s->env && js_each(s->env, &iter, &name, &value)) {
		int r = check_var(s, name, js_str(value));

		if (r < 0)
			return r;
		s->bad |= js_set_str(env, name, js_str(value));
	}
	if (js_len(env) > PLAN_ENV_MAX)
		return err_set(
			s->e, ERR_INVALID, -E2BIG, "env: more than %d variables", PLAN_ENV_MAX);
	s->bad |= js_set(s->out, "env", TAKE(env));
	return 0;
}

/* Rules given at creation: lists of resources become single ones, in their canonical spelling. */
static int add_policy(struct resolving *s)
{
	AUTO_JS list = js_array();
	AUTO(rules) all = {0};

	for (size_t i = 0; i < js_len(s->policy); i++) {
		int r = rules_read(js_at(s->policy, i), "policy", &all, s->e);

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < all.n; i++)
		s->bad |= js_add(list, rules_write(&all.v[i]));
	if (all.n > 0)
		s->bad |= js_set(s->out, "policy", TAKE(list));
	return 0;
}

static void choose_name(struct resolving *s)
{
	const struct js *first = js_at(s->workspaces, 0);
	const char *path = js_str(js_get(first, "path"));
	const char *slash = path ? strrchr(path, '/') : NULL;

	if (!s->name[0])
		name_from(s->name, s->kit_name, slash ? slash + 1 : "sandbox");
	s->bad |= js_set_str(s->out, "name", s->name);
}

static int resolve(struct resolving *s, struct plan_files *files)
{
	int r = read_create(s);

	if (r == 0)
		r = resolve_kits(s);
	if (r < 0)
		return r;
	s->bad |= js_set_int(s->out, "version", 1);
	s->bad |= js_set_str(s->out, "agent", s->kit_name);
	s->bad |= js_set_str(s->out, "user", PLAN_GUEST_USER);
	s->bad |= js_set_int(s->out, "uid", PLAN_GUEST_UID);
	s->bad |= js_set_int(s->out, "gid", PLAN_GUEST_UID);
	s->bad |= js_set_str(s->out, "home", PLAN_GUEST_HOME);
	r = choose_engine(s);
	if (r == 0)
		r = choose_sizes(s);
	if (r == 0)
		r = resolve_image(s);
	if (r == 0 && s->old) /* what it wrote on its disk is written over that image */
		s->bad |= js_set_copy(s->out, "image", js_get(s->old->json, "image"));
	if (r == 0)
		r = resolve_places(s);
	add_masks(s);
	choose_name(s);
	if (r == 0)
		r = add_env(s);
	if (r == 0)
		r = add_policy(s);
	if (r == 0)
		r = resolve_kits_write(s, files);
	if (r == 0 && js_len(js_get(s->out, "argv")) == 0)
		r = err_set(s->e, ERR_INVALID, -ENOEXEC,
			"neither kit nor image says what is to be run: give the kit an entrypoint");
	return r;
}

/* keep_asked() - for kits that are added later; an approval is for this once */
static int keep_asked(const struct resolving *s, struct plan_files *files)
{
	AUTO_JS o = js_object();
	const struct js *v;
	const char *key;
	void *iter = NULL;
	bool bad = false;

	while (js_each(s->create, &iter, &key, &v))
		if (strcmp(key, "approve") != 0)
			bad |= js_set_copy(o, key, v);
	bad |= js_set_str(o, "name", s->name);
	return bad || js_canonical(o, &files->asked) < 0
		       ? err_set(s->e, ERR_LIMIT, -EFBIG, "the request is too large")
		       : 0;
}

static int make(struct resolving *s, struct plan **ret, struct plan_files *files, struct err *e)
{
	AUTO(plan_files) unwanted;
	int r;

	plan_files_init(&unwanted);
	files = files ? files : &unwanted;
	s->out = js_object();
	s->notes = js_array();
	r = resolve(s, files);
	if (r == 0)
		r = keep_asked(s, files);
	s->bad |= js_set(s->out, "notes", TAKE(s->notes));
	if (r == 0 && s->bad)
		r = err_sys(e, -ENOMEM, "make the plan");
	kit_resolved_free(s->kits);
	js_free(s->image_meta);
	if (r < 0) {
		js_free(s->out);
		return r;
	}
	return plan_from(TAKE(s->out), ret, e);
}

int plan_resolve(const struct js *create, const struct paths *paths, const struct plan_host *host,
	struct store *approvals, struct plan **ret, struct plan_files *files, struct err *e)
{
	struct resolving s = {
		.create = create, .paths = paths, .host = host, .approvals = approvals, .e = e};

	return make(&s, ret, files, e);
}

int plan_resolve_add(const struct js *create, const struct paths *paths,
	const struct plan_host *host, struct store *approvals, const struct plan *old, bool started,
	struct plan **ret, struct plan_files *files, struct err *e)
{
	struct resolving s = {.create = create,
		.paths = paths,
		.host = host,
		.approvals = approvals,
		.old = old,
		.only_new = started,
		.e = e};

	return make(&s, ret, files, e);
}
