#include "proto/agent.h"
#include "base/wire.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void agent_strv_fini(struct agent_strv *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct agent_strv){0};
}

void agent_setup_fini(struct agent_setup *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n_mounts; i++) {
		free(m->mounts[i].path);
		m->mounts[i].path = NULL;
	}
	m->n_mounts = 0;
	for (size_t i = 0; i < m->n_volumes; i++) {
		free(m->volumes[i].path);
		m->volumes[i].path = NULL;
	}
	m->n_volumes = 0;
	agent_strv_fini(&m->env);
}

void agent_exec_fini(struct agent_exec *m)
{
	if (!m)
		return;
	agent_strv_fini(&m->argv);
	agent_strv_fini(&m->env);
}

/* frame_begin()/frame_end() - encode a body straight into @out, whose header is written last */
struct open_frame {
	struct buf *out;
	struct wire_w w;
};

static int frame_begin(struct buf *out, size_t max, struct open_frame *ret)
{
	char *room;
	int r;

	if (out->max - out->len < FRAME_HEADER)
		return -ENOBUFS;
	if (max > out->max - out->len - FRAME_HEADER)
		max = out->max - out->len - FRAME_HEADER;
	r = buf_room(out, FRAME_HEADER + max, &room);
	if (r < 0)
		return r;
	*ret = (struct open_frame){.out = out, .w = wire_writer(room + FRAME_HEADER, max)};
	return 0;
}

static int frame_end(struct open_frame *f, enum frame_type type)
{
	if (f->w.bad)
		return -EMSGSIZE;
	frame_head(f->w.p - FRAME_HEADER, type, f->w.pos);
	buf_grew(f->out, FRAME_HEADER + f->w.pos);
	return 0;
}

static size_t strv_size(const struct agent_strv *s)
{
	size_t n = 4;

	for (size_t i = 0; i < s->n; i++)
		n += 4 + strlen(s->v[i]);
	return n;
}

static void put_strv(struct wire_w *w, const struct agent_strv *s)
{
	if (s->n > AGENT_LIST_MAX)
		w->bad = true;
	wire_put_u32(w, (uint32_t)s->n);
	for (size_t i = 0; i < s->n; i++)
		wire_put_str(w, s->v[i]);
}

static char *get_dup(struct wire_r *r)
{
	size_t len = 0;
	const char *s = wire_get_str(r, FRAME_BIG_MAX, &len);

	return s ? strndup(s, len) : NULL;
}

static void get_strv(struct wire_r *r, struct agent_strv *ret)
{
	uint32_t n = wire_get_u32(r);

	/* An item is at least its length field: a count that cannot be true allocates nothing. */
	if (r->bad || n > AGENT_LIST_MAX || n > wire_left(r) / 4) {
		r->bad = true;
		return;
	}
	ret->v = calloc((size_t)n + 1, sizeof(char *));
	if (!ret->v) {
		r->bad = true;
		return;
	}
	for (ret->n = 0; ret->n < n; ret->n++) {
		ret->v[ret->n] = get_dup(r);
		if (!ret->v[ret->n]) {
			r->bad = true;
			return;
		}
	}
}

static enum proto_result fixed(const struct wire_r *r)
{
	return wire_done(r) ? PROTO_OK : PROTO_MALFORMED;
}

static void put_volumes(struct wire_w *w, const struct agent_setup *m)
{
	if (m->n_volumes > AGENT_VOLUME_MAX) {
		w->bad = true;
		return;
	}
	wire_put_u32(w, (uint32_t)m->n_volumes);
	for (size_t i = 0; i < m->n_volumes; i++) {
		wire_put_u8(w, m->volumes[i].flags);
		wire_put_u32(w, m->volumes[i].mode);
		wire_put_u64(w, m->volumes[i].bytes);
		wire_put_str(w, m->volumes[i].path);
	}
}

