/* launch.h - reach the daemon's socket; start the daemon when nobody listens there
 *
 * The socket is reached through a descriptor of its directory, so its path may be of any length.
 */
#ifndef CLI_LAUNCH_H
#define CLI_LAUNCH_H
#include "base/paths.h"

#define LAUNCH_SOCKET "sbxd.sock"

/* launch_connect() - a connected, non-blocking descriptor; -ENOENT or -ECONNREFUSED when no daemon
 * runs (with @e set as for every failure)
 */
int launch_connect(const struct paths *p, struct err *e) MUST_USE;
/* launch_daemon() - start sbxd and wait until it is ready or says why not
 * sbxd --ready-fd N writes one line to N: "ok", or what is wrong, and closes it. -EBUSY:
 * another one has the state directory, and perhaps does not listen yet.
 */
int launch_daemon(const struct paths *p, struct err *e) MUST_USE;
#endif
