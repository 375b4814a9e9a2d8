/* client.c - find the controller, ask it one thing, get its answer or a sentence
 *
 * Layer: cli.
 */
#include "cli/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "base/version.h"
#include "host/loop.h"

#define LEADS_MS    2000
#define TAKEOVER_MS 20000

/* ---- where ---- */

/* Ours alone: others must not be able to put a socket there. */
static int check_own_dir(const char *path, struct tug_err *err)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return tug_fail(err, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
        return tug_fail(
            err, -EPERM,
            "%s is not a directory that only you can write to; remove it or set XDG_RUNTIME_DIR",
            path);
    return 0;
}

int tug_client_run_dir(char *out, size_t size_bytes, bool make, struct tug_err *err)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    if (xdg && *xdg == '/' && access(xdg, W_OK | X_OK) == 0)
        snprintf(out, size_bytes, "%s/tugline", xdg);
    else
        snprintf(out, size_bytes, "/tmp/tugline-%u", (unsigned) geteuid());
    if (make && mkdir(out, 0700) < 0 && errno != EEXIST)
        return tug_fail(err, -errno, "making the directory %s: %s", out, strerror(errno));
    return access(out, F_OK) == 0 || make ? check_own_dir(out, err) : 0;
}

/* Of "/a,/b" number i; false: there are fewer. */
static bool nth_given(const char *given, size_t i, char *out, size_t size_bytes)
{
    const char *rest = given, *word;
    size_t len;
    while (tug_str_split(&rest, ',', &word, &len)) {
        if (i-- > 0)
            continue;
        snprintf(out, size_bytes, "%s%.*s", tug_str_has_prefix(word, "unix:") ? "" : "unix:", (int) len, word);
        return true;
    }
    return false;
}

void tug_client_endpoint(char *out, size_t size_bytes)
{
    const char *given = getenv("TUG_SOCKET");
    if (given && *given) {
        nth_given(given, 0, out, size_bytes);
        return;
    }
    char dir[TUG_PATH_MAX / 2], sock[TUG_PATH_MAX];
    if (tug_client_run_dir(dir, sizeof dir, false, NULL) == 0) {
        snprintf(sock, sizeof sock, "%s/sandbox/tugd.sock", dir);
        if (access(sock, F_OK) == 0) {
            snprintf(out, size_bytes, "unix:%s", sock);
            return;
        }
    }
    snprintf(out, size_bytes, "unix:%s/tugd.sock", TUG_RUNDIR);
}

bool tug_client_is_local(const char *endpoint)
{
    char mark[TUG_PATH_MAX];
    const char *path = endpoint + strlen("unix:"), *slash = strrchr(path, '/');
    if (!slash)
        return false;
    snprintf(mark, sizeof mark, "%.*s/sandbox.state", (int) (slash - path), path);
    return access(mark, F_OK) == 0;
}

bool tug_client_config(char *out, size_t size_bytes)
{
    char endpoint[TUG_PATH_MAX];
    tug_client_endpoint(endpoint, sizeof endpoint);
    char *slash = strrchr(endpoint, '/');
    if (!tug_str_has_prefix(endpoint, "unix:") || !slash)
        return false;
    *slash = '\0';
    snprintf(out, size_bytes, "%s/tugline.yaml", endpoint + strlen("unix:"));
    return access(out, R_OK) == 0;
}

/* ---- asking ---- */

static int open_at(struct tug_client *c, struct tug_err *err)
{
    struct tug_net_opts o = {.auth = TUG_AUTH_UNIX, .channel = TUG_CH_CLIENT};
    struct tug_err why = {0};
    int rc = tug_call_open(&c->call, c->endpoint, &o, TUG_ANSWER_MS, &why);
    if (rc == 0)
        return 0;
    return tug_fail(
        err, TUG_UNREACHABLE, "no controller answers at %s (%s); start one with: tug sandbox start",
        c->endpoint + strlen("unix:"), rc == -ENOENT ? "there is no such socket" : strerror(-rc));
}

/* Does this one lead? Who stands by refuses. */
static int ask_whether_it_leads(struct tug_client *c, struct tug_err *err)
{
    Tugpb__PingRequest ping = TUGPB__PING_REQUEST__INIT;
    ProtobufCMessage *m;
    return tug_client_ask(c, TUG_MSG_PING_REQUEST, &ping.base, TUG_MSG_PING_REPLY, &m, LEADS_MS, err);
}

