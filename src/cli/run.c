/* run.c - tug run: a gang now, its output here
 *
 * Submits an interactive job and listens for the head step daemon, which dials in, proves the key
 * that went with the request, and carries output, input and signals. The controller is asked for
 * the job's end all the while, so that a job that never starts is heard of too. What always holds:
 * once the job has an id, leaving without its end known closes both connections, and the job ends
 * with them. Layer: cli.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/jobview.h"
#include "cli/runaddr.h"
#include "cli/runout.h"
#include "cli/runsig.h"
#include "cli/submit.h"
#include "cli/verb.h"
#include "host/loop.h"
#include "host/net.h"
#include "proto/step.pb-c.h"

#define RETRY_MS          500
#define GIVE_UP_MS        60000
#define LAST_WORDS_MS     2000 /* the job has ended, the head still owes its last message */
#define INPUT_CHUNK       65536
#define INPUT_WAITING_MAX (1 << 20)
#define TTY_PROGRESS_MS   300
#define PLAIN_PROGRESS_MS 2000

enum { RID_SUBMIT = 1, RID_END, RID_CHANGE, RID_CANCEL };

struct run {
    struct tug_jobopts o;
    Tugpb__SubmitRequest request;
    char token[TUG_TOKEN_MAX], endpoint[TUG_PATH_MAX], socket[TUG_PATH_MAX];
    struct tug_loop *loop;
    struct tug_conn *control, *head;
    struct tug_listener *listener;
    struct tug_timer *retry, *last_words, *progress, *input_later;
    struct event *input;
    bool control_up, opened_once;
    uint64_t lost_ms; /* since when the controller is away; 0 = it is there */
    uint64_t job;     /* 0 = not yet known */
    uint32_t step;
    struct tug_runout out;
    struct tug_runsig signals;
    bool heard, done;              /* the head said hello; it said how all ranks ended */
    bool line_shown, waiting_said; /* progress */
    bool tty;
    struct tug_buf json;
    int status;
};

static const struct tug_net_ops control_ops;

const struct tug_opt *tug_opts_of_run(size_t *n)
{
    return tug_jobopts_table('R', n);
}

static void leave(struct run *r, int status)
{
    r->status = status;
    tug_loop_stop(r->loop);
}

/* ---- what is shown ---- */

static void line_clear(struct run *r)
{
    if (r->line_shown && write(2, "\r\033[K", 4) < 0)
        return;
    r->line_shown = false;
}

/* One line on the terminal that the next one replaces. */
static void line_show(struct run *r, const char *text)
{
    struct tug_buf b = {0};
    int width = tug_out.width > 4 ? tug_out.width - 1 : 79;
    tug_buf_adds(&b, "\rtug: ");
    size_t at = b.len;
    tug_str_escape(&b, text, strlen(text));
    while (tug_out_columns(b.data + at, b.len - at) > width - 5)
        do
            b.len--;
        while (((unsigned char) b.data[b.len] & 0xC0) == 0x80);
    tug_buf_adds(&b, "\033[K");
    r->line_shown = write(2, b.data, b.len) > 0;
    tug_buf_clear(&b);
}

static void say(struct run *r, const char *text)
{
    line_clear(r);
    if (!r->o.quiet && !r->o.json)
        tug_out_note("%s", text);
}

/* Waits for a slow reader: the head notices and holds the ranks back. A reader that is gone ends
 * the job, as SIGPIPE ends a program that runs here: leaving closes the connection, and the job
 * goes with it. */
static void write_fd(struct run *r, int fd, struct tug_buf *b)
{
    size_t at = 0;
    while (at < b->len) {
        ssize_t n = write(fd, b->data + at, b->len - at);
        if (n < 0 && errno == EAGAIN)
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        else if (n < 0 && errno != EINTR) {
            if (fd == 1)
                leave(r, 128 + SIGPIPE);
            break;
        }
        at += n > 0 ? (size_t) n : 0;
    }
    tug_buf_reset(b);
}

