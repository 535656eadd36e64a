/* secret.h - what the verbs of `sbx secret` share: names, values that are typed, and sending them
 *
 * A value is read into a buffer of the caller, who wipes it. Thread: the main one.
 */
#ifndef CLI_SECRET_H
#define CLI_SECRET_H
#include "base/buf.h"
#include "cli/api.h"
#include <stdbool.h>

#define SECRET_VALUE_MAX 8192
#define SECRET_MS	 90000 /* a command as a source may take 10 s, who unlocks a keyring a minute */

struct secret_source {
	const char *service, *sandbox; /* @sandbox NULL: all */
	const char *command; /* not NULL: it prints the value */
	long refresh_s; /* of @command; -1: the usual */
	const char *from_env, *value; /* else one of them, or else it is asked for */
};

/* secret_check_name() - the name becomes part of a URL */
int secret_check_name(const char *name, struct err *e) MUST_USE;
/* secret_put() - take the value from its source and send it; says what came of it */
int secret_put(struct api *api, const struct secret_source *s, struct err *e) MUST_USE;
/* secret_send() - a value that is there */
int secret_send(struct api *api, const struct secret_source *s, const void *p, size_t len,
	struct err *e) MUST_USE;
/* secret_read() - from standard input: all of it, or one line of a terminal that shows nothing meanwhile
 * and is as before on every way out
 */
int secret_read(const char *service, struct buf *out, struct err *e) MUST_USE;

int secret_ls(int argc, char **argv);
int secret_set_custom(int argc, char **argv);
#endif
