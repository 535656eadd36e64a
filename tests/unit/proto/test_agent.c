/* test_agent.c - every message goes there and back; cut anywhere, or with a byte more, it is refused
 *
 * One row per message: encode a sample, decode it, encode the result again. The second encoding
 * equals the first, so no field was lost. The same row then serves the malformed variants.
 */
#include "check.h"
#include "proto/agent.h"
#include <errno.h>
#include <string.h>

#define OUT_MAX (2u << 20)

/* again() - decode @f; when it is well formed, encode the result into @out */
typedef enum proto_result (*again_fn)(const struct frame *f, struct buf *out);
typedef int (*sample_fn)(struct buf *out);

#define PLAIN(name, type, put_arg)                                                                 \
	static enum proto_result again_##name(const struct frame *f, struct buf *out)              \
	{                                                                                          \
		struct type m;                                                                     \
		enum proto_result r = agent_get_##name(f, &m);                                     \
                                                                                                   \
		if (r == PROTO_OK)                                                                 \
			assert_int_equal(agent_put_##name(out, put_arg), 0);                       \
		return r;                                                                          \
	}
PLAIN(attach, agent_attach, &m)
PLAIN(put, agent_put, &m)
PLAIN(get, agent_get, &m)
PLAIN(hello, agent_hello, &m)
PLAIN(exit, agent_exit, m)
PLAIN(resize, agent_size, m)
PLAIN(usage, agent_usage, &m)

static enum proto_result again_setup(const struct frame *f, struct buf *out)
{
	static struct agent_setup m;
	enum proto_result r = agent_get_setup(f, &m);

	if (r == PROTO_OK)
		assert_int_equal(agent_put_setup(out, &m), 0);
	else
		assert_true(m.n_mounts == 0 && m.env.n == 0 && !m.env.v && !m.user[0]);
	agent_setup_fini(&m);
	return r;
}

static enum proto_result again_exec(const struct frame *f, struct buf *out)
{
	struct agent_exec m;
	enum proto_result r = agent_get_exec(f, &m);

	if (r == PROTO_OK) {
		assert_null(m.argv.v[m.argv.n]); /* serves as argv */
		assert_int_equal(agent_put_exec(out, &m), 0);
	} else {
		assert_true(m.argv.n == 0 && !m.argv.v && !m.env.v && !m.user[0]);
	}
	agent_exec_fini(&m);
	return r;
}

static enum proto_result again_error(const struct frame *f, struct buf *out)
{
	struct agent_error m;
	enum proto_result r = agent_get_error(f, &m);

	if (r == PROTO_OK)
		assert_int_equal(agent_put_error(out, (int)m.num, "%s", m.text), 0);
	return r;
}

static enum proto_result again_text(const struct frame *f, struct buf *out)
{
	char text[256];
	enum proto_result r = agent_get_text(f, text, sizeof(text));

	if (r == PROTO_OK)
		assert_int_equal(agent_put_text(out, f->type, text), 0);
	return r;
}

static enum proto_result again_u8(const struct frame *f, struct buf *out)
{
	uint8_t v;
	enum proto_result r = agent_get_u8(f, &v);

	if (r == PROTO_OK)
		assert_int_equal(agent_put_u8(out, f->type, v), 0);
	return r;
}

static enum proto_result again_u32(const struct frame *f, struct buf *out)
{
	uint32_t v;
	enum proto_result r = agent_get_u32(f, &v);

	if (r == PROTO_OK)
		assert_int_equal(agent_put_u32(out, f->type, v), 0);
	return r;
}

static enum proto_result again_u16(const struct frame *f, struct buf *out)
{
	uint16_t v;
	enum proto_result r = agent_get_u16(f, &v);

	if (r == PROTO_OK)
		assert_int_equal(agent_put_u16(out, f->type, v), 0);
	return r;
}

static enum proto_result again_u64(const struct frame *f, struct buf *out)
{
	uint64_t v;
	enum proto_result r = agent_get_u64(f, &v);

	if (r == PROTO_OK)
		assert_int_equal(agent_put_u64(out, f->type, v), 0);
	return r;
}

static char *strings[] = {
	(char *)(uintptr_t) "make", (char *)(uintptr_t) "", (char *)(uintptr_t) "-j2 \xff\n", NULL};
static const struct agent_strv list = {.v = strings, .n = 3};

static int sample_setup(struct buf *out)
{
	static struct agent_setup m;

	m = (struct agent_setup){
		.time_ns = 0x1122334455667788, .uid = 1000, .gid = 1001, .env = list};
	memset(m.entropy, 0xa5, sizeof(m.entropy));
	(void)snprintf(m.hostname, sizeof(m.hostname), "demo-x");
	(void)snprintf(m.user, sizeof(m.user), "agent");
	(void)snprintf(m.home, sizeof(m.home), "/home/agent");
	(void)snprintf(m.cwd, sizeof(m.cwd), "/src/a b");
	m.mounts[0] = (struct agent_mount){7, AGENT_MOUNT_RO, (char *)(uintptr_t) "/src/a b"};
	m.mounts[1] = (struct agent_mount){0, AGENT_MOUNT_FILE, (char *)(uintptr_t) "/f"};
	m.n_mounts = 2;
	m.volumes[0] =
		(struct agent_volume){AGENT_VOLUME_TMPFS, 01777, 1 << 20, (char *)(uintptr_t) "/t"};
	m.volumes[1] = (struct agent_volume){0, 0, 1ull << 40, (char *)(uintptr_t) "/var/lib/x"};
	m.n_volumes = 2;
	return agent_put_setup(out, &m);
}

static int sample_exec(struct buf *out)
{
	struct agent_exec m = {.flags = 7, .rows = 24, .cols = 80, .argv = list, .env = list};

	(void)snprintf(m.user, sizeof(m.user), "1000:1000");
	(void)snprintf(m.cwd, sizeof(m.cwd), "/");
	(void)snprintf(m.session, sizeof(m.session), "%032d", 1);
	return agent_put_exec(out, &m);
}

static int sample_attach(struct buf *out)
{
	struct agent_attach m = {.flags = 1, .rows = 65535, .cols = 1};

	(void)snprintf(m.session, sizeof(m.session), "agent");
	return agent_put_attach(out, &m);
}

static int sample_put(struct buf *out)
{
	return agent_put_put(out, &(struct agent_put){1, "/tmp/x", 0xffffffff, 1000});
}

static int sample_get(struct buf *out)
{
	return agent_put_get(out, &(struct agent_get){1, "/etc/hosts"});
}

static int sample_hello(struct buf *out)
{
	return agent_put_hello(out, &(struct agent_hello){1, "6.1.0-cloud-amd64"});
}

static int sample_error(struct buf *out)
{
	return agent_put_error(out, -ENOENT, "no '%s'", "x");
}

static int sample_exit(struct buf *out)
{
	return agent_put_exit(out, (struct agent_exit){255, 64});
}

static int sample_resize(struct buf *out)
{
	return agent_put_resize(out, (struct agent_size){50, 132});
}

static int sample_usage(struct buf *out)
{
	return agent_put_usage(out, &(struct agent_usage){1ull << 40, 2, 3, 4, 5, 6, 7});
}

static int sample_text(struct buf *out)
{
	return agent_put_text(out, FRAME_STEP, "mount the workspace");
}

static int sample_u8(struct buf *out)
{
	return agent_put_u8(out, FRAME_SIGNAL, 15);
}

static int sample_u16(struct buf *out)
{
	return agent_put_u16(out, FRAME_DIAL, 65535);
}

static int sample_u32(struct buf *out)
{
	return agent_put_u32(out, FRAME_CREDIT, 65536);
}

static int sample_u64(struct buf *out)
{
	return agent_put_u64(out, FRAME_READY, UINT64_MAX);
}

static const struct row {
	enum frame_type type;
	sample_fn sample;
	again_fn again;
} rows[] = {
	{FRAME_SETUP, sample_setup, again_setup},
	{FRAME_EXEC, sample_exec, again_exec},
	{FRAME_ATTACH, sample_attach, again_attach},
	{FRAME_PUT, sample_put, again_put},
	{FRAME_GET, sample_get, again_get},
	{FRAME_HELLO, sample_hello, again_hello},
	{FRAME_ERROR, sample_error, again_error},
	{FRAME_EXIT, sample_exit, again_exit},
	{FRAME_RESIZE, sample_resize, again_resize},
	{FRAME_USAGE_REPLY, sample_usage, again_usage},
	{FRAME_STEP, sample_text, again_text},
	{FRAME_SIGNAL, sample_u8, again_u8},
	{FRAME_DIAL, sample_u16, again_u16},
	{FRAME_CREDIT, sample_u32, again_u32},
	{FRAME_READY, sample_u64, again_u64},
};

/* the_frame() - the one frame in @bytes */
static struct frame the_frame(struct frame_decoder *d, const struct buf *bytes)
{
	struct frame f = {0};

	frame_decoder_init(d);
	assert_int_equal(frame_feed(d, bytes->data, bytes->len), 0);
	assert_int_equal(frame_next(d, &f), FRAME_GOT);
	assert_int_equal(f.len + FRAME_HEADER, bytes->len);
	return f;
}

static void test_there_and_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf) once;
		AUTO(buf) twice;
		struct frame_decoder d;
		struct frame f;

		buf_init(&once, OUT_MAX);
		buf_init(&twice, OUT_MAX);
		assert_int_equal(rows[i].sample(&once), 0);
		f = the_frame(&d, &once);
		assert_int_equal(f.type, rows[i].type);
		assert_int_equal(rows[i].again(&f, &twice), PROTO_OK);
		assert_int_equal(twice.len, once.len);
		assert_memory_equal(twice.data, once.data, once.len);
		frame_decoder_fini(&d);
	}
}

