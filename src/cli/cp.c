/* sbx cp: the walk is names → stream → request → tar through the stream → what was left out */
#include "base/io.h"
#include "cli/box.h"
#include "cli/guard.h"
#include "cli/pack.h"
#include "cli/report.h"
#include "cli/unpack.h"
#include "cli/values.h"
#include "cli/verb.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define GUEST_ID 1000 /* uid and gid of the user "agent" */

struct copy {
	struct copy_side from, to;
	bool follow;
	struct api api;
	struct guard guard;
	struct progress progress;
	struct transfer transfer;
	int stream;
	uint64_t left_out;
};

/* host_path() - a path of the host as directory and name: "a/b" → "a", "b"; "b" → ".", "b" */
struct host_path {
	char dir[PATH_MAX];
	char name[NAME_MAX + 1]; /* "." when the path ends in "/", "/." or ".." or is "/" */
	bool slash; /* there was a slash at its end */
};

static int split(const char *path, struct host_path *ret, struct err *e)
{
	size_t len = strlen(path);
	const char *name;

	*ret = (struct host_path){0};
	while (len > 1 && path[len - 1] == '/') {
		ret->slash = true;
		len--;
	}
	memcpy(ret->dir, path, len); /* shorter than PATH_MAX: copy_side_parse() */
	name = strrchr(ret->dir, '/');
	name = name ? name + 1 : ret->dir;
	if (!name[0] || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		memcpy(ret->name, ".", 2);
		return 0;
	}
	if (strlen(name) > NAME_MAX)
		return err_sys(e, -ENAMETOOLONG, "'%.200s'", path);
	memcpy(ret->name, name, strlen(name) + 1);
	ret->dir[name - ret->dir] = '\0';
	if (!ret->dir[0])
		memcpy(ret->dir, ".", 2);
	return 0;
}

/* ---- into the sandbox ---- */

static int ask_put(struct copy *c, struct err *e)
{
	struct agent_put m = {.uid = GUEST_ID, .gid = GUEST_ID};
	size_t len = strlen(c->to.path);
	AUTO(buf) request = {0};
	int r;

	/* "DIR/" must be there; anything else may name the copy itself, as with cp(1) */
	if (c->to.path[len - 1] != '/')
		m.flags = AGENT_PUT_AS;
	memcpy(m.path, c->to.path, len + 1);
	buf_init(&request, 2 * PATH_MAX);
	r = agent_put_put(&request, &m);
	return r < 0 ? err_sys(e, r, "write the request") : transfer_ask(&c->transfer, &request, e);
}

static int copy_in(struct copy *c, struct err *e)
{
	struct pack pack = {.follow = c->follow};
	struct host_path from;
	AUTO_FD dir = -1;
	int r = split(c->from.path, &from, e);

	if (r < 0)
		return r;
	dir = guard_open_dir(&c->guard, from.dir, e);
	if (dir < 0)
		return dir;
	/* A slash behind the name asks for what a link points to, and for a directory. */
	pack.follow |= from.slash;
	r = ask_put(c, e);
	if (r == 0)
		r = pack_tree(&pack, &c->transfer, dir, from.name, from.name, e);
	c->left_out = pack.left_out;
	return r < 0 ? r : transfer_finish(&c->transfer, e);
}

/* ---- out of the sandbox ---- */

/* source_name() - what the copied entry is called: the last name of the path in the sandbox; "" for
 * the contents of a directory ("/x/.", "/")
 */
static int source_name(const char *path, char ret_name[NAME_MAX + 1], struct err *e)
{
	struct host_path p;
	int r = split(path, &p, e);

	if (r < 0)
		return r;
	memcpy(ret_name, p.name, sizeof(p.name));
	if (strcmp(p.name, ".") == 0)
		ret_name[0] = '\0';
	return 0;
}

