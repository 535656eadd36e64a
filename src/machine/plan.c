#include "machine/plan.h"
#include "base/wire.h"
#include <errno.h>
#include <limits.h>
#include <string.h>

#define MAGIC	    0x504d4253u /* "SBMP" */
#define FLAG_RO	    1u
#define FLAG_FILE   2u
#define CPUS_MAX    64u
#define MEMORY_MIN  (64ULL << 20)
#define MEMORY_MAX  (1ULL << 40)
#define CONSOLE_MAX (1ULL << 30)
#define PAGE_BYTES  4096u

static void put_fd(struct wire_w *w, int fd)
{
	wire_put_u32(w, (uint32_t)fd);
}

/* get_fd() - a descriptor number, or -1; anything else is malformed */
static int get_fd(struct wire_r *r)
{
	uint32_t v = wire_get_u32(r);

	if (v == UINT32_MAX)
		return -1;
	if (v > INT_MAX)
		r->bad = true;
	return r->bad ? -1 : (int)v;
}

/* The descriptors in the order of the wire form; encoder and decoder share the list. */
#define EACH_FD(p, X)                                                                              \
	X((p)->dir_fd)                                                                             \
	X((p)->lock_fd)                                                                            \
	X((p)->kernel_fd)                                                                          \
	X((p)->initrd_fd)                                                                          \
	X((p)->root_fd)                                                                            \
	X((p)->scratch_fd)                                                                         \
	X((p)->console_fd)

void machine_tail(const char *path, char dst[MACHINE_TAIL_MAX])
{
	size_t len = strlen(path), at = len > MACHINE_TAIL_MAX - 1 ? len - MACHINE_TAIL_MAX + 1 : 0;

	/* Never a part of a component: it could look like another. */
	if (at > 0 && path[at - 1] != '/')
		at += strcspn(path + at, "/");
	at += strspn(path + at, "/");
	memcpy(dst, path + at, len - at + 1);
}

long machine_plan_encode(void *dst, size_t cap, const struct machine_plan *p)
{
	struct wire_w w = wire_writer(dst, cap);

	if (p->n_exports > MACHINE_EXPORTS_MAX || p->n_masks > MACHINE_MASKS_MAX)
		return -ENOSPC;
	wire_put_u32(&w, MAGIC);
	wire_put_u32(&w, MACHINE_PLAN_VERSION);
	wire_put_str(&w, p->id);
	wire_put_u32(&w, (uint32_t)p->engine);
	wire_put_u32(&w, p->cpus);
	wire_put_u64(&w, p->memory_bytes);
	wire_put_u32(&w, p->guest_uid);
	wire_put_u32(&w, p->guest_gid);
#define PUT(fd) put_fd(&w, fd);
	EACH_FD(p, PUT)
#undef PUT
	wire_put_u64(&w, p->console_max_bytes);
	wire_put_str(&w, p->qemu);
	wire_put_u32(&w, p->max_open_files);
	wire_put_u32(&w, (uint32_t)p->n_exports);
	for (size_t i = 0; i < p->n_exports; i++) {
		put_fd(&w, p->exports[i].fd);
		wire_put_u32(&w, (p->exports[i].read_only ? FLAG_RO : 0) |
					 (p->exports[i].is_file ? FLAG_FILE : 0));
		wire_put_str(&w, p->exports[i].tail);
	}
	wire_put_u32(&w, (uint32_t)p->n_masks);
	for (size_t i = 0; i < p->n_masks; i++)
		wire_put_str(&w, p->masks[i]);
	return w.bad ? -ENOSPC : (long)w.pos;
}

/* plausible() - what no daemon of this version writes is refused before anything is built on it */
static bool plausible(const struct machine_plan *p)
{
	if (p->engine != MACHINE_EMULATED && p->engine != MACHINE_KVM)
		return false;
	if (!p->id[0] || p->cpus < 1 || p->cpus > CPUS_MAX)
		return false;
	if (p->memory_bytes < MEMORY_MIN || p->memory_bytes > MEMORY_MAX ||
		p->memory_bytes % PAGE_BYTES)
		return false;
	if (p->console_max_bytes > CONSOLE_MAX)
		return false;
#define HAS(fd)                                                                                    \
	if ((fd) <= MACHINE_PLAN_FD)                                                               \
		return false;
	EACH_FD(p, HAS)
#undef HAS
	for (size_t i = 0; i < p->n_exports; i++)
		if (p->exports[i].fd <= MACHINE_PLAN_FD)
			return false;
	return p->engine != MACHINE_EMULATED || p->qemu[0] == '/';
}

int machine_plan_decode(const void *bytes, size_t len, struct machine_plan *ret_p)
{
	struct wire_r r = wire_reader(bytes, len);
	struct machine_plan p = {0};
	uint32_t magic = wire_get_u32(&r), version = wire_get_u32(&r), n;

	if (magic != MAGIC || version != MACHINE_PLAN_VERSION)
		return -EBADMSG;
	wire_get_strz(&r, p.id, sizeof(p.id));
	p.engine = (enum machine_engine)wire_get_u32(&r);
	p.cpus = wire_get_u32(&r);
	p.memory_bytes = wire_get_u64(&r);
	p.guest_uid = wire_get_u32(&r);
	p.guest_gid = wire_get_u32(&r);
#define GET(fd) fd = get_fd(&r);
	EACH_FD(&p, GET)
#undef GET
	p.console_max_bytes = wire_get_u64(&r);
	wire_get_strz(&r, p.qemu, sizeof(p.qemu));
	p.max_open_files = wire_get_u32(&r);
	n = wire_get_u32(&r);
	if (r.bad || n > MACHINE_EXPORTS_MAX)
		return -EBADMSG;
	for (p.n_exports = 0; p.n_exports < n; p.n_exports++) {
		struct machine_export *x = &p.exports[p.n_exports];
		uint32_t flags;

		x->fd = get_fd(&r);
		flags = wire_get_u32(&r);
		x->read_only = flags & FLAG_RO;
		x->is_file = flags & FLAG_FILE;
		if (flags & ~(FLAG_RO | FLAG_FILE))
			return -EBADMSG;
		wire_get_strz(&r, x->tail, sizeof(x->tail));
	}
	n = wire_get_u32(&r);
	if (r.bad || n > MACHINE_MASKS_MAX)
		return -EBADMSG;
	for (p.n_masks = 0; p.n_masks < n; p.n_masks++)
		wire_get_strz(&r, p.masks[p.n_masks], MACHINE_MASK_MAX);
	if (!wire_done(&r) || !plausible(&p))
		return -EBADMSG;
	*ret_p = p;
	return 0;
}