static void show_output(struct run *r)
{
    if (r->out.ready[0].len || r->out.ready[1].len)
        line_clear(r);
    write_fd(r, 1, &r->out.ready[0]);
    write_fd(r, 2, &r->out.ready[1]);
}

static void json_output(struct run *r, const Tugpb__RunOutput *o)
{
    tug_buf_addf(&r->json, "{\"event\":\"output\",\"rank\":%u,\"stream\":%u,\"data\":", o->rank,
                 o->stream);
    tug_out_json_string(&r->json, (const char *) o->data.data, o->data.len);
    tug_buf_adds(&r->json, "}\n");
    write_fd(r, 1, &r->json);
}

static void json_end(struct run *r, const Tugpb__Cause *cause)
{
    tug_buf_addf(&r->json,
                 "{\"event\":\"end\",\"job\":%" PRIu64 ",\"step\":%u,\"status\":%d,\"cause\":",
                 r->job, r->step, r->status);
    if (cause)
        tug_msg_json(&r->json, &cause->base, 0);
    else
        tug_buf_adds(&r->json, "null");
    tug_buf_adds(&r->json, "}\n");
    write_fd(r, 1, &r->json);
}

static void say_cause(struct run *r, const Tugpb__Cause *cause, const char *state)
{
    struct tug_buf text = {0};
    tug_buf_addf(&text, "job %" PRIu64 ": ", r->job);
    size_t at = text.len;
    tug_jobview_cause(&text, cause);
    if (text.len == at)
        tug_buf_addf(&text, "%s, exit status %d", state, r->status);
    say(r, tug_buf_str(&text));
    tug_buf_clear(&text);
}

/* The job is over and we know how: say it and go. */
static void end(struct run *r, int status, const Tugpb__Cause *cause, const char *state)
{
    r->status = r->signals.first ? 128 + r->signals.first : status;
    tug_runout_end(&r->out);
    show_output(r);
    line_clear(r);
    if (r->o.json)
        json_end(r, cause);
    else if (r->status)
        say_cause(r, cause, state);
    leave(r, r->status);
}

static void fail(struct run *r, const struct tug_err *err)
{
    line_clear(r);
    leave(r, tug_out_fail(err));
}

/* ---- standard input ---- */

static void input_stop(struct run *r)
{
    if (r->input)
        event_free(r->input);
    r->input = NULL;
    if (r->input_later)
        tug_timer_stop(r->input_later);
}

static void input_send(struct run *r, const char *data, size_t n)
{
    Tugpb__RunInput m = TUGPB__RUN_INPUT__INIT;
    m.data.data = (uint8_t *) (uintptr_t) data;
    m.data.len = n;
    m.eof = n == 0;
    tug_conn_send(r->head, TUG_MSG_RUN_INPUT, 0, &m.base);
}

/* False: nothing may be read now (too much waits, or the terminal belongs to somebody else). */
static bool input_wanted(struct run *r)
{
    if (!r->head || tug_conn_out_bytes(r->head) > INPUT_WAITING_MAX)
        return false;
    return !isatty(0) || tcgetpgrp(0) == getpgrp();
}

/* Read once; true when there may be more at once. */
static bool input_read(struct run *r)
{
    char data[INPUT_CHUNK];
    if (!input_wanted(r)) {
        if (r->input)
            event_del(r->input);
        tug_timer_set(r->input_later, tug_now_ms() + 100);
        return false;
    }
    ssize_t n = read(0, data, sizeof data);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    input_send(r, data, n > 0 ? (size_t) n : 0);
    if (n <= 0)
        input_stop(r);
    return n > 0;
}

static void on_input(evutil_socket_t fd, short what, void *arg)
{
    (void) fd, (void) what;
    input_read(arg);
}

