/* touched.h - names that the host's tools obey and the guest changed: the table, and its file
 *
 * sbx-machine notes each change in the file MACHINE_TOUCHED_FILE of the sandbox's directory as it
 * happens, so that nobody has to ask it; sbxd reads the file, whether the machine lives or not.
 * The table is bounded. When it is full, the rule with most names gives up one of its deepest: what
 * lies near the top of a share stays. What was given up is counted.
 * File: text. First line "sbx-touched 1 GENERATION LOST"; then a line for each change:
 * "MS CHANGES EXPORT RULE PATH", milliseconds since 1970, hexadecimal enum fs_change, number of the
 * share; rule and path with %XX for bytes that are not plain. Later lines add to earlier ones. The
 * generation changes when the file is written anew, so that a reader can tell.
 * Thread: one at a time for each object. The file's bytes are hostile to the reader.
 */
#ifndef MACHINE_TOUCHED_H
#define MACHINE_TOUCHED_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MACHINE_TOUCHED_FILE "touched"
#define TOUCHED_MAX	     1024 /* names */
#define TOUCHED_RULES_MAX    512
#define TOUCHED_FILE_MAX     (8u << 20) /* bytes */

struct touched;

struct touched_entry {
	const char *rule, *path; /* borrowed until the next call that changes the table */
	unsigned changes, export;
	int64_t at_ms; /* of the last change */
};

struct touched *touched_new(void) MUST_USE; /* NULL: no memory */
void touched_free(struct touched *t); /* NULL is fine */
/* touched_add() - note a change; true when it says something that was not known */
bool touched_add(struct touched *t, const struct touched_entry *e);
size_t touched_len(const struct touched *t);
struct touched_entry touched_at(const struct touched *t, size_t i);
uint64_t touched_lost(const struct touched *t); /* changes that found no room, or lost theirs */
/* touched_parse() - add what a file's bytes say; lines that are not well formed are skipped.
 * -EBADMSG when the first line is no header.
 */
int touched_parse(struct touched *t, const char *bytes, size_t len) MUST_USE;
/* touched_read() - the same from a file, which may be written meanwhile. -errno, -EBADMSG, -EFBIG */
int touched_read(struct touched *t, int fd) MUST_USE;

/* ---- the writer ---- */
struct touched_log;

/* touched_log_open() - continue the file @fd (read-write; owned when it succeeds) */
int touched_log_open(int fd, struct touched_log **ret_log) MUST_USE;
void touched_log_free(struct touched_log *l); /* NULL is fine */
/* touched_log_changed(), touched_log_moved() - see fs_changed_fn and fs_moved_fn; @ctx is the log */
void touched_log_changed(
	void *ctx, unsigned export, const char *rule, unsigned changes, const char *path);
void touched_log_moved(void *ctx, unsigned export, const char *from, const char *to);
#endif
