/* tugline.c - libtugline: who a rank is, and bytes handed from one rank to others
 *
 * Bytes go by PMIx put, commit, fence, get: one fence for each hand-out, whatever the number of ranks. The
 * fence is waited for here and not in libpmix, so that a rank that never comes costs the time that was
 * allowed and not for ever. Who has waited for a second publishes that it has come, so that those who give up
 * can say who is missing; a meeting that all come to in time publishes nothing. Keys are numbered: a key is
 * written once. Layer: lib.
 */
#include <errno.h>
#include <limits.h>
#include <pmix.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tugline/tugline.h>

#define NAME_MAX_BYTES 64
#define MISSING_NAMED  8 /* in the sentence about who has not come */
#define GROUPS_MAX     1024

static int fail(char *why, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int fail(char *why, int rc, const char *fmt, ...)
{
    va_list ap;
    if (!why)
        return rc;
    va_start(ap, fmt);
    vsnprintf(why, TUG_WHY_MAX, fmt, ap);
    va_end(ap);
    return rc;
}

/* ---- who this is ---- */

static int read_number(const char *name, int least, int *out, char *why)
{
    const char *text = getenv(name);
    char *end = NULL;
    long n = text ? strtol(text, &end, 10) : 0;
    if (!text)
        return fail(why, -ENOENT,
                    "%s is not set: this is no rank of a gang; start it with tug run, or tug submit "
                    "-- COMMAND",
                    name);
    if (end == text || *end || n < least || n > INT_MAX)
        return fail(why, -EINVAL, "%s is '%.32s', not a number from %d", name, text, least);
    *out = (int) n;
    return 0;
}

int tug_world_get(struct tug_world *out, char *why)
{
    struct tug_world w;
    const struct {
        const char *name;
        int least, *to;
    } rows[] = {{"TUG_RANK", 0, &w.rank},        {"TUG_NTASKS", 1, &w.size},
                {"TUG_LOCAL_RANK", 0, &w.local_rank}, {"LOCAL_WORLD_SIZE", 1, &w.local_size},
                {"TUG_NODE_INDEX", 0, &w.node},  {"TUG_NNODES", 1, &w.nodes}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int rc = read_number(rows[i].name, rows[i].least, rows[i].to, why);
        if (rc)
            return rc;
    }
    if (w.rank >= w.size || w.local_rank >= w.local_size || w.node >= w.nodes)
        return fail(why, -EINVAL, "TUG_RANK %d of %d, local rank %d of %d, node %d of %d: that cannot be",
                    w.rank, w.size, w.local_rank, w.local_size, w.node, w.nodes);
    *out = w;
    return 0;
}

/* ---- the way to the PMIx server ---- */

static struct {
    bool up;
    pmix_proc_t me;
} pmix;

static void leave(void)
{
    PMIx_Finalize(NULL, 0);
}

static int connect_pmix(const struct tug_world *w, char *why)
{
    if (pmix.up)
        return 0;
    if (!getenv("PMIX_NAMESPACE"))
        return fail(why, -ENOTCONN,
                    "rank %d has no PMIx server to hand anything out: ranks get one with "
                    "--launcher=auto or pmix",
                    w->rank);
    pmix_status_t st = PMIx_Init(&pmix.me, NULL, 0);
    if (st != PMIX_SUCCESS)
        return fail(why, -ENOTCONN, "rank %d does not reach its PMIx server: %s", w->rank,
                    PMIx_Error_string(st));
    pmix.up = true;
    atexit(leave);
    if (pmix.me.rank != (pmix_rank_t) w->rank)
        return fail(why, -EPROTO, "TUG_RANK says rank %d and PMIx says %u", w->rank, pmix.me.rank);
    return 0;
}

/* ---- one hand-out ---- */

struct turn {
    struct tug_world w;
    const char *name;
    const int *ranks; /* NULL = all */
    int n, giver;
    unsigned number; /* of the hand-outs under that name */
};

static int rank_at(const struct turn *t, int i)
{
    return t->ranks ? t->ranks[i] : i;
}

/* How often a name was used in this process. */
static unsigned *count_of(const char *name)
{
    static struct {
        char name[NAME_MAX_BYTES + 1];
        unsigned n;
    } *seen;
    static size_t n_seen;
    for (size_t i = 0; i < n_seen; i++)
        if (!strcmp(seen[i].name, name))
            return &seen[i].n;
    if (n_seen == GROUPS_MAX)
        return NULL;
    void *more = seen ? seen : calloc(GROUPS_MAX, sizeof *seen);
    if (!more)
        return NULL;
    seen = more;
    snprintf(seen[n_seen].name, sizeof seen->name, "%s", name);
    return &seen[n_seen++].n;
}

static int find_group(const struct tug_group *g, struct turn *t, char *why)
{
    int mine = 0;
    t->name = g && g->name ? g->name : "world";
    t->ranks = g ? g->ranks : NULL;
    t->n = t->ranks ? g->n : t->w.size;
    if (!*t->name || strlen(t->name) > NAME_MAX_BYTES)
        return fail(why, -EINVAL, "a group's name has 1 to %d bytes", NAME_MAX_BYTES);
    if (t->n < 1 || t->n > t->w.size)
        return fail(why, -EINVAL, "group '%s' of %d ranks: the step has 1 to %d", t->name, t->n,
                    t->w.size);
    for (int i = 0; i < t->n; i++) {
        int r = rank_at(t, i);
        if (r < 0 || r >= t->w.size)
            return fail(why, -EINVAL, "group '%s': there is no rank %d; the last one is %d", t->name,
                        r, t->w.size - 1);
        mine += r == t->w.rank;
    }
    if (mine != 1)
        return fail(why, -EINVAL, "group '%s': rank %d calls and is %s of its ranks", t->name,
                    t->w.rank, mine ? "more than one" : "none");
    t->giver = rank_at(t, 0);
    return 0;
}

static void key_of(const struct turn *t, const char *what, int rank, pmix_key_t out)
{
    if (rank < 0)
        snprintf(out, sizeof(pmix_key_t), "tugline.%s.%u.%s", t->name, t->number, what);
    else
        snprintf(out, sizeof(pmix_key_t), "tugline.%s.%u.%s.%d", t->name, t->number, what, rank);
}

static int pmix_failed(const struct turn *t, const char *what, pmix_status_t st, char *why)
{
    return fail(why, -EPROTO, "group '%s', rank %d: %s: %s", t->name, t->w.rank, what,
                PMIx_Error_string(st));
}

/* If it fails, others may name us wrongly when they give up; nothing else depends on it. */
static void say_here(const struct turn *t)
{
    pmix_key_t key;
    pmix_info_t info;
    bool here = true;
    key_of(t, "here", t->w.rank, key);
    PMIX_INFO_LOAD(&info, key, &here, PMIX_BOOL);
    PMIx_Publish(&info, 1);
    PMIX_INFO_DESTRUCT(&info);
}

/* What the giver has, with one byte before it: has it anything? */
static int put(const struct turn *t, const void *data, size_t len, char *why)
{
    pmix_key_t key;
    pmix_value_t v;
    pmix_status_t st;
    char *bytes = malloc(len + 1);
    if (!bytes)
        return fail(why, -ENOMEM, "group '%s': no memory for %zu bytes", t->name, len);
    bytes[0] = data != NULL;
    if (data)
        memcpy(bytes + 1, data, len);
    key_of(t, "data", -1, key);
    PMIX_VALUE_CONSTRUCT(&v);
    v.type = PMIX_BYTE_OBJECT;
    v.data.bo.bytes = bytes;
    v.data.bo.size = data ? len + 1 : 1;
    st = PMIx_Put(PMIX_GLOBAL, key, &v); /* copies */
    if (st == PMIX_SUCCESS)
        st = PMIx_Commit();
    free(bytes);
    return st == PMIX_SUCCESS ? 0 : pmix_failed(t, "put", st, why);
}

/* Waiting for a fence; shared with its callback, which may come after we have given up. */
struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t come;
    int holders;
    bool is_over;
    pmix_status_t status;
};

