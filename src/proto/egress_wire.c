#include "proto/egress_wire.h"
#include <errno.h>
#include <string.h>

const char *egress_get_text(struct wire_r *r, uint16_t *ret_len)
{
	uint16_t len = wire_get_u16(r);
	const char *s = (const char *)wire_get_bytes(r, (size_t)len + 1);

	if (ret_len)
		*ret_len = 0;
	if (!s || s[len] != '\0' || memchr(s, '\0', len)) {
		r->bad = true;
		return "";
	}
	if (ret_len)
		*ret_len = len;
	return s;
}

const uint8_t *egress_get_blob(struct wire_r *r, size_t *ret_len)
{
	uint32_t len = wire_get_u32(r);
	const uint8_t *p = wire_get_bytes(r, len);

	*ret_len = p ? len : 0;
	return p;
}

void egress_get_address(struct wire_r *r, struct egress_addr *ret_a)
{
	static const uint8_t zero[16];
	uint8_t family = wire_get_u8(r);
	const uint8_t *p = wire_get_bytes(r, 16);
	size_t used = family == 4 ? 4 : family == 6 ? 16 : 0;

	*ret_a = (struct egress_addr){0};
	if (!p || (family != 0 && used == 0) || memcmp(p + used, zero, 16 - used) != 0) {
		r->bad = true;
		return;
	}
	ret_a->family = family;
	memcpy(ret_a->bytes, p, 16);
}

/* A field's name is what HTTP/2 takes: a token without upper case. */
static bool name_ok(const char *s, size_t len)
{
	/* a bit for each character that it may have, in words of 64 */
	static const uint64_t may[4] = {0x03ff6cfa00000000, 0x57ffffffc0000000};

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (!(may[c / 64] >> (c % 64) & 1))
			return false;
	}
	return len > 0;
}

static bool value_ok(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

void egress_get_fields(struct wire_r *r, struct egress_fields *ret_f)
{
	uint16_t n = wire_get_u16(r);

	ret_f->n = 0;
	if (n > EGRESS_FIELDS_MAX) {
		r->bad = true;
		return;
	}
	for (uint16_t i = 0; i < n; i++) {
		struct egress_field *f = &ret_f->v[i];
		uint8_t flags;

		f->name = egress_get_text(r, &f->name_len);
		f->value = egress_get_text(r, &f->value_len);
		flags = wire_get_u8(r);
		if (r->bad || flags > 1 || !name_ok(f->name, f->name_len) ||
			!value_ok(f->value, f->value_len)) {
			r->bad = true;
			ret_f->n = 0;
			return;
		}
		f->never_index = flags & 1;
		ret_f->n++;
	}
}

void egress_put_text(struct wire_w *w, const char *s)
{
	size_t len = s ? strlen(s) : 0;

	if (len > UINT16_MAX) {
		w->bad = true;
		return;
	}
	wire_put_u16(w, (uint16_t)len);
	wire_put_bytes(w, s ? s : "", len + 1);
}

void egress_put_blob(struct wire_w *w, const void *p, size_t len)
{
	if (len > UINT32_MAX) {
		w->bad = true;
		return;
	}
	wire_put_u32(w, (uint32_t)len);
	if (len > 0)
		wire_put_bytes(w, p, len);
}

void egress_put_address(struct wire_w *w, const struct egress_addr *a)
{
	wire_put_u8(w, a->family);
	wire_put_bytes(w, a->bytes, sizeof(a->bytes));
}

void egress_put_fields(struct wire_w *w, const struct egress_fields *f)
{
	if (f->n > EGRESS_FIELDS_MAX) {
		w->bad = true;
		return;
	}
	wire_put_u16(w, f->n);
	for (uint16_t i = 0; i < f->n; i++) {
		const struct egress_field *x = &f->v[i];

		/* Lengths are known, and a value may be a piece of something longer. */
		wire_put_u16(w, x->name_len);
		wire_put_bytes(w, x->name, x->name_len);
		wire_put_u8(w, 0);
		wire_put_u16(w, x->value_len);
		wire_put_bytes(w, x->value, x->value_len);
		wire_put_u8(w, 0);
		wire_put_u8(w, x->never_index);
	}
}

int egress_begin(struct buf *out, size_t head, size_t max, struct egress_open *ret)
{
	char *room;
	int r;

	if (out->max - out->len <= head)
		return -ENOBUFS;
	if (max > out->max - out->len - head)
		max = out->max - out->len - head;
	r = buf_room(out, head + max, &room);
	if (r < 0)
		return r;
	*ret = (struct egress_open){.out = out, .w = wire_writer(room + head, max)};
	return 0;
}

int egress_end_frame(struct egress_open *o, enum egress_type type, bool end)
{
	if (o->w.bad)
		return -EMSGSIZE;
	egress_frame_head(o->w.p - EGRESS_FRAME_HEAD, type, end, o->w.pos);
	buf_grew(o->out, EGRESS_FRAME_HEAD + o->w.pos);
	return 0;
}
