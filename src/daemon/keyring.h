/* keyring.h - which place the key of the stored secrets gets, and the way to the keyring of the session
 *
 * Chosen when the first secret is kept, by the setting secrets.store: "keyring" and "file" are orders;
 * "auto" takes the keyring when a Secret Service with a default keyring is there and it is open, or a person
 * can be asked to open it; else a file. Later only a change of the setting moves it. A keyring that was chosen
 * and cannot be had is an error, never silently a file. Thread: any; may wait for a person (KEYRING_ASK_S).
 */
#ifndef DAEMON_KEYRING_H
#define DAEMON_KEYRING_H
#include "daemon/daemon.h"

/* daemon_keyring() - the keeper that asks sbx-keyring; it borrows @d */
void daemon_keyring(struct daemon *d, struct secret_keeper *ret_keeper);
/* daemon_keyring_choose() - before a secret is kept. @note: a sentence for the user when a file was chosen
 * because there is no keyring, else ""
 */
#define KEYRING_NOTE_MAX 400
int daemon_keyring_choose(struct daemon *d, char note[KEYRING_NOTE_MAX], struct err *e) MUST_USE;
/* daemon_keyring_follow() - the setting became @value: what is kept already moves there; "auto" moves nothing */
int daemon_keyring_follow(struct daemon *d, const char *value, struct err *e) MUST_USE;
/* daemon_keyring_word() - "keyring", "file" or "none" */
const char *daemon_keyring_word(enum secret_place place);

/* What diagnose says. */
struct daemon_keyring_state {
	enum secret_place place;
	bool usable; /* a keyring is there that could be used */
	bool locked; /* though it would have to be unlocked */
	char why[ERR_MSG_MAX]; /* it is not usable */
	char setting[16];
};
int daemon_keyring_state(
	struct daemon *d, struct daemon_keyring_state *ret, struct err *e) MUST_USE;
#endif
