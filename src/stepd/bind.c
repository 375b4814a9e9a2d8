/* bind.c - which CPUs a rank may run on, and whose memory it shall prefer
 *
 * Every rank gets the same number of CPUs and no CPU has two ranks; what does not divide stays idle,
 * because a gang is as fast as its slowest rank. First how many CPUs of each NUMA node a rank gets:
 * those of its GPUs, in proportion; where they do not suffice all ranks there get less alike, and
 * find the rest elsewhere, on as few NUMA nodes as possible. Then which: whole cores first. With
 * fewer CPUs than ranks all ranks may use all of them. Layer: stepd.
 */
#include "stepd/bind.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "stepd/gpus.h"

#define NUMA_MAX 64 /* what a set of them can name; CPUs of others count as being nowhere */
#define NOWHERE  NUMA_MAX
#define PLACES   (NUMA_MAX + 1)

struct share {
    cpu_set_t cpus;
    uint64_t numa;
};

struct tug_bind {
    unsigned n;
    struct share at[];
};

/* ---- how many */

struct plan {
    const struct tug_payload *p;
    unsigned n, each;
    unsigned left[PLACES];    /* CPUs that nobody has yet */
    unsigned (*got)[PLACES];  /* per rank */
    unsigned (*want)[PLACES]; /* per rank: next to its GPUs */
};

static bool bit(const ProtobufCBinaryData *set, size_t i)
{
    return i / 8 < set->len && (set->data[i / 8] >> (i % 8) & 1);
}

static unsigned place_of_cpu(const struct tug_payload *p, size_t cpu)
{
    for (size_t i = 0; p->inv && i < p->inv->n_numa_cpus && i < NUMA_MAX; i++)
        if (bit(&p->inv->numa_cpus[i], cpu))
            return (unsigned) i;
    return NOWHERE;
}

/* GPUs of the rank on each NUMA node; how many of them have a place. */
static unsigned count_gpus(const struct tug_payload *p, unsigned local, unsigned on[PLACES])
{
    struct tug_gpu_list gpus;
    unsigned known = 0;

    memset(on, 0, PLACES * sizeof *on);
    tug_gpus_of_rank(p, local, &gpus);
    for (unsigned i = 0; p->inv && i < gpus.n; i++) {
        unsigned gpu = tug_gpus_gpu(p, gpus.at[i]);
        if (gpu >= p->inv->n_gpu_numa || p->inv->gpu_numa[gpu] >= NUMA_MAX)
            continue;
        on[p->inv->gpu_numa[gpu]]++;
        known++;
    }
    return known;
}

/* 'each' in proportion to the GPUs; what is left over goes to the first that have any. */
static void want_near(struct plan *m, unsigned local)
{
    unsigned on[PLACES], gpus = count_gpus(m->p, local, on), left = m->each;

    for (unsigned i = 0; i < PLACES && gpus; i++) {
        m->want[local][i] = m->each * on[i] / gpus;
        left -= m->want[local][i];
    }
    for (unsigned i = 0; i < PLACES && left && gpus; i++)
        if (on[i]) {
            m->want[local][i]++;
            left--;
        }
}

/* One CPU after the other to each rank that still wants one there, until none wants or none is left. */
static void give_near(struct plan *m, unsigned place)
{
    for (int more = 1; more && m->left[place];) {
        more = 0;
        for (unsigned r = 0; r < m->n && m->left[place]; r++) {
            if (m->got[r][place] >= m->want[r][place])
                continue;
            m->got[r][place]++;
            m->left[place]--;
            more = 1;
        }
    }
}

/* The NUMA node that has just enough, else the one that has the most; one the rank is on beats both. */
static unsigned next_best(const struct plan *m, unsigned local, unsigned lacks)
{
    unsigned best = NOWHERE;

    for (unsigned i = 0; i < PLACES; i++) {
        unsigned here = m->left[i], there = m->left[best];
        if (!here)
            continue;
        if (m->got[local][i])
            return i;
        if (!there || (here >= lacks ? there < lacks || here < there : here > there))
            best = i;
    }
    return best;
}

static void give_rest(struct plan *m, unsigned local)
{
    unsigned lacks = m->each;

    for (unsigned i = 0; i < PLACES; i++)
        lacks -= m->got[local][i];
    while (lacks) {
        unsigned at = next_best(m, local, lacks), n = m->left[at] < lacks ? m->left[at] : lacks;
        tug_assert(n); /* each x ranks is not more than there is */
        m->got[local][at] += n;
        m->left[at] -= n;
        lacks -= n;
    }
}

static void make_plan(struct plan *m)
{
    for (unsigned r = 0; r < m->n; r++)
        want_near(m, r);
    for (unsigned i = 0; i < PLACES; i++)
        give_near(m, i);
    for (unsigned r = 0; r < m->n; r++)
        give_rest(m, r);
}

/* ---- which */

