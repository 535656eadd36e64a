#include "guest/der.h"
#include <errno.h>
#include <string.h>

#define LENGTH_BYTES 3

bool der_next(struct der *d, uint8_t *ret_tag, struct der *ret_body)
{
	size_t head = 2, len;

	if (d->len < 2)
		return false;
	len = d->p[1];
	if (len & 0x80) {
		unsigned n = len & 0x7f;

		if (n == 0 || n > LENGTH_BYTES || d->len < 2u + n)
			return false;
		len = 0;
		for (unsigned i = 0; i < n; i++)
			len = len << 8 | d->p[2 + i];
		head += n;
	}
	if (d->len - head < len)
		return false;
	*ret_tag = d->p[0];
	*ret_body = (struct der){d->p + head, len};
	d->p += head + len;
	d->len -= head + len;
	return true;
}

bool der_enter(struct der *d, uint8_t tag, struct der *ret_body)
{
	uint8_t got;

	return der_next(d, &got, ret_body) && got == tag;
}

bool der_is(struct der d, const void *bytes, size_t len)
{
	return d.len == len && memcmp(d.p, bytes, len) == 0;
}

int der_put(struct buf *out, uint8_t tag, const void *bytes, size_t len)
{
	uint8_t head[2 + LENGTH_BYTES] = {tag, (uint8_t)len};
	size_t n = 2;
	int r;

	if (len >= 1u << 8 * LENGTH_BYTES)
		return -EFBIG;
	if (len >= 0x80) {
		unsigned bytes_of = len < 0x100 ? 1 : len < 0x10000 ? 2 : 3;

		head[1] = (uint8_t)(0x80 | bytes_of);
		for (unsigned i = 0; i < bytes_of; i++)
			head[n++] = (uint8_t)(len >> 8 * (bytes_of - 1 - i));
	}
	r = buf_add(out, head, n);
	return r < 0 || len == 0 ? r : buf_add(out, bytes, len);
}
