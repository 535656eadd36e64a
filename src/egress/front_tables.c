/* The system calls of the front, each with its reason. */
#include "egress/front_drop.h"
#include <fcntl.h>
#include <sys/mman.h>
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
#define CALL3(name, t, u, v, why)                                                                  \
	{                                                                                          \
		__NR_##name, 0, {t, u, v}, why                                                     \
	}

#define NO_EXEC(arg) JAIL_CLEAR(arg, PROT_EXEC)

static const struct jail_rule rules[] = {
	/* events */
	CALL(epoll_wait, "wait for events"),
	CALL(epoll_ctl, "watch a stream, leave it"),
	CALL(poll, "messages with a deadline"),
	CALL(clock_gettime, "deadlines, where the vdso cannot tell"),
	/* streams, channels, messages */
	CALL(read, "streams, channels, the configuration"),
	CALL(write, "streams, channels, the log"),
	CALL(recvmsg, "messages with descriptors"),
	CALL(sendmsg, "messages with a channel"),
	CALL1(recvfrom, JAIL_BITS(4, UINT64_MAX, 0), "TLS; connected sockets only"),
	CALL1(sendto, JAIL_BITS(4, UINT64_MAX, 0), "TLS; connected sockets only"),
	CALL(accept4, "a daemon connects"),
	CALL2(getsockopt, JAIL_INT(1, SOL_SOCKET), JAIL_INT(2, SO_PEERCRED), "who is the daemon?"),
	CALL3(socketpair, JAIL_INT(0, AF_UNIX),
		JAIL_INT(1, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK), JAIL_INT(2, 0),
		"a channel to the vault"),
	CALL(shutdown, "half-close of streams"),
	CALL(close, "descriptors"),
	CALL1(fcntl, JAIL_INT(1, F_GETFL), "stream modes"),
	CALL1(fcntl, JAIL_INT(1, F_SETFL), "stream modes"),
	/* memory */
	CALL1(mmap, NO_EXEC(2), "heap"),
	CALL1(mprotect, NO_EXEC(2), "heap"),
	CALL(munmap, "heap"),
	CALL(mremap, "heap"),
	CALL(madvise, "heap back to the kernel"),
	CALL(brk, "heap"),
	/* the process itself */
	CALL(getrandom, "keys and nonces of TLS"),
	CALL(getpid, "the random generator asks whether it was forked"),
	CALL(futex, "locks of libcrypto"),
	CALL(rt_sigreturn, "return from a signal"),
	CALL(restart_syscall, "waits that were interrupted by a stop"),
	CALL(geteuid, "who is the daemon?"),
	CALL(exit_group, "the end"),
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	CALL(sigaltstack, "the sanitizer"),
	CALL(gettid, "the sanitizer"),
	CALL(sched_yield, "the sanitizer"),
	CALL(rt_sigprocmask, "the sanitizer"),
	CALL(exit, "the sanitizer"),
#endif
};

const struct jail_table front_table = {"front", rules, ARRAY_LEN(rules)};
