/* fuzz_hwlocxml.c - a topology of hwloc: any text is read or refused with errors, and what was read is sound and is written as
 * something that reads again
 */
#include "fuzz.h"

#include "conf/hwlocxml.h"

static struct tug_sheet *take(const char *text, size_t len)
{
    struct tug_conf_errors errs = {0};
    struct tug_buf odd = {0};
    struct tug_sheet *s = NULL;
    int rc = tug_hwlocxml_read("m", text, len, "x", &s, &odd, &errs);
    tug_assert((rc < 0) == (tug_conf_errors_count(&errs) > 0) && (rc == 0) == (s != NULL));
    tug_conf_errors_clear(&errs);
    tug_buf_clear(&odd);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tug_buf text = {0};
    struct tug_sheet *s = take((const char *) data, len), *again;
    if (!s)
        return 0;
    tug_assert(tug_machine_check(&s->machine, NULL) == 0);
    tug_hwlocxml_write(s, &text);
    again = take(text.data, text.len);
    tug_assert(again && again->machine.n_gpus == s->machine.n_gpus);
    tug_sheet_free(again);
    tug_sheet_free(s);
    tug_buf_clear(&text);
    return 0;
}
