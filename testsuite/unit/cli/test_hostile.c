/* test_hostile.c - every text that a controller can say, with control bytes in it, by way of every verb that shows any
 *
 * A server answers each request with its reply, all fields of which are filled by walking the descriptor: what is added later
 * is in it by itself. Layer: tests.
 */
#include "unit.h"

#include <event2/event.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/fake.h"
#include "host/net.h"
#include "proto/client.pb-c.h"

#define DEPTH_MAX 6

/* What each answer is made of. 'state' is for fields of that name, so that what is shown of jobs that wait, run and have ended
 * is there, too. */
struct way {
    const char *text, *state;
    protobuf_c_boolean yes;
    int refuses;
};
#define HOSTILE "\033[m\n\r\xc2\x9b\xff" /* 8 bytes are taken everywhere */
static const struct way benign[] = {
    {"ab", "ab", 1, 0}, {"ab", "PENDING", 0, 0}, {"ab", "RUNNING", 1, 0}, {"ab", "FAILED", 0, 0}, {"ab", "ab", 0, 1}};
static const struct way hostile[] = {{HOSTILE, HOSTILE, 1, 0},
                                     {HOSTILE, "PENDING", 0, 0},
                                     {HOSTILE, "RUNNING", 1, 0},
                                     {HOSTILE, "FAILED", 0, 0},
                                     {HOSTILE, HOSTILE, 0, 1}};
#define N_WAYS (int) (sizeof hostile / sizeof *hostile)

static const struct way *way;

/* ---- a message, all of it */

static size_t size_of(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    default:
        return 4;
    }
}

static ProtobufCMessage *whole(const ProtobufCMessageDescriptor *d, int depth);

static void fill_one(const ProtobufCFieldDescriptor *f, void *at, int depth)
{
    const char *text = strcmp(f->name, "state") ? way->text : way->state;
    uint32_t one = 1;
    uint64_t big = 1;
    double half = 0.5;
    float part = 0.5f;
    if (f->type == PROTOBUF_C_TYPE_STRING)
        *(char **) at = tug_xstrdup(text);
    else if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        *(ProtobufCMessage **) at = whole(f->descriptor, depth + 1);
    else if (f->type == PROTOBUF_C_TYPE_BYTES)
        *(ProtobufCBinaryData *) at = (ProtobufCBinaryData){strlen(text) + 1, (uint8_t *) tug_xstrdup(text)};
    else if (f->type == PROTOBUF_C_TYPE_BOOL)
        *(protobuf_c_boolean *) at = strcmp(f->name, "more") ? way->yes : 0;
    else if (f->type == PROTOBUF_C_TYPE_DOUBLE)
        memcpy(at, &half, sizeof half);
    else if (f->type == PROTOBUF_C_TYPE_FLOAT)
        memcpy(at, &part, sizeof part);
    else if (!strcmp(f->name, "parent"))
        memset(at, 0, size_of(f)); /* a tree's root is its own */
    else if (size_of(f) == 8)
        memcpy(at, &big, sizeof big);
    else
        memcpy(at, &one, sizeof one);
}

static ProtobufCMessage *whole(const ProtobufCMessageDescriptor *d, int depth)
{
    if (depth > DEPTH_MAX)
        return NULL;
    ProtobufCMessage *m = tug_xcalloc(1, d->sizeof_message);
    d->message_init(m);
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        char *at = (char *) m + f->offset;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t n = depth < DEPTH_MAX ? 1 : 0;
            char *items = tug_xcalloc(1, size_of(f));
            fill_one(f, items, depth);
            *(void **) at = items;
            *(size_t *) ((char *) m + f->quantifier_offset) = f->type == PROTOBUF_C_TYPE_MESSAGE ? n : 1;
        } else {
            fill_one(f, at, depth);
        }
    }
    return m;
}

/* ---- the server */

static uint16_t reply_to(uint16_t request)
{
    const char *name = tug_msg_info(request)->name;
    size_t len = strlen(name) - strlen("REQUEST");
    for (uint16_t n = 100; n < 200; n++) {
        const struct tug_msg_info *i = tug_msg_info(n);
        if (i && !strncmp(i->name, name, len) && !strcmp(i->name + len, "REPLY"))
            return n;
    }
    return TUG_MSG_ERROR;
}

static void on_frame(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    (void) arg;
    uint16_t n = way->refuses ? TUG_MSG_ERROR : reply_to(f->number);
    tug_conn_send(c, n, f->rid, whole(tug_msg_info(n)->desc, 0));
}

static void on_close(void *arg, struct tug_conn *c, const char *why)
{
    (void) arg;
    (void) c;
    (void) why;
}

