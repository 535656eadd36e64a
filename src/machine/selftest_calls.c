/* What an attacker inside of the machine or of its engine would try next. Raw system calls, so that
 * no library turns one into another.
 */
#include "machine/selftest.h"
#include "base/own.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

int selftest_outside_pid = 1;
int selftest_share = -EBADF;

static char scratch[4096];

static long result(long r)
{
	return r < 0 ? -errno : r;
}

#define TRY(id, ...)                                                                               \
	static long try_##id(void)                                                                 \
	{                                                                                          \
		return result(syscall(__VA_ARGS__));                                               \
	}

/* climb() - up from a share, as far as it goes; the descriptor of another directory, or -EXDEV */
static long try_climb(void)
{
	struct stat top, at;
	long fd = selftest_share;

	if (fd < 0)
		return fd;
	if (fstat(selftest_share, &top) < 0)
		return -errno;
	for (int n = 0; n < 64; n++) {
		fd = syscall(SYS_openat, fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 || fstat((int)fd, &at) < 0)
			return -errno;
		if (at.st_dev != top.st_dev || at.st_ino != top.st_ino)
			return fd;
	}
	return -EXDEV;
}

/* other programs, other processes */
static long try_execve(void)
{
	char *const argv[] = {(char[]){"sh"}, NULL};

	return result(syscall(SYS_execve, "/bin/sh", argv, argv + 1));
}

static long try_exec_memfd(void)
{
	char *const argv[] = {(char[]){"x"}, NULL};
	long fd = syscall(SYS_memfd_create, "x", 0);

	if (fd < 0)
		return -errno;
	(void)!write((int)fd, "#!/bin/sh\n", 10);
	return result(syscall(SYS_execveat, fd, "", argv, argv + 1, AT_EMPTY_PATH));
}

static long try_exec_again(void)
{
	char *const argv[] = {(char[]){"x"}, NULL};

	/* the one descriptor whose execution the engine's list allows: closed, and out of reach */
	return result(syscall(SYS_execveat, 1000, "", argv, argv + 1, AT_EMPTY_PATH));
}

TRY(fork, SYS_fork)
TRY(vfork_like, SYS_clone, SIGCHLD, 0, 0, 0, 0)
TRY(clone_userns, SYS_clone, SIGCHLD | CLONE_NEWUSER, 0, 0, 0, 0)

static long try_clone3(void)
{
	struct clone_args a = {.exit_signal = SIGCHLD};

	return result(syscall(SYS_clone3, &a, sizeof(a)));
}

TRY(kill, SYS_kill, selftest_outside_pid, SIGTERM)
TRY(kill_all, SYS_kill, -1, SIGTERM)
TRY(tkill, SYS_tkill, selftest_outside_pid, SIGTERM)
TRY(tgkill, SYS_tgkill, selftest_outside_pid, selftest_outside_pid, SIGTERM)
TRY(sigqueue, SYS_rt_sigqueueinfo, selftest_outside_pid, SIGTERM, scratch)
TRY(pidfd_open, SYS_pidfd_open, selftest_outside_pid, 0)
TRY(pidfd_getfd, SYS_pidfd_getfd, 0, 0, 0)
TRY(pidfd_term, SYS_pidfd_send_signal, 0, SIGTERM, NULL, 0)
TRY(ptrace_me, SYS_ptrace, PTRACE_TRACEME, 0, 0, 0)
TRY(ptrace_attach, SYS_ptrace, PTRACE_ATTACH, selftest_outside_pid, 0, 0)
TRY(vm_readv, SYS_process_vm_readv, selftest_outside_pid, NULL, 0, NULL, 0, 0)
TRY(vm_writev, SYS_process_vm_writev, selftest_outside_pid, NULL, 0, NULL, 0, 0)
TRY(process_madvise, SYS_process_madvise, 0, NULL, 0, MADV_COLD, 0)
TRY(kcmp, SYS_kcmp, 1, selftest_outside_pid, 0, 0, 0)
TRY(setpriority, SYS_setpriority, PRIO_PROCESS, selftest_outside_pid, 0)
TRY(sched_setaffinity, SYS_sched_setaffinity, 0, 8, scratch)
TRY(prlimit_other, SYS_prlimit64, selftest_outside_pid, RLIMIT_NOFILE, scratch, NULL)
TRY(setrlimit, SYS_setrlimit, RLIMIT_NOFILE, scratch)

