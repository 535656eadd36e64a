/* test_audit.c - records are chained, survive restarts and crashes, and nothing can be altered unseen */
#include "check.h"
#include "base/io.h"
#include "proto/egress.h"
#include "store/audit.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct audit_who who = {"0123456789abcdef", "box", "shell"};

struct place {
	char dir[64], file[96];
};

static struct place make(void)
{
	struct place p = {.dir = "/tmp/sbx-audit-XXXXXX"};

	assert_non_null(mkdtemp(p.dir));
	(void)snprintf(p.file, sizeof(p.file), "%s/%s", p.dir, AUDIT_FILE);
	return p;
}

static void clean(const struct place *p)
{
	char cmd[128];

	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", p->dir);
	assert_int_equal(system(cmd), 0);
}

static void add(struct audit *a, const char *host, enum egress_decision decision, unsigned times)
{
	struct egress_record rec = {.event = EGRESS_ON_HTTP,
		.decision = decision,
		.host = host,
		.port = 443,
		.method = "GET",
		.path = "/x",
		.rule = "",
		.reason = "default-deny",
		.credential = "",
		.note = ""};
	struct err e = {0};
	struct buf b;

	buf_init(&b, 1 << 20);
	for (unsigned i = 0; i < times; i++)
		assert_int_equal(egress_put_record(&b, &rec), 0);
	assert_int_equal(audit_add(a, &who, (uint8_t *)b.data, b.len, &e), 0);
	buf_fini(&b);
}

static struct audit *opened(const struct place *p)
{
	struct err e = {0};
	struct audit *a;

	assert_int_equal(audit_open(p->dir, &a, &e), 0);
	return a;
}

static struct audit_report verified(const struct place *p)
{
	struct audit_report rep;
	struct err e = {0};

	assert_int_equal(audit_verify(p->dir, &rep, &e), 0);
	return rep;
}

static void chain_goes_on(void **state)
{
	struct place p = make();
	struct audit *a = opened(&p);
	struct audit_report rep;
	struct err e = {0};
	(void)state;

	add(a, "a.test", EGRESS_DENY, 3);
	assert_int_equal(audit_admin(a, "policy.allow", "box", "a.test", &e), 0);
	audit_close(a);
	a = opened(&p);
	add(a, "b.test", EGRESS_ALLOW, 2);
	audit_close(a);
	rep = verified(&p);
	assert_string_equal(rep.why, "");
	assert_int_equal(rep.records, 6);
	assert_int_equal(rep.last, 6);
	clean(&p);
}

static struct buf content(const struct place *p)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	assert_int_equal(io_read_file(AT_FDCWD, p->file, &b), 0);
	return b;
}