/* One after the other, until one of them leads: a takeover takes a few seconds. */
static int open_leader(struct tug_client *c, const char *given, struct tug_err *err)
{
    uint64_t until = tug_now_ms() + TAKEOVER_MS;
    int rc = 0;
    do {
        for (size_t i = 0; nth_given(given, i, c->endpoint, sizeof c->endpoint); i++) {
            rc = open_at(c, err);
            if (!rc && !(rc = ask_whether_it_leads(c, err)))
                return 0;
            tug_client_close(c);
        }
        nanosleep(&(struct timespec){.tv_nsec = 100 * 1000000}, NULL);
    } while (tug_now_ms() < until);
    return tug_fail_ctx(err, rc, "none of the controllers leads, after %d s", TAKEOVER_MS / 1000);
}

int tug_client_open(struct tug_client *c, struct tug_err *err)
{
    const char *given = getenv("TUG_SOCKET");
    *c = (struct tug_client){0};
    if (given && strchr(given, ','))
        return open_leader(c, given, err);
    tug_client_endpoint(c->endpoint, sizeof c->endpoint);
    return open_at(c, err);
}

void tug_client_close(struct tug_client *c)
{
    if (c->call)
        tug_call_close(c->call);
    c->call = NULL;
    tug_arena_clear(&c->arena);
}

int tug_client_refused(const Tugpb__Error *e, struct tug_err *err)
{
    int code = e->code > 0 && e->code < 4096 ? -e->code : -EIO;
    if (code == TUG_UNREACHABLE) /* that one is ours */
        code = -EIO;
    return tug_fail(err, code, "%s",
                    *e->text ? e->text : "the controller refused without saying why");
}

int tug_client_send(struct tug_client *c, enum tug_msg number, const ProtobufCMessage *request,
                    struct tug_err *err)
{
    int rc = tug_msg_check(request, err);
    if (rc)
        return rc;
    rc = tug_call_send(c->call, number, ++c->rid, request, err);
    if (rc == -EPIPE)
        rc = err ? (err->code = -ECONNRESET) : -ECONNRESET;
    return rc;
}

int tug_client_frame(struct tug_client *c, struct tug_frame *f, int timeout_ms, struct tug_err *err)
{
    for (;;) {
        int rc = tug_call_recv(c->call, f, timeout_ms < 0 ? 3600000 : timeout_ms, err);
        if (rc == -ETIMEDOUT && timeout_ms < 0)
            continue;
        if (rc || f->rid == c->rid || f->rid == 0)
            return rc;
    }
}

int tug_client_take(struct tug_client *c, const struct tug_frame *f, enum tug_msg want,
                    ProtobufCMessage **answer, struct tug_err *err)
{
    ProtobufCMessage *m;
    tug_arena_clear(&c->arena);
    int rc = tug_msg_decode(&c->arena, f->number, f->body, f->len, &m, err);
    if (rc)
        return tug_fail_ctx(err, rc, "the controller's answer");
    if (f->number == TUG_MSG_ERROR)
        return tug_client_refused((const Tugpb__Error *) m, err);
    if (f->number != want)
        return tug_fail(
            err, -EPROTO,
            "the controller answered %s where %s was expected; is it of another version?",
            tug_msg_info(f->number)->name, tug_msg_info((uint16_t) want)->name);
    *answer = m;
    return 0;
}

int tug_client_recv(struct tug_client *c, enum tug_msg want, ProtobufCMessage **answer,
                    int timeout_ms, struct tug_err *err)
{
    struct tug_frame f;
    int rc = tug_client_frame(c, &f, timeout_ms, err);
    return rc ? rc : tug_client_take(c, &f, want, answer, err);
}

int tug_client_ask(struct tug_client *c, enum tug_msg number, const ProtobufCMessage *request,
                   enum tug_msg want, ProtobufCMessage **answer, int timeout_ms,
                   struct tug_err *err)
{
    int rc = tug_client_send(c, number, request, err);
    return rc ? rc : tug_client_recv(c, want, answer, timeout_ms, err);
}

int tug_client_once(enum tug_msg number, const ProtobufCMessage *request, enum tug_msg want,
                    struct tug_client *c, ProtobufCMessage **answer, struct tug_err *err)
{
    int rc = tug_client_open(c, err);
    return rc ? rc : tug_client_ask(c, number, request, want, answer, TUG_ANSWER_MS, err);
}
