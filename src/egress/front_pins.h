/* front_pins.h - which names were answered with which addresses: what a connection may be for
 *
 * Bounded: FRONT_PINS_MAX pairs, the least recently used goes first. One thread. They are kept in a file of
 * fixed size, so that a front that is started anew for the same run knows what the guest was told: names are
 * not looked up again while their answers hold inside. The file is read as hostile (whoever left it may have
 * been taken over); what it says is a claim that is judged with each connection, as every pin is.
 */
#ifndef EGRESS_FRONT_PINS_H
#define EGRESS_FRONT_PINS_H
#include "policy/host.h"

#define FRONT_PINS_MAX 4096

struct front_pins;

struct front_pins *front_pins_new(void) MUST_USE; /* NULL: no memory */
void front_pins_free(struct front_pins *p);
/* front_pins_add() - @name (canonical) was answered with @a; false: no memory, nothing remembered */
bool front_pins_add(struct front_pins *p, const char *name, const struct policy_address *a);
/* front_pins_has() - was it? Counts as use. */
bool front_pins_has(struct front_pins *p, const char *name, const struct policy_address *a);
/* front_pins_next() - the names of an address, latest first: *@at begins as 0; NULL at the end */
const char *front_pins_next(
	const struct front_pins *p, const struct policy_address *a, unsigned *at);
/* front_pins_keep() - take over what the file @fd (borrowed) holds, and keep there what comes. Negative
 * errno: the file is of no use, and nothing is kept. Once, before the first pin.
 */
int front_pins_keep(struct front_pins *p, int fd) MUST_USE;
unsigned front_pins_count(const struct front_pins *p);
#endif
