/* jobopts.c - what a user says about a job, from the command line, the script and the environment
 *
 * One table (jobopts.def) makes the parser's rows; set_KIND() reads a value into the field. Layer:
 * cli.
 */
#include "cli/jobopts.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/exitset.h"
#include "base/gpuset.h"
#include "base/hostlist.h"
#include "base/mem.h"
#include "base/mig.h"
#include "base/preflight.h"
#include "base/rate.h"
#include "base/size.h"
#include "base/str.h"
#include "cli/out.h"
#include "cli/when.h"

static int warn(struct tug_jobopts *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int warn(struct tug_jobopts *o, const char *fmt, ...)
{
    char text[TUG_ERR_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tug_vec_push(&o->warnings, tug_xstrdup(text));
    return 0;
}

void *tug_jobopts_own(struct tug_jobopts *o, void *p)
{
    tug_vec_push(&o->owned, p);
    return p;
}

/* ---- how values are read: set_KIND(o, field, value, err) ---- */

static int set_COUNT(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    uint64_t n;
    (void) o;
    if (tug_str_u64(value, 1000000, &n) == 0 && n > 0) {
        *(uint32_t *) field = (uint32_t) n;
        return 0;
    }
    const char *dash = strchr(value, '-');
    if (dash && dash > value && isdigit((unsigned char) dash[1]))
        return tug_fail(err, -EINVAL, "'%.64s' is a range, which is not there yet; give one number",
                        value);
    return tug_fail(err, -EINVAL, "'%.64s' is not a number from 1 to 1000000", value);
}

static int set_TEXT(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    (void) err;
    *(char **) field = tug_jobopts_own(o, tug_xstrdup(value));
    return 0;
}

static int set_PATTERN(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    if (!*value)
        return tug_fail(err, -EINVAL, "an empty path");
    return set_TEXT(o, field, value, err);
}

/* "h100", "1g.10gb", "h100:1g.10gb": what stands before the number. */
static void set_kind(struct tug_jobopts *o, const char *text, size_t len)
{
    char *kind = tug_jobopts_own(o, tug_xstrdup(text)), *last;
    kind[len] = '\0';
    last = strrchr(kind, ':') ? strrchr(kind, ':') + 1 : kind;
    if (!tug_mig_is_profile(last, strlen(last))) {
        o->res.gpu_model = kind;
        return;
    }
    o->res.mig_profile = last;
    if (last > kind) {
        last[-1] = '\0';
        o->res.gpu_model = kind;
    }
}

/* "8", "h100:8", "1g.10gb:8". */
static int set_GPUS(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    const char *colon = strrchr(value, ':'), *digits = colon ? colon + 1 : value;
    uint64_t n;
    if (strchr(value, ','))
        return tug_fail(err, -EINVAL,
                        "'%.64s' names several kinds of GPUs; one kind a job: MODEL:N", value);
    if (tug_str_u64(digits, 1000000, &n) || colon == value)
        return tug_fail(err, -EINVAL, "'%.64s' is not a number of GPUs; write 8 or h100:8", value);
    *(uint32_t *) field = (uint32_t) n;
    if (colon)
        set_kind(o, value, (size_t) (colon - value));
    return 0;
}

/* "0.5", "h100:0.5". */
static int set_SHARE(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    const char *colon = strrchr(value, ':'), *digits = colon ? colon + 1 : value;
    int64_t milli;
    if (colon == value || tug_milli_parse(digits, strlen(digits), TUG_GPU_MILLI - 1, &milli) || milli < 1)
        return tug_fail(err, -EINVAL,
                        "'%.64s' is not a part of a GPU: write 0.001 to 0.999, like 0.5 or h100:0.5; whole "
                        "ones are asked for with --gpus",
                        value);
    *(uint32_t *) field = (uint32_t) milli;
    if (colon) {
        char *model = tug_xstrdup(value);
        model[colon - value] = '\0';
        o->res.gpu_model = tug_jobopts_own(o, model);
    }
    return 0;
}

/* "gpu:8", "gpu:h100:8", "gpu", "none"; nothing else is counted. */
static int set_GRES(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    if (!strcmp(value, "none"))
        return 0;
    if (!strcmp(value, "gpu"))
        return set_GPUS(o, field, "1", err);
    if (!tug_str_has_prefix(value, "gpu:"))
        return tug_fail(err, -EINVAL,
                        "'%.64s': gpu is the only generic resource here; write gpu:8 or gpu:h100:8",
                        value);
    value += 4;
    return isdigit((unsigned char) *value) || strchr(value, ':')
               ? set_GPUS(o, field, value, err)
               : tug_fail(err, -EINVAL, "'gpu:%.64s' has no number; write gpu:%.64s:8", value,
                          value);
}

static int set_TIME(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    int64_t s;
    (void) o;
    int rc =
        tug_duration_parse(value, TUG_DURATION_BARE_MINUTES | TUG_DURATION_ALLOW_INFINITE, &s, err);
    if (rc)
        return rc;
    /* 0 is "no limit" in sbatch too; the queue's own limit then says no, if it has one. */
    *(uint32_t *) field = s <= 0 || s > UINT32_MAX ? UINT32_MAX : (uint32_t) s;
    return 0;
}

static int set_SECONDS(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    int64_t s;
    (void) o;
    int rc = tug_duration_parse(value, 0, &s, err);
    if (rc)
        return rc;
    if (s < 1 || s > 86400)
        return tug_fail(err, -EINVAL, "'%.64s' is not between 1s and 1d", value);
    *(uint32_t *) field = (uint32_t) s;
    return 0;
}

/* 0 would be "not said". */
static int set_TIMES(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    uint64_t n;
    (void) o;
    if (tug_str_u64(value, 1000000, &n))
        return tug_fail(err, -EINVAL, "'%.64s' is not a number from 0 to 1000000", value);
    *(uint32_t *) field = n ? (uint32_t) n : UINT32_MAX;
    return 0;
}

static int set_DELAY(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    int64_t s;
    (void) o;
    int rc = tug_duration_parse(value, 0, &s, err);
    if (rc)
        return rc;
    if (s < 0 || s > 86400)
        return tug_fail(err, -EINVAL, "'%.64s' is not between 0s and 1d", value);
    *(uint32_t *) field = s ? (uint32_t) s : UINT32_MAX;
    return 0;
}

static int set_EXITS(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    struct tug_exitset on;
    int rc = tug_exitset_parse(value, &on, err);
    return rc ? rc : set_TEXT(o, field, value, err);
}

static int set_MEM(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    uint64_t bytes;
    int rc = tug_size_parse(value, 1 << 20, &bytes, err);
    if (rc)
        return rc;
    *(uint64_t *) field = bytes;
    if (bytes == 0)
        warn(o, "--mem=0: all of a node's memory cannot be asked for; the queue's default is used");
    return 0;
}

static int set_HOSTS(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    struct tug_hostlist *hl;
    int rc = tug_hostlist_parse(value, &hl, err);
    if (rc)
        return rc;
    tug_hostlist_free(hl);
    return set_TEXT(o, field, value, err);
}

static int set_BEGIN(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    return tug_when_parse(value, o->now_ms, true, field, err);
}

static int set_NICE(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    char *end;
    (void) o;
    long n = value ? strtol(value, &end, 10) : 100;
    if (value && (!*value || *end || n < -1000000 || n > 1000000))
        return tug_fail(err, -EINVAL, "'%.64s' is not a number from -1000000 to 1000000", value);
    *(int32_t *) field = (int32_t) n;
    return 0;
}

static int set_EXPORT(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    if (!*value)
        return tug_fail(err, -EINVAL, "an empty list; write ALL, NONE or NAME,NAME=VALUE");
    return set_TEXT(o, field, value, err);
}

/* How long something is insisted on: '@' is at 'at', or NULL. */
static int set_patience(struct tug_jobopts *o, const char *at, uint32_t *wait_s,
                        struct tug_err *err)
{
    int64_t s;
    (void) o;
    if (!at)
        return 0;
    int rc = tug_duration_parse(at + 1, TUG_DURATION_BARE_MINUTES, &s, err);
    if (rc)
        return rc;
    if (s < 1 || s >= UINT32_MAX)
        return tug_fail(err, -EINVAL, "'%.64s' is not a time to wait; write @30m", at);
    *wait_s = (uint32_t) s;
    return 0;
}

/* "leaf", "leaf!", "leaf!@30m" */
static int set_TOPOLOGY(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    const char *at = strchr(value, '@');
    size_t len = at ? (size_t) (at - value) : strlen(value);
    int required = len && value[len - 1] == '!';
    len -= (size_t) required;
    if (!len || len > 63)
        return tug_fail(err, -EINVAL,
                        "'%.64s' names no level of the fabric; write leaf, or leaf! to wait for it",
                        value);
    if (at && !required)
        return tug_fail(err, -EINVAL,
                        "'%.64s': only what is required is waited for; write %.*s!%.16s", value,
                        (int) len, value, at);
    o->res.topology_required = required;
    o->spec.topology_domains = o->spec.topology_wait_s = 0;
    int rc = set_patience(o, at, &o->spec.topology_wait_s, err);
    if (rc)
        return rc;
    char *level = tug_xstrdup(value);
    level[len] = '\0';
    *(char **) field = tug_jobopts_own(o, level);
    return 0;
}

/* "0.8", "0.8@30m" */
static int set_QUALITY(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    char *end;
    double q = isdigit((unsigned char) *value) || *value == '.' ? strtod(value, &end) : 0;
    if (!(q > 0 && q <= 1) || (*end && *end != '@'))
        return tug_fail(err, -EINVAL,
                        "'%.64s' is not a quality; write a number up to 1, as 0.8 or 0.8@30m", value);
    *(uint32_t *) field = q * 1000 < 1 ? 1 : (uint32_t) (q * 1000 + 0.5);
    o->res.quality_wait_s = UINT32_MAX;
    return set_patience(o, *end ? end : NULL, &o->res.quality_wait_s, err);
}

static int set_LEVEL(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    if (!*value || strlen(value) > 63 || strpbrk(value, "!@"))
        return tug_fail(err, -EINVAL, "'%.64s' names no level of the fabric; write leaf", value);
    return set_TEXT(o, field, value, err);
}

/* Slurm's max_switch_wait, where no time is given. */
#define SWITCH_WAIT_S 300

static int set_SWITCHES(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    const char *at = strchr(value, '@');
    char digits[16];
    uint64_t n;
    snprintf(digits, sizeof digits, "%.*s", at ? (int) (at - value) : (int) strlen(value), value);
    if (tug_str_u64(digits, 1000000, &n))
        return tug_fail(err, -EINVAL, "'%.64s' is not a number of switches; write 1 or 1@30m",
                        value);
    o->res.topology_required = n > 0;
    o->spec.topology_domains = (uint32_t) n;
    o->spec.topology_wait_s = n ? SWITCH_WAIT_S : 0;
    *(char **) field = (char *) protobuf_c_empty_string;
    return set_patience(o, at, &o->spec.topology_wait_s, err);
}

static int set_OPENMODE(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    (void) o;
    if (strcmp(value, "append") != 0 && strcmp(value, "truncate") != 0)
        return tug_fail(err, -EINVAL, "'%.64s' is neither append nor truncate", value);
    *(protobuf_c_boolean *) field = *value == 'a';
    return 0;
}

static int set_PREFLIGHT(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    Tugpb__JobSpec *s = field;
    struct tug_preflight p;
    int rc = tug_preflight_parse(value && *value ? value : "allreduce", &p, err);
    if (rc)
        return rc;
    s->preflight = tug_jobopts_own(o, tug_xstrdup(p.what));
    s->preflight_floor = p.floor_bytes_s;
    s->preflight_s = p.time_s;
    return 0;
}

static int set_LAUNCHER(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    static const struct {
        const char *name;
        Tugpb__Launcher launcher;
    } names[] = {{"auto", TUGPB__LAUNCHER__LAUNCHER_AUTO},
                 {"torch", TUGPB__LAUNCHER__LAUNCHER_TORCH},
                 {"mpi", TUGPB__LAUNCHER__LAUNCHER_PMIX},
                 {"pmix", TUGPB__LAUNCHER__LAUNCHER_PMIX}, /* as it was called before */
                 {"plain", TUGPB__LAUNCHER__LAUNCHER_PLAIN}};
    (void) o;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(value, names[i].name)) {
            *(Tugpb__Launcher *) field = names[i].launcher;
            return 0;
        }
    return tug_fail(err, -EINVAL, "'%.64s' is none of auto, torch, mpi, plain", value);
}

static int set_ONHANG(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    static const char *const names[] = {"notify", "off", "dump", "requeue"};
    (void) o;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(value, names[i])) {
            *(Tugpb__OnHang *) field = (Tugpb__OnHang) i;
            return 0;
        }
    return tug_fail(err, -EINVAL, "'%.64s' is none of notify, dump, requeue, off", value);
}