static void on_input_later(void *arg)
{
    struct run *r = arg;
    if (r->input)
        event_add(r->input, NULL);
    else if (input_read(r)) /* a file: always readable, so not too much at a time */
        tug_timer_set(r->input_later, tug_now_ms());
}

static void input_start(struct run *r)
{
    struct stat st;
    if (!strcmp(r->o.spec.stdin_path, "none") || fstat(0, &st) < 0) {
        input_send(r, NULL, 0);
        return;
    }
    if (*r->o.spec.stdin_path)
        return; /* the ranks open it themselves */
    struct tug_err err;
    if (!r->input_later &&
        tug_timer_new(&r->input_later, tug_loop_base(r->loop), on_input_later, r, &err))
        return;
    if (S_ISREG(st.st_mode) ||
        (S_ISCHR(st.st_mode) && !isatty(0))) { /* epoll takes neither files nor /dev/null */
        on_input_later(r);
        return;
    }
    r->input = event_new(tug_loop_base(r->loop), 0, EV_READ | EV_PERSIST, on_input, r);
    if (r->input && event_add(r->input, NULL) < 0) {
        event_free(r->input);
        r->input = NULL;
        on_input_later(r);
    }
}

/* ---- the head of the gang ---- */

static void on_run_state(struct run *r, const Tugpb__RunState *s)
{
    char text[128];
    if (!r->tty || r->o.quiet || r->o.json)
        return;
    if (!strcmp(s->phase, "running")) {
        line_clear(r);
        return;
    }
    snprintf(text, sizeof text, "job %" PRIu64 ": %.32s %u/%u", r->job, s->phase, s->count,
             s->total);
    if (r->line_shown) /* quick launches show nothing at all */
        line_show(r, text);
}

static void on_run_done(struct run *r, const Tugpb__RunDone *d)
{
    int status = 0;
    const Tugpb__Cause *cause = d->cause && *d->cause->kind ? d->cause : NULL;
    for (size_t i = 0; i < d->n_exits; i++) {
        int one = tug_jobview_exit(d->exits[i]);
        status = one > status ? one : status;
    }
    r->done = true;
    /* The ranks that were ended because of the first failure don't count. */
    if (cause && tug_jobview_exit(cause->exit))
        status = tug_jobview_exit(cause->exit);
    else if (status == 0 && cause)
        status = 1;
    end(r, status, cause, "ended");
}

static void on_run_frame(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    struct run *r = arg;
    struct tug_arena arena = {0};
    struct tug_err err = {0};
    ProtobufCMessage *m;
    if (r->done || tug_msg_decode(&arena, f->number, f->body, f->len, &m, &err))
        return;
    if (c != r->head) { /* only one that said hello may speak */
        if (f->number == TUG_MSG_RUN_HELLO && !r->head) {
            const Tugpb__RunHello *h = (Tugpb__RunHello *) m;
            r->head = c;
            if (!r->heard)
                tug_runout_init(&r->out, r->o.label, h->ntasks);
            r->heard = true;
            input_start(r);
        } else {
            tug_conn_drop(c);
        }
    } else if (f->number == TUG_MSG_RUN_OUTPUT) {
        const Tugpb__RunOutput *o = (Tugpb__RunOutput *) m;
        if (r->o.json)
            json_output(r, o);
        else
            tug_runout_data(&r->out, o->rank, o->stream, o->data.data, o->data.len);
        show_output(r);
    } else if (f->number == TUG_MSG_RUN_STATE) {
        on_run_state(r, (Tugpb__RunState *) m);
    } else if (f->number == TUG_MSG_RUN_DONE) {
        on_run_done(r, (Tugpb__RunDone *) m);
    }
    tug_arena_clear(&arena);
}

static void on_run_open(void *arg, struct tug_conn *c)
{
    (void) arg, (void) c;
}

static void on_run_close(void *arg, struct tug_conn *c, const char *why)
{
    struct run *r = arg;
    (void) why;
    if (c != r->head)
        return;
    r->head = NULL; /* how the job ended comes from the controller then */
    input_stop(r);
}

