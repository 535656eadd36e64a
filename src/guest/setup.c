#include "guest/setup.h"
#include "base/io.h"
#include "guest/exports.h"
#include "guest/net.h"
#include "guest/sys.h"
#include "guest/trust.h"
#include "guest/user.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

/* The forwarder answers within five seconds, come what may. */
#define RESOLV_CONF "nameserver " NET_GATEWAY4 "\noptions timeout:6 attempts:1\n"

int setup_clock(uint64_t ns)
{
	struct timespec t = {
		.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

	return clock_settime(CLOCK_REALTIME, &t) < 0 ? -errno : 0;
}

/* add_entropy() - credited: from here on nothing waits for randomness, and no two are alike */
static int add_entropy(const uint8_t bytes[64])
{
	/* struct rand_pool_info: count of bits, count of bytes, the bytes */
	struct {
		int bits, size;
		uint8_t bytes[64];
	} pool = {.bits = 512, .size = 64};
	AUTO_FD fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	memcpy(pool.bytes, bytes, sizeof(pool.bytes));
	r = ioctl(fd, RNDADDENTROPY, &pool) < 0 ? -errno : 0;
	explicit_bzero(&pool, sizeof(pool));
	return r;
}

int setup_refresh(const struct agent_setup *m, struct err *e)
{
	int r = setup_clock(m->time_ns);

	if (r < 0)
		return err_sys(e, r, "set the clock");
	r = add_entropy(m->entropy);
	return r < 0 ? err_sys(e, r, "add entropy") : 0;
}

/* has_word() - is @word in @text with blanks around it? */
static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
		if ((at == text || strchr(" \t\n", at[-1])) &&
			(at[n] == '\0' || strchr(" \t\n", at[n])))
			return true;
	return false;
}

/* name_hosts() - a line for the own name, if the file has none; the rest is the user's */
static int name_hosts(const char *name)
{
	char line[160];
	AUTO(buf) b;
	int r;

	buf_init(&b, 65536);
	r = io_read_file(AT_FDCWD, "/etc/hosts", &b);
	if (r < 0 && r != -ENOENT && r != -ELOOP)
		return r;
	if (b.len && (!name[0] || has_word(b.data, name)))
		return 0;
	(void)snprintf(line, sizeof(line), "127.0.1.1 %s\n", name);
	if (b.len == 0)
		r = buf_addf(&b, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
	else
		r = b.data[b.len - 1] == '\n' ? 0 : buf_addf(&b, "\n");
	if (r == 0 && name[0])
		r = buf_addf(&b, "%s", line);
	return r < 0 ? r : sys_write_file("/etc/hosts", b.data, 0644);
}

static int name_machine(const struct agent_setup *m, struct err *e)
{
	char line[80];
	int r;

	if (m->hostname[0] && sethostname(m->hostname, strlen(m->hostname)) < 0)
		return err_sys(e, -errno, "set the host name");
	(void)mkdir("/etc", 0755);
	(void)snprintf(line, sizeof(line), "%s\n", m->hostname);
	r = sys_write_file("/etc/hostname", line, 0644);
	if (r == 0)
		r = name_hosts(m->hostname);
	if (r == 0)
		r = sys_write_file("/etc/resolv.conf", RESOLV_CONF, 0644);
	return r < 0 ? err_sys(e, r, "write the machine's names into '/etc'") : 0;
}

static int make_cwd(const struct agent_setup *m, struct err *e)
{
	int r = m->cwd[0] == '/' ? sys_mkdirs(m->cwd, m->cwd, m->uid, m->gid) : 0;

	return r < 0 ? err_sys(e, r, "make the working directory '%s'", m->cwd) : 0;
}

int setup_apply(const struct agent_setup *m, int scratch_fd,
	void (*step)(void *ctx, const char *what), void *ctx, struct err *e)
{
	int r = setup_refresh(m, e);

	if (r == 0)
		r = name_machine(m, e);
	if (r == 0)
		r = sys_loopback_up(e);
	if (r == 0)
		r = trust_install("", m->ca, e);
	if (r == 0)
		r = user_add(m, e);
	if (r == 0 && (m->n_mounts || m->n_volumes)) {
		step(ctx, m->n_mounts ? "mounting workspaces" : "mounting volumes");
		r = exports_mount(m, scratch_fd, e);
	}
	return r < 0 ? r : make_cwd(m, e);
}
