/* sbx template save|load|ls|rm, sbx image save: images as files, and a sandbox's disk as an image */
#include "base/clock.h"
#include "base/io.h"
#include "base/name.h"
#include "cli/box.h"
#include "cli/image_verbs.h"
#include "cli/images.h"
#include "cli/report.h"
#include "cli/transfer.h"
#include "cli/verb.h"
#include "image/layout.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define STOP_MS	  10000
#define LAYER_MAX (64ULL << 30) /* what sbx-image takes */

/* ---- an archive ------------------------------------------------------------------------------- */

/* file_for() - where to write: a file that is there only with --force */
static int file_for(const struct kit_args_cli *a, struct err *e)
{
	struct stat st;

	if (!a->output)
		return err_set(e, ERR_INVALID, -EINVAL, "-o FILE says where to write it");
	if (lstat(a->output, &st) < 0)
		return 0;
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_CONFLICT, -EEXIST, "'%.200s' is no file", a->output);
	if (!a->force) {
		(void)err_set(e, ERR_CONFLICT, -EEXIST, "'%.200s' is there", a->output);
		err_hint(e, "--force writes over it");
		return -EEXIST;
	}
	return 0;
}

int image_verb_save(int argc, char **argv)
{
	static const struct kit_form form = {.options = "ofj",
		.words = "IMAGE",
		.doc = "Write a root image into an OCI archive that sbx image load and other "
		       "programs read: its files as one layer."};
	AUTO_FREE struct image *img = calloc(1, sizeof(*img));
	struct kit_args_cli a;
	struct image_store store;
	struct images_display show;
	struct layout_save s = {0};
	struct paths p;
	struct err e = {0};
	int r;

	if (kit_args_parse(argc, argv, ARGS_EXIT, &form, &a, &e) < 0)
		return report_err(&e, CLI_USAGE);
	if (!img || file_for(&a, &e) < 0)
		return report_err(&e, CLI_USAGE);
	s.file = a.output;
	r = paths_find(&p, &e);
	if (r == 0)
		r = image_store_open(p.cache, &store, &e);
	if (r == 0)
		r = image_store_lookup(&store, a.ref, img, &e);
	if (r == 0) {
		images_display_begin(&show, a.json, &s.interrupted, &s.progress, &s.ctx);
		r = image_save(&p, img, &s, &e);
		images_display_end(&show);
	}
	if (r < 0) {
		(void)err_wrap(&e, r, "save image '%.100s'", a.ref);
		return report_err(&e, r == -EINTR ? 130 : CLI_FAIL);
	}
	if (!a.json)
		report_note("%s", a.output);
	return report_flush();
}

/* ---- a sandbox's disk ------------------------------------------------------------------------- */

struct saving {
	const struct kit_args_cli *a;
	struct api api;
	struct layout layout;
	struct progress progress;
	struct transfer transfer;
	struct image base;
};

/* ask() - a stream for one request, out of a connection of its own, which it becomes; the caller's */
static int ask(struct saving *s, const struct buf *request, struct err *e)
{
	AUTO(api) api = {0};
	AUTO_FD fd = -1;
	int r = api_open(&api, API_NO_START, e);

	if (r == 0)
		r = api_stream(&api, s->a->ref, &fd, e);

	if (r < 0)
		return r;
	transfer_init(&s->transfer, fd, &s->progress);
	s->transfer.what = "read";
	r = transfer_ask(&s->transfer, request, e);
	if (r < 0)
		transfer_fini(&s->transfer);
	return r < 0 ? r : TAKE_FD(fd);
}

/* settle() - nobody writes any more, and what was written is on the disk */
static int settle(struct saving *s, struct err *e)
{
	AUTO(buf) request = {0};
	int r;

	buf_init(&request, 64);
	if (agent_put_u32(&request, FRAME_SETTLE, AGENT_SETTLE_END | AGENT_SETTLE_SYNC) < 0)
		return err_sys(e, -ENOMEM, "end what runs inside");
	AUTO_FD fd = ask(s, &request, e);
	if (fd < 0)
		return TAKE_FD(fd);
	r = transfer_answer(&s->transfer, e);
	transfer_fini(&s->transfer);
	return r < 0 ? err_wrap(e, r, "end what runs inside") : 0;
}

/* receive() - what differs from its image, as a layer; sbx-image judges it, here only its length is bounded */
static int receive(struct saving *s, struct err *e)
{
	struct agent_get m = {.flags = AGENT_GET_IMAGE, .path = "/"};
	AUTO(buf) request = {0};
	uint64_t bytes = 0;
	int r;

	buf_init(&request, 2 * PATH_MAX);
	if (agent_put_get(&request, &m) < 0)
		return err_sys(e, -ENOMEM, "read the disk");
	AUTO_FD fd = ask(s, &request, e);
	if (fd < 0)
		return TAKE_FD(fd);
	for (;;) {
		const uint8_t *p;
		size_t len;

		r = transfer_get(&s->transfer, &p, &len, e);
		if (r <= 0)
			break;
		bytes += len;
		r = bytes > LAYER_MAX ? -EFBIG : io_write_full(s->layout.layer, p, len, IO_FOREVER);
		if (r < 0) {
			(void)err_sys(e, r, "write the layer");
			break;
		}
	}
	transfer_fini(&s->transfer);
	return r;
}

