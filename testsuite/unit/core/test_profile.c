/* test_profile.c - what is free when, against counting it all out */
#include <errno.h>

#include "unit.h"

#include "base/rand.h"
#include "core/profile.h"

#define GIB       (1LL << 30)
#define NODES_MAX 48
#define HELD_MAX  4096
#define APART_MAX 41 /* so that those 48 nodes lie in four blocks of bitmaps */
#define ALLOWED   (NODES_MAX * APART_MAX / 64 + 1)

/* ---- the same by brute force: every holding as it is, no slot, no bitmap */

struct holding {
    uint32_t node;
    int64_t from_ms, to_ms;
    struct tug_stock held;
};
static struct brute {
    uint32_t nodes,
        apart; /* node i of these is i * apart of the profile's; between them lie full ones */
    struct tug_stock has;
    int64_t now_ms, horizon_ms;
    struct holding at[HELD_MAX];
    size_t n;
} brute;

static void hold(uint32_t node, int64_t from_ms, int64_t to_ms, const struct tug_stock *s)
{
    ck_assert_uint_lt(brute.n, HELD_MAX);
    brute.at[brute.n++] = (struct holding){node, from_ms, to_ms, *s};
}

static struct tug_stock free_at(uint32_t node, int64_t at_ms)
{
    struct tug_stock s = brute.has;
    for (size_t i = 0; i < brute.n; i++) {
        const struct holding *h = &brute.at[i];
        if (h->node != node || h->from_ms > at_ms || h->to_ms <= at_ms)
            continue;
        s.gpus -= h->held.gpus;
        s.cpus -= h->held.cpus;
        s.mem_bytes -= h->held.mem_bytes;
        s.gangs++;
    }
    return s;
}

static int serves(uint32_t node, int64_t at_ms, const struct tug_need *n)
{
    struct tug_stock s = free_at(node, at_ms);
    return s.gpus >= (int64_t) n->gpus && s.cpus >= (int64_t) n->cpus &&
           s.mem_bytes >= (int64_t) n->mem_bytes && (!n->exclusive || !s.gangs);
}

static int64_t end_of(int64_t start_ms, int64_t run_ms)
{
    if (run_ms == TUG_NEVER)
        return TUG_NEVER;
    return start_ms == TUG_NOWHEN ? TUG_NEVER : start_ms + run_ms;
}

static int serves_from(uint32_t node, int64_t start_ms, int64_t run_ms, const struct tug_need *n)
{
    int64_t end_ms = end_of(start_ms, run_ms);
    if (!serves(node, start_ms, n))
        return 0;
    for (size_t i = 0; i < brute.n; i++)
        if (brute.at[i].node == node && brute.at[i].from_ms > start_ms &&
            brute.at[i].from_ms < end_ms && !serves(node, brute.at[i].from_ms, n))
            return 0;
    return 1;
}

static int may_use(const struct tug_want *w, uint32_t node)
{
    return (int) (w->allowed[node * brute.apart / 64] >> (node * brute.apart % 64) & 1);
}

/* Bit i where node i of these is. */
static const uint64_t *spread(uint64_t bits, uint64_t *out)
{
    memset(out, 0, ALLOWED * sizeof *out);
    for (uint32_t i = 0; i < brute.nodes; i++)
        out[i * brute.apart / 64] |= (bits >> i & 1) << (i * brute.apart % 64);
    return out;
}

static int fits_from(const struct tug_want *w, int64_t start_ms)
{
    uint32_t each = 0, last = 0;
    for (uint32_t i = 0; i < brute.nodes; i++) {
        if (!may_use(w, i))
            continue;
        each += (uint32_t) serves_from(i, start_ms, w->run_ms, &w->each);
        last += (uint32_t) serves_from(i, start_ms, w->run_ms, &w->last);
    }
    return each + 1 >= w->nodes && last >= w->nodes;
}

static int64_t brute_earliest(const struct tug_want *w)
{
    if (fits_from(w, brute.now_ms))
        return brute.now_ms;
    int64_t best = fits_from(w, TUG_NOWHEN) ? TUG_NOWHEN : TUG_NEVER;
    for (size_t i = 0; i < brute.n; i++) {
        int64_t t = brute.at[i].to_ms;
        if (t <= brute.horizon_ms && t < best && t > brute.now_ms && fits_from(w, t))
            best = t;
    }
    return best;
}

/* ---- random clusters */

static struct tug_rand rnd;

static uint32_t dice(uint32_t n)
{
    return (uint32_t) tug_rand_below(&rnd, n);
}

