/* test_symbols.c - the symbols of files that are policies, and of files that are anything */
#include <errno.h>
#include <unistd.h>

#include "unit.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"
#include "sim/simrun.h"
#include "sim/symbols.h"

static struct tug_symbols s;
static struct tug_err err;

static struct tug_buf file_of(const char *name)
{
    struct tug_buf b = {0};
    char part[4096];
    char *path = tug_xasprintf("%s/plugins/%s.so",
                               getenv("TUG_BUILDDIR") ? getenv("TUG_BUILDDIR") : ".", name);
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s", path);
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
        tug_buf_add(&b, part, n);
    fclose(f);
    free(path);
    return b;
}

static int read_back(const struct tug_buf *b)
{
    tug_symbols_clear(&s);
    err = (struct tug_err){0};
    int rc = tug_symbols_read(simrun_file(b->data, b->len), &s, &err);
    simrun_forget();
    return rc;
}

START_TEST(a_policy_exports_one_symbol_and_needs_what_it_calls)
{
    struct tug_buf b = file_of("easy");
    int frees = 0;
    ck_assert_msg(read_back(&b) == 0, "%s", err.msg);
    ck_assert_uint_eq(s.exported.len, 1);
    ck_assert_str_eq(s.exported.at[0], "tug_policy");
    for (size_t i = 0; i < s.needed.len; i++)
        frees |= !strcmp(s.needed.at[i], "free");
    ck_assert_int_eq(frees, 1);
    tug_symbols_clear(&s);
    tug_buf_clear(&b);
}
END_TEST

START_TEST(what_is_no_shared_object_is_refused_with_the_reason)
{
    struct tug_buf b = {0};
    unit_fails(tug_symbols_read("/nonexistent.so", &s, &err), -ENOENT, err, "/nonexistent.so");
    unit_fails(tug_symbols_read("/dev/null", &s, &err), -ENOEXEC, err, "no file");
    tug_buf_adds(
        &b, "#!/bin/sh\necho a script, longer than the head of an object, and then some more\n");
    unit_fails(read_back(&b), -ENOEXEC, err, "not a shared object");
    tug_buf_clear(&b);
    b = file_of("fifo");
    b.data[18] ^= 0x55; /* e_machine */
    unit_fails(read_back(&b), -ENOEXEC, err, "another machine");
    b.data[18] ^= 0x55;
    b.data[16] = 1; /* e_type: an object file */
    unit_fails(read_back(&b), -ENOEXEC, err, "-shared");
    b.data[16] = 3;
    b.len = 3000;
    unit_fails(read_back(&b), -ENOEXEC, err, "damaged");
    tug_buf_clear(&b);
}
END_TEST

START_TEST(damaged_files_are_read_without_harm)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    struct tug_buf good = file_of("fifo"), bad = {0};
    for (int i = 0; i < unit_rounds(400); i++) {
        tug_buf_reset(&bad);
        tug_buf_add(&bad, good.data, good.len);
        uint64_t sections;
        memcpy(&sections, good.data + 40, sizeof sections);
        for (int k = 0; k < 4; k++) { /* in the head and the list of sections, where offsets are */
            size_t at = tug_rand_below(&r, 2) ? tug_rand_below(&r, 64)
                                              : sections + tug_rand_below(&r, good.len - sections);
            bad.data[at] = (char) tug_rand_u64(&r);
        }
        read_back(&bad);
    }
    tug_symbols_clear(&s);
    tug_buf_clear(&good);
    tug_buf_clear(&bad);
}
END_TEST

UNIT_MAIN("sim/symbols", a_policy_exports_one_symbol_and_needs_what_it_calls,
          what_is_no_shared_object_is_refused_with_the_reason, damaged_files_are_read_without_harm)
