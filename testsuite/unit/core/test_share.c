/* test_share.c - accounts and users: who is charged, who goes first, and what a restart or a new
 * configuration leaves */
#include <errno.h>
#include <math.h>

#include "base/rand.h"
#include "core/share.h"
#include "world.h"

#define H 1000000LL /* half-life in ms */
#define LOAD(gpus_)                                                                                \
    (&(const struct tug_share_load){.rate = (gpus_) * (int64_t) TUG_USAGE_GPU, .gpus = (gpus_)})

static struct tug_interns *texts;
static struct tug_shares *s;
static struct tug_err err;

static void tree(const struct tug_core_account *accounts, size_t n)
{
    texts = tug_interns_new();
    s = tug_shares_new(texts);
    ck_assert_msg(tug_shares_check(accounts, n, &err) == 0, "%s", err.msg);
    tug_shares_configure(s, accounts, n, H, 0);
}

static void fell(void)
{
    tug_shares_free(s);
    tug_interns_free(texts);
}

static const struct tug_policy_share *see(const char *name, const char *account)
{
    size_t n;
    const struct tug_policy_share *f = tug_shares_figures(s, H, &n);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(f[i].name, name) &&
            (!account || (f[i].is_user && !strcmp(f[f[i].parent].name, account))))
            return &f[i];
    ck_abort_msg("there is no row '%s'", name);
}

static const struct tug_core_account nlp_and_vision[] = {
    {.name = "vision", .parent = "lab", .users = "cat=2,dan"},
    {.name = "lab", .weight = 3},
    {.name = "nlp", .parent = "lab", .users = "ann,bob=3"},
    {.name = "rest"}};

START_TEST(a_share_is_a_weight_among_siblings_and_usage_the_part_of_what_the_parent_used)
{
    tree(nlp_and_vision, 4);
    tug_shares_add(s, tug_shares_exact(s, "nlp", "ann", 1), 300, H);
    tug_shares_add(s, tug_shares_exact(s, "vision", "cat", 3), 100, H);
    ck_assert_double_eq(see("lab", NULL)->share, 0.75);
    ck_assert_double_eq(see("nlp", NULL)->share, 0.5);
    ck_assert_double_eq(see("bob", NULL)->share, 0.75);
    ck_assert_double_eq_tol(see("nlp", NULL)->usage_gpu_s, 300, 1e-9);
    ck_assert_double_eq_tol(see("nlp", NULL)->usage, 0.75, 1e-9);
    ck_assert_double_eq_tol(see("lab", NULL)->usage, 1, 1e-9);
    ck_assert_double_eq_tol(see("ann", NULL)->usage, 1, 1e-9);
    ck_assert_double_eq_tol(see("nlp", NULL)->level_fs, 2. / 3, 1e-6);
    ck_assert(isinf(see("rest", NULL)->level_fs));
    ck_assert_uint_eq(see("cat", NULL)->uid, 3);
    fell();
}
END_TEST

START_TEST(who_is_in_the_account_that_used_less_of_its_share_goes_before_all_of_the_other)
{
    tree(nlp_and_vision, 4);
    tug_shares_add(s, tug_shares_exact(s, "nlp", "ann", 1), 300, H);
    tug_shares_add(s, tug_shares_exact(s, "vision", "cat", 3), 100, H);
    /* dan used nothing in vision, cat all of it; bob nothing in nlp, ann all of it */
    ck_assert_double_eq(see("dan", NULL)->factor, 1);
    ck_assert_double_eq(see("cat", NULL)->factor, 0.75);
    ck_assert_double_eq(see("bob", NULL)->factor, 0.5);
    ck_assert_double_eq(see("ann", NULL)->factor, 0.25);
    ck_assert_double_eq(see("vision", NULL)->factor, 1);
    ck_assert_double_eq(see("nlp", NULL)->factor, 0.5);
    ck_assert_double_eq(see("rest", NULL)->factor, 0);
    fell();
}
END_TEST

START_TEST(accounts_that_tie_are_ranked_as_one_and_users_that_tie_share_a_rank)
{
    tree(nlp_and_vision, 4);
    ck_assert_double_eq(see("ann", NULL)->factor, 1);
    ck_assert_double_eq(see("dan", NULL)->factor, 1);
    tug_shares_add(s, tug_shares_exact(s, "nlp", "ann", 1), 100, H);
    tug_shares_add(s, tug_shares_exact(s, "vision", "dan", 4), 100, H);
    ck_assert_double_eq(see("bob", NULL)->factor, 1);
    ck_assert_double_eq(see("cat", NULL)->factor, 1);
    ck_assert_double_eq(see("dan", NULL)->factor, 0.5); /* 1/3 of vision's, ann has 1/4 of nlp's */
    ck_assert_double_eq(see("ann", NULL)->factor, 0.25);
    fell();
}
END_TEST

