#include "egress/scrub.h"
#include "egress/arena.h"
#include "egress/text.h"
#include <assert.h>
#include <string.h>

struct form {
	const uint8_t *p;
	size_t len;
};

/* In the arena, with the bytes of its forms behind it. */
struct scrub {
	unsigned refs, n;
	size_t longest, used, cap;
	struct form form[SCRUB_FORMS_MAX];
	uint8_t bytes[];
};

/* ---- the forms ---- */

static void add(struct scrub *s, const void *p, size_t len, size_t shortest)
{
	if (len < shortest)
		return;
	for (unsigned i = 0; i < s->n; i++)
		if (s->form[i].len == len && memcmp(s->form[i].p, p, len) == 0)
			return;
	assert(s->n < SCRUB_FORMS_MAX && len <= s->cap - s->used);
	memcpy(s->bytes + s->used, p, len);
	s->form[s->n++] = (struct form){s->bytes + s->used, len};
	s->used += len;
	if (len > s->longest)
		s->longest = len;
}

/* add_base64() - what is the same in every text that encodes the secret at that offset: characters which
 * hold bits of its neighbours are left out
 */
static void add_base64(struct scrub *s, const uint8_t *p, size_t len, size_t offset, char *room)
{
	size_t first = offset == 0 ? 0 : offset == 1 ? 2 : 3;
	size_t bits = (offset + len) * 8, last = bits / 6;

	char *in = room + 2 * len + 64; /* the far half of the room */

	memset(in, 0, offset);
	memcpy(in + offset, p, len);
	text_base64(in, offset + len, room);
	if (last <= first)
		return;
	add(s, room + first, last - first, SCRUB_SHORTEST);
	for (size_t i = first; i < last; i++)
		room[i] = (char)(room[i] == '+' ? '-' : room[i] == '/' ? '_' : room[i]);
	add(s, room + first, last - first, SCRUB_SHORTEST);
}

static size_t json_escape(const uint8_t *p, size_t len, bool slash, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (p[i] == '"' || p[i] == '\\' || (slash && p[i] == '/'))
			out[n++] = '\\';
		out[n++] = (char)p[i];
	}
	return n;
}

static size_t json_unicode(const uint8_t *p, size_t len, bool upper, char *out)
{
	for (size_t i = 0; i < len; i++) {
		memcpy(out + 6 * i, "\\u00", 4);
		text_hex(p + i, 1, upper, out + 6 * i + 4);
	}
	return 6 * len;
}

static size_t percent_all(const uint8_t *p, size_t len, bool upper, char *out)
{
	for (size_t i = 0; i < len; i++) {
		out[3 * i] = '%';
		text_hex(p + i, 1, upper, out + 3 * i + 1);
	}
	return 3 * len;
}

static void add_all(struct scrub *s, const uint8_t *p, size_t len, char *room)
{
	add(s, p, len, 1);
	for (size_t offset = 0; offset < 3; offset++)
		add_base64(s, p, len, offset, room);
	for (unsigned upper = 0; upper < 2; upper++) {
		add(s, room, text_percent(p, len, upper, room), SCRUB_SHORTEST);
		add(s, room, percent_all(p, len, upper, room), SCRUB_SHORTEST);
		add(s, room, json_escape(p, len, upper, room), SCRUB_SHORTEST);
		add(s, room, json_unicode(p, len, upper, room), SCRUB_SHORTEST);
		text_hex(p, len, upper, room);
		add(s, room, 2 * len, SCRUB_SHORTEST);
	}
}

struct scrub *scrub_new(const void *secret, size_t len)
{
	/* raw 1, base64 6 × 4/3 + 4, and for each case: percent 3 + 3, escapes 2, \u 6, hexadecimal 2 */
	size_t cap = len * 41 + 64;
	size_t room_len = 8 * len + 256;
	struct scrub *s = arena_new(sizeof(*s) + cap);
	char *room = arena_new(room_len);

	if (!s || !room || len == 0) {
		arena_free(s);
		arena_free(room);
		return NULL;
	}
	s->refs = 1;
	s->cap = cap;
	add_all(s, secret, len, room);
	arena_free(room);
	return s;
}

struct scrub *scrub_ref(struct scrub *s)
{
	s->refs++;
	return s;
}

void scrub_unref(struct scrub *s)
{
	if (s && --s->refs == 0)
		arena_free(s);
}

size_t scrub_longest(const struct scrub *s)
{
	return s->longest;
}

bool scrub_mask(const struct scrub *s, void *p, size_t len)
{
	bool found = false;

	for (unsigned i = 0; i < s->n; i++) {
		uint8_t *at = p, *end = at + len;

		while ((size_t)(end - at) >= s->form[i].len &&
			(at = memmem(at, (size_t)(end - at), s->form[i].p, s->form[i].len))) {
			memset(at, '*', s->form[i].len);
			at += s->form[i].len;
			found = true;
		}
	}
	return found;
}

bool scrub_any(struct scrub *const *sets, unsigned n, const void *p, size_t len)
{
	for (unsigned j = 0; j < n; j++)
		for (unsigned i = 0; i < sets[j]->n; i++)
			if (memmem(p, len, sets[j]->form[i].p, sets[j]->form[i].len))
				return true;
	return false;
}

/* scrub_begins() - how many of the last bytes could be the beginning of a form */
size_t scrub_begins(const struct scrub *s, const uint8_t *p, size_t len)
{
	size_t most = 0;

	for (unsigned i = 0; i < s->n; i++) {
		const struct form *f = &s->form[i];
		size_t left = f->len - 1 < len ? f->len - 1 : len;

		while (left > most) {
			const uint8_t *at = memchr(p + len - left, f->p[0], left);

			if (!at)
				break;
			left = (size_t)(p + len - at);
			if (left <= most)
				break;
			if (memcmp(at, f->p, left) == 0) {
				most = left;
				break;
			}
			left--;
		}
	}
	return most;
}
