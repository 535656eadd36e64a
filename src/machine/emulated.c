#include "machine/emulated.h"
#include "base/io.h"
#include "base/log.h"
#include "jail/landlock.h"
#include "jail/report.h"
#include "jail/spawn.h"
#include "machine/tables.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define NOBODY	    65534u
#define THREADS_MAX 256

static int emulated_open(const struct machine_plan *p, const struct engine_ends *ends,
	struct engine **ret, struct err *e)
{
	struct engine *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return err_sys(e, -ENOMEM, "open the engine");
	g->plan = p;
	g->ends = *ends;
	g->pidfd = g->stderr_fd = g->stat_fd = g->qmp.fd = -1;
	r = emulated_files_find(&g->files, p, e);
	if (r < 0) {
		engine_emulated.free(g);
		return r;
	}
	*ret = g;
	return 0;
}

/* ---- its end ---- */

static void end_it(struct engine *g, const char *why)
{
	if (!g->pid)
		return;
	if (!g->why[0])
		(void)snprintf(g->why, sizeof(g->why), "%s", why);
	(void)syscall(SYS_pidfd_send_signal, g->pidfd, SIGKILL, NULL, 0);
}

static void on_broken(void *ctx, const char *why)
{
	end_it(ctx, why);
}

/* why_it_ended() - true when it crashed. The guest's word (SHUTDOWN) counts only with a clean exit. */
static bool why_it_ended(const struct engine *g, int status, char *dst, size_t cap)
{
	if (g->why[0]) {
		(void)snprintf(dst, cap, "%s", g->why);
		return true;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		bool reset = strcmp(g->qmp.end, "guest-reset") == 0;

		(void)snprintf(dst, cap, "the guest %s", reset ? "rebooted" : "powered off");
		return false;
	}
	if (WIFSIGNALED(status))
		(void)snprintf(dst, cap, "QEMU was ended by signal %d%s%s", WTERMSIG(status),
			g->last_words[0] ? ": " : "", g->last_words);
	else
		(void)snprintf(dst, cap, "QEMU ended with status %d%s%s", WEXITSTATUS(status),
			g->last_words[0] ? ": " : "", g->last_words);
	return true;
}

static void end_line(struct engine *g)
{
	if (!g->words_len)
		return;
	g->words[g->words_len] = 0;
	log_info("qemu: %s", g->words);
	/* what it could live with is not what it died of */
	if (!strstr(g->words, "warning: "))
		memcpy(g->last_words, g->words, g->words_len + 1);
	g->words_len = 0;
}

/* hear() - pass its lines on; false when there is no more for now */
static bool hear(struct engine *g)
{
	char chunk[512];
	ssize_t n = read(g->stderr_fd, chunk, sizeof(chunk));

	if (n <= 0) {
		if (n == 0 || errno != EAGAIN) {
			end_line(g);
			loop_del_fd(g->stderr_src);
			g->stderr_src = NULL;
		}
		return false;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (chunk[i] == '\n' || g->words_len == sizeof(g->words) - 1)
			end_line(g);
		if (chunk[i] != '\n')
			g->words[g->words_len++] = chunk[i];
	}
	return true;
}

static void on_stderr(void *ctx, uint32_t events)
{
	(void)events;
	(void)hear(ctx);
}

static void on_engine_exit(void *ctx, uint32_t events)
{
	struct engine *g = ctx;
	char reason[256];
	int status = 0;
	bool crashed;

	(void)events;
	if (waitpid(g->pid, &status, WNOHANG) != g->pid)
		return;
	g->pid = 0;
	emulated_qmp_drain(&g->qmp);
	for (unsigned i = 0; g->stderr_src && i < 64; i++)
		if (!hear(g))
			break;
	loop_del_fd(g->pid_src);
	g->pid_src = NULL;
	crashed = why_it_ended(g, status, reason, sizeof(reason));
	g->ev.ended(g->ev.ctx, crashed, reason);
}

/* ---- its start ---- */

