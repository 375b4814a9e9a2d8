/* test_hashset.c - what was added and not removed is found, and nothing else, however hashes collide */
#include "unit.h"

#include "base/hashset.h"
#include "base/rand.h"

struct item {
    uint32_t key, hash;
    int in;
};

static int is(const void *item, const void *key)
{
    return ((const struct item *) item)->key == *(const uint32_t *) key;
}

static struct item *find(const struct tug_hashset *s, const struct item *like)
{
    return tug_hashset_find(s, like->hash, is, &like->key);
}

START_TEST(an_empty_set_has_nothing)
{
    struct tug_hashset s = {0};
    struct item a = {1, 7, 0};
    size_t at = 0;
    ck_assert_ptr_null(find(&s, &a));
    ck_assert_ptr_null(tug_hashset_next(&s, &at));
    ck_assert_uint_eq(tug_hashset_bytes(&s), 0);
    tug_hashset_clear(&s);
}
END_TEST

START_TEST(keys_of_one_hash_are_told_apart)
{
    struct tug_hashset s = {0};
    struct item a = {1, 15, 0}, b = {2, 15, 0}, c = {3, 15, 0};
    tug_hashset_add(&s, a.hash, &a);
    tug_hashset_add(&s, b.hash, &b);
    ck_assert_ptr_eq(find(&s, &a), &a);
    ck_assert_ptr_eq(find(&s, &b), &b);
    ck_assert_ptr_null(find(&s, &c));
    tug_hashset_remove(&s, a.hash, &a);
    ck_assert_ptr_null(find(&s, &a));
    ck_assert_ptr_eq(find(&s, &b), &b);
    tug_hashset_clear(&s);
}
END_TEST

/* Hashes of a few values make long runs of slots, also over the end of the table. */
START_TEST(a_random_set_is_as_an_array_says)
{
    enum { N = 400 };
    static struct item at[N];
    struct tug_rand r = tug_rand_seed(unit_seed());
    struct tug_hashset s = {0};
    size_t n = 0;

    for (uint32_t i = 0; i < N; i++)
        at[i] = (struct item){
            i, (uint32_t) (tug_rand_below(&r, 2) ? tug_rand_below(&r, 16) - 8 : tug_rand_u64(&r)), 0};
    for (int round = 0; round < unit_rounds(20000); round++) {
        struct item *x = &at[tug_rand_below(&r, N)];
        if (x->in)
            tug_hashset_remove(&s, x->hash, x);
        else
            tug_hashset_add(&s, x->hash, x);
        n += x->in ? (size_t) -1 : 1;
        x->in = !x->in;
        x = &at[tug_rand_below(&r, N)];
        ck_assert_ptr_eq(find(&s, x), x->in ? x : NULL);
    }
    for (int i = 0; i < N; i++)
        ck_assert_ptr_eq(find(&s, &at[i]), at[i].in ? &at[i] : NULL);
    ck_assert_uint_eq(s.n, n);
    size_t pos = 0, seen = 0;
    for (struct item *x; (x = tug_hashset_next(&s, &pos)) != NULL; seen++) {
        ck_assert(x->in);
        x->in = 0;
    }
    ck_assert_uint_eq(seen, n);
    tug_hashset_clear(&s);
}
END_TEST

/* Names with a number at the end are what there is most of. */
START_TEST(hashes_of_numbered_names_are_spread)
{
    enum { N = 65536, BUCKETS = 256 };
    static unsigned in[BUCKETS];
    for (int i = 0; i < N; i++) {
        char name[32];
        int len = snprintf(name, sizeof name, "train-%d", i);
        in[tug_hash(name, (size_t) len) % BUCKETS]++;
    }
    for (int i = 0; i < BUCKETS; i++)
        ck_assert_msg(in[i] > N / BUCKETS / 2 && in[i] < N / BUCKETS * 2, "%u of %d in one", in[i], N);
    ck_assert_uint_ne(tug_hash("a", 1), tug_hash("a\0", 2));
}
END_TEST

UNIT_MAIN("base/hashset", an_empty_set_has_nothing, keys_of_one_hash_are_told_apart,
          a_random_set_is_as_an_array_says, hashes_of_numbered_names_are_spread)
