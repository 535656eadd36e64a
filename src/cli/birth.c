#include "cli/birth.h"
#include "cli/birth_kits.h"
#include "cli/images.h"
#include "cli/kits.h"
#include "cli/report.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAME_TRIES 999
#define CREATE_MS  60000
#define NOT_FOUND  (-1)
#define BASE_ROOM  4 /* "-999" */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

int birth_here(struct run_args *a, struct err *e)
{
	if (a->n_workspaces > 0)
		return 0;
	a->workspaces = calloc(1, sizeof(*a->workspaces));
	if (!a->workspaces)
		return err_sys(e, -ENOMEM, "read the command line");
	memcpy(a->workspaces[0].path, ".", 2);
	a->n_workspaces = 1;
	return workspace_resolve(&a->workspaces[0], e);
}

/* is_kit() - a kit from outside of the built-in ones: its own name is not known before it is read */
static bool is_kit(const struct run_args *a)
{
	return a->agent && (value_is_kit_path(a->agent) || kits_remote(a->agent));
}

int birth_prepare(struct run_args *a, bool create, char ret_agent[PATH_MAX], struct err *e)
{
	int r = args_env_load(&a->env, e);

	for (size_t i = 0; r == 0 && i < a->kit_args.n_files; i++)
		r = birth_kits_args_file(&a->kit_args.list, a->kit_args.files[i], e);
	if (r < 0)
		return r;
	ret_agent[0] = '\0';
	if (a->agent && value_is_kit_path(a->agent)) {
		if (!realpath(a->agent, ret_agent))
			return err_sys(e, -errno, "open kit '%.200s'", a->agent);
	} else if (a->agent && snprintf(ret_agent, PATH_MAX, "%s", a->agent) >= PATH_MAX) {
		return err_set(e, ERR_INVALID, -ENAMETOOLONG, "the agent's name is too long");
	}
	/* With --name, the folder does not say which sandbox is meant: see birth_here(). */
	if (a->n_workspaces == 0 && a->agent && !create && !a->name)
		return birth_here(a, e);
	for (size_t i = 0; i < a->n_workspaces; i++) {
		r = workspace_resolve(&a->workspaces[i], e);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool name_taken(const struct js *boxes, const char *name, int *ret_at)
{
	for (size_t i = 0; i < js_len(boxes); i++)
		if (strcmp(box_str(js_at(boxes, i), "name"), name) == 0) {
			*ret_at = (int)i;
			return true;
		}
	return false;
}

int birth_choose(const struct js *boxes, const char *agent, bool is_kit, const char *primary,
	char ret_name[NAME_MAX_LEN + 1], struct err *e)
{
	char base[NAME_MAX_LEN + 1], name[NAME_MAX_LEN + 1], last[NAME_MAX + 1];
	int at = NOT_FOUND;

	if (is_kit && agent[0] != '/')
		kits_base(agent, last, sizeof(last));
	else
		(void)snprintf(last, sizeof(last), "%s", is_kit ? base_name(agent) : agent);
	name_from(base, last, base_name(primary));
	/* Without a path a sandbox is not found again: each create makes one. */
	for (int n = 1; n <= NAME_TRIES; n++) {
		size_t keep = NAME_MAX_LEN - BASE_ROOM;

		if (n == 1)
			memcpy(name, base, sizeof(name));
		else
			(void)snprintf(name, sizeof(name), "%.*s-%d", (int)keep, base, n);
		if (!name_taken(boxes, name, &at)) {
			memcpy(ret_name, name, sizeof(name));
			return NOT_FOUND;
		}
		if (primary[0] && strcmp(box_primary(js_at(boxes, (size_t)at)), primary) == 0 &&
			(is_kit || strcmp(box_str(js_at(boxes, (size_t)at), "agent"), agent) == 0))
			return at;
	}
	return err_set(e, ERR_LIMIT, -E2BIG, "every name from %s to %s-%d is taken", base, base,
		NAME_TRIES);
}

/* creation_flag() - a flag that was given and that only a new sandbox can take; NULL: none */
static const char *creation_flag(const struct run_args *a)
{
	if (a->cpus_given)
		return "--cpus";
	if (a->memory)
		return "--memory";
	if (a->disk)
		return "--disk";
	if (a->isolation)
		return "--isolation";
	if (a->template_image)
		return "--template";
	if (a->pull_given)
		return "--pull";
	if (a->n_rules > 0)
		return strcmp(a->rules[0].decision, "deny") == 0 ? "--deny" : "--allow";
	return a->n_masks > 0 ? "--mask" : NULL;
}

static bool same_workspaces(const struct run_args *a, const struct js *box)
{
	const struct js *list = js_get(box, "workspaces");

	if (js_len(list) != a->n_workspaces)
		return false;
	for (size_t i = 0; i < a->n_workspaces; i++) {
		const struct js *ws = js_at(list, i);

		if (strcmp(box_str(ws, "path"), a->workspaces[i].path) != 0 ||
			js_bool(js_get(ws, "read_only")) != a->workspaces[i].read_only)
			return false;
	}
	return true;
}

/* check_existing() - does what was asked for go with a sandbox that is there? */
static int check_existing(
	const struct run_args *a, const char *agent, const struct js *box, struct err *e)
{
	const char *flag = creation_flag(a), *name = box_str(box, "name");

	if (a->agent && !is_kit(a) && strcmp(box_str(box, "agent"), agent) != 0)
		return err_set(e, ERR_CONFLICT, -EEXIST,
			"sandbox '%s' runs agent '%s', not '%.80s'", name, box_str(box, "agent"),
			agent);
	if (a->n_workspaces > 0 && strcmp(box_primary(box), a->workspaces[0].path) != 0) {
		(void)err_set(e, ERR_CONFLICT, -EEXIST, "sandbox '%s' has another workspace", name);
		err_hint(e, "give the new one another --name");
		return -EEXIST;
	}
	if (!flag && a->n_workspaces > 0 && !same_workspaces(a, box))
		flag = a->n_workspaces > 1 ? "more workspaces" : ":ro";
	if (!flag && a->ports.n > 0)
		report_note("--publish is for a new sandbox: sbx ports %s --publish %s", name,
			a->ports.v[0]);
	if (!flag)
		return 0;
	(void)err_set(e, ERR_CONFLICT, -EEXIST,
		"%s can only be used when creating a new sandbox, and '%s' is there", flag, name);
	err_hint(e, "sbx rm %s first, or give the new one another --name", name);
	return -EEXIST;
}

int birth_find(struct api *api, const struct run_args *a, const char *agent, struct js **ret_box,
	char ret_name[NAME_MAX_LEN + 1], struct err *e)
{
	AUTO_JS all = NULL;
	const struct js *boxes = NULL;
	int at = NOT_FOUND, r;

	*ret_box = NULL;
	r = box_list(api, &all, &boxes, e);
	if (r < 0)
		return r;
	if (a->name) {
		(void)snprintf(ret_name, NAME_MAX_LEN + 1, "%s", a->name);
		(void)name_taken(boxes, a->name, &at);
	} else {
		at = birth_choose(boxes, agent, is_kit(a),
			a->n_workspaces ? a->workspaces[0].path : "", ret_name, e);
		if (at < NOT_FOUND)
			return at;
	}
	if (at == NOT_FOUND && !a->agent) {
		(void)err_set(e, ERR_NOT_FOUND, -ENOENT, "sandbox '%s' not found", ret_name);
		err_hint(e, "sbx run AGENT --name %s makes it", ret_name);
		return -ENOENT;
	}
	if (at == NOT_FOUND)
		return 0;
	r = check_existing(a, agent, js_at(boxes, (size_t)at), e);
	if (r < 0)
		return r;
	return box_get(api, box_str(js_at(boxes, (size_t)at), "name"), ret_box, e);
}

static bool put_lists(struct js *o, const struct run_args *a)
{
	struct js *workspaces = js_array(), *env = js_object();
	struct js *masks = js_array(), *ports = js_array();
	bool bad = false;

	for (size_t i = 0; i < a->n_workspaces; i++) {
		struct js *ws = js_object();

		bad |= js_set_str(ws, "path", a->workspaces[i].path);
		bad |= js_set_bool(ws, "read_only", a->workspaces[i].read_only);
		bad |= js_add(workspaces, ws);
	}
	for (size_t i = 0; i < a->env.list.n; i++) {
		const struct env_var *v = &a->env.list.v[i];
		AUTO_FREE char *key = strndup(v->text, v->name_len);

		bad |= !key || js_set_str(env, key, v->text + v->name_len + 1);
	}
	for (size_t i = 0; i < a->n_masks; i++)
		bad |= js_add_str(masks, a->masks[i]);
	for (size_t i = 0; i < a->ports.n; i++)
		bad |= js_add_str(ports, a->ports.v[i]);
	bad |= js_set(o, "ports", ports);
	bad |= js_set(o, "masks", masks);
	bad |= js_set(o, "workspaces", workspaces);
	return bad | js_set(o, "env", env);
}

/* put_policy() - absent when no rule was given */
static bool put_policy(struct js *o, const struct run_args *a)
{
	struct js *rules;
	bool bad = false;

	if (a->n_rules == 0)
		return false;
	rules = js_array();
	for (size_t i = 0; i < a->n_rules; i++) {
		struct js *rule = js_object();

		bad |= js_set_str(rule, "decision", a->rules[i].decision);
		bad |= js_set_str(rule, "resource", a->rules[i].resource);
		bad |= js_add(rules, rule);
	}
	return bad | js_set(o, "policy", rules);
}

static struct js *create_body(
	const struct run_args *a, const struct kits_at *kits, const char *name)
{
	struct js *o = js_object();
	bool bad = js_set_str(o, "name", name);

	bad |= birth_kits_put(o, a, kits);
	bad |= put_lists(o, a);
	bad |= put_policy(o, a);
	if (a->cpus)
		bad |= js_set_int(o, "cpus", a->cpus);
	if (a->memory)
		bad |= js_set_int(o, "memory_bytes", a->memory);
	if (a->disk)
		bad |= js_set_int(o, "disk_bytes", a->disk);
	if (a->isolation)
		bad |= js_set_str(o, "isolation", a->isolation);
	if (!bad)
		return o;
	js_free(o);
	return NULL;
}

static void warn_of_home(const struct run_args *a)
{
	const char *home = getenv("HOME");

	if (a->n_workspaces && home && strcmp(a->workspaces[0].path, home) == 0)
		report_note("note: the whole home folder is shared with the sandbox");
}

/* send_create() - as a plan nothing is made */
static int send_create(
	struct api *api, bool plan, const struct js *body, struct js **ret_box, struct err *e)
{
	return api_call(api, "POST", plan ? "/v1/sandboxes?plan=1" : "/v1/sandboxes", body,
		CREATE_MS, ret_box, e);
}

static int pull(const struct api *api, const struct run_args *a, const char *ref,
	enum image_pull policy, char ret_id[64], struct err *e)
{
	const struct images_ask ask = {
		.source = ref, .pull = policy, .quiet = a->quiet || a->json || a->plan};

	return images_import(&api->paths, &ask, ret_id, e);
}

/* pull_again() - the kits choose the image: only their plan says which the registry is to be asked about */
static int pull_again(
	struct api *api, const struct run_args *a, const struct js *body, struct err *e)
{
	AUTO_JS plan = NULL;
	struct err why = {0};
	char id[64];
	const char *ref;

	if (send_create(api, true, body, &plan, &why) < 0)
		return 0; /* said where it is made, if it is a fault: it may just not be here yet */
	ref = js_str(js_get(js_get(plan, "image"), "reference"));
	return ref ? pull(api, a, ref, IMAGE_PULL_ALWAYS, id, e) : 0;
}

/* need_image() - what -t names is here; @body says so to the daemon */
static int need_image(struct api *api, const struct run_args *a, struct js *body, struct err *e)
{
	AUTO_FREE struct image_ref *ref = calloc(1, sizeof(*ref));
	const char *name = a->template_image;
	char id[64];
	int r = 0;

	if (!ref)
		return err_sys(e, -ENOMEM, "find the image");
	if (!name)
		r = images_need_default(&api->paths, a->quiet, e);
	if (!name && r == 0 && a->pull == IMAGE_PULL_ALWAYS)
		r = pull_again(api, a, body, e);
	if (name && image_ref_is(name)) {
		r = image_ref_parse(name, ref, e);
		if (r == 0)
			r = pull(api, a, name, a->pull, id, e);
		/* The daemon has another current folder: a file of this one is nothing to it. */
		name = ref->kind == IMAGE_REF_REGISTRY ? ref->name : id;
	}
	if (r == 0 && name && js_set_str(body, "template", name))
		r = err_sys(e, -ENOMEM, "write the request");
	return r;
}

/* make() - a sandbox or a plan; the image that a kit names is fetched first when it is not here */
static int make(struct api *api, const struct run_args *a, bool plan, const struct js *body,
	struct js **ret, struct err *e)
{
	char id[64], missing[IMAGE_REF_MAX + 1];
	int r = send_create(api, plan, body, ret, e);

	image_ref_of_missing(e, missing);
	if (r == 0 || !missing[0] || a->pull == IMAGE_PULL_NEVER)
		return r;
	*e = (struct err){0};
	r = pull(api, a, missing, IMAGE_PULL_MISSING, id, e);
	return r == 0 ? send_create(api, plan, body, ret, e) : r;
}

static int make_body(struct api *api, const struct run_args *a, const char *agent, const char *name,
	struct js **ret, struct err *e)
{
	const char *refs[ARGS_KITS_MAX + 1] = {agent};
	AUTO(kits_at) kits = {0};
	int r;

	memcpy(refs + 1, a->kits, a->n_kits * sizeof(*refs));
	r = kits_find(refs, a->n_kits + 1, &api->paths, a->quiet, &kits, e);
	if (r < 0)
		return r;
	*ret = create_body(a, &kits, name);
	return *ret ? 0 : err_sys(e, -ENOMEM, "write the request");
}

int birth_compare(struct api *api, const struct run_args *a, const char *agent,
	const struct js *box, struct err *e)
{
	const char *name = box_str(box, "name");
	AUTO_JS body = NULL;
	AUTO_JS plan = NULL;
	struct err why = {0};

	if (!birth_kits_outside(a) && a->kit_args.list.n == 0)
		return 0;
	if (make_body(api, a, agent, name, &body, &why) < 0 ||
		make(api, a, true, body, &plan, &why) < 0) {
		report_note(
			"the kits cannot be read now (%s): sandbox '%s' goes on with those it was "
			"made with",
			why.msg, name);
		return 0;
	}
	return birth_kits_compare(box, plan, e);
}

int birth_create(struct api *api, const struct run_args *a, const char *agent, const char *name,
	struct js **ret_box, struct err *e)
{
	AUTO_JS body = NULL;
	AUTO_JS plan = NULL;
	int r = make_body(api, a, agent, name, &body, e);

	if (r == 0)
		r = need_image(api, a, body, e);
	if (r < 0)
		return r;
	if (!a->plan && !a->quiet)
		warn_of_home(a);
	if (!a->plan && birth_kits_outside(a)) {
		r = make(api, a, true, body, &plan, e);
		if (r == 0)
			r = birth_kits_approve(a, plan, body, e);
	}
	if (r == 0)
		r = make(api, a, a->plan, body, ret_box, e);
	return r < 0 ? err_wrap(e, r, "create sandbox '%s'", name) : 0;
}
