/* sys.h - small acts on the guest's own system, each saying in its error what it tried */
#ifndef GUEST_SYS_H
#define GUEST_SYS_H
#include "base/err.h"
#include <sys/types.h>

/* sys_try() - an act whose failure changes nothing that matters: say why beside it */
static inline void sys_try(int result)
{
	(void)result;
}
/* sys_mkdirs() - make @path and its parents; new ones at or below @own (a path, or NULL) belong to
 * uid:gid, others to root. Existing ones are left as they are. Negative errno.
 */
int sys_mkdirs(const char *path, const char *own, uid_t uid, gid_t gid) MUST_USE;
/* sys_write_file() - whole content of a small file; what is in its place goes first */
int sys_write_file(const char *path, const char *text, mode_t mode) MUST_USE;
/* sys_mount() - mount(2) with a sentence for its failure */
int sys_mount(const char *what, const char *where, const char *type, unsigned long flags,
	const char *options, struct err *e) MUST_USE;
/* sys_cpus_on() - switch on the processors that the kernel left off (see KERNEL_CMDLINE); @dir is
 * /sys/devices/system/cpu. How many were; one that does not come is left.
 */
unsigned sys_cpus_on(const char *dir);
/* sys_loopback_up() - the only network there is; 127.0.0.1 and ::1 come with it */
int sys_loopback_up(struct err *e) MUST_USE;
#endif
