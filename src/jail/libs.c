#include "jail/libs.h"
#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define LISTING_MAX	    (64u << 10)
#define LISTING_DEADLINE_MS 10000

void jail_libs_auto(struct jail_libs *l)
{
	free(l->text);
	*l = (struct jail_libs){0};
}

/* take_line() - "\tname => /path (0x...)" or "\t/path (0x...)"; others name no file */
static void take_line(char *line, struct jail_libs *l)
{
	char *path = strstr(line, "=> ");
	char *end;

	path = path ? path + 3 : line + strspn(line, "\t ");
	end = strstr(path, " (0x");
	if (path[0] != '/' || !end || l->n == JAIL_LIBS_MAX)
		return;
	*end = 0;
	l->path[l->n++] = path;
}

static int read_listing(int fd, struct buf *b)
{
	int64_t deadline = clock_ms() + LISTING_DEADLINE_MS;

	for (;;) {
		char *room;
		ssize_t n;
		int r = io_wait(fd, POLLIN, deadline);

		if (r == 0)
			r = buf_room(b, 4096, &room);
		if (r < 0)
			return r;
		n = read(fd, room, 4096);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		buf_grew(b, (size_t)n);
	}
}

static pid_t start_listing(const char *program, int out)
{
	char *const argv[] = {(char[]){"program"}, (char[]){"--version"}, NULL};
	char *const envp[] = {(char[]){"LD_TRACE_LOADED_OBJECTS=1"}, NULL};
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	if (dup2(out, STDOUT_FILENO) >= 0)
		(void)execve(program, argv, envp);
	_exit(127);
}

int jail_libs_find(const char *program, struct jail_libs *ret_libs, struct err *e)
{
	struct jail_libs l = {0};
	int p[2], r, status = 0;
	char *save = NULL;
	AUTO(buf) b;
	pid_t pid;

	buf_init(&b, LISTING_MAX);
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "make a pipe");
	AUTO_FD in = p[0], out = p[1];
	pid = start_listing(program, out);
	if (pid < 0)
		return err_sys(e, -errno, "run the loader of '%s'", program);
	own_close_fd(&out);
	r = read_listing(in, &b);
	if (r < 0)
		(void)kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		r = r < 0 ? r : -ENOEXEC;
	if (r < 0)
		return err_sys(e, r, "list the libraries of '%s'", program);
	l.text = buf_take(&b);
	if (!l.text)
		return err_sys(e, -ENOMEM, "list the libraries of '%s'", program);
	for (char *line = strtok_r(l.text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		take_line(line, &l);
	*ret_libs = l;
	return 0;
}
