/* proc_impl.h - struct proc, for the files that make up a command: proc, exec, output, session, watch */
#ifndef GUEST_PROC_IMPL_H
#define GUEST_PROC_IMPL_H
#include "guest/proc.h"

/* One descriptor that the command writes to. */
struct outlet {
	struct proc *p;
	int fd; /* -1: ended */
	struct loop_fd *src; /* NULL: ended, or the stream has no room */
	enum frame_type type;
	bool limited; /* only left bytes more are taken: somebody else holds the other end */
	size_t left;
};

/* The last bytes of output, for who attaches. */
struct ring {
	char *bytes; /* GUEST_RING_BYTES, or NULL: not kept */
	size_t start, len;
	uint64_t total; /* ever added */
};

struct watcher;

struct proc {
	struct guest *g;
	struct proc *next;
	struct stream *client; /* who gets output and may send input; NULL: nobody */
	struct watcher *watchers; /* who gets output only */
	unsigned n_watchers;
	uint32_t flags; /* AGENT_EXEC_* */
	char session[AGENT_SESSION_MAX + 1];
	uint64_t order; /* of start, to find the oldest session */

	pid_t pid; /* leader of its session and group; stays after its end */
	bool exited; /* reaped: status is set */
	bool done; /* all output is through */
	struct agent_exit status;

	struct outlet out[2];
	struct ring ring;
	struct loop_timer *drain; /* after exit */
	struct loop_timer *hangup; /* from SIGHUP to SIGKILL */

	int in_fd; /* -1: closed or never wanted */
	struct loop_fd *in_src; /* while in is not empty */
	struct buf in;
	bool in_end; /* end of input was said */
	uint32_t credit; /* what the host may still send */
	uint32_t owed; /* written since credit was last given */
};

/* proc.c */
void proc_finish_if_done(struct proc *p);
/* proc_follow() - @s gets everything from here on; it has no other user */
void proc_follow(struct proc *p, struct stream *s);
/* proc_greet() - STARTED and, where input is wanted, the first CREDIT */
int proc_greet(struct proc *p, struct stream *s) MUST_USE;
void proc_free(struct proc *p);
int proc_terminal(const struct proc *p); /* its master side, or -1 */
pid_t proc_foreground(const struct proc *p); /* group that has the terminal, else its own */
void proc_resize(struct proc *p, uint16_t rows, uint16_t cols);
void proc_on_exit(void *ctx, int status);

/* input.c */
/* input_take() - bytes from the host; false when it sent more than it may */
bool input_take(struct proc *p, const uint8_t *bytes, size_t len) MUST_USE;
void input_close(struct proc *p);

/* output.c */
int outlet_open(struct proc *p, unsigned i, int fd, enum frame_type type) MUST_USE;
void outlet_close(struct outlet *o);
/* output_go_on() - the stream has room again, or there is another or none */
void output_go_on(struct proc *p);
/* output_drain() - the process has ended: take what there is, and see to it that an end comes */
void output_drain(struct proc *p);
bool output_is_done(const struct proc *p);
int ring_init(struct ring *r) MUST_USE;
void ring_add(struct ring *r, const char *bytes, size_t len);
/* ring_replay() - append everything kept as STDOUT frames */
int ring_replay(const struct ring *r, struct buf *out) MUST_USE;

/* watch.c */
/* watch_attach() - @s, which it takes over, gets what is kept and all that comes, and is in nobody's way */
void watch_attach(struct proc *p, struct stream *s);
/* watch_go_on() - there is more output, or it is done */
void watch_go_on(struct proc *p);
void watch_drop_all(struct proc *p);

/* session.c */
/* session_find() - by name; NULL */
struct proc *session_find(struct guest *g, const char *name);
/* session_make_room() - forget a finished one where needed; -EEXIST, -EMFILE */
int session_make_room(struct guest *g, const char *name) MUST_USE;
#endif
