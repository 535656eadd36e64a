/* args_internal.h - what the parsers share; argp stays within args_*.c */
#ifndef CLI_ARGS_INTERNAL_H
#define CLI_ARGS_INTERNAL_H
#include "cli/args.h"
#include <argp.h>

/* args_is_option() - does @key stand in the table? The rest are argp's events. */
bool args_is_option(const struct argp_option *table, int key);
/* args_flags() - argp flags for a mode; arguments that a terminal must not see keep argp silent */
unsigned args_flags(enum args_mode mode, int argc, char **argv);
#endif
