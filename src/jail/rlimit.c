#include "jail/rlimit.h"
#include <errno.h>
#include <sys/resource.h>

int jail_rlimit_set(const struct jail_rlimit *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		__rlimit_resource_t what = (__rlimit_resource_t)l[i].resource;
		struct rlimit now;

		if (getrlimit(what, &now) < 0)
			return -errno;
		if (l[i].value < now.rlim_max)
			now.rlim_max = l[i].value;
		now.rlim_cur = now.rlim_max;
		if (setrlimit(what, &now) < 0)
			return -errno;
	}
	return 0;
}
