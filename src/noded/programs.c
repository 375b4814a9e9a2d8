/* programs.c - run prologs and epilogs
 *
 * With an environment that is made here and in the agent, as this daemon's user. Several at once, of several jobs. Each, with all
 * that it starts, carries a leash (host/leash.h): its place in RUN_DIR/programs.lock. RUN_DIR/programs names the groups and places of those
 * that run; what it names at our start ran when a daemon before this one died. That is killed, by group and by leash, and nothing
 * is run before the last of it is gone. Of one that is cut short goes all that carries its leash; one that ends by itself may leave
 * what it started in a session of its own, which then is nobody's business here. Layer: programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/capture.h"
#include "host/leash.h"
#include "host/proc.h"
#include "noded/daemon.h"

#define OUTPUT_MAX 4096u               /* the last bytes that it wrote */
#define LINES_MAX  160u                /* of its last lines, in a reason */
#define LOOK_MS    50                  /* at what is left of a daemon before this one */
#define PATIENCE_MS 10000              /* with that */
#define LIST_MAX   65536u

struct run {
    struct programs *all;
    Tugpb__VsRun *is;
    struct tug_capture *capture;       /* NULL = it has not begun */
    uint64_t place;                    /* of its leash, from then on */
    bool stopped;
    char *trouble;                     /* why it could not; told at once, but not from inside of the question */
};

struct programs {
    struct noded *d;
    struct tug_timer *timer;
    struct tug_vec(struct run *) runs;
    char *lock;                        /* the file of leashes */
    int list;                          /* a descriptor */
    struct tug_vec(uint64_t) left;     /* places of a daemon before this one; nothing is run as long as there are any */
    uint64_t give_up_ms;               /* on these */
};

static void free_run(struct run *r)
{
    tug_capture_free(r->capture);
    protobuf_c_message_free_unpacked(&r->is->base, NULL);
    free(r->trouble);
    free(r);
}

static void take_off(struct run *r)
{
    struct programs *p = r->all;
    for (size_t i = 0; i < p->runs.len; i++)
        if (p->runs.at[i] == r) {
            tug_vec_remove(&p->runs, i);
            break;
        }
}

/* ---- who runs, for the daemon after this one */

static void write_list(const struct programs *p)
{
    struct tug_buf text = {0};
    for (size_t i = 0; i < p->left.len; i++)
        tug_buf_addf(&text, "0 %llu\n", (unsigned long long) p->left.at[i]);
    for (size_t i = 0; i < p->runs.len; i++)
        if (p->runs.at[i]->capture)
            tug_buf_addf(&text, "%d %llu\n", (int) tug_capture_group(p->runs.at[i]->capture),
                         (unsigned long long) p->runs.at[i]->place);
    if (ftruncate(p->list, 0) < 0 || pwrite(p->list, tug_buf_str(&text), text.len, 0) != (ssize_t) text.len)
        tug_warn("cannot write down which prologs and epilogs run: %s", strerror(errno));
    tug_buf_clear(&text);
}

static void kill_those_before(struct programs *p)
{
    struct tug_buf text = {0};
    ssize_t n = pread(p->list, tug_buf_room(&text, LIST_MAX), LIST_MAX, 0);
    text.len = n > 0 ? (size_t) n : 0;
    for (const char *at = tug_buf_str(&text); at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
        int group;
        unsigned long long place;
        if (sscanf(at, "%d %llu", &group, &place) != 2 || !tug_leash_is_held(p->lock, place))
            continue; /* that number may be another group's by now */
        if (group > 1 && kill(-group, SIGKILL) == 0)
            tug_warn("killed what a prolog or an epilog of the daemon before this one had left, group %d", group);
        tug_vec_push(&p->left, place);
    }
    tug_buf_clear(&text);
}

static void kill_leashed(const struct programs *p, uint64_t place)
{
    unsigned n = tug_leash_kill(p->lock, place);
    if (n)
        tug_warn("killed %u process%s that a prolog or an epilog which was cut short had left outside of its group", n, n == 1 ? "" : "es");
}

/* ---- the answer */

static void answer(struct run *r, bool failed, const char *text, const struct tug_buf *output)
{
    struct noded *d = r->all->d;
    Tugpb__VsDone m = TUGPB__VS_DONE__INIT;
    char *words = tug_xasprintf("%.*s", output ? (int) output->len : 0, output ? tug_buf_str(output) : "");
    m.key = r->is->key;
    m.epilog = r->is->epilog;
    m.failed = failed;
    m.text = (char *) (uintptr_t) text;
    m.output = words;
    take_off(r);
    write_list(r->all);
    tug_agent_message(d->agent, TUG_PEER_PROGRAMS, TUG_MSG_VS_DONE, 0, &m.base);
    world_check(d);
    free(words);
    free_run(r);
}

static void on_end(void *arg, const struct tug_capture_end *e)
{
    struct run *r = arg;
    struct tug_buf text = {0}, lines = {0};
    char how[64];
    tug_capture_last_lines(e->output, LINES_MAX, &lines);
    if (e->late || r->stopped)
        kill_leashed(r->all, r->place);
    if (e->late)
        tug_buf_addf(&text, "did not end within %u s%s", r->is->timeout_s, e->stuck ? " and cannot be killed" : "");
    else
        tug_buf_addf(&text, "ended with %s", tug_status_text(e->status, how, sizeof how));
    tug_buf_addf(&text, "%s%s", lines.len ? ": " : "", tug_buf_str(&lines));
    answer(r, e->late || e->status != 0, tug_buf_str(&text), e->output);
    tug_buf_clear(&text);
    tug_buf_clear(&lines);
}

/* ---- one run */