/* jail_spawn() has ended the start if one of these was not to be had */
static void report_spawn(struct jail_report *r, uid_t outside, size_t n_files)
{
	const char *who = "engine";

	jail_report_add(r, who, "namespaces", true, "user, pid, mount, net, ipc, uts");
	jail_report_add(r, who, "user", outside != geteuid(),
		outside != geteuid() ? "another than ours, owns nothing"
				     : "ours: not started by root");
	jail_report_add(r, who, "root", true, "read-only, %zu files", n_files);
	jail_report_add(r, who, "capabilities", true, "none, bounding set empty");
	jail_report_add(r, who, "no_new_privs", true, "set");
	jail_report_add(r, who, "landlock", jail_landlock_abi() > 0,
		jail_landlock_abi() ? "its root can be read only" : "not in this kernel");
	jail_report_add(r, who, "seccomp", true,
		"%u system calls, else killed; QEMU's own list on top",
		jail_filter_calls(&emulated_table));
}

int emulated_spawn(const struct emulated_program *p, pid_t *ret_pid, int *ret_pidfd,
	struct jail_report *report, struct err *e)
{
	char *const envp[] = {(char[]){"QEMU_MODULE_DIR=/modules"}, p->lib_dirs, NULL};
	const struct jail_root root = {.file = p->file, .n_files = p->n_files};
	const struct jail_rlimit limits[] = {{RLIMIT_CORE, 0}, {RLIMIT_NOFILE, 256},
		{RLIMIT_MEMLOCK, 0}, {RLIMIT_MSGQUEUE, 0},
		/* Where no cgroup counts threads; the kernel counts them for its user namespace. */
		{RLIMIT_NPROC, THREADS_MAX},
		/* A disk that was promised 20 GiB cannot be made to fill the host's. */
		{RLIMIT_FSIZE, p->file_max}};
	uid_t outside = geteuid() == 0 ? NOBODY : geteuid();
	gid_t outside_gid = geteuid() == 0 ? NOBODY : getegid();
	struct sock_fprog filter = {0};
	struct jail_child c = {.path = p->path,
		.argv = p->argv,
		.envp = envp,
		.fds = p->fds,
		.n_fds = p->n_fds,
		.map = {{NOBODY, outside, NOBODY, outside_gid}},
		.n_maps = 1,
		.root = &root,
		.limit = limits,
		.n_limits = ARRAY_LEN(limits),
		.filter = &filter,
		.landlock = true};
	int r = jail_filter_build(&emulated_table, &filter, e);

	if (r < 0)
		return r;
	r = jail_spawn(&c, ret_pid, ret_pidfd, e);
	free(filter.filter);
	if (r == 0)
		report_spawn(report, outside, p->n_files);
	return r;
}

/* file_max() - its disk, or the guest's memory, which is a file too */
static uint64_t file_max(const struct machine_plan *p)
{
	struct stat st;
	uint64_t disk = fstat(p->scratch_fd, &st) == 0 ? (uint64_t)st.st_size : 0;

	return disk > p->memory_bytes ? disk : p->memory_bytes;
}

static int spawn(
	struct engine *g, int qmp_fd, int stderr_fd, struct jail_report *report, struct err *e)
{
	const int fds[EMU_FD_COUNT] = {-1, stderr_fd, stderr_fd, [EMU_FD_QMP] = qmp_fd,
		[EMU_FD_CONSOLE] = g->ends.console_fd, [EMU_FD_VSOCK] = g->ends.vsock_fd,
		[EMU_FD_ROOT] = g->plan->root_fd, [EMU_FD_SCRATCH] = g->plan->scratch_fd,
		[EMU_FD_LOCK] = g->plan->lock_fd, [EMU_FD_FS] = g->ends.fs_fd};
	struct emulated_args args;
	struct emulated_program p = {.path = g->plan->qemu,
		.argv = args.argv,
		.fds = fds,
		.n_fds = g->ends.fs_fd < 0 ? EMU_FD_FS : EMU_FD_COUNT,
		.file = g->files.file,
		.n_files = g->files.n,
		.file_max = file_max(g->plan),
		.lib_dirs = g->files.lib_dirs[0] ? g->files.lib_dirs : NULL};
	int r = emulated_args(&args, g->plan, g->ends.fs_fd >= 0);

