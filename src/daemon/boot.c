#include "daemon/boot.h"
#include "daemon/agent.h"
#include "base/clock.h"
#include "daemon/credentials.h"
#include "base/escape.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* fill_env() - NAME=value of every variable, as one list on the heap: stand-ins of credentials first, so
 * that what the plan names wins
 */
static int fill_env(struct sandbox *s, struct agent_strv *ret)
{
	const struct plan *p = s->plan;
	struct credentials c;
	struct err e = {0};
	const struct js *value;
	const char *name;
	void *iter = NULL;
	size_t n = 0;
	int r = credentials_for(s, &c, &e);

	ret->v = r < 0 ? NULL : calloc(js_len(p->env) + c.n_env + 1, sizeof(char *));
	if (r < 0)
		log_warn("sandbox %s: %s", s->name, e.msg);
	else if (!ret->v)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < c.n_env; i++) {
		ret->v[n] = strdup(c.env[i]);
		r = ret->v[n] ? 0 : -ENOMEM;
		n += r == 0;
	}
	while (r == 0 && js_each(p->env, &iter, &name, &value)) {
		r = asprintf(&ret->v[n], "%s=%s", name, js_str(value)) < 0 ? -ENOMEM : 0;
		n += r == 0;
	}
	ret->n = n;
	credentials_fini(&c);
	return r;
}

/* agent_setup_fini() frees what decoding made, which is laid out differently: this frees ours */
static void free_setup(struct agent_setup *m)
{
	for (size_t i = 0; m && i < m->env.n; i++)
		free(m->env.v[i]);
	if (m)
		free(m->env.v);
	for (size_t i = 0; m && i < m->n_mounts; i++)
		free(m->mounts[i].path);
	for (size_t i = 0; m && i < m->n_volumes; i++)
		free(m->volumes[i].path);
	free(m);
}

static int fill_volumes(const struct plan *p, struct agent_setup *m)
{
	for (size_t i = 0; i < p->n_volumes && i < AGENT_VOLUME_MAX; i++) {
		struct agent_volume *v = &m->volumes[m->n_volumes];

		*v = (struct agent_volume){.flags = p->volumes[i].tmpfs ? AGENT_VOLUME_TMPFS : 0,
			.mode = p->volumes[i].mode,
			.bytes = p->volumes[i].bytes,
			.path = strdup(p->volumes[i].path)};
		if (!v->path)
			return -ENOMEM;
		m->n_volumes++;
	}
	return 0;
}

static int fill_setup(struct sandbox *s, struct agent_setup *m)
{
	const struct plan *p = s->plan;
	int r;

	m->time_ns = (uint64_t)clock_real_ms() * 1000000;
	if (getrandom(m->entropy, sizeof(m->entropy), 0) != (ssize_t)sizeof(m->entropy))
		return -EIO;
	(void)snprintf(m->hostname, sizeof(m->hostname), "%s", s->name);
	(void)snprintf(m->user, sizeof(m->user), "%s", p->user);
	(void)snprintf(m->home, sizeof(m->home), "%s", p->home);
	m->uid = p->uid;
	m->gid = p->gid;
	if (strlen(p->cwd) >= sizeof(m->cwd))
		return -ENAMETOOLONG;
	memcpy(m->cwd, p->cwd, strlen(p->cwd) + 1);
	for (size_t i = 0; i < p->n_workspaces && i < AGENT_MOUNT_MAX; i++) {
		struct agent_mount *mt = &m->mounts[m->n_mounts];

		mt->export_index = (uint32_t)i;
		mt->flags = (uint8_t)((p->workspaces[i].read_only ? AGENT_MOUNT_RO : 0) |
				      (p->workspaces[i].is_file ? AGENT_MOUNT_FILE : 0));
		mt->path = strdup(p->workspaces[i].path);
		if (!mt->path)
			return -ENOMEM;
		m->n_mounts++;
	}
	r = fill_volumes(p, m);
	return r < 0 ? r : fill_env(s, &m->env);
}

/* fill_ca() - what the guest shall trust, so that the front can look into its connections */
static int fill_ca(struct sandbox *s, struct agent_setup *m, struct err *e)
{
	AUTO(buf) pem = {0};
	int r;

	buf_init(&pem, sizeof(m->ca) - 1);
	r = egress_certificate(s, &pem, e);
	if (r < 0)
		return r;
	(void)snprintf(m->ca, sizeof(m->ca), "%s", buf_str(&pem));
	return 0;
}

static int send_setup(struct sandbox *s, struct agent_stream *a, struct err *e)
{
	struct agent_setup *m = calloc(1, sizeof(*m));
	AUTO(buf) out = {0};
	int r = m ? fill_setup(s, m) : -ENOMEM;

	if (r < 0)
		r = err_sys(e, r, "make the guest's set-up");
	else
		r = fill_ca(s, m, e);
	buf_init(&out, FRAME_BIG_MAX + FRAME_HEADER);
	if (r == 0 && agent_put_setup(&out, m) < 0)
		r = err_sys(e, -EMSGSIZE, "make the guest's set-up");
	free_setup(m);
	return r < 0 ? r : agent_send(a, &out, e);
}

static int first_hello(struct sandbox *s, struct agent_stream *a, struct err *e)
{
	struct agent_hello hello;
	struct frame f;
	int r = agent_next(a, &f, e);

	if (r < 0)
		return r;
	if (f.type != FRAME_HELLO || agent_get_hello(&f, &hello) != PROTO_OK)
		return err_set(e, ERR_INTERNAL, -EBADMSG, "the guest's agent broke the protocol");
	if (hello.version < AGENT_VERSION)
		return err_set(e, ERR_INTERNAL, -EPROTO,
			"the guest's agent is version %u, this is %u: install both from one build",
			hello.version, AGENT_VERSION);
	log_debug("sandbox %s: guest agent %u, kernel %s", s->name, hello.version, hello.kernel);
	return 0;
}

int boot_guest(
	struct sandbox *s, int fd, int64_t deadline, sandbox_step_fn step, void *ctx, struct err *e)
{
	AUTO(agent_stream) a;
	int r = agent_adopt(&a, fd, deadline, e);

	if (r == 0)
		r = first_hello(s, &a, e);
	if (r == 0)
		r = send_setup(s, &a, e);
	if (r < 0)
		return r;
	for (unsigned steps = 0;;) {
		char text[256];
		struct frame f;
		uint64_t ms;

		r = agent_next(&a, &f, e);
		if (r < 0)
			return r;
		if (f.type == FRAME_READY && agent_get_u64(&f, &ms) == PROTO_OK) {
			log_debug("sandbox %s: guest ready after %llu ms", s->name,
				(unsigned long long)ms);
			return 0;
		}
		if (f.type == FRAME_ERROR)
			return agent_refused(&f, e);
		if (f.type != FRAME_STEP || ++steps > BOOT_STEPS_MAX ||
			agent_get_text(&f, text, sizeof(text)) != PROTO_OK)
			return err_set(
				e, ERR_INTERNAL, -EBADMSG, "the guest's agent broke the protocol");
		if (step)
			step(ctx, ESC(text));
	}
}
