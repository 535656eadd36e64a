#include "keyring/wire.h"
#include "base/wire.h"
#include <string.h>

#define MAGIC	0x4b584253u /* "SBXK" */
#define VERSION 1

static bool printable(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] < ' ' || s[i] > '~')
			return false;
	return true;
}

static bool sound(const struct keyring_message *m, bool answer)
{
	size_t id = strlen(m->id);

	if (id != strspn(m->id, "0123456789abcdef") || (id != 0 && id != KEYRING_ID_LEN))
		return false;
	if (answer)
		return m->code < KEYRING_RESULTS && m->flags <= KEYRING_FLAG_LOCKED;
	if (m->code < KEYRING_PROBE || m->code > KEYRING_DROP || m->flags != 0 || m->wait_s == 0)
		return false;
	if ((id == 0) != (m->code == KEYRING_PROBE))
		return false;
	return (m->value[0] != '\0') == (m->code == KEYRING_PUT) && m->wait_s <= KEYRING_WAIT_MAX;
}

static void put_text(struct wire_w *w, const char *s)
{
	size_t n = strlen(s);

	wire_put_u16(w, (uint16_t)n);
	wire_put_bytes(w, s, n);
}

static bool get_text(struct wire_r *r, char *dst, size_t max)
{
	size_t n = wire_get_u16(r);
	const uint8_t *p = n <= max ? wire_get_bytes(r, n) : NULL;

	if (!p || !printable((const char *)p, n))
		return false;
	memcpy(dst, p, n);
	dst[n] = '\0';
	return true;
}

size_t keyring_put(const struct keyring_message *m, bool answer, uint8_t dst[KEYRING_BYTES_MAX])
{
	struct wire_w w = wire_writer(dst, KEYRING_BYTES_MAX);

	if (!sound(m, answer) || !printable(m->value, strlen(m->value)) ||
		!printable(m->text, strlen(m->text)))
		return 0;
	wire_put_u32(&w, MAGIC);
	wire_put_u8(&w, VERSION);
	wire_put_u8(&w, m->code);
	wire_put_u8(&w, m->flags);
	wire_put_u8(&w, 0);
	wire_put_u16(&w, m->wait_s);
	put_text(&w, m->id);
	put_text(&w, m->value);
	put_text(&w, m->text);
	return w.bad ? 0 : w.pos;
}

bool keyring_get(const void *p, size_t len, bool answer, struct keyring_message *ret_m)
{
	struct wire_r r = wire_reader(p, len);
	bool ok = wire_get_u32(&r) == MAGIC;

	*ret_m = (struct keyring_message){0};
	ok &= wire_get_u8(&r) == VERSION;
	ret_m->code = wire_get_u8(&r);
	ret_m->flags = wire_get_u8(&r);
	ok &= wire_get_u8(&r) == 0;
	ret_m->wait_s = wire_get_u16(&r);
	ok = ok && get_text(&r, ret_m->id, KEYRING_ID_LEN) &&
	     get_text(&r, ret_m->value, KEYRING_VALUE_MAX) &&
	     get_text(&r, ret_m->text, KEYRING_TEXT_MAX);
	return ok && wire_done(&r) && sound(ret_m, answer);
}
