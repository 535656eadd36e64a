#include "base/name.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int name_check(const char *name, struct err *e)
{
	size_t len = strlen(name);

	if (len < 2 || len > NAME_MAX_LEN)
		return err_set(e, ERR_INVALID, -EINVAL,
			"sandbox name '%.80s' must have 2 to %d characters", name, NAME_MAX_LEN);
	for (size_t i = 0; i < len; i++)
		if (!is_alnum(name[i]) && name[i] != '-' && name[i] != '.')
			return err_set(e, ERR_INVALID, -EINVAL,
				"sandbox name '%s' may have letters, digits, '-' and '.' only",
				name);
	if (!is_alnum(name[0]) || !is_alnum(name[len - 1]))
		return err_set(e, ERR_INVALID, -EINVAL,
			"sandbox name '%s' must begin and end with a letter or digit", name);
	if (strstr(name, ".."))
		return err_set(e, ERR_INVALID, -EINVAL, "sandbox name '%s' has '..'", name);
	if (strcmp(name, "default") == 0)
		return err_set(e, ERR_INVALID, -EINVAL, "sandbox name 'default' is reserved");
	return 0;
}

void name_from(char dst[NAME_MAX_LEN + 1], const char *prefix, const char *text)
{
	size_t n = (size_t)snprintf(dst, NAME_MAX_LEN + 1, "%.30s-", prefix);

	for (; *text && n < NAME_MAX_LEN; text++) {
		char c = is_alnum(*text) || *text == '.' ? *text : '-';

		if (!is_alnum(c) && !is_alnum(dst[n - 1]))
			continue;
		dst[n++] = c;
	}
	while (n > 0 && !is_alnum(dst[n - 1]))
		n--;
	dst[n] = '\0';
}
