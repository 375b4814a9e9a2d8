/* share.c - accounts and users as a tree: who may use how much, and who has
 *
 * Always: a row's sums are those of the runs that were started and not stopped below it, and of
 * what was settled there; the figures are worked out from the sums when somebody asks, never by
 * events. Layer: core.
 */
#include "core/state.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define ROOT   0
#define NO_ROW UINT32_MAX
#define KEPT_GPU_S                                                                                 \
    1e-3 /* an account that has gone is kept while this much of its usage is left                  \
          */

struct key {
    const char *name; /* interned */
    uint32_t parent;  /* of users; NO_ROW: an account, of which there is one of each name */
    uint32_t is_user;
};

struct row {
    struct key key;
    uint32_t at; /* its number */
    UT_hash_handle hh;
    uint32_t parent, first_child, next_sibling;
    uint32_t uid;
    uint8_t is_listed; /* user: in the account's list */
    uint8_t has_list, has_accounts;
    double weight; /* 0: no longer configured */
    struct tug_usage used;
    uint32_t gpus, cpus;
    uint64_t micro; /* of GPUs, in slices */
    uint64_t mem_bytes;
};

struct rank {
    float level;
    uint32_t row;
};

struct tug_shares {
    struct tug_interns *texts;
    struct tug_vec(struct row *) rows;
    struct row *by_name;
    struct tug_usage_clock clock;
    int is_configured;
    uint32_t n_users;
    struct tug_vec(struct tug_policy_share) figures;
    int64_t figures_ms;
    int is_stale;
    struct tug_vec(struct rank) ranks; /* scratch */
};

/* ---- rows */

static struct row *find(const struct tug_shares *s, const char *name, uint32_t parent, int is_user)
{
    struct key key;
    struct row *r;
    memset(&key, 0, sizeof key);
    key.name = tug_intern(s->texts, name);
    key.parent = parent;
    key.is_user = (uint32_t) is_user;
    HASH_FIND(hh, s->by_name, &key, sizeof key, r);
    tug_intern_drop(s->texts, key.name);
    return r;
}

static struct row *find_account(const struct tug_shares *s, const char *name)
{
    return find(s, name, NO_ROW, 0);
}

static struct row *add(struct tug_shares *s, const char *name, uint32_t parent, int is_user,
                       double weight)
{
    struct row *r = tug_new(struct row);
    r->key.name = tug_intern(s->texts, name);
    r->key.parent = is_user ? parent : NO_ROW;
    r->key.is_user = (uint32_t) is_user;
    r->at = (uint32_t) s->rows.len;
    r->parent = parent;
    r->first_child = r->next_sibling = NO_ROW;
    r->uid = UINT32_MAX;
    r->weight = weight;
    tug_vec_push(&s->rows, r);
    HASH_ADD(hh, s->by_name, key, sizeof r->key, r);
    if (parent != NO_ROW) {
        struct row *p = s->rows.at[parent];
        r->next_sibling = p->first_child;
        p->first_child = r->at;
        p->has_accounts |= !is_user;
    }
    s->n_users += (uint32_t) is_user;
    s->is_stale = 1;
    return r;
}

static void drop_rows(struct tug_shares *s)
{
    HASH_CLEAR(hh, s->by_name);
    for (size_t i = 0; i < s->rows.len; i++) {
        tug_intern_drop(s->texts, s->rows.at[i]->key.name);
        free(s->rows.at[i]);
    }
    s->rows.len = 0;
    s->n_users = 0;
}

struct tug_shares *tug_shares_new(struct tug_interns *texts)
{
    struct tug_shares *s = tug_new(struct tug_shares);
    s->texts = texts;
    tug_shares_configure(s, NULL, 0, 0, 0);
    return s;
}

void tug_shares_free(struct tug_shares *s)
{
    if (!s)
        return;
    drop_rows(s);
    tug_vec_clear(&s->rows);
    tug_vec_clear(&s->figures);
    tug_vec_clear(&s->ranks);
    free(s);
}

/* ---- accounts as configured */

