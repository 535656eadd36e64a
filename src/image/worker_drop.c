/* The worker gives up its rights; afterwards it opens files of the layout for reading, and nothing else. */
#include "image/worker.h"
#include "jail/drop.h"
#include "jail/filter.h"
#include "jail/landlock.h"
#include "jail/report.h"
#include "jail/rlimit.h"
#include "jail/root.h"
#include "jail/rows.h"
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define HEAP_MAX (256ULL << 20)
#define FILES	 16

static const struct jail_rule rules[] = {
	CALL(openat2, "blobs of the layout: there is nothing else that could be opened"),
	CALL(newfstatat, "is it a file, how large"),
	CALL(fstat, "is it a file, how large"),
	CALL(read, "JSON"),
	CALL(pread64, "layers, and the image once it is written"),
	CALL(pwrite64, "the image"),
	CALL(ftruncate, "the image's length"),
	CALL(write, "report and log; with --export the layer"),
	CALL(close, "blobs"),
	CALL(lseek, "dprintf asks where a descriptor stands"),
	CALL(poll, "reading with a deadline"),
	CALL(clock_gettime, "how often to report, where the vdso cannot tell"),
	CALL1(mmap, NO_EXEC(2), "heap"),
	CALL1(mprotect, NO_EXEC(2), "heap"),
	CALL(munmap, "heap"),
	CALL(mremap, "heap"),
	CALL(madvise, "heap back to the kernel"),
	CALL(brk, "heap"),
	CALL(getrandom, "hash tables that an image cannot choose collisions for"),
	CALL(sysinfo, "qsort() asks once how much memory there is"),
	CALL(futex, "locks of libcrypto"),
	CALL(rt_sigreturn, "return from a signal"),
	CALL(restart_syscall, "waits that were interrupted by a stop"),
	CALL(exit_group, "the end"),
#if JAIL_SANITIZED
	CALL(sigaltstack, "the sanitizer"),
	CALL(gettid, "the sanitizer"),
	CALL(getpid, "the sanitizer"),
	CALL(sched_yield, "the sanitizer"),
	CALL(rt_sigprocmask, "the sanitizer"),
	CALL(exit, "the sanitizer"),
#endif
};

const struct jail_table image_table = {"image", rules, ARRAY_LEN(rules), {NULL}};

static int set_limits(const struct worker *w, struct err *e)
{
	const struct jail_rlimit limits[] = {
		{RLIMIT_CORE, 0},
		{RLIMIT_NOFILE, FILES},
		{RLIMIT_FSIZE, w->max_bytes},
		{RLIMIT_MEMLOCK, 0},
		{RLIMIT_MSGQUEUE, 0},
		{RLIMIT_DATA, JAIL_SANITIZED ? RLIM_INFINITY : HEAP_MAX},
	};
	int r = jail_rlimit_set(limits, ARRAY_LEN(limits));

	return r < 0 ? err_sys(e, r, "set resource limits") : 0;
}

static int enter_landlock(const struct worker *w, struct err *e)
{
	const struct jail_beneath layout = {.fd = w->layout_fd};
	AUTO_FD rules_fd = jail_landlock_make(&layout, w->export ? 0 : 1);
	int r = rules_fd;

	if (r == -EOPNOTSUPP && jail_may_miss("landlock"))
		return 0;
	if (r >= 0)
		r = jail_landlock_enter(rules_fd);
	return r < 0 ? err_sys(e, r, "enter the Landlock ruleset") : 0;
}

int worker_drop(struct worker *w, struct err *e)
{
	struct sock_fprog built = {0};
	int r = jail_filter_build(&image_table, &built, e);

	if (r < 0)
		return r;
	AUTO_FREE struct sock_filter *code = built.filter;
	const struct sock_fprog filter = {.len = built.len, .filter = code};

	if (!w->export) {
		w->layout_fd = jail_hold(WORKER_LAYOUT_FD, true);
		if (w->layout_fd < 0)
			return err_sys(e, w->layout_fd, "take hold of the layout");
	}
	r = jail_root_empty();
	if (r < 0)
		return err_sys(e, r, "enter an empty root");
	if (!w->export)
		(void)close(WORKER_LAYOUT_FD);
	r = set_limits(w, e);
	if (r < 0)
		return r;
	r = jail_drop_caps();
	if (r == 0)
		r = jail_no_new_privs();
	if (r < 0)
		return err_sys(e, r, "give up capabilities");
	r = enter_landlock(w, e);
	if (r < 0)
		return r;
	r = jail_filter_install(&filter);
	return r < 0 ? err_sys(e, r, "install the seccomp list") : 0;
}