int agent_put_setup(struct buf *out, const struct agent_setup *m)
{
	size_t max = 256 + sizeof(*m) + strv_size(&m->env);
	struct open_frame f;
	int r;

	for (size_t i = 0; i < m->n_mounts && i < AGENT_MOUNT_MAX; i++)
		max += 16 + strlen(m->mounts[i].path);
	for (size_t i = 0; i < m->n_volumes && i < AGENT_VOLUME_MAX; i++)
		max += 24 + strlen(m->volumes[i].path);
	r = frame_begin(out, max < FRAME_BIG_MAX ? max : FRAME_BIG_MAX, &f);
	if (r < 0)
		return r;
	wire_put_u64(&f.w, m->time_ns);
	wire_put_bytes(&f.w, m->entropy, sizeof(m->entropy));
	wire_put_str(&f.w, m->hostname);
	wire_put_str(&f.w, m->user);
	wire_put_u32(&f.w, m->uid);
	wire_put_u32(&f.w, m->gid);
	wire_put_str(&f.w, m->home);
	wire_put_str(&f.w, m->cwd);
	if (m->n_mounts > AGENT_MOUNT_MAX)
		return -EMSGSIZE;
	wire_put_u32(&f.w, (uint32_t)m->n_mounts);
	for (size_t i = 0; i < m->n_mounts; i++) {
		wire_put_u32(&f.w, m->mounts[i].export_index);
		wire_put_u8(&f.w, m->mounts[i].flags);
		wire_put_str(&f.w, m->mounts[i].path);
	}
	put_strv(&f.w, &m->env);
	wire_put_str(&f.w, m->ca);
	put_volumes(&f.w, m);
	return frame_end(&f, FRAME_SETUP);
}

static void get_mounts(struct wire_r *r, struct agent_setup *m)
{
	uint32_t n = wire_get_u32(r);

	if (n > AGENT_MOUNT_MAX) {
		r->bad = true;
		return;
	}
	for (m->n_mounts = 0; m->n_mounts < n && !r->bad;) {
		struct agent_mount *mount = &m->mounts[m->n_mounts];

		mount->export_index = wire_get_u32(r);
		mount->flags = wire_get_u8(r);
		mount->path = get_dup(r);
		if (!mount->path) {
			r->bad = true;
			return;
		}
		m->n_mounts++;
		if (mount->path[0] != '/' || (mount->flags & ~(AGENT_MOUNT_RO | AGENT_MOUNT_FILE)))
			r->bad = true;
	}
}

static void get_volumes(struct wire_r *r, struct agent_setup *m)
{
	uint32_t n = wire_get_u32(r);

	if (n > AGENT_VOLUME_MAX) {
		r->bad = true;
		return;
	}
	for (m->n_volumes = 0; m->n_volumes < n && !r->bad;) {
		struct agent_volume *v = &m->volumes[m->n_volumes];

		v->flags = wire_get_u8(r);
		v->mode = wire_get_u32(r);
		v->bytes = wire_get_u64(r);
		v->path = get_dup(r);
		if (!v->path) {
			r->bad = true;
			return;
		}
		m->n_volumes++;
		if (v->path[0] != '/' || (v->flags & ~AGENT_VOLUME_TMPFS) || v->mode > 01777)
			r->bad = true;
	}
}

enum proto_result agent_get_setup(const struct frame *f, struct agent_setup *m)
{
	struct wire_r r = wire_reader(f->body, f->len);
	const uint8_t *entropy;

