/* secret_key.h - within store: the key of the secret file, and the two places where it may be
 *
 * DIR/identity says where. Either it holds the key itself (0600, the form of age-keygen), or a line
 * "keyring: ID" and the key is with the keeper under ID, which is its public half in hex. A key from the
 * keeper is asked for once and then held in locked memory, so that a keyring that is locked later, or a
 * session that ends, does not take credentials from sandboxes that run. Thread: one at a time.
 */
#ifndef STORE_SECRET_KEY_H
#define STORE_SECRET_KEY_H
#include "store/age.h"
#include "store/secret_file.h"

struct secret_key {
	int dir; /* borrowed */
	struct secret_keeper keeper;
	struct age_identity *held; /* locked page; what it has is of the keeper's key @held_id */
	char held_id[SECRET_KEY_ID];
	int64_t refused_ms; /* when the keeper was last asked in vain */
	struct err refused;
};

int secret_key_open(struct secret_key *k, int dir, const struct secret_keeper *keeper) MUST_USE;
void secret_key_close(struct secret_key *k);
void secret_key_id(const struct age_identity *id, char dst[SECRET_KEY_ID]);
/* secret_key_place() - what the file says; *ret_id: the key's, "" unless it is with the keeper */
int secret_key_place(const struct secret_key *k, enum secret_place *ret_place,
	char ret_id[SECRET_KEY_ID], struct err *e) MUST_USE;
/* secret_key_get() - the key, to open with; wipe it afterwards. May ask a person, once in SECRET_AGAIN_MS. */
int secret_key_get(struct secret_key *k, struct age_identity *ret_id, struct err *e) MUST_USE;
/* secret_key_recipient() - its public half, to seal for; asks nobody */
int secret_key_recipient(
	struct secret_key *k, unsigned char ret[AGE_KEY_BYTES], struct err *e) MUST_USE;
/* secret_key_offer() - let the keeper have @id, and see that it gives the same back */
int secret_key_offer(struct secret_key *k, const struct age_identity *id, struct err *e) MUST_USE;
/* secret_key_write() - from now on the key is @id, in @place */
int secret_key_write(struct secret_key *k, enum secret_place place, const struct age_identity *id,
	struct err *e) MUST_USE;
/* secret_key_mark()/_marked() - the id of a key with the keeper that is not in use yet, or no longer; it
 * outlives a crash. NULL: no more. _marked: 0 and "" when there is none.
 */
int secret_key_mark(const struct secret_key *k, const char *id, struct err *e);
int secret_key_marked(
	const struct secret_key *k, char ret_id[SECRET_KEY_ID], struct err *e) MUST_USE;
#endif
