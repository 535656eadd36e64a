#include "daemon/kit_approvals.h"
#include "base/clock.h"
#include "kit/lines.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* unpinned() - an origin without what changes with each version: the commit, or the digest */
static int unpinned(const char *origin, struct buf *out)
{
	const char *ref = strstr(origin, "#ref="), *pin = strstr(origin, "@sha256:");
	const char *cut = ref ? ref + 1 : pin;
	const char *rest = cut ? cut + strcspn(cut, "&") : NULL;

	if (!cut)
		return buf_addf(out, "%s", origin);
	return buf_addf(out, "%.*s%s", (int)(cut - origin), origin, rest);
}

static int by_name(const void *a, const void *b)
{
	const struct kit_member *const *x = a, *const *y = b;

	return strcmp((*x)->spec->name.text, (*y)->spec->name.text);
}

int kit_approval_id(const struct kit_plan *p, char ret_id[STORE_APPROVAL_ID + 1])
{
	const struct kit_member *outside[KIT_PLAN_KITS];
	char hex[HASH_HEX];
	AUTO(buf) text;
	size_t n = 0;
	int r;

	ret_id[0] = '\0';
	buf_init(&text, KIT_PLAN_KITS * (KIT_NAME_BYTES + 8192U));
	for (size_t i = 0; i < p->n_kits; i++)
		if (!p->kits[i].builtin)
			outside[n++] = &p->kits[i];
	if (n == 0)
		return 0;
	qsort(outside, n, sizeof(*outside), by_name);
	r = buf_addf(&text, "%s", p->kits[p->agent].spec->name.text);
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = buf_addf(&text, "\n%s ", outside[i]->spec->name.text);
		if (r == 0)
			r = unpinned(outside[i]->origin, &text);
	}
	if (r == 0)
		r = hash_bytes(buf_str(&text), text.len, hex);
	if (r < 0)
		return r;
	memcpy(ret_id, hex, STORE_APPROVAL_ID);
	ret_id[STORE_APPROVAL_ID] = '\0';
	return 0;
}

static int take_lines(void *ctx, const struct store_approval *a)
{
	struct kit_surface *to = ctx;
	AUTO_JS list = NULL;
	struct err silent = {0};

	/* what cannot be read approves nothing */
	if (js_parse(a->lines, strlen(a->lines), STORE_APPROVAL_TEXT, &list, &silent) < 0)
		return 0;
	for (size_t i = 0; i < js_len(list); i++) {
		const char *text = js_str(js_at(list, i));

		if (text && kit_surface_add(to, strdup(text)))
			return -ENOMEM;
	}
	return 0;
}

int kit_approval_find(
	struct store *store, const char *id, struct kit_surface *ret_approved, struct err *e)
{
	struct kit_surface found = {0};
	int r = store && id[0] ? store_approvals_each(store, id, take_lines, &found, e) : 0;

	if (r < 0) {
		kit_surface_fini(&found);
		return r == -ENOMEM ? err_sys(e, r, "read what was approved") : r;
	}
	kit_surface_sort(&found);
	*ret_approved = found;
	return 0;
}

/* join() - what was allowed before, and all that the plan says: what it dropped of its denials is not
 * among it
 */
static int join(const struct kit_surface *before, const struct plan *plan, struct kit_surface *all)
{
	for (size_t i = 0; i < before->n; i++)
		if (before->v[i][0] != '-' && kit_surface_add(all, strdup(before->v[i])))
			return -ENOMEM;
	for (size_t i = 0; i < js_len(plan->surface); i++)
		if (kit_surface_add(all, strdup(js_str(js_at(plan->surface, i)))))
			return -ENOMEM;
	kit_surface_sort(all);
	return 0;
}

static bool same(const struct kit_surface *a, const struct kit_surface *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

static int put(
	struct store *store, const struct plan *plan, const struct kit_surface *all, struct err *e)
{
	struct store_approval a = {.agent = plan->agent, .approved_ms = clock_real_ms()};
	AUTO_JS lines = js_array();
	AUTO_JS kits = js_array();
	AUTO(buf) lines_text, kits_text;
	bool bad = false;

	buf_init(&lines_text, STORE_APPROVAL_TEXT);
	buf_init(&kits_text, STORE_APPROVAL_TEXT);
	for (size_t i = 0; i < all->n; i++)
		bad |= js_add_str(lines, all->v[i]);
	for (size_t i = 0; i < plan->n_kits; i++) {
		AUTO_JS o = js_object();

		if (plan->kits[i].builtin)
			continue;
		bad |= js_set_str(o, "name", plan->kits[i].name) ||
		       js_set_str(o, "origin", plan->kits[i].origin) || js_add(kits, TAKE(o));
	}
	if (bad || js_print(lines, &lines_text) < 0 || js_print(kits, &kits_text) < 0)
		return err_set(e, ERR_LIMIT, -ENOBUFS, "the kits ask for too much to keep it");
	memcpy(a.id, plan->approval, sizeof(a.id));
	(void)snprintf(a.digest, sizeof(a.digest), "%s", plan->kits_digest);
	a.lines = buf_str(&lines_text);
	a.kits = buf_str(&kits_text);
	return store_approval_put(store, &a, e);
}

int kit_approval_keep(struct store *store, const struct plan *plan, struct err *e)
{
	AUTO(kit_surface) before = {0}, all = {0};
	int r;

	if (!plan->approval || strlen(plan->approval) != STORE_APPROVAL_ID ||
		js_len(plan->asks) > 0)
		return 0;
	r = kit_approval_find(store, plan->approval, &before, e);
	if (r < 0)
		return r;
	if (join(&before, plan, &all) < 0)
		return err_sys(e, -ENOMEM, "keep what was approved");
	return same(&before, &all) ? 0 : put(store, plan, &all, e);
}
