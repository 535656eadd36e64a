/* fuzz_envfile.c - sbxenv.yaml as a stranger may have written it, over a base; what a plan shows of it */
#include "kit/envfile.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char base[] = "schemaVersion: \"1\"\nagent: shell\nargs: {team: {default: x}}\n"
			   "env: {A: \"${{ env.args.team }}\"}\nports: [\"80\"]\n";

static void same(const struct js *a, const struct js *b)
{
	AUTO(buf) x = {0}, y = {0};

	buf_init(&x, 8 << 20);
	buf_init(&y, 8 << 20);
	assert(js_canonical(a, &x) == 0 && js_canonical(b, &y) == 0);
	assert(x.len == y.len && memcmp(x.data, y.data, x.len) == 0);
}

/* use() - each line names what it is, and without all that opens something nothing of it is left */
static void use(struct js *env)
{
	AUTO_JS lines = NULL;
	AUTO_JS out = js_array();
	AUTO_JS after = NULL;

	assert(envfile_lines(env, "/p", &lines) == 0 && js_len(lines) > 0);
	for (size_t i = 0; i < js_len(lines); i++) {
		const struct js *line = js_at(lines, i);
		AUTO_JS one = js_object();

		assert(js_str(js_get(line, "text"))[0]);
		assert(!js_bool(js_get(line, "host")) || js_bool(js_get(line, "opens")));
		if (!js_bool(js_get(line, "opens")))
			continue;
		assert(!js_set_str(one, "field", js_str(js_get(line, "field"))));
		assert(!js_set_str(one, "key", js_str(js_get(line, "key"))));
		assert(!js_add(out, TAKE(one)));
	}
	assert(envfile_withhold(env, out) == 0 && envfile_lines(env, "/p", &after) == 0);
	for (size_t i = 0; i < js_len(after); i++)
		assert(!js_bool(js_get(js_at(after, i), "opens")) ||
			strcmp(js_str(js_get(js_at(after, i), "field")), "workspace") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct envfile files[] = {
		{"a", "/p", base, sizeof(base) - 1}, {"b", "/p", (const char *)data, size}};
	const struct kit_pair given[] = {{"team", "a: [b]\"}\n# ${{ env.projectDir }}"}};
	struct envfile_request q = {.files = files, .n = 2, .project = "/p", .args = given};

	for (q.n_args = 0; q.n_args < 2; q.n_args++) {
		AUTO_JS env = NULL;
		AUTO_JS again = NULL;
		struct err e = {0};
		int r = envfile_resolve(&q, &env, &e);

		assert((r == 0) == (env != NULL));
		if (r < 0) {
			assert(e.code != ERR_NONE && e.msg[0]);
			continue;
		}
		assert(envfile_resolve(&q, &again, &e) == 0);
		same(env, again);
		use(env);
	}
	return 0;
}
