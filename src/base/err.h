/* err.h - an error that is told to a person: code, one sentence that gains context, a hint
 *
 * Lives in the caller's frame, so that reporting never needs memory. The function that finds the
 * fault sets it; each level above prepends what it was doing:
 *   return err_wrap(e, r, "start sandbox '%s'", name);
 * gives "start sandbox 'a1': open 'x': No such file or directory".
 * Functions return the negative errno that err_set()/err_wrap() return.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H
#include "base/own.h"

enum err_code {
	ERR_NONE,
	ERR_INVALID, /* the request itself is wrong: "invalid" */
	ERR_NOT_FOUND, /* "not_found" */
	ERR_CONFLICT, /* exists already, or wrong state: "conflict" */
	ERR_DENIED, /* "denied" */
	ERR_UNAVAILABLE, /* a needed service or program is not there: "unavailable" */
	ERR_TIMEOUT, /* "timeout" */
	ERR_LIMIT, /* "limit" */
	ERR_INTERNAL, /* "internal" */
	ERR_CODE_COUNT
};

#define ERR_MSG_MAX  512
#define ERR_HINT_MAX 256

struct err {
	enum err_code code;
	int num; /* negative errno, or 0 */
	char msg[ERR_MSG_MAX];
	char hint[ERR_HINT_MAX];
};

/* err_set() - fill @e (which may be NULL) and return @num, a negative errno
 * The message is cut at ERR_MSG_MAX. Untrusted text in it is escaped by whoever prints it.
 */
int err_set(struct err *e, enum err_code code, int num, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* err_sys() - as err_set(), with ": strerror(-num)" appended and the code derived from @num */
int err_sys(struct err *e, int num, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* err_wrap() - prepend "context: " to an error that is set; sets it from @num when it is not */
int err_wrap(struct err *e, int num, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* err_hint() - what the person can do about it; one sentence */
void err_hint(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* err_code_name() - the stable word of the API ("not_found"); never NULL */
const char *err_code_name(enum err_code code);
enum err_code err_code_from_name(const char *name);
enum err_code err_code_from_errno(int num);
#endif
