#include "egress/vault_jail.h"
#include "egress/vault.h"
#include "jail/drop.h"
#include "jail/landlock.h"
#include "jail/rlimit.h"
#include "jail/root.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define CALL(name, why)                                                                            \
	{                                                                                          \
		__NR_##name, 0, {{0}}, why                                                         \
	}
#define CALL1(name, t, why)                                                                        \
	{                                                                                          \
		__NR_##name, 0, {t}, why                                                           \
	}
#define CALL2(name, t, u, why)                                                                     \
	{                                                                                          \
		__NR_##name, 0, {t, u}, why                                                        \
	}
#define FAIL(name, error, why)                                                                     \
	{                                                                                          \
		__NR_##name, error, {{0}}, why                                                     \
	}
#define NO_EXEC(arg) JAIL_CLEAR(arg, PROT_EXEC)
#define STREAM	     (SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
#define DGRAM	     (SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC)

#define COMMON                                                                                     \
	CALL(epoll_wait, "wait for events"), CALL(epoll_ctl, "watch a descriptor, leave it"),      \
		CALL(poll, "send with a deadline"),                                                \
		CALL(clock_gettime, "deadlines, where the vdso cannot tell"),                      \
		CALL(read, "descriptors"), CALL(write, "the log"),                                 \
		CALL1(recvfrom, JAIL_BITS(4, UINT64_MAX, 0), "connected sockets only"),            \
		CALL1(sendto, JAIL_BITS(4, UINT64_MAX, 0), "connected sockets only"),              \
		CALL2(getsockopt, JAIL_INT(1, SOL_SOCKET), JAIL_INT(2, SO_ERROR),                  \
			"what a connection died of"),                                              \
		CALL2(socket, JAIL_INT(0, AF_INET), JAIL_INT(1, STREAM), "dial"),                  \
		CALL2(socket, JAIL_INT(0, AF_INET6), JAIL_INT(1, STREAM), "dial"),                 \
		CALL(connect, "dial"), CALL(close, "descriptors"),                                 \
		CALL1(mmap, NO_EXEC(2), "heap"), CALL1(mprotect, NO_EXEC(2), "heap"),              \
		CALL(munmap, "heap"), CALL(mremap, "heap"), CALL(madvise, "heap"),                 \
		CALL(brk, "heap"), CALL(getrandom, "ids, keys"),                                   \
		CALL(rt_sigreturn, "return from a signal"),                                        \
		CALL(restart_syscall, "waits that were interrupted by a stop"),                    \
		CALL(futex, "the C library's locks"), CALL(getpid, "OpenSSL: are we a fork?"),     \
		CALL(exit_group, "the end")

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1 /* clang's way to say what gcc says by that */
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZER                                                                                  \
	, CALL(sigaltstack, "the sanitizer"), CALL(gettid, "the sanitizer"),                       \
		CALL(sched_yield, "the sanitizer"), CALL(rt_sigprocmask, "the sanitizer")
#define SANITIZED 1
#else
#define SANITIZER
#define SANITIZED 0
#endif

static const struct jail_rule vault_rules[] = {COMMON, CALL(recvmsg, "messages with descriptors"),
	CALL(sendmsg, "messages to the daemon"), CALL(accept4, "a daemon connects"),
	CALL2(getsockopt, JAIL_INT(1, SOL_SOCKET), JAIL_INT(2, SO_PEERCRED), "who is the daemon?"),
	CALL2(setsockopt, JAIL_INT(1, IPPROTO_TCP), JAIL_INT(2, TCP_NODELAY),
		"requests leave at once"),
	CALL(shutdown, "half-close of tunnels"),
	CALL1(fcntl, JAIL_INT(1, F_GETFL), "channels do not block"),
	CALL1(fcntl, JAIL_INT(1, F_SETFL), "channels do not block"),
	CALL(lseek, "the configuration's memory file"),
	CALL(fstat, "the configuration's memory file"), CALL(mlock, "secrets are not swapped"),
	CALL(geteuid, "who is the daemon?"),
	CALL(getsockname, "is that address this host's own?") SANITIZER};

static const struct jail_rule resolver_rules[] = {COMMON,
	CALL2(socket, JAIL_INT(0, AF_INET), JAIL_INT(1, DGRAM), "ask a name server"),
	CALL2(socket, JAIL_INT(0, AF_INET6), JAIL_INT(1, DGRAM), "ask a name server") SANITIZER};

const struct jail_table vault_table = {"vault", vault_rules, ARRAY_LEN(vault_rules)};
const struct jail_table resolver_table = {"resolver", resolver_rules, ARRAY_LEN(resolver_rules)};

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
		{RLIMIT_DATA, SANITIZED ? RLIM_INFINITY : HEAP_MAX},
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