static const struct tug_net_ops run_ops = {on_run_open, on_run_frame, on_run_close};

/* Unix socket where everything is on this host, TCP else. */
static int listen_for_head(struct run *r, struct tug_err *err)
{
    struct tug_net_opts o = {
        .auth = TUG_AUTH_PSK, .channel = TUG_CH_RUN, .ops = &run_ops, .arg = r, .max_conns = 16};
    char dir[TUG_PATH_MAX / 2], address[TUG_ADDRESS_MAX];
    int rc = -ENOENT;
    if (getrandom(o.psk, sizeof o.psk, 0) != (ssize_t) sizeof o.psk)
        return tug_fail(err, -EIO, "no random numbers: %s", strerror(errno));
    uint8_t *key = tug_jobopts_own(&r->o, tug_xmemdup(o.psk, sizeof o.psk));
    if (tug_client_is_local(r->endpoint) && tug_client_run_dir(dir, sizeof dir, true, NULL) == 0) {
        snprintf(r->socket, sizeof r->socket, "%s/run-%d.sock", dir, (int) getpid());
        char *unix_end = tug_xasprintf("unix:%s", r->socket);
        rc = tug_net_listen(&r->listener, tug_loop_base(r->loop), unix_end, 0600, &o, err);
        free(unix_end);
        snprintf(address, sizeof address, "127.0.0.1");
    } else {
        tug_runaddr_own(address);
    }
    if (rc) {
        char *tcp = tug_xasprintf(strchr(address, ':') ? "[%s]:0" : "%s:0", address);
        r->socket[0] = '\0';
        rc = tug_net_listen(&r->listener, tug_loop_base(r->loop), tcp, 0, &o, err);
        free(tcp);
    }
    if (rc)
        return rc;
    r->o.spec.io_addr = tug_jobopts_own(&r->o, tug_xstrdup(tug_listener_endpoint(r->listener)));
    r->o.spec.io_key.data = key;
    r->o.spec.io_key.len = sizeof o.psk;
    return 0;
}

/* ---- the controller ---- */

static int dial(struct run *r, struct tug_err *err)
{
    struct tug_net_opts o = {
        .auth = TUG_AUTH_UNIX, .channel = TUG_CH_CLIENT, .ops = &control_ops, .arg = r};
    return tug_net_dial(&r->control, tug_loop_base(r->loop), r->endpoint, &o, err);
}

static void ask_wait(struct run *r, uint32_t rid, Tugpb__WaitFor until)
{
    Tugpb__WaitRequest w = TUGPB__WAIT_REQUEST__INIT;
    w.job = r->job;
    w.until = until;
    if (until == TUGPB__WAIT_FOR__WAIT_END) {
        w.step = r->step;
    } else {
        w.seen_state = (char *) "PENDING";
        w.timeout_s = 1;
    }
    tug_conn_send(r->control, TUG_MSG_WAIT_REQUEST, rid, &w.base);
}

static void ask_cancel(struct run *r, const char *why)
{
    Tugpb__CancelRequest m = TUGPB__CANCEL_REQUEST__INIT;
    if (!r->control_up || !r->job)
        return;
    m.jobs = &r->job;
    m.n_jobs = 1;
    m.step = r->step;
    m.why = (char *) (uintptr_t) why;
    tug_conn_send(r->control, TUG_MSG_CANCEL_REQUEST, RID_CANCEL, &m.base);
}

static void on_control_open(void *arg, struct tug_conn *c)
{
    struct run *r = arg;
    r->control_up = r->opened_once = true;
    r->lost_ms = 0;
    if (!r->job) {
        int rc = tug_conn_send(c, TUG_MSG_SUBMIT_REQUEST, RID_SUBMIT, &r->request.base);
        tug_assert(rc == 0 || rc < 0);
    } else {
        ask_wait(r, RID_END, TUGPB__WAIT_FOR__WAIT_END);
        if (r->signals.ending)
            ask_cancel(r, "interrupted");
    }
}

