/* simrun.c - traces and simulations for tests. Layer: tests. */
#include "sim/simrun.h"

#include <unistd.h>

#include "unit.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"

static char path[256];

const char *simrun_file(const void *text, size_t len_bytes)
{
    const char *dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    snprintf(path, sizeof path, "%s/tug-trace.XXXXXX", dir);
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, len_bytes), (ssize_t) len_bytes);
    close(fd);
    return path;
}

void simrun_forget(void)
{
    unlink(path);
}

char *simrun_generate(uint64_t seed, int jobs, unsigned nodes)
{
    struct tug_rand r = tug_rand_seed(seed);
    struct tug_buf b = {0};
    uint64_t at_s = 0;
    tug_buf_addf(&b, "job_id,submit_s,duration_s,gpus,user,vc_or_queue\n");
    for (int i = 0; i < jobs; i++) {
        unsigned gpus = 1u << tug_rand_below(&r, 4);
        uint64_t duration_s = 1 + tug_rand_below(&r, 300);
        if (tug_rand_below(&r, 4) == 0)
            gpus = 8 * (1 + (unsigned) tug_rand_below(&r, nodes));
        if (tug_rand_below(&r, 5) == 0)
            duration_s *= 20;
        if (tug_rand_below(&r, 3))
            at_s += tug_rand_below(&r, 600);
        tug_buf_addf(&b, "j%d,%llu,%llu,%u,u%u,a\n", i, (unsigned long long) at_s,
                     (unsigned long long) duration_s, gpus, (unsigned) tug_rand_below(&r, 5));
    }
    char *text = tug_xstrdup(tug_buf_str(&b));
    tug_buf_clear(&b);
    return text;
}

struct tug_plugload *simrun_policy(const char *name, const char *key, const char *value)
{
    const struct tug_plugload_param param = {key, value};
    struct tug_plugload *p = NULL;
    struct tug_err err = {0};
    char *dir = tug_xasprintf("%s/plugins", getenv("TUG_BUILDDIR") ? getenv("TUG_BUILDDIR") : ".");
    const char *dirs[] = {dir};
    ck_assert_msg(tug_plugload_open(name, dirs, 1, &param, key ? 1 : 0, &p, &err) == 0, "%s",
                  err.msg);
    free(dir);
    return p;
}
