#include "kit/git_run.h"
#include "base/tool.h"
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#define WORDS_MAX  (8U << 10) /* of what git says */
#define FILE_BYTES (512ULL << 20) /* of one file that git writes */

/* Options of every run: what a repository, its server or the user's files could otherwise turn on. */
static const char *const always[] = {"-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false",
	"-c", "core.attributesFile=/dev/null", "-c", "credential.helper=", "-c",
	"http.followRedirects=false", "-c", "submodule.recurse=false", "-c", "gc.auto=0", "-c",
	"maintenance.auto=false", "-c", "transfer.fsckObjects=true", "-c", "protocol.version=2",
	"-c", "init.defaultBranch=kit", "-c", "safe.bareRepository=all"};

static void env_make(struct tool_env *env, const struct git_run *g)
{
	static const char *const kept[] = {"https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY",
		"all_proxy", "ALL_PROXY", "SSH_AUTH_SOCK"};

	tool_env_put(env, "PATH", "/usr/local/bin:/usr/bin:/bin");
	tool_env_put(env, "HOME", g->home);
	tool_env_put(env, "XDG_CONFIG_HOME", g->home);
	tool_env_put(env, "TMPDIR", g->home);
	tool_env_put(env, "LC_ALL", "C");
	tool_env_put(env, "GIT_CONFIG_NOSYSTEM", "1");
	tool_env_put(env, "GIT_CONFIG_GLOBAL", "/dev/null");
	tool_env_put(env, "GIT_ATTR_NOSYSTEM", "1");
	tool_env_put(env, "GIT_ALLOW_PROTOCOL", g->protocols);
	tool_env_put(env, "GIT_PROTOCOL_FROM_USER", "0");
	tool_env_put(env, "GIT_TERMINAL_PROMPT", "0");
	tool_env_put(env, "GIT_ASKPASS", "/bin/false");
	tool_env_put(env, "SSH_ASKPASS", "/bin/false");
	tool_env_put(env, "GIT_NO_REPLACE_OBJECTS", "1");
	tool_env_put(env, "GIT_NO_LAZY_FETCH", "1");
	tool_env_put(env, "GIT_SSH_COMMAND",
		"ssh -a -x -oBatchMode=yes -oStrictHostKeyChecking=yes -oClearAllForwardings=yes "
		"-oPermitLocalCommand=no");
	tool_env_keep(env, kept, ARRAY_LEN(kept));
}

/* reason() - the last line of what git said, without "fatal: " */
static const char *reason(struct buf *words)
{
	const char *line = tool_last_line(words);

	return strncmp(line, "fatal: ", 7) == 0 ? line + 7 : line;
}

int git_run(const struct git_run *g, struct err *e)
{
	static const char *const places[] = {"/usr/bin/git", "/usr/local/bin/git", "/bin/git"};
	const char *argv[GIT_ARGS_MAX + ARRAY_LEN(always) + 2];
	AUTO_FREE struct tool_env *env = calloc(1, sizeof(*env));
	AUTO(buf) words;
	struct tool c = {.program = tool_find(places, ARRAY_LEN(places)),
		.argv = argv,
		.env = env,
		.dir = g->home,
		.file_bytes = FILE_BYTES,
		.cpu_s = 120,
		.input = g->input,
		.output = g->output,
		.words = &words,
		.deadline = g->deadline};
	size_t n = 0;
	int r, status = 0;

	buf_init(&words, WORDS_MAX);
	if (!env)
		return err_sys(e, -ENOMEM, "run git");
	if (!c.program)
		return err_set(e, ERR_UNAVAILABLE, -ENOENT, "git is not installed");
	argv[n++] = "git";
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		argv[n++] = always[i];
	for (size_t i = 0; i < GIT_ARGS_MAX && g->args[i]; i++)
		argv[n++] = g->args[i];
	argv[n] = NULL;
	env_make(env, g);
	r = tool_run(&c, &status);
	if (r == -ETIMEDOUT)
		return err_set(e, ERR_TIMEOUT, r, "git took too long");
	if (r == -EFBIG)
		return err_set(e, ERR_LIMIT, r, "git gave more than is allowed");
	if (r < 0)
		return err_sys(e, r, "run git");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(e, ERR_UNAVAILABLE, -EHOSTUNREACH, "git: %s", reason(&words));
	return 0;
}
