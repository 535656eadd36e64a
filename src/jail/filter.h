/* filter.h - a program's system calls as a table: which, with which arguments, and why
 *
 * What the table does not name kills the process, as do calls of another ABI (ia32, x32). A row may
 * answer with an error instead, for calls that a library tries before it uses another. Rows of the
 * same call are alternatives; all tests of one row must hold. Tests are masked equality only:
 * libseccomp's order comparisons compile to filters that allow more than was written
 * (GHSA-4q85-33p6-j5g6). The filter is checked against its table over every call in a unit test.
 * Thread: any; jail_filter_install() acts on the whole process.
 */
#ifndef JAIL_FILTER_H
#define JAIL_FILTER_H
#include "base/err.h"
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JAIL_TESTS_MAX 3
#define JAIL_PARTS_MAX 3
#define JAIL_PRETEND   (-1) /* the call does nothing and returns 0 */

/* (argument & mask) == value. Unused tests have mask 0 and value 0: they hold always. */
struct jail_test {
	uint8_t arg; /* 0..5 */
	uint64_t mask, value;
};

struct jail_rule {
	int nr; /* __NR_* */
	int error; /* 0: allowed; JAIL_PRETEND; else the errno it fails with */
	struct jail_test test[JAIL_TESTS_MAX];
	const char *why;
};

/* The kernel looks at the low half only where it takes an int. */
#define JAIL_INT(i, v)                                                                             \
	{                                                                                          \
		(i), 0xffffffffu, (uint32_t)(v)                                                    \
	}
#define JAIL_CLEAR(i, m)                                                                           \
	{                                                                                          \
		(i), (m), 0                                                                        \
	} /* none of the bits @m */
#define JAIL_BITS(i, m, v)                                                                         \
	{                                                                                          \
		(i), (m), (v)                                                                      \
	}

/* A table's own rows come first, then those of its parts, which have no parts themselves. */
struct jail_table {
	const char *name;
	const struct jail_rule *rule;
	size_t n;
	const struct jail_table *part[JAIL_PARTS_MAX]; /* NULL: none; shared rows (rows.h) */
};

/* jail_table_row() - row @i of @t, those of its parts included; NULL beyond the last */
const struct jail_rule *jail_table_row(const struct jail_table *t, size_t i);

/* jail_filter_build() - the filter as a program; prog->filter is the caller's to free() */
int jail_filter_build(
	const struct jail_table *t, struct sock_fprog *ret_prog, struct err *e) MUST_USE;
/* jail_filter_install() - on all threads, now and for ever; needs no_new_privs. System call only. */
int jail_filter_install(const struct sock_fprog *prog) MUST_USE;
/* jail_filter_calls() - how many different system calls the table allows */
unsigned jail_filter_calls(const struct jail_table *t);
#endif