/* By the definition: the levels from the top down are compared one by one, larger first, and a user
 * who has no more goes first. */
static int goes_before(const struct tug_policy_share *f, uint32_t a, uint32_t b)
{
    uint32_t up_a[40], up_b[40];
    size_t n_a = 0, n_b = 0;
    for (uint32_t i = a; i != 0; i = f[i].parent)
        up_a[n_a++] = i;
    for (uint32_t i = b; i != 0; i = f[i].parent)
        up_b[n_b++] = i;
    while (n_a && n_b) {
        double x = f[up_a[--n_a]].level_fs, y = f[up_b[--n_b]].level_fs;
        if (x != y)
            return x > y;
        if (!n_a != !n_b)
            return !n_a;
    }
    return 0;
}

static void check_against_definition(const struct tug_policy_share *f, size_t n, uint64_t seed)
{
    uint32_t users = 0;
    for (size_t i = 0; i < n; i++)
        users += f[i].is_user;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t before = 0;
        for (uint32_t k = 0; f[i].is_user && k < n; k++)
            before += f[k].is_user && goes_before(f, k, i);
        if (f[i].is_user)
            ck_assert_msg(f[i].factor == (double) (users - before) / users,
                          "seed %llu: %u of %u users go before row %u, but its factor is %g",
                          (unsigned long long) seed, before, users, i, f[i].factor);
    }
}

/* If account A ranks above its sibling B, every user of A outranks every user of B. */
static void check_invariant(const struct tug_policy_share *f, size_t n)
{
    for (uint32_t u = 1; u < n; u++)
        for (uint32_t v = 1; v < n; v++) {
            if (!f[u].is_user || !f[v].is_user)
                continue;
            for (uint32_t a = f[u].parent; a; a = f[a].parent)
                for (uint32_t b = f[v].parent; b; b = f[b].parent)
                    if (a != b && f[a].parent == f[b].parent && f[a].level_fs > f[b].level_fs)
                        ck_assert_double_gt(f[u].factor, f[v].factor);
        }
}

START_TEST(random_trees_are_ranked_by_the_definition_of_fair_tree)
{
    uint64_t seed = unit_seed();
    struct tug_rand rand = tug_rand_seed(seed);
    for (int round = 0; round < 60; round++) {
        struct tug_core_account accounts[12];
        char names[12][24];
        size_t n, n_accounts = 1 + tug_rand_below(&rand, 12);
        for (size_t i = 0; i < n_accounts; i++) {
            snprintf(names[i], sizeof names[i], "a%zu", i);
            size_t up = i ? tug_rand_below(&rand, i + 1) : 0;
            accounts[i] =
                (struct tug_core_account){.name = names[i],
                                          .parent = up < i ? names[up] : "",
                                          .weight = (double) (1 + tug_rand_below(&rand, 3))};
        }
        tree(accounts, n_accounts);
        for (int k = 0; k < 25; k++) {
            char user[8];
            snprintf(user, sizeof user, "u%llu", (unsigned long long) tug_rand_below(&rand, 10));
            uint32_t row =
                tug_shares_exact(s, names[tug_rand_below(&rand, n_accounts)], user, UINT32_MAX);
            if (tug_rand_below(&rand, 3)) /* coarse, so that there are ties */
                tug_shares_add(s, row, 100. * (double) tug_rand_below(&rand, 4), 0);
        }
        const struct tug_policy_share *f = tug_shares_figures(s, H, &n);
        check_against_definition(f, n, seed);
        check_invariant(f, n);
        fell();
    }
}
END_TEST