static int start(struct run *r, int leash, struct tug_err *err)
{
    Tugpb__VsRun *m = r->is;
    size_t n = 0;
    char **argv = tug_xcalloc(m->n_args + 2, sizeof *argv), **envp = tug_xcalloc(m->n_env + 4, sizeof *envp);
    struct tug_capture_run run = {.path = m->program, .argv = argv, .envp = envp, .cwd = "/", .trusted = true,
                                  .limit_ms = 1000ULL * m->timeout_s, .keep_bytes = OUTPUT_MAX, .hold = leash};
    argv[0] = m->program;
    for (size_t i = 0; i < m->n_args; i++)
        argv[i + 1] = m->args[i];
    envp[n++] = (char *) PROGRAM_PATH;
    envp[n++] = (char *) "HOME=/";
    envp[n++] = (char *) "LANG=C.UTF-8";
    for (size_t i = 0; i < m->n_env; i++)
        envp[n++] = m->env[i];
    int rc = tug_capture_start(r->capture, &run, err);
    free(argv);
    free(envp);
    return rc;
}

static void begin(struct run *r)
{
    struct tug_err err = {0};
    int leash = -1, rc = tug_leash_take(r->all->lock, &leash, &r->place, &err);
    rc = rc ? rc : tug_capture_new(&r->capture, tug_loop_base(r->all->d->loop), on_end, r, &err);
    if (!rc)
        write_list(r->all); /* before there is anybody who carries it, */
    rc = rc ? rc : start(r, leash, &err);
    if (leash >= 0)
        close(leash);
    if (rc)
        r->trouble = tug_xasprintf("cannot be run: %s", err.msg);
    else
        write_list(r->all); /* and with its group */
}

static void begin_all(struct programs *p)
{
    for (size_t i = 0; i < p->runs.len; i++)
        if (!p->runs.at[i]->capture && !p->runs.at[i]->trouble)
            begin(p->runs.at[i]);
}

static bool others_are_gone(struct programs *p)
{
    for (size_t i = p->left.len; i-- > 0;) {
        if (tug_leash_is_held(p->lock, p->left.at[i]))
            kill_leashed(p, p->left.at[i]);
        else
            tug_vec_remove(&p->left, i);
    }
    return !p->left.len;
}

static void give_up(struct programs *p)
{
    for (size_t i = 0; i < p->runs.len; i++)
        if (!p->runs.at[i]->trouble)
            p->runs.at[i]->trouble = tug_xstrdup("cannot be run: processes of one before it, which the node daemon that ran it did "
                                                 "not outlive, are there still");
}

static void on_timer(void *arg)
{
    struct programs *p = arg;
    if (others_are_gone(p))
        begin_all(p);
    else if (tug_now_ms() >= p->give_up_ms)
        give_up(p);
    for (size_t i = p->runs.len; i-- > 0;)
        if (i < p->runs.len && p->runs.at[i]->trouble)
            answer(p->runs.at[i], true, p->runs.at[i]->trouble, NULL);
    if (p->left.len && p->runs.len)
        tug_timer_set(p->timer, tug_now_ms() + LOOK_MS);
}

static struct run *find(struct programs *p, const Tugpb__StepKey *key)
{
    for (size_t i = 0; i < p->runs.len; i++)
        if (p->runs.at[i]->is->key->job == key->job && p->runs.at[i]->is->key->attempt == key->attempt)
            return p->runs.at[i];
    return NULL;
}

static void stop(struct programs *p, const Tugpb__StepKey *key)
{
    struct run *r = find(p, key);
    if (r && r->capture) {
        r->stopped = true;
        tug_capture_stop(r->capture);
    } else if (r && !r->trouble) {
        r->trouble = tug_xstrdup("was not run");
    }
}

void programs_run(struct noded *d, const Tugpb__VsRun *m)
{
    struct programs *p = d->programs;
    if (m->stop) {
        stop(p, m->key);
    } else {
        struct run *r = tug_new(struct run);
        struct tug_buf packed = {0};
        tug_msg_pack(&packed, &m->base);
        r->all = p;
        r->is = tugpb__vs_run__unpack(NULL, packed.len, (const uint8_t *) tug_buf_str(&packed));
        tug_assert(r->is);
        tug_buf_clear(&packed);
        tug_vec_push(&p->runs, r);
    }
    tug_timer_set(p->timer, tug_now_ms());
}

/* ---- */

static int open_list(struct programs *p, struct tug_err *err)
{
    char *path = tug_xasprintf("%s/programs", p->d->o.run_dir);
    p->list = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = p->list < 0 ? tug_fail(err, -errno, "%s: %s", path, strerror(errno)) : 0;
    free(path);
    return rc;
}

int programs_start(struct noded *d, struct tug_err *err)
{
    struct programs *p = tug_new(struct programs);
    p->d = d;
    p->lock = tug_xasprintf("%s/programs.lock", d->o.run_dir);
    d->programs = p;
    int rc = open_list(p, err);
    rc = rc ? rc : tug_timer_new(&p->timer, tug_loop_base(d->loop), on_timer, p, err);
    if (!rc) {
        kill_those_before(p);
        p->give_up_ms = tug_now_ms() + PATIENCE_MS;
    }
    return rc;
}

void programs_stop(struct noded *d)
{
    struct programs *p = d->programs;
    if (!p)
        return;
    d->programs = NULL;
    for (size_t i = 0; i < p->runs.len; i++)
        free_run(p->runs.at[i]);
    tug_vec_clear(&p->runs);
    tug_timer_free(p->timer);
    tug_vec_clear(&p->left);
    free(p->lock);
    if (p->list >= 0)
        close(p->list);
    free(p);
}
