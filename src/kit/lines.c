#include "kit/lines.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char *line(const char *fmt, ...) PRINTF_LIKE(1, 2);
static char *line(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : text;
}

char *kit_line_allow(const struct kit_word *host, bool installing)
{
	return line("network allow %s%s", host->text, installing ? ", while installing" : "");
}

char *kit_line_deny(const char *host)
{
	return line(KIT_LINE_DENY "%s", host);
}

char *kit_line_port(const struct kit_port *p)
{
	return line("port %u/%s", p->container, p->protocol[0] ? p->protocol : "tcp4");
}

char *kit_line_volume(const struct kit_volume *v)
{
	if (!v->bytes)
		return line("volume %s", v->path);
	return line("volume %s of %llu bytes", v->path, (unsigned long long)v->bytes);
}

char *kit_line_workspace(const struct kit_placed *f)
{
	return line("writes into the workspace: %s%s", f->path,
		f->entry->mode & 0111 ? " (executable)" : "");
}

/* when() - what is open at one time only; to drop such a word is to ask for more, and is another line */
static const char *when(enum kit_phase phase)
{
	return phase == KIT_PHASE_INSTALL   ? ", while installing"
	       : phase == KIT_PHASE_RUNTIME ? ", not while installing"
					    : "";
}

char *kit_line_variable(const struct kit_credential *c, const char *name)
{
	return line("credential %s stands for %s", name, c->service);
}

char *kit_line_env(const struct kit_credential *c, const char *name)
{
	return line("credential %s from the host's variable %s", c->service, name);
}

char *kit_line_file(const struct kit_credential *c)
{
	return line("credential %s from the host's file %s (%s)", c->service, c->file_path,
		c->file_parser ? c->file_parser : "whole");
}

char *kit_line_inject(const struct kit_credential *c, const struct kit_inject *in)
{
	if (in->username)
		return line("credential %s to %s as Basic %s%s", c->service, in->domain,
			in->username, when(c->phase));
	return line("credential %s to %s %s%s%s%s", c->service, in->domain,
		in->header ? in->header : "as its service says", in->header ? ": " : "",
		in->format ? in->format : "", when(c->phase));
}

char *kit_line_login(const struct kit_credential *c)
{
	return line("credential %s by login at %s%s%s", c->service, c->oauth.host, c->oauth.path,
		c->oauth.passthrough ? ", the real token enters the sandbox" : "");
}

char *kit_line_login_host(const struct kit_credential *c, const char *host)
{
	return line("credential %s of that login to %s", c->service, host);
}
