#include "daemon/status.h"
#include "base/own.h"
#include <assert.h>
#include <string.h>

static const char *const names[] = {
	[STATUS_CREATING] = "creating",
	[STATUS_STOPPED] = "stopped",
	[STATUS_STARTING] = "starting",
	[STATUS_RUNNING] = "running",
	[STATUS_PAUSED] = "paused",
	[STATUS_STOPPING] = "stopping",
	[STATUS_CRASHED] = "crashed",
	[STATUS_REMOVING] = "removing",
};
static_assert(ARRAY_LEN(names) == STATUS_COUNT, "a name per status");

#define TO(s) (1U << STATUS_##s)

static const unsigned moves[] = {
	[STATUS_CREATING] = TO(STOPPED) | TO(REMOVING),
	[STATUS_STOPPED] = TO(STARTING) | TO(REMOVING),
	[STATUS_STARTING] = TO(RUNNING) | TO(STOPPED) | TO(CRASHED) | TO(STOPPING),
	[STATUS_RUNNING] = TO(PAUSED) | TO(STOPPING) | TO(STOPPED) | TO(CRASHED),
	[STATUS_PAUSED] = TO(RUNNING) | TO(STOPPING) | TO(STOPPED) | TO(CRASHED),
	[STATUS_STOPPING] = TO(STOPPED) | TO(CRASHED),
	[STATUS_CRASHED] = TO(STARTING) | TO(REMOVING),
	[STATUS_REMOVING] = 0,
};
static_assert(ARRAY_LEN(moves) == STATUS_COUNT, "a row per status");

const char *status_name(enum status s)
{
	return (unsigned)s < STATUS_COUNT ? names[s] : "unknown";
}

enum status status_from_name(const char *name)
{
	unsigned i = 0;

	while (i < STATUS_COUNT && strcmp(names[i], name) != 0)
		i++;
	return (enum status)i;
}

bool status_moves(enum status from, enum status to)
{
	return (unsigned)from < STATUS_COUNT && (moves[from] >> to) & 1;
}

bool status_has_machine(enum status s)
{
	return s == STATUS_STARTING || s == STATUS_RUNNING || s == STATUS_PAUSED ||
	       s == STATUS_STOPPING;
}