	memset(m, 0, sizeof(*m));
	m->time_ns = wire_get_u64(&r);
	entropy = wire_get_bytes(&r, sizeof(m->entropy));
	if (entropy)
		memcpy(m->entropy, entropy, sizeof(m->entropy));
	wire_get_strz(&r, m->hostname, sizeof(m->hostname));
	wire_get_strz(&r, m->user, sizeof(m->user));
	m->uid = wire_get_u32(&r);
	m->gid = wire_get_u32(&r);
	wire_get_strz(&r, m->home, sizeof(m->home));
	wire_get_strz(&r, m->cwd, sizeof(m->cwd));
	get_mounts(&r, m);
	get_strv(&r, &m->env);
	wire_get_strz(&r, m->ca, sizeof(m->ca));
	if (!r.bad)
		get_volumes(&r, m);
	if (fixed(&r) == PROTO_OK)
		return PROTO_OK;
	agent_setup_fini(m);
	memset(m, 0, sizeof(*m));
	return PROTO_MALFORMED;
}

int agent_put_exec(struct buf *out, const struct agent_exec *m)
{
	size_t max = sizeof(*m) + strv_size(&m->argv) + strv_size(&m->env);
	struct open_frame f;
	int r = frame_begin(out, max < FRAME_BIG_MAX ? max : FRAME_BIG_MAX, &f);

	if (r < 0)
		return r;
	if (m->argv.n == 0)
		return -EINVAL;
	wire_put_u32(&f.w, m->flags);
	wire_put_u16(&f.w, m->rows);
	wire_put_u16(&f.w, m->cols);
	wire_put_str(&f.w, m->user);
	wire_put_str(&f.w, m->cwd);
	wire_put_str(&f.w, m->session);
	put_strv(&f.w, &m->argv);
	put_strv(&f.w, &m->env);
	return frame_end(&f, FRAME_EXEC);
}

enum proto_result agent_get_exec(const struct frame *f, struct agent_exec *m)
{
	struct wire_r r = wire_reader(f->body, f->len);

	memset(m, 0, sizeof(*m));
	m->flags = wire_get_u32(&r);
	m->rows = wire_get_u16(&r);
	m->cols = wire_get_u16(&r);
	wire_get_strz(&r, m->user, sizeof(m->user));
	wire_get_strz(&r, m->cwd, sizeof(m->cwd));
	wire_get_strz(&r, m->session, sizeof(m->session));
	get_strv(&r, &m->argv);
	if (!r.bad)
		get_strv(&r, &m->env);
	if (m->argv.n == 0 || (m->flags & ~15u))
		r.bad = true;
	if (fixed(&r) == PROTO_OK)
		return PROTO_OK;
	agent_exec_fini(m);
	memset(m, 0, sizeof(*m));
	return PROTO_MALFORMED;
}

int agent_put_attach(struct buf *out, const struct agent_attach *m)
{
	struct open_frame f;
	int r = frame_begin(out, 64, &f);

	if (r < 0)
		return r;
	wire_put_u32(&f.w, m->flags);
	wire_put_u16(&f.w, m->rows);
	wire_put_u16(&f.w, m->cols);
	wire_put_str(&f.w, m->session);
	return frame_end(&f, FRAME_ATTACH);
}

enum proto_result agent_get_attach(const struct frame *f, struct agent_attach *m)
{
	struct wire_r r = wire_reader(f->body, f->len);

	memset(m, 0, sizeof(*m));
	m->flags = wire_get_u32(&r);
	m->rows = wire_get_u16(&r);
	m->cols = wire_get_u16(&r);
	wire_get_strz(&r, m->session, sizeof(m->session));
	if (m->flags > AGENT_ATTACH_WATCH)
		r.bad = true;
	return fixed(&r);
}

int agent_put_put(struct buf *out, const struct agent_put *m)
{
	struct open_frame f;
	int r = frame_begin(out, sizeof(*m) + 16, &f);

	if (r < 0)
		return r;
	wire_put_u32(&f.w, m->flags);
	wire_put_str(&f.w, m->path);
	wire_put_u32(&f.w, m->uid);
	wire_put_u32(&f.w, m->gid);
	return frame_end(&f, FRAME_PUT);
}

enum proto_result agent_get_put(const struct frame *f, struct agent_put *m)
{
	struct wire_r r = wire_reader(f->body, f->len);

