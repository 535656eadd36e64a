#include "jail/filter.h"
#include "base/io.h"
#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PROGRAM_MAX (BPF_MAXINSNS * sizeof(struct sock_filter))

static void release(scmp_filter_ctx *ctx)
{
	seccomp_release(*ctx);
}

static uint32_t action(const struct jail_rule *r)
{
	if (r->error == 0)
		return SCMP_ACT_ALLOW;
	return SCMP_ACT_ERRNO(r->error == JAIL_PRETEND ? 0u : (uint32_t)r->error);
}

static int add_rule(scmp_filter_ctx ctx, const struct jail_rule *r)
{
	struct scmp_arg_cmp cmp[JAIL_TESTS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < JAIL_TESTS_MAX; i++) {
		const struct jail_test *t = &r->test[i];

		if (t->mask == 0)
			continue;
		cmp[n++] = (struct scmp_arg_cmp){t->arg, SCMP_CMP_MASKED_EQ, t->mask, t->value};
	}
	return seccomp_rule_add_exact_array(ctx, action(r), r->nr, n, cmp);
}

/* export() - through a memfd: libseccomp 2.5 writes filters to descriptors only */
static int export(scmp_filter_ctx ctx, struct sock_fprog *ret)
{
	AUTO_FD fd = memfd_create("seccomp", MFD_CLOEXEC);
	struct buf b;
	int r;

	if (fd < 0)
		return -errno;
	r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	buf_init(&b, PROGRAM_MAX);
	r = io_read_fd(fd, &b);
	if (r == 0 && (b.len == 0 || b.len % sizeof(struct sock_filter)))
		r = -EBADMSG;
	if (r < 0) {
		buf_fini(&b);
		return r;
	}
	ret->len = (unsigned short)(b.len / sizeof(struct sock_filter));
	ret->filter = (struct sock_filter *)(void *)buf_take(&b);
	return ret->filter ? 0 : -ENOMEM;
}

const struct jail_rule *jail_table_row(const struct jail_table *t, size_t i)
{
	if (i < t->n)
		return &t->rule[i];
	i -= t->n;
	for (size_t k = 0; k < JAIL_PARTS_MAX && t->part[k]; k++) {
		if (i < t->part[k]->n)
			return &t->part[k]->rule[i];
		i -= t->part[k]->n;
	}
	return NULL;
}

int jail_filter_build(const struct jail_table *t, struct sock_fprog *ret_prog, struct err *e)
{
	__attribute__((cleanup(release))) scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	const struct jail_rule *row;
	int r;

	if (!ctx)
		return err_sys(e, -ENOMEM, "seccomp list of the %s", t->name);
	/* Other ABIs, and a tree instead of a list: these processes make many calls. */
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; r == 0 && (row = jail_table_row(t, i)); i++)
		r = add_rule(ctx, row);
	if (r == 0)
		r = export(ctx, ret_prog);
	return r < 0 ? err_sys(e, r, "seccomp list of the %s", t->name) : 0;
}

int jail_filter_install(const struct sock_fprog *prog)
{
	/* TSYNC: a thread that exists already (a device's worker) gets the same list or nobody does. */
	long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, prog);

	if (r > 0)
		return -ESRCH; /* the thread that could not be brought along */
	return r < 0 ? -errno : 0;
}

unsigned jail_filter_calls(const struct jail_table *t)
{
	const struct jail_rule *row;
	unsigned count = 0;

	for (size_t i = 0; (row = jail_table_row(t, i)); i++) {
		bool seen = row->error != 0;

		for (size_t j = 0; j < i && !seen; j++) {
			const struct jail_rule *before = jail_table_row(t, j);

			seen = before->nr == row->nr && !before->error;
		}
		count += !seen;
	}
	return count;
}
