/* http1.h - strict HTTP/1.1: bytes to messages, without any I/O
 *
 * Refuses, never repairs: what two programs could read differently is HTTP_BAD (obs-fold, space
 * before the colon, bare LF or CR, control bytes, duplicate Host/Content-Length/…, both
 * Content-Length and Transfer-Encoding, any coding but "chunked", chunk extensions, odd numbers,
 * TE or Upgrade in HTTP/1.0, fragments and spaces in targets …). RFC 9112 where it leaves a choice:
 * the stricter one. Incremental: bytes may come one by one. Everything is capped; the parser never
 * allocates after http_parser_new(). One thread at a time. Peer faults: HTTP_BAD, then nothing more.
 */
#ifndef HTTP_HTTP1_H
#define HTTP_HTTP1_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX	 16384 /* bytes of start line and fields together, by default */
#define HTTP_FIELDS_MAX	 64 /* by default */
#define HTTP_TARGET_MAX	 8192
#define HTTP_METHOD_MAX	 32
#define HTTP_INTERIM_MAX 8 /* 1xx answers before the final one */
#define HTTP_TRAILER_MAX 4096 /* bytes of trailer fields, by default; they count as fields too */

/* What one message may cost; http_parser_new() takes the defaults above. */
struct http_limits {
	size_t head_max, fields_max, trailer_max, target_max;
};
extern const struct http_limits http_limits_proxy; /* what is passed on: 64 KiB, 128 fields */

enum http_side { HTTP_REQUEST, HTTP_RESPONSE }; /* what is parsed */

enum http_form { HTTP_ORIGIN, HTTP_ABSOLUTE, HTTP_AUTHORITY, HTTP_ASTERISK };

enum http_body { HTTP_NO_BODY, HTTP_LENGTH, HTTP_CHUNKED, HTTP_UNTIL_CLOSE };

struct http_field {
	const char *name, *value; /* terminated; the name as sent */
	size_t name_len, value_len;
};

struct http_head {
	/* requests */
	const char *method, *target;
	enum http_form form;
	/* responses */
	int status;
	const char *reason;
	/* both */
	unsigned minor; /* HTTP/1.minor: 0 or 1 */
	struct http_field *fields;
	size_t n_fields;
	/* after HTTP_END */
	struct http_field *trailers;
	size_t n_trailers;
	enum http_body body;
	uint64_t length; /* HTTP_LENGTH: bytes to come */
	bool keep_alive; /* another message may follow on this connection */
	bool upgrade; /* request: asked for; response: status 101 */
	bool continue_100; /* request: Expect: 100-continue */
};

enum http_event {
	HTTP_MORE, /* all bytes used, more are needed */
	HTTP_HEAD, /* http_head() is complete; a 1xx head (not 101) is followed by another HEAD */
	HTTP_DATA, /* bytes of the body: *ret_data, *ret_len */
	HTTP_END, /* the message is over; with keep_alive http_parser_next() starts another */
	HTTP_BAD, /* refused: http_why(), http_bad_status(); close the connection */
};

struct http_parser;

struct http_parser *http_parser_new(enum http_side side) MUST_USE; /* NULL: no memory */
struct http_parser *http_parser_new_limits(
	enum http_side side, const struct http_limits *limits) MUST_USE;
void http_parser_free(struct http_parser *p);
/* http_parser_next() - after HTTP_END: forget the message, wait for another */
void http_parser_next(struct http_parser *p);
/* http_parser_expect() - responses only: what was asked, because it decides the framing.
 * @upgrade: a 101 is welcome (otherwise it is HTTP_BAD).
 */
void http_parser_expect(struct http_parser *p, const char *method, bool upgrade);

/* http_parse() - take bytes until there is something to tell
 * *ret_used counts the bytes of @in taken: call again with the rest. After HTTP_END (and after the
 * HTTP_HEAD of an upgrade) the rest is not looked at. HTTP_DATA points into @in.
 */
enum http_event http_parse(struct http_parser *p, const void *in, size_t len, size_t *ret_used,
	const char **ret_data, size_t *ret_len) MUST_USE;
/* http_parse_eof() - the peer closed: HTTP_END when that ends the message properly (or nothing of
 * it had come: then http_started() is false), else HTTP_BAD
 */
enum http_event http_parse_eof(struct http_parser *p) MUST_USE;
/* http_started() - has a byte of the present message come? */
bool http_started(const struct http_parser *p);
/* http_parser_bytes() - heap in use by this parser */
size_t http_parser_bytes(const struct http_parser *p);

const struct http_head *http_head(const struct http_parser *p); /* valid until _next() */
const char *http_why(const struct http_parser *p); /* what was wrong; fixed text */
int http_bad_status(const struct http_parser *p); /* 400, 414, 417, 431, 501, 503 or 505 */
/* http_field() - value of the first field of that name, any case; NULL when there is none */
const char *http_field(const struct http_head *h, const char *name);
/* http_has_token() - does a comma-separated list contain @token (any case)? @list may be NULL */
bool http_has_token(const char *list, const char *token);
#endif