static void replace(const struct place *p, const void *bytes, size_t len)
{
	AUTO_FD fd = open(p->file, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
}

static void every_change_is_seen(void **state)
{
	struct place p = make();
	struct audit *a = opened(&p);
	struct buf b;
	size_t second;
	(void)state;

	add(a, "a.test", EGRESS_DENY, 4);
	audit_close(a);
	b = content(&p);
	for (size_t i = 0; i < b.len; i += 13) { /* one byte changed */
		char was = b.data[i];

		b.data[i] = was == 'x' ? 'y' : 'x';
		replace(&p, b.data, b.len);
		assert_string_not_equal(verified(&p).why, "");
		b.data[i] = was;
	}
	second = (size_t)((char *)memchr(b.data, '\n', b.len) - b.data) + 1;
	replace(&p, b.data + second,
		b.len - second); /* the first left out: seen by nothing but seq */
	assert_int_equal(verified(&p).first, 2);
	replace(&p, b.data, second); /* the end cut off */
	assert_string_equal(verified(&p).why, "records at its end are missing");
	replace(&p, b.data, b.len);
	assert_string_equal(verified(&p).why, "");
	buf_fini(&b);
	clean(&p);
}

static void crash_in_a_line(void **state)
{
	struct place p = make();
	struct audit *a = opened(&p);
	struct buf b;
	(void)state;

	add(a, "a.test", EGRESS_DENY, 2);
	audit_close(a);
	b = content(&p);
	assert_int_equal(buf_add(&b, "{\"seq\":3,\"ti", 12), 0);
	replace(&p, b.data, b.len);
	a = opened(&p);
	add(a, "b.test", EGRESS_DENY, 1);
	audit_close(a);
	assert_string_equal(verified(&p).why, "");
	assert_int_equal(verified(&p).records, 3);
	buf_fini(&b);
	clean(&p);
}

static void one_record_is_one_line(void **state)
{
	struct place p = make();
	struct audit *a = opened(&p);
	struct buf b;
	size_t lines = 0;
	(void)state;

	add(a, "a\n\"}\r\x1b[2J\xe2\x80\xa8\",\"decision\":\"allow", EGRESS_DENY, 1);
	audit_close(a);
	b = content(&p);
	for (size_t i = 0; i < b.len; i++) {
		assert_true(b.data[i] == '\n' || (b.data[i] >= ' ' && b.data[i] < 0x7f));
		lines += b.data[i] == '\n';
	}
	assert_int_equal(lines, 1);
	assert_non_null(strstr(b.data, "\"decision\":\"deny\""));
	assert_null(strstr(b.data, ",\"decision\":\"allow\""));
	buf_fini(&b);
	clean(&p);
}

static unsigned count(const struct place *p, const struct audit_filter *f, uint64_t *last)
{
	struct err e = {0};
	struct buf b;
	unsigned n = 0;

	buf_init(&b, 1 << 22);
	assert_int_equal(audit_read(p->dir, f, &b, last, &e), 0);
	for (size_t i = 0; i < b.len; i++)
		n += b.data[i] == '\n';
	buf_fini(&b);
	return n;
}

static void reading(void **state)
{
	struct place p = make();
	struct audit *a = opened(&p);
	uint64_t last;
	(void)state;

	add(a, "a.test", EGRESS_DENY, 5);
	add(a, "b.test", EGRESS_ALLOW, 7);
	assert_int_equal(count(&p, &(struct audit_filter){.sandbox = NULL}, &last), 12);
	assert_int_equal(last, 12);
	assert_int_equal(count(&p, &(struct audit_filter){.decision = "deny"}, &last), 5);
	assert_int_equal(count(&p, &(struct audit_filter){.sandbox = "box", .limit = 3}, &last), 3);
	assert_int_equal(count(&p, &(struct audit_filter){.sandbox = "other"}, &last), 0);
	assert_int_equal(count(&p, &(struct audit_filter){.after = 10}, &last), 2);
	assert_int_equal(count(&p, &(struct audit_filter){.event = "dns"}, &last), 0);
	audit_close(a);
	clean(&p);
}

static void malformed_is_refused(void **state)
{
	struct place p = make();
	struct audit *a = opened(&p);
	struct err e = {0};
	(void)state;

	assert_int_equal(audit_add(a, &who, (const uint8_t *)"\x09\0abc", 5, &e), -EBADMSG);
	add(a, "a.test", EGRESS_DENY, 1);
	audit_close(a);
	assert_int_equal(verified(&p).records, 1);
	clean(&p);
}

static void a_full_file_is_turned(void **state)
{
	struct place p = make();
	struct audit *a = opened(&p);
	struct audit_report rep;
	char long_host[4000];
	uint64_t last;
	(void)state;

	memset(long_host, 'h', sizeof(long_host) - 1);
	long_host[sizeof(long_host) - 1] = '\0';
	for (unsigned i = 0; i < 120; i++)
		add(a, long_host, EGRESS_DENY, 150); /* 78 MB in all */
	audit_close(a);
	a = opened(&p);
	add(a, "a.test", EGRESS_ALLOW, 1);
	audit_close(a);
	rep = verified(&p);
	assert_string_equal(rep.why, "");
	assert_int_equal(rep.files, 2);
	assert_int_equal(rep.records, 120 * 150 + 1);
	assert_int_equal(count(&p, &(struct audit_filter){.limit = 100}, &last), 100);
	clean(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chain_goes_on),
		cmocka_unit_test(every_change_is_seen),
		cmocka_unit_test(crash_in_a_line),
		cmocka_unit_test(one_record_is_one_line),
		cmocka_unit_test(reading),
		cmocka_unit_test(malformed_is_refused),
		cmocka_unit_test(a_full_file_is_turned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
