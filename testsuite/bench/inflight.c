/* inflight.c - submits through connections that keep requests in flight, and counts the replies
 *
 *   inflight [-n JOBS] [-w WINDOW] [-c CONNECTIONS] [-N NODES] [-g GPUS] [-t SECONDS] [-b] [-e] [-q] SOCKET [-- COMMAND...]
 *
 * Through one connection with WINDOW requests in flight, or with -c through so many, each with WINDOW (then 1) of its own.
 *
 * Each job is a gang of one rank a node (with -b: a script that runs `true`) that writes to /dev/null, with a token and a name of its own and with this
 * process's environment, as `tug submit` sends it. A reply comes only when the job is durable, so the rate of replies
 * is the rate of durable jobs. With -e it also waits for the end of every job, and any other end than COMPLETED is a
 * failure. With -q a connection asks for the job, as `tug show` does, before it submits the next one. Prints one line:
 *   JOBS REPLY_SECONDS P50_MS P99_MS MAX_MS ALL_SECONDS FIRST_ID LAST_ID [QUERY_P50_MS QUERY_P99_MS QUERY_MAX_MS]
 * where ALL_SECONDS is up to the last end with -e, the last answer with -q, else the same as REPLY_SECONDS. Layer: programs.
 */
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/net.h"
#include "proto/client.pb-c.h"
#include "proto/msg.h"

#define SILENCE_S 60         /* nothing came for so long: something hangs */
#define WAIT_RID 0x80000000u /* set in the id of a request that waits for a job's end */
#define SHOW_RID 0x40000000u /* of one that asks for the job */

struct bench {
    struct event_base *loop;
    struct event *silence;
    struct tug_conn **conns;
    uint32_t n_conns, n_open;
    uint32_t jobs, window, sent, replied, ended, shown;
    int to_end, queries;
    int64_t start_ns, reply_ns, end_ns;
    int64_t *sent_ns; /* of request i; then how long its reply took */
    int64_t *asked_ns; /* the same for the query after it */
    uint64_t first_id, last_id;
    char run[32]; /* makes the tokens of this run its own */
    Tugpb__JobSpec spec;
    Tugpb__ResourceRequest res;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "inflight: %s: %s\n", what, why);
    exit(1);
}

static void submit_one(struct bench *b, struct tug_conn *conn)
{
    Tugpb__SubmitRequest m = TUGPB__SUBMIT_REQUEST__INIT;
    char token[64], name[32];
    uint32_t i = b->sent++;
    snprintf(token, sizeof token, "%s-%" PRIu32, b->run, i);
    snprintf(name, sizeof name, "bench-%" PRIu32, i);
    m.token = token;
    m.spec = &b->spec;
    b->spec.name = name;
    b->sent_ns[i] = now_ns();
    if (tug_conn_send(conn, TUG_MSG_SUBMIT_REQUEST, i, &m.base))
        give_up("submitting", "the request could not be sent");
}

static void wait_one(struct tug_conn *conn, uint64_t job, uint32_t i)
{
    Tugpb__WaitRequest m = TUGPB__WAIT_REQUEST__INIT;
    m.job = job;
    m.until = TUGPB__WAIT_FOR__WAIT_END;
    if (tug_conn_send(conn, TUG_MSG_WAIT_REQUEST, i | WAIT_RID, &m.base))
        give_up("waiting", "the request could not be sent");
}

static void show_one(struct bench *b, struct tug_conn *conn, uint64_t job, uint32_t i)
{
    Tugpb__ShowRequest m = TUGPB__SHOW_REQUEST__INIT;
    m.job = job;
    b->asked_ns[i] = now_ns();
    if (tug_conn_send(conn, TUG_MSG_SHOW_REQUEST, i | SHOW_RID, &m.base))
        give_up("asking", "the request could not be sent");
}

static void on_shown(struct bench *b, struct tug_conn *conn, uint32_t i, const Tugpb__ShowReply *r)
{
    if (i >= b->sent || !r->job)
        give_up("asking", "a reply that answers nothing");
    b->asked_ns[i] = now_ns() - b->asked_ns[i];
    b->shown++;
    if (b->sent < b->jobs)
        submit_one(b, conn);
}

static void on_submitted(struct bench *b, struct tug_conn *conn, uint32_t i, const Tugpb__SubmitReply *r)
{
    if (i >= b->sent || r->existed || !r->job)
        give_up("submitting", "a reply that answers nothing");
    b->sent_ns[i] = now_ns() - b->sent_ns[i];
    if (!b->replied++)
        b->first_id = r->job;
    b->last_id = r->job;
    if (b->replied == b->jobs)
        b->reply_ns = now_ns();
    if (b->queries)
        show_one(b, conn, r->job, i);
    else if (b->sent < b->jobs)
        submit_one(b, conn);
    if (b->to_end)
        wait_one(conn, r->job, i);
}

