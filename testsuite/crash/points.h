/* points.h - the calls that are wrapped, and what each of them says. Layer: tests. */
#ifndef TUG_CRASH_POINTS_H
#define TUG_CRASH_POINTS_H

enum crash_call { CONTROL, CONFIGURE, AGENT, COMMIT, PERSISTED, SEND, READ, LAUNCHER, STEPS_START, STEPS_GONE, STEPS_TOLD, SPAWN,
                  PROGRAMS, CAPTURE, ITSELF };
enum crash_when { BEFORE, AFTER, SENT };

/* Dies here when it is this one's turn. */
void crash_pass(enum crash_call call, int message, enum crash_when when);

/* What --wrap=f makes of f. A program has some of them: the others are not there, and not called. */
#define WRAP(f)                                            \
    extern __typeof__(f) __real_##f __attribute__((weak)); \
    __typeof__(f) __wrap_##f

#endif
