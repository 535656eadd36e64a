/* egress_spawn - start sbx-front or sbx-vault exactly as the daemon does, for whoever plays the daemon
 *
 * egress_spawn front|vault ID PROGRAM DIRECTORY: prints "PID\n" of the process, then waits until its
 * own stdin ends or the process does, and ends it. stderr is the program's log. Its end is told as its
 * exit status: 0 asked for, 1 by itself.
 */
#include "base/err.h"
#include "egress/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static int follow(pid_t pid, int pidfd)
{
	struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
	int status;
	bool asked;

	while (poll(p, 2, -1) < 0)
		if (errno != EINTR)
			break;
	asked = p[0].revents != 0;
	(void)kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	if (!asked)
		(void)fprintf(stderr, "ended by itself: %s %d\n",
			WIFSIGNALED(status) ? "signal" : "status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return asked ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct err e = {0};
	AUTO_FD pidfd = -1;
	pid_t pid;

	if (argc != 5) {
		(void)fprintf(stderr, "usage: egress_spawn front|vault ID PROGRAM DIRECTORY\n");
		return 2;
	}
	AUTO_FD dir = open(argv[4], O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 || egress_spawn(strcmp(argv[1], "front") == 0 ? EGRESS_FRONT : EGRESS_VAULT,
			       argv[2], argv[3], dir, 2, &pid, &pidfd, &e) < 0) {
		(void)fprintf(stderr, "egress_spawn: %s\n", e.msg);
		return 1;
	}
	(void)printf("%d\n", (int)pid);
	(void)fflush(stdout);
	return follow(pid, pidfd);
}
