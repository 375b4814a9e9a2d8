/* symbols.h - what a shared object gives to others and takes from them, read from the file
 *
 * Nothing of the object is loaded or run. Layer: sim.
 */
#ifndef TUG_SIM_SYMBOLS_H
#define TUG_SIM_SYMBOLS_H

#include "base/err.h"
#include "base/vec.h"

struct tug_symbols {
    struct tug_vec(
        char *) exported; /* in the order of the file; without what linkers and sanitizers add */
    struct tug_vec(char *) needed; /* not weak ones */
};

/* -ENOEXEC  not a shared object for this machine (says what is wrong)      else -errno of reading
 */
int tug_symbols_read(const char *path, struct tug_symbols *out, struct tug_err *err);
void tug_symbols_clear(struct tug_symbols *s);

#endif
