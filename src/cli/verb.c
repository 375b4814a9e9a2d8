/* verb.c - the table of verbs and what they share
 *
 * Layer: cli.
 */
#include "cli/verb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

const struct tug_verb tug_verbs[] = {
#define TUG_VERB(name, usage, summary) {#name, usage, summary, tug_do_##name, tug_opts_of_##name},
#include "cli/verbs.def"
#undef TUG_VERB
};
const size_t tug_verbs_n = sizeof tug_verbs / sizeof *tug_verbs;

static const struct tug_verb *find(const char *name)
{
    for (size_t i = 0; i < tug_verbs_n; i++)
        if (!strcmp(tug_verbs[i].name, name))
            return &tug_verbs[i];
    tug_assert(!"a verb that is in the table");
    return NULL;
}

void tug_verb_help(const char *name)
{
    const struct tug_verb *v = find(name);
    size_t n;
    const struct tug_opt *opts = v->opts(&n);
    if (tug_out.json) {
        tug_out_adds("{\"verb\":");
        tug_out_json_string(&tug_out.buf, v->name, strlen(v->name));
        tug_out_adds(",\"usage\":");
        tug_out_json_string(&tug_out.buf, v->usage, strlen(v->usage));
        tug_out_adds(",\"summary\":");
        tug_out_json_string(&tug_out.buf, v->summary, strlen(v->summary));
        tug_out_adds(",\"options\":");
        tug_opts_json(&tug_out.buf, opts, n);
        tug_out_adds("}\n");
        return;
    }
    tug_out_addf("usage: tug %s %s\n%s\n\n", v->name, v->usage, v->summary);
    tug_opts_help(&tug_out.buf, opts, n);
}

int tug_verb_usage(const char *name, struct tug_err *err)
{
    size_t len = strlen(err->msg);
    snprintf(err->msg + len, sizeof err->msg - len, "%stug %s --help tells more",
             strstr(err->msg, "; ") ? ", " : "; ", name);
    return tug_out_usage(err);
}

static int unknown(const char *name)
{
    const char **names = tug_xcalloc(tug_verbs_n, sizeof *names);
    struct tug_err err = {0};
    for (size_t i = 0; i < tug_verbs_n; i++)
        names[i] = tug_verbs[i].name;
    const char *near = tug_str_nearest(name, names, tug_verbs_n);
    free(names);
    if (near)
        tug_fail(&err, -EINVAL, "unknown verb '%.64s'; did you mean: tug %s?", name, near);
    else
        tug_fail(&err, -EINVAL, "unknown verb '%.64s'; tug help lists those that there are", name);
    return tug_out_usage(&err);
}

int tug_verb_run(int argc, char **argv)
{
    for (size_t i = 0; i < tug_verbs_n; i++)
        if (!strcmp(tug_verbs[i].name, argv[0])) {
            tug_out.verb = tug_verbs[i].name;
            return tug_verbs[i].run(argc, argv);
        }
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--json"))
            tug_out.json = true;
    return unknown(argv[0]);
}

struct common {
    tug_opts_take *take;
    void *ctx;
    bool help;
};

static int take_common(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct common *c = ctx;
    if (o->id == TUG_OPT_JSON)
        tug_out.json = true;
    else if (o->id == TUG_OPT_HELP)
        c->help = true;
    else
        return c->take(c->ctx, o, value, err);
    return 0;
}

int tug_verb_parse(const char *name, int argc, char **argv, tug_opts_take *take, void *ctx,
                   int *words)
{
    struct common c = {take, ctx, false};
    struct tug_err err = {0};
    size_t n;
    const struct tug_opt *opts = find(name)->opts(&n);
    int n_words = 0, at = 0, rc = 0;
    while (at + 1 < argc && rc == 0) {
        int first = 0;
        rc = tug_opts_parse(opts, n, argc - at, argv + at, take_common, &c, &first, NULL, &err);
        if (rc)
            break;
        bool all_words = first > 1 && !strcmp(argv[at + first - 1], "--");
        at += first;
        do {
            if (at < argc)
                argv[1 + n_words++] = argv[at++];
        } while (all_words && at < argc);
        at--; /* tug_opts_parse() skips one */
    }
    if (rc) {
        for (int i = at; i < argc; i++)
            if (!strcmp(argv[i], "--json"))
                tug_out.json = true;
        return tug_out_usage(&err);
    }
    *words = n_words;
    if (!c.help)
        return -1;
    tug_verb_help(name);
    return TUG_EXIT_OK;
}

int tug_verb_job_id(const char *text, uint64_t *out, struct tug_err *err)
{
    uint64_t id;
    if (tug_str_u64(text, INT64_MAX, &id) || id == 0)
        return tug_fail(err, -EINVAL,
                        "'%.64s' is not a job id; ids are numbers, tug queue shows them", text);
    *out = id;
    return 0;
}

void tug_words_add(struct tug_words *w, const char *list)
{
    const char *at;
    size_t len;
    while (tug_str_split(&list, ',', &at, &len))
        if (len)
            tug_vec_push(w, tug_xasprintf("%.*s", (int) len, at));
}

void tug_words_clear(struct tug_words *w)
{
    for (size_t i = 0; i < w->len; i++)
        free(w->at[i]);
    tug_vec_clear(w);
}