static void on_retry(void *arg)
{
    struct run *r = arg;
    struct tug_err err = {0};
    if (!r->head && tug_now_ms() - r->lost_ms > GIVE_UP_MS) {
        tug_fail(&err, TUG_UNREACHABLE,
                 "the controller at %s has been away for %d s; job %" PRIu64 " is left to it",
                 r->endpoint + strlen("unix:"), GIVE_UP_MS / 1000, r->job);
        fail(r, &err);
    } else if (dial(r, &err)) {
        r->control = NULL;
        tug_timer_set(r->retry, tug_now_ms() + RETRY_MS);
    }
}

static void control_lost(struct run *r, const char *why)
{
    struct tug_err err = {0};
    r->control = NULL;
    r->control_up = false;
    if (!r->opened_once) {
        tug_fail(&err, TUG_UNREACHABLE,
                 "no controller answers at %s (%s); start one with: tug sandbox start",
                 r->endpoint + strlen("unix:"), why);
        fail(r, &err);
        return;
    }
    if (!r->lost_ms) {
        r->lost_ms = tug_now_ms();
        if (!r->head)
            say(r, "the controller is away; trying again (the job is not lost)");
    }
    tug_timer_set(r->retry, tug_now_ms() + RETRY_MS);
}

static void on_control_close(void *arg, struct tug_conn *c, const char *why)
{
    (void) c;
    control_lost(arg, why);
}

static void on_submitted(struct run *r, const Tugpb__SubmitReply *s)
{
    r->job = s->job;
    r->step = s->step;
    for (size_t i = 0; i < s->n_warnings && !r->o.quiet && !r->o.json; i++)
        tug_out_warn("%s", s->warnings[i]);
    if (r->o.json) {
        tug_buf_addf(&r->json, "{\"event\":\"submitted\",\"job\":%" PRIu64 ",\"step\":%u}\n",
                     r->job, r->step);
        write_fd(r, 1, &r->json);
    }
    ask_wait(r, RID_END, TUGPB__WAIT_FOR__WAIT_END);
    if (r->signals.ending)
        ask_cancel(r, "interrupted");
    if (!r->o.quiet && !r->o.json && !r->step)
        tug_timer_set(r->progress, tug_now_ms() + (r->tty ? TTY_PROGRESS_MS : PLAIN_PROGRESS_MS));
}

/* The job is over for the controller. The head may still have its last message on the way. */
static void on_ended(struct run *r, const Tugpb__WaitReply *w)
{
    if (!w->job)
        return;
    r->status = tug_jobview_status(w->job);
    if (r->head) {
        tug_timer_set(r->last_words, tug_now_ms() + LAST_WORDS_MS);
        return;
    }
    end(r, r->status, w->job->cause && *w->job->cause->kind ? w->job->cause : NULL, w->job->state);
}

static void on_last_words(void *arg)
{
    struct run *r = arg;
    end(r, r->status, NULL, "ended");
}

static void on_progress(void *arg)
{
    struct run *r = arg;
    if (r->control_up && !r->heard)
        ask_wait(r, RID_CHANGE, TUGPB__WAIT_FOR__WAIT_CHANGE);
}

