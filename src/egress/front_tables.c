/* The system calls of the front, each with its reason. */
#include "egress/front_drop.h"
#include "jail/rows.h"
#include <sys/socket.h>

static const struct jail_rule rules[] = {
	CALL3(socketpair, JAIL_INT(0, AF_UNIX),
		JAIL_INT(1, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK), JAIL_INT(2, 0),
		"a channel to the vault"),
	CALL(getrandom, "keys and nonces of TLS"),
	CALL(getpid, "the random generator asks whether it was forked"),
#if JAIL_SANITIZED
	CALL(rt_sigprocmask, "the sanitizer"),
	CALL(exit, "the sanitizer"),
#endif
};

const struct jail_table front_table = {
	"front", rules, ARRAY_LEN(rules), {&jail_rows_program, &jail_rows_served}};
