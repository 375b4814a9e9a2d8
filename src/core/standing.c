/* standing.c - where a waiting job stands in the order, and by which terms
 *
 * Worked out when somebody asks, between passes. Nothing is decided here: the order is the one that
 * the last pass left, and what a policy says of it is passed on. Layer: core.
 */
#include <stdio.h>
#include <string.h>

#include "core/pass.h"

#define TERMS_MAX 240

/* Of those that start jobs, one that says why and gives no keys goes by an order of its own. */
static int goes_by_the_order(const struct tug_core *c)
{
    if (c->hooks.pass >= c->policies.n)
        return 1;
    const struct tug_policy_ops *ops = c->policies.at[c->hooks.pass].ops;
    return TUG_HAS_HOOK(ops, key) || !TUG_HAS_HOOK(ops, why);
}

static void add(char *out, size_t size_bytes, const char *text)
{
    size_t len = strlen(out);
    snprintf(out + len, size_bytes - len, "%s%s", len ? "; " : "", text);
}

/* Each says its own part. */
static void ask(struct tug_policy_pass *p, size_t row, char *terms, size_t size_bytes)
{
    struct tug_core *c = p->c;
    for (size_t i = 0; i < c->policies.n; i++) {
        const struct tug_policy_ops *ops = c->policies.at[i].ops;
        char text[TERMS_MAX + 1] = "";
        if (!TUG_HAS_HOOK(ops, why))
            continue;
        size_t before = tug_pass_hook_begin(p, i, "why");
        int rc = ops->why(c->policies.at[i].self, &p->view, TUG_POLICY_WAITING(&p->view, row), text,
                          sizeof text);
        tug_pass_hook_end(p, before);
        text[TERMS_MAX] = '\0';
        if (rc >= 0 && *text)
            add(terms, size_bytes, text);
    }
}

void tug_core_standing(struct tug_core *c, int64_t now_ms, const struct tug_job *job,
                       struct tug_core_standing *out, char *terms, size_t size_bytes)
{
    const struct tug_entry *e = tug_entry_of(job);
    struct tug_policy_pass p = {.c = c};
    struct tug_policy_job key;
    *out = (struct tug_core_standing){0};
    *terms = '\0';
    if (e->bench != TUG_BENCH_ORDER)
        return;
    tug_order_compact(&c->order);
    tug_job_row(c, e, &key);
    size_t place = tug_order_place(&c->order, &key, e);
    if (!place)
        return;
    if (goes_by_the_order(c))
        *out = (struct tug_core_standing){place, c->order.n_jobs};
    if (!c->policies_known || c->keys_stale)
        return;
    tug_pass_show(&p, now_ms > c->now_ms ? now_ms : c->now_ms);
    ask(&p, place - 1, terms, size_bytes);
}
