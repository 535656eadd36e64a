/* audit_int.h - the form of a line, shared by the writer and its readers */
#ifndef STORE_AUDIT_INT_H
#define STORE_AUDIT_INT_H
#include "store/audit.h"
#include "store/hash.h"
#include <limits.h>
#include <stdbool.h>

#define AUDIT_HEAD	 "head"
#define AUDIT_OLD_PREFIX "audit-"
#define AUDIT_OLD_SUFFIX ".jsonl"
/* what stands at the end of every line: ,"prev":"…","hash":"…"} */
#define AUDIT_PREV  ",\"prev\":\""
#define AUDIT_HASH  "\",\"hash\":\""
#define AUDIT_CLOSE "\"}"
#define AUDIT_TAIL                                                                                 \
	(sizeof(AUDIT_PREV) + sizeof(AUDIT_HASH) + sizeof(AUDIT_CLOSE) - 3 + 2 * (HASH_HEX - 1))

struct audit_line {
	uint64_t seq;
	char prev[HASH_HEX], hash[HASH_HEX];
	size_t hashed; /* bytes that @hash is taken over */
};

/* audit_line_read() - the fixed parts of a line without its LF; false: it is none */
bool audit_line_read(const char *line, size_t len, struct audit_line *ret) MUST_USE;

/* The older files, by their first record; and the present one at the end. */
struct audit_files {
	uint64_t first[AUDIT_FILES_MAX + 8];
	unsigned n;
};
int audit_files_list(int dirfd, struct audit_files *ret);
/* audit_file_name() - of the @i-th; the present one when @i is n */
void audit_file_name(const struct audit_files *f, unsigned i, char dst[64]);
/* audit_head_read() - what reached the disk; seq 0: nothing is known */
void audit_head_read(int dirfd, uint64_t *ret_seq, char ret_hash[HASH_HEX]);
#endif
