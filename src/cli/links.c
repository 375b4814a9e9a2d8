/* links.c - pairs of nodes whose link failed
 *
 * Layer: cli.
 */
#include "cli/links.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/hostlist.h"
#include "cli/client.h"
#include "cli/verb.h"

static const char *state_of(const Tugpb__LinkView *l)
{
    return l->quarantined ? "QUARANTINED" : l->n_failures ? "AVOIDED" : "OPEN";
}

static const Tugpb__LinkFailure *last_of(const Tugpb__LinkView *l)
{
    return l->n_failures ? l->failures[l->n_failures - 1] : NULL;
}

/* ---- the list */

static void add_row(struct tug_table *t, const Tugpb__LinkView *l)
{
    const Tugpb__LinkFailure *last = last_of(l);
    char when[32], until[32];
    tug_table_cells(t, l->a, TUG_PLAIN);
    tug_table_cells(t, l->b, TUG_PLAIN);
    tug_table_cells(t, state_of(l), l->quarantined ? TUG_RED : TUG_YELLOW);
    tug_table_cellf(t, "%zu", l->n_failures);
    tug_table_cells(t, last || l->open ? tug_out_time(last ? last->at_ms : l->open_ms, when, sizeof when) : "", TUG_PLAIN);
    tug_table_cellf(t, last ? "%" PRIu64 : "", last ? last->job : 0);
    tug_table_cells(t, l->until_ms ? tug_out_time(l->until_ms, until, sizeof until) : "", TUG_PLAIN);
}

static void say_table(const Tugpb__LinksReply *r, const struct tug_hostlist *of, bool no_head)
{
    static const struct tug_table_column columns[] = {
        {"NODE", false, 0}, {"NODE", false, 0}, {"LINK", false, 0},  {"FAILED", true, 0},
        {"LAST", false, 0}, {"JOB", true, 0},   {"UNTIL", false, 0},
    };
    struct tug_table *t = tug_table_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < r->n_links; i++)
        if (!of || tug_hostlist_contains(of, r->links[i]->a) || tug_hostlist_contains(of, r->links[i]->b))
            add_row(t, r->links[i]);
    tug_table_print(t, &tug_out.buf, tug_out.width, !no_head, tug_out.colour);
    tug_table_free(t);
}

static void say_json(const Tugpb__LinksReply *r, const struct tug_hostlist *of)
{
    size_t n = 0;
    tug_out_adds("{\"links\":[");
    for (size_t i = 0; i < r->n_links; i++) {
        if (of && !tug_hostlist_contains(of, r->links[i]->a) && !tug_hostlist_contains(of, r->links[i]->b))
            continue;
        tug_out_adds(n++ ? "," : "");
        tug_msg_json(&tug_out.buf, &r->links[i]->base, 0);
    }
    tug_out_adds("]}\n");
}

int tug_links_list(const struct tug_hostlist *of, bool no_head, struct tug_err *err)
{
    Tugpb__LinksRequest request = TUGPB__LINKS_REQUEST__INIT;
    struct tug_client c = {0};
    ProtobufCMessage *m;
    int rc = tug_client_once(TUG_MSG_LINKS_REQUEST, &request.base, TUG_MSG_LINKS_REPLY, &c, &m, err);
    if (!rc && tug_out.json)
        say_json((const Tugpb__LinksReply *) m, of);
    else if (!rc)
        say_table((const Tugpb__LinksReply *) m, of, no_head);
    tug_client_close(&c);
    return rc;
}

/* ---- one of them */

void tug_link_say(const Tugpb__LinkView *l, const char *node)
{
    const Tugpb__LinkFailure *last = last_of(l);
    char when[32];
    tug_out_adds("to ");
    tug_out_text(strcmp(l->a, node) ? l->a : l->b);
    tug_out_adds(l->quarantined ? ": not used together" : ": avoided");
    if (l->until_ms)
        tug_out_addf(" until %s", tug_out_time(l->until_ms, when, sizeof when));
    if (last)
        tug_out_addf("; failed %zu time%s, last in job %" PRIu64 ", %s", l->n_failures, l->n_failures == 1 ? "" : "s", last->job,
                     tug_out_time(last->at_ms, when, sizeof when));
    if (l->open)
        tug_out_addf("; lost each other %s, and one of the nodes may have been it", tug_out_time(l->open_ms, when, sizeof when));
    tug_out_adds("\n");
}

int tug_link_clear(int n, char **words, struct tug_err *err)
{
    Tugpb__LinkClearRequest request = TUGPB__LINK_CLEAR_REQUEST__INIT;
    struct tug_client c = {0};
    ProtobufCMessage *m;
    if (n != 3 || strcmp(words[0], "clear") != 0)
        return tug_fail(err, -EINVAL, "tug node link clear A B: two nodes whose link is mended");
    request.a = words[1];
    request.b = words[2];
    int rc = tug_client_once(TUG_MSG_LINK_CLEAR_REQUEST, &request.base, TUG_MSG_LINK_CLEAR_REPLY, &c, &m, err);
    if (!rc && tug_out.json)
        tug_out_message(m);
    tug_client_close(&c);
    return rc;
}