static int set_EXCLUSIVE(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    (void) o;
    if (value && *value)
        return tug_fail(err, -EINVAL, "'%.64s' is not there; --exclusive alone gives whole nodes",
                        value);
    *(protobuf_c_boolean *) field = 1;
    return 0;
}

static int set_ON(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    (void) o, (void) value, (void) err;
    *(protobuf_c_boolean *) field = 1;
    return 0;
}

static int set_OFF(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    (void) o, (void) value, (void) err;
    *(protobuf_c_boolean *) field = 0;
    return 0;
}

static int set_JSON(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err)
{
    tug_out.json = true;
    return set_ON(o, field, value, err);
}

/* ---- the table ---- */

struct row {
    int (*set)(struct tug_jobopts *o, void *field, const char *value, struct tug_err *err);
    size_t offset, size;
    const char *verbs;
    char group;
};

#define FIELD(f) offsetof(struct tug_jobopts, f), sizeof(((struct tug_jobopts *) 0)->f)
static const struct row rows[TUG_JOBOPTS] = {
#define TUG_JOBOPT(ID, name, letter, arg, argname, kind, field, verbs, group, help)                \
    [TUG_JOBOPT_##ID] = {set_##kind, FIELD(field), verbs, group},
#define TUG_JOBALIAS(...)
#define TUG_SBATCHOPT(...)
#include "cli/jobopts.def"
#undef TUG_JOBOPT
#undef TUG_JOBALIAS
#undef TUG_SBATCHOPT
};

enum { SKIP, REFUSE };
struct sbatch_row {
    int verdict;
    const char *why;
};
static const struct sbatch_row sbatch_rows[] = {
#define TUG_JOBOPT(...)
#define TUG_JOBALIAS(...)
#define TUG_SBATCHOPT(name, letter, arg, verdict, why) {verdict, why},
#include "cli/jobopts.def"
#undef TUG_JOBOPT
#undef TUG_SBATCHOPT
};
#define SBATCH_ROWS (sizeof sbatch_rows / sizeof *sbatch_rows)

static const struct tug_opt own_opts[] = {
#define TUG_JOBOPT(ID, name, letter, arg, argname, kind, field, verbs, group, help)                \
    {TUG_JOBOPT_##ID, name, letter, TUG_ARG_##arg, argname, help},
#undef TUG_JOBALIAS
#define TUG_JOBALIAS(ID, name, letter, help)                                                       \
    {TUG_JOBOPT_##ID, name, letter, TUG_ARG_NEED, "NAME", help},
#define TUG_SBATCHOPT(...)
#include "cli/jobopts.def"
#undef TUG_JOBOPT
#undef TUG_JOBALIAS
#undef TUG_SBATCHOPT
};
#define OWN_OPTS (sizeof own_opts / sizeof *own_opts)

static const struct tug_opt sbatch_opts[] = {
#define TUG_JOBOPT(...)
#define TUG_JOBALIAS(...)
#define TUG_SBATCHOPT(name, letter, arg, verdict, why)                                             \
    {0, name, letter, TUG_ARG_##arg, "VALUE", NULL},
#include "cli/jobopts.def"
#undef TUG_JOBOPT
#undef TUG_JOBALIAS
#undef TUG_SBATCHOPT
};

/* The rows of a verb, own before sbatch's; in #SBATCH lines sbatch's come first (its -q is --qos).
 * Ids of sbatch's rows start behind the own ones. The array is made once. */
struct opt_list {
    struct tug_opt at[OWN_OPTS + SBATCH_ROWS];
    size_t n, shown;
};

static void list_own(struct opt_list *l, const char *verb)
{
    for (size_t i = 0; i < OWN_OPTS; i++)
        if (strpbrk(rows[own_opts[i].id].verbs, verb))
            l->at[l->n++] = own_opts[i];
}

static void list_sbatch(struct opt_list *l)
{
    for (size_t i = 0; i < SBATCH_ROWS; i++) {
        l->at[l->n] = sbatch_opts[i];
        l->at[l->n++].id = TUG_JOBOPTS + (int) i;
    }
}

static const struct opt_list *list_of(char verb, bool sbatch_first)
{
    static struct opt_list lists[256];
    struct opt_list *l = &lists[(unsigned char) (sbatch_first ? tolower(verb) : verb)];
    if (l->n)
        return l;
    if (sbatch_first)
        list_sbatch(l);
    list_own(l, (char[]){verb, '\0'});
    l->shown = l->n;
    if (!sbatch_first)
        list_sbatch(l);
    return l;
}

const struct tug_opt *tug_jobopts_table(char verb, size_t *n)
{
    const struct opt_list *l = list_of(verb, false);
    *n = l->shown;
    return l->at;
}

/* ---- applying ---- */

void tug_jobopts_init(struct tug_jobopts *o, char verb, int64_t now_ms)
{
    *o = (struct tug_jobopts){.verb = verb, .now_ms = now_ms};
    tugpb__job_spec__init(&o->spec);
    tugpb__resource_request__init(&o->res);
    o->spec.res = &o->res;
}

void tug_jobopts_clear(struct tug_jobopts *o)
{
    for (size_t i = 0; i < o->owned.len; i++)
        free(o->owned.at[i]);
    for (size_t i = 0; i < o->warnings.len; i++)
        free(o->warnings.at[i]);
    tug_vec_clear(&o->owned);
    tug_vec_clear(&o->warnings);
}

/* Back to what it is when nobody says anything; strings of protobuf are "" then, not NULL. */
static void unset(struct tug_jobopts *o, int id)
{
    struct tug_jobopts fresh;
    tug_jobopts_init(&fresh, o->verb, o->now_ms);
    memcpy((char *) o + rows[id].offset, (char *) &fresh + rows[id].offset, rows[id].size);
    o->source[id] = TUG_FROM_NOWHERE;
}

/* May 'source' set 'id'? Makes room for it in its group. */
static bool outranks(struct tug_jobopts *o, int id, enum tug_jobopt_source source)
{
    char group = rows[id].group;
    if (o->source[id] > source)
        return false;
    for (int k = 0; group && k < TUG_JOBOPTS; k++)
        if (rows[k].group == group && o->source[k] > source)
            return false;
    for (int k = 0; group && k < TUG_JOBOPTS; k++)
        if (rows[k].group == group && o->source[k] != TUG_FROM_NOWHERE && o->source[k] < source) {
            unset(o, k);
            if (group == 'g')
                o->res.gpu_model = o->res.mig_profile = (char *) protobuf_c_empty_string;
        }
    return true;
}

struct taking {
    struct tug_jobopts *o;
    enum tug_jobopt_source source;
    const char *where; /* "train.sh:3: #SBATCH ", "TUG_OPT_TIME: ", "" */
};

static int take_sbatch(struct taking *t, const struct tug_opt *opt, struct tug_err *err)
{
    const struct sbatch_row *r = &sbatch_rows[opt->id - TUG_JOBOPTS];
    if (r->verdict == REFUSE)
        return tug_fail(err, -EINVAL, "%s--%s: %s", t->where, opt->name, r->why);
    if (t->source == TUG_FROM_SBATCH || tug_str_has_prefix(opt->name, "mail-"))
        return warn(t->o, "%s--%s is not used: %s", t->where, opt->name, r->why);
    return tug_fail(err, -EINVAL, "%s--%s is sbatch's; it has no effect here, leave it out: %s",
                    t->where, opt->name, r->why);
}

static int take(void *ctx, const struct tug_opt *opt, const char *value, struct tug_err *err)
{
    struct taking *t = ctx;
    if (opt->id >= TUG_JOBOPTS)
        return take_sbatch(t, opt, err);
    const struct row *r = &rows[opt->id];
    if (!outranks(t->o, opt->id, t->source))
        return 0;
    int rc = r->set(t->o, (char *) t->o + r->offset, value, err);
    if (rc)
        return tug_fail_ctx(err, rc, "%s--%s", t->where, opt->name);
    t->o->source[opt->id] = (uint8_t) t->source;
    return 0;
}

int tug_jobopts_command(struct tug_jobopts *o, int argc, char **argv, int *first,
                        struct tug_err *err)
{
    const struct opt_list *l = list_of(o->verb, false);
    struct taking t = {o, TUG_FROM_COMMAND, ""};
    int bad = 0;
    int rc = tug_opts_parse(l->at, l->n, argc, argv, take, &t, first, &bad, err);
    for (int i = bad; rc && i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], "--json")) /* so that the error is said as JSON too */
            tug_out.json = true;
    return rc;
}

/* ---- the environment ---- */

#define ENV_PREFIX "TUG_OPT_"

/* "TUG_OPT_GPUS_PER_NODE=8" is "--gpus-per-node=8"; a flag is on unless it says 0, no or nothing.
 */
static int take_variable(struct tug_jobopts *o, const struct opt_list *l, const char *entry,
                         struct tug_err *err)
{
    const char *eq = strchr(entry, '=');
    size_t len = eq ? (size_t) (eq - entry) - strlen(ENV_PREFIX) : 0;
    char name[64], where[96];
    if (!eq || len == 0 || len >= sizeof name)
        return 0;
    for (size_t i = 0; i < len; i++) {
        char c = entry[strlen(ENV_PREFIX) + i];
        name[i] = c == '_' ? '-' : (char) tolower((unsigned char) c);
    }
    name[len] = '\0';
    snprintf(where, sizeof where, "%.*s in the environment: ", (int) (eq - entry), entry);
    struct taking t = {o, TUG_FROM_ENVIRON, where};
    for (size_t i = 0; i < l->n; i++) {
        const struct tug_opt *opt = &l->at[i];
        if (strcmp(opt->name, name) != 0 || opt->id >= TUG_JOBOPTS)
            continue;
        if (!strchr(rows[opt->id].verbs, 'L'))
            break;
        const char *value = eq + 1;
        if (opt->arg == TUG_ARG_NONE && (!*value || !strcmp(value, "0") || !strcmp(value, "no")))
            return 0;
        return take(
            &t, opt,
            opt->arg == TUG_ARG_NONE || (opt->arg == TUG_ARG_MAYBE && !*value) ? NULL : value, err);
    }
    return warn(o, "%.*s in the environment names no option; it is not used", (int) (eq - entry),
                entry);
}

int tug_jobopts_environ(struct tug_jobopts *o, char *const *environ_, struct tug_err *err)
{
    const struct opt_list *l =
        list_of('L', false); /* one that the verb has not is not wrong, see below */
    for (; *environ_; environ_++) {
        if (strncmp(*environ_, ENV_PREFIX, strlen(ENV_PREFIX)) != 0)
            continue;
        int rc = take_variable(o, l, *environ_, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- lines of a script ---- */

struct words {
    struct tug_vec(char *) at;
    char *text;
};

static void words_clear(struct words *w)
{
    free(w->text);
    tug_vec_clear(&w->at);
}

/* Split as a shell would: blanks, '...', "...", \c; a # at the start of a word begins a comment. */
static int words_split(struct words *w, const char *s, size_t len, struct tug_err *err)
{
    char *out = w->text = tug_xmalloc(len + 1);
    tug_vec_push(&w->at, (char *) "directive");
    for (size_t i = 0; i < len;) {
        if (s[i] == ' ' || s[i] == '\t' || s[i] == '\r') {
            i++;
            continue;
        }
        if (s[i] == '#')
            break;
        char quote = 0;
        tug_vec_push(&w->at, out);
        for (; i < len; i++) {
            if (quote ? s[i] == quote : s[i] == '\'' || s[i] == '"')
                quote = quote ? 0 : s[i];
            else if (s[i] == '\\' && quote != '\'' && i + 1 < len)
                *out++ = s[++i];
            else if (!quote && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r'))
                break;
            else
                *out++ = s[i];
        }
        if (quote)
            return tug_fail(err, -EINVAL, "the quote %c is not closed", quote);
        *out++ = '\0';
    }
    tug_vec_push(&w->at, NULL);
    return 0;
}

/* One line; options that nobody knows are errors for #TUG and warnings for #SBATCH. */
static int take_line(struct tug_jobopts *o, const char *where, enum tug_jobopt_source source,
                     const char *s, size_t len, struct tug_err *err)
{
    struct words w = {0};
    struct taking t = {o, source, where};
    const struct opt_list *l = list_of('L', source == TUG_FROM_SBATCH);
    int rc = words_split(&w, s, len, err);
    if (rc)
        rc = tug_fail_ctx(err, rc, "%.*s", (int) strlen(where) - 1, where);
    int at = 0, n = (int) w.at.len - 1;
    while (rc == 0 && at + 1 < n) {
        int first = 0, bad = 0;
        struct tug_err why = {0};
        rc = tug_opts_parse(l->at, l->n, n - at, w.at.at + at, take, &t, &first, &bad, &why);
        if (rc == -ENOENT && source == TUG_FROM_SBATCH) {
            rc = warn(o, "%s%s (not used)", where, why.msg);
            at += bad;
            while (at + 1 < n && w.at.at[at + 1][0] != '-')
                at++;
            continue;
        }
        if (rc && tug_str_has_prefix(why.msg, where))
            rc = tug_fail(err, rc, "%s", why.msg);
        else if (rc)
            rc = tug_fail(err, rc, "%s%s", where, why.msg);
        else if (first < n - at && source == TUG_FROM_SBATCH)
            warn(o, "%s'%s' is no option (not used)", where, w.at.at[at + first]);
        else if (first < n - at)
            rc = tug_fail(err, -EINVAL, "%s'%s' is no option", where, w.at.at[at + first]);
        break;
    }
    words_clear(&w);
    return rc ? -EINVAL : 0;
}

static enum tug_jobopt_source directive_of(const char *line, size_t len, size_t *skip)
{
    static const struct {
        const char *word;
        enum tug_jobopt_source source;
    } kinds[] = {{"#TUG", TUG_FROM_TUG}, {"#SBATCH", TUG_FROM_SBATCH}};
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(kinds[i].word);
        if (len > n && !memcmp(line, kinds[i].word, n) && (line[n] == ' ' || line[n] == '\t')) {
            *skip = n;
            return kinds[i].source;
        }
    }
    return TUG_FROM_NOWHERE;
}

int tug_jobopts_script(struct tug_jobopts *o, const char *name, const char *text, size_t len,
                       struct tug_err *err)
{
    bool commands = false;
    int number = 0, rc = 0;
    for (size_t at = 0; at < len && rc == 0;) {
        const char *line = text + at, *nl = memchr(line, '\n', len - at);
        size_t n = nl ? (size_t) (nl - line) : len - at, skip = 0;
        at += n + 1;
        number++;
        enum tug_jobopt_source source = directive_of(line, n, &skip);
        char where[512];
        snprintf(where, sizeof where, "%.400s:%d: %.*s ", name, number, (int) skip, line);
        if (source && commands)
            warn(o, "%sthis line stands behind the first command and is not read", where);
        else if (source)
            rc = take_line(o, where, source, line + skip, n - skip, err);
        else if (strspn(line, " \t\r") < n && line[0] != '#')
            commands = true;
    }
    return rc;
}
