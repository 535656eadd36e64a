/* scan.h - is output of a program at a place where something else may be written to the terminal?
 *
 * Follows escape sequences (CSI, OSC, DCS and the other strings, also by their C1 codes) and UTF-8.
 * Hostile bytes; no I/O, no memory.
 */
#ifndef CLI_SCAN_H
#define CLI_SCAN_H
#include <stdbool.h>
#include <stddef.h>

struct scan {
	unsigned char state, left, lead; /* left: bytes of a character to come */
};

void scan_feed(struct scan *s, const void *p, size_t len);
/* scan_whole() - nothing is begun and not ended */
bool scan_whole(const struct scan *s);
/* scan_rest() - so many of these bytes end what is begun; @len when they do not */
size_t scan_rest(const struct scan *s, const void *p, size_t len);
#endif
