/* test_egress.c - front and vault of a sandbox: together with it, anew after their end, never alone */
#include "check.h"
#include "rig.h"
#include "base/clock.h"
#include "base/io.h"
#include "daemon/egress.h"
#include "egress/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct rig *rig;

static int setup(void **state)
{
	(void)state;
	rig = rig_new();
	return 0;
}

static int teardown(void **state)
{
	int r = rig_free(rig);

	(void)state;
	rig = NULL;
	return r;
}

#define NEED_RIG()                                                                                 \
	do {                                                                                       \
		if (!rig)                                                                          \
			SKIP("no rig here");                                                       \
	} while (0)

/* pid_of() - of "front" or "vault"; 0: not running */
static pid_t pid_of(const char *which)
{
	const struct js *v;

	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes/box", NULL, &v), 200);
	v = js_get(js_get(v, "network"), which);
	assert_non_null(v);
	return strcmp(rig_str(v, "state"), "running") == 0 ? (pid_t)js_int(js_get(v, "pid"), 0) : 0;
}

static pid_t wait_other(const char *which, pid_t than)
{
	int64_t deadline = clock_ms() + 5000;
	pid_t pid;

	while (((pid = pid_of(which)) == 0 || pid == than) && clock_ms() < deadline)
		usleep(10000);
	assert_true(pid > 0 && pid != than);
	return pid;
}