	if (r < 0)
		return err_sys(e, r, "write QEMU's command line");
	return emulated_spawn(&p, &g->pid, &g->pidfd, report, e);
}

static int emulated_start(struct engine *g, struct loop *l, const struct engine_events *ev,
	struct jail_report *report, struct err *e)
{
	int qmp[2], words[2], r;
	char path[64];

	g->loop = l;
	g->ev = *ev;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, qmp) < 0)
		return err_sys(e, -errno, "make a socket pair");
	AUTO_FD qmp_ours = qmp[0], qmp_theirs = qmp[1];
	if (pipe2(words, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "make a pipe");
	g->stderr_fd = words[0];
	AUTO_FD words_theirs = words[1];
	r = spawn(g, qmp_theirs, words_theirs, report, e);
	if (r < 0)
		return err_wrap(e, r, "start QEMU");
	/* Read through this descriptor later, when there is no /proc any more. */
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", jail_proc_pid(g->pidfd));
	g->stat_fd = open(path, O_RDONLY | O_CLOEXEC);
	r = io_set_nonblock(g->stderr_fd, true);
	if (r == 0)
		r = emulated_qmp_open(&g->qmp, l, TAKE_FD(qmp_ours), on_broken, g);
	if (r == 0)
		r = loop_add_fd(l, g->stderr_fd, EPOLLIN, on_stderr, g, &g->stderr_src);
	if (r == 0)
		r = loop_add_fd(l, g->pidfd, EPOLLIN, on_engine_exit, g, &g->pid_src);
	return r < 0 ? err_sys(e, r, "watch QEMU") : 0;
}

/* ---- while it runs ---- */

static int emulated_pause(struct engine *g, uint32_t tag, engine_done_fn done, void *ctx)
{
	return emulated_qmp_ask(&g->qmp, "stop", tag, done, ctx);
}

static int emulated_resume(struct engine *g, uint32_t tag, engine_done_fn done, void *ctx)
{
	return emulated_qmp_ask(&g->qmp, "cont", tag, done, ctx);
}

static int emulated_power_button(struct engine *g)
{
	return emulated_qmp_ask(&g->qmp, "system_powerdown", 0, NULL, NULL);
}

static void emulated_kill(struct engine *g)
{
	end_it(g, "killed");
}

/* emulated_stats() - /proc/PID/stat: fields 14 and 15 are cpu ticks, 24 resident pages */
static int emulated_stats(struct engine *g, struct engine_stats *ret)
{
	char text[1024], *p;
	unsigned long long utime = 0, stime = 0, pages = 0;
	long tick = sysconf(_SC_CLK_TCK), page = sysconf(_SC_PAGESIZE);
	ssize_t n = pread(g->stat_fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return n < 0 ? -errno : -ENODATA;
	text[n] = 0;
	p = strrchr(text, ')'); /* the name may hold anything */
	if (!p || sscanf(p + 1,
			  " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d "
			  "%*d %*d %*u %*u %llu",
			  &utime, &stime, &pages) != 3)
		return -EBADMSG;
	ret->resident_bytes = pages * (unsigned long long)page;
	ret->cpu_ms = (utime + stime) * 1000 / (unsigned long long)tick;
	return 0;
}

static void emulated_free(struct engine *g)
{
	if (!g)
		return;
	if (g->pid) {
		end_it(g, "the machine ends");
		(void)waitpid(g->pid, NULL, 0);
	}
	loop_del_fd(g->pid_src);
	loop_del_fd(g->stderr_src);
	emulated_qmp_close(&g->qmp);
	own_close_fd(&g->pidfd);
	own_close_fd(&g->stderr_fd);
	own_close_fd(&g->stat_fd);
	emulated_files_fini(&g->files);
	free(g);
}

const struct engine_ops engine_emulated = {
	.name = "emulated",
	.open = emulated_open,
	.start = emulated_start,
	.pause = emulated_pause,
	.resume = emulated_resume,
	.power_button = emulated_power_button,
	.kill = emulated_kill,
	.stats = emulated_stats,
	.free = emulated_free,
};