static void on_ended(struct bench *b, const Tugpb__WaitReply *r)
{
    if (!r->job || strcmp(r->job->state, "COMPLETED") != 0) {
        fprintf(stderr, "inflight: job %" PRIu64 " ended as %s: %s\n", r->job ? r->job->id : 0,
                r->job ? r->job->state : "?", r->job && r->job->cause ? r->job->cause->text : "no cause is known");
        exit(1);
    }
    b->ended++;
}

static void on_silence(evutil_socket_t fd, short what, void *arg)
{
    const struct bench *b = arg;
    (void) fd;
    (void) what;
    fprintf(stderr, "inflight: nothing came for %d s; %" PRIu32 " of %" PRIu32 " jobs are taken, %" PRIu32 " have ended\n",
            SILENCE_S, b->replied, b->jobs, b->ended);
    exit(1);
}

static void watch(struct bench *b)
{
    struct timeval tv = { SILENCE_S, 0 };
    event_add(b->silence, &tv);
}

/* All begin together, once all are connected. */
static void on_open(void *arg, struct tug_conn *c)
{
    struct bench *b = arg;
    (void) c;
    watch(b);
    if (++b->n_open < b->n_conns)
        return;
    b->start_ns = now_ns();
    for (uint32_t w = 0; w < b->window; w++)
        for (uint32_t i = 0; i < b->n_conns && b->sent < b->jobs; i++)
            submit_one(b, b->conns[i]);
}

static void on_frame(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    struct bench *b = arg;
    struct tug_arena a = { 0 };
    struct tug_err err = { 0 };
    ProtobufCMessage *m;
    if (tug_msg_decode(&a, f->number, f->body, f->len, &m, &err))
        give_up("an answer", err.msg);
    if (f->number == TUG_MSG_SUBMIT_REPLY)
        on_submitted(b, c, f->rid, (const Tugpb__SubmitReply *) m);
    else if (f->number == TUG_MSG_WAIT_REPLY)
        on_ended(b, (const Tugpb__WaitReply *) m);
    else if (f->number == TUG_MSG_SHOW_REPLY)
        on_shown(b, c, f->rid & ~SHOW_RID, (const Tugpb__ShowReply *) m);
    else if (f->number == TUG_MSG_ERROR)
        give_up("refused", ((const Tugpb__Error *) m)->text);
    tug_arena_clear(&a);
    watch(b);
    if (b->replied == b->jobs && (!b->to_end || b->ended == b->jobs) && (!b->queries || b->shown == b->jobs)) {
        b->end_ns = now_ns();
        event_base_loopbreak(b->loop);
    }
}

static void on_close(void *arg, struct tug_conn *c, const char *why)
{
    (void) arg;
    (void) c;
    give_up("the connection", why);
}

static const struct tug_net_ops ops = { on_open, on_frame, on_close };

static void take_environ(Tugpb__JobSpec *spec)
{
    struct tug_buf env = { 0 };
    for (char **e = environ; *e; e++)
        tug_buf_add(&env, *e, strlen(*e) + 1);
    spec->env.len = env.len;
    spec->env.data = (uint8_t *) tug_buf_take(&env);
}

static void defaults(struct bench *b)
{
    static char *command[] = { (char *) "true" };
    b->jobs = 10000;
    b->n_conns = 1;
    tugpb__job_spec__init(&b->spec);
    tugpb__resource_request__init(&b->res);
    b->res.nodes = 1;
    b->res.tasks_per_node = 1;
    b->spec.res = &b->res;
    b->spec.kind = TUGPB__JOB_KIND__JOB_GANG;
    b->spec.argv = command;
    b->spec.n_argv = 1;
    b->spec.cwd = (char *) "/";
    b->spec.stdout_path = (char *) "/dev/null";
    b->spec.umask = 022;
    snprintf(b->run, sizeof b->run, "%ld-%" PRIx64, (long) getpid(), (uint64_t) now_ns());
}

static void take_script(Tugpb__JobSpec *spec)
{
    static char script[] = "#!/bin/sh\ntrue\n";
    spec->kind = TUGPB__JOB_KIND__JOB_BATCH;
    spec->script.data = (uint8_t *) script;
    spec->script.len = strlen(script);
    spec->n_argv = 0;
}

