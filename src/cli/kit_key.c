#include "cli/kit_key.h"
#include "cli/secret.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define VARIABLE "COSIGN_PASSWORD"

static void wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_fini(b);
}

int kit_key_private(const char *path, struct dist_key **ret, struct err *e)
{
	const char *password = getenv(VARIABLE);
	struct buf text, typed;
	char what[300];
	int r;

	buf_init(&text, DIST_KEY_FILE_MAX);
	buf_init(&typed, DIST_PASSWORD_MAX);
	r = io_read_file(AT_FDCWD, path, &text);
	if (r < 0)
		r = err_sys(e, r, "read the key '%.200s'", path);
	else
		r = dist_key_private(path, buf_str(&text), text.len, password, ret, e);
	if (r == -ENOKEY) {
		*e = (struct err){0};
		(void)snprintf(what, sizeof(what), "the key %.250s", path);
		r = secret_read(what, &typed, e);
		if (r == 0)
			r = dist_key_private(
				path, buf_str(&text), text.len, buf_str(&typed), ret, e);
	}
	wipe(&typed);
	wipe(&text);
	return r;
}

int kit_key_password(struct buf *out, struct err *e)
{
	const char *password = getenv(VARIABLE);
	struct buf again;
	int r;

	if (password)
		return buf_add(out, password, strlen(password)) < 0
			       ? err_set(e, ERR_INVALID, -EINVAL, "the password is too long")
			       : 0;
	r = secret_read("the new key", out, e);
	if (r < 0) {
		err_hint(e, "an empty variable " VARIABLE " makes a key without password");
		return r;
	}
	if (!isatty(STDIN_FILENO))
		return 0;
	buf_init(&again, DIST_PASSWORD_MAX);
	r = secret_read("the new key once more", &again, e);
	if (r == 0 && (again.len != out->len || memcmp(again.data, out->data, out->len) != 0))
		r = err_set(e, ERR_INVALID, -EINVAL, "these are two different passwords");
	wipe(&again);
	return r;
}
