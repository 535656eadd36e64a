#include "cli/progress.h"
#include "base/clock.h"
#include "base/escape.h"
#include "cli/report.h"
#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 1000
#define REDRAW_MS   200

void progress_begin(struct progress *p, bool quiet)
{
	*p = (struct progress){
		.quiet = quiet, .redraw = report_colour(STDERR_FILENO), .began_ms = clock_ms()};
}

void progress_step(void *progress, const char *text, const char *output)
{
	struct progress *p = progress;
	char shown[512], more[512];

	p->installs |= strncmp(text, "install ", 8) == 0;
	if (p->quiet)
		return;
	(void)escape_text(shown, sizeof(shown), text, strnlen(text, 120));
	if (p->redraw) {
		fprintf(stderr, "\r\x1b[K%s …", shown);
		if (output && output[0])
			fprintf(stderr, " %s",
				escape_text(more, sizeof(more), output, strnlen(output, 60)));
		p->shown = true;
	} else if (!output && (p->installs || clock_ms() - p->began_ms > PATIENCE_MS)) {
		fprintf(stderr, "sbx: %s\n", shown);
	}
}

void progress_bytes(struct progress *p, const char *what, uint64_t bytes)
{
	int64_t now = clock_ms();

	if (p->quiet || !p->redraw || now - p->began_ms < PATIENCE_MS ||
		now - p->drawn_ms < REDRAW_MS)
		return;
	p->drawn_ms = now;
	p->shown = true;
	fprintf(stderr, "\r\x1b[K%s %.1f MiB", what, (double)bytes / (1 << 20));
}

void progress_end(struct progress *p)
{
	if (p->shown)
		fprintf(stderr, "\r\x1b[K");
	p->shown = false;
}
