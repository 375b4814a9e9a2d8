/* output.c - what ranks print: read from their pipes, and brought to where the user wants it
 *
 * A stream is one pipe of one local rank; it cuts lines. A sink is one file; it labels lines. In
 * between lies a route (files of this node, the head, the terminal), which is watched for standing
 * still. Output lasts as long as the process. Layer: stepd.
 */
#include "stepd/output.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/pattern.h"
#include "base/vec.h"
#include "host/loop.h"
#include "stepd/patience.h"
#include "stepd/writer.h"

#define CAP_BYTES      ((size_t) 1 << 20) /* for each rank that a route serves ... */
#define CAP_RANKS      64                 /* ... up to this many */
#define READ_BYTES     ((size_t) 64 << 10)
#define LINE_MAX_BYTES ((size_t) 64 << 10) /* longer lines are cut */
#define PARTIAL_MS     100
#define STALL_MS       1000
#define POLL_MS        5
#define OPEN_MAX_MS    20000

struct sink {
    unsigned file;
    bool lines, label;
    int open_rank; /* whose line is unfinished; -1: none */
    uint64_t lost; /* bytes that could not be written */
};

struct stream {
    struct tug_output *o;
    struct event *ev; /* NULL: at its end */
    int fd;
    unsigned rank, number; /* 1 stdout, 2 stderr */
    enum tug_route route;
    struct sink *sink; /* of ROUTE_FILES */
    bool lines;
    struct tug_buf tail; /* a line without its end */
    uint64_t tail_ms;
    uint64_t dropped;
    bool dropping, waiting;
};

struct gate { /* is a route moving? */
    size_t backlog;
    uint64_t progress_ms;
};

struct tug_output {
    const struct tug_payload *p;
    struct event_base *base;
    const struct tug_output_ops *ops;
    void *arg;
    struct tug_writer *writer;
    struct tug_timer *tick;
    struct gate gates[TUG_ROUTES];
    struct tug_vec(struct sink *) sinks;
    struct sink *job_sink[2];   /* head: of stdout and stderr, when the job has one file */
    struct sink **rank_sink[2]; /* per local rank, when files are local */
    struct tug_vec(struct stream *) streams;
    unsigned open_streams;
    uint64_t *node_dropped; /* head: per rank, what other nodes sent while files stood still */
    bool nodes_paused;
    uint64_t open_by_ms; /* all files */
    char trouble[512];
};

/* ---- routes ---- */

static size_t backlog(struct tug_output *o, enum tug_route route)
{
    return route == TUG_ROUTE_FILES ? tug_writer_backlog(o->writer)
                                    : o->ops->backlog(o->arg, route);
}

static size_t cap(const struct tug_output *o)
{
    unsigned ranks = o->p->me == 0 ? o->p->n_ranks : o->p->n_local;

    return CAP_BYTES * (ranks < 1 ? 1 : ranks > CAP_RANKS ? CAP_RANKS : ranks);
}

/* Look at the route; true when more waits than it may. */
static bool is_full(struct tug_output *o, enum tug_route route)
{
    struct gate *g = &o->gates[route];
    size_t now = backlog(o, route);

    if (route == TUG_ROUTE_FILES)
        g->progress_ms = tug_writer_progress_ms(o->writer);
    else if (now < g->backlog || now == 0)
        g->progress_ms = tug_now_ms();
    g->backlog = now;
    return now >= cap(o);
}

static bool stands_still(const struct tug_output *o, enum tug_route route)
{
    return tug_now_ms() > o->gates[route].progress_ms + STALL_MS;
}

/* ---- sinks ---- */

static void sink_marker(struct tug_buf *b, struct sink *s, unsigned rank, uint64_t bytes)
{
    if (s->open_rank >= 0)
        tug_buf_addc(b, '\n');
    s->open_rank = -1;
    if (s->label)
        tug_buf_addf(b, "%u: ", rank);
    tug_buf_addf(b, "[tug: output dropped %llu bytes]\n", (unsigned long long) bytes);
}

