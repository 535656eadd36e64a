#include "store/secret_file.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/wire.h"
#include "store/age.h"
#include "store/secret_key.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_NAME "secrets.age"
#define VERSION	  1
/* An entry is never larger than its struct and a few lengths. */
#define PLAIN_MAX (8U << 20)

struct secret_file {
	pthread_mutex_t lock;
	int dir;
	struct secret_key key;
};

/* The file's content while a call works on it. */
struct table {
	struct secret_entry *v; /* room for SECRET_FILE_MAX; only what is used is ever touched */
	size_t n, touched;
};

void secret_entry_wipe(struct secret_entry *s)
{
	explicit_bzero(s, sizeof(*s));
}

static void table_wipe(struct table *t)
{
	if (t->v)
		explicit_bzero(t->v, t->touched * sizeof(*t->v));
	free(t->v);
	*t = (struct table){0};
}

static void wipe_buf(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_fini(b);
}

void secret_mask(const char *value, size_t len, char dst[26])
{
	size_t n = len < 25 ? len : 25, shown = len <= 6 ? 0 : 6;

	memset(dst, '*', n);
	memcpy(dst, value, shown);
	if (len >= 20)
		memcpy(dst + n - 4, value + len - 4, 4);
	for (size_t i = 0; i < n; i++)
		if (dst[i] < ' ' || dst[i] > '~')
			dst[i] = '?';
	dst[n] = '\0';
}

/* ---- plain form, inside of the seal ---- */

static void put_entry(struct wire_w *w, const struct secret_entry *x)
{
	wire_put_str(w, x->scope);
	wire_put_str(w, x->name);
	wire_put_str(w, x->command);
	wire_put_u32(w, x->refresh_s);
	wire_put_u64(w, (uint64_t)x->created_ms);
	wire_put_u32(w, (uint32_t)x->value_len);
	wire_put_bytes(w, x->value, x->value_len);
}

static bool get_entry(struct wire_r *r, struct secret_entry *x)
{
	const uint8_t *p;
	uint32_t len;

	wire_get_strz(r, x->scope, sizeof(x->scope));
	wire_get_strz(r, x->name, sizeof(x->name));
	wire_get_strz(r, x->command, sizeof(x->command));
	x->refresh_s = wire_get_u32(r);
	x->created_ms = (int64_t)wire_get_u64(r);
	len = wire_get_u32(r);
	p = wire_get_bytes(r, len);
	if (!p || len > EGRESS_SECRET_MAX)
		return false;
	memcpy(x->value, p, len);
	x->value[len] = '\0';
	x->value_len = len;
	return true;
}

static int get_table(const struct buf *plain, struct table *t)
{
	struct wire_r r = wire_reader(plain->data, plain->len);
	uint32_t version = wire_get_u32(&r), n = wire_get_u32(&r);

	if (r.bad || version != VERSION || n > SECRET_FILE_MAX)
		return -EBADMSG;
	for (t->n = 0; t->n < n; t->n++) {
		t->touched = t->n + 1;
		if (!get_entry(&r, &t->v[t->n]))
			return -EBADMSG;
	}
	return wire_done(&r) ? 0 : -EBADMSG;
}

static int put_table(const struct table *t, struct buf *plain)
{
	size_t size = 8;
	struct wire_w w;
	char *room;
	int r;

	for (size_t i = 0; i < t->n; i++)
		size += 64 + strlen(t->v[i].scope) + strlen(t->v[i].name) +
			strlen(t->v[i].command) + t->v[i].value_len;
	r = buf_room(plain, size, &room);
	if (r < 0)
		return r;
	w = wire_writer(room, size);
	wire_put_u32(&w, VERSION);
	wire_put_u32(&w, (uint32_t)t->n);
	for (size_t i = 0; i < t->n; i++)
		put_entry(&w, &t->v[i]);
	if (w.bad)
		return -EMSGSIZE;
	buf_grew(plain, w.pos);
	return 0;
}

/* ---- files ---- */

static int load(struct secret_file *s, struct table *t, struct err *e)
{
	struct age_identity id;
	struct buf sealed, plain;
	int r;

	*t = (struct table){.v = calloc(SECRET_FILE_MAX, sizeof(*t->v))};
	if (!t->v)
		return err_sys(e, -ENOMEM, "read the secrets");
	buf_init(&sealed, AGE_FILE_MAX);
	buf_init(&plain, PLAIN_MAX);
	r = io_read_file(s->dir, FILE_NAME, &sealed);
	if (r == -ENOENT) {
		buf_fini(&sealed);
		return 0;
	}
	if (r < 0)
		r = err_sys(e, r, "read '%s'", FILE_NAME);
	else
		r = secret_key_get(&s->key, &id, e);
	if (r == 0) {
		r = age_open(&id, buf_str(&sealed), sealed.len, &plain);
		age_identity_wipe(&id);
		if (r == 0)
			r = get_table(&plain, t);
		if (r < 0) {
			r = err_sys(e, r, "read '%s'", FILE_NAME);
			err_hint(e, "%s and identity belong together; nothing was changed",
				FILE_NAME);
		}
	}
	buf_fini(&sealed);
	wipe_buf(&plain);
	if (r < 0) {
		table_wipe(t);
		r = err_wrap(e, r, "open the stored secrets");
	}
	return r;
}