static void drop(struct meeting *m)
{
    int left = --m->holders;
    pthread_mutex_unlock(&m->lock);
    if (left)
        return;
    pthread_cond_destroy(&m->come);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static void on_fence(pmix_status_t st, void *arg)
{
    struct meeting *m = arg;
    pthread_mutex_lock(&m->lock);
    m->is_over = true;
    m->status = st;
    pthread_cond_signal(&m->come);
    drop(m);
}

static struct meeting *meeting_new(void)
{
    pthread_condattr_t attr;
    struct meeting *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&m->come, &attr);
    pthread_condattr_destroy(&attr);
    m->holders = 2;
    m->status = PMIX_ERR_TIMEOUT;
    return m;
}

/* Is it over, at the latest in so many seconds? Holds the lock before and after. */
static bool wait_for(struct meeting *m, int seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    while (!m->is_over && pthread_cond_timedwait(&m->come, &m->lock, &until) == 0)
        ;
    return m->is_over;
}

static void wait_and_say(const struct turn *t, struct meeting *m, int timeout_s)
{
    if (wait_for(m, 1))
        return;
    pthread_mutex_unlock(&m->lock);
    say_here(t);
    pthread_mutex_lock(&m->lock);
    if (timeout_s > 1)
        wait_for(m, timeout_s - 1);
}

