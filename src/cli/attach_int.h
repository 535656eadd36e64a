/* attach_int.h - one attached command and its loop, between attach.c and its steps */
#ifndef CLI_ATTACH_INT_H
#define CLI_ATTACH_INT_H
#include "cli/attach.h"
#include "cli/prompt.h"
#include "cli/session.h"
#include "cli/term.h"

struct attach_run {
	const struct attach *a;
	struct session s;
	struct buf tx, typed;
	struct keys keys;
	struct term_modes modes;
	struct agent_size size;
	int signals; /* signalfd */
	int out_fd; /* where the pending output goes; -1: none is pending */
	size_t out_pos; /* bytes of s.data already written */
	size_t out_chunk, err_chunk;
	enum { IN_OPEN, IN_ENDED, IN_TOLD } input;
	bool tx_dead, err_gone, raw;
	unsigned asked; /* signals that asked us to end */
	int questions; /* -1: none, or no more */
	struct prompt prompt;
	struct scan scan; /* of what was written to the terminal */
	struct buf screen; /* ours, to be written before anything else */
	int64_t nudge_at; /* 0: no */
	uint64_t noted; /* questions up to this one were told on stderr */
	int64_t start_by;
	bool done;
	struct attach_result res;
	struct err *e;
};

/* ---- attach.c ---- */
/* attach_fail() - end with an error of ours */
void attach_fail(struct attach_run *r, enum err_code code, int num, const char *what);
/* attach_resize() - tell the guest the terminal's size when it has changed, or @always */
void attach_resize(struct attach_run *r, bool always);

/* ---- attach_ask.c: questions of the policy, put on the same terminal ---- */
/* attach_news() - the asker has said something */
void attach_news(struct attach_run *r);
/* attach_ask() - what questions need by now */
void attach_ask(struct attach_run *r);
/* attach_take_back() - the end, whatever is asked: the guest's screen, as far as it is there */
void attach_take_back(struct attach_run *r);
#endif