/* seal() - the table into the file, for @n keys */
static int seal(const struct secret_file *s, const struct table *t,
	const unsigned char *const *recipients, size_t n, struct err *e)
{
	struct buf sealed, plain;
	int r;

	buf_init(&sealed, AGE_FILE_MAX);
	buf_init(&plain, PLAIN_MAX);
	r = put_table(t, &plain);
	if (r == 0)
		r = age_seal(recipients, n, plain.data, plain.len, &sealed);
	if (r == 0)
		r = io_replace_file(s->dir, FILE_NAME, sealed.data, sealed.len, 0600);
	wipe_buf(&plain);
	buf_fini(&sealed);
	return r < 0 ? err_sys(e, r, "store the secrets") : 0;
}

/* first_key() - nothing was chosen before the first secret: a key in a file */
static int first_key(struct secret_file *s, struct err *e)
{
	enum secret_place place;
	struct age_identity id;
	char name[SECRET_KEY_ID];
	int r = secret_key_place(&s->key, &place, name, e);

	if (r < 0 || place != SECRET_NOWHERE)
		return r;
	r = age_identity_new(&id);
	if (r < 0)
		return err_sys(e, r, "make a key");
	r = secret_key_write(&s->key, SECRET_IN_FILE, &id, e);
	age_identity_wipe(&id);
	return r;
}

static int save(struct secret_file *s, const struct table *t, struct err *e)
{
	unsigned char recipient[AGE_KEY_BYTES];
	const unsigned char *const all[] = {recipient};
	int r = secret_key_recipient(&s->key, recipient, e);

	return r < 0 ? err_wrap(e, r, "store the secrets") : seal(s, t, all, 1, e);
}

/* drop_halves() - what a daemon that was killed while it wrote has left: sealed copies, in which secrets may be
 * that are removed since, and a key that was never used. Nobody else writes here.
 */
static void drop_halves(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *x;

	if (!d) {
		own_close_fd(&fd);
		return;
	}
	while ((x = readdir(d))) {
		size_t n = strlen(x->d_name);

		if (n > 4 && strcmp(x->d_name + n - 4, ".tmp") == 0)
			(void)unlinkat(dir, x->d_name, 0);
	}
	(void)closedir(d);
}

int secret_file_open(const char *dir, const struct secret_keeper *keeper,
	struct secret_file **ret_file, struct err *e)
{
	struct secret_file *s = calloc(1, sizeof(*s));
	enum secret_place place;
	char name[SECRET_KEY_ID];
	struct stat sb;
	int r = 0;

