/* test_mig.c - a slice keeps its number while it is there, and while anybody holds something by it */
#include "logic/mig.h"

#include "unit.h"

static struct tug_control c;
static struct tug_core_node_row row = {.name = "n0", .gpu_model = ""};
static struct tug_core_queue queue = {.name = "all", .nodes = "", .is_default = 1};
static struct ctl_node node;
static struct tug_arena arena;

static void init(void)
{
    const struct tug_core_conf conf = {.queues = &queue, .n_queues = 1, .nodes = &row, .n_nodes = 1, .kept_ms = 1000, .launch_timeout_s = 30};
    arena = (struct tug_arena){.budget_bytes = 1 << 20};
    c.core = tug_core_new(&conf, NULL);
    c.nodes = &node;
    c.n_nodes = 1;
    tug_core_restored(c.core, 1000);
}

static void clear(void)
{
    tug_core_free(c.core);
    free(node.inventory);
    free(node.nvlink_domain);
    tug_arena_clear(&arena);
}

/* The node says that it has these slices of GPU 0, "name profile" each; it is kept. */
static const Tugpb__Inventory *says(const char *const *slices, size_t n)
{
    static Tugpb__Inventory inv;
    static Tugpb__MigSlice rows[64], *list[64];
    static char uuids[64][32];
    struct tug_machine *machine = NULL;
    struct tug_core_mig *mig = NULL;
    tugpb__inventory__init(&inv);
    inv.cpus = 8;
    inv.gpus = 2;
    inv.mig = list;
    for (size_t i = 0; i < n; i++) {
        tugpb__mig_slice__init(&rows[i]);
        snprintf(uuids[i], sizeof uuids[i], "%.*s", (int) strcspn(slices[i], " "), slices[i]);
        rows[i].uuid = uuids[i];
        rows[i].profile = (char *) (uintptr_t) (strchr(slices[i], ' ') + 1);
        list[inv.n_mig++] = &rows[i];
    }
    const Tugpb__Inventory *out = tug_ctl_mig_number(&c, &arena, 0, &inv);
    struct tug_event ev = {.type = TUG_EV_NODE_UP, .node = 0, .inventory = tug_ctl_keep_inventory(&c, &node, "n0", out, &machine, &mig)};
    ck_assert_int_eq(tug_core_apply(c.core, 1000, &ev, NULL), 0);
    ck_assert_int_eq(tug_core_check(c.core, NULL), 0);
    free(mig);
    free(machine);
    return out;
}

START_TEST(a_slice_keeps_its_number_when_others_come_and_go)
{
    init();
    const Tugpb__Inventory *inv = says((const char *[]){"a 1g.10gb", "b 1g.10gb", "c 2g.20gb"}, 3);
    ck_assert_uint_eq(inv->mig[0]->device, 2);
    ck_assert_uint_eq(inv->mig[2]->device, 4);
    inv = says((const char *[]){"d 3g.40gb", "c 2g.20gb", "b 1g.10gb"}, 3);
    ck_assert_uint_eq(inv->mig[0]->device, 2); /* a's, which has gone */
    ck_assert_uint_eq(inv->mig[1]->device, 4);
    ck_assert_uint_eq(inv->mig[2]->device, 3);
    inv = says((const char *[]){"c 1g.10gb"}, 1); /* another slice under an old name is another slice */
    ck_assert_uint_eq(inv->mig[0]->device, 2);
    clear();
}
END_TEST

START_TEST(the_number_of_a_slice_that_has_gone_is_nobodys_while_a_gang_holds_it)
{
    struct tug_job_req r = {.user = "ann", .queue = "all", .account = "", .name = "j", .requeue = 1, .nodes = 1, .ntasks = 1,
                            .cpus_per_node = 1, .gpus_per_node = 1, .gpu_model = "", .nodelist = "", .exclude = "", .mig_profile = "1g.10gb"};
    struct tug_event ev = {.type = TUG_EV_JOB_SUBMIT, .job = 1, .req = &r};
    const struct tug_policy_set none = {.n = 0};
    init();
    says((const char *[]){"a 1g.10gb"}, 1);
    ck_assert_int_eq(tug_core_apply(c.core, 1000, &ev, NULL), 0);
    ck_assert_int_eq(tug_core_pass(c.core, 1000, &none, NULL, NULL), 1);
    ck_assert_uint_eq(tug_core_job(c.core, 1)->slices[0].gpus, 4);
    ev = (struct tug_event){.type = TUG_EV_STEP_READY, .job = 1, .attempt = 1};
    ck_assert_int_eq(tug_core_apply(c.core, 1000, &ev, NULL), 0);
    ck_assert_uint_eq(tug_core_devices_had(c.core, 0), 4);
    Tugpb__Inventory inv = TUGPB__INVENTORY__INIT;
    Tugpb__MigSlice other = TUGPB__MIG_SLICE__INIT, *list[] = {&other};
    inv.gpus = 2;
    inv.mig = list;
    inv.n_mig = 1;
    other.uuid = (char *) (uintptr_t) "z";
    other.profile = (char *) (uintptr_t) "7g.80gb";
    ck_assert_uint_eq(tug_ctl_mig_number(&c, &arena, 0, &inv)->mig[0]->device, 3);
    clear();
}
END_TEST

START_TEST(slices_for_which_there_is_no_number_left_are_given_to_nobody)
{
    static char names[64][24];
    const char *slices[64];
    for (int i = 0; i < 64; i++) {
        snprintf(names[i], sizeof names[i], "s%d 1g.10gb", i);
        slices[i] = names[i];
    }
    init();
    const Tugpb__Inventory *inv = says(slices, 64);
    ck_assert_uint_eq(inv->mig[61]->device, 63);
    ck_assert_uint_eq(inv->mig[62]->device, TUG_MIG_NO_DEVICE);
    struct tug_core_node n;
    tug_core_node(c.core, 0, &n);
    ck_assert_uint_eq(n.slices, 62);
    ck_assert_uint_eq(n.gpus_cut, 1);
    clear();
}
END_TEST

UNIT_MAIN("logic/mig", a_slice_keeps_its_number_when_others_come_and_go,
          the_number_of_a_slice_that_has_gone_is_nobodys_while_a_gang_holds_it,
          slices_for_which_there_is_no_number_left_are_given_to_nobody)