/* judge_exact() - decode from a heap copy of exact size, so that a sanitizer sees a read too far */
static enum proto_result judge_exact(const struct row *row, const uint8_t *body, size_t len)
{
	AUTO(buf) out;
	AUTO_FREE uint8_t *exact = malloc(len ? len : 1);
	struct frame f = {.type = row->type, .body = exact, .len = len};

	buf_init(&out, OUT_MAX);
	assert_non_null(exact);
	memcpy(exact, body, len);
	return row->again(&f, &out);
}

static void test_cut_at_every_byte_and_one_too_many(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf) b;
		size_t len;

		buf_init(&b, OUT_MAX);
		assert_int_equal(rows[i].sample(&b), 0);
		assert_int_equal(buf_add(&b, "", 1), 0);
		len = b.len - 1 - FRAME_HEADER;
		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(
				judge_exact(&rows[i], (uint8_t *)b.data + FRAME_HEADER, cut),
				PROTO_MALFORMED);
		assert_int_equal(
			judge_exact(&rows[i], (uint8_t *)b.data + FRAME_HEADER, len), PROTO_OK);
		assert_int_equal(judge_exact(&rows[i], (uint8_t *)b.data + FRAME_HEADER, len + 1),
			PROTO_MALFORMED);
	}
}

/* Each byte of each sample gets each of a few values: never more than a clean refusal. */
static void test_every_byte_changed(void **state)
{
	static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff, '/'};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf) b;

		buf_init(&b, OUT_MAX);
		assert_int_equal(rows[i].sample(&b), 0);
		for (size_t at = FRAME_HEADER; at < b.len; at++)
			for (size_t v = 0; v < ARRAY_LEN(values); v++) {
				char old = b.data[at];
				enum proto_result r;

				b.data[at] = (char)values[v];
				r = judge_exact(&rows[i], (uint8_t *)b.data + FRAME_HEADER,
					b.len - FRAME_HEADER);
				assert_true(r == PROTO_OK || r == PROTO_MALFORMED);
				b.data[at] = old;
			}
	}
}

