/* test_pairs.c - which pairs of a gang's nodes are tried when its ranks have failed */
#include "unit.h"

#include "stepd/pairs.h"

static unsigned char tried[300][300];

static size_t try_all(unsigned n)
{
    size_t most = 0;

    memset(tried, 0, sizeof tried);
    for (unsigned me = 0; me < n; me++) {
        unsigned peers[TUG_PAIRS_MAX];
        size_t found = tug_pairs_of(n, me, peers);
        most = found > most ? found : most;
        for (size_t i = 0; i < found; i++) {
            ck_assert_uint_lt(peers[i], n);
            ck_assert_uint_ne(peers[i], me);
            tried[me < peers[i] ? me : peers[i]][me < peers[i] ? peers[i] : me]++;
        }
    }
    return most;
}

START_TEST(each_pair_without_the_head_is_tried_from_one_end)
{
    for (unsigned n = 1; n <= 257; n += n < 40 ? 1 : 31) {
        try_all(n);
        for (unsigned a = 0; a < n; a++)
            for (unsigned b = a + 1; b < n; b++)
                ck_assert_msg(tried[a][b] == (a != 0), "%u nodes: %u and %u are tried %u times", n, a, b, tried[a][b]);
    }
}
END_TEST

START_TEST(a_node_of_a_large_gang_tries_those_near_it_and_some_far_away)
{
    unsigned peers[TUG_PAIRS_MAX];
    size_t n = tug_pairs_of(65536, 1000, peers);

    ck_assert_uint_le(n, TUG_PAIRS_MAX);
    ck_assert_uint_eq(peers[0], 1001);
    ck_assert_uint_eq(peers[127], 1128);
    ck_assert_uint_eq(peers[n - 1], 1000 + 32768);
}
END_TEST

UNIT_MAIN("stepd/pairs", each_pair_without_the_head_is_tried_from_one_end, a_node_of_a_large_gang_tries_those_near_it_and_some_far_away)
