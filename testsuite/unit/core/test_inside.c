/* test_inside.c - each kind of machine once */
#include "base/mem.h"
#include "core/state.h"
#include "kinds.h"
#include "world.h"

START_TEST(nodes_of_a_kind_share_what_is_known_of_it_whatever_they_are_called)
{
    struct tug_insides *all = tug_insides_new();
    struct tug_machine *a = kind_mesh(), *b = kind_mesh(), *other = kind_pairs(8);
    strcpy(a->name, "dgx1-v100");
    const struct tug_machine *x = tug_inside_hold(all, a), *y = tug_inside_hold(all, b),
                             *z = tug_inside_hold(all, other);
    ck_assert_ptr_eq(x, y);
    ck_assert_ptr_ne(x, z);
    ck_assert_uint_eq(tug_insides_count(all), 2);
    ck_assert_ptr_null(tug_inside_hold(all, NULL));
    tug_inside_drop(all, x);
    ck_assert_int_eq(tug_machine_equal(y, a), 1);
    tug_inside_drop(all, y);
    ck_assert_uint_eq(tug_insides_count(all), 1);
    tug_inside_drop(all, NULL);
    tug_insides_free(all);
    free(a);
    free(b);
    free(other);
}
END_TEST

START_TEST(a_node_keeps_what_it_said_of_its_links_until_it_says_otherwise)
{
    static struct world w;
    struct tug_core_node n;
    struct tug_machine *mesh = kind_mesh(), *four = kind_switched(4, 300000);
    w_init(&w, 2, 8);
    w.machines[0] = w.machines[1] = mesh;
    w_up_all(&w);
    tug_core_node(w.c, 1, &n);
    ck_assert_int_eq(tug_machine_equal(n.machine, mesh), 1);
    ck_assert_uint_eq(tug_insides_count(w.c->insides), 1);
    w_down(&w, 1);
    tug_core_node(w.c, 1, &n);
    ck_assert_ptr_nonnull(n.machine);
    w.machines[1] = four; /* has 8 GPUs and tells of 4: not believed */
    w_up(&w, 1, NULL, 0);
    tug_core_node(w.c, 1, &n);
    ck_assert_ptr_null(n.machine);
    w.machines[0] = NULL;
    w_up(&w, 0, NULL, 0);
    ck_assert_uint_eq(tug_insides_count(w.c->insides), 0);
    w_clear(&w);
    free(mesh);
    free(four);
}
END_TEST

UNIT_MAIN("core/inside", nodes_of_a_kind_share_what_is_known_of_it_whatever_they_are_called,
          a_node_keeps_what_it_said_of_its_links_until_it_says_otherwise)
