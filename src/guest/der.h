/* der.h - DER elements: taken off bytes with bounds, and put together
 *
 * No I/O, no allocation but in der_put(). Tags are one byte, lengths up to three.
 */
#ifndef GUEST_DER_H
#define GUEST_DER_H
#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DER_INTEGER  0x02
#define DER_OCTETS   0x04
#define DER_OID	     0x06
#define DER_UTF8     0x0c
#define DER_PRINTED  0x13
#define DER_IA5	     0x16
#define DER_BMP	     0x1e /* UTF-16, big end first */
#define DER_SEQUENCE 0x30
#define DER_SET	     0x31
#define DER_CONTEXT0 0xa0

/* A piece of somebody's bytes. */
struct der {
	const uint8_t *p;
	size_t len;
};

/* der_next() - takes one element off @d: its tag and what is in it; false: there is none that is whole */
bool der_next(struct der *d, uint8_t *ret_tag, struct der *ret_body) MUST_USE;
/* der_enter() - the same when it has to be a @tag */
bool der_enter(struct der *d, uint8_t tag, struct der *ret_body) MUST_USE;
/* der_is() - the same bytes? */
bool der_is(struct der d, const void *bytes, size_t len) MUST_USE;
/* der_put() - append one element; -EFBIG when it is longer than three bytes can say, or as buf_add() */
int der_put(struct buf *out, uint8_t tag, const void *bytes, size_t len) MUST_USE;
#endif
