/* test_smuggle.c - every byte at every place where two programs may come to see two messages
 *
 * A request within a request's body must never be passed on by itself: a mutated message is refused, or
 * comes out as exactly one request with exactly its body.
 */
#include "check.h"
#include "canon_drive.h"

static struct policy_host host;
static struct http_conn conn = {.scheme = EGRESS_HTTP, .port = 80};

#define INNER	  "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"
#define INNER_LEN 41

static unsigned cases, refused;

static bool is_tchar(unsigned char c)
{
	return c && (strchr("!#$%&'*+-.^_`|~", c) || (c >= '0' && c <= '9') ||
			    ((c | 32) >= 'a' && (c | 32) <= 'z'));
}

static void drive(struct canon_told *t, const char *text, size_t len)
{
	struct canon_told bytewise;

	canon_drive(t, &conn, text, len, SIZE_MAX);
	canon_drive(&bytewise, &conn, text, len, 1);
	assert_string_equal(t->text, bytewise.text);
	assert_int_equal(t->status, bytewise.status);
	assert_true(t->body == bytewise.body);
	cases++;
	refused += t->status != 0;
}

/* splits() - may the byte stand in a field's name, or end it? Then the field is another one. */
static bool splits(unsigned char c)
{
	return is_tchar(c) || c == ':';
}

/* put() - @text with the byte @c before position @at */
static size_t put(char *dst, const char *text, size_t len, size_t at, unsigned char c)
{
	memcpy(dst, text, at);
	dst[at] = (char)c;
	memcpy(dst + at + 1, text + at, len - at);
	return len + 1;
}

static void report(const char *what, const char *text, size_t len, const struct canon_told *t)
{
	print_error("%s: status %d, body %llu\n%s---\n", what, t->status,
		(unsigned long long)t->body, t->text);
	(void)fwrite(text, 1, len, stderr);
}

/* Both lengths: whatever is done to one of them, the inner request stays within. */
static void test_two_lengths(void **state)
{
	static const char *const fields[] = {"Transfer-Encoding: chunked",
		"transfer-encoding: identity", "Transfer-Encoding: gzip, chunked",
		"Transfer-Encoding: chunked, chunked", "Transfer-Encoding: chunked;q=1",
		"Transfer-Encoding:", "Content-Length: 0", "Content-Length: 1",
		"Content-Length: 47", "Content-Length: 46, 46"};
	char text[512], mutated[600];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		for (unsigned order = 0; order < 2; order++) {
			char head[256];
			size_t len, first;

			(void)snprintf(head, sizeof(head), "%s\r\n%s\r\n",
				order ? fields[i] : "Content-Length: 46",
				order ? "Content-Length: 46" : fields[i]);
			len = (size_t)snprintf(text, sizeof(text),
				"POST /outer HTTP/1.1\r\nHost: a.test\r\n%s\r\n0\r\n\r\n" INNER,
				head);
			first = strlen("POST /outer HTTP/1.1\r\nHost: a.test\r\n");
			for (size_t at = first; at < first + strlen(head); at++)
				for (unsigned c = 0; c < 256; c++) {
					struct canon_told t;
					size_t n = put(mutated, text, len, at, (unsigned char)c);

					drive(&t, mutated, n);
					/* mangled into a number or a name of its own it may be taken;
					 * never may the inner request be seen by the other reading */
					if (t.status == 0 && t.requests > 1 &&
						!splits((unsigned char)c))
						report("two requests", mutated, n, &t);
					assert_true(t.status != 0 || t.requests <= 1 ||
						    splits((unsigned char)c));
				}
		}
}

/* One length, mutated: refused, or a name that is another name (and then a field like any other). */
static void mutate_field(const char *field, const char *body, size_t body_len, uint64_t want)
{
	char text[512], mutated[600];
	size_t first = strlen("POST /outer HTTP/1.1\r\nHost: a.test\r\n"), len, name;

	len = (size_t)snprintf(text, sizeof(text),
		"POST /outer HTTP/1.1\r\nHost: a.test\r\n%s\r\n\r\n%.*s", field, (int)body_len,
		body);
	name = strcspn(field, ":");
	for (size_t at = 0; at <= strlen(field); at++)
		for (unsigned c = 0; c < 256; c++) {
			struct canon_told t;
			size_t n = put(mutated, text, len, first + at, (unsigned char)c);
			bool other = at <= name && splits((unsigned char)c);
			/* spaces around a value, a digit that makes it another number */
			bool same = at > name && (c == ' ' || c == '\t' || (c >= '0' && c <= '9'));

			drive(&t, mutated, n);
			if (t.status != 0 && t.requests == 0)
				continue;
			if (!other && !same)
				report("taken", mutated, n, &t);
			assert_true(other || same);
			if (!other && t.status == 0 && t.whole == 1 && (c == ' ' || c == '\t'))
				assert_true(t.body == want && t.requests == 1);
		}
}

static void test_one_length(void **state)
{
	(void)state;
	mutate_field("Content-Length: 41", INNER, INNER_LEN, INNER_LEN);
	mutate_field("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", 15, 5);
	mutate_field("Expect: 100-continue", "", 0, 0);
	mutate_field("Host: b.test", "", 0, 0);
}

