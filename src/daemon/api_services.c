#include "daemon/api.h"
#include "daemon/credentials.h"
#include "daemon/custom.h"
#include <errno.h>
#include <string.h>

/* Services: what they need of a credential; those that a command makes can be set and removed. */

static struct js *service_json(const struct service *v)
{
	AUTO_JS o = js_object();
	AUTO_JS env = js_array();
	AUTO_JS hosts = js_array();
	bool bad = false;

	for (size_t i = 0; i < v->env.n; i++)
		bad |= js_add_str(env, v->env.v[i]);
	for (size_t i = 0; i < v->n_slots; i++)
		for (size_t k = 0; k < v->slots[i].hosts.n; k++)
			bad |= js_add_str(hosts, v->slots[i].hosts.v[k]);
	bad |= js_set_str(o, "name", v->name);
	bad |= js_set_str(o, "description", v->description);
	bad |= js_set_str(o, "join", v->join);
	bad |= js_set(o, "env", TAKE(env));
	bad |= js_set(o, "hosts", TAKE(hosts));
	return bad ? NULL : TAKE(o);
}

/* made_by_kits() - services that some sandbox's kits make, since there is none of that name */
static int made_by_kits(struct daemon *d, struct service_set *ret, struct err *e)
{
	struct sandbox **all;
	size_t n;
	int r = sandbox_all(d, &all, &n);

	*ret = (struct service_set){.n = 0};
	if (r < 0)
		return err_sys(e, r, "list the services");
	for (size_t i = 0; i < n; i++) {
		if (r == 0)
			r = credentials_add_kits(all[i]->plan, false, ret, e);
		sandbox_put(all[i]);
	}
	free(all);
	return r;
}

int api_services(struct api_call *a, struct err *e)
{
	AUTO_JS o = js_object();
	AUTO_JS list = js_array();
	struct service_set set, kits = {.n = 0};
	bool bad = false;
	int r = credentials_services(a->d, &set, e);

	if (r < 0)
		return r;
	r = made_by_kits(a->d, &kits, e);
	for (size_t i = 0; i < set.n; i++)
		bad |= js_add(list, service_json(set.list[i]));
	for (size_t i = 0; i < kits.n; i++)
		if (!service_find(&set, kits.list[i]->name))
			bad |= js_add(list, service_json(kits.list[i]));
	service_set_fini(&kits);
	service_set_fini(&set);
	if (r < 0)
		return r;
	bad |= js_set(o, "services", TAKE(list));
	return bad ? err_sys(e, -ENOMEM, "list the services") : conn_json(a->c, 200, TAKE(o));
}

int api_service_set(struct api_call *a, struct err *e)
{
	char scope[STORE_ID_LEN + 1];
	bool made = false;
	int r = api_scope(a, scope, e);

	if (r == 0)
		r = custom_set(a->d, a->arg, scope, a->body, &made, e);
	if (r == 0)
		r = audit_admin(a->d->audit, "service.set", scope, a->arg, e);
	if (r < 0)
		return r;
	credentials_table_changed(a->d);
	return conn_empty(a->c, made ? 201 : 204);
}

int api_service_remove(struct api_call *a, struct err *e)
{
	bool removed;
	int r = custom_remove(a->d, a->arg, &removed, e);

	if (r == 0 && !removed)
		return err_set(e, ERR_CONFLICT, -EBUSY,
			"'%s' is no custom service, or a secret needs it", a->arg);
	if (r == 0)
		r = audit_admin(a->d->audit, "service.rm", "", a->arg, e);
	return r < 0 ? r : conn_empty(a->c, 204);
}
