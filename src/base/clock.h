/* clock.h - monotonic milliseconds and deadlines
 *
 * A deadline is a point of clock_ms(); clock_left() is what poll() takes.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
#include <stdint.h>

int64_t clock_ms(void); /* CLOCK_MONOTONIC, milliseconds */
int64_t clock_real_ms(void); /* since 1970, milliseconds */
/* clock_left() - milliseconds until @deadline, 0 when it has passed, never above INT_MAX */
int clock_left(int64_t deadline);
#endif
