#include "daemon/plan.h"
#include "daemon/rules.h"
#include "base/name.h"
#include "kit/kit.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

/* From Create, kit, image and host to the plan's JSON. One step, one function; they share: */
struct resolving {
	const struct js *create; /* borrowed, as is all below it */
	const struct paths *paths;
	const struct plan_host *host;
	struct js *out; /* owned: the plan as it grows */
	struct js *notes; /* owned */
	struct kit *kit; /* owned */
	char name[NAME_MAX_LEN + 1];
	const char *agent, *template, *isolation;
	int64_t cpus, memory_bytes, disk_bytes;
	const struct js *env, *workspaces, *masks, *policy;
	char cwd[PATH_MAX];
	bool bad; /* memory ran out while building */
	struct err *e;
};

void plan_host_find(struct plan_host *ret)
{
	struct sysinfo si = {0};
	int n = get_nprocs();

	ret->cpus = n > 0 ? (uint32_t)n : 1;
	ret->memory_bytes = sysinfo(&si) == 0 ? (uint64_t)si.totalram * si.mem_unit : 0;
}

static int read_create(struct resolving *s)
{
	const struct js *kits;
	struct js_reader rd;
	const char *name;
	int r;

	js_read(&rd, s->create, "", s->e);
	name = js_take_str(&rd, "name", PATH_MAX, "");
	s->agent = js_want_str(&rd, "agent", PATH_MAX - 1);
	kits = js_take_array(&rd, "kits", 64);
	s->workspaces = js_take_array(&rd, "workspaces", MACHINE_EXPORTS_MAX);
	s->masks = js_take_array(&rd, "masks", MACHINE_MASKS_MAX);
	s->cpus = js_take_int(&rd, "cpus", 0, INT64_MAX, 0);
	s->memory_bytes = js_take_int(&rd, "memory_bytes", 0, INT64_MAX, 0);
	s->disk_bytes = js_take_int(&rd, "disk_bytes", 0, INT64_MAX, 0);
	s->env = js_take_object(&rd, "env");
	s->policy = js_take_array(&rd, "policy", RULES_LIST_MAX);
	s->template = js_take_str(&rd, "template", 256, "");
	s->isolation = js_take_str(&rd, "isolation", 16, "auto");
	r = js_done(&rd);
	if (r < 0)
		return r;
	if (js_len(kits) > 0)
		return err_set(s->e, ERR_INVALID, -EOPNOTSUPP,
			"kits: mixing further kits into an agent is not supported yet");
	if (strchr(s->agent, '/') && s->agent[0] != '/')
		return err_set(s->e, ERR_INVALID, -EINVAL,
			"agent: '%s' is neither a name nor an absolute path", s->agent);
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
		cpus = s->kit->cpus ? s->kit->cpus : PLAN_CPUS_DEFAULT;
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

static int choose_image(struct resolving *s)
{
	const char *ref = s->template[0]  ? s->template
			  : s->kit->image ? s->kit->image
					  : IMAGE_DEFAULT;
	AUTO_JS v = js_object();
	struct image_store store;
	struct image img;
	int r = image_store_open(s->paths->cache, &store, s->e);

	if (r == 0)
		r = image_store_lookup(&store, ref, &img, s->e);
	if (r < 0)
		return r;
	s->bad |= js_set_str(v, "id", img.id);
	s->bad |= js_set_str(v, "name", img.name);
	s->bad |= js_set_str(v, "root_digest", img.root_digest);
	s->bad |= js_set_str(v, "kernel_digest", img.kernel_digest);
	s->bad |= js_set_str(v, "modules_digest", img.modules_digest);
	s->bad |= js_set_str(v, "kernel_version", img.kernel_version);
	s->bad |= js_set(s->out, "image", TAKE(v));
	return 0;
}

static int add_workspace(struct resolving *s, struct js *list, const struct js *asked, size_t i)
{
	struct js_reader rd;
	struct plan_place place;
	AUTO_JS v = js_object();
	char where[40];
	const char *path;
	bool read_only;
	int r;

	(void)snprintf(where, sizeof(where), "workspaces[%zu]", i);
	js_read(&rd, asked, where, s->e);
	path = js_want_str(&rd, "path", PATH_MAX - 1);
	read_only = js_take_bool(&rd, "read_only", false);
	r = js_done(&rd);
	if (r == 0)
		r = plan_workspace_check(path, s->paths, &place, s->e);
	if (r < 0)
		return r;
	if (i == 0 && place.is_file)
		return err_set(s->e, ERR_INVALID, -ENOTDIR,
			"the first workspace must be a directory; '%s' is a file", path);
	for (size_t k = 0; k < js_len(list); k++)
		if (strcmp(js_str(js_get(js_at(list, k), "path")), path) == 0)
			return err_set(
				s->e, ERR_INVALID, -EEXIST, "workspace '%s' is there twice", path);
	if (place.note[0])
		s->bad |= js_add_str(s->notes, place.note);
	if (i == 0)
		(void)snprintf(s->cwd, sizeof(s->cwd), "%s", path);
	s->bad |= js_set_str(v, "path", path);
	s->bad |= js_set_str(v, "host", place.host);
	s->bad |= js_set_bool(v, "read_only", read_only);
	s->bad |= js_set_str(v, "kind", place.is_file ? "file" : "directory");
	s->bad |= js_set_int(v, "dev", (int64_t)place.dev);
	s->bad |= js_set_int(v, "ino", (int64_t)place.ino);
	s->bad |= js_set_int(v, "fsid", (int64_t)place.fsid);
	s->bad |= js_add(list, TAKE(v));
	return 0;
}

/* refuse_open_back_door() - read-only is promised against root inside, who can reach whatever is
 * beneath a writable share by that share
 */
static int refuse_open_back_door(struct resolving *s, const struct js *list)
{
	for (size_t i = 0; i < js_len(list); i++) {
		const struct js *inner = js_at(list, i);
		const char *host = js_str(js_get(inner, "host"));

		for (size_t k = 0; k < js_len(list) && js_bool(js_get(inner, "read_only")); k++) {
			const struct js *outer = js_at(list, k);
			const char *dir = js_str(js_get(outer, "host"));

			if (js_bool(js_get(outer, "read_only")) || !plan_within(host, dir))
				continue;
			(void)err_set(s->e, ERR_INVALID, -EINVAL,
				"workspace '%s' cannot be read-only: it lies in '%s', which is "
				"writable",
				host, dir);
			err_hint(s->e, "share the writable parts one by one, or all read-only");
			return -EINVAL;
		}
	}
	return 0;
}

static int add_workspaces(struct resolving *s)
{
	int bad;

	AUTO_JS list = js_array();

	(void)snprintf(s->cwd, sizeof(s->cwd), PLAN_GUEST_HOME);
	for (size_t i = 0; i < js_len(s->workspaces); i++) {
		int r = add_workspace(s, list, js_at(s->workspaces, i), i);

		if (r < 0)
			return r;
	}
	bad = refuse_open_back_door(s, list);
	if (bad < 0)
		return bad;
	s->bad |= js_set(s->out, "workspaces", TAKE(list));
	s->bad |= js_set_str(s->out, "cwd", s->cwd);
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

/* The kit's variables, then what the person said: the later wins. */
static int add_env(struct resolving *s)
{
	AUTO_JS env = js_object();
	const struct js *value;
	const char *name;
	void *iter = NULL;

	s->bad |= js_set_str(env, "SBX_SANDBOX", s->name);
	for (size_t i = 0; i < s->kit->n_vars; i++)
		s->bad |= js_set_str(env, s->kit->vars[i].name, s->kit->vars[i].value);
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

static int add_argv(struct resolving *s, const char *key, bool tty)
{
	struct kit_strv argv = {0};
	AUTO_JS list = js_array();
	int r = kit_argv(s->kit, tty, NULL, 0, &argv);

	if (r < 0)
		return err_sys(s->e, r, "make the agent's command line");
	for (size_t i = 0; i < argv.n; i++)
		s->bad |= js_add_str(list, argv.v[i]);
	kit_strv_fini(&argv);
	s->bad |= js_set(s->out, key, TAKE(list));
	return 0;
}

static int digest(struct resolving *s, struct js *o, const char *key, const struct buf *b)
{
	char hex[HASH_HEX];
	int r;

	if (b->len == 0) {
		s->bad |= js_set_null(o, key);
		return 0;
	}
	r = hash_bytes(b->data, b->len, hex);
	if (r < 0)
		return err_sys(s->e, r, "hash the kit");
	s->bad |= js_set_str(o, key, hex);
	return 0;
}

static int add_kit(struct resolving *s, struct plan_files *files)
{
	AUTO_JS v = js_object();
	int r = kit_setup_tar(
		s->kit, s->cwd, PLAN_GUEST_UID, PLAN_GUEST_UID, &files->setup_tar, s->e);

	if (r == 0)
		r = digest(s, v, "spec_digest", &s->kit->spec);
	if (r == 0)
		r = digest(s, v, "home_digest", &s->kit->home_tar);
	if (r == 0)
		r = digest(s, v, "setup_digest", &files->setup_tar);
	if (r < 0)
		return r;
	r = buf_add(&files->home_tar, buf_str(&s->kit->home_tar), s->kit->home_tar.len);
	if (r < 0)
		return err_sys(s->e, r, "read the kit");
	s->bad |= js_set_str(v, "name", s->kit->name);
	s->bad |= js_set_str(v, "version", s->kit->version);
	s->bad |= js_set_str(v, "dir", s->kit->dir);
	s->bad |= js_set(s->out, "kit", TAKE(v));
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
		name_from(s->name, s->kit->name, slash ? slash + 1 : "sandbox");
	s->bad |= js_set_str(s->out, "name", s->name);
}

static int resolve(struct resolving *s, struct plan_files *files)
{
	int r = read_create(s);

	if (r == 0)
		r = kit_load(s->agent, s->paths->data, &s->kit, s->e);
	if (r < 0)
		return r;
	s->bad |= js_set_int(s->out, "version", 1);
	s->bad |= js_set_str(s->out, "agent", s->kit->name);
	s->bad |= js_set_str(s->out, "user", PLAN_GUEST_USER);
	s->bad |= js_set_int(s->out, "uid", PLAN_GUEST_UID);
	s->bad |= js_set_int(s->out, "gid", PLAN_GUEST_UID);
	s->bad |= js_set_str(s->out, "home", PLAN_GUEST_HOME);
	r = choose_engine(s);
	if (r == 0)
		r = choose_sizes(s);
	if (r == 0)
		r = add_workspaces(s);
	if (r == 0)
		r = choose_image(s);
	add_masks(s);
	choose_name(s);
	if (r == 0)
		r = add_env(s);
	if (r == 0)
		r = add_policy(s);
	if (r == 0)
		r = add_argv(s, "argv", false);
	if (r == 0)
		r = add_argv(s, "argv_interactive", true);
	if (r == 0)
		r = add_kit(s, files);
	return r;
}

int plan_resolve(const struct js *create, const struct paths *paths, const struct plan_host *host,
	struct plan **ret, struct plan_files *files, struct err *e)
{
	struct resolving s = {.create = create, .paths = paths, .host = host, .e = e};
	AUTO(plan_files) unwanted;
	int r;

	plan_files_init(&unwanted);
	s.out = js_object();
	s.notes = js_array();
	r = resolve(&s, files ? files : &unwanted);
	s.bad |= js_set(s.out, "notes", TAKE(s.notes));
	if (r == 0 && s.bad)
		r = err_sys(e, -ENOMEM, "make the plan");
	kit_free(s.kit);
	if (r < 0) {
		js_free(s.out);
		return r;
	}
	return plan_from(TAKE(s.out), ret, e);
}
