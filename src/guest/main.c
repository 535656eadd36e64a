/* sbx-guest - PID 1 of a sandbox: makes the machine, tells the host, serves its requests
 *
 * root → boot → loop. It never exits: what goes wrong is told to the host and the console, and the
 * machine is powered off.
 */
#include "base/clock.h"
#include "base/log.h"
#include "guest/boot.h"
#include "guest/forward.h"
#include "guest/net.h"
#include "guest/power.h"
#include "guest/reap.h"
#include "guest/root.h"
#include "guest/server.h"
#include "guest/setup.h"
#include "guest/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define FILES_MAX	   65536
#define PRINTK_LEVEL	   4 /* warnings and worse reach the console */
#define KLOG_CONSOLE_LEVEL 8
#define BACKLOG		   128

static struct guest guest = {.null_fd = -1, .pts_fd = -1, .scratch_fd = -1};
static uint32_t grace_ms;

/* on_crash() - our own bug. A child that shares this program only ends itself. */
static void on_crash(int sig)
{
	static const char text[] = "sbx-guest: stopped by an error of its own, powering off\n";

	if (getpid() != 1)
		_exit(128 + sig);
	if (write(2, text, sizeof(text) - 1) > 0)
		sync();
	power_cut();
}

static void prepare_process(void)
{
	static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
	static char stack[16384];
	stack_t alt = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction act = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK};
	struct rlimit files = {.rlim_cur = FILES_MAX, .rlim_max = 1048576};
	sigset_t set;

	(void)sigaltstack(&alt, NULL);
	for (size_t i = 0; i < ARRAY_LEN(crashes); i++)
		(void)sigaction(crashes[i], &act, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)setrlimit(RLIMIT_NOFILE, &files);
	(void)reboot(RB_DISABLE_CAD);
	(void)setsid();
}

/* open_console() - descriptors 0 to 2: what is said before and beside the stream to the host */
static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		fd = open("/dev/null", O_RDWR);
	for (int i = 0; fd >= 0 && i < 3; i++)
		if (fd != i)
			(void)dup2(fd, i);
	if (fd > 2)
		close(fd);
	(void)klogctl(KLOG_CONSOLE_LEVEL, NULL, PRINTK_LEVEL);
	log_init("sbx-guest");
}

static int vsock(uint32_t cid, uint32_t port, struct sockaddr_vm *ret_addr)
{
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret_addr = (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
	return fd < 0 ? -errno : fd;
}

static int connect_host(void *ctx)
{
	struct sockaddr_vm addr;
	AUTO_FD fd = vsock(VMADDR_CID_HOST, FRAME_PORT_BOOT, &addr);

	(void)ctx;
	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int listen_requests(struct guest *g, struct err *e)
{
	struct sockaddr_vm addr;
	AUTO_FD fd = vsock(VMADDR_CID_ANY, FRAME_PORT_AGENT, &addr);
	int r;

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
		listen(fd, BACKLOG) < 0)
		return err_sys(e, fd < 0 ? fd : -errno, "listen for the host's requests");
	r = server_listen(g->server, fd);
	if (r < 0)
		return err_sys(e, r, "listen for the host's requests");
	(void)TAKE_FD(fd);
	return 0;
}

static int apply(void *ctx, const struct agent_setup *m, void (*step)(void *, const char *),
	void *step_ctx, struct err *e)
{
	struct guest *g = ctx;
	int r = setup_apply(m, g->scratch_fd, step, step_ctx, e);

	if (r == 0)
		r = forward_start(g, e);
	(void)sys_cpus_on("/sys/devices/system/cpu");
	return r;
}

static int refresh(void *ctx, const struct agent_setup *m, struct err *e)
{
	(void)ctx;
	return setup_refresh(m, e);
}

static void want_power_off(struct guest *g, uint32_t ms)
{
	grace_ms = ms;
	loop_stop(g->loop);
}

static int make_machine(struct guest *g, struct err *e)
{
	int r = root_load_modules(e);

	if (r == 0) {
		net_begin(root_load_net);
		r = root_enter(g, e);
	}
	if (r == 0)
		r = reaper_new(g->loop, &g->reaper);
	if (r == 0)
		r = server_new(g, &g->server);
	return r < 0 ? r : listen_requests(g, e);
}

int main(void)
{
	struct boot_ops ops = {
		.connect = connect_host, .apply = apply, .refresh = refresh, .ctx = &guest};
	struct err early = {0}, e = {0};
	int r;

	if (getpid() != 1) {
		fprintf(stderr, "sbx-guest: runs as PID 1 of a sandbox only\n");
		return 2;
	}
	prepare_process();
	r = root_early(&early);
	open_console();
	guest.set_clock = setup_clock;
	guest.dial = forward_dial;
	guest.power_off = want_power_off;
	guest.end_all = power_end_others;
	guest.loop = loop_new();
	if (r == 0)
		r = guest.loop ? make_machine(&guest, &early) : err_sys(&early, -errno, "start");
	if (r < 0)
		err_wrap(&early, r, "start the sandbox");
	r = boot_run(&guest, &ops, r < 0 ? &early : NULL, &e);
	if (r < 0) {
		log_err("%s", e.msg);
	} else {
		root_load_rest();
		r = loop_run(guest.loop);
	}
	if (!guest.loop)
		power_cut();
	power_end(&guest, r < 0 ? 0 : grace_ms);
}
