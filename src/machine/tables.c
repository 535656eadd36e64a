#include "machine/tables.h"
#include "jail/rows.h"
#include "jail/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* A descriptor, not AT_FDCWD: relative to a directory that is held. */
#define HELD(arg) JAIL_CLEAR(arg, 0x80000000u)

#define THREAD_FLAGS                                                                               \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |        \
		CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

static const struct jail_rule machine_rules[] = {
	/* devices */
	CALL(eventfd2, "interrupts of the devices"),
	/* streams and the link */
	CALL(readv, "streams into guest buffers"),
	CALL(writev, "streams out of guest buffers"),
	CALL2(getsockopt, JAIL_INT(1, SOL_SOCKET), JAIL_INT(2, SO_ERROR), "what a stream died of"),
	CALL2(getsockopt, JAIL_INT(1, SOL_SOCKET), JAIL_INT(2, SO_TYPE), "is it a stream?"),
	CALL2(getsockopt, JAIL_INT(1, SOL_SOCKET), JAIL_INT(2, SO_DOMAIN), "is it a unix socket?"),
	CALL3(socketpair, JAIL_INT(0, AF_UNIX), JAIL_INT(1, SOCK_STREAM | SOCK_CLOEXEC),
		JAIL_INT(2, 0), "a stream the guest opens"),
	CALL1(fcntl, JAIL_INT(1, F_GET_SEALS), "guest memory must not shrink"),
	CALL1(fcntl, JAIL_INT(1, F_ADD_SEALS), "guest memory must not shrink"),
	CALL1(fcntl, JAIL_INT(1, F_DUPFD_CLOEXEC), "an object again"),
	/* files of the shared folders */
	CALL1(openat2, HELD(0), "an object beneath a share"),
	CALL1(openat, HELD(0), "an object again, by its own descriptor"),
	CALL(statx, "attributes"),
	CALL(newfstatat, "attributes of a descriptor"),
	CALL(fstat, "attributes of a descriptor"),
	CALL(fstatfs, "free space"),
	CALL(getdents64, "listings"),
	CALL1(readlinkat, HELD(0), "symbolic links as objects"),
	CALL1(mkdirat, HELD(0), "new directory"),
	CALL2(linkat, HELD(0), HELD(2), "new name"),
	CALL1(symlinkat, HELD(1), "new symbolic link"),
	CALL1(unlinkat, HELD(0), "name removed"),
	CALL2(renameat2, HELD(0), HELD(2), "name moved"),
	CALL2(renameat, HELD(0), HELD(2), "name moved: what the C library makes of no flags"),
	CALL1(fcntl, JAIL_INT(1, F_OFD_SETLK), "the guest's locks, seen by the host's programs"),
	CALL1(fcntl, JAIL_INT(1, F_OFD_GETLK), "who holds a lock"),
	CALL1(fchmodat, HELD(0), "mode, by the object's own descriptor"),
	CALL(fchmod, "mode"),
	CALL1(utimensat, HELD(0), "times"),
	CALL(ftruncate, "size; the console log"),
	CALL(fallocate, "space"),
	CALL(lseek, "holes, listings"),
	CALL(copy_file_range, "copies within the shares"),
	CALL(pread64, "contents; the console log, figures of /proc"),
	CALL(pwrite64, "contents; the console log, the result files"),
	CALL(preadv, "contents into guest buffers"),
	CALL(preadv2, "contents into guest buffers"),
	CALL(pwritev, "contents out of guest buffers"),
	CALL(pwritev2, "contents out of guest buffers"),
	CALL(fsync, "contents on disk"),
	CALL(fdatasync, "contents on disk"),
	CALL(flock, "the guest's locks"),
	CALL(fgetxattr, "attributes user.*"),
	CALL(fsetxattr, "attributes user.*"),
	CALL(flistxattr, "attributes user.*"),
	CALL(fremovexattr, "attributes user.*"),
	/* the engine */
	CALL1(pidfd_send_signal, JAIL_INT(1, SIGKILL), "end the engine"),
	CALL(wait4, "why the engine ended"),
	CALL1(getrusage, JAIL_INT(0, 0), "own figures"),
	/* the process itself */
	CALL(rt_sigprocmask, "a thread's end"),
	CALL(exit, "a thread's end"),
#if JAIL_SANITIZED
	CALL(getpid, "the sanitizer"),
#endif
};

