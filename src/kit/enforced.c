#include "kit/spec.h"
#include <errno.h>
#include <string.h>

/* What a start acts on. Whoever makes it act on another field of the schema adds it here, with the
 * test that shows it; everything else is refused by name, as to ignore it would promise what is not
 * done. "x.*" is x and all within.
 */
static const char *const enforced[] = {
	"extends",
	"mixins", /* a list for people: warned about, not applied */
	"requires.*",
	"sandbox",
	"sandbox.image",
	"sandbox.entrypoint",
	"sandbox.command.*",
	"sandbox.resources",
	"sandbox.resources.cpu",
	"sandbox.resources.memory",
	"permissions.*",
	"credentials.*",
	"environment",
	"environment.variables",
	"setup",
	"setup.files.*",
	"security.*", /* root inside is root of its own kernel, with it or without */
	"ports.*",
	"volumes.*",
	"setup.install.*",
	"setup.startup.*",
	"agentInstructions.*",
	"files/home",
	"onlyIfMissing",
	"files/workspace",
	/* schema 1 */
	"network.publishedPorts.*",
	"publishedPorts.*",
	"tmpfs.*",
	"caps.*",
	"network",
	"network.allowedDomains",
	"network.deniedDomains",
	"network.serviceDomains.*",
	"network.serviceAuth.*",
	"environment.proxyManaged",
	"oauth.*",
	"agent",
	"agent.image",
	"agent.entrypoint.*",
	"sandbox.resources.memoryMB",
	"agent.resources",
	"commands",
	"commands.initFiles.*",
	"commands.install.*",
	"commands.startup.*",
	"memory",
	"agentContext",
	"agent.aiFilename",
	"sandbox.aiFilename",
};

static bool covers(const char *pattern, const char *field)
{
	size_t n = strlen(pattern);

	if (n < 2 || strcmp(pattern + n - 2, ".*") != 0)
		return strcmp(pattern, field) == 0;
	n -= 2;
	return strncmp(pattern, field, n) == 0 && (field[n] == '\0' || field[n] == '.');
}

static bool acted_on(const char *field)
{
	for (size_t i = 0; i < ARRAY_LEN(enforced); i++)
		if (covers(enforced[i], field))
			return true;
	return false;
}

const struct kit_use *kit_unenforced(const struct kit_spec *s)
{
	const struct kit_use *first = NULL;

	for (size_t i = 0; i < s->n_uses; i++) {
		const struct kit_use *u = &s->uses[i];

		if (acted_on(u->field))
			continue;
		if (!first || u->at.line < first->at.line ||
			(u->at.line == first->at.line && u->at.column < first->at.column))
			first = u;
	}
	return first;
}

int kit_check_enforced(const struct kit_spec *s, struct err *e)
{
	const struct kit_use *u = kit_unenforced(s);

	if (!u)
		return 0;
	(void)kit_fault(e, s, u->at, "not supported yet by run: %s", u->field);
	if (e)
		e->num = -ENOTSUP;
	return -ENOTSUP;
}