	if (!s)
		return err_sys(e, -ENOMEM, "open the secrets");
	(void)pthread_mutex_init(&s->lock, NULL);
	s->dir = -1;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0) {
		s->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		r = s->dir < 0 || fstat(s->dir, &sb) < 0 ? -errno : 0;
	}
	if (r == 0 && (sb.st_uid != geteuid() || (sb.st_mode & 077)))
		r = -EPERM;
	if (r == 0)
		drop_halves(s->dir);
	if (r == 0)
		r = secret_key_open(&s->key, s->dir, keeper);
	if (r == 0)
		r = secret_key_place(&s->key, &place, name, e);
	/* A file without its key is left alone: a new key would make it unreadable for good. */
	if (r == 0 && place == SECRET_NOWHERE &&
		faccessat(s->dir, FILE_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		r = -ENOKEY;
	if (r < 0) {
		secret_file_close(s);
		return e->code == ERR_NONE ? err_sys(e, r, "open the secrets in '%s'", dir)
					   : err_wrap(e, r, "open the secrets in '%s'", dir);
	}
	*ret_file = s;
	return 0;
}

void secret_file_close(struct secret_file *s)
{
	if (!s)
		return;
	secret_key_close(&s->key);
	own_close_fd(&s->dir);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- where the key is ---- */

int secret_file_place(struct secret_file *s, enum secret_place *ret_place, struct err *e)
{
	char name[SECRET_KEY_ID];
	int r;

	(void)pthread_mutex_lock(&s->lock);
	r = secret_key_place(&s->key, ret_place, name, e);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

bool secret_file_ready(struct secret_file *s)
{
	enum secret_place place;
	struct err ignored = {0};
	char name[SECRET_KEY_ID];
	bool ready;

	(void)pthread_mutex_lock(&s->lock);
	ready = secret_key_place(&s->key, &place, name, &ignored) == 0 &&
		(place != SECRET_IN_KEYRING || strcmp(s->key.held_id, name) == 0);
	(void)pthread_mutex_unlock(&s->lock);
	return ready;
}

static void step(const struct secret_file *s, unsigned n)
{
	if (s->key.keeper.step)
		s->key.keeper.step(s->key.keeper.ctx, n);
}

/* settle() - end a move that was interrupted: seal for the key in use alone, forget the other one. @id is
 * the key in use with the keeper, or "".
 */
static int settle(struct secret_file *s, const struct table *t, const char *id, struct err *e)
{
	char marked[SECRET_KEY_ID];
	struct err ignored = {0};
	int r = secret_key_marked(&s->key, marked, e);

	if (r < 0 || !marked[0])
		return r;
	if (t->v && t->n > 0)
		r = save(s, t, e);
	step(s, 5);
	/* What cannot be dropped now opens nothing, and stays noted for the next time. */
	if (r == 0 && strcmp(marked, id) != 0 &&
		(!s->key.keeper.drop ||
			s->key.keeper.drop(s->key.keeper.ctx, marked, &ignored) < 0))
		return 0;
	step(s, 6);
	return r < 0 ? r : secret_key_mark(&s->key, NULL, e);
}

/* exchange() - @t is open by the old key; both are sealed for, until the identity says which holds */
static int exchange(struct secret_file *s, const struct table *t, enum secret_place from,
	enum secret_place to, const char *old_id, const struct age_identity *fresh, struct err *e)
{
	unsigned char old[AGE_KEY_BYTES];
	const unsigned char *const both[] = {old, fresh->recipient};
	struct err ignored = {0};
	char id[SECRET_KEY_ID];
	int r = 0;

	secret_key_id(fresh, id);
	step(s, 1);
	if (to == SECRET_IN_KEYRING || old_id[0])
		r = secret_key_mark(&s->key, to == SECRET_IN_KEYRING ? id : old_id, e);
	step(s, 2);
	if (r == 0 && to == SECRET_IN_KEYRING) {
		r = secret_key_offer(&s->key, fresh, e);
		if (r == -ENODEV || r == -EKEYREJECTED) /* nobody has it */
			(void)secret_key_mark(&s->key, NULL, &ignored);
	}
	step(s, 3);
	if (r == 0 && from != SECRET_NOWHERE && t->n > 0) {
		r = secret_key_recipient(&s->key, old, e);
		if (r == 0)
			r = seal(s, t, both, 2, e);
	}
	step(s, 4);
	return r < 0 ? r : secret_key_write(&s->key, to, fresh, e);
}

int secret_file_move(struct secret_file *s, enum secret_place place, struct err *e)
{
	struct age_identity fresh = {0};
	enum secret_place from = SECRET_NOWHERE;
	char id[SECRET_KEY_ID] = "";
	struct table t = {0};
	int r;

	(void)pthread_mutex_lock(&s->lock);
	s->key.refused_ms = 0; /* who asks for a move may be asked in turn */
	r = secret_key_place(&s->key, &from, id, e);
	if (r == 0)
		r = load(s, &t, e);
	if (r == 0)
		r = settle(s, &t, id, e);
	if (r == 0 && from != place) {
		r = age_identity_new(&fresh);
		r = r < 0 ? err_sys(e, r, "make a key")
			  : exchange(s, &t, from, place, id, &fresh, e);
		if (r == 0) {
			secret_key_id(&fresh, id);
			r = settle(s, &t, place == SECRET_IN_KEYRING ? id : "", e);
		}
	}
	age_identity_wipe(&fresh);
	table_wipe(&t);
	(void)pthread_mutex_unlock(&s->lock);
	return r < 0 ? err_wrap(e, r, "move the key of the secrets") : 0;
}

/* ---- the calls ---- */

static int order(const struct secret_entry *x, const char *scope, const char *name)
{
	int c = strcmp(x->scope, scope);

	return c != 0 ? c : strcmp(x->name, name);
}

static bool name_ok(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n > 0 && s[n] == '\0' && s[0] != '-' && s[0] != '.';
}

static int judge(const struct secret_entry *x, struct err *e)
{
	if (!name_ok(x->name))
		return err_set(e, ERR_INVALID, -EINVAL, "'%s' is no name of a secret", x->name);
	if (x->refresh_s > SECRET_REFRESH_MAX_S)
		return err_set(e, ERR_INVALID, -EINVAL, "a secret is kept for a day at most");
	if (x->command[0] ? strpbrk(x->command, "\r\n") != NULL : x->value_len == 0)
		return err_set(e, ERR_INVALID, -EINVAL, "the secret '%s' is %s", x->name,
			x->command[0] ? "a command of several lines" : "empty");
	if (x->value_len > EGRESS_SECRET_MAX || memchr(x->value, '\0', x->value_len) ||
		memchr(x->value, '\r', x->value_len) || memchr(x->value, '\n', x->value_len))
		return err_set(e, ERR_INVALID, -EINVAL,
			"the value of '%s' holds CR, LF or NUL, or is too long", x->name);
	return 0;
}

int secret_file_set(struct secret_file *s, const struct secret_entry *x, struct err *e)
{
	struct table t;
	size_t at = 0;
	int r = judge(x, e);

	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&s->lock);
	r = load(s, &t, e);
	if (r == 0) /* not before: a file whose key is lost must not get another one */
		r = first_key(s, e);
	while (r == 0 && at < t.n && order(&t.v[at], x->scope, x->name) < 0)
		at++;
	if (r == 0 && (at == t.n || order(&t.v[at], x->scope, x->name) != 0)) {
		if (t.n == SECRET_FILE_MAX) {
			r = err_set(e, ERR_LIMIT, -ENOSPC, "more than %d secrets", SECRET_FILE_MAX);
		} else {
			memmove(&t.v[at + 1], &t.v[at], (t.n - at) * sizeof(*t.v));
			t.touched = ++t.n;
		}
	}
	if (r == 0) {
		t.v[at] = *x;
		t.v[at].created_ms = clock_real_ms();
		r = save(s, &t, e);
	}
	table_wipe(&t);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

/* remove_if() - those of @scope and, unless NULL, of @name; *ret_n: how many there were */
static int remove_if(
	struct secret_file *s, const char *scope, const char *name, size_t *ret_n, struct err *e)
{
	struct table t;
	size_t kept = 0;
	int r;

	*ret_n = 0;
	(void)pthread_mutex_lock(&s->lock);
	r = load(s, &t, e);
	for (size_t i = 0; r == 0 && i < t.n; i++) {
		if (strcmp(t.v[i].scope, scope) == 0 && (!name || strcmp(t.v[i].name, name) == 0))
			continue;
		if (kept != i)
			t.v[kept] = t.v[i];
		kept++;
	}
	if (r == 0 && kept != t.n) {
		*ret_n = t.n - kept;
		t.n = kept;
		r = save(s, &t, e);
	}
	table_wipe(&t);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

int secret_file_remove(struct secret_file *s, const char *scope, const char *name,
	bool *ret_removed, struct err *e)
{
	size_t n;
	int r = remove_if(s, scope, name, &n, e);

	*ret_removed = n > 0;
	return r;
}

int secret_file_forget(struct secret_file *s, const char *scope, struct err *e)
{
	size_t n;

	return remove_if(s, scope, NULL, &n, e);
}

int secret_file_get(struct secret_file *s, const char *scope, const char *name,
	struct secret_entry *ret, struct err *e)
{
	const struct secret_entry *found = NULL;
	struct table t;
	int r;

	(void)pthread_mutex_lock(&s->lock);
	r = load(s, &t, e);
	for (size_t i = 0; r == 0 && i < t.n; i++) {
		if (strcmp(t.v[i].name, name) != 0)
			continue;
		if (strcmp(t.v[i].scope, scope) == 0)
			found = &t.v[i];
		else if (t.v[i].scope[0] == '\0' && !found)
			found = &t.v[i];
	}
	if (r == 0 && !found)
		r = err_set(e, ERR_NOT_FOUND, -ENOENT, "there is no secret '%s'", name);
	if (r == 0) {
		*ret = *found;
		secret_mask(ret->value, ret->value_len, ret->mask);
	}
	table_wipe(&t);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

int secret_file_each(struct secret_file *s, int (*fn)(void *ctx, const struct secret_entry *x),
	void *ctx, struct err *e)
{
	struct table t;
	int r;

	(void)pthread_mutex_lock(&s->lock);
	r = load(s, &t, e);
	for (size_t i = 0; r == 0 && i < t.n; i++) {
		secret_mask(t.v[i].value, t.v[i].value_len, t.v[i].mask);
		explicit_bzero(t.v[i].value, sizeof(t.v[i].value));
		t.v[i].value_len = 0;
		r = fn(ctx, &t.v[i]);
	}
	table_wipe(&t);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}
