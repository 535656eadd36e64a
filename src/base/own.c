#include "base/own.h"
#include <errno.h>

void own_close_fd(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

void own_free(void *pp)
{
	void **p = pp;

	free(*p);
	*p = NULL;
}