static void on_changed(struct run *r, const Tugpb__WaitReply *w)
{
    const Tugpb__JobView *j = w->job;
    char span[32];
    struct tug_buf text = {0};
    if (!j || r->heard || (strcmp(j->state, "PENDING") != 0 && !*j->nodelist))
        return; /* it ended while it waited: the end says so */
    bool waits = !strcmp(j->state, "PENDING");
    if (waits)
        tug_buf_addf(&text, "job %" PRIu64 " waits%s%s: %s%s%s", j->id, r->tty ? " " : "",
                     r->tty ? tug_out_span(tug_wall_ms() - j->submit_ms, span, sizeof span) : "",
                     j->reason, *j->reason && *j->explain ? ": " : "", j->explain);
    else
        tug_buf_addf(&text, "job %" PRIu64 " starts on %s", j->id, j->nodelist);
    if (r->tty)
        line_show(r, tug_buf_str(&text));
    else if (waits && !r->waiting_said)
        say(r, tug_buf_str(&text));
    r->waiting_said = true;
    tug_buf_clear(&text);
    /* While it waits the answer itself took a second; when it starts, not every millisecond. */
    if (waits)
        on_progress(r);
    else if (!tug_jobview_is_over(j))
        tug_timer_set(r->progress, tug_now_ms() + 1000);
}

static void on_control_frame(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    struct run *r = arg;
    struct tug_arena arena = {0};
    struct tug_err err = {0};
    ProtobufCMessage *m;
    if (tug_msg_decode(&arena, f->number, f->body, f->len, &m, &err)) {
        tug_conn_drop(c);
        control_lost(r, err.msg);
    } else if (f->number == TUG_MSG_ERROR && f->rid == RID_SUBMIT) {
        tug_client_refused((Tugpb__Error *) m, &err);
        fail(r, &err);
    } else if (f->number == TUG_MSG_ERROR && f->rid == RID_END && !r->head) {
        tug_client_refused((Tugpb__Error *) m, &err);
        fail(r, &err);
    } else if (f->number == TUG_MSG_SUBMIT_REPLY && f->rid == RID_SUBMIT) {
        on_submitted(r, (Tugpb__SubmitReply *) m);
    } else if (f->number == TUG_MSG_WAIT_REPLY && f->rid == RID_END) {
        on_ended(r, (Tugpb__WaitReply *) m);
    } else if (f->number == TUG_MSG_WAIT_REPLY && f->rid == RID_CHANGE) {
        on_changed(r, (Tugpb__WaitReply *) m);
    }
    tug_arena_clear(&arena);
}

static const struct tug_net_ops control_ops = {on_control_open, on_control_frame, on_control_close};

/* ---- signals ---- */

static void send_signal(struct run *r, int signo)
{
    Tugpb__RunSignal m = TUGPB__RUN_SIGNAL__INIT;
    m.signal = signo;
    tug_conn_send(r->head, TUG_MSG_RUN_SIGNAL, 0, &m.base);
}

static void on_signal(void *arg, int signo)
{
    struct run *r = arg;
    char text[128];
    switch (tug_runsig_on(&r->signals, signo, (int64_t) tug_now_ms(), r->head != NULL)) {
    case TUG_RUNSIG_IGNORE:
        break;
    case TUG_RUNSIG_FORWARD:
        send_signal(r, signo);
        snprintf(text, sizeof text, "sent %s to all ranks%s", tug_signal_name(signo),
                 signo == SIGINT ? "; once more within a second kills them" : "");
        if (signo == SIGINT)
            say(r, text);
        break;
    case TUG_RUNSIG_CANCEL:
        say(r, "cancelling the job");
        ask_cancel(r, "interrupted while it waited");
        break;
    case TUG_RUNSIG_KILL:
        say(r, "killing all ranks");
        send_signal(r, SIGKILL);
        ask_cancel(r, "interrupted twice");
        break;
    case TUG_RUNSIG_LEAVE:
        say(r, "leaving; the job is being ended");
        leave(r, 128 + r->signals.first);
        break;
    }
}

/* ---- the verb ---- */

