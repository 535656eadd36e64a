/* console.h - the guest's serial output: drained always, kept within a size on disk
 *
 * When the file is full its older half is dropped, so a reader sees the end of the output as a
 * plain file. The last bytes are also kept in memory, to say why a start failed.
 * Thread: the machine's loop.
 */
#ifndef MACHINE_CONSOLE_H
#define MACHINE_CONSOLE_H
#include "base/loop.h"
#include <stddef.h>
#include <stdint.h>

#define CONSOLE_TAIL 1024

struct console {
	int from_fd; /* owned */
	int file_fd; /* borrowed */
	uint64_t size_bytes, max_bytes;
	struct loop_fd *src;
	char tail[CONSOLE_TAIL];
	size_t tail_len;
};

/* console_open() - @from_fd is taken; -EINVAL: the file is not a regular one */
int console_open(
	struct console *c, struct loop *l, int from_fd, int file_fd, uint64_t max_bytes) MUST_USE;
void console_close(struct console *c); /* drains what is there first; copes with never opened */
/* console_last_line() - the last line that is not empty, cut to @cap; "" when there is none */
void console_last_line(const struct console *c, char *dst, size_t cap);
/* console_find() - the rest of the line that begins with @text in what is kept; NULL: not there */
const char *console_find(const struct console *c, const char *text, char *dst, size_t cap);
#endif
