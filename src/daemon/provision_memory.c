/* The texts for the agent, in the file that it reads. */
#include "base/clock.h"
#include "base/io.h"
#include "daemon/agent.h"
#include "daemon/agent_run.h"
#include "daemon/files.h"
#include "daemon/provision.h"
#include "daemon/setup_log.h"
#include "kit/plan.h"
#include "proto/tar.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define TEXT_MAX (1U << 20) /* of a file of instructions that is there */
#define TAR_MAX	 (8U << 20)

/* first_file() - the first entry of the tar @all into @t and @text; what is behind it begins at *ret_rest */
static int first_file(
	const struct buf *all, struct tar_reader *t, struct buf *text, size_t *ret_rest)
{
	const struct tar_limits limits = {.entries = 4096, .bytes = TAR_MAX};
	const uint8_t *p = (const uint8_t *)all->data;
	size_t len = all->len;

	tar_reader_init(t, &limits);
	for (;;) {
		int r;

		switch (tar_next(t, &p, &len)) {
		case TAR_ENTRY:
			break;
		case TAR_DATA:
			r = buf_add(text, t->data, t->data_len);
			if (r < 0)
				return r;
			break;
		case TAR_ENTRY_END:
			/* its padding has not been read yet */
			*ret_rest = (all->len - len + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
			if (*ret_rest > all->len)
				return -EBADMSG;
			return t->entry.type == TAR_FILE ? 0 : -EBADMSG;
		case TAR_MORE:
		case TAR_END:
		case TAR_BAD:
		default:
			return -EBADMSG;
		}
	}
}

/* around_it() - the tar again, its first file with what is there around our marks */
static int around_it(const struct buf *all, const char *before, struct buf *out)
{
	static const char zeros[TAR_BLOCK];
	AUTO_FREE struct tar_reader *t = malloc(sizeof(*t));
	AUTO(buf) section = {0};
	AUTO(buf) text = {0};
	size_t rest = 0;
	int r = t ? 0 : -ENOMEM;

	buf_init(&section, TAR_MAX);
	buf_init(&text, TAR_MAX);
	if (r == 0)
		r = first_file(all, t, &section, &rest);
	if (r == 0)
		r = kit_memory_splice(before, buf_str(&section), &text);
	if (r < 0)
		return r;
	t->entry.size = text.len;
	r = tar_put_entry(out, &t->entry);
	if (r == 0 && text.len)
		r = buf_add(out, text.data, text.len);
	if (r == 0)
		r = buf_add(out, zeros, tar_padding(text.len));
	return r == 0 ? buf_add(out, all->data + rest, all->len - rest) : r;
}

/* what_is_there() - the image's own file, or one of files/home; 1: it is left alone */
static int what_is_there(
	struct sandbox *s, struct setup_log *log, struct buf *before, struct err *e)
{
	const struct plan *p = s->plan;
	char path[PATH_MAX];
	struct err why = {0};
	int r;

	if (snprintf(path, sizeof(path), "%s/%s",
		    strcmp(p->instructions_dir, "/") == 0 ? "" : p->instructions_dir,
		    p->instructions_file) >= (int)sizeof(path))
		return err_sys(e, -ENAMETOOLONG, "write the texts for the agent");
	r = agent_get_file(s, path, before, clock_ms() + PROVISION_PUT_MS, &why);
	if (r == -ENOENT)
		return 0;
	if (r == -ECONNRESET || r == -ENOTCONN || r == -ETIMEDOUT) {
		*e = why;
		return r;
	}
	if (r == 0 && before->len == strlen(buf_str(before)))
		return 0;
	setup_log_say(log, "-- %s is no text that could be added to: the kits' texts are left out",
		p->instructions_file);
	return 1;
}

static int put_bytes(struct sandbox *s, const struct buf *tar, struct err *e)
{
	const struct plan *p = s->plan;
	AUTO_FD fd = memfd_create("sbx-memory", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : io_write_full(fd, tar->data, tar->len, IO_FOREVER);

	if (r < 0)
		return err_sys(e, r, "write the texts for the agent");
	return agent_put_file(
		s, fd, p->instructions_dir, 0, p->uid, p->gid, clock_ms() + PROVISION_PUT_MS, e);
}

int provision_memory(struct sandbox *s, int dir, struct setup_log *log, struct err *e)
{
	AUTO(buf) all = {0};
	AUTO(buf) before = {0};
	AUTO(buf) tar = {0};
	int r;

	buf_init(&all, TAR_MAX);
	buf_init(&before, TEXT_MAX);
	buf_init(&tar, 2 * TAR_MAX);
	if (!s->plan->instructions_file)
		return 0;
	r = io_read_file(dir, FILE_MEMORY_TAR, &all);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_sys(e, r, "read '%s'", FILE_MEMORY_TAR);
	r = what_is_there(s, log, &before, e);
	if (r != 0)
		return r < 0 ? r : 0;
	r = around_it(&all, buf_str(&before), &tar);
	if (r < 0)
		return err_sys(e, r, "put together the texts for the agent");
	r = put_bytes(s, &tar, e);
	return r < 0 ? err_wrap(e, r, "write the texts for the agent") : 0;
}
