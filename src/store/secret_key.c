#include "store/secret_key.h"
#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

_Static_assert(SECRET_KEY_TEXT == AGE_TEXT_BYTES, "a keeper has room for a key");

#define IDENTITY_NAME "identity"
#define MARK_NAME     "moving"
#define KEYRING_LINE  "keyring: "
#define FILE_MAX      4096

static void wipe_buf(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_fini(b);
}

int secret_key_open(struct secret_key *k, int dir, const struct secret_keeper *keeper)
{
	void *page = mmap(
		NULL, sizeof(*k->held), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return -errno;
	/* Where locking is not permitted the key may reach swap, as the identity file's would. */
	(void)mlock(page, sizeof(*k->held));
	(void)madvise(page, sizeof(*k->held), MADV_DONTDUMP);
	(void)madvise(page, sizeof(*k->held), MADV_WIPEONFORK);
	*k = (struct secret_key){.dir = dir, .held = page};
	if (keeper)
		k->keeper = *keeper;
	return 0;
}

void secret_key_close(struct secret_key *k)
{
	if (!k->held)
		return;
	age_identity_wipe(k->held);
	(void)munmap(k->held, sizeof(*k->held));
	k->held = NULL;
}

static void to_hex(const unsigned char p[AGE_KEY_BYTES], char dst[SECRET_KEY_ID])
{
	for (unsigned i = 0; i < AGE_KEY_BYTES; i++)
		(void)snprintf(dst + 2 * (size_t)i, 3, "%02x", p[i]);
}

static bool from_hex(const char *s, unsigned char dst[AGE_KEY_BYTES])
{
	if (strlen(s) != SECRET_KEY_ID - 1 || strspn(s, "0123456789abcdef") != SECRET_KEY_ID - 1)
		return false;
	for (unsigned i = 0; i < AGE_KEY_BYTES; i++) {
		unsigned v = 0;

		(void)sscanf(s + 2 * (size_t)i, "%2x", &v);
		dst[i] = (unsigned char)v;
	}
	return true;
}

void secret_key_id(const struct age_identity *id, char dst[SECRET_KEY_ID])
{
	to_hex(id->recipient, dst);
}

/* read_place() - *ret_id (may be NULL) when the file holds the key itself */
static int read_place(const struct secret_key *k, enum secret_place *ret_place,
	char ret_name[SECRET_KEY_ID], struct age_identity *ret_id)
{
	unsigned char public[AGE_KEY_BYTES];
	struct age_identity id;
	struct buf b;
	char *at;
	int r;

	ret_name[0] = '\0';
	*ret_place = SECRET_NOWHERE;
	buf_init(&b, FILE_MAX);
	r = io_read_file(k->dir, IDENTITY_NAME, &b);
	if (r == -ENOENT)
		return 0;
	if (r == 0 && (at = strstr(buf_str(&b), KEYRING_LINE))) {
		at += strlen(KEYRING_LINE);
		at[strcspn(at, "\r\n ")] = '\0';
		*ret_place = SECRET_IN_KEYRING;
		if (from_hex(at, public))
			memcpy(ret_name, at, SECRET_KEY_ID);
		else
			r = -EINVAL;
	} else if (r == 0) {
		at = strstr(buf_str(&b), "AGE-SECRET-KEY-");
		if (at)
			at[strcspn(at, "\r\n ")] = '\0';
		*ret_place = SECRET_IN_FILE;
		r = at ? age_identity_parse(at, &id) : -EINVAL;
		if (r == 0 && ret_id)
			*ret_id = id;
		age_identity_wipe(&id);
	}
	wipe_buf(&b);
	return r;
}

int secret_key_place(const struct secret_key *k, enum secret_place *ret_place,
	char ret_id[SECRET_KEY_ID], struct err *e)
{
	int r = read_place(k, ret_place, ret_id, NULL);

	return r < 0 ? err_sys(e, r, "read '%s'", IDENTITY_NAME) : 0;
}

/* ask() - the keeper's key @name, checked to be that one */
static int ask(struct secret_key *k, const char *name, struct age_identity *ret_id, struct err *e)
{
	char text[AGE_TEXT_BYTES] = "", own[SECRET_KEY_ID];
	int r = k->keeper.get ? k->keeper.get(k->keeper.ctx, name, text, e)
			      : err_set(e, ERR_UNAVAILABLE, -ENODEV, "there is no keyring here");

	if (r == 0) {
		r = age_identity_parse(text, ret_id);
		if (r == 0) {
			secret_key_id(ret_id, own);
			if (strcmp(own, name) != 0)
				r = -EKEYREJECTED;
		}
		if (r < 0) {
			age_identity_wipe(ret_id);
			r = err_set(e, ERR_INTERNAL, r,
				"what the keyring has under that name is no key of ours");
		}
	}
	explicit_bzero(text, sizeof(text));
	return r;
}

/* ask_again() - several may wait for the same answer: after a no, the next ones are not asked for a while */
static int ask_again(struct secret_key *k, const char *name, struct err *e)
{
	int r;

	if (strcmp(k->held_id, name) == 0)
		return 0;
	if (k->refused_ms && clock_ms() - k->refused_ms < SECRET_AGAIN_MS) {
		*e = k->refused;
		return e->num;
	}
	r = ask(k, name, k->held, e);
	k->refused_ms = 0;
	if (r == 0) {
		memcpy(k->held_id, name, SECRET_KEY_ID);
		return 0;
	}
	err_hint(e, "unlock the keyring and try again; sbx diagnose says how it is");
	k->held_id[0] = '\0';
	k->refused_ms = clock_ms();
	k->refused = *e;
	k->refused.num = r;
	return r;
}

int secret_key_get(struct secret_key *k, struct age_identity *ret_id, struct err *e)
{
	enum secret_place place;
	char name[SECRET_KEY_ID];
	int r = read_place(k, &place, name, ret_id);

	if (r == 0 && place == SECRET_NOWHERE)
		r = -ENOKEY;
	if (r < 0)
		return err_sys(e, r, "read '%s'", IDENTITY_NAME);
	if (place == SECRET_IN_FILE)
		return 0;
	r = ask_again(k, name, e);
	if (r == 0)
		*ret_id = *k->held;
	return r < 0 ? err_wrap(e, r, "get their key from the keyring") : 0;
}

int secret_key_recipient(struct secret_key *k, unsigned char ret[AGE_KEY_BYTES], struct err *e)
{
	enum secret_place place;
	char name[SECRET_KEY_ID];
	struct age_identity id;
	int r = read_place(k, &place, name, &id);

	if (r == 0 && place == SECRET_NOWHERE)
		r = -ENOKEY;
	if (r < 0)
		return err_sys(e, r, "read '%s'", IDENTITY_NAME);
	if (place == SECRET_IN_KEYRING) {
		(void)from_hex(name, ret);
		return 0;
	}
	memcpy(ret, id.recipient, AGE_KEY_BYTES);
	age_identity_wipe(&id);
	return 0;
}

int secret_key_offer(struct secret_key *k, const struct age_identity *id, struct err *e)
{
	char name[SECRET_KEY_ID], text[AGE_TEXT_BYTES];
	struct age_identity back;
	int r;

	if (!k->keeper.put)
		return err_set(e, ERR_UNAVAILABLE, -ENODEV, "there is no keyring here");
	secret_key_id(id, name);
	age_identity_print(id, text);
	r = k->keeper.put(k->keeper.ctx, name, text, e);
	explicit_bzero(text, sizeof(text));
	if (r == 0)
		r = ask(k, name, &back, e);
	if (r == 0)
		age_identity_wipe(&back);
	return r < 0 ? err_wrap(e, r, "put the key into the keyring") : 0;
}

int secret_key_write(
	struct secret_key *k, enum secret_place place, const struct age_identity *id, struct err *e)
{
	char name[SECRET_KEY_ID], text[AGE_TEXT_BYTES], all[512];
	int n, r;

	secret_key_id(id, name);
	if (place == SECRET_IN_FILE) {
		age_identity_print(id, text);
		n = snprintf(all, sizeof(all), "%s\n", text);
		explicit_bzero(text, sizeof(text));
	} else {
		n = snprintf(all, sizeof(all),
			"# The key of secrets.age is in the keyring of its owner's session:\n"
			"# secret-tool lookup application sbx key %s\n" KEYRING_LINE "%s\n",
			name, name);
	}
	r = io_replace_file(k->dir, IDENTITY_NAME, all, (size_t)n, 0600);
	explicit_bzero(all, sizeof(all));
	if (r < 0)
		return err_sys(e, r, "write '%s'", IDENTITY_NAME);
	k->refused_ms = 0;
	age_identity_wipe(k->held);
	k->held_id[0] = '\0';
	if (place == SECRET_IN_KEYRING) {
		*k->held = *id;
		memcpy(k->held_id, name, SECRET_KEY_ID);
	}
	return 0;
}

int secret_key_mark(const struct secret_key *k, const char *id, struct err *e)
{
	int r = 0;

	if (id)
		r = io_replace_file(k->dir, MARK_NAME, id, strlen(id), 0600);
	else if (unlinkat(k->dir, MARK_NAME, 0) < 0 && errno != ENOENT)
		r = -errno;
	return r < 0 ? err_sys(e, r, "note which key is on its way") : 0;
}

int secret_key_marked(const struct secret_key *k, char ret_id[SECRET_KEY_ID], struct err *e)
{
	unsigned char public[AGE_KEY_BYTES];
	AUTO(buf) b = {0};
	int r;

	ret_id[0] = '\0';
	buf_init(&b, SECRET_KEY_ID);
	r = io_read_file(k->dir, MARK_NAME, &b);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_sys(e, r, "read '%s'", MARK_NAME);
	if (from_hex(buf_str(&b), public))
		memcpy(ret_id, buf_str(&b), SECRET_KEY_ID);
	return 0;
}
