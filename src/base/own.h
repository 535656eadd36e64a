/* own.h - ownership in one place: cleanup attributes, TAKE, and what a caller must not ignore
 *
 * A resource is released where its variable goes out of scope, unless TAKE() handed it on.
 * A file descriptor variable is -1 when it owns nothing: zero is a live descriptor.
 */
#ifndef BASE_OWN_H
#define BASE_OWN_H
#include <stdlib.h>
#include <unistd.h>

#define MUST_USE	       __attribute__((warn_unused_result))
#define NORETURN	       __attribute__((noreturn))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define ARRAY_LEN(a)	       (sizeof(a) / sizeof((a)[0]))

/* own_close_fd() - close *@fd if it owns one, and forget it; errno is kept */
void own_close_fd(int *fd);
void own_free(void *pp);

#define AUTO_FD	  __attribute__((cleanup(own_close_fd))) int
#define AUTO_FREE __attribute__((cleanup(own_free)))
/* AUTO(box) b = {...}; runs box_auto(&b); the type's own header defines box_auto() */
#define AUTO(type) __attribute__((cleanup(type##_auto))) struct type

/* TAKE_FD/TAKE - the only way to hand ownership on: the value, and the variable owns nothing */
static inline int own_take_fd(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}
#define TAKE_FD(v) own_take_fd(&(v))
#define TAKE(p)                                                                                    \
	__extension__({                                                                            \
		__typeof__(p) taken_ = (p);                                                        \
		(p) = NULL;                                                                        \
		taken_;                                                                            \
	})
#endif