/* One entry of a list of users: "ann" or "ann=2". */
static int read_user(const char *at, size_t len, char *name, size_t size_bytes, double *weight)
{
    const char *is = memchr(at, '=', len);
    size_t n = is ? (size_t) (is - at) : len;
    char number[32], *end;
    *weight = 1;
    if (n == 0 || n >= size_bytes)
        return -EINVAL;
    memcpy(name, at, n);
    name[n] = '\0';
    if (!is)
        return 0;
    size_t rest = len - n - 1;
    if (rest == 0 || rest >= sizeof number)
        return -EINVAL;
    memcpy(number, is + 1, rest);
    number[rest] = '\0';
    *weight = strtod(number, &end);
    return *end == '\0' && *weight > 0 && *weight <= 1e9 ? 0 : -EINVAL;
}

static int check_users(const struct tug_core_account *a, struct tug_err *err)
{
    const char *rest = a->users, *at;
    size_t len;
    char name[256];
    double weight;
    while (rest && *a->users && tug_str_split(&rest, ',', &at, &len))
        if (read_user(at, len, name, sizeof name, &weight))
            return tug_fail(err, -EINVAL,
                            "account '%s': '%.*s' is not a user; write NAME or NAME=WEIGHT with a "
                            "weight over 0",
                            a->name, (int) len, at);
    return 0;
}

static size_t index_of(const struct tug_core_account *accounts, size_t n, const char *name)
{
    size_t i = 0;
    while (i < n && strcmp(accounts[i].name, name) != 0)
        i++;
    return i;
}

static int check_parent(const struct tug_core_account *accounts, size_t n, size_t i,
                        struct tug_err *err)
{
    size_t at = i;
    for (size_t steps = 0; accounts[at].parent && *accounts[at].parent; steps++) {
        size_t up = index_of(accounts, n, accounts[at].parent);
        if (up == n)
            return tug_fail(err, -EINVAL, "account '%s': its parent '%s' is not an account",
                            accounts[at].name, accounts[at].parent);
        if (up == i || steps > n)
            return tug_fail(err, -EINVAL, "account '%s' is below itself, by way of '%s'",
                            accounts[i].name, accounts[at].name);
        at = up;
    }
    return 0;
}

