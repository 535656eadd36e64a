#include "egress/vault_jail.h"
#include "egress/vault.h"
#include "jail/drop.h"
#include "jail/landlock.h"
#include "jail/rlimit.h"
#include "jail/root.h"
#include "jail/rows.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define STREAM (SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
#define DGRAM  (SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC)

/* Both dial: the vault servers, the resolver name servers. */
static const struct jail_rule dial_rules[] = {
	CALL2(socket, JAIL_INT(0, AF_INET), JAIL_INT(1, STREAM), "dial"),
	CALL2(socket, JAIL_INT(0, AF_INET6), JAIL_INT(1, STREAM), "dial"),
	CALL(connect, "dial"),
	CALL2(getsockopt, JAIL_INT(1, SOL_SOCKET), JAIL_INT(2, SO_ERROR),
		"what a connection died of"),
	CALL(getrandom, "ids, keys"),
	CALL(getpid, "OpenSSL: are we a fork?"),
#if JAIL_SANITIZED
	CALL(rt_sigprocmask, "the sanitizer"),
#endif
};
static const struct jail_table dial_table = {"dialling", dial_rules, ARRAY_LEN(dial_rules), {NULL}};

static const struct jail_rule vault_rules[] = {
	CALL2(setsockopt, JAIL_INT(1, IPPROTO_TCP), JAIL_INT(2, TCP_NODELAY),
		"requests leave at once"),
	CALL2(setsockopt, JAIL_INT(1, SOL_SOCKET), JAIL_INT(2, SO_LINGER),
		"a reset is passed on as one"),
	CALL(lseek, "the configuration's memory file"),
	CALL(fstat, "the configuration's memory file"),
	CALL(mlock, "secrets are not swapped"),
	CALL(getsockname, "is that address this host's own?"),
};

static const struct jail_rule resolver_rules[] = {
	CALL2(socket, JAIL_INT(0, AF_INET), JAIL_INT(1, DGRAM), "ask a name server"),
	CALL2(socket, JAIL_INT(0, AF_INET6), JAIL_INT(1, DGRAM), "ask a name server"),
};

const struct jail_table vault_table = {"vault", vault_rules, ARRAY_LEN(vault_rules),
	{&jail_rows_program, &jail_rows_served, &dial_table}};
const struct jail_table resolver_table = {
	"resolver", resolver_rules, ARRAY_LEN(resolver_rules), {&jail_rows_program, &dial_table}};

#define HEAP_MAX (512ULL << 20)
#define FILES	 1200u /* channels, upstream connections and their attempts */

static int set_limits(struct err *e)
{
	const struct jail_rlimit limits[] = {
		{RLIMIT_CORE, 0},
		{RLIMIT_NOFILE, FILES},
		{RLIMIT_NPROC, 0},
		{RLIMIT_MSGQUEUE, 0},
		{RLIMIT_SIGPENDING, 64},
		{RLIMIT_DATA, JAIL_SANITIZED ? RLIM_INFINITY : HEAP_MAX},
	};
	int r = jail_rlimit_set(limits, ARRAY_LEN(limits));

	return r < 0 ? err_sys(e, r, "set resource limits") : 0;
}

static void say(struct jail_report *report, const char *name, const char *what, const char *text)
{
	if (report)
		jail_report_add(report, name, what, true, "%s", text);
}

static int enter_landlock(const char *name, struct jail_report *report, struct err *e)
{
	AUTO_FD rules = jail_landlock_dialling();
	int r;

	if (rules == -EOPNOTSUPP && jail_may_miss("landlock")) {
		if (report)
			jail_report_add(report, name, "landlock", false, "not in this kernel");
		return 0;
	}
	r = rules < 0 ? rules : jail_landlock_enter(rules);
	if (r < 0)
		return err_sys(e, r, "enter the Landlock ruleset");
	say(report, name, "landlock", "no files, no listening");
	return 0;
}

int vault_jail(const struct jail_table *table, struct jail_report *report, struct err *e)
{
	struct sock_fprog built = {0};
	const char *name = table->name;
	char text[64];
	int r = jail_filter_build(table, &built, e);

	if (r < 0)
		return r;
	AUTO_FREE struct sock_filter *code = built.filter;
	const struct sock_fprog filter = {.len = built.len, .filter = code};

	r = jail_root_empty();
	if (r < 0)
		return err_sys(e, r, "enter an empty root");
	say(report, name, "root", "empty, unreadable");
	r = set_limits(e);
	if (r < 0)
		return r;
	say(report, name, "limits", "no core dumps, no new processes");
	r = jail_drop_caps();
	if (r == 0)
		r = jail_no_new_privs();
	if (r < 0)
		return err_sys(e, r, "give up capabilities");
	say(report, name, "capabilities", "none, bounding set empty");
	say(report, name, "no_new_privs", "set");
	r = enter_landlock(name, report, e);
	if (r < 0)
		return r;
	r = jail_filter_install(&filter);
	if (r < 0)
		return err_sys(e, r, "install the seccomp list");
	(void)snprintf(
		text, sizeof(text), "%u system calls, else killed", jail_filter_calls(table));
	say(report, name, "seccomp", text);
	return 0;
}
