/* unpack.h - a tar stream of a hostile sandbox becomes files beneath one directory of the host
 *
 * Everything happens beneath a held directory: parents are opened with RESOLVE_BENEATH and without
 * following any link, files are made new (O_EXCL) and renamed into place when whole, so that neither the stream nor somebody who
 * changes the destination meanwhile can lead a write elsewhere. Regular files, directories and
 * symbolic links only; permission bits without set-id and sticky, cut by the umask; the owner is
 * whoever runs sbx; runs of zeros become holes. Left out, counted and told: devices, pipes, hard
 * links, and symbolic links that are absolute or lead out of the copied tree.
 */
#ifndef CLI_UNPACK_H
#define CLI_UNPACK_H
#include "base/err.h"
#include "proto/tar.h"
#include <limits.h>

#define UNPACK_ENTRIES_MAX 10000000
#define UNPACK_BYTES_MAX   (1ULL << 44)
#define UNPACK_DEPTH_MAX   512
#define UNPACK_NOTES_MAX   10 /* entries left out that are told by name */

struct unpack {
	int root; /* borrowed: the directory beneath which all goes */
	char base[NAME_MAX +
		  1]; /* what the copied entry is called there; "": its contents go there */
	bool only_file; /* the destination is a file's name: a directory is refused */
	uint64_t entries, left_out;

	/* private */
	struct tar_reader *tar;
	bool placed, ended;
	char strip[NAME_MAX + 1]; /* first component of every entry's path */
	char path[2 * TAR_PATH_MAX];
	int file; /* being written; -1 */
	uint64_t at;
	char temp[32]; /* what it is called until it is whole */
	int parent; /* directory at parent_path; -1 */
	char parent_path[2 * TAR_PATH_MAX];
	mode_t umask;
};

/* unpack_init() - @root is borrowed, @base copied; -ENOMEM */
int unpack_init(struct unpack *u, int root, const char *base, bool only_file) MUST_USE;
/* unpack_fini() - removes a file that was not completed */
void unpack_fini(struct unpack *u);
/* unpack_bytes() - the next bytes of the stream; negative errno with @e ends the copy */
int unpack_bytes(struct unpack *u, const uint8_t *p, size_t len, struct err *e) MUST_USE;
/* unpack_end() - was the stream whole? */
int unpack_end(struct unpack *u, struct err *e) MUST_USE;

/* unpack_link_stays() - pure: does a link with @target, @depth directories beneath the root of the
 * copied tree, lead to a place inside of it, whatever the other links are?
 */
bool unpack_link_stays(const char *target, unsigned depth);
#endif
