#include "guest/usage.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include "base/io.h"
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

/* first_line() - of a file of /proc, which the machine's owner may have hidden */
static int read_proc(const char *path, struct buf *b)
{
	buf_init(b, 65536);
	return io_read_file(AT_FDCWD, path, b);
}

static uint64_t number_after(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static uint64_t cpu_ms(void)
{
	unsigned long long sum = 0, v;
	int field = 0, n = 0;
	const char *p;
	AUTO(buf) b;

	if (read_proc("/proc/stat", &b) < 0 || sscanf(buf_str(&b), "cpu %n", &n) < 0)
		return 0;
	/* user nice system idle iowait irq softirq steal: all but the two that are waiting */
	for (p = buf_str(&b) + n; field < 8 && sscanf(p, "%llu%n", &v, &n) == 1; p += n, field++)
		if (field != 3 && field != 4)
			sum += v;
	return sum * 1000 / (unsigned long long)sysconf(_SC_CLK_TCK);
}

int usage_read(int scratch_fd, struct agent_usage *ret_u)
{
	struct agent_usage u = {0};
	struct statvfs fs;
	struct sysinfo si;
	AUTO(buf) b;

	buf_init(&b, 65536);
	if (sysinfo(&si) < 0)
		return -errno;
	u.mem_total = (uint64_t)si.totalram * si.mem_unit;
	u.mem_available = (uint64_t)si.freeram * si.mem_unit;
	if (io_read_file(AT_FDCWD, "/proc/meminfo", &b) == 0) {
		uint64_t kib = number_after(buf_str(&b), "MemAvailable:");

		if (kib && kib <= UINT64_MAX / 1024)
			u.mem_available = kib * 1024;
	}
	u.cpu_ms = cpu_ms();
	u.processes = si.procs;
	if (scratch_fd >= 0 && fstatvfs(scratch_fd, &fs) == 0) {
		u.scratch_total = (uint64_t)fs.f_blocks * fs.f_frsize;
		u.scratch_free = (uint64_t)fs.f_bavail * fs.f_frsize;
	}
	*ret_u = u;
	return 0;
}