static pmix_status_t fence(const struct turn *t, int timeout_s)
{
    pmix_info_t info;
    bool collect = true;
    int n = t->ranks ? t->n : 1;
    pmix_proc_t *who = calloc((size_t) n, sizeof *who);
    struct meeting *m = meeting_new();
    if (!who || !m) {
        free(who);
        free(m);
        return PMIX_ERR_NOMEM;
    }
    for (int i = 0; i < n; i++)
        PMIX_LOAD_PROCID(&who[i], pmix.me.nspace,
                         t->ranks ? (pmix_rank_t) t->ranks[i] : PMIX_RANK_WILDCARD);
    PMIX_INFO_LOAD(&info, PMIX_COLLECT_DATA, &collect, PMIX_BOOL);
    pmix_status_t st = PMIx_Fence_nb(who, (size_t) n, &info, 1, on_fence, m);
    pthread_mutex_lock(&m->lock);
    if (st != PMIX_SUCCESS) {
        m->holders--; /* it will not be called */
    } else {
        wait_and_say(t, m, timeout_s);
        st = m->status;
    }
    drop(m);
    free(who);
    return st;
}

static const char *node_of(int rank, pmix_value_t **v)
{
    pmix_proc_t p;
    PMIX_LOAD_PROCID(&p, pmix.me.nspace, (pmix_rank_t) rank);
    if (PMIx_Get(&p, PMIX_HOSTNAME, NULL, 0, v) != PMIX_SUCCESS)
        *v = NULL;
    return *v && (*v)->type == PMIX_STRING ? (*v)->data.string : "?";
}

static bool is_here(const struct turn *t, int rank)
{
    pmix_pdata_t found;
    pmix_key_t key;
    key_of(t, "here", rank, key);
    PMIX_PDATA_CONSTRUCT(&found);
    PMIX_LOAD_KEY(found.key, key);
    bool here = PMIx_Lookup(&found, 1, NULL, 0) == PMIX_SUCCESS;
    PMIX_PDATA_DESTRUCT(&found);
    return here;
}

