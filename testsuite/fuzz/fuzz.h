/* fuzz.h - what a fuzz target includes: the input as a C string
 *
 *     FUZZ_TEXT(text) { struct x *x = NULL; if (x_parse(text, &x, NULL) == 0) ...; x_free(x); }
 *
 * Bytes after a NUL in the input are not seen. A property that does not hold is a tug_assert().
 * Layer: tests.
 */
#ifndef TUG_FUZZ_H
#define TUG_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define FUZZ_TEXT(text)                                                \
    static void fuzz_one(const char *text);                            \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)        \
    {                                                                  \
        char *copy = tug_xmalloc(len + 1);                             \
        if (len)                                                       \
            memcpy(copy, data, len);                                   \
        copy[len] = '\0';                                              \
        fuzz_one(copy);                                                \
        free(copy);                                                    \
        return 0;                                                      \
    }                                                                  \
    static void fuzz_one(const char *text)

#endif