static void sink_put(struct tug_output *o, struct sink *s, unsigned rank, const char *data,
                     size_t len)
{
    struct tug_buf b = {0};

    if (s->lost) {
        sink_marker(&b, s, rank, s->lost);
        s->lost = 0;
    }
    if (!s->lines) {
        if (b.len)
            tug_writer_put(o->writer, s->file, b.data, b.len);
        tug_writer_put(o->writer, s->file, data, len);
        tug_buf_clear(&b);
        return;
    }
    while (len) {
        const char *end = memchr(data, '\n', len);
        size_t n = end ? (size_t) (end - data) + 1 : len;
        if (s->open_rank >= 0 && s->open_rank != (int) rank) {
            tug_buf_addc(&b, '\n');
            s->open_rank = -1;
        }
        if (s->label && s->open_rank < 0)
            tug_buf_addf(&b, "%u: ", rank);
        tug_buf_add(&b, data, n);
        s->open_rank = end ? -1 : (int) rank;
        data += n;
        len -= n;
    }
    tug_writer_put(o->writer, s->file, b.data, b.len);
    tug_buf_clear(&b);
}

static void on_written(void *arg)
{
    struct tug_output *o = arg;

    for (size_t i = 0; i < o->sinks.len; i++) {
        int error;
        uint64_t lost = tug_writer_lost(o->writer, o->sinks.at[i]->file, &error);
        o->sinks.at[i]->lost += lost;
        if (lost && !o->trouble[0])
            snprintf(
                o->trouble, sizeof o->trouble,
                "an output file on node %s cannot be written: %s; output is lost until that ends",
                o->p->node, strerror(error));
    }
}

/* Long before the gang would be called late: that is held against the node. */
static uint64_t open_for_ms(const struct tug_payload *p)
{
    uint64_t launch_ms = 1000ull * p->pb->launch_timeout_s;

    return launch_ms && launch_ms * 2 / 3 < OPEN_MAX_MS ? launch_ms * 2 / 3 : OPEN_MAX_MS;
}

static int open_file(const struct tug_payload *p, const char *path, uint64_t by_ms, struct tug_err *err)
{
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = tug_patience_open(path, flags | (p->spec->open_append ? 0 : O_TRUNC), 0666, by_ms), e = -fd;
    char *dir, *slash;

    if (fd >= 0) { /* not blocking only so that a fifo without reader is refused, not waited for */
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
        return fd;
    }
    if (e == ETIMEDOUT)
        return tug_fail(err, -e,
                        "cannot open output '%s' on node %s: no answer for %llu s; its file system hangs, choose another --output", path,
                        p->node, (unsigned long long) open_for_ms(p) / 1000);
    dir = tug_xstrdup(path);
    slash = strrchr(dir, '/');
    *(slash == dir ? slash + 1 : slash) = 0;
    if (e == ENOENT && access(dir, F_OK))
        tug_fail(err, -e,
                 "cannot write output to '%s' on node %s: directory '%s' does not exist; create it "
                 "or choose another --output",
                 path, p->node, dir);
    else if (e == EACCES)
        tug_fail(
            err, -e,
            "cannot write output to '%s' on node %s: %s; choose an --output that user %s may write",
            path, p->node, strerror(e), p->pb->user);
    else
        tug_fail(err, -e, "cannot write output to '%s' on node %s: %s; choose another --output",
                 path, p->node, strerror(e));
    free(dir);
    return -e;
}

static int add_sink(struct tug_output *o, const char *pattern, unsigned rank, bool lines,
                    bool label, struct sink **out, struct tug_err *err)
{
    char *path = tug_payload_path(o->p, pattern, rank);
    int fd = open_file(o->p, path, o->open_by_ms, err);

    free(path);
    if (fd < 0)
        return fd;
    *out = tug_new(struct sink);
    **out = (struct sink){
        .file = tug_writer_add(o->writer, fd), .lines = lines, .label = label, .open_rank = -1};
    tug_vec_push(&o->sinks, *out);
    return 0;
}

