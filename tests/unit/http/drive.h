/* drive.h - feed a parser a text in pieces of a given size and note what it told */
#ifndef TEST_HTTP_DRIVE_H
#define TEST_HTTP_DRIVE_H
#include "http/http1.h"
#include <string.h>

struct outcome {
	enum http_event last; /* HTTP_END, HTTP_BAD, or HTTP_MORE when the bytes ran out */
	unsigned heads;
	char body[4096];
	size_t body_len, used;
};

static inline struct outcome drive(
	struct http_parser *p, const char *text, size_t len, size_t piece)
{
	struct outcome o = {.last = HTTP_MORE};
	size_t at = 0;

	while (o.last == HTTP_MORE) {
		size_t n = len - at < piece ? len - at : piece, used = 0, data_len = 0;
		const char *data = NULL;
		enum http_event ev = http_parse(p, text + at, n, &used, &data, &data_len);

		at += used;
		o.used = at;
		if (ev == HTTP_HEAD)
			o.heads++;
		else if (ev == HTTP_DATA && o.body_len + data_len < sizeof(o.body)) {
			memcpy(o.body + o.body_len, data, data_len);
			o.body_len += data_len;
			o.body[o.body_len] = '\0';
		} else if (ev == HTTP_END || ev == HTTP_BAD)
			o.last = ev;
		if (ev == HTTP_MORE && at == len)
			break;
	}
	return o;
}
#endif
