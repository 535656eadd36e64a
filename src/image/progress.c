#include "image/build.h"
#include "base/clock.h"
#include "base/io.h"
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define BAR_CELLS 30

void image_progress_init(struct image_progress *p, int fd)
{
	const char *term = getenv("TERM");

	*p = (struct image_progress){.fd = fd, .started_ms = (long)clock_ms()};
	p->tty = isatty(fd) && term && strcmp(term, "dumb") != 0;
}

static void write_all(const struct image_progress *p, const char *text, size_t len)
{
	/* nobody to tell when the display itself fails; the build goes on */
	(void)!write(p->fd, text, len);
}

static void draw_bar(const struct image_progress *p)
{
	char line[256], bar[BAR_CELLS + 1];
	unsigned full = p->percent * BAR_CELLS / 100;
	struct winsize w;
	int n;

	memset(bar, '.', BAR_CELLS);
	memset(bar, '#', full);
	bar[BAR_CELLS] = '\0';
	n = snprintf(line, sizeof(line), "\r[%s] %3u%% %4llds %s", bar, p->percent,
		((long long)clock_ms() - p->started_ms) / 1000, p->text);
	/* a wrapped line could not be redrawn in place */
	if (ioctl(p->fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 && n > w.ws_col)
		n = w.ws_col;
	n += snprintf(line + n, sizeof(line) - (size_t)n, "\033[K");
	write_all(p, line, (size_t)n);
}

void image_progress_show(void *progress, unsigned percent, const char *text)
{
	struct image_progress *p = progress;
	bool new_text = strcmp(p->text, text) != 0, new_step;
	size_t name = strcspn(text, ":"); /* what follows is how far it is */
	char line[160];
	int n;

	if (!new_text && percent == p->percent)
		return;
	new_step = strcspn(p->text, ":") != name || memcmp(p->text, text, name) != 0;
	(void)snprintf(p->text, sizeof(p->text), "%s", text);
	if (p->tty) {
		p->percent = percent;
		draw_bar(p);
		return;
	}
	/* plain: a line per step, and within a long one every tenth */
	if (!new_step && percent / 10 == p->percent / 10)
		return;
	p->percent = percent;
	n = snprintf(line, sizeof(line), "image: %3u%% %s\n", percent, p->text);
	write_all(p, line, (size_t)n);
}

void image_progress_end(struct image_progress *p)
{
	if (p->tty && p->text[0])
		write_all(p, "\n", 1);
}