START_TEST(usage_stays_with_its_account_and_user_when_the_tree_is_changed)
{
    tree(nlp_and_vision, 4);
    uint32_t ann = tug_shares_exact(s, "nlp", "ann", 1);
    tug_shares_start(s, ann, LOAD(8), 0);
    tug_shares_stop(s, ann, LOAD(8), 0, H);
    tug_shares_add(s, tug_shares_exact(s, "vision", "cat", 3), 77, H);
    double used = see("ann", NULL)->usage_gpu_s;
    ck_assert_double_eq_tol(used, 8 * 1000 / log(2) / 2, 1e-6);
    const struct tug_core_account flat[] = {{.name = "nlp", .weight = 2}, {.name = "new"}};
    tug_shares_configure(s, flat, 2, H, H);
    ck_assert_double_eq_tol(see("ann", "nlp")->usage_gpu_s, used, 1e-6);
    ck_assert_double_eq_tol(see("nlp", NULL)->usage_gpu_s, used, 1e-6);
    ck_assert_double_eq(see("vision", NULL)->share, 0); /* gone, but it did use */
    ck_assert_double_eq(see("cat", NULL)->factor, 0.5);
    ck_assert_double_eq_tol(see("vision", NULL)->usage_gpu_s, 77, 1e-6);
    tug_shares_configure(s, nlp_and_vision, 4, H, H);
    ck_assert_double_eq_tol(see("lab", NULL)->usage_gpu_s, used + 77, 1e-6);
    fell();
}
END_TEST

START_TEST(accounts_that_cannot_be_are_refused_with_what_contradicts_what)
{
    const struct tug_core_account loop[] = {{.name = "a", .parent = "b"},
                                            {.name = "b", .parent = "a"}};
    unit_fails(tug_shares_check(loop, 2, &err), -EINVAL, err,
               "account 'a' is below itself, by way of 'b'");
    const struct tug_core_account orphan[] = {{.name = "a", .parent = "c"}};
    unit_fails(tug_shares_check(orphan, 1, &err), -EINVAL, err, "its parent 'c' is not an account");
    const struct tug_core_account twice[] = {{.name = "a"}, {.name = "a"}};
    unit_fails(tug_shares_check(twice, 2, &err), -EINVAL, err, "'a' is configured twice");
    const struct tug_core_account heavy[] = {{.name = "a", .users = "ann,bob=0"}};
    unit_fails(tug_shares_check(heavy, 1, &err), -EINVAL, err, "'bob=0' is not a user");
}
END_TEST

START_TEST(a_user_charges_the_first_account_that_lists_it_unless_another_is_named)
{
    const char *out = NULL;
    tree(nlp_and_vision, 4);
    ck_assert_int_eq(tug_shares_admit(s, "", "dan", &out, &err), 0);
    ck_assert_str_eq(out, "vision");
    ck_assert_int_eq(tug_shares_admit(s, "", "eve", &out, &err), 0);
    ck_assert_str_eq(out, "rest");
    ck_assert_int_eq(tug_shares_admit(s, "nlp", "bob", &out, &err), 0);
    ck_assert_str_eq(out, "nlp");
    unit_fails(tug_shares_admit(s, "nlpp", "bob", &out, &err), -ENOENT, err, "did you mean 'nlp'?");
    unit_fails(
        tug_shares_admit(s, "nlp", "cat", &out, &err), -EPERM, err,
        "user 'cat' is not in account 'nlp' and may charge 'vision', 'rest'; the admin decides");
    unit_fails(tug_shares_admit(s, "lab", "cat", &out, &err), -EPERM, err,
               "account 'lab' is divided into others; charge one of them: 'vision'");
    fell();
    tree(&nlp_and_vision[1], 1);
    ck_assert_int_eq(tug_shares_admit(s, "", "eve", &out, &err), 0);
    fell();
    const struct tug_core_account closed[] = {{.name = "x", .users = "ann"}};
    tree(closed, 1);
    unit_fails(tug_shares_admit(s, "", "eve", &out, &err), -EPERM, err,
               "user 'eve' is in no account");
    fell();
    tree(NULL, 0);
    ck_assert_int_eq(tug_shares_admit(s, "whatever", "eve", &out, &err), 0);
    ck_assert_str_eq(out, "whatever");
    fell();
}
END_TEST

/* ---- in the core */

static struct world w;

static const struct tug_policy_share *row(const char *name)
{
    size_t n;
    const struct tug_policy_share *f = tug_core_share_tree(w.c, w.now, &n);
    for (size_t i = 0; i < n; i++)
        if (!strcmp(f[i].name, name))
            return &f[i];
    return NULL;
}

