/* check.h - what every unit test includes: cmocka with the headers it wants, and a skip with its reason
 *
 * open_fds() before and after tells of a leaked descriptor, which no compiler here can see.
 */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>

#define SKIP(reason)                                                                               \
	do {                                                                                       \
		print_message("skip: %s\n", reason);                                               \
		skip();                                                                            \
	} while (0)

static inline unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}
#endif
