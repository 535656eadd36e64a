#include "daemon/sandbox.h"
#include "daemon/disk.h"
#include "daemon/files.h"
#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

/* Steps: row "creating" (claims the name) → directory → files → row "stopped". A daemon that dies in
 * between finds the row at its next start and removes what there is: recover.c.
 */

static int new_id(char dst[STORE_ID_LEN + 1], struct err *e)
{
	uint8_t bytes[STORE_ID_LEN / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return err_sys(e, -errno, "get random bytes");
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void)snprintf(dst + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

static int write_file(int dir, const char *name, const struct buf *b, struct err *e)
{
	int r = io_replace_file(dir, name, buf_str(b), b->len, 0600);

	return r < 0 ? err_sys(e, r, "write '%s'", name) : 0;
}

static int write_kit_files(int dir, const struct plan_files *files, struct err *e)
{
	const struct {
		const char *name;
		const struct buf *bytes;
	} all[] = {
		{FILE_HOME_TAR, &files->home},
		{FILE_SETUP_TAR, &files->setup},
		{FILE_MISSING_TAR, &files->missing},
		{FILE_WORKSPACE_TAR, &files->workspace},
		{FILE_MEMORY_TAR, &files->memory},
		{FILE_ASKED, &files->asked},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(all); i++)
		if (all[i].bytes->len > 0)
			r = write_file(dir, all[i].name, all[i].bytes, e);
	return r;
}

static int fill_directory(struct sandbox *s, const struct plan_files *files, struct err *e)
{
	AUTO(buf) text = {0};
	AUTO_FD dir = -1;
	int r;

	if (mkdirat(s->d->boxes_fd, s->id, 0700) < 0)
		return err_sys(e, -errno, "make the sandbox's directory");
	dir = sandbox_dir(s, e);
	if (dir < 0)
		return dir;
	buf_init(&text, PLAN_TEXT_MAX);
	r = plan_text(s->plan, &text);
	if (r < 0)
		return err_sys(e, r, "write the plan");
	r = disk_make(s->d, dir, FILE_SCRATCH, s->plan->disk_bytes, e);
	if (r == 0)
		r = write_kit_files(dir, files, e);
	/* The plan last: a directory with a plan is a whole sandbox. */
	if (r == 0)
		r = write_file(dir, FILE_PLAN, &text, e);
	if (r == 0 && fsync(s->d->boxes_fd) < 0)
		r = err_sys(e, -errno, "write the sandbox's directory");
	return r;
}

static int add_row(struct sandbox *s, struct err *e)
{
	AUTO(buf) text = {0};
	struct store_sandbox row = s->row;
	int r;

	buf_init(&text, PLAN_TEXT_MAX);
	r = plan_text(s->plan, &text);
	if (r < 0)
		return err_sys(e, r, "write the plan");
	row.plan = text.data;
	r = store_add(s->d->store, &row, e);
	if (r == -EEXIST)
		return err_set(e, ERR_CONFLICT, r, "sandbox '%s' exists already", s->name);
	return r;
}

/* undo() - nothing half-made stays behind */
static void undo(struct sandbox *s)
{
	bool gone = sandbox_sweep(s->d, s->id) == 0 && store_remove(s->d->store, s->id, NULL) == 0;

	(void)pthread_mutex_lock(&s->lock);
	s->gone = gone;
	if (!gone)
		s->status = STATUS_REMOVING;
	(void)pthread_mutex_unlock(&s->lock);
	/* What a full disk did not let go stays listed, else its name were taken by nobody that one can
	 * see; rm, or the next daemon, tries again.
	 */
	if (gone)
		sandbox_list_remove(s);
}

int sandbox_create(struct daemon *d, struct plan *plan, const struct plan_files *files,
	struct sandbox **ret, struct err *e)
{
	struct store_sandbox row = {.created_ms = clock_real_ms()};
	AUTO_BOX s = NULL;
	int r = new_id(row.id, e);

	if (r < 0) {
		plan_free(plan);
		return r;
	}
	(void)snprintf(row.name, sizeof(row.name), "%s", plan->name);
	(void)snprintf(row.status, sizeof(row.status), "%s", status_name(STATUS_CREATING));
	memcpy(row.plan_hash, plan->hash, sizeof(row.plan_hash));
	s = sandbox_new(d, plan, &row);
	if (!s) {
		plan_free(plan);
		return err_sys(e, -ENOMEM, "make sandbox '%s'", row.name);
	}
	s->busy = "create"; /* nobody has seen it yet */
	r = sandbox_list_add(s, e);
	if (r < 0)
		return r;
	r = add_row(s, e);
	if (r == 0)
		r = fill_directory(s, files, e);
	if (r == 0)
		r = sandbox_move(s, STATUS_STOPPED, "", e);
	if (r < 0) {
		undo(s);
		r = err_wrap(e, r, "create sandbox '%s'", s->name);
	}
	sandbox_end(s);
	if (r < 0)
		return r;
	*ret = TAKE(s);
	return 0;
}
