/* json.h - the one JSON reader and writer: strict in, sorted or plain out
 *
 * Wraps jansson, which no other directory sees. What comes in has a maximal size, at most
 * JS_DEPTH_MAX levels and JS_VALUES_MAX values, no duplicate key, no trailing bytes, and is an
 * object or an array. A value is reference-counted and not thread-safe: one thread at a time.
 * Errors of js_take_*() name the place ("workspaces[1].path").
 */
#ifndef JSON_JSON_H
#define JSON_JSON_H
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JS_DEPTH_MAX  32
#define JS_VALUES_MAX 65536
#define JS_TEXT_MAX   (1U << 20) /* of a request or answer of the API */
#define JS_KEYS_MAX   40 /* different keys that one object may be asked for */

struct js;

/* js_parse() - *ret is the caller's to js_free(); -EINVAL (malformed) or -EFBIG (limits) with @e */
int js_parse(const char *text, size_t len, size_t max, struct js **ret, struct err *e) MUST_USE;
/* js_seed() - take the randomness of all tables now, by the kernel's call: the library would open a file for it
 * when the first is made, which a jail does not allow. Once, before anything else of this header.
 */
void js_seed(void);
void js_free(struct js *v); /* drops one reference; NULL is fine */
struct js *js_ref(struct js *v) MUST_USE;
void js_auto_free(struct js **v);
#define AUTO_JS __attribute__((cleanup(js_auto_free))) struct js *

/* ---- looking ---- (results are borrowed from @v and live as long as it does) */
bool js_is_object(const struct js *v);
bool js_is_array(const struct js *v);
size_t js_len(const struct js *v); /* items or keys; 0 for anything else */
const struct js *js_at(const struct js *v, size_t i); /* NULL beyond the end */
const struct js *js_get(const struct js *v, const char *key); /* NULL: absent, or not an object */
const char *js_str(const struct js *v); /* NULL: not a string */
int64_t js_int(const struct js *v, int64_t other); /* @other: not an integer */
bool js_bool(const struct js *v); /* false: false, or not a boolean */
/* js_each() - walk the keys of an object: *iter starts as NULL; false at the end */
bool js_each(const struct js *v, void **iter, const char **ret_key, const struct js **ret_value);

/* ---- reading one object strictly ----
 * The first fault sticks: later calls return the default, js_done() gives the negative errno.
 * JSON null counts as absent. A key is asked for at most once.
 */
struct js_reader {
	const struct js *obj;
	const char *path; /* borrowed; "" for the outermost */
	struct err *e;
	int r;
	size_t n;
	const char *asked[JS_KEYS_MAX];
};
/* js_read() - begin; @v not an object (or NULL) is the first fault. @path is borrowed. */
void js_read(struct js_reader *rd, const struct js *v, const char *path, struct err *e);
/* strings: at most @max bytes, no NUL inside. js_want_str(): must be there; "" after a fault. */
const char *js_take_str(struct js_reader *rd, const char *key, size_t max, const char *other);
const char *js_want_str(struct js_reader *rd, const char *key, size_t max);
int64_t js_take_int(struct js_reader *rd, const char *key, int64_t min, int64_t max, int64_t other);
int64_t js_want_int(struct js_reader *rd, const char *key, int64_t min, int64_t max);
bool js_take_bool(struct js_reader *rd, const char *key, bool other);
/* NULL when absent or after a fault */
const struct js *js_take_array(struct js_reader *rd, const char *key, size_t max_items);
const struct js *js_take_object(struct js_reader *rd, const char *key);
/* js_fault() - a fault that the caller found in @key's value */
void js_fault(struct js_reader *rd, const char *key, const char *what);
/* js_done() - 0; or the first fault; or -EINVAL for a key nobody asked for */
int js_done(struct js_reader *rd) MUST_USE;
/* js_done_lax() - as js_done() without the last: a client reading what a newer server added */
int js_done_lax(struct js_reader *rd) MUST_USE;

/* ---- building ----
 * Everything returns true when it FAILED (no memory): bad |= js_set_str(o, "name", name);
 * NULL for @o fails as well. Text that is not UTF-8 is set with U+FFFD in its place.
 */
struct js *js_object(void) MUST_USE;
struct js *js_array(void) MUST_USE;
bool js_set(struct js *o, const char *key, struct js *v) MUST_USE; /* takes @v, also on failure */
bool js_set_str(struct js *o, const char *key, const char *s) MUST_USE; /* NULL: null */
bool js_set_strn(struct js *o, const char *key, const void *p, size_t len) MUST_USE;
bool js_set_int(struct js *o, const char *key, int64_t v) MUST_USE;
bool js_set_bool(struct js *o, const char *key, bool v) MUST_USE;
bool js_set_null(struct js *o, const char *key) MUST_USE;
bool js_set_copy(struct js *o, const char *key, const struct js *v) MUST_USE; /* deep; NULL: null */
bool js_add(struct js *a, struct js *v) MUST_USE; /* takes @v, also on failure */
bool js_add_str(struct js *a, const char *s) MUST_USE;
void js_del(struct js *o, const char *key);

/* ---- printing ----
 * js_print(): compact, keys as they were set. js_canonical(): compact, keys sorted, so that equal
 * values give equal bytes (what a hash is taken over). Both append to @out; -ENOBUFS, -ENOMEM.
 */
int js_print(const struct js *v, struct buf *out) MUST_USE;
int js_canonical(const struct js *v, struct buf *out) MUST_USE;
/* js_utf8() - append @len bytes to @out with U+FFFD for each byte that is not part of UTF-8 */
int js_utf8(struct buf *out, const void *p, size_t len) MUST_USE;
#endif
