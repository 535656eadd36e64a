#include "base/err.h"
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
	[ERR_NONE] = "none",
	[ERR_INVALID] = "invalid",
	[ERR_NOT_FOUND] = "not_found",
	[ERR_CONFLICT] = "conflict",
	[ERR_DENIED] = "denied",
	[ERR_UNAVAILABLE] = "unavailable",
	[ERR_TIMEOUT] = "timeout",
	[ERR_LIMIT] = "limit",
	[ERR_INTERNAL] = "internal",
};
static_assert(ARRAY_LEN(names) == ERR_CODE_COUNT, "a name per code");

const char *err_code_name(enum err_code code)
{
	return (unsigned)code < ERR_CODE_COUNT ? names[code] : names[ERR_INTERNAL];
}

enum err_code err_code_from_name(const char *name)
{
	for (unsigned i = 0; i < ERR_CODE_COUNT; i++)
		if (strcmp(names[i], name) == 0)
			return (enum err_code)i;
	return ERR_INTERNAL;
}

enum err_code err_code_from_errno(int num)
{
	switch (-num) {
	case ENOENT:
	case ESRCH:
		return ERR_NOT_FOUND;
	case EEXIST:
	case EBUSY:
	case EALREADY:
		return ERR_CONFLICT;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_DENIED;
	case EINVAL:
	case ENAMETOOLONG:
	case ENOTDIR:
	case EISDIR:
	case ELOOP:
	case EBADMSG:
	case EILSEQ:
		return ERR_INVALID;
	case ETIMEDOUT:
	case ETIME:
		return ERR_TIMEOUT;
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case E2BIG:
	case EFBIG:
		return ERR_LIMIT;
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
	case ENOSYS:
	case EOPNOTSUPP:
		return ERR_UNAVAILABLE;
	default:
		return ERR_INTERNAL;
	}
}

int err_set(struct err *e, enum err_code code, int num, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return num;
	e->code = code;
	e->num = num;
	e->hint[0] = '\0';
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	return num;
}

int err_sys(struct err *e, int num, const char *fmt, ...)
{
	char text[ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(e, err_code_from_errno(num), num, "%s: %s", text, strerror(-num));
}

int err_wrap(struct err *e, int num, const char *fmt, ...)
{
	char text[ERR_MSG_MAX], old[ERR_MSG_MAX];
	va_list ap;

	if (!e)
		return num;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (e->code == ERR_NONE)
		return err_sys(e, num, "%s", text);
	memcpy(old, e->msg, sizeof(old));
	if (snprintf(e->msg, sizeof(e->msg), "%s: %s", text, old) >= (int)sizeof(e->msg))
		memcpy(e->msg + sizeof(e->msg) - 4, "...", 4);
	return num;
}

void err_hint(struct err *e, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(e->hint, sizeof(e->hint), fmt, ap);
	va_end(ap);
}
