#include "daemon/kit_approvals.h"
#include "daemon/resolve.h"
#include "kit/lines.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Promise P9 in a plan: what kits from outside open is in it only when a person has approved it. */

static void write_lines(struct resolving *s, const char *key, const struct kit_surface *lines)
{
	AUTO_JS list = js_array();

	for (size_t i = 0; i < lines->n; i++)
		s->bad |= js_add_str(list, lines->v[i]);
	if (lines->n)
		s->bad |= js_set(s->out, key, TAKE(list));
}

/* take_word() - what the person has seen is what there is now: then all of it is approved */
static int take_word(
	struct resolving *s, const struct kit_surface *asks, struct kit_surface *approved)
{
	const char *digest = js_str(js_get(s->out, "kits_digest"));

	if (!digest || strcmp(digest, s->approve) != 0) {
		(void)err_set(s->e, ERR_CONFLICT, -ESTALE,
			"approve: these are not the kits that were approved: they have changed "
			"since");
		err_hint(s->e, "look at what they ask for now");
		return -ESTALE;
	}
	kit_surface_fini(approved);
	for (size_t i = 0; i < asks->n; i++)
		s->bad |= kit_surface_add(approved, strdup(asks->v[i]));
	return 0;
}

static int withhold(
	struct resolving *s, const struct kit_surface *approved, struct kit_surface *ret_dropped)
{
	AUTO(kit_surface) gone = {0};
	char note[160];

	if (kit_surface_dropped(s->kit, approved, ret_dropped) < 0 ||
		kit_plan_withhold(s->kit, approved, &gone) < 0)
		return err_sys(s->e, -ENOMEM, "judge what the kits ask for");
	for (size_t i = 0; i < ret_dropped->n; i++) {
		char *text = NULL;

		if (asprintf(&text, "dropped: network deny %s", ret_dropped->v[i]) < 0)
			text = NULL;
		s->bad |= kit_surface_add(&gone, text);
	}
	kit_surface_sort(&gone);
	write_lines(s, "withheld", &gone);
	if (gone.n) {
		(void)snprintf(note, sizeof(note),
			"%zu thing%s that its kits ask for %s withheld, as nobody has approved: "
			"sbx "
			"inspect lists them",
			gone.n, gone.n == 1 ? "" : "s", gone.n == 1 ? "is" : "are");
		s->bad |= js_add_str(s->notes, note);
	}
	return 0;
}

/* add_old() - what was approved for the sandbox without the further kits still is */
static int add_old(struct resolving *s, struct kit_surface *approved)
{
	AUTO(kit_surface) old = {0};
	int r = s->old->approval ? kit_approval_find(s->approvals, s->old->approval, &old, s->e)
				 : 0;

	if (r < 0)
		return r;
	for (size_t i = 0; i < old.n; i++)
		s->bad |= kit_surface_add(approved, strdup(old.v[i]));
	kit_surface_sort(approved);
	return 0;
}

int resolve_approval(struct resolving *s, struct kit_surface *ret_dropped)
{
	AUTO(kit_surface) asks = {0}, approved = {0}, more = {0};
	char id[STORE_APPROVAL_ID + 1];
	int r = 0;

	if (kit_approval_id(s->kit, id) < 0 || kit_plan_surface(s->kit, &asks) < 0)
		return err_sys(s->e, -ENOMEM, "judge what the kits ask for");
	if (id[0] == '\0')
		return 0;
	r = kit_approval_find(s->approvals, id, &approved, s->e);
	if (r == 0 && s->old)
		r = add_old(s, &approved);
	if (r == 0 && s->approve[0])
		r = take_word(s, &asks, &approved);
	if (r < 0)
		return r;
	if (kit_surface_widens(&approved, &asks, &more) < 0)
		return err_sys(s->e, -ENOMEM, "judge what the kits ask for");
	s->bad |= js_set_str(s->out, "approval", id);
	write_lines(s, "surface", &asks);
	write_lines(s, "asks", &more);
	return withhold(s, &approved, ret_dropped);
}
