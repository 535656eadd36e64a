/* fuzz_host_to_guest.c - what the guest parses: frames in pieces, every message, DNS queries
 *
 * The first byte is the size of the pieces; with its top bit set the rest is a DNS query.
 */
#include "guest/forward.h"
#include "proto/agent.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_strv(const struct agent_strv *s)
{
	assert(s->n <= AGENT_LIST_MAX);
	for (size_t i = 0; i < s->n; i++)
		assert(s->v[i]);
	assert(!s->v || !s->v[s->n]);
}

/* again() - what was decoded can be encoded, and comes out the same */
static void exec_again(const struct frame *f, const struct agent_exec *m)
{
	AUTO(buf) b;

	buf_init(&b, FRAME_HEADER + FRAME_BIG_MAX);
	assert(agent_put_exec(&b, m) == 0);
	assert(b.len == FRAME_HEADER + f->len);
	assert(memcmp(b.data + FRAME_HEADER, f->body, f->len) == 0);
}

static void one_exec(const struct frame *f)
{
	struct agent_exec *m = malloc(sizeof(*m));

	if (m && agent_get_exec(f, m) == PROTO_OK) {
		check_strv(&m->argv);
		check_strv(&m->env);
		assert(m->argv.n > 0);
		exec_again(f, m);
	}
	if (m)
		agent_exec_fini(m);
	free(m);
}

static void one_setup(const struct frame *f)
{
	struct agent_setup *m = malloc(sizeof(*m));

	if (m && agent_get_setup(f, m) == PROTO_OK) {
		assert(m->n_mounts <= AGENT_MOUNT_MAX);
		for (size_t i = 0; i < m->n_mounts; i++)
			assert(m->mounts[i].path[0] == '/');
		assert(m->n_volumes <= AGENT_VOLUME_MAX);
		for (size_t i = 0; i < m->n_volumes; i++)
			assert(m->volumes[i].path[0] == '/' && m->volumes[i].mode <= 01777);
		check_strv(&m->env);
	}
	if (m)
		agent_setup_fini(m);
	free(m);
}

static void one_path(const struct frame *f)
{
	struct agent_put *put = malloc(sizeof(*put));
	struct agent_get *get = malloc(sizeof(*get));

	if (put && f->type == FRAME_PUT && agent_get_put(f, put) == PROTO_OK)
		assert(put->path[0] == '/' && memchr(put->path, 0, sizeof(put->path)));
	if (get && f->type == FRAME_GET && agent_get_get(f, get) == PROTO_OK)
		assert(get->path[0] == '/' && memchr(get->path, 0, sizeof(get->path)));
	free(put);
	free(get);
}

static void one_small(const struct frame *f)
{
	struct agent_attach attach;
	struct agent_size size;
	uint64_t u64;
	uint32_t u32;
	uint16_t u16;
	uint8_t u8;

	if (agent_get_attach(f, &attach) == PROTO_OK)
		assert(memchr(attach.session, 0, sizeof(attach.session)));
	assert(agent_get_resize(f, &size) != PROTO_OK || f->len == 4);
	assert(agent_get_u64(f, &u64) != PROTO_OK || f->len == 8);
	assert(agent_get_u32(f, &u32) != PROTO_OK || f->len == 4);
	assert(agent_get_u16(f, &u16) != PROTO_OK || f->len == 2);
	assert(agent_get_u8(f, &u8) != PROTO_OK || f->len == 1);
}

static void one_frame(const struct frame *f)
{
	assert(f->len <= (size_t)frame_max(f->type));
	switch ((unsigned)f->type) {
	case FRAME_EXEC:
		one_exec(f);
		break;
	case FRAME_SETUP:
		one_setup(f);
		break;
	case FRAME_PUT:
	case FRAME_GET:
		one_path(f);
		break;
	default:
		one_small(f);
		break;
	}
}

static void one_query(const uint8_t *data, size_t size)
{
	uint8_t reply[512];
	size_t n = dns_fail(data, size, 2, reply), most = dns_udp_max(data, size);

	assert(most >= 512 && most <= 4096);
	assert(n <= size && n <= sizeof(reply) && (n == 0 || n >= 12));
	assert(n == 0 || (reply[2] & 0x80));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum frame_result r = FRAME_MORE;
	struct frame_decoder d;
	struct frame f;
	size_t piece;

	if (size == 0)
		return 0;
	piece = data[0] ? data[0] : 1;
	data++;
	size--;
	if (piece & 0x80) {
		one_query(data, size);
		return 0;
	}
	frame_decoder_init(&d);
	while (size > 0 && r != FRAME_BAD) {
		size_t n = piece < size ? piece : size;

		if (frame_feed(&d, data, n) < 0)
			break;
		data += n;
		size -= n;
		while ((r = frame_next(&d, &f)) == FRAME_GOT)
			one_frame(&f);
	}
	frame_decoder_fini(&d);
	return 0;
}
