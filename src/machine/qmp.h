/* qmp.h - what QEMU says on its control socket, judged line by line
 *
 * QEMU is as hostile as its guest once it has been taken over: a line is bounded, must be one JSON
 * object, and of that only the kind, an error's description, and an event's name and reason are looked at.
 * Values are skipped with a bounded depth; nothing is built from them but a short text. Pure: no
 * I/O, no allocation.
 * Spec: QEMU docs/interop/qmp-spec.txt.
 */
#ifndef MACHINE_QMP_H
#define MACHINE_QMP_H
#include "base/own.h"
#include <stddef.h>

#define QMP_LINE_MAX  8192
#define QMP_DEPTH_MAX 16
#define QMP_TEXT_MAX  128

enum qmp_kind {
	QMP_BAD, /* not one of the below: the engine is ended */
	QMP_GREETING,
	QMP_RETURN,
	QMP_ERROR, /* text: its description */
	QMP_EVENT, /* text: its name */
};

struct qmp_msg {
	enum qmp_kind kind;
	/* terminated, cut; escapes of JSON are left as they are */
	char text[QMP_TEXT_MAX];
	char detail[QMP_TEXT_MAX]; /* event: "reason" in its data, else "" */
};

/* qmp_parse() - judge one line of @len bytes (without its end); also returns ret_m->kind */
enum qmp_kind qmp_parse(const char *line, size_t len, struct qmp_msg *ret_m);
#endif
