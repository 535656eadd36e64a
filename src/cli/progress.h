/* progress.h - what is being done, on stderr, while somebody waits
 *
 * On a terminal one line that is redrawn and erased at the end; else plain lines, and only once
 * more than a second has passed. NO_COLOR and TERM=dumb give plain lines.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H
#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool quiet, redraw, shown;
	bool installs; /* it came to the install commands of kits */
	int64_t began_ms, drawn_ms;
};
void progress_begin(struct progress *p, bool quiet);
/* progress_step() - an api_step_fn; both texts are untrusted. What a command prints is shown on a terminal only. */
void progress_step(void *progress, const char *text, const char *output);
/* progress_bytes() - "WHAT 12 MiB", on a terminal only, after a second, five times a second */
void progress_bytes(struct progress *p, const char *what, uint64_t bytes);
void progress_end(struct progress *p); /* leaves the line empty */
#endif
