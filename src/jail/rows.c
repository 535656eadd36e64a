#include "jail/rows.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

static const struct jail_rule program[] = {
	/* events */
	CALL(epoll_wait, "wait for events"),
	CALL(epoll_ctl, "watch a descriptor, leave it"),
	CALL(poll, "send with a deadline"),
	CALL(clock_gettime, "deadlines, where the vdso cannot tell"),
	/* bytes */
	CALL(read, "descriptors it has"),
	CALL(write, "descriptors it has, the log"),
	CALL1(recvfrom, JAIL_BITS(4, UINT64_MAX, 0), "connected sockets only"),
	CALL1(sendto, JAIL_BITS(4, UINT64_MAX, 0), "connected sockets only"),
	CALL(close, "descriptors"),
	/* memory */
	CALL1(mmap, NO_EXEC(2), "heap; the machine: guest memory"),
	CALL1(mprotect, NO_EXEC(2), "heap"),
	CALL(munmap, "heap; the machine: guest memory"),
	CALL(mremap, "heap"),
	CALL(madvise, "heap back to the kernel; the machine: guest memory out of dumps"),
	CALL(brk, "heap"),
	/* the process itself */
	CALL(futex, "locks of the C library and of libcrypto, the machine's threads"),
	CALL(rt_sigreturn, "return from a signal"),
	CALL(restart_syscall, "waits that were interrupted by a stop"),
	CALL(exit_group, "the end"),
#if JAIL_SANITIZED
	CALL(sigaltstack, "the sanitizer, at a thread's end"),
	CALL(gettid, "the sanitizer"),
	CALL(sched_yield, "the sanitizer"),
#endif
};

static const struct jail_rule served[] = {
	CALL(recvmsg, "messages with descriptors"),
	CALL(sendmsg, "messages with descriptors"),
	CALL(accept4, "a daemon connects"),
	CALL2(getsockopt, JAIL_INT(1, SOL_SOCKET), JAIL_INT(2, SO_PEERCRED), "who is the daemon?"),
	CALL(geteuid, "who is the daemon?"),
	CALL(shutdown, "half-close of streams"),
	CALL1(fcntl, JAIL_INT(1, F_GETFL), "stream modes"),
	CALL1(fcntl, JAIL_INT(1, F_SETFL), "stream modes"),
};

const struct jail_table jail_rows_program = {"program", program, ARRAY_LEN(program), {NULL}};
const struct jail_table jail_rows_served = {"served program", served, ARRAY_LEN(served), {NULL}};