static pid_t serve(const struct way *w, const char *endpoint)
{
    static const struct tug_net_ops ops = {.on_frame = on_frame, .on_close = on_close};
    struct tug_net_opts o = {.auth = TUG_AUTH_UNIX, .channel = TUG_CH_CLIENT, .ops = &ops};
    struct tug_listener *listener;
    struct tug_err err = {0};
    int up[2];
    char c;
    ck_assert_int_eq(pipe(up), 0);
    pid_t pid = fork();
    if (pid) {
        close(up[1]);
        ck_assert_int_eq(read(up[0], &c, 1), 1);
        close(up[0]);
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    way = w;
    struct event_base *loop = event_base_new();
    if (tug_net_listen(&listener, loop, endpoint, 0600, &o, &err) || write(up[1], "", 1) != 1)
        _exit(1);
    event_base_dispatch(loop);
    _exit(0);
}

/* ---- what came out */

static const char every_column[] = "queue -o id"
#define TUG_COLUMN(ID, name, head, kind, least, value, help) "," name
#include "cli/columns.def"
#undef TUG_COLUMN
    ;
static const char *const verbs[] = {
    "queue", every_column, "show 1", "history", "history --events", "history 1", "nodes", "nodes --links", "node show n1",
    "node history", "node topo", "queues", "share", "fabric", "ping", "version", "wait 1", "cancel 1", "requeue 1", "hold 1",
    "release 1", "drain n1 -r x", "resume n1", "logs 1", "submit"};

static const char *rest_of(const char *verb)
{
    return strcmp(verb, "submit") ? "" : "-- true";
}


/* The last words of a program are several lines, indented so that none passes for something else: these don't count. */
static size_t lines(const char *s)
{
    size_t n = 0;
    for (; *s; s = strchr(s, '\n') ? strchr(s, '\n') + 1 : s + strlen(s))
        n += strspn(s, " ") < 12;
    return n;
}

static void is_clean(const char *verb, const char *s)
{
    for (const unsigned char *p = (const unsigned char *) s; *p; p++)
        ck_assert_msg((*p >= 32 && *p != 0x7f && !(*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)) || *p == '\n',
                      "tug %s prints byte 0x%02x: %s", verb, *p, s);
}

START_TEST(no_text_of_a_controller_reaches_a_terminal_as_it_is)
{
    fake_start();
    char *socket = tug_xasprintf("%s/hostile", fake_dir()), *endpoint = tug_xasprintf("unix:%s", socket);
    setenv("TUG_SOCKET", socket, 1);
    size_t n_verbs = sizeof verbs / sizeof *verbs;
    size_t *was = tug_xcalloc(n_verbs, sizeof *was);
    for (int round = 0; round < 2; round++) {
        const struct way *w = round ? &hostile[_i] : &benign[_i];
        pid_t pid = serve(w, endpoint);
        for (size_t i = 0; i < n_verbs; i++) {
            struct ran r = tug("%s %s", verbs[i], rest_of(verbs[i]));
            ck_assert_msg(r.status != 128 + SIGSEGV && r.status != 128 + SIGABRT, "tug %s ended with %d", verbs[i], r.status);
            ck_assert_msg(*r.out || *r.err, "tug %s ended with %d and says nothing", verbs[i], r.status);
            is_clean(verbs[i], r.out);
            is_clean(verbs[i], r.err);
            if (!round)
                was[i] = lines(r.out) + lines(r.err);
            else
                ck_assert_msg(lines(r.out) + lines(r.err) == was[i], "tug %s prints %zu lines, else %zu:\n%s%s", verbs[i],
                              lines(r.out) + lines(r.err), was[i], r.out, r.err);
            struct ran j = tug("%s --json %s", verbs[i], rest_of(verbs[i]));
            json_error_t e;
            json_t *v = json_loads(*j.out ? j.out : "{}", JSON_ALLOW_NUL, &e);
            ck_assert_msg(v != NULL, "tug %s --json: %s: %.200s", verbs[i], e.text, j.out);
            json_decref(v);
            for (const char *p = j.out; *p; p++)
                ck_assert_msg((unsigned char) *p >= 32 || *p == '\n', "tug %s --json prints byte 0x%02x", verbs[i], *p);
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        unlink(socket);
    }
    fake_stop();
    free(was);
    free(socket);
    free(endpoint);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli/hostile");
    TCase *tc = tcase_create("ways");
    tcase_set_timeout(tc, UNIT_TIMEOUT_S);
    tcase_add_loop_test(tc, no_text_of_a_controller_reaches_a_terminal_as_it_is, 0, N_WAYS);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
