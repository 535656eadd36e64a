/* fs_space.c - the part of the host's disk that no guest may take
 *
 * What is free is asked for at most every FS_SPACE_MS or FS_SPACE_STEP bytes, so that a write costs
 * a comparison. Several servers on one file system may each go over by one step in that time: the
 * reserve is far larger than their steps together.
 */
#include "virtio/fs_int.h"
#include <errno.h>
#include <sys/statvfs.h>

#define RESERVE_BYTES  (1ULL << 30)
#define RESERVE_PART   50 /* a 50th of the file system */
#define SMALL_PART     10 /* and at most a tenth, where that is less than RESERVE_BYTES */
#define RESERVE_INODES 10000u
#define NEW_BYTES      4096u /* what a new name may take */

uint64_t fs_space_reserve(const struct fs_server *s, uint64_t total)
{
	uint64_t r = total / RESERVE_PART;

	if (s->cfg.reserve_bytes)
		return s->cfg.reserve_bytes;
	if (r < RESERVE_BYTES)
		r = RESERVE_BYTES;
	return r > total / SMALL_PART ? total / SMALL_PART : r;
}

static bool few_inodes(const struct statvfs *v)
{
	uint64_t least = v->f_files / RESERVE_PART;

	if (v->f_files == 0) /* made as they are needed */
		return false;
	return v->f_favail < (least < RESERVE_INODES ? least : RESERVE_INODES);
}

/* How many bytes of the file system are beyond the reserve; UINT64_MAX: it has no size. */
static int ask(struct fs_server *s, unsigned export, struct fs_space *sp, uint64_t *ret_room)
{
	uint64_t avail, reserve;
	struct statvfs v;

	if (fstatvfs(s->roots[export]->fd, &v) < 0)
		return -errno;
	sp->asked_ms = s->now_ms;
	sp->few_inodes = few_inodes(&v);
	avail = (uint64_t)v.f_bavail * v.f_frsize;
	reserve = fs_space_reserve(s, (uint64_t)v.f_blocks * v.f_frsize);
	*ret_room = v.f_blocks == 0 ? UINT64_MAX : avail > reserve ? avail - reserve : 0;
	return 0;
}

int fs_space_take(struct fs_server *s, unsigned export, uint64_t bytes)
{
	struct fs_space *sp = &s->space[export];
	uint64_t room = 0;
	int r;

	if (s->now_ms < sp->asked_ms + FS_SPACE_MS && bytes <= sp->left) {
		sp->left -= bytes;
		return 0;
	}
	r = ask(s, export, sp, &room);
	if (r < 0)
		return r;
	sp->left = 0;
	if (room < bytes) {
		s->no_space++;
		return -ENOSPC;
	}
	room -= bytes;
	sp->left = room < FS_SPACE_STEP ? room : FS_SPACE_STEP;
	return 0;
}

int fs_space_new(struct fs_server *s, unsigned export)
{
	int r = fs_space_take(s, export, NEW_BYTES);

	if (r == 0 && s->space[export].few_inodes) {
		s->no_space++;
		r = -ENOSPC;
	}
	return r;
}

int fs_space_write(struct fs_server *s, const struct fs_handle *h, uint64_t offset, uint64_t bytes)
{
	struct statx st;
	int r = fs_space_take(s, h->inode->export, bytes);

	if (r != -ENOSPC || fs_stat_fd(h->fd, &st) < 0)
		return r;
	/* Writing over what has its blocks already takes nothing: databases go on. */
	if (offset <= st.stx_size && bytes <= st.stx_size - offset &&
		st.stx_blocks * 512 >= st.stx_size)
		return 0;
	return r;
}
