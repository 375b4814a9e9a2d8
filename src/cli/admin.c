/* admin.c - tug admin: what an admin does with the controller's state
 *
 * The state is read and written by tug-admin, which has sqlite and the scheduler in it; this
 * command only hands over. Whether gangs are started is the controller's word. Layer: cli.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "cli/client.h"
#include "cli/sandbox.h"
#include "cli/verb.h"

enum { OPT_CONFIG = 1, OPT_STATE_DIR, OPT_REPLACE, OPT_NOW };
static const struct tug_opt opts[] = {
    {OPT_CONFIG, "config", 'c', TUG_ARG_NEED, "FILE",
     "the controller's configuration; the default is that of your sandbox, or the system's"},
    {OPT_STATE_DIR, "state-dir", 0, TUG_ARG_NEED, "DIR",
     "backup, export: of that state; restore: put it there"},
    {OPT_REPLACE, "replace", 0, TUG_ARG_NONE, NULL,
     "restore: there may be a state, which is kept under another name"},
    {OPT_NOW, "now", 0, TUG_ARG_NONE, NULL,
     "resume-scheduling: don't wait for nodes, and end steps that the state does not know"},
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_admin(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

struct words tug_vec(char *);

struct asked {
    struct words given; /* options that are handed on */
    int ids;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct asked *a = ctx;
    (void) err;
    a->ids |= 1 << o->id;
    if (o->id == OPT_NOW)
        return 0;
    tug_vec_push(&a->given,
                 value ? tug_xasprintf("--%s=%s", o->name, value) : tug_xasprintf("--%s", o->name));
    return 0;
}

static void clear(struct words *w)
{
    for (size_t i = 0; i < w->len; i++)
        free(w->at[i]);
    tug_vec_clear(w);
}

/* ---- the state */

static int hand_over(const char *action, const struct asked *a, const char *file,
                     struct tug_err *err)
{
    struct words w = {0};
    char path[TUG_PATH_MAX], config[TUG_PATH_MAX];
    int rc = tug_sandbox_program("tug-admin", path, err);
    if (rc)
        return rc;
    tug_vec_push(&w, tug_xstrdup("tug-admin"));
    for (size_t i = 0; i < a->given.len; i++)
        tug_vec_push(&w, tug_xstrdup(a->given.at[i]));
    if (!(a->ids & 1 << OPT_CONFIG) && tug_client_config(config, sizeof config))
        tug_vec_push(&w, tug_xasprintf("--config=%s", config));
    if (tug_out.json)
        tug_vec_push(&w, tug_xstrdup("--json"));
    tug_vec_push(&w, tug_xstrdup("--"));
    tug_vec_push(&w, tug_xstrdup(action));
    if (file)
        tug_vec_push(&w, tug_xstrdup(file));
    tug_vec_push(&w, NULL);
    tug_out_flush();
    execv(path, w.at);
    rc = tug_fail(err, -errno, "%s cannot be started: %s", path, strerror(errno));
    clear(&w);
    return rc;
}

/* ---- the controller */

static int resume(bool now, struct tug_err *err)
{
    Tugpb__ResumeRequest request = TUGPB__RESUME_REQUEST__INIT;
    struct tug_client c = {0};
    ProtobufCMessage *m;
    request.now = now;
    int rc =
        tug_client_once(TUG_MSG_RESUME_REQUEST, &request.base, TUG_MSG_RESUME_REPLY, &c, &m, err);
    if (rc == 0 && tug_out.json) {
        tug_out_message(m);
    } else if (rc == 0) {
        tug_out_text(((Tugpb__ResumeReply *) m)->text);
        tug_out_adds("\n");
    }
    int status = rc                                    ? tug_out_fail(err)
                 : ((Tugpb__ResumeReply *) m)->resumed ? TUG_EXIT_OK
                                                       : TUG_EXIT_REFUSED;
    tug_client_close(&c);
    return status;
}

/* ---- */

static const struct {
    const char *name;
    int min, max; /* words behind it */
    int ids;      /* options that it takes */
} actions[] = {
    {"backup", 1, 1, 1 << OPT_CONFIG | 1 << OPT_STATE_DIR},
    {"verify", 0, 1, 1 << OPT_CONFIG | 1 << OPT_STATE_DIR},
    {"export", 0, 1, 1 << OPT_CONFIG | 1 << OPT_STATE_DIR},
    {"restore", 1, 1, 1 << OPT_CONFIG | 1 << OPT_STATE_DIR | 1 << OPT_REPLACE},
    {"controllers", 0, 0, 1 << OPT_CONFIG},
    {"move", 0, 0, 1 << OPT_CONFIG | 1 << OPT_STATE_DIR},
    {"snapshot", 0, 0, 1 << OPT_CONFIG},
    {"snapshots", 0, 0, 1 << OPT_CONFIG},
    {"resume-scheduling", 0, 0, 1 << OPT_NOW},
};
#define ACTIONS (sizeof actions / sizeof *actions)

static int find(const char *name, size_t *out, struct tug_err *err)
{
    static const char all[] = "backup, verify, export, restore, controllers, move, snapshot, snapshots and resume-scheduling";
    const char *names[ACTIONS];
    for (size_t i = 0; i < ACTIONS; i++) {
        names[i] = actions[i].name;
        if (!strcmp(name, names[i])) {
            *out = i;
            return 0;
        }
    }
    const char *near = tug_str_nearest(name, names, ACTIONS);
    return tug_fail(err, -EINVAL, "tug admin: '%.64s' is none of %s%s%s%s", name, all,
                    near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static int check(int words, char **argv, const struct asked *a, size_t *i, struct tug_err *err)
{
    if (words == 0)
        return tug_fail(err, -EINVAL,
                        "tug admin wants one of backup, verify, export, restore, controllers, "
                        "move, snapshot, snapshots and resume-scheduling");
    int rc = find(argv[1], i, err);
    if (rc)
        return rc;
    if (words - 1 < actions[*i].min)
        return tug_fail(err, -EINVAL, "tug admin %s: what is missing is the file", argv[1]);
    if (words - 1 > actions[*i].max)
        return tug_fail(err, -EINVAL, "tug admin %s: '%s' is one word too many", argv[1],
                        argv[actions[*i].max + 2]);
    if (a->ids & ~actions[*i].ids)
        return tug_fail(err, -EINVAL, "tug admin %s does not take that option", argv[1]);
    return 0;
}

int tug_do_admin(int argc, char **argv)
{
    struct asked a = {0};
    struct tug_err err = {0};
    size_t i = 0;
    int words, status = tug_verb_parse("admin", argc, argv, take, &a, &words);
    if (status < 0 && check(words, argv, &a, &i, &err))
        status = tug_verb_usage("admin", &err);
    else if (status < 0 && !strcmp(actions[i].name, "resume-scheduling"))
        status = resume(a.ids & 1 << OPT_NOW, &err);
    else if (status < 0)
        status = hand_over(actions[i].name, &a, words > 1 ? argv[2] : NULL, &err)
                     ? tug_out_fail(&err)
                     : TUG_EXIT_OK;
    clear(&a.given);
    return status;
}
