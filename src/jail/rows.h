/* rows.h - how rows of a system call table are written, and the rows that several programs share
 *
 * A table takes shared ones in as its parts (filter.h) and adds its own. What stands here is in the
 * list of every program that takes the part: a row belongs here only when each of them needs it.
 * For files that hold a table; the macros are short on purpose.
 */
#ifndef JAIL_ROWS_H
#define JAIL_ROWS_H
#include "jail/filter.h"
#include <sys/syscall.h>

#define CALL(name, why)                                                                            \
	{                                                                                          \
		__NR_##name, 0, {{0}}, why                                                         \
	}
#define CALL1(name, t, why)                                                                        \
	{                                                                                          \
		__NR_##name, 0, {t}, why                                                           \
	}
#define CALL2(name, t, u, why)                                                                     \
	{                                                                                          \
		__NR_##name, 0, {t, u}, why                                                        \
	}
#define CALL3(name, t, u, v, why)                                                                  \
	{                                                                                          \
		__NR_##name, 0, {t, u, v}, why                                                     \
	}
#define FAIL(name, error, why)                                                                     \
	{                                                                                          \
		__NR_##name, error, {{0}}, why                                                     \
	}

#define NO_EXEC(arg) JAIL_CLEAR(arg, PROT_EXEC)

/* Rows of a sanitizer's own stand under `#if JAIL_SANITIZED`. clang does not say it as gcc does. */
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define JAIL_SANITIZED 1
#endif
#endif
#if !defined(JAIL_SANITIZED) && (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__))
#define JAIL_SANITIZED 1
#endif
#ifndef JAIL_SANITIZED
#define JAIL_SANITIZED 0
#endif

/* A program of ours that moves bytes between descriptors it has: events, memory, its end. */
extern const struct jail_table jail_rows_program;
/* The daemon connects to it and is told from others, messages carry descriptors. */
extern const struct jail_table jail_rows_served;
#endif
