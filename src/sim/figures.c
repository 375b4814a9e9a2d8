/* figures.c - what came of a simulation, in numbers. Layer: sim. */
#include "sim/figures.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/vec.h"
#include "sim/sim.h"

#include <uthash.h>

/* Slowdown of a job that runs shorter is told as if it ran so long: a second's wait of a job of a
 * second is no disaster. */
#define SLOWDOWN_FLOOR_S 10

static const uint32_t class_ends[TUG_SIM_CLASSES] = {1, 4, 8, 16, 64, UINT32_MAX};

struct ended {
    int64_t jct;
    uint64_t wait_class; /* wait, and the class in the lowest bits: of ten million there are many */
};
#define CLASS_BITS 3
_Static_assert(TUG_SIM_CLASSES <= 1 << CLASS_BITS, "more classes than bits");

struct user {
    UT_hash_handle hh;
    uint32_t number;
    uint64_t n;           /* jobs that ended */
    long double slowdown; /* sum */
    char name[];
};

struct tug_figures {
    int64_t per_s;
    struct tug_vec(struct ended) ended;
    struct user *users;
};

struct tug_figures *tug_figures_new(int64_t ticks_per_s)
{
    struct tug_figures *f = tug_new(struct tug_figures);
    f->per_s = ticks_per_s;
    return f;
}

void tug_figures_free(struct tug_figures *f)
{
    struct user *u, *next;
    if (!f)
        return;
    HASH_ITER (hh, f->users, u, next) {
        HASH_DEL(f->users, u);
        free(u);
    }
    tug_vec_clear(&f->ended);
    free(f);
}

static struct user *user_of(struct tug_figures *f, const char *name)
{
    struct user *u;
    size_t len = strlen(name);
    HASH_FIND(hh, f->users, name, len, u);
    if (u)
        return u;
    u = tug_xcalloc(1, sizeof *u + len + 1);
    memcpy(u->name, name, len + 1);
    u->number = HASH_COUNT(f->users);
    HASH_ADD(hh, f->users, name, len, u);
    return u;
}

uint32_t tug_figures_user(struct tug_figures *f, const char *name)
{
    return user_of(f, name)->number;
}

void tug_figures_add(struct tug_figures *f, const struct tug_figures_job *j)
{
    unsigned class = 0;
    while (j->gpus > class_ends[class])
        class ++;
    struct ended e = {j->jct, (uint64_t) j->wait << CLASS_BITS | class};
    tug_vec_push(&f->ended, e);
    int64_t floor = SLOWDOWN_FLOOR_S * f->per_s;
    long double slowdown =
        (long double) j->jct / (long double) (j->duration < floor ? floor : j->duration);
    struct user *u = user_of(f, j->user);
    u->n++;
    u->slowdown += slowdown < 1 ? 1 : slowdown;
}

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void sum_up(const struct tug_figures *f, int64_t *values, size_t n, double *avg_s,
                   double *p99_s)
{
    long double sum = 0;
    *avg_s = *p99_s = 0;
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        sum += (long double) values[i];
    qsort(values, n, sizeof *values, by_value);
    *avg_s = (double) (sum / (long double) n / (long double) f->per_s);
    *p99_s = (double) values[(size_t) (0.99 * (double) n)] / (double) f->per_s;
}

/* Of one class, or of all (TUG_SIM_CLASSES). */
static size_t pick(const struct tug_figures *f, int class, int of_wait, int64_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < f->ended.len; i++) {
        const struct ended *e = &f->ended.at[i];
        if (class == TUG_SIM_CLASSES || (int) (e->wait_class & ((1 << CLASS_BITS) - 1)) == class)
            out[n++] = of_wait ? (int64_t) (e->wait_class >> CLASS_BITS) : e->jct;
    }
    return n;
}

/* Jain's index of the users' mean slowdowns: 1 = all alike, 1/n = one bears it all. */
static double fairness(const struct tug_figures *f, uint64_t *users)
{
    long double sum = 0, squares = 0;
    *users = 0;
    for (const struct user *u = f->users; u; u = u->hh.next) {
        if (u->n == 0)
            continue;
        ++*users;
        long double x = u->slowdown / (long double) u->n;
        sum += x;
        squares += x * x;
    }
    return squares > 0 ? (double) (sum * sum / (squares * *users)) : 1;
}

void tug_figures_finish(struct tug_figures *f, struct tug_sim_result *r)
{
    int64_t *values = tug_xcalloc(f->ended.len + 1, sizeof *values);
    size_t n = pick(f, TUG_SIM_CLASSES, 0, values);
    r->finished = n;
    r->fairness = fairness(f, &r->users);
    sum_up(f, values, n, &r->avg_jct_s, &r->p99_jct_s);
    sum_up(f, values, pick(f, TUG_SIM_CLASSES, 1, values), &r->avg_wait_s, &r->p99_wait_s);
    for (int c = 0; c < TUG_SIM_CLASSES; c++) {
        struct tug_sim_class *to = &r->classes[c];
        double unused;
        to->gpus_min = c ? class_ends[c - 1] + 1 : 1;
        to->gpus_max = class_ends[c];
        to->jobs = pick(f, c, 0, values);
        sum_up(f, values, to->jobs, &to->avg_jct_s, &unused);
        sum_up(f, values, pick(f, c, 1, values), &to->avg_wait_s, &to->p99_wait_s);
    }
    free(values);
}
