/* apierr.h - struct err as the API's error body, and back
 *
 * {"error":{"code","message","hint"}}: docs/api.md. Pure.
 */
#ifndef JSON_APIERR_H
#define JSON_APIERR_H
#include "json/json.h"

/* apierr_status() - the HTTP status that goes with a code */
int apierr_status(enum err_code code);
/* apierr_json() - the body as a value (the caller's), NULL without memory */
struct js *apierr_json(const struct err *e) MUST_USE;
/* apierr_print() - append the body to @out; falls back to a fixed body when memory is short */
int apierr_print(const struct err *e, struct buf *out) MUST_USE;
/* apierr_read() - fill @e from an answer's body of status @status; always sets @e (a body that is
 * not ours gives ERR_INTERNAL with the status); returns its negative errno
 */
int apierr_read(const char *body, size_t len, int status, struct err *e);
/* apierr_from() - as apierr_read() from the value of the member "error" (a line of a stream) */
int apierr_from(const struct js *error, struct err *e);
#endif
