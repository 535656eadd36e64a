#include "cli/term.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

static struct termios saved;
static volatile sig_atomic_t raw_fd = -1;

/* Every signal whose default action ends a process and that can be caught. Those that the loop of a
 * session reads from its signalfd are blocked there, and so do not get here.
 */
static const int fatal[] = {SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE,
	SIGUSR1, SIGSEGV, SIGUSR2, SIGALRM, SIGTERM, SIGSTKFLT, SIGXCPU, SIGXFSZ, SIGVTALRM,
	SIGPROF, SIGPOLL, SIGPWR, SIGSYS};

void term_restore(void)
{
	int fd = raw_fd, kept = errno;
	sigset_t ttou, old;

	if (fd < 0)
		return;
	raw_fd = -1;
	/* From the background tcsetattr() would stop us; blocked, the signal lets the call pass. */
	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	(void)sigprocmask(SIG_BLOCK, &ttou, &old);
	(void)tcsetattr(fd, TCSADRAIN, &saved);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	errno = kept;
}

static void on_fatal(int sig)
{
	term_restore();
	(void)signal(sig, SIG_DFL);
	(void)raise(sig); /* blocked here, so it takes effect on return */
}

static void install(void)
{
	static bool at_exit;
	struct sigaction sa = {.sa_handler = on_fatal};
	struct sigaction old;

	if (!at_exit)
		at_exit = atexit(term_restore) == 0;
	for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
		if (sigaction(fatal[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			(void)sigaction(fatal[i], &sa, NULL);
}

int term_raw(int fd)
{
	struct termios t;

	if (raw_fd >= 0)
		return 0;
	if (tcgetattr(fd, &t) < 0)
		return -errno;
	install();
	saved = t;
	cfmakeraw(&t);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	raw_fd = fd; /* before the change, so that no signal falls between */
	if (tcsetattr(fd, TCSADRAIN, &t) < 0) {
		raw_fd = -1;
		return -errno;
	}
	return 0;
}

struct agent_size term_size(int fd)
{
	struct winsize w = {0};

	if (ioctl(fd, TIOCGWINSZ, &w) < 0 || w.ws_row == 0 || w.ws_col == 0)
		return (struct agent_size){24, 80};
	return (struct agent_size){w.ws_row, w.ws_col};
}

/* DEC private modes that make a terminal unusable for a shell when they stay on. @on_is_h: the mode
 * is switched on by "h" (else "l" is the disturbing state).
 */
static const struct {
	unsigned number;
	bool on_is_h;
} modes[] = {{1049, true}, {1047, true}, {47, true}, {25, false}, {1000, true}, {1002, true},
	{1003, true}, {1004, true}, {1006, true}, {2004, true}, {1, true}};

enum { IDLE, ESCAPE, BRACKET, PRIVATE };

static void mode_named(struct term_modes *m)
{
	for (unsigned i = 0; i < ARRAY_LEN(modes); i++)
		if (modes[i].number == m->number)
			m->pending |= 1U << i;
	m->number = 0;
}

static void mode_set(struct term_modes *m, bool h)
{
	for (unsigned i = 0; i < ARRAY_LEN(modes); i++) {
		if (!(m->pending & 1U << i))
			continue;
		if (h == modes[i].on_is_h)
			m->on |= 1U << i;
		else
			m->on &= ~(1U << i);
	}
}

void term_modes_watch(struct term_modes *m, const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = p[i];

		if (c == 0x1b) {
			m->state = ESCAPE;
		} else if (m->state == ESCAPE && c == '[') {
			m->state = BRACKET;
		} else if (m->state == BRACKET && c == '?') {
			m->state = PRIVATE;
			m->number = m->pending = 0;
		} else if (m->state == PRIVATE && c >= '0' && c <= '9') {
			m->number = m->number < 10000 ? m->number * 10 + (c - '0') : 10000;
		} else if (m->state == PRIVATE && c == ';') {
			mode_named(m);
		} else {
			if (m->state == PRIVATE && (c == 'h' || c == 'l')) {
				mode_named(m);
				mode_set(m, c == 'h');
			}
			m->state = IDLE;
		}
	}
}

size_t term_modes_undo(struct term_modes *m, char *dst, size_t cap)
{
	size_t pos = 0;

	for (unsigned i = ARRAY_LEN(modes); i-- > 0;)
		if ((m->on & 1U << i) && pos + 16 < cap)
			pos += (size_t)snprintf(dst + pos, cap - pos, "\x1b[?%u%c", modes[i].number,
				modes[i].on_is_h ? 'l' : 'h');
	if (pos > 0 && pos + 8 < cap)
		pos += (size_t)snprintf(dst + pos, cap - pos, "\x1b[0m");
	m->on = 0;
	return pos;
}

static bool is_screen(unsigned number)
{
	return number == 1049 || number == 1047 || number == 47;
}

size_t term_modes_redo(const struct term_modes *m, char *dst, size_t cap)
{
	size_t pos = 0;

	for (unsigned i = 0; i < ARRAY_LEN(modes); i++) {
		bool on = m->on & 1U << i;

		/* The cursor is the one that a question hides. */
		if (is_screen(modes[i].number) || (!on && modes[i].number != 25) || pos + 16 >= cap)
			continue;
		pos += (size_t)snprintf(dst + pos, cap - pos, "\x1b[?%u%c", modes[i].number,
			on == modes[i].on_is_h ? 'h' : 'l');
	}
	return pos;
}

bool term_modes_alternate(const struct term_modes *m)
{
	for (unsigned i = 0; i < ARRAY_LEN(modes); i++)
		if (is_screen(modes[i].number) && (m->on & 1U << i))
			return true;
	return false;
}
