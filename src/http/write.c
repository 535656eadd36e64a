#include "http/write.h"
#include "http/internal.h"
#include <errno.h>
#include <string.h>

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{100, "Continue"},
	{101, "Switching Protocols"},
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{204, "No Content"},
	{206, "Partial Content"},
	{301, "Moved Permanently"},
	{302, "Found"},
	{303, "See Other"},
	{304, "Not Modified"},
	{307, "Temporary Redirect"},
	{308, "Permanent Redirect"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{411, "Length Required"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{415, "Unsupported Media Type"},
	{417, "Expectation Failed"},
	{421, "Misdirected Request"},
	{426, "Upgrade Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{505, "HTTP Version Not Supported"},
	{507, "Insufficient Storage"},
};

const char *http_reason(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "";
}

static bool all(const char *s, unsigned mask)
{
	for (; *s; s++)
		if (!http_is((unsigned char)*s, mask))
			return false;
	return true;
}

int http_put_request(struct buf *out, const char *method, const char *target)
{
	if (!method[0] || strlen(method) > HTTP_METHOD_MAX || !all(method, HTTP_C_TOKEN))
		return -EINVAL;
	if (!target[0] || strlen(target) > HTTP_TARGET_MAX || !all(target, HTTP_C_TARGET))
		return -EINVAL;
	return buf_addf(out, "%s %s HTTP/1.1\r\n", method, target);
}

int http_put_status(struct buf *out, int status)
{
	if (status < 100 || status > 599)
		return -EINVAL;
	return buf_addf(out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
}

int http_put_field(struct buf *out, const char *name, const char *value)
{
	size_t n = strlen(value);

	if (!name[0] || !all(name, HTTP_C_TOKEN) || !all(value, HTTP_C_VALUE))
		return -EINVAL;
	/* Outer blanks would be lost on the way: the value read would not be the one written. */
	if (n > 0 && (strchr(" \t", value[0]) || strchr(" \t", value[n - 1])))
		return -EINVAL;
	return buf_addf(out, "%s: %s\r\n", name, value);
}

static bool all_n(const char *s, size_t n, unsigned mask)
{
	for (size_t i = 0; i < n; i++)
		if (!http_is((unsigned char)s[i], mask))
			return false;
	return true;
}

int http_put_text(
	struct buf *out, const char *name, size_t name_len, const char *value, size_t value_len)
{
	char *room;
	int r;

	if (name_len == 0 || !all_n(name, name_len, HTTP_C_TOKEN) ||
		!all_n(value, value_len, HTTP_C_VALUE))
		return -EINVAL;
	r = buf_room(out, name_len + value_len + 4, &room);
	if (r < 0)
		return r;
	memcpy(room, name, name_len);
	memcpy(room + name_len, ": ", 2);
	memcpy(room + name_len + 2, value, value_len);
	memcpy(room + name_len + 2 + value_len, "\r\n", 2);
	buf_grew(out, name_len + value_len + 4);
	return 0;
}

int http_put_length(struct buf *out, uint64_t len)
{
	return buf_addf(out, "Content-Length: %llu\r\n", (unsigned long long)len);
}

int http_put_end(struct buf *out)
{
	return buf_add(out, "\r\n", 2);
}

int http_put_chunk(struct buf *out, const void *p, size_t len)
{
	size_t before = out->len;
	int r;

	if (len == 0)
		return 0; /* an empty chunk would end the body */
	r = buf_addf(out, "%zx\r\n", len);
	if (r == 0)
		r = buf_add(out, p, len);
	if (r == 0)
		r = buf_add(out, "\r\n", 2);
	if (r < 0)
		out->len = before;
	return r;
}

int http_put_last_chunk(struct buf *out)
{
	return buf_add(out, "0\r\n\r\n", 5);
}
