/* main.c - sbxd: start-up in order, then serve until told to end */
#include "daemon/daemon.h"
#include "daemon/idle.h"
#include "daemon/credentials.h"
#include "daemon/sandbox.h"
#include "daemon/watch.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/io.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define OUTCOME_MS 120000 /* taking up what runs takes longest */

static struct daemon the_daemon;

static void on_signal(int sig)
{
	int saved = errno;

	(void)sig;
	(void)eventfd_write(the_daemon.stop_fd, 1);
	errno = saved;
}

static void set_signals(void)
{
	struct sigaction end = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};

	sigemptyset(&end.sa_mask);
	sigemptyset(&ignore.sa_mask);
	(void)sigaction(SIGTERM, &end, NULL);
	(void)sigaction(SIGINT, &end, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)sigaction(SIGHUP, &ignore, NULL);
}

/* leave() - the process that was started ends as soon as it is known how that went */
static NORETURN void leave(int outcome)
{
	char said = 'n';
	int r = io_read_full(outcome, &said, 1, clock_ms() + OUTCOME_MS);

	_exit(r == 0 && said == 'y' ? 0 : 1);
}

/* go_background() - a session of its own; *ret_outcome takes a 'y' when it serves. The starter learns
 * the same, with the reason, through the ready pipe.
 */
static int go_background(int *ret_outcome)
{
	AUTO_FD null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int p[2];
	pid_t pid;

	if (null < 0 || pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	AUTO_FD outcome = p[0], tell = p[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		own_close_fd(&tell);
		leave(outcome);
	}
	if (setsid() < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
		return -errno;
	*ret_outcome = TAKE_FD(tell);
	return 0;
}

/* say_ready() - one line to whoever started us: "ok", or what went wrong */
static void say_ready(int *fd, const char *line)
{
	char text[ERR_MSG_MAX + 2];
	int n = snprintf(text, sizeof(text), "%s\n", line);

	if (*fd >= 0 && n > 0)
		(void)!write(*fd, text, (size_t)n);
	own_close_fd(fd);
}

static int start(struct daemon *d, bool foreground, struct err *e)
{
	int r = daemon_open(d, !foreground, e);

	if (r == 0)
		r = watch_new(d, &d->watch, e);
	if (r == 0)
		r = egress_open(d, e);
	if (r == 0)
		r = recover(d, e);
	if (r == 0)
		r = idle_new(d, e);
	if (r == 0)
		r = daemon_listen(d, e);
	if (r == 0)
		credentials_refresher(d);
	return r;
}

/* more_files() - a descriptor that could not be taken in costs a sandbox its link */
static void more_files(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

/* small() - what a start needs for a moment (the initrd, the kit's files: megabytes) goes back to the
 * kernel afterwards. By default the allocator would keep it from its second time on, in each of the
 * heaps that threads get, and a daemon with nothing to do would hold tens of megabytes.
 */
static void small(void)
{
	(void)mallopt(M_ARENA_MAX, 2);
	(void)mallopt(M_MMAP_THRESHOLD, 128 << 10);
	(void)mallopt(M_TRIM_THRESHOLD, 256 << 10);
}

static int usage(FILE *f)
{
	(void)fprintf(f,
		"Usage: sbxd [--foreground] [--ready-fd N]\n"
		"The daemon of sbx; the command line starts it by itself.\n"
		"  --foreground  stay, and log to standard error\n"
		"  --ready-fd N  write \"ok\" or the error to descriptor N when it serves\n"
		"  --version     print the version\n");
	return f == stderr ? 2 : 0;
}

static int parse(int argc, char **argv, bool *foreground, int *ready_fd)
{
	static const struct option opts[] = {{"foreground", no_argument, NULL, 'f'},
		{"ready-fd", required_argument, NULL, 'r'}, {"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'}, {0}};
	char *end;
	long n;
	int c;

	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (c) {
		case 'f':
			*foreground = true;
			break;
		case 'r':
			n = strtol(optarg, &end, 10);
			if (*end || n < 3 || n > 1023 || fcntl((int)n, F_GETFD) < 0) {
				(void)fprintf(stderr, "sbxd: --ready-fd: not an open descriptor\n");
				return 2;
			}
			*ready_fd = (int)n;
			break;
		case 'v':
			(void)printf("sbxd %s\n", SBX_VERSION);
			return 0;
		case 'h':
			return usage(stdout);
		default:
			return usage(stderr);
		}
	}
	return optind < argc ? usage(stderr) : -1;
}

int main(int argc, char **argv)
{
	struct daemon *d = &the_daemon;
	bool foreground = false;
	AUTO_FD ready = -1, outcome = -1;
	struct err e = {0};
	int r = parse(argc, argv, &foreground, &ready);

	if (r >= 0)
		return r;
	(void)umask(077);
	more_files();
	small();
	log_init("sbxd");
	(void)!io_set_cloexec(ready, true);
	if (!foreground && go_background(&outcome) < 0) {
		say_ready(&ready, "cannot go to the background");
		return 1;
	}
	r = start(d, foreground, &e);
	if (r < 0) {
		say_ready(&ready, ESC(e.msg));
		log_err("%s%s%s", e.msg, e.hint[0] ? "; " : "", e.hint);
		return 1;
	}
	set_signals();
	if (chdir("/") < 0)
		log_debug("chdir: %s", strerror(errno));
	log_info("version %s serves '%s'", SBX_VERSION, d->paths.state);
	say_ready(&ready, "ok");
	if (outcome >= 0)
		(void)!write(outcome, "y", 1);
	own_close_fd(&outcome);
	r = server_run(d);
	sandbox_abandon_installs(d);
	daemon_close(d);
	return r < 0;
}
