/* What a guest may send to the command line: the conversation of exec, run and attach, and the tar
 * stream of a copy, which is unpacked into a directory that is looked at afterwards.
 */
#include "cli/report.h"
#include "cli/session.h"
#include "cli/term.h"
#include "cli/unpack.h"
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP 97 /* bytes at a time, so that every split is met */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void converse(const uint8_t *data, size_t size)
{
	AUTO(session) s = {0};
	struct term_modes modes = {0};
	bool started = false, ended = false;
	char undo[160];

	session_init(&s);
	for (size_t i = 0; i < size; i += STEP) {
		enum session_event ev;

		if (session_feed(&s, data + i, size - i < STEP ? size - i : STEP) < 0)
			return;
		while ((ev = session_next(&s)) != SESSION_MORE) {
			if (ev == SESSION_BROKEN)
				return;
			if (ended || (started && ev == SESSION_STARTED) ||
				(!started && ev != SESSION_STARTED && ev != SESSION_ERROR))
				abort(); /* out of order */
			started |= ev == SESSION_STARTED;
			ended |= ev == SESSION_EXIT || ev == SESSION_ERROR;
			if (ev == SESSION_EXIT && (s.status < 0 || s.status > 255))
				abort();
			if (ev == SESSION_OUT)
				term_modes_watch(&modes, s.data, s.data_len);
		}
	}
	if (term_modes_undo(&modes, undo, sizeof(undo)) >= sizeof(undo))
		abort();
}

static int drop(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)f;
	if (type != FTW_SL && type != FTW_SLN && (st->st_mode & 07000))
		abort(); /* set-id or sticky */
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode) && !S_ISLNK(st->st_mode))
		abort();
	if (S_ISLNK(st->st_mode)) {
		char target[8192];
		ssize_t n = readlink(path, target, sizeof(target) - 1);

		if (n <= 0 || target[0] == '/')
			abort();
	}
	return remove(path);
}

static void extract(const uint8_t *data, size_t size, bool contents)
{
	static char top[64];
	char dst[80], out[80];
	struct unpack *u;
	struct err e = {0};
	int root;

	if (!top[0]) {
		(void)snprintf(top, sizeof(top), "/tmp/sbx-fuzz-XXXXXX");
		if (!mkdtemp(top))
			abort();
	}
	(void)mkdir(top, 0700);
	(void)snprintf(dst, sizeof(dst), "%s/d", top);
	(void)snprintf(out, sizeof(out), "%s/d/named", top);
	if (mkdir(dst, 0700) < 0)
		abort();
	root = open(dst, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	u = calloc(1, sizeof(*u));
	if (root < 0 || !u || unpack_init(u, root, contents ? "" : "named", false) < 0)
		abort();
	for (size_t i = 0; i < size; i += STEP)
		if (unpack_bytes(u, data + i, size - i < STEP ? size - i : STEP, &e) < 0)
			break;
	(void)!unpack_end(u, &e);
	unpack_fini(u);
	free(u);
	close(root);
	if (nftw(dst, drop, 16, FTW_DEPTH | FTW_PHYS) != 0)
		abort();
	if (rmdir(top) != 0)
		abort(); /* something landed beside the destination */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	report_quiet(true);
	if (data[0] & 2)
		extract(data + 1, size - 1, data[0] & 1);
	else
		converse(data + 1, size - 1);
	return 0;
}
