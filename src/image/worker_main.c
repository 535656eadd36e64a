/* sbx-image - one image of an OCI layout into one read-only file system; see worker.h */
#include "base/log.h"
#include "image/worker.h"
#include "json/apierr.h"
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define REPORT_MAX (2U << 20)

#ifdef __SANITIZE_ADDRESS__
/* Looking for leaks traces the process from a second one, which the jail forbids. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

static int arguments(struct worker *w, int argc, char **argv)
{
	for (int i = 1; i < argc; i += 2) {
		char *end = NULL;

		if (strcmp(argv[i], "--export") == 0) {
			w->export = true;
			i--;
			continue;
		}
		if (i + 1 == argc)
			return -1;
		if (strcmp(argv[i], "--ref") == 0) {
			w->ref = argv[i + 1];
		} else if (strcmp(argv[i], "--max-bytes") == 0) {
			w->max_bytes = strtoull(argv[i + 1], &end, 10);
			if (*end || w->max_bytes == 0)
				return -1;
		} else {
			return -1;
		}
	}
	return 0;
}

/* report() - the last line: what came of it */
static int report(char kind, const struct js *o)
{
	AUTO(buf) line;
	size_t done = 0;

	buf_init(&line, REPORT_MAX);
	if (buf_addf(&line, "%c ", kind) < 0 || js_print(o, &line) < 0 ||
		buf_add(&line, "\n", 1) < 0)
		return 1;
	while (done < line.len) {
		ssize_t n = write(WORKER_REPORT_FD, line.data + done, line.len - done);

		if (n <= 0)
			return 1;
		done += (size_t)n;
	}
	return kind == 'R' ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct worker w = {.max_bytes = WORKER_MAX_BYTES, .layout_fd = -1};
	AUTO_JS o = NULL;
	struct err e = {0};

	log_init("sbx-image");
	if (arguments(&w, argc, argv) < 0) {
		log_err("usage: sbx-image [--export] [--max-bytes N] [--ref NAME] (started by "
			"sbx)");
		return 2;
	}
	(void)mallopt(M_ARENA_MAX, 1);
	tzset(); /* the log's clock: the C library reads a file the first time */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	js_seed();
	if (!digest_of("", 0, w.digest)) /* libcrypto reads its configuration the first time */
		return 1;
	if (worker_drop(&w, &e) < 0 ||
		(w.export ? worker_export(&w, &o, &e) : worker_run(&w, &o, &e)) < 0) {
		struct js *error = apierr_json(&e);
		int r = report('E', error);

		js_free(error);
		worker_fini(&w);
		return r;
	}
	worker_fini(&w);
	return report('R', o);
}
