/* sbx-front - what one sandbox sends is parsed and judged here; see front.h for the stages */
#include "base/log.h"
#include "egress/front.h"
#include "egress/front_selftest.h"
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

static int fail(struct front *f, const struct err *e)
{
	log_err("%s%s%s", e->msg, e->hint[0] ? "; " : "", e->hint);
	front_close(f);
	return 1;
}

int main(int argc, char **argv)
{
	static struct front f; /* large; and nothing of it is needed after main */
	struct err e = {0};
	int test = front_selftest_main(argc, argv);

	if (test >= 0)
		return test;
	log_init("sbx-front");
	if (argc != 2) {
		log_err("usage: sbx-front ID (started by sbxd)");
		return 2;
	}
	(void)mallopt(M_ARENA_MAX, 1);
	/* Buffers of a stream that moves are made and freed all the time: from the heap, which gives back
	 * what is free at its end, and not as mappings whose pages are cleared anew each time. */
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
	tzset(); /* the log's clock: the C library reads a file the first time */
	(void)signal(SIGPIPE, SIG_IGN);
	if (front_open(&f, argv[1], &e) < 0 || front_load(&f, &e) < 0 || front_drop(&f, &e) < 0 ||
		front_run(&f, &e) < 0)
		return fail(&f, &e);
	front_close(&f);
	return 0;
}
