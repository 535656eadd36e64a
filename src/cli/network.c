#include "cli/network.h"
#include "cli/box.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void add(char *dst, size_t cap, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void add(char *dst, size_t cap, const char *fmt, ...)
{
	size_t len = strlen(dst);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(dst + len, cap - len, fmt, ap);
	va_end(ap);
}

static void add_list(char *dst, size_t cap, const char *label, const struct js *list)
{
	for (size_t i = 0; i < js_len(list); i++) {
		const char *s = js_str(js_at(list, i));

		add(dst, cap, "%s%s", i == 0 ? label : ", ", s ? s : "?");
	}
}

void network_line(const struct js *network, char *dst, size_t cap)
{
	const struct js *policy = js_get(network, "policy"),
			*n = js_get(policy, "rules_by_decision");
	long long allow = js_int(js_get(n, "allow"), 0), ask = js_int(js_get(n, "ask"), 0);

	dst[0] = '\0';
	if (!policy || !n) {
		add(dst, cap, "cannot be told now");
		return;
	}
	add(dst, cap, "%s%s",
		js_bool(js_get(policy, "governed")) ? "the organisation's rules beside " : "",
		box_str(policy, "preset"));
	if (allow + ask == 0)
		add(dst, cap, ", nothing is allowed");
	else
		add(dst, cap, ", %lld rules allow, %lld deny, %lld ask", allow,
			(long long)js_int(js_get(n, "deny"), 0), ask);
	add_list(dst, cap, "; services of this host: ", js_get(policy, "host_services"));
	add_list(dst, cap, "; TLS not inspected: ", js_get(policy, "bypass"));
	if (js_len(js_get(network, "credentials")) > 0)
		add_list(dst, cap, "; credentials: ", js_get(network, "credentials"));
	else
		add(dst, cap, "; no credentials");
}
