/* test_culprit.c - which pairs of nodes are measured, and whom they give away */
#include "unit.h"

#include "base/rand.h"
#include "probe/probe.h"

const struct probe_transport probe_transport = {.name = "none"};

START_TEST(every_node_is_measured_with_both_its_neighbours_and_never_twice_at_once)
{
    for (int nodes = 3; nodes <= 17; nodes++) {
        int with[17][17] = {{0}}, n = 0;
        for (int round = 0; round < probe_rounds(nodes); round++) {
            int in[17], found = 0;
            for (int i = 0; i < nodes; i++)
                in[i] = probe_pair(i, nodes, round);
            for (int a = 0; a < nodes; a++) {
                int partners = 0;
                for (int b = 0; b < nodes; b++)
                    if (b != a && in[a] >= 0 && in[b] == in[a]) {
                        with[a][b]++;
                        partners++;
                        found++;
                    }
                ck_assert_msg(partners == (in[a] >= 0), "node %d of %d, round %d: %d partners", a, nodes, round,
                              partners);
            }
            n += found / 2;
        }
        ck_assert_int_eq(n, nodes);
        for (int a = 0; a < nodes; a++) {
            ck_assert_int_eq(with[a][(a + 1) % nodes], 1);
            ck_assert_int_eq(with[a][(a + nodes - 1) % nodes], 1);
        }
    }
}
END_TEST

/* What the pairs would measure if a pair is as fast as its slower node. */
static int find(const double *speed, int nodes, double floor)
{
    double best[64];
    for (int i = 0; i < nodes; i++)
        best[i] = -1;
    for (int round = 0; round < probe_rounds(nodes); round++)
        for (int a = 0; a < nodes; a++)
            for (int b = 0; b < nodes; b++)
                if (a != b && probe_pair(a, nodes, round) >= 0 &&
                    probe_pair(a, nodes, round) == probe_pair(b, nodes, round)) {
                    double pair = speed[a] < speed[b] ? speed[a] : speed[b];
                    best[a] = pair > best[a] ? pair : best[a];
                }
    return probe_worst(best, nodes, floor);
}

START_TEST(one_slow_node_is_named_wherever_it_is)
{
    for (int nodes = 3; nodes <= 33; nodes++)
        for (int slow = 0; slow < nodes; slow++) {
            double speed[64];
            for (int i = 0; i < nodes; i++)
                speed[i] = i == slow ? 3 : 10;
            ck_assert_msg(find(speed, nodes, 8) == slow, "%d of %d", slow, nodes);
        }
}
END_TEST

START_TEST(of_several_one_that_is_slow_unless_a_sound_one_stands_between_two_of_them)
{
    uint64_t seed = unit_seed();
    struct tug_rand r = tug_rand_seed(seed);
    for (int round = 0; round < unit_rounds(2000); round++) {
        int nodes = 3 + (int) tug_rand_below(&r, 30), slow = 0;
        double speed[64];
        for (int i = 0; i < nodes; i++) {
            int is_slow = tug_rand_below(&r, 10) == 0;
            slow += is_slow;
            speed[i] = is_slow ? 1 + (double) tug_rand_below(&r, 6) : 9 + (double) tug_rand_below(&r, 3);
        }
        int found = find(speed, nodes, 8);
        int between = found >= 0 && speed[(found + 1) % nodes] < 8 && speed[(found + nodes - 1) % nodes] < 8;
        ck_assert_msg(found < 0 || speed[found] < 8 || between, "%d of %d (seed %llu)", found, nodes,
                      (unsigned long long) seed);
        ck_assert(slow != 1 || found >= 0);
        ck_assert(slow > 0 || found < 0);
    }
}
END_TEST

START_TEST(when_most_are_slow_none_is_to_blame)
{
    double all[] = {3, 3, 3, 3}, most[] = {3, 3, 3, 10}, half[] = {3, 4, 10, 10}, one[] = {3}, none[] = {-1, -1};
    ck_assert_int_eq(probe_worst(all, 4, 8), -1);
    ck_assert_int_eq(probe_worst(most, 4, 8), -1);
    ck_assert_int_eq(probe_worst(half, 4, 8), 0);
    ck_assert_int_eq(probe_worst(one, 1, 8), 0); /* who is alone has nobody else to be slow */
    ck_assert_int_eq(probe_worst(none, 2, 8), -1);
    ck_assert_int_eq(probe_worst(half, 4, 1), -1);
}
END_TEST

UNIT_MAIN("probe/culprit", every_node_is_measured_with_both_its_neighbours_and_never_twice_at_once,
          one_slow_node_is_named_wherever_it_is, of_several_one_that_is_slow_unless_a_sound_one_stands_between_two_of_them,
          when_most_are_slow_none_is_to_blame)
