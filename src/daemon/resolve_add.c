#include "daemon/resolve.h"
#include <errno.h>
#include <stdint.h>
#include <string.h>

/* Further kits for a sandbox that is there: what is different from a birth. */

static const struct js *kit_of(const struct js *kits, const char *name)
{
	for (size_t i = 0; i < js_len(kits); i++) {
		const char *s = js_str(js_get(js_at(kits, i), "name"));

		if (s && strcmp(s, name) == 0)
			return js_at(kits, i);
	}
	return NULL;
}

bool resolve_is_new(const struct resolving *s, const char *kit)
{
	return !s->only_new || !kit_of(js_get(s->old->json, "kits"), kit);
}

int resolve_added(struct resolving *s)
{
	const struct js *was = js_get(s->old->json, "kits"), *now = js_get(s->out, "kits");

	for (size_t i = 0; i < js_len(was); i++) {
		const char *name = js_str(js_get(js_at(was, i), "name"));
		const char *digest = js_str(js_get(js_at(was, i), "digest"));
		const struct js *k = name ? kit_of(now, name) : NULL;
		const char *other = js_str(js_get(k, "digest"));

		if (digest && other && strcmp(digest, other) == 0)
			continue;
		(void)err_set(s->e, ERR_CONFLICT, -ESTALE,
			"kit '%s' has changed since the sandbox was made", name ? name : "?");
		err_hint(s->e, "a new sandbox takes it as it is now");
		return -ESTALE;
	}
	if (js_len(now) > js_len(was))
		return 0;
	return err_set(s->e, ERR_CONFLICT, -EEXIST, "sandbox '%s' has these kits already", s->name);
}

/* keep() - the items of @key that are of all phases but the window, or of a further kit; @window: all are of it */
static void keep(struct resolving *s, const char *key, bool window)
{
	const struct js *from = js_get(s->out, key);
	AUTO_JS list = js_array();

	for (size_t i = 0; i < js_len(from); i++) {
		const struct js *item = js_at(from, i);
		const char *phase = js_str(js_get(item, "phase"));
		const char *kit = js_str(js_get(item, "kit"));

		if ((window || (phase && strcmp(phase, "install") == 0)) && kit &&
			!resolve_is_new(s, kit))
			continue;
		s->bad |= js_add(
			list, js_ref((struct js *)(uintptr_t)item)); /* shared, not changed */
	}
	if (from)
		s->bad |= js_set(s->out, key, TAKE(list));
}

void resolve_only_new(struct resolving *s)
{
	if (!s->only_new)
		return;
	keep(s, "install", true);
	keep(s, "network", false);
	keep(s, "credentials", false);
}