/* Sizes of chunks and what stands around them. */
static void test_chunks(void **state)
{
	static const char head[] =
		"POST /outer HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
	static const char body[] = "5\r\nhello\r\n29\r\n" INNER "\r\n0\r\n\r\n";
	char text[512], mutated[600];
	size_t first = sizeof(head) - 1, len;

	(void)state;
	len = (size_t)snprintf(text, sizeof(text), "%s%s", head, body);
	for (size_t at = first; at <= len; at++) {
		bool inside = at > first + 12 + 4 && at < first + 12 + 4 + INNER_LEN;
		bool hello = at > first + 2 && at < first + 9;

		for (unsigned c = 0; c < 256; c++) {
			struct canon_told t;
			size_t n = put(mutated, text, len, at, (unsigned char)c);

			drive(&t, mutated, n);
			assert_int_equal(t.requests, 1);
			assert_null(strstr(t.text, "smuggled"));
			/* whole only when what was put in changed no length: a leading zero; or what
			 * came after the end, which is a message of its own and refused */
			if (t.whole == 1 && !inside && !hello)
				assert_true(c == '0' || at == len || t.body == 5 + INNER_LEN ||
					    t.status != 0);
		}
	}
	static const char *const sizes[] = {"0x5", "+5", "-5", "5 ", " 5", "5;", "5;a=b", "5\t",
		"5_0", "10000000000000005", "FFFFFFFFFFFFFFFF", "100000000000000000", "5\n", "5\r",
		"\r\n5", "five", "", "5,5", "5.0", "５", "00000000000000005"};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct canon_told t;

		len = (size_t)snprintf(
			text, sizeof(text), "%s%s\r\nhello\r\n0\r\n\r\n" INNER, head, sizes[i]);
		drive(&t, text, len);
		if (t.status != 400)
			print_error("size '%s'\n", sizes[i]);
		assert_int_equal(t.status, 400);
		assert_null(strstr(t.text, "smuggled"));
	}
}

/* Line ends: each CR LF of a request replaced by what some take for one. */
static void test_line_ends(void **state)
{
	static const char *const ends[] = {"\n", "\r", "\r\r\n", "\n\r", "\r\n\r\n", "\r\n ",
		"\r\n\t", "\v\n", "\f", "\xc2\x85", "\xe2\x80\xa8", "\r\n\0"};
	static const char *const lines[] = {
		"POST /outer HTTP/1.1", "Host: a.test", "X: y", "Content-Length: 41", ""};
	char text[512];

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(lines); k++)
		for (size_t e = 0; e < ARRAY_LEN(ends); e++) {
			struct canon_told t;
			size_t n = 0;

			if (k == 2 && (unsigned char)ends[e][0] >= 0x80)
				continue; /* bytes of a value like any others */

			for (size_t i = 0; i < ARRAY_LEN(lines); i++)
				n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", lines[i],
					i == k ? ends[e] : "\r\n");
			n += (size_t)snprintf(text + n, sizeof(text) - n, INNER);
			drive(&t, text, n);
			/* an empty line too early ends the head: then there was no length, and what
			 * follows is judged as a message of its own; else all is refused */
			if (strcmp(ends[e], "\r\n\r\n") == 0 || ends[e][0] == '\r')
				assert_null(strstr(t.text, "POST a.test:80/outer x=y\nGET"));
			else
				assert_true(t.status != 0 || t.requests == 0);
			if (strstr(t.text, "smuggled"))
				report("smuggled", text, n, &t);
			assert_null(strstr(t.text, "smuggled"));
		}
}

/* First lines: whatever is put into it. */
static void test_first_line(void **state)
{
	static const char line[] = "GET /hello HTTP/1.1";
	char text[256], mutated[300];
	size_t len = (size_t)snprintf(text, sizeof(text), "%s\r\nHost: a.test\r\n\r\n", line);

	(void)state;
	for (size_t at = 0; at <= sizeof(line) - 1; at++)
		for (unsigned c = 0; c < 256; c++) {
			struct canon_told t;
			size_t n = put(mutated, text, len, at, (unsigned char)c);

			drive(&t, mutated, n);
			assert_true(t.requests <= 1);
			if (at > 10) /* in the version */
				assert_true(t.requests == 0 || t.status != 0);
			if (c <= ' ' || c >= 127)
				assert_int_equal(t.requests, 0);
		}
}

/* Names that a server may take for others: CGI knows no difference between '-' and '_'. */
static void test_look_alikes(void **state)
{
	static const char *const names[] = {"Content_Length", "Transfer_Encoding", "content_Length",
		"Transfer-encoding_", "Authorization_", "X_Api_Key", "proxy_authorization",
		"Host_"};
	char text[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct canon_told t;
		size_t n = (size_t)snprintf(text, sizeof(text),
			"GET / HTTP/1.1\r\nHost: a.test\r\n%s: 1\r\n\r\n", names[i]);
		bool same = names[i][strlen(names[i]) - 1] != '_';

		drive(&t, text, n);
		assert_int_equal(t.status, same ? 400 : 0);
	}
}

static void test_count(void **state)
{
	(void)state;
	print_message("%u mutations, %u refused\n", cases, refused);
	assert_true(cases > 20000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_lengths),
		cmocka_unit_test(test_one_length),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_line_ends),
		cmocka_unit_test(test_first_line),
		cmocka_unit_test(test_look_alikes),
		cmocka_unit_test(test_count),
	};

	if (!policy_host_parse("a.test", 6, &host))
		return 1;
	conn.host = &host;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