int tug_shares_check(const struct tug_core_account *accounts, size_t n, struct tug_err *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct tug_core_account *a = &accounts[i];
        if (!a->name || !*a->name)
            return tug_fail(err, -EINVAL, "account %zu has no name", i + 1);
        if (index_of(accounts, i, a->name) < i)
            return tug_fail(err, -EINVAL, "account '%s' is configured twice", a->name);
        if (!(a->weight >= 0 && a->weight <= 1e9))
            return tug_fail(err, -EINVAL, "account '%s': its weight is not from 0 to 1e9", a->name);
        int rc = check_users(a, err);
        if (!rc)
            rc = check_parent(accounts, n, i, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* Parents first, wherever they stand in the list. */
static struct row *take_account(struct tug_shares *s, const struct tug_core_account *accounts,
                                size_t n, size_t i)
{
    const struct tug_core_account *a = &accounts[i];
    struct row *r = find_account(s, a->name);
    if (r)
        return r;
    uint32_t parent = ROOT;
    if (a->parent && *a->parent)
        parent = take_account(s, accounts, n, index_of(accounts, n, a->parent))->at;
    r = add(s, a->name, parent, 0, a->weight > 0 ? a->weight : 1);
    const char *rest = a->users, *at;
    size_t len;
    char name[256];
    double weight;
    while (rest && *a->users && tug_str_split(&rest, ',', &at, &len)) {
        if (read_user(at, len, name, sizeof name, &weight))
            continue;
        struct row *u = find(s, name, r->at, 1);
        if (!u)
            u = add(s, name, r->at, 1, weight);
        u->weight = weight;
        u->is_listed = 1;
        r->has_list = 1;
    }
    return r;
}

struct kept {
    const char *account, *user; /* interned */
    uint32_t uid;
    double gpu_s;
};

void tug_shares_configure(struct tug_shares *s, const struct tug_core_account *accounts, size_t n,
                          int64_t half_life_ms, int64_t now_ms)
{
    struct tug_vec(struct kept) kept = {0};
    for (size_t i = 0; i < s->rows.len; i++) {
        const struct row *r = s->rows.at[i];
        if (!r->key.is_user)
            continue;
        struct kept k = {
            tug_intern(s->texts, r->parent == ROOT ? "" : s->rows.at[r->parent]->key.name),
            tug_intern(s->texts, r->key.name), r->uid, tug_shares_settled(s, r->at, now_ms)};
        tug_vec_push(&kept, k);
    }
    drop_rows(s);
    s->clock = (struct tug_usage_clock){now_ms, half_life_ms > 0 ? half_life_ms
                                                                 : (int64_t) 7 * 24 * 3600 * 1000};
    s->is_configured = n > 0;
    add(s, "", NO_ROW, 0, 1);
    for (size_t i = 0; i < n; i++)
        take_account(s, accounts, n, i);
    for (size_t i = 0; i < kept.len; i++) {
        const struct kept *k = &kept.at[i];
        if (k->gpu_s > KEPT_GPU_S)
            tug_shares_add(s, tug_shares_exact(s, k->account, k->user, k->uid), k->gpu_s, now_ms);
        tug_intern_drop(s->texts, k->account);
        tug_intern_drop(s->texts, k->user);
    }
    tug_vec_clear(&kept);
}

/* ---- whose jobs are charged where */

static struct row *user_below(struct tug_shares *s, struct row *account, const char *user,
                              uint32_t uid)
{
    struct row *r = find(s, user, account->at, 1);
    int is_stranger = s->is_configured && (account->at == ROOT || account->has_list);
    if (!r)
        r = add(s, user, account->at, 1, is_stranger ? 0 : 1);
    if (uid != UINT32_MAX)
        r->uid = uid;
    return r;
}

uint32_t tug_shares_exact(struct tug_shares *s, const char *account, const char *user, uint32_t uid)
{
    struct row *a = *account ? find_account(s, account) : s->rows.at[ROOT];
    if (!a)
        a = add(s, account, ROOT, 0, s->is_configured ? 0 : 1);
    return user_below(s, a, user, uid)->at;
}

static int takes(const struct tug_shares *s, const struct row *account, const char *user)
{
    if (account->has_list) {
        const struct row *u = find(s, user, account->at, 1);
        return u && u->is_listed;
    }
    return !account->has_accounts && account->weight > 0;
}

/* The user's own account: the first that lists it, else the first that takes everyone. */
static const struct row *own_account(const struct tug_shares *s, const char *user)
{
    const struct row *open = NULL;
    for (size_t i = 1; i < s->rows.len; i++) {
        const struct row *a = s->rows.at[i];
        if (a->key.is_user || !takes(s, a, user))
            continue;
        if (a->has_list)
            return a;
        if (!open)
            open = a;
    }
    return open;
}

uint32_t tug_shares_user(struct tug_shares *s, const char *account, const char *user, uint32_t uid)
{
    if (!*account && s->is_configured) {
        const struct row *own = own_account(s, user);
        if (own)
            account = own->key.name;
    }
    return tug_shares_exact(s, account, user, uid);
}

/* "'nlp', 'vision'": the accounts that take the user, below that one (NULL = all). */
static size_t list_taking(const struct tug_shares *s, const char *user, const struct row *below,
                          struct tug_buf *out)
{
    size_t n = 0;
    for (size_t i = 1; i < s->rows.len; i++) {
        const struct row *a = s->rows.at[i];
        if (a->key.is_user || !takes(s, a, user) || (below && a->parent != below->at))
            continue;
        tug_buf_addf(out, "%s'%s'", n++ ? ", " : "", a->key.name);
    }
    return n;
}

static int unknown_account(const struct tug_shares *s, const char *account, const char *user,
                           struct tug_err *err)
{
    const char **names = tug_xcalloc(s->rows.len, sizeof *names);
    struct tug_buf all = {0};
    size_t n = 0;
    for (size_t i = 1; i < s->rows.len; i++)
        if (!s->rows.at[i]->key.is_user && s->rows.at[i]->weight > 0)
            names[n++] = s->rows.at[i]->key.name;
    const char *near = tug_str_nearest(account, names, n);
    int rc;
    if (near)
        rc = tug_fail(err, -ENOENT, "there is no account '%s'; did you mean '%s'?", account, near);
    else if (list_taking(s, user, NULL, &all))
        rc = tug_fail(err, -ENOENT, "there is no account '%s'; user '%s' may charge %s", account,
                      user, tug_buf_str(&all));
    else
        rc = tug_fail(err, -ENOENT, "there is no account '%s'", account);
    tug_buf_clear(&all);
    free(names);
    return rc;
}

static int may_not_charge(const struct tug_shares *s, const struct row *a, const char *user,
                          struct tug_err *err)
{
    struct tug_buf all = {0};
    int rc, is_divided = !a->has_list && a->has_accounts;
    if (is_divided && list_taking(s, user, a, &all))
        rc = tug_fail(err, -EPERM, "account '%s' is divided into others; charge one of them: %s",
                      a->key.name, tug_buf_str(&all));
    else if (list_taking(s, user, NULL, &all))
        rc = tug_fail(err, -EPERM,
                      "user '%s' is not in account '%s' and may charge %s; the admin decides that, "
                      "with 'accounts' in the configuration",
                      user, a->key.name, tug_buf_str(&all));
    else
        rc = tug_fail(err, -EPERM,
                      "user '%s' is not in account '%s', nor in any other; the admin decides that, "
                      "with 'accounts' in the configuration",
                      user, a->key.name);
    tug_buf_clear(&all);
    return rc;
}

int tug_shares_admit(const struct tug_shares *s, const char *account, const char *user,
                     const char **out, struct tug_err *err)
{
    if (!s->is_configured) {
        *out = account;
        return 0;
    }
    const struct row *a = *account ? find_account(s, account) : own_account(s, user);
    if (!a && !*account)
        return tug_fail(err, -EPERM,
                        "user '%s' is in no account, and none takes everyone; the admin decides "
                        "that, with 'accounts' in the configuration",
                        user);
    if (!a || a->weight <= 0)
        return unknown_account(s, account, user, err);
    if (!takes(s, a, user))
        return may_not_charge(s, a, user, err);
    *out = a->key.name;
    return 0;
}

/* ---- what is used */

/* Every row's sums are in units of t0, which must not be too long ago. */
static void keep_near(struct tug_shares *s, int64_t at_ms)
{
    int64_t n = tug_usage_far(&s->clock, at_ms);
    if (!n)
        return;
    for (size_t i = 0; i < s->rows.len; i++)
        tug_usage_shift(&s->rows.at[i]->used, n);
    s->clock.t0_ms += n * s->clock.half_life_ms;
}

void tug_shares_start(struct tug_shares *s, uint32_t row, const struct tug_share_load *load,
                      int64_t at_ms)
{
    keep_near(s, at_ms);
    for (uint32_t i = row; i != NO_ROW; i = s->rows.at[i]->parent) {
        struct row *r = s->rows.at[i];
        tug_usage_start(&r->used, &s->clock, load->rate, at_ms);
        r->gpus += load->gpus;
        r->micro += load->micro;
        r->cpus += load->cpus;
        r->mem_bytes += load->mem_bytes;
    }
    s->is_stale = 1;
}

void tug_shares_stop(struct tug_shares *s, uint32_t row, const struct tug_share_load *load,
                     int64_t at_ms, int64_t end_ms)
{
    keep_near(s, end_ms);
    for (uint32_t i = row; i != NO_ROW; i = s->rows.at[i]->parent) {
        struct row *r = s->rows.at[i];
        tug_assert(r->used.rate >= load->rate && r->gpus >= load->gpus && r->cpus >= load->cpus &&
                   r->mem_bytes >= load->mem_bytes);
        tug_usage_stop(&r->used, &s->clock, load->rate, at_ms, end_ms);
        r->gpus -= load->gpus;
        r->micro -= load->micro;
        r->cpus -= load->cpus;
        r->mem_bytes -= load->mem_bytes;
    }
    s->is_stale = 1;
}

void tug_shares_add(struct tug_shares *s, uint32_t row, double gpu_s, int64_t at_ms)
{
    keep_near(s, at_ms);
    for (uint32_t i = row; i != NO_ROW; i = s->rows.at[i]->parent)
        tug_usage_add(&s->rows.at[i]->used, &s->clock, gpu_s, at_ms);
    s->is_stale = 1;
}

double tug_shares_settled(const struct tug_shares *s, uint32_t row, int64_t now_ms)
{
    return tug_usage_settled(&s->rows.at[row]->used, &s->clock, now_ms);
}

size_t tug_shares_count(const struct tug_shares *s)
{
    return s->rows.len;
}

void tug_shares_row(const struct tug_shares *s, uint32_t row, struct tug_policy_share *out)
{
    tug_assert(row < s->rows.len);
    const struct row *r = s->rows.at[row];
    *out = (struct tug_policy_share){.name = r->key.name,
                                     .parent = r->parent,
                                     .is_user = r->key.is_user,
                                     .uid = r->uid,
                                     .weight = r->weight,
                                     .gpus_used = r->gpus + tug_cut_round(r->micro),
                                     .cpus_used = r->cpus,
                                     .mem_used_bytes = r->mem_bytes};
}

/* ---- figures */

static double level_of(double share, double usage)
{
    if (share <= 0)
        return 0;
    return usage > 0 ? (double) (float) (share / usage) : INFINITY;
}

static void work_out(struct tug_shares *s, int64_t now_ms)
{
    s->figures.len = 0;
    tug_vec_reserve(&s->figures, s->rows.len);
    s->figures.len = s->rows.len;
    struct tug_policy_share *f = s->figures.at;
    for (uint32_t i = 0; i < s->rows.len; i++) {
        tug_shares_row(s, i, &f[i]);
        f[i].usage_gpu_s = tug_usage_now(&s->rows.at[i]->used, &s->clock, now_ms);
    }
    for (uint32_t i = 0; i < s->rows.len; i++) {
        double weights = 0, all = f[i].usage_gpu_s;
        for (uint32_t k = s->rows.at[i]->first_child; k != NO_ROW; k = s->rows.at[k]->next_sibling)
            weights += f[k].weight;
        for (uint32_t k = s->rows.at[i]->first_child; k != NO_ROW;
             k = s->rows.at[k]->next_sibling) {
            f[k].share = weights > 0 ? f[k].weight / weights : 0;
            f[k].usage = all > 0 ? f[k].usage_gpu_s / all : 0;
            f[k].level_fs = level_of(f[k].share, f[k].usage);
        }
    }
    f[ROOT].share = 1;
    f[ROOT].usage = f[ROOT].usage_gpu_s > 0;
    f[ROOT].level_fs = level_of(1, f[ROOT].usage);
}

/* By level, larger first; users before accounts of the same; then by row. */
#define IS_ACCOUNT 0x80000000u

static int by_level(const void *a, const void *b)
{
    const struct rank *x = a, *y = b;
    if (x->level != y->level)
        return x->level > y->level ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static void push_children(struct tug_shares *s, uint32_t row)
{
    for (uint32_t k = s->rows.at[row]->first_child; k != NO_ROW; k = s->rows.at[k]->next_sibling) {
        struct rank r = {(float) s->figures.at[k].level_fs,
                         k | (s->rows.at[k]->key.is_user ? 0 : IS_ACCOUNT)};
        tug_vec_push(&s->ranks, r);
    }
}

/* Ranks the users below ranks[from..] and takes these away. Accounts that tie are walked as if they
 * were one. */
static void rank_from(struct tug_shares *s, size_t from, uint32_t *placed)
{
    size_t to = s->ranks.len;
    if (to > from)
        qsort(&s->ranks.at[from], to - from, sizeof *s->ranks.at, by_level);
    for (size_t i = from; i < to;) {
        float level = s->ranks.at[i].level;
        uint32_t users = 0;
        for (; i < to && s->ranks.at[i].level == level && !(s->ranks.at[i].row & IS_ACCOUNT); i++) {
            s->figures.at[s->ranks.at[i].row].factor = (double) (s->n_users - *placed) / s->n_users;
            users++;
        }
        *placed += users;
        for (; i < to && s->ranks.at[i].level == level; i++)
            push_children(s, s->ranks.at[i].row & ~IS_ACCOUNT);
        rank_from(s, to, placed);
    }
    s->ranks.len = from;
}

const struct tug_policy_share *tug_shares_figures(struct tug_shares *s, int64_t now_ms, size_t *n)
{
    *n = s->rows.len;
    if (!s->is_stale && s->figures_ms == now_ms)
        return s->figures.at;
    keep_near(s, now_ms);
    work_out(s, now_ms);
    uint32_t placed = 0;
    s->ranks.len = 0;
    push_children(s, ROOT);
    rank_from(s, 0, &placed);
    for (size_t i = s->rows.len; i > 1; i--) { /* children stand behind their parents */
        const struct tug_policy_share *f = &s->figures.at[i - 1];
        if (f->factor > s->figures.at[f->parent].factor)
            s->figures.at[f->parent].factor = f->factor;
    }
    s->is_stale = 0;
    s->figures_ms = now_ms;
    return s->figures.at;
}

size_t tug_shares_bytes(const struct tug_shares *s)
{
    return sizeof *s + s->rows.len * sizeof **s->rows.at + s->rows.cap * sizeof *s->rows.at +
           s->figures.cap * sizeof *s->figures.at + s->ranks.cap * sizeof *s->ranks.at;
}

/* ---- of the core's jobs */

void tug_share_hold(struct tug_core *c, struct tug_entry *e)
{
    const struct tug_queue *q = tug_queue_find(c, e->j.req.queue);
    tug_assert(q);
    e->queue_row = (uint32_t) (q - c->queues.at);
    e->share_row = tug_shares_user(c->shares, e->j.req.account, e->j.req.user, e->j.req.uid);
}

void tug_share_run(struct tug_core *c, struct tug_entry *e, int64_t since_ms)
{
    struct tug_share_load load = {0};
    tug_assert(e->charged_ms < 0);
    for (size_t i = 0; i < e->j.n_slices; i++) {
        uint32_t devices = tug_gpuset_count(e->j.slices[i].gpus);
        load.gpus += e->shape->micro ? 0 : devices;
        load.micro += (uint64_t) devices * e->shape->micro;
        load.cpus += e->j.slices[i].cpus;
        load.mem_bytes += e->j.slices[i].mem_bytes;
    }
    load.rate = e->j.req.gpu_milli
                    ? (int64_t) e->j.req.gpu_milli * (TUG_USAGE_GPU / TUG_GPU_MILLI)
                : load.micro ? (int64_t) (load.micro * (TUG_USAGE_GPU / TUG_MIG_MICRO))
                : load.gpus ? (int64_t) load.gpus * TUG_USAGE_GPU
                            : load.cpus * c->usage_cpu_rate;
    e->load = load;
    e->charged_ms = since_ms > 0 ? since_ms : 0;
    tug_shares_start(c->shares, e->share_row, &load, e->charged_ms);
    tug_queue_runs(c, e, 1);
}

void tug_share_halt(struct tug_core *c, struct tug_entry *e)
{
    tug_assert(e->charged_ms >= 0);
    tug_shares_stop(c->shares, e->share_row, &e->load, e->charged_ms, c->now_ms);
    tug_queue_runs(c, e, -1);
    e->charged_ms = -1;
    tug_act_usage_changed(c, e->share_row);
}

void tug_share_write_all(struct tug_core *c)
{
    for (uint32_t i = 0; i < c->shares->rows.len; i++)
        if (c->shares->rows.at[i]->key.is_user && c->shares->rows.at[i]->used.settled > 0)
            tug_act_usage_changed(c, i);
}

const struct tug_policy_share *tug_share_rows(struct tug_core *c, int64_t now_ms, size_t *n)
{
    return tug_shares_figures(c->shares, now_ms, n);
}

const struct tug_policy_share *tug_core_share_tree(struct tug_core *c, int64_t now_ms, size_t *n)
{
    return tug_shares_figures(c->shares, now_ms > c->now_ms ? now_ms : c->now_ms, n);
}

void tug_core_usage(const struct tug_core *c, uint32_t share, struct tug_core_usage *out)
{
    const struct row *r = c->shares->rows.at[share];
    tug_assert(r->key.is_user);
    *out = (struct tug_core_usage){.account = c->shares->rows.at[r->parent]->key.name,
                                   .user = r->key.name,
                                   .uid = r->uid,
                                   .gpu_s = tug_shares_settled(c->shares, share, c->now_ms),
                                   .at_ms = c->now_ms};
}

void tug_core_restore_usage(struct tug_core *c, const char *account, const char *user, uint32_t uid,
                            double gpu_s, int64_t at_ms)
{
    if (gpu_s > 0)
        tug_shares_add(c->shares, tug_shares_exact(c->shares, account, user, uid), gpu_s, at_ms);
}

int64_t tug_core_usage_half_life_ms(const struct tug_core *c)
{
    return c->shares->clock.half_life_ms;
}

/* ---- invariants */

/* Rounding leaves a part of the largest that ever was in it, which is of what runs now. */
static int nearly(const struct tug_core *c, double a, double b)
{
    const struct tug_shares *s = c->shares;
    double now = (double) (c->now_ms - s->clock.t0_ms) / (double) s->clock.half_life_ms;
    double largest = exp2(fmin(fmax(now, 0), 900)) * 1e4 + fabs(b);
    return fabs(a - b) <= 1e-9 * largest;
}

static void sum_up(const struct tug_core *c, struct row *sums)
{
    const struct tug_shares *s = c->shares;
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id)) {
        if (e->charged_ms < 0)
            continue;
        for (uint32_t i = e->share_row; i != NO_ROW; i = s->rows.at[i]->parent) {
            tug_usage_start(&sums[i].used, &s->clock, e->load.rate, e->charged_ms);
            sums[i].gpus += e->load.gpus;
            sums[i].micro += e->load.micro;
            sums[i].cpus += e->load.cpus;
            sums[i].mem_bytes += e->load.mem_bytes;
        }
    }
    for (size_t i = s->rows.len; i > 1; i--) /* of users, and then of those below */
        sums[s->rows.at[i - 1]->parent].used.settled += s->rows.at[i - 1]->used.settled;
}

int tug_share_check(const struct tug_core *c, struct tug_err *err)
{
    const struct tug_shares *s = c->shares;
    struct row *sums = tug_xcalloc(s->rows.len, sizeof *sums);
    int rc = 0;
    sum_up(c, sums);
    for (size_t i = 0; i < s->rows.len && !rc; i++) {
        const struct row *r = s->rows.at[i], *sum = &sums[i];
        if (r->at != i || (i == ROOT ? r->parent != NO_ROW : r->parent >= i))
            rc = tug_fail(err, -EINVAL, "share '%s': stands before its parent", r->key.name);
        else if (r->gpus != sum->gpus || r->micro != sum->micro || r->cpus != sum->cpus || r->mem_bytes != sum->mem_bytes ||
                 r->used.rate != sum->used.rate)
            rc = tug_fail(err, -EINVAL, "share '%s': what runs is not the sum of its jobs",
                          r->key.name);
        else if (!nearly(c, r->used.paid, sum->used.paid) ||
                 (!r->key.is_user && !nearly(c, r->used.settled, sum->used.settled)))
            rc = tug_fail(err, -EINVAL, "share '%s': its usage is not the sum of those below",
                          r->key.name);
    }
    free(sums);
    return rc;
}
