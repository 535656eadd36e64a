/* diagnose.h - what this host has and lacks for sandboxes, each lack with the command that helps */
#ifndef DAEMON_DIAGNOSE_H
#define DAEMON_DIAGNOSE_H
#include "daemon/daemon.h"

/* diagnose() - {"checks":[{"name","status","message","fix"}]}; NULL without memory */
struct js *diagnose(struct daemon *d) MUST_USE;
#endif
