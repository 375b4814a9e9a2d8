/* exitset.h - a set of ways in which a process may end
 *
 * Exit codes and signals, written "75,100-110,SIGBUS". A signal and the code that shells make of it, 128 and its number, are
 * one thing: whether a rank was killed or the script around it said so is no difference to who writes such a list.
 * Layer: base.
 */
#ifndef TUG_BASE_EXITSET_H
#define TUG_BASE_EXITSET_H

#include <stdint.h>

#include "base/err.h"

#define TUG_EXITSET_TEXT_MAX 255   /* bytes of such a list */

struct tug_exitset {
    uint64_t bits[4];              /* bit i: code i, or signal i - 128 */
};

/* Codes from 1 to 255, ranges of them, names of signals with or without SIG, and "any". Out is left as it was on failure.
 *   -EINVAL  something else, or nothing at all; names the word */
int tug_exitset_parse(const char *text, struct tug_exitset *out, struct tug_err *err);
/* Of an end by that signal, or else with that code. Code 0 is in no set. */
int tug_exitset_has(const struct tug_exitset *s, int code, int signal);

#endif
