/* fuzz_size.c - whatever parses reads back from its exact text, and its short text is not far off */
#include "fuzz.h"

#include "base/size.h"

FUZZ_TEXT(text)
{
    uint64_t bytes = 1, again = 0;
    struct tug_err err = { 0 };
    char out[TUG_SIZE_TEXT_MAX];
    int rc = tug_size_parse(text, 1048576, &bytes, &err);
    if (rc) {
        tug_assert(err.code == rc && err.msg[0] && bytes == 1);
        return;
    }
    tug_assert(tug_size_parse(tug_size_format_exact(bytes, out, sizeof out), 0, &again, NULL) == 0);
    tug_assert(again == bytes);
    tug_assert(strlen(tug_size_format(bytes, out, sizeof out)) < sizeof out - 1);
}