/* the network */
TRY(socket_inet, SYS_socket, AF_INET, SOCK_STREAM, 0)
TRY(socket_inet6, SYS_socket, AF_INET6, SOCK_DGRAM, 0)
TRY(socket_unix, SYS_socket, AF_UNIX, SOCK_STREAM, 0)
TRY(socket_netlink, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)
TRY(socket_packet, SYS_socket, AF_PACKET, SOCK_RAW, 0)
TRY(socket_vsock, SYS_socket, AF_VSOCK, SOCK_STREAM, 0)
TRY(socket_alg, SYS_socket, AF_ALG, SOCK_SEQPACKET, 0)
TRY(socketpair_inet, SYS_socketpair, AF_INET, SOCK_STREAM, 0, scratch)
TRY(socketpair_dgram, SYS_socketpair, AF_UNIX, SOCK_DGRAM, 0, scratch)
TRY(bind, SYS_bind, 0, scratch, sizeof(struct sockaddr_un))
TRY(listen, SYS_listen, 0, 1)
TRY(connect, SYS_connect, 0, scratch, sizeof(struct sockaddr_un))
TRY(sendto_address, SYS_sendto, 0, scratch, 1, 0, scratch, 16)

/* files: the host's, or any at all */
TRY(open_root, SYS_openat, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY)
TRY(open_passwd, SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY)
TRY(open_proc, SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY)
TRY(open_dev, SYS_openat, AT_FDCWD, "/dev/null", O_RDWR)
TRY(open_sys, SYS_openat, AT_FDCWD, "/sys/kernel", O_RDONLY)
TRY(open_old, SYS_open, "/etc/passwd", O_RDONLY)
TRY(create, SYS_openat, AT_FDCWD, "/new", O_WRONLY | O_CREAT, 0600)
TRY(openat2, SYS_openat2, AT_FDCWD, "/", scratch, 24)
TRY(mkdirat, SYS_mkdirat, AT_FDCWD, "/new", 0700)
TRY(mknodat, SYS_mknodat, AT_FDCWD, "/new", S_IFCHR | 0600, 0x103)
TRY(symlinkat, SYS_symlinkat, "/", AT_FDCWD, "/new")
TRY(unlinkat, SYS_unlinkat, AT_FDCWD, "/kernel", 0)
TRY(rename, SYS_renameat2, AT_FDCWD, "/kernel", AT_FDCWD, "/new", 0)
TRY(chmod, SYS_fchmodat, AT_FDCWD, "/", 0777)
TRY(chown, SYS_fchownat, AT_FDCWD, "/", 0, 0, 0)
TRY(truncate, SYS_truncate, "/kernel", 0)
TRY(handle_at, SYS_open_by_handle_at, AT_FDCWD, scratch, O_RDONLY)
TRY(chdir, SYS_chdir, "/")
TRY(chroot, SYS_chroot, "/")
TRY(fanotify, SYS_fanotify_init, 0, 0)
TRY(inotify, SYS_inotify_init1, 0)

