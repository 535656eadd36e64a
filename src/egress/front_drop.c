/* The front gives up its rights; afterwards it moves bytes between descriptors it has. */
#include "egress/front_drop.h"
#include "egress/front.h"
#include "egress/spawn.h"
#include "jail/drop.h"
#include "jail/landlock.h"
#include "jail/rlimit.h"
#include "jail/root.h"
#include "jail/rows.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#define REPORT_TEXT_MAX 4096
#define FILES		(FRONT_STREAMS_MAX + FRONT_CHANNELS_MAX + 64)
#define HEAP_MAX	(256ULL << 20)

static int set_limits(struct jail_report *report, struct err *e)
{
	const struct jail_rlimit limits[] = {
		{RLIMIT_CORE, 0},
		{RLIMIT_NOFILE, FILES},
		{RLIMIT_MEMLOCK, 0},
		{RLIMIT_MSGQUEUE, 0},
		{RLIMIT_SIGPENDING, 16},
		/* a sanitizer's shadow memory counts as heap */
		{RLIMIT_DATA, JAIL_SANITIZED ? RLIM_INFINITY : HEAP_MAX},
	};
	int r = jail_rlimit_set(limits, ARRAY_LEN(limits));

	if (r < 0)
		return err_sys(e, r, "set resource limits");
	jail_report_add(report, "front", "limits", true, "%d descriptors, no core dumps", FILES);
	return 0;
}

/* enter_landlock() - nothing at all; a kernel without it is reported, see jail_may_miss() */
static int enter_landlock(struct jail_report *report, struct err *e)
{
	AUTO_FD rules = jail_landlock_make(NULL, 0);
	int r;

	if (rules == -EOPNOTSUPP && jail_may_miss("landlock")) {
		jail_report_add(report, "front", "landlock", false, "not in this kernel");
		return 0;
	}
	r = rules < 0 ? rules : jail_landlock_enter(rules);
	if (r < 0)
		return err_sys(e, r, "enter the Landlock ruleset");
	jail_report_add(report, "front", "landlock", true, "ABI %d, nothing", jail_landlock_abi());
	return 0;
}

int front_drop_rights(struct jail_report *report, struct err *e)
{
	struct sock_fprog built = {0};
	int r = jail_filter_build(&front_table, &built, e);

	if (r < 0)
		return r;
	AUTO_FREE struct sock_filter *code = built.filter;
	const struct sock_fprog filter = {.len = built.len, .filter = code};

	r = jail_root_empty();
	if (r < 0)
		return err_sys(e, r, "enter an empty root");
	jail_report_add(report, "front", "root", true, "empty, unreadable");
	r = set_limits(report, e);
	if (r < 0)
		return r;
	r = jail_drop_caps();
	if (r == 0)
		r = jail_no_new_privs();
	if (r < 0)
		return err_sys(e, r, "give up capabilities");
	jail_report_add(report, "front", "capabilities", true, "none, bounding set empty");
	jail_report_add(report, "front", "no_new_privs", true, "set");
	r = enter_landlock(report, e);
	if (r < 0)
		return r;
	r = jail_filter_install(&filter);
	if (r < 0)
		return err_sys(e, r, "install the seccomp list");
	jail_report_add(report, "front", "seccomp", true, "%u system calls, else killed",
		jail_filter_calls(&front_table));
	return 0;
}

int front_drop(struct front *f, struct err *e)
{
	AUTO_FD file = openat(f->dir_fd, EGRESS_FRONT_JAIL_FILE,
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	char text[REPORT_TEXT_MAX];
	int r;

	if (file < 0)
		return err_sys(e, -errno, "write '%s'", EGRESS_FRONT_JAIL_FILE);
	jail_report_add(&f->report, "front", "namespaces", true, "user, pid, mount, net, ipc, uts");
	/* The directory and the CA's files were for the start only. */
	own_close_fd(&f->dir_fd);
	(void)close(EGRESS_KEY_FD);
	(void)close(EGRESS_CERT_FD);
	r = front_drop_rights(&f->report, e);
	if (r < 0)
		return r;
	jail_report_print(&f->report, text, sizeof(text));
	(void)!write(file, text, strnlen(text, sizeof(text)));
	return 0;
}
