/* sbx-vault - one sandbox's credentials and its way to the Internet; see vault.h for the stages */
#include "base/log.h"
#include "egress/vault.h"
#include "egress/vault_jail.h"
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

int main(int argc, char **argv)
{
	static struct vault v; /* large; and nothing of it is needed after main */
	struct err e = {0};
	int test = vault_selftest(argc, argv), r;

	if (test >= 0)
		return test;
	log_init("sbx-vault");
	(void)mallopt(M_ARENA_MAX, 1);
	tzset(); /* the log's clock: the C library reads a file the first time */
	(void)signal(SIGPIPE, SIG_IGN);
	r = vault_open(&v, argc == 2 ? argv[1] : "", &e);
	if (r == 0)
		r = vault_load(&v, &e);
	if (r == 0)
		r = vault_drop(&v, &e);
	if (r == 0)
		r = vault_run(&v, &e);
	if (r < 0)
		log_err("%s%s%s", e.msg, e.hint[0] ? "; " : "", e.hint);
	vault_close(&v);
	return r < 0;
}
