/* range.h - pieces of an answer that is masked: asked for with their neighbourhood, cut to size afterwards; pure
 *
 * A piece within a secret would not be known for one. So what the client asks for (RFC 9110 14) is widened by
 * the longest form of the secret on both sides, what comes is masked, and the margins are taken off: the
 * client gets the very bytes that stand at that place of the masked whole.
 */
#ifndef EGRESS_RANGE_H
#define EGRESS_RANGE_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANGE_TEXT 72 /* bytes that any text of these functions fits into */

enum range_kind { RANGE_NONE, RANGE_SPAN, RANGE_FROM, RANGE_LAST };

struct range {
	enum range_kind kind;
	uint64_t first, last; /* RANGE_LAST: the last @last bytes */
	uint64_t margin;
};

/* What of an answer 206 is for the client. */
struct range_piece {
	uint64_t skip, take; /* bytes of its body */
	char content_range[RANGE_TEXT];
};

enum range_result { RANGE_FITS, RANGE_BEYOND /* 416, content_range says so */, RANGE_BAD };

/* range_parse() - the value of a Range field; false: not one span of bytes, to be answered with the whole */
bool range_parse(const char *value, uint64_t margin, struct range *ret) MUST_USE;
void range_widen(const struct range *r, char dst[RANGE_TEXT]);
/* range_fit() - @content_range of the answer to the widened one; BAD: malformed, or not what was asked for */
enum range_result range_fit(
	const struct range *r, const char *content_range, struct range_piece *ret) MUST_USE;
#endif
