/* proc.h - what /proc says about a process: to know it again after a restart of the daemon */
#ifndef DAEMON_PROC_H
#define DAEMON_PROC_H
#include "base/own.h"
#include <stdint.h>
#include <sys/types.h>

/* proc_start_time() - in clock ticks since boot; 0 when there is no such process (or a zombie) */
uint64_t proc_start_time(pid_t pid);
/* proc_open() - pidfd of the process with that pid and start time; -ESRCH */
int proc_open(pid_t pid, uint64_t start) MUST_USE;
/* proc_of_peer() - pidfd of the process that listens on the other end of @link, by the kernel's
 * word, while it lives; -ESRCH
 */
int proc_of_peer(int link, pid_t *ret_pid) MUST_USE;
#endif