/* Does the pattern make a file for each rank? */
static bool per_rank(const char *pattern)
{
    for (const char *s = strchr(pattern, '%'); s; s = strchr(s + 1, '%')) {
        s += 1 + strspn(s + 1, "0123456789");
        if (*s == 't')
            return true;
        if (!*s)
            break;
    }
    return false;
}

/* Files of one stream on this node. */
static int open_sinks(struct tug_output *o, unsigned number, const char *pattern,
                      struct tug_err *err)
{
    const struct tug_payload *p = o->p;
    struct sink *shared = NULL;
    int rc = 0;

    if (!tug_pattern_is_split(pattern)) {
        bool several = p->n_ranks > 1;
        return p->me == 0 ? add_sink(o, pattern, 0, several, several, &o->job_sink[number - 1], err)
                          : 0;
    }
    o->rank_sink[number - 1] = tug_xcalloc(p->n_local ? p->n_local : 1, sizeof(struct sink *));
    if (!per_rank(pattern) && p->n_local)
        rc = add_sink(o, pattern, p->first_rank, p->n_local > 1, false, &shared, err);
    for (unsigned i = 0; rc == 0 && i < p->n_local; i++) {
        o->rank_sink[number - 1][i] = shared;
        if (!shared)
            rc = add_sink(o, pattern, tug_payload_rank(p, i), false, false,
                          &o->rank_sink[number - 1][i], err);
    }
    return rc;
}

/* ---- streams ---- */

static void hand_on(struct stream *s, const char *data, size_t len)
{
    struct tug_output *o = s->o;

    if (len == 0)
        return;
    if (s->route == TUG_ROUTE_FILES)
        sink_put(o, s->sink, s->rank, data, len);
    else
        o->ops->send(o->arg, s->route, s->rank, s->number, data, len);
}

static void flush_tail(struct stream *s)
{
    hand_on(s, s->tail.data, s->tail.len);
    tug_buf_reset(&s->tail);
}

static void say_dropped(struct stream *s)
{
    char text[80];
    int n = snprintf(text, sizeof text, "%s[tug: output dropped %llu bytes]\n",
                     s->lines ? "" : "\n", (unsigned long long) s->dropped);

    if (!s->dropped)
        return;
    flush_tail(s);
    hand_on(s, text, (size_t) n);
    s->dropped = 0;
}

static void on_bytes(struct stream *s, const char *data, size_t len)
{
    const char *end;

    if (s->dropping) {
        s->dropped += len;
        return;
    }
    if (!s->lines) {
        hand_on(s, data, len);
        return;
    }
    end = memrchr(data, '\n', len);
    if (end) {
        size_t n = (size_t) (end - data) + 1;
        if (s->tail.len) {
            tug_buf_add(&s->tail, data, n);
            flush_tail(s);
        } else {
            hand_on(s, data, n);
        }
        data += n;
        len -= n;
    }
    if (len) {
        tug_buf_add(&s->tail, data, len);
        s->tail_ms = tug_now_ms();
        if (s->tail.len > LINE_MAX_BYTES)
            flush_tail(s);
        else
            tug_timer_set(s->o->tick, s->tail_ms + PARTIAL_MS);
    }
}

static void close_stream(struct stream *s)
{
    if (!s->ev)
        return;
    s->dropping = false;
    say_dropped(s);
    flush_tail(s);
    tug_buf_clear(&s->tail);
    event_free(s->ev);
    close(s->fd);
    s->ev = NULL;
    s->o->open_streams--;
}

/* Before reading: is there room? A full route makes the rank wait, one that stands still makes it
 * lose output. */
