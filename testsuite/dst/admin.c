/* admin.c - what an administrator does meanwhile: other configurations, backups, and an old one put back
 *
 * As `tug admin backup` and `tug admin restore` do it: what is put back is marked, and ids and epochs of the state that it
 * replaces are not used again (src/admin/restore.c). Or without them, as `cp` does, of a copy from the very run that is ended:
 * where all nodes have heard of a later commit, none of them may be given an order by it. Layer: tests.
 */
#include "dst.h"

#include "logic/lineage.h"

/* ---- the configuration */

static void draw(struct dst *w)
{
    struct tug_rand *r = &w->of_admin;
    struct dst_wanted *want = &w->wanted;

    if (dst_chance(r, 0.4)) {
        unsigned node = (unsigned) tug_rand_below(r, w->conf.nodes);
        want->without[node] = !want->without[node];
    }
    want->keeps[dst_chance(r, 0.5)] ^= dst_chance(r, 0.5);
    want->notice_s = (uint32_t) dst_between(r, 0, 20);
    want->kill_grace_s = (uint32_t) dst_between(r, 1, 10);
    want->launch_timeout_s = (uint32_t) dst_between(r, 10, 30);
}

static void usual(struct dst *w)
{
    w->wanted = (struct dst_wanted){.kill_grace_s = 2, .launch_timeout_s = w->conf.launch_timeout_s, .notice_s = 5};
}

static void configure(struct dst *w)
{
    if (w->calm)
        usual(w);
    else
        draw(w);
    w->n.configured++;
    dst_log(w, "the configuration changes");
    dst_ctl_configure(w);
    if (!w->calm)
        dst_later(w, dst_about(&w->of_admin, 180000), DST_CONFIGURE, 0);
}

/* ---- backups */

static void back_up(struct dst *w)
{
    if (w->calm)
        return;
    dst_disk_free(w->backup);
    w->backup = dst_disk_copy(w->store.disk);
    w->n.backups++;
    dst_log(w, "a backup is made");
    dst_later(w, dst_about(&w->of_admin, 240000), DST_BACKUP, 0);
}

static void mark(struct dst_disk *d, const struct dst_disk *replaced)
{
    struct tug_lineage old;
    struct tug_buf marked = {0};
    struct tug_batch *batch = tug_batch_new();
    size_t len, old_len;
    const void *meta = dst_disk_get(d, "meta", "cluster", &len);
    const void *old_meta = dst_disk_get(replaced, "meta", "cluster", &old_len);
    int rc = tug_lineage_read(old_meta, old_len, &old, NULL);

    rc = rc ? rc : tug_lineage_mark(&marked, meta, len, "put back", &old, NULL);
    tug_assert(rc == 0);
    tug_batch_put(batch, "meta", "cluster", marked.data, marked.len);
    dst_disk_apply(d, batch);
    tug_batch_free(batch);
    tug_buf_clear(&marked);
}

/* Whatever happens to its processes from now on, this node knows that there was more. */
static bool knows_better(const struct dst_node *n, const struct tug_lineage *copy)
{
    struct tug_arena a = {.budget_bytes = 1 << 20};
    ProtobufCMessage *m = NULL;
    size_t len;
    const void *data = dst_disk_get(n->store.disk, "agent", "self", &len);
    bool does = false;

    if (data && tug_proto_decode(&a, &tugpb__agent_record__descriptor, data, len, &m, NULL) == 0) {
        const Tugpb__AgentRecord *r = (const Tugpb__AgentRecord *) m;
        does = r->max_epoch == copy->epoch && r->commit > copy->commit;
    }
    tug_arena_clear(&a);
    return does;
}

static bool may_be_noticed(struct dst *w)
{
    struct tug_lineage copy;
    size_t len;
    const void *meta = dst_disk_get(w->backup, "meta", "cluster", &len);
    int rc = tug_lineage_read(meta, len, &copy, NULL);

    tug_assert(rc == 0);
    for (unsigned i = 0; i < w->conf.nodes; i++)
        if (!knows_better(&w->nodes[i], &copy))
            return false;
    return copy.epoch == w->ctls[w->leader].epoch;
}

static void put_back(struct dst *w)
{
    size_t len;
    bool is_useful = w->backup && dst_disk_get(w->backup, "meta", "cluster", &len);

    if (w->calm)
        return;
    if (is_useful) {
        bool by_hand = may_be_noticed(w) && dst_chance(&w->of_admin, 0.7);
        dst_ctl_crash(w, w->leader, "the administrator ends it");
        struct dst_disk *old = w->store.disk;
        w->store.disk = dst_disk_copy(w->backup);
        if (!by_hand)
            mark(w->store.disk, old);
        dst_disk_free(old);
        w->n.put_back++;
        w->n.by_hand += by_hand;
        w->unnoticed = by_hand;
        w->put_back_epoch = w->ctls[w->leader].epoch;
        dst_log(w, "the backup is put back%s", by_hand ? " by hand" : "");
        dst_truth_put_back(w);
        dst_client_resume(w);
    }
    dst_later(w, dst_about(&w->of_admin, 480000), DST_PUT_BACK, 0);
}

/* ---- when */

void dst_admin_start(struct dst *w)
{
    w->conf.reconfigures = dst_chance(&w->of_admin, 0.25);
    w->conf.old_backups = !w->conf.zombies && dst_chance(&w->of_admin, 0.25);
    if (w->conf.old_backups && dst_chance(&w->of_admin, 0.5))
        w->conf.preempts = true; /* what is stopped on its nodes when that happens is a case of its own */
    w->conf.holds &= !w->conf.old_backups; /* whether a job is held, each of its states says otherwise */
    usual(w);
    if (w->conf.reconfigures)
        dst_later(w, dst_about(&w->of_admin, 180000), DST_CONFIGURE, 0);
    if (w->conf.old_backups) {
        dst_later(w, dst_about(&w->of_admin, 120000), DST_BACKUP, 0);
        dst_later(w, dst_about(&w->of_admin, 480000), DST_PUT_BACK, 0);
    }
}

void dst_admin_calm(struct dst *w)
{
    if (w->conf.reconfigures)
        configure(w);
    for (unsigned i = 0; i < w->conf.nodes; i++)
        dst_later(w, dst_between(&w->of_more, 0, 60000), DST_NODE_LOOKS, i);
}

void dst_admin_event(struct dst *w, const struct dst_event *e)
{
    switch (e->what) {
    case DST_CONFIGURE:
        if (!w->calm)
            configure(w);
        break;
    case DST_BACKUP:
        back_up(w);
        break;
    default:
        put_back(w);
    }
}
