#include "http/internal.h"

/* The states behind a head: chunk sizes, and the trailer of a chunked body. */

static enum http_event step_size(struct http_parser *p, unsigned char c)
{
	unsigned v;

	if (p->state == S_SIZE_LF) {
		if (c != '\n')
			return http_bad(p, 400, "CR without LF");
		p->digits = 0;
		p->state = p->left ? S_CHUNK : S_TRAILER;
		return HTTP_MORE;
	}
	if (c == '\r' && p->digits > 0) {
		p->state = S_SIZE_LF;
		return HTTP_MORE;
	}
	if (c == ';')
		return http_bad(p, 400, "chunk extension");
	/* 15 digits cannot overflow and are more than anybody sends. */
	if (!http_is(c, HTTP_C_HEX) || ++p->digits > 15)
		return http_bad(p, 400, "malformed chunk size");
	v = (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	p->left = p->left * 16 + v;
	return HTTP_MORE;
}

/* Trailer fields are held to the rules of the head; they stand behind its fields. */
static enum http_event step_trailer(struct http_parser *p, unsigned char c)
{
	if (++p->trailer_bytes > p->limit.trailer_max)
		return http_bad(p, 431, "trailer too large");
	if (!http_make_room(p))
		return http_bad(p, 503, "no memory for the trailer");
	switch ((int)p->state) {
	case S_TRAILER:
		if (c == '\r') {
			p->state = S_LAST_LF;
			return HTTP_MORE;
		}
		if (p->n_known >= p->limit.fields_max)
			return http_bad(p, 431, "too many trailer fields");
		p->state = S_TNAME;
		__attribute__((fallthrough));
	case S_TNAME:
		if (c == ':' && http_piece_len(p) > 0) {
			http_field_name_end(p);
			if (!http_trailer_ok(p->head.fields[p->n_known - 1].name))
				return http_bad(p, 400, "field not allowed in a trailer");
			p->state = S_TOWS;
		} else if (!http_is(c, HTTP_C_TOKEN))
			return http_bad(p, 400, "malformed trailer field name");
		else
			http_keep(p, c);
		return HTTP_MORE;
	case S_TOWS:
		if (c == ' ' || c == '\t')
			return HTTP_MORE;
		p->state = S_TVALUE;
		__attribute__((fallthrough));
	case S_TVALUE:
		if (c == '\r') {
			http_field_end(p);
			p->state = S_TVALUE_LF;
		} else if (!http_is(c, HTTP_C_VALUE))
			return http_bad(p, 400, "control byte in a trailer field");
		else
			http_keep(p, c);
		return HTTP_MORE;
	default: /* S_TVALUE_LF, S_LAST_LF */
		if (c != '\n')
			return http_bad(p, 400, "CR without LF");
		if (p->state == S_LAST_LF) {
			p->head.trailers = p->head.fields + p->head.n_fields;
			p->head.n_trailers = p->n_known - p->head.n_fields;
			p->state = S_DONE;
			return HTTP_END;
		}
		p->state = S_TRAILER;
		return HTTP_MORE;
	}
}

enum http_event http_step_body(struct http_parser *p, unsigned char c)
{
	switch ((int)p->state) {
	case S_SIZE:
	case S_SIZE_LF:
		return step_size(p, c);
	case S_CHUNK_CR:
		p->state = S_CHUNK_LF;
		return c == '\r' ? HTTP_MORE : http_bad(p, 400, "chunk longer than its size");
	case S_CHUNK_LF:
		p->state = S_SIZE;
		return c == '\n' ? HTTP_MORE : http_bad(p, 400, "CR without LF");
	default:
		return step_trailer(p, c);
	}
}
