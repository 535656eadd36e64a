#include "machine/emulated.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* The guest's kernel: what the host knows better than its probing does. Measured in
 * docs/performance.md; none of it weakens the host.
 *
 * maxcpus=1: QEMU before 8.1 reads an instruction, and only then begins to watch its page for
 * writes. A kernel that patches its own code on one processor while another has the same place
 * translated may leave that one with the breakpoint of the patching for ever: about one start in a
 * hundred fell silent so, where the clock is marked stable. With one processor there is no such
 * moment; sbx-guest switches the others on when the patching of a start is over. noreplace-smp:
 * else the kernel would patch itself for one processor, and back.
 */
#define KERNEL_CMDLINE                                                                             \
	"console=ttyS0 quiet loglevel=3 panic=-1 reboot=t no_timer_check tsc=reliable "            \
	"random.trust_cpu=on i8042.noaux rcupdate.rcu_expedited=1 cryptomgr.notests=1 "            \
	"maxcpus=1 noreplace-smp"

static void add(struct emulated_args *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void add(struct emulated_args *a, const char *fmt, ...)
{
	size_t cap = sizeof(a->text) - a->text_len;
	char *at = a->text + a->text_len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(at, cap, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= cap || a->n + 1 >= EMU_ARGS_MAX) {
		a->full = true;
		return;
	}
	a->argv[a->n++] = at;
	a->text_len += (size_t)n + 1;
}

/* Nothing that was not asked for: no default devices, no configuration files, no network, no
 * display, no disks but ours, and QEMU's own seccomp list below ours.
 */
static void add_base(struct emulated_args *a, const struct machine_plan *p)
{
	add(a, "sbx-qemu");
	add(a, "-nodefaults");
	add(a, "-no-user-config");
	add(a, "-no-reboot");
	add(a, "-display");
	add(a, "none");
	add(a, "-L");
	add(a, "/firmware");
	add(a, "-sandbox");
	add(a, "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	add(a, "-M");
	add(a, "q35,memory-backend=ram,smbus=off,sata=off,vmport=off,usb=off");
	add(a, "-global");
	add(a, "apic-common.vapic=off");
	add(a, "-cpu");
	/* No nested machines: their emulation is not needed. Without svm QEMU would also leave out
	 * the leaf that tells the width of addresses, which the kernel needs to read its own names;
	 * four-level page tables are enough for the memory a sandbox may have.
	 */
	add(a, "max,svm=off,la57=off,xlevel=0x80000008");
	add(a, "-accel");
	add(a, "tcg,thread=multi,tb-size=%u", ENGINE_CODE_MB);
	add(a, "-smp");
	add(a, "%u", p->cpus);
	add(a, "-m");
	add(a, "%lluk", (unsigned long long)(p->memory_bytes >> 10));
	/* Shared with the device process by its descriptor; sealed, so that it cannot shrink there. */
	add(a, "-object");
	add(a, "memory-backend-memfd,id=ram,share=on,seal=on,size=%llu",
		(unsigned long long)p->memory_bytes);
}

static void add_control(struct emulated_args *a)
{
	add(a, "-chardev");
	add(a, "socket,id=qmp,fd=%d", EMU_FD_QMP);
	add(a, "-mon");
	add(a, "chardev=qmp,mode=control");
	add(a, "-chardev");
	add(a, "socket,id=console,fd=%d", EMU_FD_CONSOLE);
	add(a, "-serial");
	add(a, "chardev:console");
}

static void add_disk(struct emulated_args *a, int fd, int set, const char *name, bool read_only)
{
	add(a, "-add-fd");
	add(a, "fd=%d,set=%d", fd, set);
	add(a, "-blockdev");
	add(a,
		"driver=raw,node-name=%s,read-only=%s,discard=unmap,file.driver=file,"
		"file.filename=/dev/fdset/%d,file.locking=off,file.aio=threads",
		name, read_only ? "on" : "off", set);
	add(a, "-device");
	add(a,
		"virtio-blk-pci,drive=%s,serial=%s,disable-legacy=on,"
		"werror=report,rerror=report",
		name, name);
}

static void add_devices(struct emulated_args *a, bool with_fs)
{
	add_disk(a, EMU_FD_ROOT, 1, "root", true);
	add_disk(a, EMU_FD_SCRATCH, 2, "scratch", false);
	add(a, "-object");
	add(a, "rng-builtin,id=rng");
	add(a, "-device");
	add(a, "virtio-rng-pci,rng=rng,disable-legacy=on");
	add(a, "-chardev");
	add(a, "socket,id=vsock,fd=%d", EMU_FD_VSOCK);
	add(a, "-device");
	/* a vector for each queue and one for the configuration: with fewer all queues share one */
	add(a, "vhost-user-vsock-pci,chardev=vsock,vectors=4");
	if (!with_fs)
		return;
	add(a, "-chardev");
	add(a, "socket,id=fs,fd=%d", EMU_FD_FS);
	add(a, "-device");
	add(a, "vhost-user-fs-pci,chardev=fs,tag=sbx,queue-size=1024");
}

int emulated_args(struct emulated_args *a, const struct machine_plan *p, bool with_fs)
{
	*a = (struct emulated_args){0};
	add_base(a, p);
	add_control(a);
	add_devices(a, with_fs);
	add(a, "-kernel");
	add(a, "/kernel");
	add(a, "-initrd");
	add(a, "/initrd");
	add(a, "-append");
	add(a, "%s", KERNEL_CMDLINE);
	return a->full ? -ENOSPC : 0;
}