static int prepare(struct run *r, struct tug_err *err)
{
    static const int passed_on[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
    struct event_base *base;
    int rc = tug_loop_new(&r->loop, err);
    if (rc)
        return rc;
    base = tug_loop_base(r->loop);
    for (size_t i = 0; i < sizeof passed_on / sizeof *passed_on && rc == 0; i++)
        rc = tug_loop_on_signal(r->loop, passed_on[i], on_signal, r, err);
    if (rc == 0)
        rc = tug_timer_new(&r->retry, base, on_retry, r, err);
    if (rc == 0)
        rc = tug_timer_new(&r->last_words, base, on_last_words, r, err);
    if (rc == 0)
        rc = tug_timer_new(&r->progress, base, on_progress, r, err);
    if (rc == 0)
        rc = listen_for_head(r, err);
    if (rc == 0)
        rc = tug_msg_check(&r->request.base, err);
    if (rc == 0 && (rc = dial(r, err))) {
        struct tug_err why = *err;
        rc = tug_fail(err, TUG_UNREACHABLE,
                      "no controller answers at %s (%s); start one with: tug sandbox start",
                      r->endpoint + strlen("unix:"), why.msg);
    }
    return rc;
}

static void run_clear(struct run *r)
{
    input_stop(r);
    if (r->head)
        tug_conn_drop(r->head);
    if (r->control)
        tug_conn_drop(r->control);
    tug_listener_free(r->listener);
    if (*r->socket)
        unlink(r->socket);
    tug_timer_free(r->retry);
    tug_timer_free(r->last_words);
    tug_timer_free(r->progress);
    tug_timer_free(r->input_later);
    tug_loop_free(r->loop);
    tug_runout_clear(&r->out);
    tug_buf_clear(&r->json);
    tug_jobopts_clear(&r->o);
}

/* The job that we are inside of, 0 = none. */
static uint64_t surrounding_job(const struct run *r)
{
    const char *id = getenv("TUG_JOB_ID");
    uint64_t job;
    return !r->o.new_job && id && tug_verb_job_id(id, &job, NULL) == 0 ? job : 0;
}

static void fill_request(struct run *r, int argc, char **argv)
{
    Tugpb__JobSpec *s = &r->o.spec;
    s->kind = TUGPB__JOB_KIND__JOB_GANG;
    s->interactive = 1;
    s->label = r->o.label;
    s->argv = argv;
    s->n_argv = (size_t) argc;
    if (!*s->name)
        s->name = (char *) (uintptr_t) tug_submit_base(argv[0]);
    tug_submit_token(r->token);
    tugpb__submit_request__init(&r->request);
    r->request.token = r->token;
    r->request.spec = s;
    r->request.in_job = surrounding_job(r);
}

/* 0: go on; else the exit status was set. */
static bool take_command_line(struct run *r, int argc, char **argv, struct tug_err *err)
{
    int first = argc;
    int rc = tug_jobopts_command(&r->o, argc, argv, &first, err);
    if (rc == 0 && r->o.help) {
        tug_verb_help("run");
        r->status = TUG_EXIT_OK;
        return false;
    }
    if (rc == 0)
        rc = tug_jobopts_environ(&r->o, environ, err);
    if (rc == 0 && first == argc)
        rc = tug_fail(err, -EINVAL, "no command; tug run [OPTIONS] COMMAND [ARGS]");
    if (rc) {
        r->status = tug_out_usage(err);
        return false;
    }
    if (tug_submit_argv(&r->o, argc - first, argv + first, err) ||
        tug_jobopts_finish(&r->o, environ, err)) {
        r->status = tug_out_fail(err);
        return false;
    }
    fill_request(r, argc - first, argv + first);
    return true;
}

int tug_do_run(int argc, char **argv)
{
    struct run r = {0};
    struct tug_err err = {0};
    tug_jobopts_init(&r.o, 'R', tug_wall_ms());
    if (take_command_line(&r, argc, argv, &err)) {
        r.tty = isatty(2) && !r.o.quiet;
        if (!r.o.json)
            tug_submit_warnings(&r.o);
        tug_client_endpoint(r.endpoint, sizeof r.endpoint);
        if (prepare(&r, &err))
            r.status = tug_out_fail(&err);
        else
            tug_loop_run(r.loop);
    }
    int status = r.status;
    run_clear(&r);
    return status;
}