static int box_dir(void)
{
	char below[96];
	int fd;

	(void)snprintf(below, sizeof(below), "state/sandboxes/%s", rig_id(rig, "box"));
	fd = open(rig_path(rig, below), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* seen() - what it was told since it was started, at least @want, within a while */
static void seen(const char *which, const char *want)
{
	int64_t deadline = clock_ms() + 5000;
	AUTO_FD dir = box_dir();
	char name[32];

	(void)snprintf(name, sizeof(name), "%s.seen", which);
	for (;;) {
		AUTO(buf) b;

		buf_init(&b, 4096);
		assert_int_equal(io_read_file(dir, name, &b), 0);
		if (strcmp(buf_str(&b), want) == 0)
			return;
		if (clock_ms() > deadline)
			assert_string_equal(buf_str(&b), want);
		usleep(10000);
	}
}

static void all_gone(void)
{
	AUTO_FD dir = box_dir();
	int64_t deadline = clock_ms() + 3000;

	while (!egress_all_gone(dir) && clock_ms() < deadline)
		usleep(10000);
	assert_true(egress_all_gone(dir));
}

static void set_mode(const char *which, const char *mode)
{
	char below[32];
	FILE *f;

	(void)snprintf(below, sizeof(below), "libexec/%s.mode", which);
	f = fopen(rig_path(rig, below), "we");
	assert_non_null(f);
	assert_true(fputs(mode, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void begin(void)
{
	rig_up(rig);
	rig_create(rig, "box");
	rig_start(rig, "box");
}

static void test_with_the_sandbox(void **state)
{
	pid_t front, vault;

	(void)state;
	NEED_RIG();
	begin();
	front = pid_of("front");
	vault = pid_of("vault");
	assert_true(front > 0 && vault > 0);
	/* all controls come first, streams last */
	seen("vault", "config\npeer\n");
	seen("front", "config\npeer\nstreams\n");
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/box/stop", NULL, NULL), 200);
	assert_int_equal(pid_of("front"), 0);
	assert_int_equal(kill(front, 0), -1);
	assert_int_equal(kill(vault, 0), -1);
	all_gone();
}

static void test_with_a_machine_that_dies(void **state)
{
	(void)state;
	NEED_RIG();
	begin();
	assert_int_equal(kill(rig_machine(rig, "box"), SIGKILL), 0);
	rig_wait_status(rig, "box", "crashed");
	all_gone();
}

static void test_anew_after_its_end(void **state)
{
	pid_t front, vault;
	int64_t before;

	(void)state;
	NEED_RIG();
	begin();
	front = pid_of("front");
	vault = pid_of("vault");
	before = clock_ms();
	assert_int_equal(kill(front, SIGKILL), 0);
	(void)wait_other("front", front);
	assert_true(clock_ms() - before < 1500);
	seen("front", "config\npeer\nstreams\n");
	seen("vault", "config\npeer\nconfig\npeer\n");
	assert_int_equal(pid_of("vault"), vault);
	front = pid_of("front");
	assert_int_equal(kill(vault, SIGKILL), 0);
	(void)wait_other("vault", vault);
	seen("vault", "config\npeer\n");
	seen("front", "config\npeer\nstreams\nconfig\npeer\n");
	assert_int_equal(pid_of("front"), front);
	assert_string_equal(rig_status(rig, "box"), "running");
}

static void test_given_up_in_the_end(void **state)
{
	const struct js *v;
	pid_t front = 0;

	(void)state;
	NEED_RIG();
	begin();
	for (unsigned i = 0; i < EGRESS_DEATHS; i++) {
		front = wait_other("front", front);
		assert_int_equal(kill(front, SIGKILL), 0);
	}
	all_gone(); /* nothing by halves */
	assert_string_equal(rig_status(rig, "box"), "running");
	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes/box", NULL, &v), 200);
	v = js_get(v, "notes");
	assert_true(js_len(v) > 0);
	assert_non_null(
		strstr(js_str(js_at(v, js_len(v) - 1)), "no way out: sbx-front ended 3 times"));
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/box/stop", NULL, NULL), 200);
	rig_start(rig, "box");
	assert_true(pid_of("front") > 0);
}

static void test_adopted(void **state)
{
	pid_t front, vault, machine;

	(void)state;
	NEED_RIG();
	begin();
	front = pid_of("front");
	vault = pid_of("vault");
	rig_kill(rig);
	rig_up(rig);
	assert_int_equal(pid_of("front"), front);
	assert_int_equal(pid_of("vault"), vault);
	seen("front", "config\npeer\nstreams\nconfig\npeer\nstreams\n");
	/* one that died in the meantime is started anew */
	rig_kill(rig);
	assert_int_equal(kill(vault, SIGKILL), 0);
	rig_up(rig);
	(void)wait_other("vault", vault);
	assert_int_equal(pid_of("front"), front);
	seen("vault", "config\npeer\n");
	/* and with a sandbox that ended in the meantime they end */
	machine = rig_machine(rig, "box");
	rig_kill(rig);
	assert_int_equal(kill(machine, SIGKILL), 0);
	rig_up(rig);
	rig_wait_status(rig, "box", "crashed");
	all_gone();
}

static void refused(const char *which, const char *mode, const char *words)
{
	const struct js *v;
	char all[1024];

	set_mode(which, mode);
	assert_int_not_equal(rig_ask(rig, "POST", "/v1/sandboxes/box/start", NULL, &v), 200);
	v = js_get(v, "error");
	(void)snprintf(all, sizeof(all), "%s; %s", rig_str(v, "message"), rig_str(v, "hint"));
	if (!strstr(all, words))
		assert_string_equal(all, words);
	all_gone();
	assert_int_equal(rig_machine(rig, "box"), 0);
	set_mode(which, "");
}

static void test_no_sandbox_without_them(void **state)
{
	(void)state;
	NEED_RIG();
	rig_up(rig);
	rig_create(rig, "box");
	refused("vault", "exit", "sbx-vault ended before it opened its socket");
	refused("vault", "exit", "its last words: something is missing here");
	refused("front", "refuse", "sbx-front: no good");
	assert_int_equal(unlink(rig_path(rig, "libexec/sbx-front")), 0);
	refused("front", "", "sbx-front");
}

static int64_t restarts(void)
{
	const struct js *v;

	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes/box", NULL, &v), 200);
	return js_int(js_get(js_get(js_get(v, "network"), "front"), "restarts"), 0);
}

static void test_rude_one_is_ended(void **state)
{
	int64_t deadline = clock_ms() + 5000;
	pid_t front;

	(void)state;
	NEED_RIG();
	begin();
	front = pid_of("front");
	set_mode("front", "rude");
	assert_int_equal(kill(front, SIGKILL), 0);
	while (restarts() < 2 && clock_ms() < deadline)
		usleep(10000);
	assert_int_equal(restarts(), 2); /* rubbish ended it */
	(void)wait_other("front", front);
	seen("front", "config\npeer\nstreams\n");
	assert_string_equal(rig_status(rig, "box"), "running");
}

/* ---- what the host knows ---- */

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void test_host_files(void **state)
{
	struct egress_host_facts f = {0};
	char resolv[] = "/tmp/sbx-resolv-XXXXXX", hosts[] = "/tmp/sbx-hosts-XXXXXX";

	(void)state;
	close(mkstemp(resolv));
	close(mkstemp(hosts));
	put(resolv, "# comment\nnameserver 192.0.2.1\nsearch x\n nameserver fe80::1%eth0 ; why\n"
		    "nameserver nonsense\nnameserver\n");
	put(hosts,
		"127.0.0.1 localhost\n10.0.0.7\tdb.corp  db # two\nnonsense x\n::1 bad..name ok\n");
	assert_int_equal(egress_host_read(&f, resolv, hosts), 0);
	assert_int_equal(f.n_servers, 2);
	assert_int_equal(f.servers[0].addr.bytes[3], 1);
	assert_int_equal(f.servers[0].port, 53);
	assert_int_equal(f.servers[1].addr.family, 6);
	assert_int_equal(f.n_hosts, 4);
	assert_string_equal(f.hosts[1].name, "db.corp");
	assert_string_equal(f.hosts[2].name, "db");
	assert_int_equal(f.hosts[2].addr.bytes[3], 7);
	assert_string_equal(f.hosts[3].name, "ok");
	egress_host_fini(&f);
	assert_int_equal(egress_host_read(&f, "/nonexistent", "/nonexistent"), 0);
	assert_int_equal(f.n_servers, 1); /* the own one, as resolv.conf(5) has it */
	egress_host_fini(&f);
	(void)unlink(resolv);
	(void)unlink(hosts);
}

static char *no_variables(const char *name)
{
	(void)name;
	return NULL;
}

static char *variables(const char *name)
{
	static char proxy[] = "proxy.corp:3128",
		    none[] = "localhost, .corp,10.0.0.0/8,*.x.org bad..name";

	return strcmp(name, "https_proxy") == 0 ? proxy
	       : strcmp(name, "NO_PROXY") == 0	? none
						: NULL;
}

static void test_host_proxies(void **state)
{
	static const char *const want[][2] = {{"**.corp", ""}, {"10.0.0.0/8", ""}, {"**.x.org", ""},
		{"**", "http://proxy.corp:3128"}};
	struct egress_host_facts f = {0};
	size_t at = 0;

	(void)state;
	assert_int_equal(egress_host_proxies(&f, no_variables, "", ""), 0);
	assert_int_equal(f.n_proxies, 0);
	assert_int_equal(egress_host_proxies(&f, variables, "", ""), 0);
	for (uint32_t i = 0; i < f.n_proxies; i++)
		if (strstr(f.proxies[i].pattern, "localhost") == NULL) {
			assert_true(at < ARRAY_LEN(want));
			assert_string_equal(f.proxies[i].pattern, want[at][0]);
			assert_string_equal(f.proxies[i].url, want[at][1]);
			at++;
		}
	assert_int_equal(at, ARRAY_LEN(want));
	egress_host_fini(&f);
}

static const char *forms_list;

static char *forms_variables(const char *name)
{
	static char proxy[] = "socks5h://proxy.corp:1080", all[] = "http://other.corp:1";

	/* the small letters go first; what is empty is not set */
	return strcmp(name, "https_proxy") == 0	  ? (char *)(uintptr_t) ""
	       : strcmp(name, "HTTPS_PROXY") == 0 ? NULL
	       : strcmp(name, "all_proxy") == 0	  ? proxy
	       : strcmp(name, "ALL_PROXY") == 0	  ? all
	       : strcmp(name, "no_proxy") == 0	  ? (char *)(uintptr_t)forms_list
	       : strcmp(name, "NO_PROXY") == 0	  ? all
						  : NULL;
}

/* Every spelling of NO_PROXY that is about: as curl and Go read it, hosts below a name included. */
static void test_forms_of_no_proxy(void **state)
{
	static const struct {
		const char *item, *pattern; /* NULL: for no host */
	} forms[] = {{"example.com", "**.example.com"}, {".example.com", "**.example.com"},
		{"*.example.com", "**.example.com"}, {"*", "**"},
		{"example.com:8443", "**.example.com:8443"}, {"10.1.2.3", "10.1.2.3"},
		{"10.1.2.3:8080", "10.1.2.3:8080"}, {"10.0.0.0/8", "10.0.0.0/8"},
		{"2001:db8::1", "[2001:db8::1]"}, {"[2001:db8::1]", "[2001:db8::1]"},
		{"[2001:db8::1]:443", "[2001:db8::1]:443"}, {"2001:db8::/32", "2001:db8::/32"},
		{"bad..name", NULL}, {"10.1.2.3/33", NULL}, {"a.com:0", NULL}, {"a.com:x", NULL}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct egress_host_facts f = {0};
		uint32_t n = forms[i].pattern ? 2 : 1;

		forms_list = forms[i].item;
		assert_int_equal(egress_host_proxies(&f, forms_variables, "", ""), 0);
		if (f.n_proxies != n || (n == 2 && strcmp(f.proxies[0].pattern, forms[i].pattern)))
			fail_msg("%s: %u, %s", forms[i].item, f.n_proxies, f.proxies[0].pattern);
		assert_string_equal(f.proxies[n - 1].pattern, "**");
		assert_string_equal(f.proxies[n - 1].url, "socks5h://proxy.corp:1080");
		egress_host_fini(&f);
	}
}

static void test_settings_before_the_host(void **state)
{
	struct egress_host_facts f = {0};

	(void)state;
	assert_int_equal(egress_host_proxies(&f, variables, "direct", ""), 0);
	assert_int_equal(f.n_proxies, 0);
	assert_int_equal(
		egress_host_proxies(&f, variables, "socks5://10.1.1.1:1080", "in.corp"), 0);
	assert_int_equal(f.n_proxies, 2);
	assert_string_equal(f.proxies[0].pattern, "**.in.corp");
	assert_string_equal(f.proxies[0].url, "");
	assert_string_equal(f.proxies[1].url, "socks5://10.1.1.1:1080");
	assert_int_equal(
		egress_host_servers(&f, "192.0.2.9, [2001:db8::1]:5353,2001:db8::2 10.0.0.1:54"),
		0);
	assert_int_equal(f.n_servers, 4);
	assert_int_equal(f.servers[0].port, 53);
	assert_int_equal(f.servers[1].port, 5353);
	assert_int_equal(f.servers[1].addr.family, 6);
	assert_int_equal(f.servers[2].port, 53);
	assert_int_equal(f.servers[3].port, 54);
	assert_int_equal(egress_host_servers(&f, "nonsense"), -EINVAL);
	egress_host_fini(&f);
}

#define RIG_TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host_files),
		cmocka_unit_test(test_host_proxies),
		cmocka_unit_test(test_forms_of_no_proxy),
		cmocka_unit_test(test_settings_before_the_host),
		RIG_TEST(test_with_the_sandbox),
		RIG_TEST(test_with_a_machine_that_dies),
		RIG_TEST(test_anew_after_its_end),
		RIG_TEST(test_given_up_in_the_end),
		RIG_TEST(test_adopted),
		RIG_TEST(test_no_sandbox_without_them),
		RIG_TEST(test_rude_one_is_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