static uint32_t number(const char *text)
{
    uint64_t n;
    if (tug_str_u64(text, 10000000, &n) || n == 0)
        give_up(text, "not a number from 1 to 10000000");
    return (uint32_t) n;
}

static const char *options(struct bench *b, int argc, char **argv)
{
    int o;
    while ((o = getopt(argc, argv, "+n:w:c:N:g:t:beq")) > 0)
        switch (o) {
        case 'n': b->jobs = number(optarg); break;
        case 'w': b->window = number(optarg); break;
        case 'c': b->n_conns = number(optarg); break;
        case 'N': b->res.nodes = number(optarg); break;
        case 'g': b->res.gpus_per_node = number(optarg); break;
        case 't': b->spec.time_limit_s = number(optarg); break;
        case 'b': take_script(&b->spec); break;
        case 'e': b->to_end = 1; break;
        case 'q': b->queries = 1; break;
        default: exit(2);
        }
    if (optind == argc)
        give_up("usage", "inflight [-n JOBS] [-w WINDOW] [-c CONNECTIONS] [-N NODES] [-g GPUS] [-t SECONDS] [-b] [-e] [-q] SOCKET [-- COMMAND...]");
    if (!b->window)
        b->window = b->n_conns > 1 ? 1 : 512;
    const char *socket = argv[optind++];
    if (optind < argc && !strcmp(argv[optind], "--"))
        optind++;
    if (optind < argc) {
        b->spec.argv = argv + optind;
        b->spec.n_argv = (size_t) (argc - optind);
    }
    return socket;
}

static int by_size(const void *x, const void *y)
{
    int64_t a = *(const int64_t *) x, c = *(const int64_t *) y;
    return (a > c) - (a < c);
}

static double ms_at(const int64_t *sorted, uint32_t n, uint32_t percent)
{
    uint64_t i = (uint64_t) n * percent / 100;
    return (double) sorted[i < n ? i : n - 1] / 1e6;
}

static void report(struct bench *b)
{
    int whole = b->to_end || b->queries;
    qsort(b->sent_ns, b->jobs, sizeof *b->sent_ns, by_size);
    qsort(b->asked_ns, b->jobs, sizeof *b->asked_ns, by_size);
    printf("%" PRIu32 " %.6f %.3f %.3f %.3f %.6f %" PRIu64 " %" PRIu64, b->jobs,
           (double) (b->reply_ns - b->start_ns) / 1e9, ms_at(b->sent_ns, b->jobs, 50), ms_at(b->sent_ns, b->jobs, 99),
           ms_at(b->sent_ns, b->jobs, 100), (double) ((whole ? b->end_ns : b->reply_ns) - b->start_ns) / 1e9,
           b->first_id, b->last_id);
    if (b->queries)
        printf(" %.3f %.3f %.3f", ms_at(b->asked_ns, b->jobs, 50), ms_at(b->asked_ns, b->jobs, 99),
               ms_at(b->asked_ns, b->jobs, 100));
    putchar('\n');
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct tug_err err = { 0 };
    defaults(&b);
    const char *socket = options(&b, argc, argv);
    char *endpoint = tug_xasprintf("%s%s", tug_str_has_prefix(socket, "unix:") ? "" : "unix:", socket);
    struct tug_net_opts o = { .auth = TUG_AUTH_UNIX, .channel = TUG_CH_CLIENT, .ops = &ops, .arg = &b };
    take_environ(&b.spec);
    b.sent_ns = tug_xcalloc(b.jobs, sizeof *b.sent_ns);
    b.asked_ns = tug_xcalloc(b.jobs, sizeof *b.asked_ns);
    b.loop = event_base_new();
    b.silence = b.loop ? event_new(b.loop, -1, EV_TIMEOUT, on_silence, &b) : NULL;
    if (!b.silence)
        give_up("memory", "no event");
    b.conns = tug_xcalloc(b.n_conns, sizeof *b.conns);
    for (uint32_t i = 0; i < b.n_conns; i++)
        if (tug_net_dial(&b.conns[i], b.loop, endpoint, &o, &err))
            give_up(endpoint, err.msg);
    event_base_dispatch(b.loop);
    report(&b);
    for (uint32_t i = 0; i < b.n_conns; i++)
        tug_conn_drop(b.conns[i]);
    free(b.conns);
    event_free(b.silence);
    event_base_free(b.loop);
    free(b.sent_ns);
    free(b.asked_ns);
    free(b.spec.env.data);
    free(endpoint);
    return 0;
}