/* destination() - the directory to hold and the entry's name in it, as cp(1) decides it */
static int destination(struct copy *c, int *ret_dir, char ret_base[NAME_MAX + 1],
	bool *ret_only_file, struct err *e)
{
	struct host_path to;
	struct stat st;
	AUTO_FD dir = -1;
	bool there;
	int r = source_name(c->from.path, ret_base, e);

	if (r == 0)
		r = split(c->to.path, &to, e);
	if (r < 0)
		return r;
	dir = guard_open_dir(&c->guard, to.dir, e);
	if (dir < 0)
		return dir;
	there = fstatat(dir, to.name, &st, to.slash ? 0 : AT_SYMLINK_NOFOLLOW) == 0;
	if (there && S_ISLNK(st.st_mode)) {
		(void)err_set(e, ERR_DENIED, -ELOOP, "'%.300s' is a symbolic link", c->to.path);
		err_hint(e, "name what it points to, or write '%.100s/'", c->to.path);
		return -ELOOP;
	}
	if (!there && !ret_base[0]) { /* the contents of a directory, into a new one */
		if (mkdirat(dir, to.name, 0777) < 0)
			return err_sys(e, -errno, "make '%.300s'", c->to.path);
		there = fstatat(dir, to.name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	}
	if (there && S_ISDIR(st.st_mode)) {
		/* With a slash a link may be followed, as far as the guard lets it. */
		*ret_dir = to.slash ? guard_open_dir(&c->guard, c->to.path, e)
				    : openat(dir, to.name,
					      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (*ret_dir < 0 && !to.slash)
			return err_sys(e, -errno, "open '%.300s'", c->to.path);
		return *ret_dir < 0 ? *ret_dir : 0;
	}
	if (to.slash || !ret_base[0])
		return err_sys(e, -ENOTDIR, "'%.300s'", c->to.path);
	*ret_only_file = there;
	memcpy(ret_base, to.name, sizeof(to.name));
	*ret_dir = TAKE_FD(dir);
	return 0;
}

static int ask_get(struct copy *c, struct err *e)
{
	struct agent_get m = {.flags = c->follow ? AGENT_GET_FOLLOW : 0};
	AUTO(buf) request = {0};
	int r;

	memcpy(m.path, c->from.path, strlen(c->from.path) + 1);
	buf_init(&request, 2 * PATH_MAX);
	r = agent_put_get(&request, &m);
	return r < 0 ? err_sys(e, r, "write the request") : transfer_ask(&c->transfer, &request, e);
}

static int receive(struct copy *c, struct unpack *u, struct err *e)
{
	for (;;) {
		const uint8_t *p = NULL;
		size_t len = 0;
		int r = transfer_get(&c->transfer, &p, &len, e);

		if (r == 0)
			return unpack_end(u, e);
		if (r > 0)
			r = unpack_bytes(u, p, len, e);
		if (r < 0)
			return r;
	}
}

static int copy_out(struct copy *c, struct err *e)
{
	AUTO_FREE struct unpack *u = calloc(1, sizeof(*u));
	char base[NAME_MAX + 1] = "";
	bool only_file = false;
	AUTO_FD dir = -1;
	int r = u ? destination(c, &dir, base, &only_file, e) : err_sys(e, -ENOMEM, "copy");

	if (r == 0)
		r = ask_get(c, e);
	if (r < 0)
		return r;
	r = unpack_init(u, dir, base, only_file);
	if (r == 0)
		r = receive(c, u, e);
	c->left_out = u->left_out;
	unpack_fini(u);
	return r;
}

/* ---- */

static int parse_sides(struct copy *c, char **words, struct err *e)
{
	int r = copy_side_parse(words[0], &c->from, e);

	if (r == 0)
		r = copy_side_parse(words[1], &c->to, e);
	if (r < 0)
		return r;
	if (!c->from.box[0] == !c->to.box[0]) {
		(void)err_set(e, ERR_INVALID, -EINVAL,
			c->from.box[0] ? "cp: from sandbox to sandbox is not possible"
				       : "cp: neither side is in a sandbox");
		err_hint(e, "exactly one side is NAME:/absolute/path");
		return -EINVAL;
	}
	return 0;
}

static int copy(struct copy *c, struct err *e)
{
	const char *box = c->from.box[0] ? c->from.box : c->to.box;
	AUTO_JS all = NULL;
	const struct js *boxes = NULL;
	int r = api_open(&c->api, API_START, e);

	if (r == 0)
		r = box_list(&c->api, &all, &boxes, e);
	if (r == 0)
		r = box_stream(&c->api, box, false, &c->stream, e);
	if (r < 0)
		return r;
	guard_fill(&c->guard, boxes);
	progress_begin(&c->progress, false);
	transfer_init(&c->transfer, c->stream, &c->progress);
	transfer_catch();
	r = c->from.box[0] ? copy_out(c, e) : copy_in(c, e);
	transfer_fini(&c->transfer);
	progress_end(&c->progress);
	return r;
}

int verb_cp(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_FOLLOW_LINK | OPT_JSON,
		.min_words = 2,
		.max_words = 2,
		.words = "SRC DST",
		.doc = "Copy files or directories; one side is NAME:/absolute/path. A stopped "
		       "sandbox "
		       "is started. What comes out of a sandbox goes beneath DST only: links that "
		       "lead out of the copy, devices and pipes are left out, and the exit status "
		       "is "
		       "1 then."};
	AUTO(plain_args) a = {0};
	AUTO_FREE struct copy *c = calloc(1, sizeof(*c));
	struct err e = {0};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	if (!c || parse_sides(c, a.words, &e) < 0)
		return report_err(&e, CLI_USAGE);
	c->follow = a.given & OPT_FOLLOW_LINK;
	c->stream = -1;
	r = copy(c, &e);
	own_close_fd(&c->stream);
	api_close(&c->api);
	if (r < 0) {
		(void)err_wrap(&e, r, "copy '%.100s' to '%.100s'", a.words[0], a.words[1]);
		return report_err(&e, transfer_caught() ? 128 + transfer_caught() : CLI_FAIL);
	}
	if (c->left_out == 0)
		return CLI_OK;
	report_note("entries left out: %llu", (unsigned long long)c->left_out);
	return CLI_FAIL;
}
