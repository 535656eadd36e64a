/* io.h - whole reads and writes with deadlines, small files, atomic replacement
 *
 * Deadlines are points of clock_ms(); IO_FOREVER waits without end and is for the own terminal
 * only. All functions return a negative errno on failure; -ETIMEDOUT when the deadline passed.
 */
#ifndef BASE_IO_H
#define BASE_IO_H
#include "base/buf.h"
#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>

#define IO_FOREVER INT64_MAX

/* io_read_full() - exactly @len bytes; -EPIPE when the peer ends before them (0 bytes: -ENODATA) */
int io_read_full(int fd, void *p, size_t len, int64_t deadline) MUST_USE;
int io_write_full(int fd, const void *p, size_t len, int64_t deadline) MUST_USE;
/* io_wait() - poll @fd for @events; 0 when ready, -ETIMEDOUT */
int io_wait(int fd, short events, int64_t deadline) MUST_USE;
/* io_read_file() - append the whole file to @out; -EFBIG when it does not fit out->max */
int io_read_file(int dirfd, const char *path, struct buf *out) MUST_USE;
int io_read_fd(int fd, struct buf *out) MUST_USE;
/* io_replace_file() - write a temporary beside it, fsync, rename over @path, fsync the directory */
int io_replace_file(int dirfd, const char *path, const void *p, size_t len, mode_t mode) MUST_USE;
/* io_set_nonblock(), io_set_cloexec() */
int io_set_nonblock(int fd, bool on) MUST_USE;
int io_set_cloexec(int fd, bool on) MUST_USE;
/* io_send_fd()/io_recv_fd() - one message with at most one descriptor over a unix socket
 * io_send_fd: @fd -1 sends none. io_recv_fd: returns bytes (0 = end); *ret_fd -1 when none came;
 * more than one descriptor is -EBADMSG and all are closed; received ones are close-on-exec.
 */
int io_send_fd(int sock, const void *p, size_t len, int fd, int64_t deadline) MUST_USE;
ssize_t io_recv_fd(int sock, void *p, size_t cap, int *ret_fd, int64_t deadline) MUST_USE;
#endif
