/* network.h - what a sandbox may reach and use, told to a person */
#ifndef CLI_NETWORK_H
#define CLI_NETWORK_H
#include "json/json.h"

/* network_line() - one line out of a sandbox's "network" (docs/api.md), escaped by whoever prints it */
void network_line(const struct js *network, char *dst, size_t cap);
#endif
