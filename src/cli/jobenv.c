/* jobenv.c - what goes with a job besides its options: directory, umask, limits, environment
 *
 * Layer: cli.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/jobopts.h"

#define ENV_TOTAL_MAX 1048576u /* as caps.def: job_spec.env */
#define ENV_ONE_MAX   131071u  /* MAX_ARG_STRLEN of the kernel, less its NUL */

/* Is 'entry' ("NAME=VALUE") the variable 'name'? */
static bool is_variable(const char *entry, const char *name, size_t len)
{
    return !strncmp(entry, name, len) && entry[len] == '=';
}

static const char *lookup(char *const *env, const char *name, size_t len)
{
    for (; *env; env++)
        if (is_variable(*env, name, len))
            return *env;
    return NULL;
}

static int check_size(const struct tug_buf *out, const char *entry, size_t len, struct tug_err *err)
{
    int name = (int) strcspn(entry, "=");
    if (len > ENV_ONE_MAX)
        return tug_fail(err, -E2BIG,
                        "the variable %.*s has %zu bytes; one may have %u (the kernel takes no "
                        "more): unset it, or use "
                        "--export to choose what goes with the job",
                        name > 64 ? 64 : name, entry, len, ENV_ONE_MAX);
    if (out->len + len + 1 > ENV_TOTAL_MAX)
        return tug_fail(
            err, -E2BIG,
            "the environment is over %u bytes; use --export=NONE or --export=NAME,... to choose "
            "what goes with the job",
            ENV_TOTAL_MAX);
    return 0;
}

static int add(struct tug_buf *out, const char *entry, struct tug_err *err)
{
    size_t len = strlen(entry);
    int rc = check_size(out, entry, len, err);
    if (rc == 0)
        tug_buf_add(out, entry, len + 1);
    return rc;
}

/* What a job cannot do without, when the environment stays behind. */
static int add_basics(struct tug_buf *out, char *const *env, struct tug_err *err)
{
    static const char *const names[] = {"HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ"};
    int rc = add(out, "PATH=/usr/local/bin:/usr/bin:/bin", err);
    for (size_t i = 0; i < sizeof names / sizeof *names && rc == 0; i++) {
        const char *entry = lookup(env, names[i], strlen(names[i]));
        rc = entry ? add(out, entry, err) : 0;
    }
    return rc;
}

/* Is the entry named in the list, so that the list's own comes later? */
static bool listed(const char *list, const char *entry)
{
    const char *at;
    size_t len;
    while (tug_str_split(&list, ',', &at, &len)) {
        const char *eq = memchr(at, '=', len);
        if (eq && is_variable(entry, at, (size_t) (eq - at)))
            return true;
    }
    return false;
}

static int add_listed(struct tug_buf *out, const char *list, char *const *env, bool all,
                      struct tug_err *err)
{
    const char *at;
    size_t len;
    int rc = 0;
    while (rc == 0 && tug_str_split(&list, ',', &at, &len)) {
        if (len == 0 || (len == 3 && !memcmp(at, "ALL", 3)) || (len == 4 && !memcmp(at, "NONE", 4)))
            continue;
        if (memchr(at, '=', len)) {
            char *entry = tug_xasprintf("%.*s", (int) len, at);
            rc = add(out, entry, err);
            free(entry);
        } else if (!all) {
            const char *entry = lookup(env, at, len);
            rc = entry ? add(out, entry, err) : 0;
        }
    }
    return rc;
}

static int take_environ(struct tug_jobopts *o, char *const *env, struct tug_err *err)
{
    const char *list = o->export_list ? o->export_list : "ALL", *rest = list, *at;
    struct tug_buf out = {0};
    size_t len;
    bool all = false;
    int rc = 0;
    while (tug_str_split(&rest, ',', &at, &len))
        all = all || (len == 3 && !memcmp(at, "ALL", 3));
    if (!all)
        rc = add_basics(&out, env, err);
    for (char *const *e = env; all && *e && rc == 0; e++)
        if (strchr(*e, '=') && !listed(list, *e))
            rc = add(&out, *e, err);
    if (rc == 0)
        rc = add_listed(&out, list, env, all, err);
    o->spec.env.len = out.len;
    o->spec.env.data = (uint8_t *) tug_jobopts_own(o, tug_buf_take(&out));
    return rc;
}

static int take_directory(struct tug_jobopts *o, struct tug_err *err)
{
    if (o->spec.cwd[0] == '/')
        return 0;
    char *here = getcwd(NULL, 0);
    if (!here)
        return tug_fail(err, -errno, "the present directory: %s; give one with --chdir",
                        strerror(errno));
    if (o->spec.cwd[0])
        o->spec.cwd = tug_jobopts_own(o, tug_xasprintf("%s/%s", here, o->spec.cwd));
    else
        o->spec.cwd = tug_jobopts_own(o, tug_xstrdup(here));
    free(here);
    return 0;
}

/* Those that say how a program may use its own process; not counts over all of the user's
 * processes. */
static void take_limits(struct tug_jobopts *o)
{
    static const int which[] = {RLIMIT_CORE,   RLIMIT_DATA,  RLIMIT_FSIZE,
                                RLIMIT_NOFILE, RLIMIT_STACK, RLIMIT_AS};
    uint64_t *pairs =
        tug_jobopts_own(o, tug_xcalloc(2 * (sizeof which / sizeof *which), sizeof *pairs));
    size_t n = 0;
    for (size_t i = 0; i < sizeof which / sizeof *which; i++) {
        struct rlimit r;
        if (getrlimit((__rlimit_resource_t) which[i], &r) < 0)
            continue;
        pairs[n++] = (uint64_t) which[i];
        pairs[n++] = (uint64_t) r.rlim_cur;
    }
    o->spec.rlimits = pairs;
    o->spec.n_rlimits = n;
}

int tug_jobopts_finish(struct tug_jobopts *o, char *const *environ_, struct tug_err *err)
{
    int rc = take_directory(o, err);
    if (rc)
        return rc;
    mode_t mask = umask(077);
    umask(mask);
    o->spec.umask = (uint32_t) mask;
    take_limits(o);
    return take_environ(o, environ_, err);
}
