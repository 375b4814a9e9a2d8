/* fuzz_duration.c - whatever parses is not negative and reads back from its text */
#include "fuzz.h"

#include "base/duration.h"

FUZZ_TEXT(text)
{
    int64_t s = -1, again = -1;
    struct tug_err err = { 0 };
    char out[TUG_DURATION_TEXT_MAX];
    unsigned both = TUG_DURATION_BARE_MINUTES | TUG_DURATION_ALLOW_INFINITE;
    int rc = tug_duration_parse(text, both, &s, &err);
    if (rc) {
        tug_assert(err.code == rc && err.msg[0] && s == -1);
        tug_assert(tug_duration_parse(text, 0, &s, NULL) < 0);
        return;
    }
    tug_assert(s >= 0);
    tug_assert(tug_duration_parse(tug_duration_format(s, out, sizeof out), both, &again, NULL) == 0);
    tug_assert(again == s);
}
