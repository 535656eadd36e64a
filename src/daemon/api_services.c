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

int api_services(struct api_call *a, struct err *e)
{
	AUTO_JS o = js_object();
	AUTO_JS list = js_array();
	struct service_set set;
	bool bad = false;
	int r = credentials_services(a->d, &set, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < set.n; i++)
		bad |= js_add(list, service_json(set.list[i]));
	service_set_fini(&set);
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
