#include "image/fetch.h"
#include "base/clock.h"
#include "base/io.h"
#include "image/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define FETCH_LIMIT_MS (60 * 60 * 1000)
#define SOURCE_TEXT    2048
#define TAIL	       2048

/* has_transport() - "docker://x", "oci-archive:x" ... A registry's port is a number, a tag has no slash before it. */
static bool has_transport(const char *s)
{
	static const char *const known[] = {"docker://", "docker-archive:", "docker-daemon:",
		"oci:", "oci-archive:", "containers-storage:", "dir:"};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strncmp(s, known[i], strlen(known[i])) == 0)
			return true;
	return false;
}

int fetch_source(const char *source, char *dst, size_t cap, struct err *e)
{
	struct stat st;
	const char *how = "docker://";
	int n;

	if (source[0] == '-')
		return err_set(e, ERR_INVALID, -EINVAL, "'%.80s' names no image", source);
	if (has_transport(source))
		how = "";
	else if (stat(source, &st) == 0 && S_ISREG(st.st_mode))
		how = "docker-archive:";
	else if (source[0] == '/' || source[0] == '.')
		return err_set(e, ERR_NOT_FOUND, -ENOENT,
			"'%.200s' is neither an archive nor an OCI layout", source);
	n = snprintf(dst, cap, "%s%s", how, source);
	return n > 0 && (size_t)n < cap ? 0 : err_sys(e, -ENAMETOOLONG, "fetch the image");
}

static NORETURN void run_skopeo(const char *from, const char *to, int out)
{
	int null = open("/dev/null", O_RDONLY);

	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(125);
	(void)execlp("skopeo", "skopeo", "--override-os", "linux", "--override-arch", "amd64",
		"copy", "--quiet", "--", from, to, (char *)NULL);
	_exit(errno == ENOENT ? 127 : 126);
}

/* wait_for() - its status; ended when it takes too long or is not wanted any more */
static int wait_for(pid_t pid, const bool *interrupted)
{
	int64_t deadline = clock_ms() + FETCH_LIMIT_MS;
	int status, why = 0;

	for (;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got == pid)
			break;
		if (got < 0 && errno != EINTR)
			return -errno;
		if (!why && image_stop_wanted(interrupted))
			why = -EINTR;
		if (!why && clock_ms() > deadline)
			why = -ETIMEDOUT;
		if (why)
			(void)kill(
				-pid, SIGKILL); /* what it has written is removed by our caller */
		(void)poll(NULL, 0, 50);
	}
	(void)kill(-pid, SIGKILL);
	return why ? why : WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

/* tell() - skopeo's last line says what was wrong */
static int tell(int out, const char *source, struct err *e)
{
	char text[TAIL + 1], *line = text, *end;
	off_t size = lseek(out, 0, SEEK_END);
	ssize_t n = pread(out, text, TAIL, size > TAIL ? size - TAIL : 0);

	text[n > 0 ? n : 0] = '\0';
	while ((end = strchr(line, '\n')) && end[1])
		line = end + 1;
	if (end)
		*end = '\0';
	end = strstr(line, "msg=\"");
	return err_set(e, ERR_UNAVAILABLE, -EIO, "skopeo could not fetch '%.100s': %.300s", source,
		end	? end + strlen("msg=\"")
		: *line ? line
			: "it said nothing");
}

int image_fetch(const char *source, const char *layout, const bool *interrupted, struct err *e)
{
	char from[SOURCE_TEXT], to[SOURCE_TEXT * 3];
	AUTO_FD out = memfd_create("skopeo", MFD_CLOEXEC);
	int r = fetch_source(source, from, sizeof(from), e);
	pid_t pid;

	if (r < 0)
		return r;
	if (out < 0 || snprintf(to, sizeof(to), "oci:%s:image", layout) >= (int)sizeof(to))
		return err_sys(e, out < 0 ? -errno : -ENAMETOOLONG, "fetch the image");
	pid = fork();
	if (pid < 0)
		return err_sys(e, -errno, "start skopeo");
	if (pid == 0)
		run_skopeo(from, to, out);
	(void)setpgid(pid, pid);
	r = wait_for(pid, interrupted);
	if (r == 127) {
		r = err_set(e, ERR_UNAVAILABLE, -ENOENT,
			"skopeo is missing: it fetches images from archives and registries");
		err_hint(e, "install the package skopeo");
		return r;
	}
	if (r == -EINTR)
		return err_set(e, ERR_TIMEOUT, r, "interrupted; nothing is left of it");
	if (r == -ETIMEDOUT)
		return err_set(e, ERR_TIMEOUT, r, "not done within an hour");
	return r == 0 ? 0 : tell(out, source, e);
}
