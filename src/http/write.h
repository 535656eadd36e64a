/* write.h - HTTP/1.1 messages to bytes; refuses whatever the parser would refuse
 *
 * Each call appends to @out: 0, -EINVAL (a byte that must not stand there), -ENOBUFS, -ENOMEM.
 * The order is the caller's: start line, fields, http_put_end(), body.
 */
#ifndef HTTP_WRITE_H
#define HTTP_WRITE_H
#include "base/buf.h"
#include <stdint.h>

int http_put_request(struct buf *out, const char *method, const char *target) MUST_USE;
int http_put_status(struct buf *out, int status) MUST_USE; /* with the usual reason phrase */
int http_put_field(struct buf *out, const char *name, const char *value) MUST_USE;
/* http_put_text() - as http_put_field(), of known lengths, and outer blanks may stand */
int http_put_text(struct buf *out, const char *name, size_t name_len, const char *value,
	size_t value_len) MUST_USE;
int http_put_length(struct buf *out, uint64_t len) MUST_USE; /* Content-Length */
int http_put_end(struct buf *out) MUST_USE; /* the empty line */
int http_put_chunk(struct buf *out, const void *p, size_t len) MUST_USE; /* nothing for len 0 */
int http_put_last_chunk(struct buf *out) MUST_USE;
const char *http_reason(int status); /* "OK"; "" for an unknown one */
#endif
