#include "cli/request.h"
#include <errno.h>

int request_exec(
	struct buf *out, const struct agent_exec *x, const struct env_list *env, struct err *e)
{
	size_t n = env ? env->n : 0;
	AUTO_FREE char **v = calloc(n + 1, sizeof(*v));
	struct agent_exec full = *x;
	int r;

	if (!v)
		return err_sys(e, -ENOMEM, "write the request");
	for (size_t i = 0; i < n; i++)
		v[i] = env->v[i].text;
	full.env = (struct agent_strv){.v = v, .n = n};
	if (x->argv.n > AGENT_LIST_MAX || n > AGENT_LIST_MAX)
		return err_set(e, ERR_LIMIT, -E2BIG, "more than %d arguments", AGENT_LIST_MAX);
	r = agent_put_exec(out, &full);
	if (r == -EMSGSIZE || r == -ENOBUFS)
		return err_set(e, ERR_LIMIT, -E2BIG, "arguments and variables exceed 1 MiB");
	return r < 0 ? err_sys(e, r, "write the request") : 0;
}