static void setup(struct tug_profile *p, uint32_t nodes, uint32_t jobs_a_node, uint32_t span_ms)
{
    int64_t ends[NODES_MAX * 16];
    size_t n = 0;
    const struct tug_stock nothing = {.gangs = 1};
    brute.nodes = nodes;
    brute.has = (struct tug_stock){.gpus = 8, .cpus = 16, .mem_bytes = 64 * GIB};
    brute.now_ms = 1000000;
    brute.horizon_ms = brute.now_ms + (dice(4) ? 100 * (int64_t) span_ms : span_ms / 2);
    brute.n = 0;
    for (uint32_t i = 0; i < nodes; i++)
        for (uint32_t k = 0; k < jobs_a_node; k++) {
            struct tug_stock free_now = free_at(i, brute.now_ms), s = {.gangs = 1};
            if (jobs_a_node < 8 && !dice(3))
                continue;
            if (jobs_a_node >= 8) {
                s = (struct tug_stock){.gpus = k % 2, .cpus = 1, .gangs = 1};
            } else {
                s.gpus = (int32_t) dice((uint32_t) free_now.gpus + 1);
                s.cpus = (int32_t) dice((uint32_t) free_now.cpus + 1);
                s.mem_bytes = (int64_t) dice((uint32_t) (free_now.mem_bytes / GIB) + 1) * GIB;
            }
            int64_t end = brute.now_ms + 1 + dice(span_ms);
            if (!dice(8))
                end = TUG_NEVER;
            ends[n++] = end;
            hold(i, brute.now_ms - 1, end > brute.horizon_ms ? TUG_NOWHEN : end, &s);
        }
    tug_profile_begin(p, brute.now_ms, brute.horizon_ms, 1000, nodes * brute.apart, ends, n);
    for (uint32_t i = 0; i < nodes * brute.apart; i++) {
        struct tug_stock left = i % brute.apart ? nothing : free_at(i / brute.apart, brute.now_ms);
        tug_profile_node(p, i, &brute.has, &left);
    }
    for (size_t i = 0; i < n; i++)
        tug_profile_ends(p, brute.at[i].node * brute.apart, ends[i], &brute.at[i].held);
}

static struct tug_want random_want(uint32_t span_ms, const uint64_t *allowed)
{
    struct tug_want w = {.allowed = allowed, .nodes = 1 + dice(brute.nodes)};
    w.each = (struct tug_need){
        .gpus = dice(9), .cpus = 1 + dice(4), .mem_bytes = dice(3) ? 0 : dice(40) * (uint64_t) GIB};
    if (!dice(8))
        w.each.exclusive = 1;
    w.last = w.each;
    if (!dice(4) && w.each.gpus && w.nodes > 1)
        w.last.gpus = 1 + dice(w.each.gpus);
    w.run_ms = dice(10) ? 1 + dice(span_ms) : TUG_NEVER;
    return w;
}

static struct tug_stock taken(const struct tug_need *n)
{
    struct tug_stock s = {.gpus = (int32_t) n->gpus,
                          .cpus = (int32_t) n->cpus,
                          .mem_bytes = (int64_t) n->mem_bytes,
                          .gangs = 1};
    if (n->exclusive) {
        s.gpus = brute.has.gpus;
        s.cpus = brute.has.cpus;
    }
    return s;
}

/* The profile's answer is taken: it must be free there, by brute force, for the whole run. */
static void book(struct tug_profile *p, const struct tug_want *w, int64_t start_ms)
{
    uint32_t nodes[NODES_MAX], places[NODES_MAX];
    uint64_t seen = 0;
    tug_profile_choose(p, w, start_ms, places);
    for (uint32_t i = 0; i < w->nodes; i++) {
        ck_assert_uint_eq(places[i] % brute.apart, 0);
        nodes[i] = places[i] / brute.apart;
        const struct tug_need *n = i + 1 < w->nodes ? &w->each : &w->last;
        ck_assert_uint_lt(nodes[i], brute.nodes);
        ck_assert(may_use(w, nodes[i]));
        ck_assert(!(seen >> nodes[i] & 1));
        seen |= 1ULL << nodes[i];
        ck_assert(serves_from(nodes[i], start_ms, w->run_ms, n));
    }
    for (uint32_t i = 0; i < w->nodes; i++) {
        struct tug_stock s = taken(i + 1 < w->nodes ? &w->each : &w->last);
        hold(nodes[i], start_ms, end_of(start_ms, w->run_ms), &s);
    }
    if (start_ms == brute.now_ms)
        ck_assert(tug_profile_fits_now(p, w, places));
    tug_profile_book(p, w, places, start_ms);
}

