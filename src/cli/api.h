/* api.h - calls of the daemon's API (docs/api.md) with its errors as struct err
 *
 * One connection per struct api, one call after the other, each with a deadline. A body of an error
 * status comes back as @e with the code that the daemon gave.
 */
#ifndef CLI_API_H
#define CLI_API_H
#include "base/paths.h"
#include "http/client.h"
#include "json/json.h"

#define API_VERSION    1
#define API_CALL_MS    10000
#define API_START_MS   120000 /* between two words of a start; a failure's end included */
#define API_REMOVE_MS  60000
#define API_TARGET_MAX 256

struct api {
	struct http_client http;
	struct paths paths;
	bool open;
	char version[64]; /* of the daemon; "" before it was asked */
	int within_ms; /* set before api_open(): for all calls together, once connected; 0: none */
	int64_t until; /* clock_ms() when that is over; 0: never */
};

enum api_start { API_START, API_NO_START };

/* api_open() - connect, start the daemon when there is none and @start says so, and make sure that
 * it speaks our version
 */
int api_open(struct api *a, enum api_start start, struct err *e) MUST_USE;
/* api_open_any() - as api_open(API_NO_START) without the check: for `daemon stop` and `version` */
int api_open_any(struct api *a, struct err *e) MUST_USE;
void api_close(struct api *a);
void api_auto(struct api *a);

/* api_call() - @body may be NULL. *ret (may be NULL) is the caller's; NULL when there is no body. */
int api_call(struct api *a, const char *method, const char *target, const struct js *body,
	int timeout_ms, struct js **ret, struct err *e) MUST_USE;
/* api_put_raw() - PUT of bytes that are not JSON; *ret as with api_call() */
int api_put_raw(struct api *a, const char *target, const void *p, size_t len, int timeout_ms,
	struct js **ret, struct err *e) MUST_USE;
/* api_text() - GET of a plain text, appended to @out */
int api_text(struct api *a, const char *target, struct buf *out, struct err *e) MUST_USE;

/* api_follow() - the same of a text that goes on; @piece gets it as it comes, and ends it with a negative
 * errno
 */
typedef int (*api_piece_fn)(void *ctx, const char *p, size_t len);
int api_follow(
	struct api *a, const char *target, api_piece_fn piece, void *ctx, struct err *e) MUST_USE;

/* api_start() - POST …/start; @step is called for each step as it comes, and again when the command that
 * does it printed something (@output, else NULL)
 */
typedef void (*api_step_fn)(void *ctx, const char *step, const char *output);
int api_start(struct api *a, const char *name, api_step_fn step, void *ctx, struct js **ret_box,
	struct err *e) MUST_USE;
/* api_stream() - a stream to the agent of sandbox @name, as an own descriptor; -ENOTCONN when the
 * sandbox does not run
 */
int api_stream(struct api *a, const char *name, int *ret_fd, struct err *e) MUST_USE;

/* api_target() - "/v1/sandboxes/NAME" and @rest; names were checked, so nothing is to be quoted */
void api_target(char dst[API_TARGET_MAX], const char *name, const char *rest);
#endif
