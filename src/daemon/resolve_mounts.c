#include "daemon/port_spec.h"
#include "daemon/ports.h"
#include "daemon/resolve.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Volumes of the kits, and the ports that kits and the user publish. */

static const struct kit_spec *spec_at(const struct resolving *s, struct kit_place at)
{
	return s->kit->kits[at.kit].spec;
}

static int fault(struct resolving *s, const struct kit_volume *v, const char *why)
{
	return kit_fault(s->e, spec_at(s, v->at), v->at, "volume '%.200s' %s", v->path, why);
}

/* ---- volumes ----
 * A volume hides what is beneath it, inside. That is the kit's own affair, but for what a start itself
 * makes there: it would be hidden from everybody, and the sandbox would not work without a word why.
 */

/* Neither these, nor anything in them, nor anything around them: the kernel's, and what is trusted. */
static const char *const untouched[] = {"/proc", "/sys", "/dev", "/etc/ssl", "/etc/pki",
	"/etc/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/ca-certificates"};
/* Not these themselves: what the root's programs and the start's own files are in. */
static const char *const whole[] = {"/", "/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64",
	"/run", "/sbin", "/usr", "/usr/bin", "/usr/lib", "/usr/sbin"};

static int check_place(struct resolving *s, const struct kit_volume *v)
{
	for (size_t i = 0; i < ARRAY_LEN(whole); i++)
		if (strcmp(v->path, whole[i]) == 0)
			return fault(s, v, "cannot be: the sandbox's own system is there");
	for (size_t i = 0; i < ARRAY_LEN(untouched); i++)
		if (plan_within(v->path, untouched[i]) || plan_within(untouched[i], v->path))
			return fault(s, v,
				"cannot be: the kernel's files or the authorities that are trusted "
				"are there");
	if (plan_within(v->path, "/run") && strncmp(v->path, "/run/.", 6) == 0)
		return fault(s, v, "cannot be: that place is the start's own");
	return 0;
}

/* check_shares() - in a shared folder its mount point would be made on the host; over one it hides it */
static int check_shares(struct resolving *s, const struct kit_volume *v)
{
	const struct js *list = js_get(s->out, "workspaces");

	for (size_t i = 0; i < js_len(list); i++) {
		const char *path = js_str(js_get(js_at(list, i), "path"));

		if (plan_within(v->path, path))
			return fault(s, v,
				"lies in a shared folder, where it would be made on the "
				"host");
	}
	return 0;
}

static int check_volume(struct resolving *s, size_t i)
{
	const struct kit_parts *p = &s->kit->parts;
	const struct kit_volume *v = &p->volumes[i];
	uint64_t disk = (uint64_t)js_int(js_get(s->out, "disk_bytes"), 0);
	uint64_t memory = (uint64_t)js_int(js_get(s->out, "memory_bytes"), 0);
	int r = check_place(s, v);

	if (r == 0)
		r = check_shares(s, v);
	for (size_t k = 0; r == 0 && k < i; k++)
		if (strcmp(p->volumes[k].path, v->path) == 0)
			r = fault(s, v, "is of another kit, too");
	if (r == 0 && v->tmpfs && v->bytes > memory)
		r = fault(s, v, "is larger than the sandbox's memory");
	if (r == 0 && !v->tmpfs && v->bytes > disk) {
		r = fault(s, v, "is larger than the sandbox's disk");
		err_hint(s->e, "--disk %lluG makes a larger one",
			(unsigned long long)((v->bytes >> 30) + 2));
	}
	return r;
}

static int write_volumes(struct resolving *s)
{
	const struct kit_parts *p = &s->kit->parts;
	AUTO_JS list = js_array();

	if (p->n_volumes > PLAN_VOLUMES_MAX)
		return err_set(s->e, ERR_LIMIT, -E2BIG, "the kits have more than %d volumes",
			PLAN_VOLUMES_MAX);
	for (size_t i = 0; i < p->n_volumes; i++) {
		const struct kit_volume *v = &p->volumes[i];
		AUTO_JS o = js_object();
		int r = check_volume(s, i);

		if (r < 0)
			return r;
		s->bad |= js_set_str(o, "path", v->path) || js_set_bool(o, "tmpfs", v->tmpfs) ||
			  (v->bytes && js_set_int(o, "bytes", (int64_t)v->bytes)) ||
			  (v->mode && js_set_int(o, "mode", v->mode)) ||
			  js_set_str(o, "kit", spec_at(s, v->at)->name.text) ||
			  js_add(list, TAKE(o));
	}
	if (js_len(list) > 0)
		s->bad |= js_set(s->out, "volumes", TAKE(list));
	return 0;
}

/* ---- ports ---- */

static int add_kits_port(struct resolving *s, struct js *list, const struct kit_port *p)
{
	AUTO_JS o = js_object();

	if (strcmp(p->protocol, "udp") == 0)
		return kit_fault(s->e, spec_at(s, p->at), p->at,
			"port %u: only TCP is published, not UDP", p->container);
	s->bad |= js_set_int(o, "container", p->container) ||
		  js_set_str(o, "protocol", p->protocol) ||
		  (p->name && js_set_str(o, "name", p->name)) ||
		  js_set_str(o, "kit", spec_at(s, p->at)->name.text) || js_add(list, TAKE(o));
	return 0;
}

static int add_own_port(struct resolving *s, struct js *list, const struct js *asked)
{
	const char *text = js_str(asked);
	struct port_spec spec;
	AUTO_JS o = js_object();
	int r;

	if (!text)
		return err_set(s->e, ERR_INVALID, -EINVAL, "ports must be an array of strings");
	r = port_spec_parse(text, &spec, s->e);
	if (r < 0)
		return r;
	for (size_t i = 0; spec.host && i < js_len(list); i++)
		if (js_int(js_get(js_at(list, i), "host"), 0) == spec.host)
			return err_set(s->e, ERR_INVALID, -EEXIST,
				"host port %u is published twice", spec.host);
	s->bad |= js_set_int(o, "container", spec.container) || js_set_str(o, "protocol", "tcp") ||
		  js_set_str(o, "address", spec.address) ||
		  (spec.host && js_set_int(o, "host", spec.host)) || js_add(list, TAKE(o));
	return 0;
}

static int write_ports(struct resolving *s)
{
	const struct kit_parts *p = &s->kit->parts;
	AUTO_JS list = js_array();
	int r = 0;

	if (p->n_ports + js_len(s->ports) > PORTS_MAX)
		return err_set(
			s->e, ERR_LIMIT, -E2BIG, "a sandbox publishes at most %d ports", PORTS_MAX);
	for (size_t i = 0; r == 0 && i < p->n_ports; i++)
		r = add_kits_port(s, list, &p->ports[i]);
	for (size_t i = 0; r == 0 && i < js_len(s->ports); i++)
		r = add_own_port(s, list, js_at(s->ports, i));
	if (js_len(list) > 0)
		s->bad |= js_set(s->out, "ports", TAKE(list));
	return r;
}

int resolve_mounts(struct resolving *s)
{
	int r = write_volumes(s);

	return r == 0 ? write_ports(s) : r;
}
