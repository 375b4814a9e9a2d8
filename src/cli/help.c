/* help.c - tug help: the verbs, one verb, and option lists for the manual
 *
 * Layer: cli.
 */
#include <errno.h>
#include <string.h>

#include "cli/columns.h"
#include "cli/verb.h"

#define HELP_MAN 1

static const struct tug_opt opts[] = {
    {HELP_MAN, "man", 0, TUG_ARG_NEED, "VERB", NULL}, /* for the build: the options as scdoc */
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_help(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

static void help_all(void)
{
    tug_out_adds("usage: tug VERB [OPTIONS] [WORDS]\n\n");
    for (size_t i = 0; i < tug_verbs_n; i++)
        tug_out_addf("  %-9s %s\n", tug_verbs[i].name, tug_verbs[i].summary);
    tug_out_adds("\ntug VERB --help tells more about one. Exit status: 0 done, 1 refused or "
                 "failed, 2 wrong usage,\n"
                 "3 no controller answers; tug run, tug wait and tug submit --wait hand on the "
                 "job's own.\n");
}

static void help_json(void)
{
    struct tug_buf *out = &tug_out.buf;
    tug_buf_adds(out, "{\"verbs\":[");
    for (size_t i = 0; i < tug_verbs_n; i++) {
        tug_buf_adds(out, i ? ",{\"name\":" : "{\"name\":");
        tug_out_json_string(out, tug_verbs[i].name, strlen(tug_verbs[i].name));
        tug_buf_adds(out, ",\"usage\":");
        tug_out_json_string(out, tug_verbs[i].usage, strlen(tug_verbs[i].usage));
        tug_buf_adds(out, ",\"summary\":");
        tug_out_json_string(out, tug_verbs[i].summary, strlen(tug_verbs[i].summary));
        tug_buf_adds(out, "}");
    }
    tug_buf_adds(out, "]}\n");
}

static int help_man(const char *name)
{
    for (size_t i = 0; i < tug_verbs_n; i++)
        if (!strcmp(tug_verbs[i].name, name)) {
            size_t n;
            const struct tug_opt *rows = tug_verbs[i].opts(&n);
            tug_opts_scd(&tug_out.buf, rows, n);
            return TUG_EXIT_OK;
        }
    if (!strcmp(name, "columns")) {
        tug_columns_help(&tug_out.buf, true);
        return TUG_EXIT_OK;
    }
    if (strcmp(name, "verbs") != 0) {
        struct tug_err err = {0};
        tug_fail(&err, -EINVAL, "--man: '%.64s' is no verb, and neither 'verbs' nor 'columns'",
                 name);
        return tug_out_usage(&err);
    }
    for (size_t i = 0; i < tug_verbs_n; i++)
        tug_out_addf("*%s*\n\t%s\n\n", tug_verbs[i].name, tug_verbs[i].summary);
    return TUG_EXIT_OK;
}

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    (void) o, (void) err;
    *(const char **) ctx = value;
    return 0;
}

int tug_do_help(int argc, char **argv)
{
    const char *man = NULL;
    int words, status = tug_verb_parse("help", argc, argv, take, &man, &words);
    if (status >= 0)
        return status;
    if (man)
        return help_man(man);
    if (words) {
        char *sub[] = {argv[1], (char *) "--help", NULL}; /* --json was seen */
        return tug_verb_run(2, sub);
    }
    if (tug_out.json)
        help_json();
    else
        help_all();
    return TUG_EXIT_OK;
}
