/* policy.c - tug policy: show, check and new
 *
 * Policies are loaded by tug-sim, which has the scheduler in it; this command only hands over. What
 * is in force is the controller's word. Layer: cli.
 */
#include "cli/policy.h"

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

enum { OPT_PARAM = 1, OPT_DIR, OPT_CONFIG, OPT_LIMIT, OPT_HANG, OPT_TIMEOUT };
static const struct tug_opt opts[] = {
    {OPT_PARAM, "param", 'p', TUG_ARG_NEED, "KEY=VALUE",
     "check: a parameter of the policy; may be repeated"},
    {OPT_DIR, "policy-dir", 'd', TUG_ARG_NEED, "DIR",
     "show, check: where policies are, instead of policy_dirs of the configuration; may be "
     "repeated"},
    {OPT_CONFIG, "config", 'c', TUG_ARG_NEED, "FILE",
     "show: the controller's configuration; the default is that of your sandbox, or the system's"},
    {OPT_LIMIT, "pass-limit", 0, TUG_ARG_NEED, "MS",
     "check: a pass may take so long; the default is 1000"},
    {OPT_HANG, "hang", 0, TUG_ARG_NEED, "S",
     "check: a call that has not come back for so long hangs; the default is 10"},
    {OPT_TIMEOUT, "timeout", 0, TUG_ARG_NEED, "S",
     "check: all of it may take so long; the default is 120"},
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_policy(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

/* tug-sim's words, each to be freed. */
struct words tug_vec(char *);

struct asked {
    struct words given; /* options that are handed on */
    int ids;            /* bit of each option */
    bool has_where;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct asked *a = ctx;
    (void) err;
    tug_vec_push(&a->given, tug_xasprintf("--%s=%s", o->name, value));
    a->ids |= 1 << o->id;
    a->has_where |= o->id == OPT_DIR || o->id == OPT_CONFIG;
    return 0;
}

/* ---- handing over */

/* Becomes tug-sim; comes back only when that fails. */
static int hand_over(struct words *w, struct tug_err *err)
{
    char path[TUG_PATH_MAX];
    int rc = tug_sandbox_program("tug-sim", path, err);
    if (rc)
        return rc;
    tug_vec_push(w, NULL);
    tug_out_flush();
    execv(path, w->at);
    return tug_fail(err, -errno, "%s cannot be started: %s", path, strerror(errno));
}

static void add(struct words *w, const char *word)
{
    tug_vec_push(w, tug_xstrdup(word));
}

static void clear(struct words *w)
{
    for (size_t i = 0; i < w->len; i++)
        free(w->at[i]);
    tug_vec_clear(w);
}

/* ---- show */

/* The configuration of the sandbox whose controller would be asked. */
static void add_config(struct words *w)
{
    char path[TUG_PATH_MAX];
    if (tug_client_config(path, sizeof path))
        tug_vec_push(w, tug_xasprintf("--config=%s", path));
}

/* No controller is not an error here: there are policies all the same. */
static void add_in_force(struct words *w)
{
    Tugpb__PingRequest request = TUGPB__PING_REQUEST__INIT;
    struct tug_client c = {0};
    struct tug_err err = {0};
    ProtobufCMessage *m;
    if (tug_client_once(TUG_MSG_PING_REQUEST, &request.base, TUG_MSG_PING_REPLY, &c, &m, &err) == 0)
        tug_vec_push(w, tug_xasprintf("--in-force=%s", ((Tugpb__PingReply *) m)->policy));
    tug_client_close(&c);
}

/* ---- new */

static int do_new(char **words, int n, struct tug_err *err)
{
    const char *name = words[0], *dir = n > 1 ? words[1] : words[0];
    int rc = tug_policy_new(name, dir, err);
    if (rc)
        return rc;
    if (tug_out.json) {
        tug_out_adds("{\"policy\":");
        tug_out_json_string(&tug_out.buf, name, strlen(name));
        tug_out_adds(",\"dir\":");
        tug_out_json_string(&tug_out.buf, dir, strlen(dir));
        tug_out_adds("}\n");
        return 0;
    }
    tug_out_addf("A policy that works is in ");
    tug_out_text(dir);
    tug_out_addf("; make it yours:\n    cd ");
    tug_out_text(dir);
    tug_out_addf("\n    $EDITOR %s.c\n    make check\ntug-policy(1) says more.\n", name);
    return 0;
}

/* ---- */

static const struct {
    const char *name, *sim; /* tug-sim's command; NULL = done here */
    int min, max;           /* words behind it */
    int ids;                /* options that it takes */
} actions[] = {
    {"show", "show", 0, 1000, 1 << OPT_DIR | 1 << OPT_CONFIG},
    {"check", "check", 1, 1,
     1 << OPT_PARAM | 1 << OPT_DIR | 1 << OPT_LIMIT | 1 << OPT_HANG | 1 << OPT_TIMEOUT},
    {"new", NULL, 1, 2, 0},
};
#define ACTIONS (sizeof actions / sizeof *actions)

static int find(const char *name, size_t *out, struct tug_err *err)
{
    const char *names[ACTIONS];
    for (size_t i = 0; i < ACTIONS; i++) {
        names[i] = actions[i].name;
        if (!strcmp(name, names[i])) {
            *out = i;
            return 0;
        }
    }
    const char *near = tug_str_nearest(name, names, ACTIONS);
    return near
               ? tug_fail(err, -EINVAL,
                          "tug policy: '%.64s' is none of show, check and new; did you mean %s?",
                          name, near)
               : tug_fail(err, -EINVAL, "tug policy: '%.64s' is none of show, check and new", name);
}

static int act(size_t i, char **words, int n, const struct asked *a, struct tug_err *err)
{
    struct words w = {0};
    if (!actions[i].sim)
        return do_new(words, n, err);
    add(&w, "tug-sim");
    add(&w, actions[i].sim);
    for (size_t k = 0; k < a->given.len; k++)
        add(&w, a->given.at[k]);
    if (tug_out.json)
        add(&w, "--json");
    if (!strcmp(actions[i].name, "show")) {
        if (!a->has_where)
            add_config(&w);
        add_in_force(&w);
    }
    add(&w, "--");
    for (int k = 0; k < n; k++)
        add(&w, words[k]);
    int rc = hand_over(&w, err);
    clear(&w);
    return rc;
}

int tug_do_policy(int argc, char **argv)
{
    struct asked a = {0};
    struct tug_err err = {0};
    size_t i = 0;
    int words, status = tug_verb_parse("policy", argc, argv, take, &a, &words);
    if (status >= 0) {
        clear(&a.given);
        return status;
    }
    if (words == 0)
        tug_fail(&err, -EINVAL, "tug policy wants one of show, check and new");
    else if (find(argv[1], &i, &err) == 0 &&
             (words - 1 < actions[i].min || words - 1 > actions[i].max))
        tug_fail(&err, -EINVAL,
                 words - 1 < actions[i].min ? "tug policy %s: what is missing is %s"
                                            : "tug policy %s: there is more than %s",
                 actions[i].name, i == 1 ? "one policy, FILE.so or NAME" : "NAME [DIR]");
    else if (!err.code && a.ids & ~actions[i].ids)
        tug_fail(&err, -EINVAL, "tug policy %s does not take that option", actions[i].name);
    if (err.code)
        status = tug_verb_usage("policy", &err);
    else
        status = act(i, argv + 2, words - 1, &a, &err) ? tug_out_fail(&err) : TUG_EXIT_OK;
    clear(&a.given);
    return status;
}
