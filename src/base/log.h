/* log.h - one line per event, at the level of who must act
 *
 * Programs log, libraries return errors. The sink writes "LEVEL program: sentence\n" (with time when stderr is not
 * the journal) in one write(2); control bytes are escaped there and nowhere else.
 *   ERROR  somebody must act now     WARN  somebody should look     INFO  what an admin wants to find later
 *   DEBUG  what a developer wants
 */
#ifndef TUG_BASE_LOG_H
#define TUG_BASE_LOG_H

enum tug_log_level { TUG_LOG_ERROR, TUG_LOG_WARN, TUG_LOG_INFO, TUG_LOG_DEBUG };

void tug_log_open(const char *program, enum tug_log_level max); /* logs to stderr (fd 2) */
void tug_log_set_level(enum tug_log_level max);
int tug_log_level_parse(const char *name, enum tug_log_level *out); /* "error".."debug"; -EINVAL */
void tug_log(enum tug_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define tug_error(...) tug_log(TUG_LOG_ERROR, __VA_ARGS__)
#define tug_warn(...) tug_log(TUG_LOG_WARN, __VA_ARGS__)
#define tug_info(...) tug_log(TUG_LOG_INFO, __VA_ARGS__)
#define tug_debug(...) tug_log(TUG_LOG_DEBUG, __VA_ARGS__)

#endif