START_TEST(a_gang_is_charged_for_its_GPUs_while_it_holds_them_and_a_CPU_job_a_tenth_per_CPU)
{
    w_init(&w, 2, 8);
    w_up_all(&w);
    struct tug_job_req cpu = w_req(1, 0);
    cpu.cpus_per_node = 4;
    cpu.user = "bob";
    w_submit(&w, 1, w_req(2, 4));
    w_submit(&w, 2, cpu);
    ck_assert_double_eq(row("ann")->usage_gpu_s, 0);
    w_pass(&w);
    w.now += 100000;
    ck_assert_double_eq_tol(row("ann")->usage_gpu_s, 800, 0.1);
    ck_assert_double_eq_tol(row("bob")->usage_gpu_s, 40, 0.01);
    ck_assert_uint_eq(row("ann")->gpus_used, 8);
    ck_assert_uint_eq(row("bob")->cpus_used, 4);
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = 1}), 0);
    w.now += 100000;
    w_gone(&w, 1, 1, 0, 0);
    w_gone(&w, 1, 1, 0, 1);
    w.now += 100000;
    w_tick(&w, w.now);
    ck_assert_double_eq_tol(row("ann")->usage_gpu_s, 1600, 0.5); /* also while it was being ended */
    ck_assert_uint_eq(row("ann")->gpus_used, 0);
    ck_assert_double_eq_tol(row("bob")->usage_gpu_s, 120, 0.1);
    w_clear(&w);
}
END_TEST

START_TEST(a_part_of_a_GPU_is_charged_as_that_part)
{
    w_init(&w, 1, 1);
    w_up_all(&w);
    struct tug_job_req r = w_req(1, 1);
    r.gpu_milli = 300;
    w_submit(&w, 1, r);
    r.user = "bob";
    r.gpu_milli = 700;
    w_submit(&w, 2, r);
    w_pass(&w);
    w.now += 100000;
    ck_assert_double_eq_tol(row("ann")->usage_gpu_s, 30, 0.01);
    ck_assert_double_eq_tol(row("bob")->usage_gpu_s, 70, 0.01);
    w_clear(&w);
}
END_TEST

START_TEST(whole_nodes_are_charged_with_all_their_GPUs)
{
    w_init(&w, 1, 8);
    w_up_all(&w);
    struct tug_job_req r = w_req(1, 1);
    r.exclusive = 1;
    w_submit(&w, 1, r);
    w_pass(&w);
    ck_assert_uint_eq(row("ann")->gpus_used, 8);
    w_clear(&w);
}
END_TEST

START_TEST(the_end_of_a_run_says_that_the_usage_is_to_be_written_and_how_much_it_is)
{
    struct tug_action a;
    struct tug_core_usage u;
    int seen = 0;
    w_init(&w, 1, 8);
    w_up_all(&w);
    struct tug_job_req r = w_req(1, 8);
    r.account = "nlp";
    w_submit(&w, 1, r);
    w_run(&w, 1);
    w.now += 10000;
    const struct tug_exit ok = {0};
    const struct tug_event ev = {
        .type = TUG_EV_STEP_DONE, .job = 1, .attempt = 1, .exits = &ok, .n_exits = 1};
    ck_assert_int_eq(tug_core_apply(w.c, w.now, &ev, &w.err), 0);
    while (tug_core_next_action(w.c, &a))
        if (a.type == TUG_ACT_USAGE_CHANGED) {
            tug_core_usage(w.c, a.share, &u);
            seen++;
        }
    ck_assert_int_eq(seen, 1);
    ck_assert_str_eq(u.account, "nlp");
    ck_assert_str_eq(u.user, "ann");
    ck_assert_uint_eq(u.uid, 1000);
    ck_assert_int_eq(u.at_ms, w.now);
    ck_assert_double_eq_tol(u.gpu_s, 80, 0.01);
    /* and a core that is told so knows it, with what runs still added */
    double before = row("nlp")->usage_gpu_s;
    struct tug_core *old = w.c;
    w.c = tug_core_new(&w.conf, &w.err);
    tug_core_restore_usage(w.c, u.account, u.user, u.uid, u.gpu_s, u.at_ms);
    tug_core_restored(w.c, w.now);
    w_check(&w);
    ck_assert_double_eq_tol(row("nlp")->usage_gpu_s, before, 1e-9);
    tug_core_free(old);
    w_clear(&w);
}
END_TEST

START_TEST(a_new_half_life_counts_what_runs_from_its_start_and_keeps_what_ended)
{
    w_init(&w, 1, 8);
    w_up_all(&w);
    tug_core_restore_usage(w.c, "", "ann", 1000, 500, w.now);
    w_submit(&w, 1, w_req(1, 8));
    w_pass(&w);
    w.now += 10000;
    w.conf.usage_half_life_ms = 10000;
    ck_assert_int_eq(tug_core_configure(w.c, w.now, &w.conf, &w.err), 0);
    w_check(&w);
    ck_assert_double_eq_tol(row("ann")->usage_gpu_s, 500 + 8 * 10 / log(2) / 2, 0.1);
    w.now += 10000;
    ck_assert_double_eq_tol(row("ann")->usage_gpu_s, 250 + 8 * 10 / log(2) * 0.75, 0.1);
    w_clear(&w);
}
END_TEST