static void open_nodes_are_those_that_fit_from_now_on(struct tug_profile *p,
                                                      const struct tug_want *w)
{
    const uint64_t *bits = tug_profile_open_now(p, w);
    for (uint32_t i = 0; i < brute.nodes; i++) {
        int fits = may_use(w, i) && serves_from(i, brute.now_ms, w->run_ms, &w->each);
        int open = (int) (bits[i * brute.apart / 64] >> (i * brute.apart % 64) & 1);
        if (tug_profile_is_exact(p))
            ck_assert_int_eq(open, fits);
        else
            ck_assert_int_le(open, fits);
    }
}

START_TEST(up_to_hundreds_of_edges_the_earliest_start_is_exactly_the_earliest)
{
    rnd = tug_rand_seed(unit_seed());
    int rounds = unit_rounds_or(10000, 2000), asked = 0, kinds[4] = {0};
    struct tug_profile *p = tug_profile_new();
    for (int i = 0; i < rounds; i++) {
        uint32_t span_ms = 1 + dice(40), is_wide = !dice(20);
        brute.apart = is_wide ? 1 + dice(APART_MAX) : 1;
        setup(p, 1 + dice(is_wide ? NODES_MAX : 6), dice(5), span_ms);
        for (int k = 0; k < 12; k++, asked++) {
            uint64_t allowed[ALLOWED];
            struct tug_want w =
                random_want(span_ms, spread(dice(4) ? ~0ULL : tug_rand_u64(&rnd), allowed));
            int64_t is = brute_earliest(&w), said = tug_profile_earliest(p, &w, brute.now_ms);
            ck_assert_msg(is == said, "round %d: at %lld, not %lld", i,
                          (long long) (is - brute.now_ms), (long long) (said - brute.now_ms));
            kinds[is == brute.now_ms ? 0 : is < TUG_NOWHEN ? 1 : is == TUG_NOWHEN ? 2 : 3]++;
            open_nodes_are_those_that_fit_from_now_on(p, &w);
            if (is == TUG_NEVER || !dice(3))
                continue;
            ck_assert_int_eq(tug_profile_earliest(p, &w, brute.now_ms), is);
            book(p, &w, is);
        }
        ck_assert(tug_profile_is_exact(p));
        ck_assert_int_eq(tug_profile_check(p), 0);
    }
    printf("# %d asked: %d now, %d later, %d nobody knows when, %d never\n", asked, kinds[0],
           kinds[1], kinds[2], kinds[3]);
    for (int k = 0; k < 4; k++)
        ck_assert_int_gt(kinds[k], asked / 100);
    tug_profile_free(p);
}
END_TEST

START_TEST(with_more_edges_nothing_is_found_too_early_or_where_it_is_not_free)
{
    rnd = tug_rand_seed(unit_seed());
    int rounds = unit_rounds(4), later = 0, asked = 0;
    struct tug_profile *p = tug_profile_new();
    for (int i = 0; i < rounds; i++) {
        uint32_t span_ms = 100000 + dice(10000000);
        uint64_t all[ALLOWED];
        brute.apart = i % 2 ? APART_MAX : 1;
        setup(p, 40 + dice(NODES_MAX - 40), 16, span_ms);
        spread(~0ULL, all);
        ck_assert(!tug_profile_is_exact(p) || brute.horizon_ms < brute.now_ms + span_ms);
        for (int k = 0; k < 25; k++, asked++) {
            struct tug_want w = random_want(span_ms, all);
            int64_t is = brute_earliest(&w), said = tug_profile_earliest(p, &w, brute.now_ms);
            ck_assert_int_le(is, said);
            later += is < said;
            open_nodes_are_those_that_fit_from_now_on(p, &w);
            if (said == TUG_NEVER || brute.n + w.nodes > HELD_MAX)
                continue;
            ck_assert_int_eq(tug_profile_earliest(p, &w, brute.now_ms), said);
            book(p, &w, said);
        }
        ck_assert_int_eq(tug_profile_check(p), 0);
    }
    printf("# %d asked, %d later than exactly\n", asked, later);
    ck_assert_int_gt(later, 0);
    tug_profile_free(p);
}
END_TEST

