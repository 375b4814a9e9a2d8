/* points.c - a daemon that dies by SIGKILL where it was told to
 *
 * Linked into the daemons' own objects with --wrap for each call in the list below, so that what runs is what is
 * shipped, and nothing that is shipped can be told to die. The directory of the program may hold a file "armed",
 * "NAME K\n": who passes point NAME of points.def for the K-th time from now on (in any process) renames it to "fired"
 * and kills itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/capture.h"
#include "host/net_impl.h"
#include "host/store.h"
#include "logic/agent.h"
#include "logic/control.h"
#include "noded/daemon.h"
#include "points.h"
#include "stepd/ranks.h"

static const struct point {
    const char *name, *program;
    enum crash_call call;
    int message;
    enum crash_when when;
} points[] = {
#define TUG_MSG_NONE 0
#define POINT(name, program, scene, call, message, when, nth) {#name, #program, call, TUG_MSG_##message, when},
#include "points.def"
#undef POINT
};

static char dir[4000];

__attribute__((constructor)) static void find_dir(void)
{
    ssize_t n = readlink("/proc/self/exe", dir, sizeof dir - 1);
    char *slash = n > 0 ? strrchr(dir, '/') : NULL;
    if (slash)
        *slash = '\0';
}

/* Is it this one's turn? Several processes may pass at once. */
static int is_due(const char *name, const char *armed)
{
    char text[128] = "", said[100] = "";
    int fd = open(armed, O_RDWR | O_CLOEXEC), due = 0, k = 0;
    if (fd < 0)
        return 0;
    flock(fd, LOCK_EX);
    if (access(armed, F_OK) == 0 && read(fd, text, sizeof text - 1) > 0 && sscanf(text, "%99s %d", said, &k) == 2 &&
        strcmp(said, name) == 0) {
        due = k == 1;
        int len = snprintf(text, sizeof text, "%s %d\n", name, k - 1);
        if (!due && (pwrite(fd, text, (size_t) len, 0) != len || ftruncate(fd, len)))
            abort();
    }
    if (due) {
        char fired[sizeof dir + 16];
        snprintf(fired, sizeof fired, "%s/fired", dir);
        if (rename(armed, fired))
            abort();
    }
    close(fd);
    return due;
}

void crash_pass(enum crash_call call, int message, enum crash_when when)
{
    char armed[sizeof dir + 16];
    int saved = errno;
    snprintf(armed, sizeof armed, "%s/armed", dir);
    if (access(armed, F_OK) != 0) {
        errno = saved;
        return;
    }
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        const struct point *p = &points[i];
        if (p->call == call && p->message == message && p->when == when &&
            strcmp(p->program, program_invocation_short_name) == 0 && is_due(p->name, armed)) {
            kill(getpid(), SIGKILL);
            abort();
        }
    }
    errno = saved;
}

/* ---- the calls; a program has some of them */

WRAP(tug_control_message);
void __wrap_tug_control_message(struct tug_control *c, tug_peer_id peer, uint16_t number, uint32_t rid,
                                const ProtobufCMessage *m)
{
    crash_pass(CONTROL, number, BEFORE);
    __real_tug_control_message(c, peer, number, rid, m);
    crash_pass(CONTROL, number, AFTER);
}

WRAP(tug_control_configure);
int __wrap_tug_control_configure(struct tug_control *c, const struct tug_control_conf *conf, struct tug_err *err)
{
    crash_pass(CONFIGURE, 0, BEFORE);
    int rc = __real_tug_control_configure(c, conf, err);
    crash_pass(CONFIGURE, 0, AFTER);
    return rc;
}

WRAP(tug_agent_message);
void __wrap_tug_agent_message(struct tug_agent *a, tug_peer_id peer, enum tug_msg number, uint32_t rid,
                              const ProtobufCMessage *m)
{
    crash_pass(AGENT, (int) number, BEFORE);
    __real_tug_agent_message(a, peer, number, rid, m);
    crash_pass(AGENT, (int) number, AFTER);
}

