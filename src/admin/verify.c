/* verify.c - would a controller start from this state
 *
 * Pages, checksums and counts; then every record goes through the same code as when tugd starts,
 * into a controller that has no clock, no disk and nobody to talk to. Layer: programs.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/mem.h"
#include "base/version.h"
#include "host/coreconf.h"
#include "logic/control.h"

static int64_t no_time(void *ctx)
{
    (void) ctx;
    return 0;
}

static void no_timer(void *ctx, int64_t at_ms)
{
    (void) ctx;
    (void) at_ms;
}

static void no_send(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid,
                    const ProtobufCMessage *m)
{
    (void) ctx;
    (void) peer;
    (void) number;
    (void) rid;
    (void) m;
}

static void no_send_packed(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid,
                           const void *body, size_t len)
{
    (void) ctx;
    (void) peer;
    (void) number;
    (void) rid;
    (void) body;
    (void) len;
}

static void no_disk(void *ctx, struct tug_batch *b, uint64_t ticket)
{
    (void) ctx;
    (void) ticket;
    tug_batch_free(b);
}

static void no_random(void *ctx, void *out, size_t len)
{
    (void) ctx;
    memset(out, 0, len);
}

/* ---- the cluster that the records are held against */

struct names tug_vec(char *);

static int add_name(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    struct names *names = arg;

    (void) kind;
    (void) data;
    (void) len;
    tug_vec_push(names, tug_xstrdup(id));
    return 0;
}

struct into {
    struct tug_control *control;
    struct tug_err *err;
};

static int on_record(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    struct into *at = arg;
    int rc = tug_control_restore(at->control, kind, id, data, len, at->err);

    return rc < 0 && !strstr(at->err->msg, id) ? tug_fail_ctx(at->err, rc, "record %s/%s", kind, id)
                                               : rc;
}

static int start(struct state *s, const struct tug_core_conf *core, struct tug_err *err)
{
    struct tug_env env = {.now = no_time,
                          .timer = no_timer,
                          .send = no_send,
                          .send_packed = no_send_packed,
                          .persist = no_disk,
                          .random = no_random};
    struct tug_control_conf conf = {.cluster = "verify",
                                    .version = TUG_VERSION,
                                    .node_timeout_s = 60,
                                    .lease_s = 300,
                                    .max_jobs = UINT32_MAX,
                                    .core = *core};
    struct into at = {tug_control_new(&env, &conf, err), err};
    int rc;

    if (!at.control)
        return err->code;
    rc = tug_store_db_load(s->path, s->db, NULL, &s->tallies, on_record, &at, err);
    rc = rc < 0 ? rc : tug_control_start(at.control, err);
    rc = rc < 0 ? rc : tug_core_check(tug_control_core(at.control), err);
    tug_control_free(at.control);
    return rc;
}

/* Without a configuration: the nodes that have a record. */
static int start_without(struct state *s, struct tug_err *err)
{
    struct tug_core_queue queue = {.name = "main", .nodes = "", .is_default = 1};
    struct tug_core_conf core = {
        .launch_timeout_s = 60, .kill_grace_s = 30, .queues = &queue, .n_queues = 1};
    struct names names = {0};
    struct tug_core_node_row *rows;
    int rc = tug_store_db_load(s->path, s->db, "node", &s->tallies, add_name, &names, err);

    rows = tug_xcalloc(names.len + 1, sizeof *rows);
    for (size_t i = 0; i < names.len; i++)
        rows[i] = (struct tug_core_node_row){.name = names.at[i], .gpu_model = ""};
    core.nodes = rows;
    core.n_nodes = names.len;
    rc = rc < 0 ? rc : start(s, &core, err);
    for (size_t i = 0; i < names.len; i++)
        free(names.at[i]);
    tug_vec_clear(&names);
    free(rows);
    return rc;
}

static int start_with(struct state *s, const struct tug_config *cfg, struct tug_err *err)
{
    struct tug_coreconf conf;
    int rc;

    tug_coreconf_make(cfg, &conf);
    rc = start(s, &conf.core, err);
    tug_coreconf_clear(&conf);
    return rc;
}

int do_verify(struct admin *a, struct tug_err *err)
{
    struct tug_lineage numbers = {0};
    struct state s;
    int rc = a->file ? state_open(&s, a->file, err) : state_open_default(&s, a, err);

    if (rc < 0)
        return rc;
    rc = state_check(&s, err);
    rc = rc < 0 ? rc : state_lineage(&s, &numbers, err);
    if (rc == 0 && s.behind.code)
        rc = tug_fail(err, s.behind.code, "%s", s.behind.msg);
    rc = rc < 0 ? rc : a->has_config ? start_with(&s, &a->cfg, err) : start_without(&s, err);
    if (rc == 0 && a->json)
        printf("{\"ok\":true,\"epoch\":%" PRIu64 ",\"schema\":%" PRId64 ",\"records\":%" PRId64
               ",\"history\":%" PRId64 "}\n",
               numbers.epoch, s.version, s.records, s.rows);
    else if (rc == 0)
        printf("sound: epoch %" PRIu64 ", schema %" PRId64 ", %" PRId64 " records, %" PRId64
               " rows of history; a controller can start from it%s\n",
               numbers.epoch, s.version, s.records, s.rows,
               a->has_config ? "" : " (held against no configuration: none was found)");
    state_close(&s);
    return rc;
}
