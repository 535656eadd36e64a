#include "daemon/port_spec.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char form[] = "[[HOSTIP:]HOSTPORT:]PORT[/tcp]";

bool port_spec_address(const char *address)
{
	struct in_addr v4;

	if (strcmp(address, PORT_LOOPBACK6) == 0)
		return true;
	return inet_pton(AF_INET, address, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

const char *port_spec_label(
	const char *address, uint16_t host, uint16_t container, char dst[PORT_LABEL_MAX])
{
	bool v6 = strchr(address, ':');

	if (host == 0)
		(void)snprintf(dst, PORT_LABEL_MAX, "%u/tcp", container);
	else
		(void)snprintf(dst, PORT_LABEL_MAX, "%s%s%s:%u->%u/tcp", v6 ? "[" : "", address,
			v6 ? "]" : "", host, container);
	return dst;
}

/* number() - plain decimal, 1 to 65535; "" is 0 where that is allowed */
static bool number(const char *text, bool zero, uint16_t *ret)
{
	unsigned long v = 0;

	if (strlen(text) > 5 || strspn(text, "0123456789") != strlen(text))
		return false;
	for (const char *s = text; *s; s++)
		v = v * 10 + (unsigned long)(*s - '0');
	if (v > UINT16_MAX || (!zero && v == 0))
		return false;
	*ret = (uint16_t)v;
	return true;
}

/* split() - @text in place: what stands before its last colon outside of brackets; NULL: none does */
static char *split(char *text)
{
	char *colon = strrchr(text, ':'), *bracket = strrchr(text, ']');

	if (!colon || (bracket && bracket > colon))
		return NULL;
	*colon = '\0';
	return colon + 1;
}

static int bad(struct err *e, const char *spec)
{
	return err_set(e, ERR_INVALID, -EINVAL, "port '%.100s' is not of the form %s", spec, form);
}

/* take_protocol() - cut it off; the families it asks for */
static int take_protocol(char *text, const char *spec, bool *v4, bool *v6, struct err *e)
{
	char *slash = strchr(text, '/');
	const char *proto = slash ? slash + 1 : "tcp4";

	if (slash)
		*slash = '\0';
	if (strncmp(proto, "udp", 3) == 0)
		return err_set(e, ERR_INVALID, -EPROTONOSUPPORT,
			"port '%.100s': only TCP is published, not UDP", spec);
	*v4 = strcmp(proto, "tcp4") == 0 || strcmp(proto, "tcp") == 0;
	*v6 = strcmp(proto, "tcp6") == 0 || strcmp(proto, "tcp") == 0;
	return *v4 || *v6 ? 0 : bad(e, spec);
}

/* take_address() - @ip is "" when none was given */
static int take_address(
	char *ip, const char *spec, bool v4, bool v6, struct port_spec *p, struct err *e)
{
	size_t n = strlen(ip);

	if (ip[0] == '[') {
		if (n < 3 || ip[n - 1] != ']')
			return bad(e, spec);
		ip[n - 1] = '\0';
		ip++;
	} else if (strchr(ip, ':')) {
		return bad(e, spec);
	}
	if (ip[0] == '\0' || strcmp(ip, "localhost") == 0)
		ip = v4 && v6 ? (char *)"" : v4 ? (char *)PORT_LOOPBACK4 : (char *)PORT_LOOPBACK6;
	else if (!port_spec_address(ip)) {
		(void)err_set(e, ERR_INVALID, -EADDRNOTAVAIL,
			"port '%.100s': a port is published on the loopback of this host only "
			"(127.0.0.1, ::1), not on '%.60s'",
			spec, ip);
		err_hint(e, "others reach it through what you put in front of it, such as ssh -L");
		return -EADDRNOTAVAIL;
	} else if (strchr(ip, ':') ? !v6 : !v4)
		return err_set(e, ERR_INVALID, -EINVAL,
			"port '%.100s': the address and the protocol are not of one family", spec);
	(void)snprintf(p->address, sizeof(p->address), "%s", ip);
	return 0;
}

int port_spec_parse(const char *spec, struct port_spec *ret, struct err *e)
{
	char text[PORT_SPEC_MAX], *port, *host, none[1] = "", *ip = none;
	struct port_spec p = {0};
	bool v4, v6;
	int r;

	if (strlen(spec) >= sizeof(text))
		return bad(e, spec);
	memcpy(text, spec, strlen(spec) + 1);
	r = take_protocol(text, spec, &v4, &v6, e);
	if (r < 0)
		return r;
	port = split(text);
	if (!port) {
		if (!number(text, false, &p.container))
			return bad(e, spec);
	} else {
		host = split(text);
		if (host)
			ip = text;
		else
			host = text;
		if ((host != text && ip[0] == '\0') || !number(port, false, &p.container) ||
			!number(host, true, &p.host))
			return bad(e, spec);
	}
	r = take_address(ip, spec, v4, v6, &p, e);
	if (r == 0)
		*ret = p;
	return r;
}
