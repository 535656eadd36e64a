/* egress_wire.h - texts, blobs, addresses and fields in the messages of the way out
 *
 * Shared by the codecs of this directory; the rules of base/wire.h apply (sticky error).
 */
#ifndef PROTO_EGRESS_WIRE_H
#define PROTO_EGRESS_WIRE_H
#include "base/wire.h"
#include "proto/egress.h"

/* egress_get_text() - in place, terminated; "" when bad. @ret_len may be NULL. */
const char *egress_get_text(struct wire_r *r, uint16_t *ret_len);
const uint8_t *egress_get_blob(struct wire_r *r, size_t *ret_len);
void egress_get_address(struct wire_r *r, struct egress_addr *ret_a);
void egress_get_fields(struct wire_r *r, struct egress_fields *ret_f);

void egress_put_text(struct wire_w *w, const char *s); /* NULL counts as "" */
void egress_put_blob(struct wire_w *w, const void *p, size_t len);
void egress_put_address(struct wire_w *w, const struct egress_addr *a);
void egress_put_fields(struct wire_w *w, const struct egress_fields *f);

/* A message being written at the end of a buffer: begin, put into w, end. */
struct egress_open {
	struct buf *out;
	struct wire_w w;
};
/* egress_begin() - room for @head and at most @max bytes behind it */
int egress_begin(struct buf *out, size_t head, size_t max, struct egress_open *ret) MUST_USE;
/* egress_end_frame() - the header of a channel's frame goes into the @head bytes left free */
int egress_end_frame(struct egress_open *o, enum egress_type type, bool end) MUST_USE;
#endif
