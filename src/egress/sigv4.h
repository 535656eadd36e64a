/* sigv4.h - AWS Signature Version 4: what is signed, and with which key; pure but for the hash
 *
 * docs.aws.amazon.com, "Create a signed AWS API request". The caller brings the canonical parts.
 */
#ifndef EGRESS_SIGV4_H
#define EGRESS_SIGV4_H
#include "base/buf.h"
#include <stdbool.h>

struct sigv4_scope { /* of "Credential=ID/DATE/REGION/SERVICE/aws4_request" */
	char id[160], date[9], region[64], service[64];
	char signed_headers[2048]; /* as sent: names, lower case, ';' between */
};

/* sigv4_parse() - an Authorization field; false: malformed */
bool sigv4_parse(const char *authorization, struct sigv4_scope *ret_s) MUST_USE;
/* sigv4_query() - the canonical query of "?a=b&c": sorted, values kept as escaped as they are */
int sigv4_query(const char *query, struct buf *out) MUST_USE;
/* sigv4_sign() - the signature as 64 hexadecimal digits
 * @canonical: the whole canonical request; @amz_date: 20260101T000000Z
 */
int sigv4_sign(const struct sigv4_scope *s, const char *secret, const char *amz_date,
	const char *canonical, size_t len, char ret_hex[65]) MUST_USE;
#endif
