/* canon_int.h - what the two files of the canonical request share */
#ifndef HTTP_CANON_INT_H
#define HTTP_CANON_INT_H
#include "http/canon.h"

#define CANON_TEXT_MAX (128U << 10)

/* canon_refuse() - always false, for the return of those who refuse */
bool canon_refuse(struct http_canon *c, int status, const char *code, const char *why);
/* canon_fields_h1(), canon_fields_h2() - fill c->q.fields; c->text has room for all names and values */
bool canon_fields_h1(struct http_canon *c, const struct http_head *h) MUST_USE;
bool canon_fields_h2(struct http_canon *c, const struct h2_head *h) MUST_USE;
#endif
