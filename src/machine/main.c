/* sbx-machine - the virtual machine of one sandbox, its devices and its link
 *
 * Started by machine_spawn() as PID 1 of namespaces of its own; see machine.h for the stages.
 */
#include "base/log.h"
#include "machine/machine.h"
#include "machine/selftest.h"
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#ifdef __SANITIZE_ADDRESS__
/* Looking for leaks traces the process from a second one, which the jail forbids. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

/* fail() - the reason goes where the daemon looks for it, and to the log */
static int fail(struct machine *m, const struct err *e)
{
	log_err("%s%s%s", e->msg, e->hint[0] ? "; " : "", e->hint);
	if (m->exit_fd >= 0)
		(void)dprintf(
			m->exit_fd, "crashed\n%s%s%s\n", e->msg, e->hint[0] ? "; " : "", e->hint);
	machine_close(m);
	return 1;
}

int main(int argc, char **argv)
{
	static struct machine m; /* large; and nothing of it is needed after main */
	struct err e = {0};

	int test = selftest_main(argc, argv);

	if (test >= 0)
		return test;
	log_init("sbx-machine");
	/* One heap: the second thread allocates little, and counting processors needs /sys. */
	(void)mallopt(M_ARENA_MAX, 1);
	tzset(); /* the log's clock: the C library reads a file the first time */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	if (machine_open(&m, &e) < 0 || machine_load(&m, &e) < 0 || machine_drop(&m, &e) < 0 ||
		machine_run(&m, &e) < 0)
		return fail(&m, &e);
	machine_close(&m);
	return 0;
}