	memset(m, 0, sizeof(*m));
	m->flags = wire_get_u32(&r);
	wire_get_strz(&r, m->path, sizeof(m->path));
	m->uid = wire_get_u32(&r);
	m->gid = wire_get_u32(&r);
	if (m->path[0] != '/' || (m->flags & ~(uint32_t)(AGENT_PUT_AS | AGENT_PUT_KEEP)))
		r.bad = true;
	return fixed(&r);
}

int agent_put_get(struct buf *out, const struct agent_get *m)
{
	struct open_frame f;
	int r = frame_begin(out, sizeof(*m) + 16, &f);

	if (r < 0)
		return r;
	wire_put_u32(&f.w, m->flags);
	wire_put_str(&f.w, m->path);
	return frame_end(&f, FRAME_GET);
}

enum proto_result agent_get_get(const struct frame *f, struct agent_get *m)
{
	struct wire_r r = wire_reader(f->body, f->len);

	memset(m, 0, sizeof(*m));
	m->flags = wire_get_u32(&r);
	wire_get_strz(&r, m->path, sizeof(m->path));
	if (m->path[0] != '/' || (m->flags & ~(uint32_t)(AGENT_GET_FOLLOW | AGENT_GET_IMAGE)))
		r.bad = true;
	return fixed(&r);
}

int agent_put_hello(struct buf *out, const struct agent_hello *m)
{
	struct open_frame f;
	int r = frame_begin(out, 128, &f);

	if (r < 0)
		return r;
	wire_put_u32(&f.w, m->version);
	wire_put_str(&f.w, m->kernel);
	return frame_end(&f, FRAME_HELLO);
}

enum proto_result agent_get_hello(const struct frame *f, struct agent_hello *m)
{
	struct wire_r r = wire_reader(f->body, f->len);

	memset(m, 0, sizeof(*m));
	m->version = wire_get_u32(&r);
	wire_get_strz(&r, m->kernel, sizeof(m->kernel));
	return fixed(&r);
}

int agent_put_error(struct buf *out, int num, const char *fmt, ...)
{
	char text[sizeof(((struct agent_error *)0)->text)];
	struct open_frame f;
	va_list ap;
	int r;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r = frame_begin(out, sizeof(text) + 8, &f);
	if (r < 0)
		return r;
	wire_put_u32(&f.w, (uint32_t)(num < 0 ? -num : num));
	wire_put_str(&f.w, text);
	return frame_end(&f, FRAME_ERROR);
}

enum proto_result agent_get_error(const struct frame *f, struct agent_error *m)
{
	struct wire_r r = wire_reader(f->body, f->len);

	memset(m, 0, sizeof(*m));
	m->num = wire_get_u32(&r);
	wire_get_strz(&r, m->text, sizeof(m->text));
	if (m->num == 0 || m->num > 4095)
		r.bad = true;
	return fixed(&r);
}

int agent_put_exit(struct buf *out, struct agent_exit m)
{
	uint8_t body[5];
	struct wire_w w = wire_writer(body, sizeof(body));

	wire_put_u32(&w, m.code);
	wire_put_u8(&w, m.signal);
	return frame_add(out, FRAME_EXIT, body, sizeof(body));
}

enum proto_result agent_get_exit(const struct frame *f, struct agent_exit *m)
{
	struct wire_r r = wire_reader(f->body, f->len);

	m->code = wire_get_u32(&r);
	m->signal = wire_get_u8(&r);
	if (m->code > 255 || m->signal > 64)
		r.bad = true;
	return fixed(&r);
}

int agent_put_resize(struct buf *out, struct agent_size m)
{
	uint8_t body[4];
	struct wire_w w = wire_writer(body, sizeof(body));

	wire_put_u16(&w, m.rows);
	wire_put_u16(&w, m.cols);
	return frame_add(out, FRAME_RESIZE, body, sizeof(body));
}

