/* log.h - diagnostics of our processes: one line each, escaped and rate-limited here
 *
 * Goes to stderr (which sbxd points at a capped file). The whole formatted line is escaped, so no
 * caller can forget it. At most LOG_PER_SECOND lines a second leave a process; what was dropped is
 * counted and said in the next line. Functions below a program's main use log_debug() only.
 * Level: SBX_LOG_LEVEL=error|warn|info|debug, default info. Thread-safe.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H
#include "base/own.h"

#define LOG_PER_SECOND 200

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* log_init() - name that starts each line ("sbxd"); borrowed for ever. Reads SBX_LOG_LEVEL. */
void log_init(const char *program);
void log_set_level(enum log_level level);
/* log_set_fd() - write to @fd (borrowed) instead of stderr */
void log_set_fd(int fd);
void log_write(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_err(...)   log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#endif
