/* tar_format.h - where the fields of a tar header block are; private to tar.c and tar_write.c
 *
 * POSIX.1-2017, pax, "ustar Interchange Format".
 */
#ifndef PROTO_TAR_FORMAT_H
#define PROTO_TAR_FORMAT_H

enum tar_offset {
	AT_NAME = 0,
	AT_MODE = 100,
	AT_UID = 108,
	AT_GID = 116,
	AT_SIZE = 124,
	AT_MTIME = 136,
	AT_SUM = 148,
	AT_TYPE = 156,
	AT_LINK = 157,
	AT_MAGIC = 257,
	AT_PREFIX = 345,
};
enum tar_width { NAME_LEN = 100, PREFIX_LEN = 155 };
#endif
