/* tree.c - the queues of a configuration make a tree, and so do its accounts
 *
 * Everything wrong is listed at its place, with the place of what it contradicts. Layer: conf.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "conf/config.h"

struct item { /* a queue or an account */
    const char *name, *parent;
    struct tug_conf_pos parent_pos;
    size_t up;   /* index of its parent among the items; SIZE_MAX = at the top, or unknown */
    size_t seen; /* the walk that came by */
};

struct tree {
    const char *what, *section; /* "queue", "queues" */
    struct item *at;
    struct item **sorted; /* by name */
    size_t n;
};

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct item *const *) a)->name, (*(struct item *const *) b)->name);
}

static int is_called(const void *name, const void *item)
{
    return strcmp(name, (*(struct item *const *) item)->name);
}

static char *place(struct tug_conf_pos pos)
{
    struct tug_buf b = {0};
    tug_conf_pos_print(pos, &b);
    return tug_buf_take(&b);
}

static void unknown_parent(const struct tree *t, const struct item *i, struct tug_conf_errors *errs)
{
    const char **names = tug_xcalloc(t->n, sizeof *names);
    for (size_t k = 0; k < t->n; k++)
        names[k] = t->at[k].name;
    const char *near = tug_str_nearest(i->parent, names, t->n);
    char *hint = near ? tug_xasprintf("did you mean '%s'?", near)
                      : tug_xasprintf("add it to '%s:', or take it out here", t->section);
    tug_conf_errors_add(errs, i->parent_pos, i->parent, strlen(i->parent), hint,
                        "%s '%s': there is no %s '%s' above it", t->what, i->name, t->what,
                        i->parent);
    free(hint);
    free(names);
}

/* A walk up that meets itself has gone round. */
static void check_loops(struct tree *t, struct tug_conf_errors *errs)
{
    for (size_t k = 0; k < t->n; k++)
        for (size_t i = k; i != SIZE_MAX; i = t->at[i].up) {
            struct item *it = &t->at[i];
            if (it->seen == k + 1) {
                tug_conf_errors_add(errs, it->parent_pos, it->parent, strlen(it->parent),
                                    "take out one of the parents",
                                    "%s '%s' is below '%s', which is itself below '%s'", t->what,
                                    it->name, it->parent, it->name);
                it->up = SIZE_MAX; /* whoever walks on comes to an end */
            }
            if (it->seen)
                break;
            it->seen = k + 1;
        }
}

static void link_up(struct tree *t, struct tug_conf_errors *errs)
{
    t->sorted = tug_xcalloc(t->n + 1, sizeof(struct item *));
    for (size_t i = 0; i < t->n; i++)
        t->sorted[i] = &t->at[i];
    qsort(t->sorted, t->n, sizeof(struct item *), by_name);
    for (size_t i = 0; i < t->n; i++) {
        struct item *it = &t->at[i], **up = NULL;
        it->up = SIZE_MAX;
        if (!it->parent)
            continue;
        up = bsearch(it->parent, t->sorted, t->n, sizeof(struct item *), is_called);
        if (up)
            it->up = (size_t) (*up - t->at);
        else
            unknown_parent(t, it, errs);
    }
    check_loops(t, errs);
}

static void clear(struct tree *t)
{
    free(t->sorted);
    free(t->at);
}

/* ---- queues */

static int64_t sum_of_guarantees(const struct tug_config *c, const struct tree *t, size_t above,
                                 size_t *last)
{
    int64_t sum = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (t->at[i].up != above || !c->queues[i].guarantee)
            continue;
        sum += c->queues[i].guarantee;
        *last = i;
    }
    return sum;
}

/* What is guaranteed below a queue comes out of what is guaranteed to it, or of its cap. */
static void check_guarantees_below(const struct tug_config *c, const struct tree *t, size_t i,
                                   struct tug_conf_errors *errs)
{
    const struct tug_conf_queue *q = &c->queues[i];
    size_t last = 0;
    int64_t sum = sum_of_guarantees(c, t, i, &last), most = q->guarantee ? q->guarantee : q->cap;
    if (!sum || !most || sum <= most)
        return;
    char *at = place(tug_config_queue_pos(q, q->guarantee ? &q->guarantee : &q->cap));
    tug_conf_errors_add(
        errs, tug_config_queue_pos(&c->queues[last], &c->queues[last].guarantee), NULL, 0,
        "guarantee less below it, or more to it",
        "the queues below '%s' are guaranteed %lld GPUs together, but its %s is %lld "
        "(%s)",
        q->name, (long long) sum, q->guarantee ? "own guarantee" : "cap", (long long) most, at);
    free(at);
}

static void check_limits(const struct tug_conf_queue *q, struct tug_conf_errors *errs)
{
    if (q->cap && q->guarantee > q->cap) {
        char *at = place(tug_config_queue_pos(q, &q->cap));
        tug_conf_errors_add(errs, tug_config_queue_pos(q, &q->guarantee), NULL, 0,
                            "make the guarantee smaller or the cap larger",
                            "queue '%s': its guarantee of %lld GPUs is over its cap of %lld (%s)",
                            q->name, (long long) q->guarantee, (long long) q->cap, at);
        free(at);
    }
    if (!q->borrow && !q->guarantee)
        tug_conf_errors_add(errs, tug_config_queue_pos(q, &q->borrow), "false", 5,
                            "give it a guarantee, or let it borrow",
                            "queue '%s' may not borrow and is guaranteed nothing: no job with GPUs "
                            "could start in it",
                            q->name);
}

