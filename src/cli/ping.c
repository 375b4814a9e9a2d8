/* ping.c - tug ping and tug version: who is there
 *
 * Layer: cli.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/version.h"
#include "cli/client.h"
#include "cli/verb.h"

static const struct tug_opt opts[] = {TUG_COMMON_OPTS};

const struct tug_opt *tug_opts_of_ping(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

const struct tug_opt *tug_opts_of_version(size_t *n)
{
    return tug_opts_of_ping(n);
}

static int ask(struct tug_client *c, Tugpb__PingReply **reply, struct tug_err *err)
{
    Tugpb__PingRequest request = TUGPB__PING_REQUEST__INIT;
    ProtobufCMessage *m;
    int rc = tug_client_once(TUG_MSG_PING_REQUEST, &request.base, TUG_MSG_PING_REPLY, c, &m, err);
    *reply = rc ? NULL : (Tugpb__PingReply *) m;
    return rc;
}

int tug_do_ping(int argc, char **argv)
{
    struct tug_client c = {0};
    struct tug_err err = {0};
    Tugpb__PingReply *r;
    char up[32];
    struct timespec a, b;
    int words, status = tug_verb_parse("ping", argc, argv, NULL, NULL, &words);
    if (status >= 0)
        return status;
    clock_gettime(CLOCK_MONOTONIC, &a);
    if (ask(&c, &r, &err)) {
        status = tug_out_fail(&err);
    } else if (tug_out.json) {
        status = TUG_EXIT_OK;
        tug_out_message(&r->base);
    } else {
        status = TUG_EXIT_OK;
        clock_gettime(CLOCK_MONOTONIC, &b);
        double ms = (double) (b.tv_sec - a.tv_sec) * 1e3 + (double) (b.tv_nsec - a.tv_nsec) / 1e6;
        tug_out_adds("cluster ");
        tug_out_text(r->cluster);
        tug_out_addf(": %u of %u nodes up, %" PRIu64 " jobs wait, %" PRIu64 " run\n", r->nodes_up,
                     r->nodes_known, r->jobs_pending, r->jobs_running);
        tug_out_adds("controller ");
        tug_out_text(r->version);
        tug_out_addf(" at %s, up %s, answered in %.1f ms, policy ", c.endpoint + strlen("unix:"),
                     tug_out_span(r->now_ms - r->started_ms, up, sizeof up), ms);
        tug_out_text(r->policy);
        if (*r->policy_note) {
            tug_out_adds(" (");
            tug_out_text(r->policy_note);
            tug_out_adds(")");
        }
        tug_out_adds("\n");
        if (r->turns)
            tug_out_addf("of the last minutes' %" PRIu64 " turns of its loop 99 %% took at most %.1f ms (%.1f ms of a CPU), the longest %.1f ms\n",
                         r->turns, r->turn_p99_us / 1e3, r->turn_cpu_p99_us / 1e3, r->turn_max_us / 1e3);
        if (*r->no_snapshot) {
            tug_out_adds("no snapshot of the state was made the last time: ");
            tug_out_text(r->no_snapshot);
            tug_out_adds("\n");
        }
        if (r->snapshot_ms)
            tug_out_addf("the newest snapshot of the state is %s old\n",
                         tug_out_span(r->now_ms > r->snapshot_ms ? r->now_ms - r->snapshot_ms : 0, up, sizeof up));
        if (*r->safe_mode) {
            tug_out_text(r->safe_mode);
            tug_out_adds("\n");
        }
        if (*r->state_full) {
            tug_out_adds("STATE_FULL: ");
            tug_out_text(r->state_full);
            tug_out_adds("; until then nothing is started and nothing new is taken\n");
        }
    }
    tug_client_close(&c);
    return status;
}

/* No controller is not an error here: the command has a version all the same. */
int tug_do_version(int argc, char **argv)
{
    struct tug_client c = {0};
    struct tug_err err = {0};
    Tugpb__PingReply *r;
    int words, status = tug_verb_parse("version", argc, argv, NULL, NULL, &words);
    if (status >= 0)
        return status;
    int rc = ask(&c, &r, &err);
    if (tug_out.json) {
        tug_out_adds("{\"tug\":");
        tug_out_json_string(&tug_out.buf, TUG_VERSION, strlen(TUG_VERSION));
        tug_out_adds(",\"controller\":");
        if (rc)
            tug_out_adds("null");
        else
            tug_out_json_string(&tug_out.buf, r->version, strlen(r->version));
        tug_out_adds("}\n");
    } else {
        tug_out_addf("tug        %s\n", TUG_VERSION);
        tug_out_adds("controller ");
        tug_out_text(rc ? err.msg : r->version);
        tug_out_adds("\n");
    }
    tug_client_close(&c);
    return TUG_EXIT_OK;
}