WRAP(tug_store_commit);
void __wrap_tug_store_commit(struct tug_store *s, struct tug_batch *b, tug_store_done_cb *cb, void *arg)
{
    crash_pass(COMMIT, 0, BEFORE);
    __real_tug_store_commit(s, b, cb, arg);
    crash_pass(COMMIT, 0, AFTER);
}

WRAP(tug_control_persisted);
void __wrap_tug_control_persisted(struct tug_control *c, uint64_t ticket)
{
    crash_pass(PERSISTED, 0, BEFORE);
    __real_tug_control_persisted(c, ticket);
}

WRAP(tug_agent_persisted);
void __wrap_tug_agent_persisted(struct tug_agent *a, uint64_t ticket)
{
    crash_pass(PERSISTED, 0, BEFORE);
    __real_tug_agent_persisted(a, ticket);
}

WRAP(tug_msg_decode);
int __wrap_tug_msg_decode(struct tug_arena *a, uint16_t number, const void *body, size_t len, ProtobufCMessage **out,
                          struct tug_err *err)
{
    int rc = __real_tug_msg_decode(a, number, body, len, out, err);
    crash_pass(READ, number, AFTER);
    return rc;
}

/* What was queued on a connection and is not in the kernel yet. */
static struct { int fd, message; } queued[256];
static size_t n_queued;

static void queue(const struct tug_conn *c, int message)
{
    if (n_queued == sizeof queued / sizeof *queued) /* older ones: nobody waits for those */
        memmove(queued, queued + 1, sizeof *queued * --n_queued);
    queued[n_queued].fd = c->fd;
    queued[n_queued++].message = message;
}

WRAP(tug_conn_send);
int __wrap_tug_conn_send(struct tug_conn *c, enum tug_msg number, uint32_t rid, const ProtobufCMessage *m)
{
    crash_pass(SEND, (int) number, BEFORE);
    queue(c, (int) number);
    return __real_tug_conn_send(c, number, rid, m);
}

WRAP(tug_conn_send_raw);
int __wrap_tug_conn_send_raw(struct tug_conn *c, uint16_t number, uint32_t rid, const void *body, size_t len)
{
    crash_pass(SEND, number, BEFORE);
    queue(c, number);
    return __real_tug_conn_send_raw(c, number, rid, body, len);
}

extern ssize_t __real_send(int fd, const void *data, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t len, int flags)
{
    ssize_t n = __real_send(fd, data, len, flags);
    size_t left = 0;
    for (size_t i = 0; i < n_queued && n >= 0; i++) {
        if (queued[i].fd == fd)
            crash_pass(SEND, queued[i].message, SENT);
        else
            queued[left++] = queued[i];
    }
    n_queued = n >= 0 ? left : n_queued;
    return n;
}

WRAP(launcher_send);
void __wrap_launcher_send(struct noded *d, enum tug_msg number, const ProtobufCMessage *m)
{
    crash_pass(LAUNCHER, (int) number, BEFORE);
    __real_launcher_send(d, number, m);
    crash_pass(LAUNCHER, (int) number, AFTER);
}

WRAP(programs_run);
void __wrap_programs_run(struct noded *d, const Tugpb__VsRun *m)
{
    crash_pass(PROGRAMS, TUG_MSG_VS_RUN, BEFORE);
    __real_programs_run(d, m);
    crash_pass(PROGRAMS, TUG_MSG_VS_RUN, AFTER);
}

/* Health checks are none here: what runs is a prolog or an epilog. */
WRAP(tug_capture_start);
int __wrap_tug_capture_start(struct tug_capture *c, const struct tug_capture_run *run, struct tug_err *err)
{
    int rc = __real_tug_capture_start(c, run, err);
    if (run->hold)
        crash_pass(CAPTURE, 0, AFTER);
    return rc;
}

WRAP(tug_ranks_spawn);
int __wrap_tug_ranks_spawn(struct tug_ranks *r, unsigned local, char **env, const int fds[3], struct tug_rank_end *end,
                           struct tug_err *err)
{
    crash_pass(SPAWN, 0, BEFORE);
    int rc = __real_tug_ranks_spawn(r, local, env, fds, end, err);
    crash_pass(SPAWN, 0, AFTER);
    return rc;
}
