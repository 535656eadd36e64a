/* client.h - ask the keyring of the user's session for a key, through the helper sbx-keyring
 *
 * Each call starts the helper, waits for its one answer no longer than told, and ends it. The helper gets
 * a clean environment: where the session's bus and display are, nothing else. Thread: any; blocks.
 * Faults: -ENOENT (no such key), -ENODEV (no bus, service or keyring: nothing to ask), -EKEYREJECTED (it
 * stayed locked), -ETIMEDOUT, -EIO; @e says which in words.
 */
#ifndef KEYRING_CLIENT_H
#define KEYRING_CLIENT_H
#include "base/err.h"
#include "keyring/wire.h"

#define KEYRING_PROGRAM "sbx-keyring"
#define KEYRING_PROBE_S 5
#define KEYRING_ASK_S	60 /* somebody may have to type a password */

/* keyring_ask() - one operation with @program (absolute path); *ret_m is the answer, whose value is the
 * caller's to wipe
 */
int keyring_ask(const char *program, enum keyring_op op, const char *id, const char *value,
	struct keyring_message *ret_m, struct err *e) MUST_USE;
/* keyring_can_ask() - is there a display on which a person could be asked for a password? */
bool keyring_can_ask(void);
#endif
