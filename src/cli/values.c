#include "cli/values.h"
#include "base/name.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* unit_shift() - power of two that a unit stands for; -1 when it is none */
static int unit_shift(const char *s)
{
	static const struct {
		char letter;
		int shift;
	} units[] = {{'k', 10}, {'m', 20}, {'g', 30}, {'t', 40}, {'p', 50}};

	if (s[0] == '\0' || strcasecmp(s, "b") == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if ((s[0] | 0x20) == units[i].letter &&
			(s[1] == '\0' || strcasecmp(s + 1, "b") == 0 ||
				strcasecmp(s + 1, "ib") == 0))
			return units[i].shift;
	return -1;
}

static int bad_size(const char *text, const char *what, struct err *e)
{
	(void)err_set(e, ERR_INVALID, -EINVAL, "%s '%.80s' is not a size", what, text);
	err_hint(e, "a size is a number with k, m, g or t, such as 512m or 4g");
	return -EINVAL;
}

int value_size(const char *text, const char *what, int64_t *ret_bytes, struct err *e)
{
	uint64_t whole = 0, frac = 0, scale = 1, bytes;
	const char *p = text;
	int shift;

	if (!is_digit(*p))
		return bad_size(text, what, e);
	for (; is_digit(*p); p++)
		if (__builtin_mul_overflow(whole, 10U, &whole) ||
			__builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole))
			whole = UINT64_MAX / 10; /* stays absurd, whatever follows */
	if (*p == '.') {
		if (!is_digit(*++p))
			return bad_size(text, what, e);
		for (; is_digit(*p); p++)
			if (scale < 1000000) {
				frac = frac * 10 + (uint64_t)(*p - '0');
				scale *= 10;
			}
	}
	shift = unit_shift(p);
	if (shift < 0)
		return bad_size(text, what, e);
	if (whole > VALUES_SIZE_MAX >> shift)
		return err_set(e, ERR_INVALID, -EINVAL, "%s '%.80s' is more than 1p", what, text);
	bytes = (whole << shift) + (frac << shift) / scale;
	if (bytes == 0)
		return err_set(e, ERR_INVALID, -EINVAL, "%s '%.80s' is nothing", what, text);
	*ret_bytes = (int64_t)bytes;
	return 0;
}

int value_count(
	const char *text, const char *what, long min, long max, long *ret_count, struct err *e)
{
	long n = 0;
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if (!is_digit(text[i]))
			len = 0;
	if (len == 0)
		return err_set(
			e, ERR_INVALID, -EINVAL, "%s '%.80s' is not a whole number", what, text);
	for (size_t i = 0; i < len && n <= max; i++)
		n = n * 10 + (text[i] - '0');
	if (n < min || n > max)
		return err_set(e, ERR_INVALID, -EINVAL, "%s '%.80s' is not between %ld and %ld",
			what, text, min, max);
	*ret_count = n;
	return 0;
}

int value_isolation(const char *text, struct err *e)
{
	static const char *const tiers[] = {"auto", "kvm", "emulated"};

	for (size_t i = 0; i < ARRAY_LEN(tiers); i++)
		if (strcmp(text, tiers[i]) == 0)
			return 0;
	(void)err_set(e, ERR_INVALID, -EINVAL, "--isolation '%.80s' is unknown", text);
	err_hint(e, "auto, kvm or emulated");
	return -EINVAL;
}

int workspace_parse(const char *text, struct workspace *ret_ws, struct err *e)
{
	size_t len = strlen(text);
	bool ro = len >= 3 && strcmp(text + len - 3, ":ro") == 0;

	if (ro)
		len -= 3;
	if (len == 0)
		return err_set(e, ERR_INVALID, -EINVAL, "workspace '%.80s' has no path", text);
	if (len >= sizeof(ret_ws->path))
		return err_set(e, ERR_INVALID, -EINVAL, "workspace '%.80s…' is too long", text);
	memcpy(ret_ws->path, text, len);
	ret_ws->path[len] = '\0';
	ret_ws->read_only = ro;
	return 0;
}

int workspace_resolve(struct workspace *ws, struct err *e)
{
	char real[PATH_MAX];
	struct stat st;

	if (!realpath(ws->path, real))
		return err_sys(e, -errno, "open workspace '%.200s'", ws->path);
	if (stat(real, &st) < 0)
		return err_sys(e, -errno, "open workspace '%.200s'", real);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, -EINVAL,
			"workspace '%.200s' is neither a folder nor a regular file", real);
	if (strcmp(real, "/") == 0) {
		(void)err_set(
			e, ERR_INVALID, -EINVAL, "workspace '/' would hide the whole sandbox");
		err_hint(e, "name the folder that the agent is to work on");
		return -EINVAL;
	}
	if (access(real, S_ISDIR(st.st_mode) ? R_OK | X_OK : R_OK) < 0)
		return err_sys(e, -errno, "open workspace '%.200s'", real);
	memcpy(ws->path, real, strlen(real) + 1);
	return 0;
}

int copy_side_parse(const char *text, struct copy_side *ret_side, struct err *e)
{
	const char *colon = strchr(text, ':'), *slash = strchr(text, '/');
	struct copy_side side = {0};
	const char *path = text;

	if (colon && (!slash || colon < slash)) {
		if ((size_t)(colon - text) >= sizeof(side.box))
			return err_set(e, ERR_INVALID, -EINVAL,
				"'%.80s…' does not begin with the name of a sandbox", text);
		memcpy(side.box, text, (size_t)(colon - text));
		if (name_check(side.box, e) < 0)
			return err_wrap(e, -EINVAL, "copy '%.80s'", text);
		path = colon + 1;
		if (path[0] != '/') {
			(void)err_set(e, ERR_INVALID, -EINVAL,
				"'%.200s': the path in a sandbox must be absolute", text);
			err_hint(e, "for a file of the host with ':' in its name write ./%.80s",
				text);
			return -EINVAL;
		}
	}
	if (path[0] == '\0')
		return err_set(e, ERR_INVALID, -EINVAL, "copy: a path is empty");
	if (strlen(path) >= sizeof(side.path))
		return err_set(e, ERR_INVALID, -EINVAL, "copy: '%.80s…' is too long", path);
	memcpy(side.path, path, strlen(path) + 1);
	*ret_side = side;
	return 0;
}

bool value_is_kit_path(const char *text)
{
	return text[0] == '/' || strcmp(text, ".") == 0 || strcmp(text, "..") == 0 ||
	       strncmp(text, "./", 2) == 0 || strncmp(text, "../", 3) == 0;
}