/* stop() - over a connection of its own: the daemon has closed one that was silent for so long */
static int stop(struct saving *s, struct err *e)
{
	char target[API_TARGET_MAX];
	AUTO_JS body = js_object();
	AUTO(api) api = {0};
	int r = api_open(&api, API_NO_START, e);

	if (r < 0)
		return r;
	if (js_set_int(body, "timeout_ms", STOP_MS))
		return err_sys(e, -ENOMEM, "stop the sandbox");
	api_target(target, s->a->ref, "/stop");
	return api_call(&api, "POST", target, body, STOP_MS + API_CALL_MS, NULL, e);
}

/* find_base() - a stopped sandbox, and the image that it was made of: what its programs are started with */
static int find_base(struct saving *s, struct err *e)
{
	struct image_store store;
	AUTO_JS box = NULL;
	const char *id;
	int r = box_get(&s->api, s->a->ref, &box, e);

	if (r < 0)
		return r;
	if (strcmp(box_str(box, "status"), "stopped") != 0 &&
		strcmp(box_str(box, "status"), "created") != 0) {
		r = err_set(e, ERR_CONFLICT, -EBUSY, "sandbox '%s' is %s", s->a->ref,
			box_str(box, "status"));
		err_hint(e, "sbx stop %s first: its disk is saved, not its processes", s->a->ref);
		return r;
	}
	id = js_str(js_get(js_get(js_get(box, "plan"), "image"), "id"));
	r = image_store_open(s->api.paths.cache, &store, e);
	return r < 0 ? r : image_store_lookup(&store, id ? id : "", &s->base, e);
}

/* read_disk() - by the sandbox's own guest: no kernel of the host ever mounts what it has written */
static int read_disk(struct saving *s, struct err *e)
{
	struct err ignored = {0};
	int r = box_start(&s->api, s->a->ref, s->a->json, NULL, e);

	if (r < 0)
		return r;
	transfer_catch();
	progress_begin(&s->progress, s->a->json);
	r = settle(s, e);
	if (r == 0)
		r = receive(s, e);
	progress_end(&s->progress);
	if (stop(s, r < 0 ? &ignored : e) < 0 && r == 0)
		r = e->num;
	return r;
}

static int publish(struct saving *s, char ret_id[64], struct err *e)
{
	const struct images_ask ask = {.source = s->layout.oci,
		.name = s->a->to,
		.pull = IMAGE_PULL_ALWAYS,
		.name_it = true,
		.again = true,
		.quiet = s->a->json};
	struct images_display show;
	struct layout_save file = {.file = s->a->output};
	int r = images_import(&s->api.paths, &ask, ret_id, e);

	if (r < 0 || !s->a->output)
		return r;
	images_display_begin(&show, s->a->json, &file.interrupted, &file.progress, &file.ctx);
	r = layout_archive(&s->layout, &file, e);
	images_display_end(&show);
	return r;
}

static int save(struct saving *s, char ret_id[64], struct err *e)
{
	AUTO_JS meta = NULL;
	int r = api_open(&s->api, API_START, e);

	if (r == 0)
		r = find_base(s, e);
	if (r == 0)
		r = image_meta(&s->base, &meta, e);
	if (r == 0)
		r = layout_new(&s->api.paths, &s->layout, e);
	if (r == 0)
		r = image_layer(&s->api.paths, &s->base, s->layout.layer,
			&(struct layout_save){.file = NULL}, e);
	if (r == 0)
		r = layout_next(&s->layout, e);
	if (r == 0)
		r = read_disk(s, e);
	if (r == 0)
		r = layout_end(&s->layout, js_get(meta, "run"), s->a->to, s->a->description, e);
	if (r == 0)
		r = publish(s, ret_id, e);
	layout_fini(&s->layout);
	api_close(&s->api);
	return r < 0 ? err_wrap(e, r, "save sandbox '%.64s'", s->a->ref) : 0;
}

static int template_save(int argc, char **argv)
{
	static const struct kit_form form = {.options = "ofjd",
		.words = "SANDBOX NAME",
		.two = true,
		.doc = "Make a root image of a stopped sandbox's disk, with all that was installed "
		       "in it: without shared folders, processes, rules and secrets. -o writes it "
		       "into an OCI archive, too."};
	AUTO_FREE struct saving *s = calloc(1, sizeof(*s));
	struct kit_args_cli a;
	char id[64] = "";
	struct err e = {0};
	int r;

	if (kit_args_parse(argc, argv, ARGS_EXIT, &form, &a, &e) < 0)
		return report_err(&e, CLI_USAGE);
	if (args_box_name(a.ref, &e) < 0 || name_check(a.to, &e) < 0 ||
		(a.output && file_for(&a, &e) < 0))
		return report_err(&e, CLI_USAGE);
	if (!s)
		return CLI_FAIL;
	s->a = &a;
	s->layout.lock = s->layout.layer = -1;
	r = save(s, id, &e);
	if (r < 0)
		return report_err(&e, r == -EINTR ? 130 : CLI_FAIL);
	if (a.json) {
		AUTO_JS o = js_object();

		if (js_set_str(o, "id", id) || js_set_str(o, "name", a.to) || box_print(o, &e) < 0)
			return report_err(&e, CLI_FAIL);
		return report_flush();
	}
	puts(id);
	return report_flush();
}

int verb_template(int argc, char **argv)
{
	static const struct verb subs[] = {
		{"save", template_save, "make one of a sandbox's disk"},
		{"load", image_verb_load, "make one of an archive or a reference"},
		{"ls", image_verb_ls, "list them"},
		{"rm", image_verb_rm, "remove some"},
	};

	return verb_sub(subs, ARRAY_LEN(subs), argc, argv);
}
