/* question.h - what the terminal's side and the one that asks the daemon tell each other
 *
 * Over a pair of SEQPACKET sockets, one struct a message, in one process (cli/asker.h). ask_news is
 * always the whole of what waits, oldest first; a question that is not in it any more was answered
 * elsewhere, or its time is over. All texts are a guest's and stand here as they came.
 */
#ifndef CLI_QUESTION_H
#define CLI_QUESTION_H
#include <stddef.h>
#include <stdint.h>

#define QUESTIONS_MAX 8 /* shown; more wait behind them */

struct question {
	uint64_t id; /* never 0; a later one's is greater */
	char host[256], method[33], path[513], rule[129];
	uint16_t port;
	int64_t until; /* clock_ms() when it is refused */
};

struct ask_news {
	char sandbox[64];
	size_t n, more; /* more: that wait and are not in q */
	struct question q[QUESTIONS_MAX];
	char trouble[200]; /* the last answer could not be given; "" */
};

enum ask_answer { ASK_NONE, ASK_ALLOW, ASK_ALWAYS, ASK_DENY, ASK_LATER, ASK_LEAVE };

struct ask_reply {
	uint64_t id;
	enum ask_answer answer; /* ASK_ALLOW, ASK_ALWAYS, ASK_DENY */
};
#endif
