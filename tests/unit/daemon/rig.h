/* rig.h - a real sbxd in a directory of its own, with a fake machine, a fake image and a fake kit
 *
 * Everything lies under one temporary directory; rig_free() ends what was started and removes it.
 * rig_new() gives NULL (after saying why) where the host cannot run it: the test is then skipped.
 */
#ifndef TEST_DAEMON_RIG_H
#define TEST_DAEMON_RIG_H
#include "http/client.h"
#include "json/json.h"
#include <sys/types.h>

struct rig {
	char dir[64];
	char workspace[96];
	pid_t sbxd; /* 0: not running */
};

struct rig *rig_new(void);
/* rig_free() - -1 when sbxd's log holds a sanitizer's report or a failed assertion */
int rig_free(struct rig *r);
const char *rig_path(const struct rig *r, const char *below); /* static buffer, four at a time */
/* rig_up() - start sbxd and wait until it serves; rig_kill() - SIGKILL it */
void rig_up(struct rig *r);
void rig_kill(struct rig *r);
/* rig_try_up() - its exit status and what it said on the ready pipe, when it does not serve */
int rig_try_up(struct rig *r, char *said, size_t cap);
void rig_mode(const struct rig *r, const char *mode); /* of the fake machine */
int rig_connect(const struct rig *r);

/* rig_ask() - one request; status, and the answer in *ret (owned by the rig, until the next call) */
int rig_ask(struct rig *r, const char *method, const char *target, const char *body,
	const struct js **ret);
/* rig_ask_as() - with a body of another type than JSON */
int rig_ask_as(struct rig *r, const char *method, const char *target, const char *type,
	const char *body, const struct js **ret);
/* rig_create() - a sandbox of that name with the workspace; asserts */
void rig_create(struct rig *r, const char *name);
void rig_start(struct rig *r, const char *name);
/* rig_status() - its status word ("gone" when there is none); static buffer */
const char *rig_status(struct rig *r, const char *name);
/* rig_wait_status() - until it has that status, 5 s at most; asserts */
void rig_wait_status(struct rig *r, const char *name, const char *status);
/* rig_machine() - pid of whoever else has its lock file open; 0: nobody */
pid_t rig_machine(struct rig *r, const char *name);
/* rig_id() - its id; static buffer */
const char *rig_id(struct rig *r, const char *name);
/* rig_str() - string member of an answer, "" when it is not one */
const char *rig_str(const struct js *v, const char *key);
#endif
