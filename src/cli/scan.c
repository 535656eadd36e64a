#include "cli/scan.h"

enum { GROUND, ESCAPE, BETWEEN, CSI, STRING, STRING_ESC };

#define BEL 0x07
#define CAN 0x18
#define SUB 0x1a
#define ESC 0x1b

/* c1() - a control of 0x80-0x9f, which comes as two bytes of UTF-8 */
static unsigned char c1(unsigned char c)
{
	switch (c) {
	case 0x9b:
		return CSI;
	case 0x90: /* DCS, SOS, OSC, PM, APC */
	case 0x98:
	case 0x9d:
	case 0x9e:
	case 0x9f:
		return STRING;
	default:
		return GROUND;
	}
}

static unsigned char after_escape(unsigned char c)
{
	switch (c) {
	case '[':
		return CSI;
	case 'P':
	case 'X':
	case ']':
	case '^':
	case '_':
		return STRING;
	default:
		return c >= 0x20 && c <= 0x2f ? BETWEEN : GROUND;
	}
}

static void ground(struct scan *s, unsigned char c)
{
	s->lead = c;
	if (c >= 0xf0 && c <= 0xf7)
		s->left = 3;
	else if (c >= 0xe0)
		s->left = c <= 0xef ? 2 : 0;
	else
		s->left = c >= 0xc2;
}

static void one(struct scan *s, unsigned char c)
{
	if (s->left > 0) {
		s->left = (c & 0xc0) == 0x80 ? (unsigned char)(s->left - 1) : 0;
		if ((c & 0xc0) == 0x80) {
			if (s->lead == 0xc2)
				s->state = c1(c);
			return;
		}
	}
	if (c == CAN || c == SUB) {
		s->state = GROUND;
		return;
	}
	if (c == ESC) {
		s->state = s->state == STRING || s->state == STRING_ESC ? STRING_ESC : ESCAPE;
		return;
	}
	switch (s->state) {
	case ESCAPE:
		s->state = after_escape(c);
		break;
	case BETWEEN:
		if (c >= 0x30)
			s->state = GROUND;
		break;
	case CSI:
		if (c >= 0x40 && c != 0x7f)
			s->state = GROUND;
		break;
	case STRING:
		if (c == BEL)
			s->state = GROUND;
		break;
	case STRING_ESC: /* a backslash ends it; anything else is a sequence of its own */
		s->state = c == '\\' ? GROUND : after_escape(c);
		break;
	default:
		ground(s, c);
		break;
	}
}

void scan_feed(struct scan *s, const void *p, size_t len)
{
	const unsigned char *c = p;

	for (size_t i = 0; i < len; i++)
		one(s, c[i]);
}

bool scan_whole(const struct scan *s)
{
	return s->state == GROUND && s->left == 0;
}

size_t scan_rest(const struct scan *s, const void *p, size_t len)
{
	const unsigned char *c = p;
	struct scan now = *s;
	size_t n = 0;

	while (n < len && !scan_whole(&now))
		one(&now, c[n++]);
	return n;
}
