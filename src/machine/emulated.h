/* emulated.h - what the steps of the emulated engine share; included by emulated*.c only
 *
 * emulated.c life, emulated_files.c what QEMU finds in its root, emulated_args.c its command line,
 * emulated_qmp.c its control socket.
 */
#ifndef MACHINE_EMULATED_H
#define MACHINE_EMULATED_H
#include "base/buf.h"
#include "jail/libs.h"
#include "jail/report.h"
#include "jail/root.h"
#include "machine/engine.h"
#include "machine/qmp.h"
#include <sys/types.h>

/* QEMU's descriptors, by number. */
enum emulated_fd {
	EMU_FD_QMP = 3,
	EMU_FD_CONSOLE,
	EMU_FD_VSOCK,
	EMU_FD_ROOT,
	EMU_FD_SCRATCH,
	EMU_FD_LOCK, /* held open only: the sandbox's lock is free when QEMU is gone too */
	EMU_FD_FS, /* last: not there without shares */
	EMU_FD_COUNT
};

#define EMU_ARGS_MAX	96
#define EMU_TEXT_MAX	4096
#define EMU_ASKED_MAX	8
#define EMU_STDERR_LINE 160

/* What QEMU finds in its root: its libraries, firmware, the guest's kernel and initramfs. */
struct emulated_files {
	struct jail_libs libs;
	struct jail_file file[JAIL_FILES_MAX];
	size_t n;
	char text[8192]; /* paths that were put together here */
	size_t text_len;
	char lib_dirs[1024 + 16]; /* "LD_LIBRARY_PATH=…" of its libraries */
};

struct emulated_args {
	char *argv[EMU_ARGS_MAX];
	size_t n;
	char text[EMU_TEXT_MAX];
	size_t text_len;
	bool full;
};

/* One command QEMU has not answered; answers come in order. */
struct emulated_asked {
	uint32_t tag;
	engine_done_fn done; /* NULL: nobody waits */
	void *ctx;
};

struct emulated_qmp {
	int fd;
	struct buf in;
	struct loop_fd *src;
	struct emulated_asked asked[EMU_ASKED_MAX];
	unsigned n_asked;
	bool greeted;
	char end[QMP_TEXT_MAX]; /* reason of its SHUTDOWN event; "" before */
	void (*broken)(void *ctx, const char *why);
	void *ctx;
};

struct engine {
	const struct machine_plan *plan; /* borrowed */
	struct engine_ends ends;
	struct emulated_files files;
	struct engine_events ev;
	struct loop *loop;
	pid_t pid; /* 0: not running */
	int pidfd, stderr_fd, stat_fd;
	struct loop_fd *pid_src, *stderr_src;
	struct emulated_qmp qmp;
	char why[200]; /* we ended it: the reason; "" else */
	char words[EMU_STDERR_LINE]; /* the line that is coming in on its stderr */
	size_t words_len;
	char last_words[EMU_STDERR_LINE]; /* the last whole one that is no warning */
};

int emulated_files_find(
	struct emulated_files *f, const struct machine_plan *p, struct err *e) MUST_USE;
void emulated_files_fini(struct emulated_files *f);

/* What runs in the engine's jail: QEMU, or the self-test in its place. */
struct emulated_program {
	const char *path;
	char *const *argv;
	const int *fds; /* as struct jail_child */
	size_t n_fds;
	const struct jail_file *file;
	size_t n_files;
	char *lib_dirs; /* for its environment; NULL: none */
	uint64_t file_max; /* no file of it grows beyond; 0: none can grow */
};

/* emulated_spawn() - in its own jail: another user than ours where there is one, no capability, none
 * of our files but the listed, no network, and only these descriptors
 */
int emulated_spawn(const struct emulated_program *p, pid_t *ret_pid, int *ret_pidfd,
	struct jail_report *report, struct err *e) MUST_USE;

/* emulated_args() - -ENOSPC when it does not fit (our bug) */
int emulated_args(struct emulated_args *a, const struct machine_plan *p, bool with_fs) MUST_USE;

/* emulated_qmp_open() - @fd is taken */
int emulated_qmp_open(struct emulated_qmp *q, struct loop *l, int fd,
	void (*broken)(void *ctx, const char *why), void *ctx) MUST_USE;
void emulated_qmp_close(struct emulated_qmp *q);
/* emulated_qmp_ask() - -EAGAIN before the greeting, -EBUSY with too many unanswered */
int emulated_qmp_ask(struct emulated_qmp *q, const char *command, uint32_t tag, engine_done_fn done,
	void *ctx) MUST_USE;
/* emulated_qmp_drain() - read what is left, once the process is gone */
void emulated_qmp_drain(struct emulated_qmp *q);
#endif
