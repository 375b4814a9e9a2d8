/* fuzz_machine.c - a kind of machine: any text is read or refused with errors, and what was read is sound, is written, and
 * reads back equal
 */
#include "fuzz.h"

#include "conf/machine.h"

static struct tug_sheet *take(const char *text, size_t len)
{
    struct tug_conf_errors errs = {0};
    struct tug_sheet *s = NULL;
    int rc = tug_sheet_read("m", text, len, &s, &errs);
    tug_assert((rc < 0) == (tug_conf_errors_count(&errs) > 0) && (rc == 0) == (s != NULL));
    tug_conf_errors_clear(&errs);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tug_buf text = {0};
    struct tug_sheet *s = take((const char *) data, len), *again;
    if (!s)
        return 0;
    tug_assert(tug_machine_check(&s->machine, NULL) == 0);
    tug_sheet_write(s, &text);
    again = take(text.data, text.len);
    tug_assert(again && tug_machine_equal(&s->machine, &again->machine));
    tug_sheet_free(again);
    tug_sheet_cut(s, s->machine.n_gpus / 2);
    tug_assert(tug_machine_check(&s->machine, NULL) == 0);
    tug_sheet_free(s);
    tug_buf_clear(&text);
    return 0;
}