static bool may_read(struct stream *s)
{
    struct tug_output *o = s->o;
    bool full = is_full(o, s->route);

    if (full && stands_still(o, s->route)) {
        s->dropping = true;
    } else if (full) {
        s->waiting = true;
        event_del(s->ev);
        tug_timer_set(o->tick, tug_now_ms() + POLL_MS);
        return false;
    } else if (s->dropping) {
        s->dropping = false;
        say_dropped(s);
    }
    return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    static char buf[READ_BYTES];
    struct stream *s = arg;
    ssize_t n;

    (void) what;
    if (!may_read(s))
        return;
    n = read(fd, buf, sizeof buf);
    if (n > 0)
        on_bytes(s, buf, (size_t) n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        close_stream(s);
}

/* ---- the clock: lines without an end, routes that were full ---- */

/* The rest of the line may be there already: it is we who were slow. */
static bool has_unread(const struct stream *s)
{
    int n = 0;

    return ioctl(s->fd, FIONREAD, &n) == 0 && n > 0;
}

static void tick_stream(struct stream *s, uint64_t now, uint64_t *next)
{
    if (!s->ev)
        return;
    if (s->waiting && (!is_full(s->o, s->route) || stands_still(s->o, s->route))) {
        s->waiting = false;
        event_add(s->ev, NULL);
    } else if (s->waiting && now + POLL_MS < *next) {
        *next = now + POLL_MS;
    }
    if (s->tail.len && s->tail_ms + PARTIAL_MS <= now && !s->waiting && !has_unread(s))
        flush_tail(s);
    else if (s->tail.len && s->tail_ms + PARTIAL_MS <= now)
        *next = now + POLL_MS < *next ? now + POLL_MS : *next;
    else if (s->tail.len && s->tail_ms + PARTIAL_MS < *next)
        *next = s->tail_ms + PARTIAL_MS;
}

static void pause_nodes(struct tug_output *o, bool paused)
{
    if (o->nodes_paused != paused)
        o->ops->pause_nodes(o->arg, paused);
    o->nodes_paused = paused;
}

static void on_tick(void *arg)
{
    struct tug_output *o = arg;
    uint64_t now = tug_now_ms(), next = UINT64_MAX;

    for (size_t i = 0; i < o->streams.len; i++)
        tick_stream(o->streams.at[i], now, &next);
    if (o->nodes_paused) {
        if (!is_full(o, TUG_ROUTE_FILES) || stands_still(o, TUG_ROUTE_FILES))
            pause_nodes(o, false);
        else if (now + POLL_MS < next)
            next = now + POLL_MS;
    }
    if (next != UINT64_MAX)
        tug_timer_set(o->tick, next);
}

/* ---- the outside ---- */

static const char *pattern_of(const struct tug_payload *p, unsigned number)
{
    const char *out = p->spec->stdout_path[0] ? p->spec->stdout_path : TUG_PATTERN_DEFAULT;

    return number == 2 && p->spec->stderr_path[0] ? p->spec->stderr_path : out;
}

/* One pipe for both keeps the order in which a rank wrote to them. */
static bool one_pipe(const struct tug_payload *p)
{
    return !p->spec->interactive && strcmp(pattern_of(p, 1), pattern_of(p, 2)) == 0;
}

int tug_output_open(struct tug_output **out, struct event_base *base, const struct tug_payload *p,
                    const struct tug_output_ops *ops, void *arg, struct tug_err *err)
{
    struct tug_output *o = tug_new(struct tug_output);
    int rc;

    o->p = p;
    o->base = base;
    o->ops = ops;
    o->arg = arg;
    for (int i = 0; i < TUG_ROUTES; i++)
        o->gates[i].progress_ms = tug_now_ms();
    o->open_by_ms = tug_now_ms() + open_for_ms(p);
    *out = o;
    rc = tug_timer_new(&o->tick, base, on_tick, o, err);
    if (rc == 0)
        rc = tug_writer_new(&o->writer, base, on_written, o, err);
    if (rc < 0 || p->spec->interactive)
        return rc;
    rc = open_sinks(o, 1, pattern_of(p, 1), err);
    if (rc == 0 && !one_pipe(p))
        rc = open_sinks(o, 2, pattern_of(p, 2), err);
    return rc;
}

static int add_stream(struct tug_output *o, unsigned local, unsigned number, int *child_end,
                      struct tug_err *err)
{
    struct stream *s;
    int fds[2];

    if (pipe2(fds, O_CLOEXEC))
        return tug_fail(err, -errno, "cannot make a pipe for the output of rank %u: %s",
                        tug_payload_rank(o->p, local), strerror(errno));
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    s = tug_new(struct stream);
    *s = (struct stream){
        .o = o, .fd = fds[0], .rank = tug_payload_rank(o->p, local), .number = number};
    if (o->p->spec->interactive)
        s->route = o->p->me == 0 ? TUG_ROUTE_CLIENT : TUG_ROUTE_HEAD;
    else if (o->rank_sink[number - 1])
        s->sink = o->rank_sink[number - 1][local];
    else if (o->p->me == 0)
        s->sink = o->job_sink[number - 1];
    else
        s->route = TUG_ROUTE_HEAD;
    s->lines = s->sink ? s->sink->lines : o->p->n_ranks > 1;
    s->ev = event_new(o->base, s->fd, EV_READ | EV_PERSIST, on_readable, s);
    tug_assert(s->ev && event_add(s->ev, NULL) == 0);
    tug_vec_push(&o->streams, s);
    o->open_streams++;
    *child_end = fds[1];
    return 0;
}

int tug_output_rank_pipe(struct tug_output *o, unsigned local, int fds[2], struct tug_err *err)
{
    int rc = add_stream(o, local, 1, &fds[0], err);

    if (rc < 0)
        return rc;
    fds[1] = fds[0];
    if (one_pipe(o->p))
        return 0;
    rc = add_stream(o, local, 2, &fds[1], err);
    if (rc < 0)
        close(fds[0]);
    return rc;
}

void tug_output_take(struct tug_output *o, unsigned rank, unsigned stream, const void *data,
                     size_t len)
{
    struct sink *s = o->job_sink[stream == 2 && o->job_sink[1] ? 1 : 0];

    if (!s || rank >= o->p->n_ranks)
        return;
    if (!o->node_dropped)
        o->node_dropped = tug_xcalloc(o->p->n_ranks, sizeof *o->node_dropped);
    if (is_full(o, TUG_ROUTE_FILES)) {
        if (stands_still(o, TUG_ROUTE_FILES)) {
            o->node_dropped[rank] += len;
            return;
        }
        pause_nodes(o, true); /* what is on its way is taken; the nodes hold back the rest */
        tug_timer_set(o->tick, tug_now_ms() + POLL_MS);
    }
    if (o->node_dropped[rank]) {
        struct tug_buf b = {0};
        sink_marker(&b, s, rank, o->node_dropped[rank]);
        tug_writer_put(o->writer, s->file, b.data, b.len);
        tug_buf_clear(&b);
        o->node_dropped[rank] = 0;
    }
    sink_put(o, s, rank, data, len);
}

void tug_output_note(struct tug_output *o, unsigned rank, const char *line)
{
    unsigned local = rank - o->p->first_rank < o->p->n_local ? rank - o->p->first_rank : 0;
    struct sink *s = o->job_sink[1] ? o->job_sink[1] : o->job_sink[0];
    struct tug_buf b = {0};

    for (int i = 1; !s && i >= 0; i--)
        if (o->rank_sink[i] && o->p->n_local)
            s = o->rank_sink[i][local];
    if (!s || is_full(o, TUG_ROUTE_FILES))
        return;
    if (s->open_rank >= 0)
        tug_buf_addc(&b, '\n');
    s->open_rank = -1;
    tug_buf_addf(&b, "[tug: %s]\n", line);
    tug_writer_put(o->writer, s->file, b.data, b.len);
    tug_buf_clear(&b);
}

bool tug_output_drained(const struct tug_output *o)
{
    return o->open_streams == 0;
}

void tug_output_cut(struct tug_output *o)
{
    for (size_t i = 0; i < o->streams.len; i++)
        close_stream(o->streams.at[i]);
}

bool tug_output_flushed(struct tug_output *o)
{
    return tug_writer_backlog(o->writer) == 0;
}

const char *tug_output_trouble(const struct tug_output *o)
{
    return o->trouble;
}
