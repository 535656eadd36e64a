/* What a guest asks for and a server says of pieces, and texts that may be JWTs: positions stay within what came */
#include "egress/range.h"
#include "egress/text.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	char asked[200], came[200], wide[RANGE_TEXT];
	const uint8_t *mid = memchr(p, '\n', len);
	struct range_piece piece;
	struct range r, again;
	size_t n = mid ? (size_t)(mid - p) : len, rest = mid ? len - n - 1 : 0, at;

	at = text_jwt((const char *)p, len);
	assert(at == 0 || (at + TEXT_SIGNATURE_MIN <= len && p[at - 1] == '.'));
	if (n >= sizeof(asked) || rest >= sizeof(came))
		return 0;
	memcpy(asked, p, n);
	asked[n] = '\0';
	memcpy(came, p + len - rest, rest);
	came[rest] = '\0';
	if (strlen(asked) != n || strlen(came) != rest || !range_parse(asked, rest % 64, &r))
		return 0;
	range_widen(&r, wide);
	assert(range_parse(wide, 0, &again) && again.kind == r.kind);
	assert(again.first <= r.first && again.last >= r.last);
	if (range_fit(&r, came, &piece) != RANGE_FITS)
		return 0;
	assert(piece.take > 0 && piece.skip <= UINT64_MAX / 2 && piece.take <= UINT64_MAX / 2);
	assert(strncmp(piece.content_range, "bytes ", 6) == 0);
	/* what is given out is a piece again, and the same one */
	again = (struct range){.kind = RANGE_FROM};
	assert(range_fit(&again, came, &piece) != RANGE_FITS || piece.skip == 0);
	return 0;
}
