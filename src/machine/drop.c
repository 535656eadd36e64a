/* The machine gives up its rights; afterwards it moves bytes between descriptors it has. */
#include "machine/drop.h"
#include "machine/machine.h"
#include "jail/drop.h"
#include "jail/rlimit.h"
#include "jail/root.h"
#include "jail/rows.h"
#include "machine/tables.h"
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <string.h>

#define REPORT_TEXT_MAX 4096
#define OTHER_FDS	1600u /* as in share.c: streams and everything that is no file of the guest's */
#define HEAP_MAX	(1ULL << 30)

/* close_what_was_for_others() - kernel, disks and the directory belong to the engine now, or are done */
static void close_what_was_for_others(struct machine *m)
{
	own_close_fd(&m->plan.dir_fd);
	own_close_fd(&m->plan.kernel_fd);
	own_close_fd(&m->plan.initrd_fd);
	own_close_fd(&m->plan.root_fd);
	own_close_fd(&m->plan.scratch_fd);
}

static int set_limits(struct jail_report *report, uint64_t files, struct err *e)
{
	const struct jail_rlimit limits[] = {
		{RLIMIT_CORE, 0},
		{RLIMIT_NOFILE, files},
		{RLIMIT_MEMLOCK, 0},
		{RLIMIT_MSGQUEUE, 0},
		{RLIMIT_SIGPENDING, 64},
		/* a sanitizer's shadow memory counts as heap */
		{RLIMIT_DATA, JAIL_SANITIZED ? RLIM_INFINITY : HEAP_MAX},
	};
	int r = jail_rlimit_set(limits, ARRAY_LEN(limits));

	if (r < 0)
		return err_sys(e, r, "set resource limits");
	jail_report_add(report, "machine", "limits", true, "%llu descriptors, no core dumps",
		(unsigned long long)files);
	return 0;
}

/* enter_landlock() - beneath the shares only; a kernel without it is reported, see jail_may_miss() */
static int enter_landlock(const struct drop *d, struct err *e)
{
	AUTO_FD rules = jail_landlock_make(d->beneath, d->n_beneath);
	int r;

	if (rules == -EOPNOTSUPP && jail_may_miss("landlock")) {
		jail_report_add(d->report, "machine", "landlock", false, "not in this kernel");
		return 0;
	}
	r = rules < 0 ? rules : jail_landlock_enter(rules);
	if (r < 0)
		return err_sys(e, r, "enter the Landlock ruleset");
	jail_report_add(d->report, "machine", "landlock", true, "ABI %d, %zu shares",
		jail_landlock_abi(), d->n_beneath);
	return 0;
}

static int drop_caps(struct jail_report *report, struct err *e)
{
	int r = jail_drop_caps();

	if (r == 0)
		r = jail_no_new_privs();
	if (r < 0)
		return err_sys(e, r, "give up capabilities");
	jail_report_add(report, "machine", "capabilities", true, "none, bounding set empty");
	jail_report_add(report, "machine", "no_new_privs", true, "set");
	return 0;
}

int drop_rights(const struct drop *d, struct err *e)
{
	struct sock_fprog built = {0};
	int r = jail_filter_build(&machine_table, &built, e);

	if (r < 0)
		return r;
	AUTO_FREE struct sock_filter *code = built.filter;
	const struct sock_fprog filter = {.len = built.len, .filter = code};

	r = jail_root_empty();
	if (r < 0)
		return err_sys(e, r, "enter an empty root");
	jail_report_add(d->report, "machine", "root", true, "empty, unreadable");
	r = set_limits(d->report, d->files, e);
	if (r == 0)
		r = drop_caps(d->report, e);
	if (r == 0)
		r = enter_landlock(d, e);
	/* Threads begin without rights; then one list for all of them. */
	if (r == 0 && d->threads)
		r = d->threads(d->ctx, e);
	if (r < 0)
		return r;
	r = jail_filter_install(&filter);
	if (r < 0)
		return err_sys(e, r, "install the seccomp list");
	jail_report_add(d->report, "machine", "seccomp", true, "%u system calls, else killed",
		jail_filter_calls(&machine_table));
	return 0;
}

static int start_threads(void *ctx, struct err *e)
{
	return devices_start(ctx, e);
}

/* write_report() - and nobody can write another one later */
static void write_report(struct machine *m)
{
	char text[REPORT_TEXT_MAX];

	jail_report_print(&m->report, text, sizeof(text));
	(void)!pwrite(m->jail_fd, text, strnlen(text, sizeof(text)), 0);
	own_close_fd(&m->jail_fd);
}

int machine_drop(struct machine *m, struct err *e)
{
	struct jail_beneath list[MACHINE_EXPORTS_MAX];
	struct drop d = {.report = &m->report,
		.beneath = list,
		.n_beneath = m->plan.n_exports,
		.files = (uint64_t)m->plan.max_open_files + OTHER_FDS,
		.threads = start_threads,
		.ctx = &m->devices};
	int r;

	jail_report_add(
		&m->report, "machine", "namespaces", true, "user, pid, mount, net, ipc, uts");
	close_what_was_for_others(m);
	for (size_t i = 0; i < m->plan.n_exports; i++)
		list[i] =
			(struct jail_beneath){m->plan.exports[i].fd, !m->plan.exports[i].read_only};
	r = drop_rights(&d, e);
	if (r == 0)
		write_report(m);
	return r;
}
