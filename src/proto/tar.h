/* tar.h - tar streams: bounded reader and writer, no I/O
 *
 * Used by both ends of a copy: the guest's agent and the CLI, which takes a stream from a hostile
 * guest. Reads ustar, V7, pax (path, linkpath, size, uid, gid, mtime) and GNU long names; writes
 * ustar with a pax header where a field does not fit. The reader's memory is fixed: struct
 * tar_reader is about 40 KiB, so keep it on the heap.
 *
 *	for (;;)
 *		switch (tar_next(t, &p, &len)) {
 *		case TAR_MORE:	    get more bytes into p, len; when there are none: truncated
 *		case TAR_ENTRY:	    look at t->entry; it stays valid up to the next TAR_ENTRY
 *		case TAR_DATA:	    t->data, t->data_len: the next bytes of a TAR_FILE, in place
 *		case TAR_ENTRY_END: the entry is complete (given for every entry)
 *		case TAR_END:	    the end mark was read; what follows is ignored
 *		case TAR_BAD:	    t->fault says which rule; nothing more is given
 *		}
 *
 * Promises for every entry: path is relative, clean ("a/b": no "", ".", ".." components, no
 * trailing slash) or "." for the root itself, at most TAR_PATH_MAX - 1 bytes, terminated. A hard
 * link's linkname is clean in the same way. A symlink's linkname is the peer's text as it is:
 * never resolve it. Names may hold any other byte: escape them before they are shown. The reader
 * does not know what earlier entries made: whoever extracts must not follow symlinks
 * (openat2 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS).
 */
#ifndef PROTO_TAR_H
#define PROTO_TAR_H
#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAR_BLOCK	   512
#define TAR_PATH_MAX	   4096
#define TAR_PAX_MAX	   16384 /* bytes of one extended header */
#define TAR_CAPABILITY_MAX 24
#define TAR_END_BYTES	   (2 * TAR_BLOCK)

enum tar_type {
	TAR_FILE,
	TAR_DIR,
	TAR_SYMLINK,
	TAR_HARDLINK,
	TAR_FIFO,
	TAR_CHAR_DEVICE, /* numbers are not given: nobody makes device nodes from a stream */
	TAR_BLOCK_DEVICE,
};

struct tar_entry {
	enum tar_type type;
	char path[TAR_PATH_MAX];
	char linkname[TAR_PATH_MAX]; /* symlink, hard link; else "" */
	uint32_t mode; /* permission bits, 07777 at most */
	uint32_t uid, gid;
	uint64_t size; /* 0 for all but TAR_FILE */
	int64_t mtime; /* seconds since 1970 */
	uint32_t mtime_ns;
	/* security.capability of a file, as pax carries it; for who makes an image of a layer */
	uint8_t capability[TAR_CAPABILITY_MAX];
	uint8_t capability_len; /* 0: none */
};

enum tar_event { TAR_MORE, TAR_ENTRY, TAR_DATA, TAR_ENTRY_END, TAR_END, TAR_BAD };

enum tar_fault {
	TAR_OK,
	TAR_BAD_CHECKSUM,
	TAR_BAD_NUMBER, /* a field is no number, or out of range */
	TAR_BAD_PATH, /* absolute, "..", empty, NUL, too long */
	TAR_BAD_LINK, /* the same for the target of a link */
	TAR_BAD_TYPE, /* sparse, multi-volume or unknown */
	TAR_BAD_SIZE, /* data where none can be */
	TAR_BAD_PAX, /* malformed or oversized extended header */
	TAR_BAD_END, /* a zero block that is not followed by another */
	TAR_MANY_ENTRIES,
	TAR_MANY_BYTES,
	TAR_FAULT_COUNT
};

struct tar_limits {
	uint64_t entries;
	uint64_t bytes; /* sum of all sizes */
};

struct tar_reader {
	struct tar_entry entry;
	const uint8_t *data; /* borrowed from the caller's bytes */
	size_t data_len;
	enum tar_fault fault;

	/* private */
	struct tar_limits left;
	int state;
	uint8_t head[TAR_BLOCK];
	char ext[TAR_PAX_MAX + 1];
	size_t got; /* bytes of head or ext so far */
	uint64_t body; /* bytes of data or extension still to come */
	size_t pad; /* bytes of padding still to come */
	char ext_type;
	unsigned have; /* which fields the extended headers gave */
	char next_path[TAR_PATH_MAX], next_link[TAR_PATH_MAX];
	struct {
		uint64_t size;
		uint32_t uid, gid, mtime_ns;
		int64_t mtime;
		uint8_t capability[TAR_CAPABILITY_MAX];
		uint8_t capability_len;
	} next;
};

void tar_reader_init(struct tar_reader *t, const struct tar_limits *limits);
/* tar_next() - take bytes from *@p (moving it and *@len) up to the next event
 * After TAR_END and TAR_BAD it uses up whatever it is given and repeats itself.
 */
enum tar_event tar_next(struct tar_reader *t, const uint8_t **p, size_t *len) MUST_USE;
/* tar_fault_text() - for a person: "a path leaves the directory"; never NULL */
const char *tar_fault_text(enum tar_fault f);

/* tar_clean_path() - @src as the reader gives paths; false (dst undefined) when it is refused */
bool tar_clean_path(char dst[TAR_PATH_MAX], const char *src, size_t len) MUST_USE;

/* tar_put_entry() - append the header of @e to @out; -EINVAL for a path or link the reader would
 * refuse. The caller then sends e->size bytes and tar_padding(e->size) zeros.
 */
int tar_put_entry(struct buf *out, const struct tar_entry *e) MUST_USE;
static inline size_t tar_padding(uint64_t size)
{
	return (size_t)(-size % TAR_BLOCK);
}
/* tar_put_end() - append the end mark */
int tar_put_end(struct buf *out) MUST_USE;
#endif