START_TEST(reservations_that_cut_time_too_finely_are_rounded_up_not_lost)
{
    rnd = tug_rand_seed(unit_seed());
    struct tug_profile *p = tug_profile_new();
    uint64_t all = ~0ULL;
    brute.apart = 1;
    setup(p, 20, 3, 50000000);
    for (int k = 0; k < 2000; k++) {
        struct tug_want w = random_want(4000000, &all);
        w.nodes = 1;
        w.each.gpus = w.last.gpus = 1;
        w.each.mem_bytes = w.last.mem_bytes = 0;
        w.run_ms = 1 + dice(100000);
        w.each.exclusive = w.last.exclusive = 0;
        int64_t said = tug_profile_earliest(p, &w, brute.now_ms);
        if (k % 100 == 0)
            ck_assert_int_le(brute_earliest(&w), said);
        if (said != TUG_NEVER && brute.n < HELD_MAX)
            book(p, &w, said);
    }
    ck_assert_int_eq(tug_profile_check(p), 0);
    ck_assert(!tug_profile_is_exact(p));
    tug_profile_free(p);
}
END_TEST

START_TEST(nodes_that_come_free_last_are_chosen_first)
{
    struct tug_profile *p = tug_profile_new();
    const struct tug_stock has = {.gpus = 8, .cpus = 8, .mem_bytes = GIB};
    const struct tug_stock held[] = {{.gpus = 8, .cpus = 8, .gangs = 1},
                                     {.gpus = 4, .cpus = 4, .gangs = 1}};
    const struct tug_stock left[] = {{.mem_bytes = GIB, .gangs = 1},
                                     {.gpus = 4, .cpus = 4, .mem_bytes = GIB, .gangs = 1}};
    const int64_t ends[] = {100, 50, 100, 100};
    const int full[] = {0, 0, 1, 0};
    uint64_t all = ~0ULL;
    uint32_t nodes[4];
    tug_profile_begin(p, 0, 1000, 1, 5, ends, 4);
    for (uint32_t i = 0; i < 4; i++) {
        tug_profile_node(p, i, &has, &left[full[i]]);
        tug_profile_ends(p, i, ends[i], &held[full[i]]);
    }
    tug_profile_node(p, 4, &has, &has);
    struct tug_want w = {.each = {.gpus = 8, .cpus = 1}, .nodes = 4, .run_ms = 10, .allowed = &all};
    w.last = w.each;
    ck_assert_int_eq(tug_profile_earliest(p, &w, 0), 100);
    tug_profile_choose(p, &w, 100, nodes);
    ck_assert_uint_eq(nodes[0], 0);
    ck_assert_uint_eq(nodes[1], 1); /* free from 50 on, n4 from now on */
    ck_assert_uint_eq(nodes[2], 2);
    ck_assert_uint_eq(nodes[3], 3);
    w.nodes = 2;
    ck_assert_int_eq(tug_profile_earliest(p, &w, 0), 50); /* n1 and n4 */
    w.nodes = 2;
    w.run_ms = 10;
    ck_assert_int_eq(tug_profile_earliest(p, &w, 100), 100);
    tug_profile_choose(p, &w, 100, nodes);
    ck_assert_uint_eq(nodes[0], 0); /* n2 has four GPUs for somebody else until then */
    ck_assert_uint_eq(nodes[1], 3);
    tug_profile_free(p);
}
END_TEST

START_TEST(bitmaps_that_do_not_say_what_the_nodes_say_are_found)
{
    struct tug_profile *p = tug_profile_new();
    const struct tug_stock has = {.gpus = 8, .cpus = 8, .mem_bytes = GIB}, none = {.gangs = 1};
    uint64_t all = ~0ULL;
    tug_profile_begin(p, 0, 1000, 1, 2, NULL, 0);
    tug_profile_node(p, 0, &has, &has);
    tug_profile_node(p, 1, &has, &has);
    struct tug_want w = {
        .each = {.gpus = 8}, .last = {.gpus = 8}, .nodes = 2, .run_ms = 1, .allowed = &all};
    ck_assert_int_eq(tug_profile_earliest(p, &w, 0), 0);
    ck_assert_int_eq(tug_profile_check(p), 0);
    tug_profile_node(p, 1, &has, &none);
    ck_assert_int_eq(tug_profile_check(p), -EINVAL);
    tug_profile_free(p);
}
END_TEST

UNIT_MAIN("core/profile", bitmaps_that_do_not_say_what_the_nodes_say_are_found,
          up_to_hundreds_of_edges_the_earliest_start_is_exactly_the_earliest,
          with_more_edges_nothing_is_found_too_early_or_where_it_is_not_free,
          reservations_that_cut_time_too_finely_are_rounded_up_not_lost,
          nodes_that_come_free_last_are_chosen_first)
