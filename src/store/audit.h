/* audit.h - what was decided, for ever: one line of JSON per decision, chained by hashes
 *
 * Files audit.jsonl (the present one) and audit-SEQ.jsonl (older ones, named after their first
 * record) in one directory of ours alone. Each line ends in "prev" (the hash of the line before) and "hash"
 * (SHA-256 over the line up to there): a line cannot be changed, left out or put in without breaking
 * the chain from there on. The file "head" names the newest record that reached the disk, so that
 * a cut-off end is noticed too. Texts of a sandbox are escaped to ASCII: one record is one line.
 * Values of credentials, queries and bodies never come here: egress_record has no place for them.
 * Thread: any; calls are serialised inside.
 */
#ifndef STORE_AUDIT_H
#define STORE_AUDIT_H
#include "base/err.h"
#include "proto/egress.h"

#define AUDIT_FILE	 "audit.jsonl"
#define AUDIT_FILE_BYTES (64U << 20) /* then another is begun */
#define AUDIT_FILES_MAX	 16 /* older ones are removed, which a record says */
#define AUDIT_LINE_MAX	 16384
#define AUDIT_READ_MAX	 10000 /* records of one audit_read() */

struct audit;

struct audit_who { /* the sandbox that a record is about; borrowed */
	const char *id, *name, *agent;
};

/* audit_open() - @dir is made when it is missing. A last line that a crash cut off is removed; it was
 * not acknowledged.
 */
int audit_open(const char *dir, struct audit **ret_audit, struct err *e) MUST_USE;
void audit_close(struct audit *a); /* NULL is fine */
/* audit_add() - the records of an AUDIT message. Returns when they are in the file (and on the disk
 * within a second); -EBADMSG: @blob is malformed, the records before the fault were written
 */
int audit_add(struct audit *a, const struct audit_who *who, const uint8_t *blob, size_t len,
	struct err *e) MUST_USE;
/* audit_admin() - something the operator did: "policy.allow", "secret.set"… @detail holds no value */
int audit_admin(struct audit *a, const char *what, const char *subject, const char *detail,
	struct err *e) MUST_USE;

struct audit_filter {
	const char *sandbox; /* name or id; NULL: all */
	const char *decision; /* "allow", "deny", "refused"; NULL: all */
	const char
		*event; /* "dns", "tcp", "tls", "http", "websocket", "grpc", "admin"; NULL: all */
	uint64_t after; /* records with a greater seq only */
	uint32_t limit; /* the newest that many; at most AUDIT_READ_MAX, 0 means that */
};
/* audit_read() - append the lines that pass, oldest first, each with its LF; *ret_last is the seq of
 * the newest record there is. Looks at the present file and the one before it only.
 */
int audit_read(const char *dir, const struct audit_filter *f, struct buf *out, uint64_t *ret_last,
	struct err *e) MUST_USE;

struct audit_report {
	uint64_t records, first, last; /* sequence numbers */
	unsigned files;
	char file[64]; /* of the first fault; "" when the chain holds */
	uint64_t line;
	char why[120];
};
/* audit_verify() - walk the whole chain; 0 also when it is broken: ret_report->why says so */
int audit_verify(const char *dir, struct audit_report *ret_report, struct err *e) MUST_USE;
#endif
