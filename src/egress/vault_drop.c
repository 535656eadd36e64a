/* The drop of the vault, and the resolver child that is forked before it */
#include "egress/arena.h"
#include "egress/resolver.h"
#include "egress/spawn.h"
#include "egress/vault_jail.h"
#include "base/io.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPORT_TEXT_MAX 4096

static void NORETURN be_resolver(int sock)
{
	struct resolver *resolver;
	struct err e = {0};
	int r;

	/* It keeps the socket and the log. */
	if (dup2(sock, VAULT_DIR_FD) < 0 || fcntl(VAULT_DIR_FD, F_SETFD, FD_CLOEXEC) < 0 ||
		close_range(VAULT_DIR_FD + 1, ~0U, 0) < 0)
		_exit(1);
	(void)prctl(PR_SET_NAME, "sbx-resolver");
	/* Its own mount namespace: entering an empty root takes the root away. */
	resolver = resolver_new(VAULT_DIR_FD);
	if (!resolver)
		r = err_sys(&e, -ENOMEM, "start");
	else if (unshare(CLONE_NEWNS) < 0)
		r = err_sys(&e, -errno, "leave the vault's mount namespace");
	else
		r = vault_jail(&resolver_table, NULL, &e);
	if (r < 0) {
		log_err("resolver: %s", e.msg);
		_exit(1);
	}
	r = resolver_serve(resolver);
	_exit(r < 0);
}

int resolver_fork(struct vault *v, int *ret_fd, struct err *e)
{
	int pair[2];
	pid_t pid;

	(void)v;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_sys(e, -errno, "start the resolver");
	AUTO_FD ours = pair[0], its = pair[1];
	pid = fork();
	if (pid < 0)
		return err_sys(e, -errno, "start the resolver");
	if (pid == 0)
		be_resolver(its);
	*ret_fd = TAKE_FD(ours);
	return 0;
}

int vault_drop(struct vault *v, struct err *e)
{
	AUTO_FD out = openat(v->dir_fd, EGRESS_VAULT_JAIL_FILE,
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	char text[REPORT_TEXT_MAX];
	int r;

	if (out < 0)
		return err_sys(e, -errno, "write %s", EGRESS_VAULT_JAIL_FILE);
	jail_report_add(&v->report, "vault", "namespaces", true, "user, pid, mount, ipc, uts");
	jail_report_add(&v->report, "resolver", "process", true,
		"of its own, without secrets, its own list of system calls");
	r = vault_jail(&vault_table, &v->report, e);
	if (r < 0)
		return r;
	jail_report_print(&v->report, text, sizeof(text));
	(void)!write(out, text, strnlen(text, sizeof(text)));
	own_close_fd(&v->dir_fd);
	return 0;
}
