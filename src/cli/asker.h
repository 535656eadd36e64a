/* asker.h - asks the daemon what waits for an answer, beside a session, and brings it the answers
 *
 * A thread of its own with a connection of its own, so that a slow daemon never holds a terminal up. It
 * ends when the socket is closed, and looks ASKER_MS apart. What it says and takes: cli/question.h.
 */
#ifndef CLI_ASKER_H
#define CLI_ASKER_H
#include "base/err.h"
#include <stdbool.h>

#define ASKER_MS 400

enum asker_when {
	ASKER_SETTING, /* unless the setting approve.terminal is "off" */
	ASKER_ALWAYS,
};

/* asker_start() - for the questions of sandbox @name: our end of its socket; closing it is the end */
int asker_start(const char *name, enum asker_when when, struct err *e) MUST_USE;
#endif