enum proto_result agent_get_resize(const struct frame *f, struct agent_size *m)
{
	struct wire_r r = wire_reader(f->body, f->len);

	m->rows = wire_get_u16(&r);
	m->cols = wire_get_u16(&r);
	return fixed(&r);
}

int agent_put_usage(struct buf *out, const struct agent_usage *m)
{
	uint8_t body[48];
	struct wire_w w = wire_writer(body, sizeof(body));

	wire_put_u64(&w, m->mem_total);
	wire_put_u64(&w, m->mem_available);
	wire_put_u64(&w, m->cpu_ms);
	wire_put_u64(&w, m->scratch_total);
	wire_put_u64(&w, m->scratch_free);
	wire_put_u32(&w, m->processes);
	wire_put_u32(&w, m->commands);
	return frame_add(out, FRAME_USAGE_REPLY, body, w.pos);
}

enum proto_result agent_get_usage(const struct frame *f, struct agent_usage *m)
{
	struct wire_r r = wire_reader(f->body, f->len);

	m->mem_total = wire_get_u64(&r);
	m->mem_available = wire_get_u64(&r);
	m->cpu_ms = wire_get_u64(&r);
	m->scratch_total = wire_get_u64(&r);
	m->scratch_free = wire_get_u64(&r);
	m->processes = wire_get_u32(&r);
	m->commands = wire_get_u32(&r);
	return fixed(&r);
}

int agent_put_u8(struct buf *out, enum frame_type type, uint8_t v)
{
	return frame_add(out, type, &v, 1);
}

int agent_put_u16(struct buf *out, enum frame_type type, uint16_t v)
{
	uint8_t body[2];
	struct wire_w w = wire_writer(body, sizeof(body));

	wire_put_u16(&w, v);
	return frame_add(out, type, body, sizeof(body));
}

int agent_put_u32(struct buf *out, enum frame_type type, uint32_t v)
{
	uint8_t body[4];
	struct wire_w w = wire_writer(body, sizeof(body));

	wire_put_u32(&w, v);
	return frame_add(out, type, body, sizeof(body));
}

int agent_put_u64(struct buf *out, enum frame_type type, uint64_t v)
{
	uint8_t body[8];
	struct wire_w w = wire_writer(body, sizeof(body));

	wire_put_u64(&w, v);
	return frame_add(out, type, body, sizeof(body));
}

enum proto_result agent_get_u8(const struct frame *f, uint8_t *ret_v)
{
	struct wire_r r = wire_reader(f->body, f->len);

	*ret_v = wire_get_u8(&r);
	return fixed(&r);
}

enum proto_result agent_get_u16(const struct frame *f, uint16_t *ret_v)
{
	struct wire_r r = wire_reader(f->body, f->len);

	*ret_v = wire_get_u16(&r);
	return fixed(&r);
}

enum proto_result agent_get_u32(const struct frame *f, uint32_t *ret_v)
{
	struct wire_r r = wire_reader(f->body, f->len);

	*ret_v = wire_get_u32(&r);
	return fixed(&r);
}

enum proto_result agent_get_u64(const struct frame *f, uint64_t *ret_v)
{
	struct wire_r r = wire_reader(f->body, f->len);

	*ret_v = wire_get_u64(&r);
	return fixed(&r);
}

int agent_put_text(struct buf *out, enum frame_type type, const char *text)
{
	uint8_t body[260];
	struct wire_w w = wire_writer(body, sizeof(body));

	wire_put_str(&w, text);
	return w.bad ? -EMSGSIZE : frame_add(out, type, body, w.pos);
}

enum proto_result agent_get_text(const struct frame *f, char *dst, size_t cap)
{
	struct wire_r r = wire_reader(f->body, f->len);

	wire_get_strz(&r, dst, cap);
	return fixed(&r);
}

int agent_put_empty(struct buf *out, enum frame_type type)
{
	return frame_add(out, type, NULL, 0);
}