/* mounts and namespaces */
TRY(mount, SYS_mount, "none", "/", "tmpfs", 0, NULL)
TRY(umount, SYS_umount2, "/", MNT_DETACH)
TRY(pivot_root, SYS_pivot_root, ".", ".")
TRY(open_tree, SYS_open_tree, AT_FDCWD, "/", 1)
TRY(move_mount, SYS_move_mount, 0, "", AT_FDCWD, "/", 4)
TRY(fsopen, SYS_fsopen, "proc", 0)
TRY(fspick, SYS_fspick, AT_FDCWD, "/", 0)
TRY(mount_setattr, SYS_mount_setattr, AT_FDCWD, "/", 0, scratch, 32)
TRY(unshare_user, SYS_unshare, CLONE_NEWUSER)
TRY(unshare_mount, SYS_unshare, CLONE_NEWNS)
TRY(setns, SYS_setns, 0, 0)

/* kernel interfaces with a history */
TRY(io_uring, SYS_io_uring_setup, 8, scratch)
TRY(bpf, SYS_bpf, 0, scratch, 48)
TRY(userfaultfd, SYS_userfaultfd, 1)
TRY(perf, SYS_perf_event_open, scratch, 0, -1, -1, 0)
TRY(keyctl, SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0)
TRY(add_key, SYS_add_key, "user", "x", "y", 1, KEY_SPEC_PROCESS_KEYRING)
TRY(request_key, SYS_request_key, "user", "x", NULL, KEY_SPEC_PROCESS_KEYRING)
TRY(kexec, SYS_kexec_load, 0, 0, NULL, 0)
TRY(kexec_file, SYS_kexec_file_load, -1, -1, 0, "", 0)
TRY(init_module, SYS_init_module, scratch, 0, "")
TRY(finit_module, SYS_finit_module, 0, "", 0)
TRY(delete_module, SYS_delete_module, "x", 0)
TRY(reboot, SYS_reboot, 0xfee1dead, 672274793, 0, NULL)
TRY(swapon, SYS_swapon, "/kernel", 0)
TRY(acct, SYS_acct, NULL)
TRY(syslog, SYS_syslog, 3, scratch, sizeof(scratch))
TRY(quotactl, SYS_quotactl, 0, NULL, 0, scratch)
TRY(iopl, SYS_iopl, 3)
TRY(ioperm, SYS_ioperm, 0x70, 2, 1)
TRY(modify_ldt, SYS_modify_ldt, 0, scratch, 16)
TRY(clock_settime, SYS_clock_settime, 0, scratch)
TRY(sethostname, SYS_sethostname, "x", 1)
TRY(shmget, SYS_shmget, 1, 4096, 01600)
TRY(msgget, SYS_msgget, 1, 01600)
TRY(mq_open, SYS_mq_open, "x", O_CREAT | O_RDWR, 0600, NULL)
TRY(ioctl_tiocsti, SYS_ioctl, 0, 0x5412, scratch)

/* back to rights */
TRY(setuid, SYS_setuid, 0)
TRY(setgroups, SYS_setgroups, 0, NULL)
TRY(capset, SYS_capset, scratch, scratch)
TRY(personality, SYS_personality, READ_IMPLIES_EXEC)
TRY(prctl_dumpable, SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)
TRY(prctl_ptracer, SYS_prctl, PR_SET_PTRACER, -1, 0, 0, 0)
TRY(seccomp_strict, SYS_seccomp, 0, 0, NULL)

