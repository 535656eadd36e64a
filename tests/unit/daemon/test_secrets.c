/* test_secrets.c - secrets by the API: in, masked out, gone; never in the daemon's memory, log or files */
#include "check.h"
#include "rig.h"
#include "base/io.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define RAW   "application/octet-stream"
#define VALUE "canary-8c1f44e0b7d2-forge"

static int put(struct rig *r, const char *target, const char *value)
{
	return rig_ask_as(r, "PUT", target, RAW, value, NULL);
}

static const struct js *first(struct rig *r)
{
	const struct js *v;

	assert_int_equal(rig_ask(r, "GET", "/v1/secrets", NULL, &v), 200);
	return js_at(js_get(v, "secrets"), 0);
}

static void set_list_remove(void **state)
{
	struct rig *r = *state;
	const struct js *v;

	assert_int_equal(put(r, "/v1/secrets/forge", VALUE), 200);
	v = first(r);
	assert_string_equal(rig_str(v, "name"), "forge");
	assert_string_equal(rig_str(v, "mask"), "canary***************orge");
	assert_int_equal(rig_ask(r, "DELETE", "/v1/secrets/forge", NULL, NULL), 204);
	assert_null(first(r));
	assert_int_equal(rig_ask(r, "DELETE", "/v1/secrets/forge", NULL, NULL), 404);
}

static void refused(void **state)
{
	struct rig *r = *state;

	assert_int_equal(put(r, "/v1/secrets/nobody", VALUE), 404);
	assert_int_equal(put(r, "/v1/secrets/forge", "a\r\nHost: x"), 400);
	assert_int_equal(put(r, "/v1/secrets/forge", NULL), 400);
	assert_int_equal(rig_ask(r, "PUT", "/v1/secrets/forge", "{}", NULL), 400);
	assert_int_equal(put(r, "/v1/secrets/forge?sandbox=nobody", VALUE), 404);
	assert_int_equal(put(r, "/v1/secrets/forge?refresh=x", VALUE), 400);
	assert_int_equal(put(r, "/v1/secrets/forge?command=1", "exit 3"), 500);
	assert_int_equal(put(r, "/v1/secrets/forge?command=1", "true"), 400);
	assert_null(first(r));
}

static void commands(void **state)
{
	struct rig *r = *state;
	const struct js *v;

	assert_int_equal(
		put(r, "/v1/secrets/forge?command=1&refresh=60", "echo x-from-command"), 200);
	v = first(r);
	assert_string_equal(rig_str(v, "type"), "command");
	assert_int_equal(js_int(js_get(v, "refresh_s"), 0), 60);
	assert_string_equal(rig_str(v, "mask"), "");
	/* a failing one does not take the place of one that works */
	assert_int_equal(put(r, "/v1/secrets/forge?command=1", "exit 1"), 500);
	assert_string_equal(rig_str(first(r), "type"), "command");
}

/* in_memory() - does any writable page of the daemon hold the value? */
static bool in_memory(pid_t pid)
{
	char path[64], line[512];
	bool found = false;
	FILE *maps;
	int mem;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "r");
	assert_non_null(maps);
	(void)snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	if (mem < 0) {
		(void)fclose(maps);
		skip();
	}
	while (fgets(line, sizeof(line), maps) && !found) {
		unsigned long from, to;
		char perms[8];
		char *copy;
		ssize_t n;

		if (sscanf(line, "%lx-%lx %7s", &from, &to, perms) != 3 || perms[1] != 'w' ||
			to - from > (256UL << 20))
			continue;
		copy = malloc(to - from);
		assert_non_null(copy);
		n = pread(mem, copy, to - from, (off_t)from);
		/* the middle of it: its beginning and end may stand in a mask */
		found = n > 0 && memmem(copy, (size_t)n, "8c1f44e0b7d2", 12);
		free(copy);
	}
	(void)fclose(maps);
	close(mem);
	return found;
}

static void value_is_forgotten(void **state)
{
	struct rig *r = *state;

	assert_int_equal(put(r, "/v1/secrets/forge", VALUE), 200);
	(void)first(r);
	assert_false(in_memory(r->sbxd));
}

static void audit_tells(void **state)
{
	struct rig *r = *state;
	struct audit_line {
		struct buf b;
	} a;

	assert_int_equal(put(r, "/v1/secrets/forge", VALUE), 200);
	assert_int_equal(rig_ask(r, "GET", "/v1/audit?event=admin", NULL, NULL), 200);
	buf_init(&a.b, 1 << 20);
	assert_int_equal(io_read_file(AT_FDCWD, rig_path(r, "state/audit/audit.jsonl"), &a.b), 0);
	assert_non_null(strstr(a.b.data, "\"what\":\"secret.set\""));
	assert_null(strstr(a.b.data, "8c1f44e0b7d2"));
	buf_fini(&a.b);
	assert_int_equal(rig_ask(r, "GET", "/v1/audit?limit=-1", NULL, NULL), 400);
}

static void services(void **state)
{
	struct rig *r = *state;
	const struct js *v;

	assert_int_equal(rig_ask(r, "GET", "/v1/services", NULL, &v), 200);
	v = js_at(js_get(v, "services"), 0);
	assert_string_equal(rig_str(v, "name"), "forge");
	assert_string_equal(js_str(js_at(js_get(v, "env"), 0)), "FORGE_TOKEN");
}

static const struct js *setting(struct rig *r, const char *key)
{
	const struct js *v;

	assert_int_equal(rig_ask(r, "GET", "/v1/settings", NULL, &v), 200);
	v = js_get(v, "settings");
	for (size_t i = 0; i < js_len(v); i++)
		if (strcmp(rig_str(js_at(v, i), "key"), key) == 0)
			return js_at(v, i);
	return NULL;
}

static void settings(void **state)
{
	struct rig *r = *state;

	assert_string_equal(rig_str(setting(r, "egress.proxy"), "source"), "default");
	assert_int_equal(rig_ask(r, "PUT", "/v1/settings/egress.proxy",
				 "{\"value\":\"socks5h://127.0.0.1:1080\"}", NULL),
		204);
	assert_string_equal(
		rig_str(setting(r, "egress.proxy"), "value"), "socks5h://127.0.0.1:1080");
	assert_string_equal(rig_str(setting(r, "egress.proxy"), "source"), "set");
	assert_int_equal(
		rig_ask(r, "PUT", "/v1/settings/egress.proxy", "{\"value\":\"ftp://x\"}", NULL),
		400);
	assert_int_equal(
		rig_ask(r, "PUT", "/v1/settings/tls.extraCA", "{\"value\":\"ca.pem\"}", NULL), 400);
	assert_int_equal(rig_ask(r, "PUT", "/v1/settings/no.such", "{\"value\":\"x\"}", NULL), 404);
	assert_int_equal(rig_ask(r, "DELETE", "/v1/settings/egress.proxy", NULL, NULL), 204);
	assert_string_equal(rig_str(setting(r, "egress.proxy"), "value"), "");
}

static int up(void **state)
{
	struct rig *r = rig_new();

	if (!r)
		return -1;
	rig_up(r);
	*state = r;
	return 0;
}

static int down(void **state)
{
	return rig_free(*state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(set_list_remove, up, down),
		cmocka_unit_test_setup_teardown(refused, up, down),
		cmocka_unit_test_setup_teardown(commands, up, down),
		cmocka_unit_test_setup_teardown(value_is_forgotten, up, down),
		cmocka_unit_test_setup_teardown(audit_tells, up, down),
		cmocka_unit_test_setup_teardown(services, up, down),
		cmocka_unit_test_setup_teardown(settings, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
