#include "base/buf.h"
#include "base/io.h"
#include "base/paths.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define SCRIPT_MAX (256U << 10)

int verb_completion(int argc, char **argv)
{
	static const struct plain_form form = {.options = 0,
		.min_words = 1,
		.max_words = 1,
		.words = "bash|zsh|fish",
		.doc = "Print a completion script. For bash: source <(sbx completion bash)"};
	static const char *const shells[][2] = {
		{"bash", "sbx.bash"}, {"zsh", "_sbx"}, {"fish", "sbx.fish"}};
	AUTO(plain_args) a = {0};
	AUTO(buf) text = {0};
	const char *file = NULL;
	struct err e = {0};
	struct paths p;
	char dir[PATH_MAX], path[PATH_MAX];
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(shells); i++)
		if (strcmp(a.words[0], shells[i][0]) == 0)
			file = shells[i][1];
	if (!file) {
		(void)err_set(&e, ERR_INVALID, -EINVAL, "no completion for '%.80s'", a.words[0]);
		err_hint(&e, "bash, zsh or fish");
		return report_err(&e, CLI_USAGE);
	}
	buf_init(&text, SCRIPT_MAX);
	if (paths_find(&p, &e) < 0)
		return report_err(&e, CLI_FAIL);
	r = paths_join(dir, p.data, "completions");
	if (r == 0)
		r = paths_join(path, dir, file);
	if (r == 0)
		r = io_read_file(AT_FDCWD, path, &text);
	if (r < 0) {
		(void)err_sys(&e, r, "read the script '%s'", path);
		return report_err(&e, CLI_FAIL);
	}
	fputs(buf_str(&text), stdout);
	return report_flush();
}
