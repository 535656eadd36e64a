/* fuzz_api_json.c - bodies of the API: parsed strictly, then read as Create, as a plan, as an error
 *
 * What is taken prints canonically, and that text is taken again and prints the same. Nothing is
 * made on disk: the data directory does not exist, so resolving a Create ends at its kit.
 */
#include "daemon/plan.h"
#include "json/apierr.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fixed_point(const struct js *v)
{
	struct js *again = NULL;
	struct buf one, two;

	buf_init(&one, 8U << 20);
	buf_init(&two, 8U << 20);
	assert(js_canonical(v, &one) == 0);
	assert(js_parse(one.data, one.len, one.len, &again, NULL) == 0);
	assert(js_canonical(again, &two) == 0);
	assert(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
	js_free(again);
	buf_fini(&one);
	buf_fini(&two);
}

static void as_plan(const char *text, size_t len)
{
	struct plan *p = NULL;
	struct err e = {0};

	if (plan_load(text, len, &p, &e) < 0) {
		assert(e.code != ERR_NONE && e.msg[0]);
		return;
	}
	assert(p->n_workspaces <= MACHINE_EXPORTS_MAX && p->cwd[0] == '/' && strlen(p->hash) == 64);
	plan_free(p);
}

static void as_create(const struct js *v)
{
	static struct paths paths = {"/nonexistent/state", "/nonexistent/cache",
		"/nonexistent/libexec", "/nonexistent/data"};
	const struct plan_host host = {.cpus = 2, .memory_bytes = 4ULL << 30};
	const char *agent = js_str(js_get(v, "agent"));
	struct plan *p = NULL;
	struct err e = {0};

	if (agent && strchr(agent, '/'))
		return; /* a path could name a real kit */
	assert(plan_resolve(v, &paths, &host, NULL, &p, NULL, &e) < 0);
	assert(e.code != ERR_NONE && e.msg[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct js *v = NULL;
	struct err e = {0};

	(void)apierr_read(text, size, 500, &e);
	assert(e.code != ERR_NONE);
	as_plan(text, size);
	if (js_parse(text, size, JS_TEXT_MAX, &v, NULL) < 0)
		return 0;
	fixed_point(v);
	as_create(v);
	js_free(v);
	return 0;
}