static enum proto_result judge_raw(
	enum frame_type type, again_fn again, const char *body, size_t len)
{
	return judge_exact(&(struct row){type, NULL, again}, (const uint8_t *)body, len);
}

static void test_values_out_of_range(void **state)
{
	(void)state;
	assert_int_equal(judge_raw(FRAME_EXIT, again_exit, "\0\1\0\0\0", 5), PROTO_MALFORMED);
	assert_int_equal(
		judge_raw(FRAME_EXIT, again_exit, "\xff\xff\xff\xff\0", 5), PROTO_MALFORMED);
	assert_int_equal(judge_raw(FRAME_EXIT, again_exit, "\0\0\0\0\x41", 5), PROTO_MALFORMED);
	assert_int_equal(
		judge_raw(FRAME_ERROR, again_error, "\0\0\0\0\0\0\0\0", 8), PROTO_MALFORMED);
	assert_int_equal(
		judge_raw(FRAME_ERROR, again_error, "\0\x10\0\0\0\0\0\0", 8), PROTO_MALFORMED);
	/* paths must be absolute, flags known */
	assert_int_equal(judge_raw(FRAME_GET, again_get, "\0\0\0\0\1\0\0\0a", 9), PROTO_MALFORMED);
	assert_int_equal(judge_raw(FRAME_GET, again_get, "\0\0\0\0\0\0\0\0", 8), PROTO_MALFORMED);
	assert_int_equal(judge_raw(FRAME_GET, again_get, "\4\0\0\0\1\0\0\0/", 9), PROTO_MALFORMED);
	assert_int_equal(judge_raw(FRAME_GET, again_get, "\1\0\0\0\1\0\0\0/", 9), PROTO_OK);
}