struct cpu {
    uint16_t number, core, place;
};

static int by_core(const void *a, const void *b)
{
    const struct cpu *x = a, *y = b;

    if (x->core != y->core)
        return x->core < y->core ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static unsigned list_cpus(const struct tug_payload *p, const uint16_t *core_of,
                          struct cpu out[CPU_SETSIZE])
{
    unsigned n = 0;

    for (unsigned c = 0; c < CPU_SETSIZE; c++)
        if (bit(&p->slice->cpu_mask, c))
            out[n++] = (struct cpu){(uint16_t) c, core_of ? core_of[c] : (uint16_t) c,
                                    (uint16_t) place_of_cpu(p, c)};
    qsort(out, n, sizeof *out, by_core);
    return n;
}

static void hand_out(const struct plan *m, struct cpu *cpus, unsigned n, struct tug_bind *b)
{
    for (unsigned r = 0; r < m->n; r++)
        for (unsigned i = 0; i < n; i++) {
            struct cpu *c = &cpus[i];
            if (c->number == UINT16_MAX || !m->got[r][c->place])
                continue;
            m->got[r][c->place]--;
            CPU_SET(c->number, &b->at[r].cpus);
            c->number = UINT16_MAX;
        }
}

static void share_all(struct tug_bind *b, const struct cpu *cpus, unsigned n)
{
    for (unsigned r = 0; r < b->n; r++)
        for (unsigned i = 0; i < n; i++)
            CPU_SET(cpus[i].number, &b->at[r].cpus);
}

/* ---- memory */

static uint64_t numa_with_cpus(const struct tug_payload *p)
{
    uint64_t all = 0;

    for (size_t i = 0; p->inv && i < p->inv->n_numa_cpus && i < NUMA_MAX; i++)
        for (size_t k = 0; k < p->inv->numa_cpus[i].len; k++)
            if (p->inv->numa_cpus[i].data[k])
                all |= 1ULL << i;
    return all;
}

static uint64_t numa_of(const struct tug_payload *p, unsigned local, const cpu_set_t *cpus)
{
    unsigned on[PLACES];
    uint64_t set = 0;

    if (!count_gpus(p, local, on))
        for (size_t c = 0; c < CPU_SETSIZE; c++)
            if (CPU_ISSET(c, cpus))
                on[place_of_cpu(p, c)] = 1;
    for (unsigned i = 0; i < NUMA_MAX; i++)
        if (on[i])
            set |= 1ULL << i;
    return set == numa_with_cpus(p) ? 0 : set;
}

int tug_bind_memory(uint64_t numa)
{
    int mode = numa & (numa - 1) ? MPOL_PREFERRED_MANY : MPOL_PREFERRED;

    return syscall(SYS_set_mempolicy, mode, &numa, NUMA_MAX + 1ul) ? -errno : 0;
}

/* ---- outside */

struct tug_bind *tug_bind_new(const struct tug_payload *p, const uint16_t *core_of)
{
    struct cpu cpus[CPU_SETSIZE];
    unsigned n = list_cpus(p, core_of, cpus), ranks = p->n_local;
    struct plan m = {.p = p, .n = ranks, .each = ranks ? n / ranks : 0};
    struct tug_bind *b;

    if (!n || !ranks)
        return NULL;
    b = tug_xcalloc(1, sizeof *b + ranks * sizeof b->at[0]);
    b->n = ranks;
    if (m.each == 0 || ranks == 1) {
        share_all(b, cpus, n);
    } else {
        m.got = tug_xcalloc(ranks, sizeof *m.got);
        m.want = tug_xcalloc(ranks, sizeof *m.want);
        for (unsigned i = 0; i < n; i++)
            m.left[cpus[i].place]++;
        make_plan(&m);
        hand_out(&m, cpus, n, b);
        free(m.got);
        free(m.want);
    }
    for (unsigned r = 0; r < ranks; r++)
        b->at[r].numa = numa_of(p, r, &b->at[r].cpus);
    return b;
}

const cpu_set_t *tug_bind_cpus(const struct tug_bind *b, unsigned local)
{
    return &b->at[local].cpus;
}

uint64_t tug_bind_numa(const struct tug_bind *b, unsigned local)
{
    return b->at[local].numa;
}

void tug_bind_cores(const struct tug_payload *p, uint16_t core_of[CPU_SETSIZE])
{
    for (unsigned c = 0; c < CPU_SETSIZE; c++) {
        char path[96];
        unsigned first;
        FILE *f;

        core_of[c] = (uint16_t) c;
        if (!bit(&p->slice->cpu_mask, c))
            continue;
        /* The lowest of its threads stands first. (The older name of core_cpus_list.) */
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", c);
        f = fopen(path, "re");
        if (f && fscanf(f, "%u", &first) == 1 && first < CPU_SETSIZE)
            core_of[c] = (uint16_t) first;
        if (f)
            fclose(f);
    }
}
