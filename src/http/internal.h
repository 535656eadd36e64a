/* internal.h - the parser's insides: states, byte classes, the judge of a whole head
 *
 * http1.c moves through the states of a head, http1_body.c through those of chunks and trailer;
 * head.c judges a complete head; class.c is the table.
 */
#ifndef HTTP_INTERNAL_H
#define HTTP_INTERNAL_H
#include "http/http1.h"

enum http_class {
	HTTP_C_TOKEN = 1, /* tchar: methods, field names */
	HTTP_C_TARGET = 2, /* request target */
	HTTP_C_VALUE = 4, /* field value, reason: HT, SP, VCHAR, obs-text */
	HTTP_C_DIGIT = 8,
	HTTP_C_HEX = 16,
	HTTP_C_HOST = 32, /* registered name: letters, digits, '-', '.', '_' */
	HTTP_C_IPV6 = 64, /* inside brackets */
	HTTP_C_SEGMENT = 128, /* may leave a percent-escape in a path segment */
};

extern const unsigned char http_class[256];
static inline bool http_is(unsigned char c, unsigned mask)
{
	return http_class[c] & mask;
}

enum http_state {
	S_START, /* nothing of the message yet */
	S_METHOD,
	S_TARGET,
	S_VERSION, /* request: after the target */
	S_RVERSION, /* response: at the start */
	S_STATUS,
	S_REASON,
	S_LINE_LF,
	S_FIELD, /* first byte of a field line, or the CR of the empty line */
	S_NAME,
	S_OWS,
	S_VALUE,
	S_VALUE_LF,
	S_HEAD_LF,
	S_INTERIM, /* a 1xx head was given out */
	S_LENGTH,
	S_CLOSE,
	S_SIZE, /* chunk size */
	S_SIZE_LF,
	S_CHUNK,
	S_CHUNK_CR,
	S_CHUNK_LF,
	S_TRAILER, /* first byte of a trailer line, or the CR of the last line */
	S_TNAME,
	S_TOWS,
	S_TVALUE,
	S_TVALUE_LF,
	S_LAST_LF,
	S_DONE,
	S_BAD,
};

struct http_parser {
	enum http_side side;
	enum http_state state;
	struct http_head head;
	const char *why;
	int bad_status;
	bool started;
	/* what was asked, for responses */
	bool asked_head, asked_connect, upgrade_ok;
	unsigned interim;
	/* head under construction: text[] holds the pieces, each terminated */
	size_t bytes; /* of the head taken so far */
	size_t text_len, text_cap, piece; /* piece: where the present one starts */
	size_t fields_cap, n_known; /* n_known: fields of head and trailer begun so far */
	unsigned at; /* position inside the version or the status */
	/* body */
	uint64_t left; /* of the length or of the chunk */
	unsigned digits; /* of the chunk size */
	size_t trailer_bytes;
	struct http_limits limit;
	char *text;
};

/* ---- http1.c: pieces of a head or trailer ---- */
/* http_make_room() - for what the next byte can add: itself, an end, a field */
bool http_make_room(struct http_parser *p) MUST_USE;
/* http_keep() - one byte of the present piece; http_make_room() made room for it and for an end */
static inline void http_keep(struct http_parser *p, unsigned char c)
{
	p->text[p->text_len++] = (char)c;
}
static inline size_t http_piece_len(const struct http_parser *p)
{
	return p->text_len - p->piece;
}
/* http_piece_end() - terminate the present piece and give it out */
static inline const char *http_piece_end(struct http_parser *p)
{
	const char *s = p->text + p->piece;

	p->text[p->text_len++] = '\0';
	p->piece = p->text_len;
	return s;
}
/* http_field_name_end(), http_field_end() - the field under construction is the last of n_known */
void http_field_name_end(struct http_parser *p);
void http_field_end(struct http_parser *p);

/* ---- http1_body.c ---- */
/* http_step_body() - a byte of a chunk's size line or end, or of the trailer */
enum http_event http_step_body(struct http_parser *p, unsigned char c);

/* http_bad() - refuse: remembers @why (static text) and the status for the peer */
enum http_event http_bad(struct http_parser *p, int status, const char *why);
/* http_judge() - a head is complete: framing, duplicates, host, connection; HTTP_HEAD or HTTP_BAD */
enum http_event http_judge(struct http_parser *p);
/* http_trailer_ok() - may a field of that name stand in a trailer? */
bool http_trailer_ok(const char *name);
/* http_once() - must a field of that name not stand twice in a request? */
bool http_once(const char *name);
/* http_known() - has that field a meaning here? */
bool http_known(const char *name);
/* http_length() - the value of Content-Length; false when it is not a plain number */
bool http_length(const char *s, uint64_t *ret) MUST_USE;
/* http_host_ok() - host[:port]; with @need_port a port must be there */
bool http_host_ok(const char *s, size_t len, bool need_port);
#endif
