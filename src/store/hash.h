/* hash.h - SHA-256 of bytes and files, as lower-case hex; libcrypto is seen by this file alone */
#ifndef STORE_HASH_H
#define STORE_HASH_H
#include "base/own.h"
#include <stddef.h>

#define HASH_HEX 65 /* with the NUL */

/* hash_bytes() - -ENOMEM when libcrypto has no memory */
int hash_bytes(const void *p, size_t len, char ret_hex[HASH_HEX]) MUST_USE;
/* hash_fd() - from the present offset to the end */
int hash_fd(int fd, char ret_hex[HASH_HEX]) MUST_USE;
#endif
