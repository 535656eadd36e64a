/* kit_key.h - keys of `sbx kit sign`: read, with their password */
#ifndef CLI_KIT_KEY_H
#define CLI_KIT_KEY_H
#include "dist/key.h"

/* kit_key_private() - the password is that of COSIGN_PASSWORD, else it is asked for: on a terminal without showing
 * it, else all of standard input
 */
int kit_key_private(const char *path, struct dist_key **ret, struct err *e) MUST_USE;
/* kit_key_password() - for a new key: as above; on a terminal twice. "" is none. */
int kit_key_password(struct buf *out, struct err *e) MUST_USE;
#endif
