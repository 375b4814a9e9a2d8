/* fuzz_hostlist.c - whatever parses is sorted, is made of host names, and reads back from its text */
#include "fuzz.h"

#include "base/hostlist.h"

FUZZ_TEXT(text)
{
    struct tug_hostlist *hl = NULL;
    struct tug_err err = { 0 };
    int rc = tug_hostlist_parse(text, &hl, &err);
    if (rc) {
        tug_assert(err.code == rc && err.msg[0] && !hl);
        return;
    }
    size_t n = tug_hostlist_count(hl);
    tug_assert(n <= TUG_HOSTLIST_MAX);
    for (size_t i = 0; i < n; i++) {
        tug_assert(tug_hostname_ok(tug_hostlist_nth(hl, i)));
        tug_assert(i == 0 || tug_hostname_cmp(tug_hostlist_nth(hl, i - 1), tug_hostlist_nth(hl, i)) < 0);
    }
    struct tug_buf out = { 0 };
    struct tug_hostlist *again = NULL;
    tug_hostlist_format(hl, &out);
    tug_assert(tug_hostlist_parse(tug_buf_str(&out), &again, NULL) == 0);
    tug_assert(tug_hostlist_equal(hl, again));
    tug_buf_clear(&out);
    tug_hostlist_free(again);
    tug_hostlist_free(hl);
}
