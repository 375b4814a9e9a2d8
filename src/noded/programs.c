/* programs.c - run prologs and epilogs
 *
 * With an environment that is made here and in the agent, as this daemon's user. Several at once, of several jobs. All that
 * they start have RUN_DIR/programs.lock open, as descriptor 3, and it is locked: whoever finds it so at our start is of a
 * daemon before this one, which died while they ran. These are killed by their groups, which RUN_DIR/programs names, and
 * nothing is run before the last one has let go of the lock. Layer: programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/capture.h"
#include "host/proc.h"
#include "noded/daemon.h"

#define OUTPUT_MAX 4096u               /* the last bytes that it wrote */
#define LINES_MAX  160u                /* of its last lines, in a reason */
#define LOOK_MS    50                  /* at the lock */
#define PATIENCE_MS 10000              /* with those who hold it */

struct run {
    struct programs *all;
    Tugpb__VsRun *is;
    struct tug_capture *capture;       /* NULL = it has not begun */
    char *trouble;                     /* why it could not; told at once, but not from inside of the question */
};

struct programs {
    struct noded *d;
    struct tug_timer *timer;
    struct tug_vec(struct run *) runs;
    int lock, list;                    /* descriptors */
    bool locked;
    uint64_t give_up_ms;               /* while it is not */
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
    for (size_t i = 0; i < p->runs.len; i++)
        if (p->runs.at[i]->capture && tug_capture_is_busy(p->runs.at[i]->capture))
            tug_buf_addf(&text, "%d\n", (int) tug_capture_group(p->runs.at[i]->capture));
    if (ftruncate(p->list, 0) < 0 || pwrite(p->list, tug_buf_str(&text), text.len, 0) != (ssize_t) text.len)
        tug_warn("cannot write down which prologs and epilogs run: %s", strerror(errno));
    tug_buf_clear(&text);
}

static void kill_those_before(const struct programs *p)
{
    char text[4096] = "", *at = text;
    ssize_t n = pread(p->list, text, sizeof text - 1, 0);
    for (text[n > 0 ? n : 0] = 0; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        long group = strtol(at, NULL, 10);
        if (group > 1 && kill((pid_t) -group, SIGKILL) == 0)
            tug_warn("killed what a prolog or an epilog of the daemon before this one had left, group %ld", group);
    }
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

static int start(struct run *r, struct tug_err *err)
{
    Tugpb__VsRun *m = r->is;
    size_t n = 0;
    char **argv = tug_xcalloc(m->n_args + 2, sizeof *argv), **envp = tug_xcalloc(m->n_env + 4, sizeof *envp);
    struct tug_capture_run run = {.path = m->program, .argv = argv, .envp = envp, .cwd = "/", .trusted = true,
                                  .limit_ms = 1000ULL * m->timeout_s, .keep_bytes = OUTPUT_MAX, .hold = r->all->lock};
    argv[0] = m->program;
    for (size_t i = 0; i < m->n_args; i++)
        argv[i + 1] = m->args[i];
    envp[n++] = (char *) PROGRAM_PATH;
    envp[n++] = (char *) "HOME=/";
    envp[n++] = (char *) "LANG=C.UTF-8";
    for (size_t i = 0; i < m->n_env; i++)
        envp[n++] = m->env[i];
    int rc = tug_capture_new(&r->capture, tug_loop_base(r->all->d->loop), on_end, r, err);
    rc = rc ? rc : tug_capture_start(r->capture, &run, err);
    free(argv);
    free(envp);
    return rc;
}

static void begin(struct run *r)
{
    struct tug_err err = {0};
    if (start(r, &err))
        r->trouble = tug_xasprintf("cannot be run: %s", err.msg);
    else
        write_list(r->all);
}

static void begin_all(struct programs *p)
{
    for (size_t i = 0; i < p->runs.len; i++)
        if (!p->runs.at[i]->capture && !p->runs.at[i]->trouble)
            begin(p->runs.at[i]);
}

static bool take_lock(struct programs *p)
{
    if (!p->locked && flock(p->lock, LOCK_EX | LOCK_NB) == 0) {
        p->locked = true;
        write_list(p);
    }
    return p->locked;
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
    if (take_lock(p))
        begin_all(p);
    else if (tug_now_ms() >= p->give_up_ms)
        give_up(p);
    for (size_t i = p->runs.len; i-- > 0;)
        if (i < p->runs.len && p->runs.at[i]->trouble)
            answer(p->runs.at[i], true, p->runs.at[i]->trouble, NULL);
    if (!p->locked && p->runs.len)
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
    if (r && r->capture)
        tug_capture_stop(r->capture);
    else if (r && !r->trouble)
        r->trouble = tug_xstrdup("was not run");
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

static int open_one(const struct noded *d, const char *name, int flags, int *fd, struct tug_err *err)
{
    char *path = tug_xasprintf("%s/%s", d->o.run_dir, name);
    *fd = open(path, flags | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = *fd < 0 ? tug_fail(err, -errno, "%s: %s", path, strerror(errno)) : 0;
    free(path);
    return rc;
}

int programs_start(struct noded *d, struct tug_err *err)
{
    struct programs *p = tug_new(struct programs);
    p->d = d;
    p->lock = p->list = -1;
    d->programs = p;
    int rc = open_one(d, "programs.lock", O_RDONLY, &p->lock, err);
    rc = rc ? rc : open_one(d, "programs", O_RDWR, &p->list, err);
    rc = rc ? rc : tug_timer_new(&p->timer, tug_loop_base(d->loop), on_timer, p, err);
    if (!rc && !take_lock(p)) {
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
    if (p->lock >= 0)
        close(p->lock);
    if (p->list >= 0)
        close(p->list);
    free(p);
}
