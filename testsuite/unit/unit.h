/* unit.h - what a unit test includes: libcheck, printed as TAP
 *
 *     #include "unit.h"
 *     #include "base/heap.h"
 *
 *     START_TEST(a_removed_node_never_comes_out) { ... ck_assert_int_eq(...); } END_TEST
 *
 *     UNIT_MAIN("base/heap", a_removed_node_never_comes_out)
 *
 * Every test runs in its own process, so a crash is a failure of that test only; CK_FORK=no keeps
 * them in one for a debugger.
 * Layer: tests.
 */
#ifndef TUG_UNIT_H
#define TUG_UNIT_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"

#define UNIT_TIMEOUT_S 300 /* of one test; only what hangs may meet it, with sanitizers on half of one CPU too */

#define UNIT_MAIN(name, ...)                                                   \
    int main(void)                                                             \
    {                                                                          \
        const TTest *const tests_[] = { __VA_ARGS__ };                         \
        return unit_run(name, tests_, sizeof tests_ / sizeof *tests_);         \
    }

static inline int unit_run(const char *name, const TTest *const *tests, size_t n)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, UNIT_TIMEOUT_S);
    for (size_t i = 0; i < n; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

/* The seed for a random test: TUG_SEED from the environment, or a fresh one. Printed, so that a
 * failure can be had again with TUG_SEED=... */
static inline uint64_t unit_seed(void)
{
    const char *given = getenv("TUG_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = given ? strtoull(given, NULL, 0)
                          : (uint64_t) now.tv_sec * 1000000007u + (uint64_t) now.tv_nsec;
    printf("# TUG_SEED=%llu\n", (unsigned long long) seed);
    fflush(stdout);
    return seed;
}

#ifdef __SANITIZE_ADDRESS__
#define UNIT_SANITIZED 1
#else
#define UNIT_SANITIZED 0
#endif

/* Repetitions of a random test: TUG_ROUNDS from the environment, or 'normal'. */
static inline int unit_rounds(int normal)
{
    const char *given = getenv("TUG_ROUNDS");
    return given ? atoi(given) : normal;
}

/* Of a random test that computes for seconds: fewer where it is built with sanitizers, which make everything several times as
 * slow and look at how code reads and writes, not at what it decides. */
static inline int unit_rounds_or(int normal, int sanitized)
{
    return unit_rounds(UNIT_SANITIZED ? sanitized : normal);
}

/* 'call' (which fills a struct tug_err err) fails with 'code' and its sentence contains 'words'. */
#define unit_fails(call, code_, err, words)                                                    \
    do {                                                                                       \
        int rc_ = (call);                                                                      \
        ck_assert_msg(rc_ == (code_), "%s gave %d, not %d (%s)", #call, rc_, (code_), (err).msg); \
        ck_assert_msg(strstr((err).msg, (words)), "\"%s\" does not say \"%s\"", (err).msg, words); \
    } while (0)

#endif
