/* scrub.h - a secret that a server sends back is masked before the guest sees it; no I/O
 *
 * The secret itself and what it looks like in base64 (at each of the three offsets, both alphabets), in percent
 * escapes, in JSON escapes and in hexadecimal. Masked bytes become '*', so lengths stay as they were. A
 * secret may be cut anywhere between two calls: what could be the beginning of one is held back until the
 * next bytes tell, at most the length of the longest form.
 */
#ifndef EGRESS_SCRUB_H
#define EGRESS_SCRUB_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRUB_FORMS_MAX 24
#define SCRUB_SETS_MAX	4
#define SCRUB_SHORTEST	6 /* shorter forms would be found by chance */

struct scrub; /* the forms of one secret; counted references */

struct scrub *scrub_new(const void *secret, size_t len) MUST_USE; /* NULL: no memory */
struct scrub *scrub_ref(struct scrub *s) MUST_USE;
void scrub_unref(struct scrub *s); /* the forms are wiped with the last; NULL is fine */
size_t scrub_longest(const struct scrub *s);
/* scrub_mask() - mask in place; true: something was */
bool scrub_mask(const struct scrub *s, void *p, size_t len);

/* scrub_begins() - how many of the last bytes could be the beginning of a form */
size_t scrub_begins(const struct scrub *s, const uint8_t *p, size_t len);
/* scrub_any() - does one of them stand there? */
bool scrub_any(struct scrub *const *sets, unsigned n, const void *p, size_t len);

struct scrub_stream;
typedef bool (*scrub_out)(void *ctx, const void *p, size_t len); /* false: stop */

enum scrub_coding { SCRUB_IDENTITY, SCRUB_GZIP, SCRUB_BROTLI };
enum scrub_result { SCRUB_OK, SCRUB_BROKEN /* the coding is */, SCRUB_BOMB, SCRUB_STOPPED };

/* scrub_stream_new() - a body in @coding, given out decoded and masked; the sets are counted */
struct scrub_stream *scrub_stream_new(
	struct scrub *const *sets, unsigned n, enum scrub_coding coding) MUST_USE;
void scrub_stream_free(struct scrub_stream *t); /* NULL is fine */
/* scrub_feed() - @out is called with what may be shown, any number of times */
enum scrub_result scrub_feed(
	struct scrub_stream *t, const void *p, size_t len, scrub_out out, void *ctx) MUST_USE;
/* scrub_end() - the body is over; BROKEN: before its coding was */
enum scrub_result scrub_end(struct scrub_stream *t, scrub_out out, void *ctx) MUST_USE;
bool scrub_stream_found(const struct scrub_stream *t); /* something was masked */
#endif