/* "rank 3 (node n2), rank 5 (node n3) and 2 more". */
static int late(const struct turn *t, int timeout_s, char *why)
{
    char who[TUG_WHY_MAX / 2] = "";
    size_t at = 0;
    int missing = 0;
    for (int i = 0; i < t->n && why; i++) {
        int rank = rank_at(t, i);
        pmix_value_t *v = NULL;
        if (rank == t->w.rank || is_here(t, rank) || ++missing > MISSING_NAMED)
            continue;
        int n = snprintf(who + at, sizeof who - at, "%srank %d (node %.24s)", at ? ", " : "", rank,
                         node_of(rank, &v));
        at += n > 0 && (size_t) n < sizeof who - at ? (size_t) n : 0;
        who[at] = '\0';
        if (v)
            PMIX_VALUE_RELEASE(v);
    }
    if (missing > MISSING_NAMED)
        snprintf(who + at, sizeof who - at, " and %d more", missing - MISSING_NAMED);
    if (!missing)
        return fail(why, -ETIMEDOUT, "group '%s': all %d ranks have come, but PMIx did not say so within %d s",
                    t->name, t->n, timeout_s);
    return fail(why, -ETIMEDOUT, "group '%s': waited %d s for %s", t->name, timeout_s, who);
}

static int get(const struct turn *t, void *data, size_t len, char *why)
{
    pmix_key_t key;
    pmix_proc_t from;
    pmix_value_t *v = NULL;
    int rc = 0;
    key_of(t, "data", -1, key);
    PMIX_LOAD_PROCID(&from, pmix.me.nspace, (pmix_rank_t) t->giver);
    pmix_status_t st = PMIx_Get(&from, key, NULL, 0, &v);
    if (st != PMIX_SUCCESS)
        return pmix_failed(t, "get", st, why);
    const pmix_byte_object_t *bo = &v->data.bo;
    if (v->type != PMIX_BYTE_OBJECT || bo->size < 1)
        rc = fail(why, -EPROTO, "group '%s': what rank %d gave is not bytes", t->name, t->giver);
    else if (!bo->bytes[0])
        rc = fail(why, -ECANCELED, "group '%s': rank %d has nothing to give; see what it said",
                  t->name, t->giver);
    else if (bo->size != len + 1)
        rc = fail(why, -EPROTO, "group '%s': rank %d gave %zu bytes and rank %d expects %zu", t->name,
                  t->giver, bo->size - 1, t->w.rank, len);
    else
        memcpy(data, bo->bytes + 1, len);
    PMIX_VALUE_RELEASE(v);
    return rc;
}

static int hand_out(struct turn *t, void *data, size_t len, int timeout_s, char *why)
{
    unsigned *count = count_of(t->name);
    if (!count)
        return fail(why, -ENOMEM, "a program may have %d names of groups", GROUPS_MAX);
    t->number = (*count)++;
    int rc = t->w.rank == t->giver ? put(t, data, len, why) : 0;
    if (rc)
        return rc;
    pmix_status_t st = fence(t, timeout_s);
    if (st == PMIX_ERR_TIMEOUT)
        return late(t, timeout_s, why);
    if (st != PMIX_SUCCESS)
        return pmix_failed(t, "fence", st, why);
    if (t->w.rank != t->giver)
        return get(t, data, len, why);
    return data ? 0 : fail(why, -ECANCELED, "group '%s': rank %d has nothing to give", t->name, t->giver);
}

int tug_hand_out(const struct tug_group *g, void *data, size_t len, int timeout_s, char *why)
{
    struct turn t = {0};
    int rc = tug_world_get(&t.w, why);
    if (rc == 0)
        rc = find_group(g, &t, why);
    if (rc == 0 && (len > TUG_HAND_OUT_MAX || timeout_s < 1 || (!data && t.w.rank != t.giver)))
        rc = fail(why, -EINVAL, "group '%s': %zu bytes at %p within %d s: at most %d bytes, at least 1 s", t.name,
                  len, data, timeout_s, TUG_HAND_OUT_MAX);
    if (rc == 0)
        rc = connect_pmix(&t.w, why);
    return rc ? rc : hand_out(&t, data, len, timeout_s, why);
}

int tug_nccl_unique_id(const struct tug_group *g, void *id, char *why)
{
    return tug_hand_out(g, id, TUG_NCCL_ID_BYTES, TUG_NCCL_TIMEOUT_S, why);
}
