/* tables.h - the system calls of the machine and of its engine, each with its reason */
#ifndef MACHINE_TABLES_H
#define MACHINE_TABLES_H
#include "jail/filter.h"

/* After the drop: what moves streams, files and messages. Opens beneath held directories only. */
extern const struct jail_table machine_table;
/* From its exec on: loading itself, translating code (needs writable and executable memory), disks. */
extern const struct jail_table emulated_table;
#endif