/* A list that claims far more items than there are bytes allocates nothing and is refused. */
static void test_list_counts_that_lie(void **state)
{
	static const uint32_t counts[] = {0, 4, 4096, 4097, 0x7fffffff, 0xffffffff};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		AUTO(buf) b;
		uint32_t n = counts[i];

		buf_init(&b, OUT_MAX);
		assert_int_equal(sample_exec(&b), 0);
		/* argv's count follows flags, size, and three strings: 9, 1 and 32 bytes long */
		memcpy(b.data + FRAME_HEADER + 8 + 4 + 9 + 4 + 1 + 4 + 32, &n, sizeof(n));
		assert_int_equal(judge_exact(&rows[1], (uint8_t *)b.data + FRAME_HEADER,
					 b.len - FRAME_HEADER),
			PROTO_MALFORMED);
	}
}

static void test_encoders_refuse_what_cannot_be_said(void **state)
{
	AUTO(buf) out;
	AUTO(buf) small;
	struct agent_exec none = {0};
	AUTO_FREE char *big = calloc(1, FRAME_BIG_MAX + 1);
	char *argv[] = {big, NULL};
	struct agent_exec huge = {.argv = {.v = argv, .n = 1}};

	(void)state;
	buf_init(&out, 4 * FRAME_BIG_MAX);
	buf_init(&small, 12);
	assert_int_equal(agent_put_exec(&out, &none), -EINVAL);
	memset(big, 'a', FRAME_BIG_MAX);
	assert_int_equal(agent_put_exec(&out, &huge), -EMSGSIZE);
	assert_int_equal(agent_put_text(&out, FRAME_STEP, big), -EMSGSIZE);
	assert_int_equal(out.len, 0);
	assert_true(sample_exec(&small) < 0);
	assert_true(sample_hello(&small) < 0);
	assert_int_equal(agent_put_u64(&small, FRAME_READY, 1), -ENOBUFS);
	assert_int_equal(small.len, 0);
	assert_int_equal(agent_put_u32(&small, FRAME_CREDIT, 1), 0);
}

static void test_longest_fields_fit(void **state)
{
	AUTO(buf) out;
	static struct agent_put p = {.path = "/"}, q;
	struct agent_error e;
	struct frame_decoder d;
	struct frame f;
	char text[600];

	(void)state;
	buf_init(&out, OUT_MAX);
	memset(p.path + 1, 'a', sizeof(p.path) - 2);
	assert_int_equal(agent_put_put(&out, &p), 0);
	f = the_frame(&d, &out);
	assert_int_equal(agent_get_put(&f, &q), PROTO_OK);
	assert_string_equal(p.path, q.path);
	frame_decoder_fini(&d);
	buf_clear(&out);
	memset(text, 'e', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(agent_put_error(&out, EIO, "%s", text), 0);
	f = the_frame(&d, &out);
	assert_int_equal(agent_get_error(&f, &e), PROTO_OK);
	assert_int_equal(e.num, EIO);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	frame_decoder_fini(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_cut_at_every_byte_and_one_too_many),
		cmocka_unit_test(test_every_byte_changed),
		cmocka_unit_test(test_values_out_of_range),
		cmocka_unit_test(test_list_counts_that_lie),
		cmocka_unit_test(test_encoders_refuse_what_cannot_be_said),
		cmocka_unit_test(test_longest_fields_fit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