static const struct jail_rule emulated_rules[] = {
	/* start: the one exec is through a descriptor that no later open can get (jail/spawn.h) */
	CALL2(execveat, JAIL_INT(0, JAIL_EXEC_FD), JAIL_INT(4, AT_EMPTY_PATH), "become QEMU"),
	CALL(arch_prctl, "thread pointer"),
	CALL(set_tid_address, "the C library's start"),
	CALL(set_robust_list, "threads"),
	CALL(rseq, "threads"),
	CALL2(prlimit64, JAIL_INT(0, 0), JAIL_BITS(2, UINT64_MAX, 0), "ask for limits"),
	CALL(getrandom, "the C library's start, guest entropy"),
	CALL(openat, "libraries, firmware, kernel: the root has nothing else"),
	CALL(access, "libraries, firmware"),
	CALL(newfstatat, "libraries, firmware, disks"),
	CALL(fstat, "libraries, firmware, disks"),
	CALL(statfs, "libselinux looks for itself"),
	CALL(fstatfs, "page size of guest memory"),
	CALL(readlink, "where is the program? nowhere"),
	CALL(getcwd, "where is the program? nowhere"),
	CALL(sysinfo, "the C library's sort"),
	CALL(uname, "the C library's start"),
	CALL(geteuid, "glib"),
	CALL(getuid, "glib"),
	CALL(getgid, "glib"),
	CALL(getegid, "glib"),
	CALL(getpid, "QEMU"),
	CALL(getppid, "QEMU"),
	CALL(gettid, "threads"),
	CALL(sched_getaffinity, "number of processors"),
	CALL1(prctl, JAIL_INT(0, PR_SET_TIMERSLACK), "exact timers"),
	CALL1(prctl, JAIL_INT(0, PR_SET_NAME), "names of threads"),
	CALL1(prctl, JAIL_INT(0, PR_SET_NO_NEW_PRIVS), "QEMU's own list"),
	CALL1(prctl, JAIL_INT(0, PR_GET_SECCOMP), "QEMU's own list"),
	{__NR_prctl, EPERM, {JAIL_INT(0, PR_MCE_KILL)}, "QEMU goes on without"},
	CALL(seccomp, "QEMU's own list: it can only take away more"),
	FAIL(get_mempolicy, ENOSYS, "libnuma goes on without"),
	FAIL(set_mempolicy, ENOSYS, "libnuma goes on without"),
	FAIL(io_uring_setup, ENOSYS, "QEMU uses epoll instead"),
	/* memory; generated code must be executable */
	CALL(mmap, "guest memory, libraries, generated code"),
	CALL(mprotect, "generated code, libraries, heaps"),
	CALL(munmap, "memory"),
	CALL(mremap, "memory"),
	CALL(madvise, "memory back to the kernel"),
	CALL(brk, "heap"),
	CALL(memfd_create, "guest memory, shared with the device process"),
	CALL(membarrier, "RCU"),
	/* threads, signals */
	CALL1(clone, JAIL_INT(0, THREAD_FLAGS), "virtual processors, disk threads"),
	FAIL(clone3, ENOSYS, "its flags cannot be judged; the C library uses clone then"),
	CALL(futex, "threads"),
	CALL(sched_yield, "threads"),
	CALL(rt_sigaction, "signals"),
	CALL(rt_sigprocmask, "signals"),
	CALL(rt_sigreturn, "signals"),
	CALL(rt_sigtimedwait, "signals"),
	CALL(sigaltstack, "signals"),
	CALL(signalfd4, "signals"),
	CALL(tgkill, "wake own threads"),
	CALL(restart_syscall, "interrupted waits"),
	CALL(exit, "a thread's end"),
	CALL(exit_group, "the end"),
	/* events and time */
	CALL(ppoll, "main loop"),
	CALL(poll, "monitor thread"),
	CALL(epoll_create1, "main loop"),
	CALL(epoll_ctl, "main loop"),
	CALL(epoll_wait, "main loop"),
	CALL(epoll_pwait, "main loop"),
	CALL1(eventfd2, JAIL_BITS(1, EFD_NONBLOCK, EFD_NONBLOCK), "notifications"),
	CALL(pipe2, "notifications"),
	CALL(timerfd_create, "timers"),
	CALL(timerfd_settime, "timers"),
	CALL(clock_gettime, "time, where the vdso cannot tell"),
	CALL(clock_getres, "time"),
	CALL(clock_nanosleep, "virtual processors that wait"),
	CALL(nanosleep, "waits"),
	CALL(gettimeofday, "time"),
	/* disks and sockets: descriptors it was given */
	CALL(read, "disks, sockets, notifications"),
	CALL(write, "disks, sockets, notifications"),
	CALL(readv, "disks"),
	CALL(writev, "disks, console"),
	CALL(pread64, "disks"),
	CALL(pwrite64, "disks"),
	CALL(preadv, "disks"),
	CALL(pwritev, "disks"),
	CALL(preadv2, "disks"),
	CALL(pwritev2, "disks"),
	CALL(lseek, "size of disks, kernel"),
	CALL(fdatasync, "disks"),
	CALL(fsync, "disks"),
	CALL(fallocate, "discard"),
	CALL(ftruncate, "size of guest memory"),
	CALL(close, "descriptors"),
	CALL(dup, "descriptors"),
	CALL1(fcntl, JAIL_INT(1, F_GETFL), "modes of sockets and disks"),
	/* An event descriptor that the machine writes to must never block it, and whoever has a copy
	 * could make it: so nobody here can. QEMU asks for it on its sockets and tries again later.
	 */
	CALL2(fcntl, JAIL_INT(1, F_SETFL), JAIL_BITS(2, O_NONBLOCK, O_NONBLOCK), "sockets"),
	{__NR_fcntl, JAIL_PRETEND, {JAIL_INT(1, F_SETFL), JAIL_BITS(2, O_NONBLOCK, 0)},
		"nothing it has shall begin to block; QEMU goes on without"},
	CALL1(fcntl, JAIL_INT(1, F_GETFD), "descriptors"),
	CALL1(fcntl, JAIL_INT(1, F_SETFD), "descriptors"),
	CALL1(fcntl, JAIL_INT(1, F_DUPFD_CLOEXEC), "disks of a set"),
	CALL1(fcntl, JAIL_INT(1, F_ADD_SEALS), "guest memory must not shrink"),
	CALL1(fcntl, JAIL_INT(1, F_GET_SEALS), "guest memory must not shrink"),
	CALL(recvmsg, "vhost-user, control socket"),
	CALL(sendmsg, "vhost-user, control socket, console"),
	CALL1(sendto, JAIL_BITS(4, UINT64_MAX, 0), "connected sockets"),
	CALL1(recvfrom, JAIL_BITS(4, UINT64_MAX, 0), "connected sockets"),
	CALL(getsockopt, "kind of its sockets"),
	CALL(getsockname, "kind of its sockets"),
	CALL(getpeername, "kind of its sockets"),
	{__NR_setsockopt, ENOPROTOOPT, {{0}}, "zero copy: QEMU goes on without"},
	FAIL(ioctl, ENOTTY, "no descriptor it has needs one"),
	CALL(shutdown, "end of sockets"),
	CALL(getdents64, "libnuma looks for nodes"),
};

const struct jail_table machine_table = {"machine", machine_rules, ARRAY_LEN(machine_rules),
	{&jail_rows_program, &jail_rows_served}};
const struct jail_table emulated_table = {
	"engine", emulated_rules, ARRAY_LEN(emulated_rules), {NULL}};