/* code that was not in the program */
TRY(mmap_exec, SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
TRY(mprotect_exec, SYS_mprotect, (uintptr_t)scratch & ~4095ul, 4096, PROT_READ | PROT_EXEC)
TRY(pkey_mprotect, SYS_pkey_mprotect, (uintptr_t)scratch & ~4095ul, 4096, PROT_READ, 0)
TRY(memfd, SYS_memfd_create, "x", 0)

/* other ABIs: numbers that mean something else there */
static long try_ia32(void)
{
	long r = 20; /* getpid of ia32 */

	__asm__ volatile("int $0x80" : "+a"(r) : : "memory");
	return r == -ENOSYS ? -ENOSYS : r;
}
TRY(x32, 0x40000000 | SYS_getpid)
TRY(unknown, 999)

/* descriptors that would make the machine wait when it signals */
TRY(eventfd_blocking, SYS_eventfd2, 0, 0)

static long try_unset_nonblock(void)
{
	long fd = syscall(SYS_eventfd2, 0, EFD_NONBLOCK), flags;

	if (fd < 0)
		return -EIO;
	(void)syscall(SYS_fcntl, fd, F_SETFL, O_RDWR);
	(void)syscall(SYS_ioctl, fd, FIONBIO, &(int){0});
	flags = syscall(SYS_fcntl, fd, F_GETFL);
	return flags >= 0 && (flags & O_NONBLOCK) ? -EAGAIN : 0;
}

TRY(geteuid, SYS_geteuid)

#define MACHINE(name, id)                                                                          \
	{                                                                                          \
		name, try_##id, IN_MACHINE,                                                        \
		{                                                                                  \
			0                                                                          \
		}                                                                                  \
	}
#define BOTH(name, id)                                                                             \
	{                                                                                          \
		name, try_##id, IN_BOTH,                                                           \
		{                                                                                  \
			0                                                                          \
		}                                                                                  \
	}
#define ENGINE(name, id, ...)                                                                      \
	{                                                                                          \
		name, try_##id, IN_ENGINE,                                                         \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}

const struct attempt selftest_attempts[] = {
	BOTH("execve /bin/sh", execve),
	MACHINE("execveat of a memfd", exec_memfd),
	ENGINE("execveat of a memfd", exec_memfd, 0),
	MACHINE("execveat a second time", exec_again),
	ENGINE("execveat a second time", exec_again, EBADF),
	BOTH("fork", fork),
	BOTH("clone of a process", vfork_like),
	BOTH("clone NEWUSER", clone_userns),
	MACHINE("clone3", clone3),
	ENGINE("clone3", clone3, ENOSYS),
	BOTH("kill outside", kill),
	BOTH("kill -1", kill_all),
	BOTH("tkill outside", tkill),
	MACHINE("tgkill outside", tgkill),
	ENGINE("tgkill outside", tgkill, ESRCH, EPERM),
	BOTH("rt_sigqueueinfo outside", sigqueue),
	BOTH("pidfd_open outside", pidfd_open),
	BOTH("pidfd_getfd", pidfd_getfd),
	BOTH("pidfd_send_signal SIGTERM", pidfd_term),
	BOTH("ptrace TRACEME", ptrace_me),
	BOTH("ptrace ATTACH", ptrace_attach),
	BOTH("process_vm_readv", vm_readv),
	BOTH("process_vm_writev", vm_writev),
	BOTH("process_madvise", process_madvise),
	BOTH("kcmp", kcmp),
	BOTH("setpriority", setpriority),
	BOTH("sched_setaffinity", sched_setaffinity),
	BOTH("prlimit of another", prlimit_other),
	BOTH("setrlimit", setrlimit),
	BOTH("socket INET", socket_inet),
	BOTH("socket INET6", socket_inet6),
	BOTH("socket UNIX", socket_unix),
	BOTH("socket NETLINK", socket_netlink),
	BOTH("socket PACKET", socket_packet),
	BOTH("socket VSOCK", socket_vsock),
	BOTH("socket ALG", socket_alg),
	BOTH("socketpair INET", socketpair_inet),
	BOTH("socketpair UNIX datagram", socketpair_dgram),
	BOTH("bind", bind),
	BOTH("listen", listen),
	BOTH("connect", connect),
	BOTH("sendto with an address", sendto_address),
	MACHINE("open /", open_root),
	MACHINE("open /etc/passwd", open_passwd),
	ENGINE("open /etc/passwd", open_passwd, ENOENT),
	MACHINE("open /proc", open_proc),
	ENGINE("open /proc", open_proc, ENOENT),
	MACHINE("open /dev/null", open_dev),
	ENGINE("open /dev/null", open_dev, ENOENT),
	MACHINE("open /sys", open_sys),
	ENGINE("open /sys", open_sys, ENOENT),
	BOTH("open of the old call", open_old),
	MACHINE("create a file", create),
	ENGINE("create a file", create, EROFS, EACCES),
	BOTH("openat2 /", openat2),
	BOTH("mkdirat", mkdirat),
	BOTH("mknodat of a device", mknodat),
	BOTH("symlinkat", symlinkat),
	BOTH("unlinkat", unlinkat),
	BOTH("renameat2", rename),
	BOTH("fchmodat", chmod),
	BOTH("fchownat", chown),
	BOTH("truncate", truncate),
	BOTH("open_by_handle_at", handle_at),
	BOTH("chdir", chdir),
	BOTH("chroot", chroot),
	BOTH("fanotify_init", fanotify),
	BOTH("inotify_init1", inotify),
	BOTH("mount", mount),
	BOTH("umount2", umount),
	BOTH("pivot_root", pivot_root),
	BOTH("open_tree", open_tree),
	BOTH("move_mount", move_mount),
	BOTH("fsopen", fsopen),
	BOTH("fspick", fspick),
	BOTH("mount_setattr", mount_setattr),
	BOTH("unshare NEWUSER", unshare_user),
	BOTH("unshare NEWNS", unshare_mount),
	BOTH("setns", setns),
	MACHINE("io_uring_setup", io_uring),
	ENGINE("io_uring_setup", io_uring, ENOSYS),
	BOTH("bpf", bpf),
	BOTH("userfaultfd", userfaultfd),
	BOTH("perf_event_open", perf),
	BOTH("keyctl", keyctl),
	BOTH("add_key", add_key),
	{"climb out of a shared folder by ..", try_climb, IN_MACHINE, {EXDEV}},
	BOTH("request_key", request_key),
	BOTH("kexec_load", kexec),
	BOTH("kexec_file_load", kexec_file),
	BOTH("init_module", init_module),
	BOTH("finit_module", finit_module),
	BOTH("delete_module", delete_module),
	BOTH("reboot", reboot),
	BOTH("swapon", swapon),
	BOTH("acct", acct),
	BOTH("syslog", syslog),
	BOTH("quotactl", quotactl),
	BOTH("iopl", iopl),
	BOTH("ioperm", ioperm),
	BOTH("modify_ldt", modify_ldt),
	BOTH("clock_settime", clock_settime),
	BOTH("sethostname", sethostname),
	BOTH("shmget", shmget),
	BOTH("msgget", msgget),
	BOTH("mq_open", mq_open),
	MACHINE("ioctl TIOCSTI", ioctl_tiocsti),
	ENGINE("ioctl TIOCSTI", ioctl_tiocsti, ENOTTY),
	BOTH("setuid 0", setuid),
	BOTH("setgroups", setgroups),
	BOTH("capset", capset),
	BOTH("personality READ_IMPLIES_EXEC", personality),
	BOTH("prctl SET_DUMPABLE", prctl_dumpable),
	BOTH("prctl SET_PTRACER", prctl_ptracer),
	MACHINE("seccomp", seccomp_strict),
	MACHINE("mmap PROT_EXEC", mmap_exec),
	MACHINE("mprotect PROT_EXEC", mprotect_exec),
	BOTH("pkey_mprotect", pkey_mprotect),
	MACHINE("memfd_create", memfd),
	ENGINE("eventfd2 that blocks", eventfd_blocking, 0),
	ENGINE("make an eventfd block", unset_nonblock, EAGAIN),
	{"int 0x80 (ia32)", try_ia32, IN_BOTH, {ENOSYS}},
	BOTH("x32 getpid", x32),
	BOTH("unknown call", unknown),
	{"geteuid, which is allowed", try_geteuid, IN_BOTH, {0}, true},
};
const size_t selftest_n_attempts = ARRAY_LEN(selftest_attempts);
