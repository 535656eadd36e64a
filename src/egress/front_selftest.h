/* front_selftest.h - sbx-front --selftest-jail: enter the jail and try what must not be possible
 *
 * The same code closes the jail as for a sandbox; the attempts are those of the machine's self-test.
 * One line each, in the form of TAP; exit status 1 when anything got through.
 */
#ifndef EGRESS_FRONT_SELFTEST_H
#define EGRESS_FRONT_SELFTEST_H

/* front_selftest_main() - called first of all; -1: the arguments ask for no self-test */
int front_selftest_main(int argc, char **argv);
#endif
