/* sbx-keyring - one request about a key of the user's keyring, from standard input to standard output
 *
 * It runs with the user's rights, for the user's own session bus; so little is taken from it: it gets no
 * new privileges, is not traceable, leaves no core, opens no socket but unix ones and executes nothing.
 */
#include "base/clock.h"
#include "base/io.h"
#include "jail/drop.h"
#include "keyring/service.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include "jail/filter.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "which system call numbers does this machine have?"
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define SAY(what)   BPF_STMT(BPF_RET | BPF_K, (what))
/* the next instruction is for what equals, the one after it for the rest */
#define IF(value) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, 1)
#define REFUSE	  SAY(SECCOMP_RET_ERRNO | EPERM)

#define READ_MS 5000

/* fence() - everything that the libraries use is allowed but what leads off this host or to other programs.
 * A list of what is allowed would be a list of what a message bus's library of some version uses.
 */
static int fence(void)
{
	static struct sock_filter f[] = {LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0), REFUSE, LOAD(nr),
		/* x32: the same calls by other numbers */
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 0, 1), REFUSE, IF(__NR_execve),
		REFUSE, IF(__NR_execveat), REFUSE, IF(__NR_ptrace), REFUSE,
		IF(__NR_process_vm_readv), REFUSE, IF(__NR_io_uring_setup), REFUSE,
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 1, 0), SAY(SECCOMP_RET_ALLOW),
		LOAD(args[0]), IF(AF_UNIX), SAY(SECCOMP_RET_ALLOW), REFUSE};
	struct sock_fprog prog = {.len = (unsigned short)ARRAY_LEN(f), .filter = f};

	return jail_filter_install(&prog);
}

/* The answer of a process whose time is over: made before, since a signal handler can make none. */
static uint8_t late[KEYRING_BYTES_MAX];
static size_t late_len;

static void too_late(int sig)
{
	ssize_t n = write(STDOUT_FILENO, late, late_len);

	_exit(n == (ssize_t)late_len && sig ? 0 : 1);
}

static int take_request(struct keyring_message *ret_m)
{
	uint8_t in[KEYRING_BYTES_MAX + 1];
	int64_t deadline = clock_ms() + READ_MS;
	size_t n = 0;
	bool ok;

	while (n < sizeof(in)) {
		int r = io_wait(STDIN_FILENO, 1 /* POLLIN */, deadline);
		ssize_t got = r < 0 ? -1 : read(STDIN_FILENO, in + n, sizeof(in) - n);

		if (got < 0 && errno == EINTR && r == 0)
			continue;
		if (got < 0)
			return -EIO;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	ok = keyring_get(in, n, false, ret_m);
	explicit_bzero(in, sizeof(in));
	return ok ? 0 : -EBADMSG;
}

static int answer(const struct keyring_message *m)
{
	uint8_t out[KEYRING_BYTES_MAX];
	size_t len = keyring_put(m, true, out);
	int r = len ? io_write_full(STDOUT_FILENO, out, len, clock_ms() + READ_MS) : -EBADMSG;

	explicit_bzero(out, sizeof(out));
	return r;
}

int main(int argc, char **argv)
{
	const struct keyring_message timeout = {.code = KEYRING_TIMEOUT};
	struct keyring_message m, a;
	int r;

	if (argc > 1 && strcmp(argv[1], "--version") == 0)
		return puts(SBX_VERSION) < 0;
	if (argc > 1) {
		(void)fprintf(stderr, "sbx-keyring: a helper of sbxd; it takes no arguments\n");
		return 2;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	if (jail_no_new_privs() < 0 || fence() < 0 || take_request(&m) < 0)
		return 1;
	late_len = keyring_put(&timeout, true, late);
	(void)signal(SIGALRM, too_late);
	(void)alarm(m.wait_s);
	service_do(&m, &a);
	(void)alarm(0);
	r = answer(&a);
	explicit_bzero(&m, sizeof(m));
	explicit_bzero(&a, sizeof(a));
	/* Threads of the bus's library still run: nothing is to be torn down under them. */
	_exit(r < 0);
}
