#include "cli/keys.h"
#include <errno.h>
#include <string.h>

/* key_of() - the byte that a key's name stands for; -1 when it is none */
static int key_of(const char *s, size_t len)
{
	unsigned char c;

	if (len == 1)
		return (unsigned char)s[0];
	if (len != 6 || strncmp(s, "ctrl-", 5) != 0)
		return -1;
	c = (unsigned char)s[5];
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 1;
	return (c == '@' || (c >= '[' && c <= '_')) ? c - '@' : -1;
}

int keys_parse(const char *text, struct keys *ret_keys, struct err *e)
{
	struct keys k = {0};

	for (const char *p = text; *p;) {
		size_t len = strcspn(p, ",");
		int key;

		if (len == 0 && p[0] == ',' && (p[1] == ',' || p[1] == '\0'))
			len = 1; /* the comma itself */
		key = key_of(p, len);
		if (key < 0 || k.len == KEYS_MAX) {
			(void)err_set(e, ERR_INVALID, -EINVAL,
				"--detach-keys '%.80s' is not a key sequence", text);
			err_hint(e, "up to %d keys such as a or ctrl-p, separated by commas",
				KEYS_MAX);
			return -EINVAL;
		}
		k.seq[k.len++] = (unsigned char)key;
		p += len;
		if (*p == ',')
			p++;
	}
	*ret_keys = k;
	return 0;
}

/* fall_back() - after a mismatch: the longest part of what was typed that still begins the sequence
 * gets held back; the rest is passed on
 */
static void fall_back(struct keys *k, unsigned char c, char *out, size_t *pos)
{
	unsigned char typed[KEYS_MAX + 1];
	size_t n = k->matched, keep;

	memcpy(typed, k->seq, n);
	typed[n++] = c;
	for (keep = n - 1; keep > 0; keep--)
		if (memcmp(typed + n - keep, k->seq, keep) == 0)
			break;
	memcpy(out + *pos, typed, n - keep);
	*pos += n - keep;
	k->matched = keep;
}

bool keys_filter(struct keys *k, const char *in, size_t len, char *out, size_t *ret_out_len)
{
	size_t pos = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)in[i];

		if (k->len > 0 && c == k->seq[k->matched]) {
			if (++k->matched < k->len)
				continue;
			k->matched = 0;
			*ret_out_len = pos;
			return true;
		}
		fall_back(k, c, out, &pos);
	}
	*ret_out_len = pos;
	return false;
}