START_TEST(a_job_that_names_no_account_gets_its_user_s_own_when_it_is_admitted)
{
    w_init(&w, 1, 8);
    w.conf.accounts = nlp_and_vision;
    w.conf.n_accounts = 4;
    w_open(&w);
    w_up_all(&w);
    struct tug_core_ask ask = {.gpus = 1};
    struct tug_job_req r = {.user = "bob"};
    ck_assert_msg(tug_core_admit(w.c, &ask, &r, &w.err) == 0, "%s", w.err.msg);
    ck_assert_str_eq(r.account, "nlp");
    r = (struct tug_job_req){.user = "bob", .account = "vision"};
    unit_fails(tug_core_admit(w.c, &ask, &r, &w.err), -EPERM, w.err,
               "user 'bob' is not in account 'vision'");
    w_clear(&w);
}
END_TEST

static struct {
    size_t n_shares, n_queues;
    double factor, used;
    char user[16], queue[16];
} seen;

static int look(void *self, const struct tug_policy_view *v, const struct tug_policy_host *host,
                struct tug_policy_pass *p)
{
    const struct tug_policy_job *j = TUG_POLICY_WAITING(v, 0);
    (void) self;
    (void) host;
    (void) p;
    seen.n_shares = v->n_shares;
    seen.n_queues = v->n_queues;
    snprintf(seen.queue, sizeof seen.queue, "%s", TUG_POLICY_QUEUE(v, j->queue_row)->name);
    if (j->share_row >= v->n_shares)
        return 0;
    snprintf(seen.user, sizeof seen.user, "%s", TUG_POLICY_SHARE(v, j->share_row)->name);
    seen.factor = TUG_POLICY_SHARE(v, j->share_row)->factor;
    seen.used = TUG_POLICY_SHARE(v, 0)->usage_gpu_s;
    return 0;
}

START_TEST(a_policy_that_says_so_sees_the_rows_of_its_jobs_and_their_figures_as_of_the_pass)
{
    struct tug_policy_ops ops = {.size = sizeof ops,
                                 .abi = TUG_POLICY_ABI,
                                 .name = "look",
                                 .pass = look,
                                 .needs = TUG_POLICY_NEEDS_SHARES};
    w_init(&w, 1, 8);
    w_up_all(&w);
    struct tug_job_req r = w_req(1, 8);
    r.user = "bob";
    w_submit(&w, 1, w_req(1, 8));
    w_pass(&w);
    r.queue = "low";
    w_submit(&w, 2, r);
    w.now += 10000;
    w_pass_with(&w, &ops, NULL);
    ck_assert_uint_eq(seen.n_shares, 3); /* the root, ann and bob */
    ck_assert_str_eq(seen.user, "bob");
    ck_assert_str_eq(seen.queue, "low");
    ck_assert_double_eq(seen.factor, 1);
    ck_assert_double_eq_tol(seen.used, 80, 0.01);
    ops.needs = 0; /* for who does not, nothing is worked out */
    struct tug_policy_ops blind = ops;
    w_pass_with(&w, &blind, NULL);
    ck_assert_uint_eq(seen.n_shares, 0);
    ck_assert_uint_eq(seen.n_queues, 4);
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/share",
          a_share_is_a_weight_among_siblings_and_usage_the_part_of_what_the_parent_used,
          who_is_in_the_account_that_used_less_of_its_share_goes_before_all_of_the_other,
          accounts_that_tie_are_ranked_as_one_and_users_that_tie_share_a_rank,
          random_trees_are_ranked_by_the_definition_of_fair_tree,
          usage_stays_with_its_account_and_user_when_the_tree_is_changed,
          accounts_that_cannot_be_are_refused_with_what_contradicts_what,
          a_user_charges_the_first_account_that_lists_it_unless_another_is_named,
          a_gang_is_charged_for_its_GPUs_while_it_holds_them_and_a_CPU_job_a_tenth_per_CPU,
          a_part_of_a_GPU_is_charged_as_that_part,
          whole_nodes_are_charged_with_all_their_GPUs,
          the_end_of_a_run_says_that_the_usage_is_to_be_written_and_how_much_it_is,
          a_new_half_life_counts_what_runs_from_its_start_and_keeps_what_ended,
          a_job_that_names_no_account_gets_its_user_s_own_when_it_is_admitted,
          a_policy_that_says_so_sees_the_rows_of_its_jobs_and_their_figures_as_of_the_pass)
