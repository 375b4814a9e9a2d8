/* commits.c - which commits nodes have heard of: by that a copy of the state tells itself from what it was copied from
 *
 * Commits are numbered for the life of the cluster; the number is in the record meta/cluster, which goes along with each of
 * them. What a node is told names a commit that is durable before the word leaves, and the node says the last one, with the
 * epoch that it was said under, when it comes again. A state that ends before that commit is not the one that spoke to the
 * node: somebody put an older copy in its place. An epoch alone does not show that when the copy was made in the very run that
 * the next start ends: that start looks like any other.
 *
 * For the epochs before this one, each state keeps the last commit of theirs that it has. The first commit of a life has the
 * number of the one before it, since its epoch tells it from that. Layer: logic.
 */
#include "logic/control_int.h"

/* More than there will be in the place of an old state, before anybody notices. */
#define COMMITS_SKIPPED 1000000000000

void tug_ctl_commits_restore(struct tug_control *c, const Tugpb__MetaRecord *m)
{
    c->commits.last = m->commit;
    c->commits.n_lives = 0;
    for (size_t i = 0; i < m->n_lives && i < CTL_LIVES; i++)
        c->commits.lives[c->commits.n_lives++] = (struct ctl_life){m->lives[i]->epoch, m->lives[i]->commit};
}

void tug_ctl_commits_put(const struct tug_control *c, struct tug_arena *a, Tugpb__MetaRecord *m)
{
    m->commit = c->commits.last;
    m->lives = tug_ctl_alloc(a, CTL_LIVES * sizeof *m->lives);
    for (size_t i = 0; i < c->commits.n_lives; i++) {
        Tugpb__Life *l = tug_ctl_alloc(a, sizeof *l);

        tugpb__life__init(l);
        l->epoch = c->commits.lives[i].epoch;
        l->commit = c->commits.lives[i].commit;
        m->lives[m->n_lives++] = l;
    }
}

/* The life before ended with the commit that was found. One that had nothing to say needs no row of its own: what holds for the
 * next later epoch holds for its. */
void tug_ctl_commits_start(struct tug_control *c)
{
    struct ctl_life was = {c->epoch, c->commits.last}, *at = c->commits.lives;
    size_t *n = &c->commits.n_lives;

    if (!was.commit)
        was.commit = UINT64_MAX; /* by a version that did not count, so nothing can be told */
    if (*n && at[*n - 1].commit == was.commit)
        --*n;
    if (*n == CTL_LIVES) {
        memmove(at, at + 1, (CTL_LIVES - 1) * sizeof *at); /* a node from then is held against a later life */
        --*n;
    }
    at[(*n)++] = was;
    c->commits.durable = c->commits.last;
    c->commits.is_first = 1;
}

static uint64_t of_open_batch(const struct tug_control *c)
{
    return c->commits.last + !c->commits.is_first;
}

uint64_t tug_ctl_commits_of_order(struct tug_control *c)
{
    if (!c->dirty_jobs.len && !tug_batch_len(tug_outbox_batch(c->out)))
        return c->commits.durable; /* it waits for nothing that is open */
    c->commits.is_named = 1;
    return of_open_batch(c);
}

uint64_t tug_ctl_commits_durable(const struct tug_control *c)
{
    return c->commits.durable;
}

void tug_ctl_commits_number(struct tug_control *c)
{
    struct tug_batch *b = tug_outbox_batch(c->out);

    if (!tug_batch_len(b) && !c->commits.is_named)
        return;
    c->commits.going = c->commits.last = of_open_batch(c);
    c->commits.is_first = c->commits.is_named = 0;
    tug_ctl_put_meta(c, b);
}

void tug_ctl_commits_made(struct tug_control *c)
{
    c->commits.durable = c->commits.going;
}

int tug_ctl_commits_miss(const struct tug_control *c, uint64_t epoch, uint64_t commit)
{
    for (size_t i = 0; i < c->commits.n_lives; i++)
        if (c->commits.lives[i].epoch >= epoch)
            return commit > c->commits.lives[i].commit;
    return 0;
}

void tug_ctl_commits_heard(struct tug_control *c, uint64_t commit)
{
    if (commit > c->commits.last)
        c->commits.last = commit;
}

void tug_ctl_commits_skip(struct tug_control *c)
{
    c->commits.last += COMMITS_SKIPPED;
    c->commits.n_lives = 0;
}
