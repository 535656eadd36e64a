/* tables.h - a program's table of system calls is what was meant, and its filter says the same
 *
 * A small interpreter of classic BPF runs each filter over every system call number, with arguments
 * on and around every tested value, and is compared with a plain reading of the table. What is
 * allowed in the end is compared with lists/NAME.txt.
 */
#ifndef TESTS_JAIL_TABLES_H
#define TESTS_JAIL_TABLES_H
#include "jail/filter.h"
#include <linux/seccomp.h>

/* tables_check() - the whole of it; fails the test that calls it */
void tables_check(const struct jail_table *t, unsigned calls_max);
/* tables_allow() - in some form */
bool tables_allow(const struct jail_table *t, int nr);
/* tables_run() - what the filter answers to @data */
uint32_t tables_run(const struct sock_fprog *prog, const struct seccomp_data *data);
#endif
