/* vault_jail.h - what the vault and its resolver may still do once their jails have closed */
#ifndef EGRESS_VAULT_JAIL_H
#define EGRESS_VAULT_JAIL_H
#include "base/err.h"
#include "jail/filter.h"
#include "jail/report.h"

extern const struct jail_table vault_table, resolver_table;

/* vault_jail() - give up everything but @table, in the order of jail/drop.h; @report may be NULL */
int vault_jail(const struct jail_table *table, struct jail_report *report, struct err *e) MUST_USE;
/* vault_selftest() - "--selftest-jail": attempts from inside of both jails; exit status, -1: not asked for */
int vault_selftest(int argc, char **argv) MUST_USE;
#endif