/* GPUs of all nodes; 0 where a row leaves it to the nodes how many they have. */
static int64_t gpus_of_nodes(const struct tug_config *c)
{
    int64_t sum = 0;
    for (size_t i = 0; i < c->n_nodes; i++) {
        if (!c->nodes[i].gpus || !c->nodes[i].name.list)
            return 0;
        sum += c->nodes[i].gpus * (int64_t) tug_hostlist_count(c->nodes[i].name.list);
    }
    return sum;
}

static void check_guarantees(const struct tug_config *c, const struct tree *t,
                             struct tug_conf_errors *errs)
{
    size_t last = 0;
    int64_t all = gpus_of_nodes(c), sum = sum_of_guarantees(c, t, SIZE_MAX, &last);
    for (size_t i = 0; i < t->n; i++) {
        check_limits(&c->queues[i], errs);
        check_guarantees_below(c, t, i, errs);
    }
    if (!all || sum <= all)
        return;
    char *at = place(c->nodes[0].origin.pos);
    tug_conf_errors_add(errs, tug_config_queue_pos(&c->queues[last], &c->queues[last].guarantee),
                        NULL, 0, "guarantee less, or add nodes",
                        "%lld GPUs are guaranteed in all, but the nodes have %lld (%s)",
                        (long long) sum, (long long) all, at);
    free(at);
}

void tug_config_check_queues(const struct tug_config *c, struct tug_conf_errors *errs)
{
    struct tree t = {"queue", "queues", tug_xcalloc(c->n_queues + 1, sizeof *t.at), NULL,
                     c->n_queues};
    for (size_t i = 0; i < c->n_queues; i++)
        t.at[i] =
            (struct item){.name = c->queues[i].name,
                          .parent = c->queues[i].parent,
                          .parent_pos = tug_config_queue_pos(&c->queues[i], &c->queues[i].parent)};
    link_up(&t, errs);
    for (size_t i = 0; i < t.n; i++) {
        const struct tug_conf_queue *up = t.at[i].up == SIZE_MAX ? NULL : &c->queues[t.at[i].up];
        if (!up || !up->is_default)
            continue;
        char *at = place(t.at[i].parent_pos);
        tug_conf_errors_add(errs, tug_config_queue_pos(up, &up->is_default), "true", 4,
                            "make one of those below it the default",
                            "queue '%s' cannot be the default: it is divided ('%s' is below it, "
                            "%s) and takes no jobs itself",
                            up->name, t.at[i].name, at);
        free(at);
        break;
    }
    check_guarantees(c, &t, errs);
    clear(&t);
}

/* ---- accounts */

static bool is_user(const char *text)
{
    const char *is = strchr(text, '=');
    char *end;
    size_t n = is ? (size_t) (is - text) : strlen(text);
    if (n == 0 || n > 255 || memchr(text, ',', n))
        return false;
    if (!is)
        return true;
    if (is[1] < '0' || is[1] > '9' || strlen(is) > 20)
        return false;
    double weight = strtod(is + 1, &end);
    return *end == '\0' && weight > 0 && weight <= 1e9;
}

static void check_users(const struct tug_conf_account *a, struct tug_conf_errors *errs)
{
    struct tug_conf_pos pos = tug_schema_pos(&tug_conf_account_schema, a, &a->users);
    for (size_t i = 0; i < a->users.n; i++) {
        const char *user = a->users.at[i];
        size_t len = strcspn(user, "=");
        if (!is_user(user))
            tug_conf_errors_add(errs, pos, user, strlen(user),
                                "write a user's name, or name=weight with a weight over 0",
                                "account '%s': '%.100s' is not a user", a->name, user);
        for (size_t k = 0; k < i; k++)
            if (strcspn(a->users.at[k], "=") == len && !strncmp(a->users.at[k], user, len))
                tug_conf_errors_add(errs, pos, user, strlen(user), "name each user once",
                                    "account '%s': user '%.*s' is in it twice", a->name, (int) len,
                                    user);
    }
}

void tug_config_check_accounts(const struct tug_config *c, struct tug_conf_errors *errs)
{
    struct tree t = {"account", "accounts", tug_xcalloc(c->n_accounts + 1, sizeof *t.at), NULL,
                     c->n_accounts};
    for (size_t i = 0; i < c->n_accounts; i++) {
        const struct tug_conf_account *a = &c->accounts[i];
        t.at[i] =
            (struct item){.name = a->name,
                          .parent = a->parent,
                          .parent_pos = tug_schema_pos(&tug_conf_account_schema, a, &a->parent)};
        check_users(a, errs);
    }
    link_up(&t, errs);
    clear(&t);
}
