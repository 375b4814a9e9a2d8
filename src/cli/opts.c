/* opts.c - one table of options: the parser, the help and the manual read it
 *
 * The parser is our own and not getopt_long: an unknown option must be named as it was written and
 * answered with the near one, the same rows are used for lines of a script, and getopt keeps its
 * place in globals. Layer: cli.
 */
#include "cli/opts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/out.h"

/* ---- parsing ---- */

static int fail_unknown(const struct tug_opt *table, size_t n, const char *word, size_t len,
                        struct tug_err *err)
{
    char name[80];
    const char **names = tug_xcalloc(n ? n : 1, sizeof *names);
    size_t shown = 0;
    for (size_t i = 0; i < n; i++)
        if (table[i].help)
            names[shown++] = table[i].name;
    if (len >= sizeof name)
        len = sizeof name - 1;
    memcpy(name, word, len);
    name[len] = '\0';
    const char *near = tug_str_nearest(name, names, shown);
    free(names);
    if (near)
        return tug_fail(err, -ENOENT, "unknown option --%s; did you mean --%s?", name, near);
    return tug_fail(err, -ENOENT, "unknown option --%s; --help lists those that there are", name);
}

/* The row of a long name of 'len' bytes; *rc tells why there is none. */
static const struct tug_opt *find_long(const struct tug_opt *table, size_t n, const char *name,
                                       size_t len, int *rc, struct tug_err *err)
{
    const struct tug_opt *hit = NULL, *other = NULL;
    for (size_t i = 0; i < n; i++) {
        if (strncmp(table[i].name, name, len) != 0)
            continue;
        if (table[i].name[len] == '\0')
            return &table[i];
        if (hit && hit->id != table[i].id && !other)
            other = &table[i];
        else if (!hit)
            hit = &table[i];
    }
    if (!hit || len == 0)
        *rc = fail_unknown(table, n, name, len, err);
    else if (other)
        *rc = tug_fail(err, -ENOENT, "option --%.*s may be --%s or --%s; write more of it",
                       (int) len, name, hit->name, other->name);
    else
        return hit;
    return NULL;
}

static int parse_long(const struct tug_opt *table, size_t n, int argc, char **argv, int *i,
                      tug_opts_take *take, void *ctx, struct tug_err *err)
{
    const char *name = argv[*i] + 2, *eq = strchr(name, '=');
    size_t len = eq ? (size_t) (eq - name) : strlen(name);
    int rc = 0;
    const struct tug_opt *o = find_long(table, n, name, len, &rc, err);
    if (!o)
        return rc;
    const char *value = eq ? eq + 1 : NULL;
    if (value && o->arg == TUG_ARG_NONE)
        return tug_fail(err, -EINVAL, "option --%s takes no value, but '%s' was given", o->name,
                        value);
    if (!value && o->arg == TUG_ARG_NEED) {
        if (*i + 1 >= argc)
            return tug_fail(err, -EINVAL, "option --%s needs a value: --%s=%s", o->name, o->name,
                            o->arg_name);
        value = argv[++*i];
    }
    return take(ctx, o, value, err);
}

/* A word of letters: "-lN4", "-N" "4", "-l". */
static int parse_short(const struct tug_opt *table, size_t n, int argc, char **argv, int *i,
                       tug_opts_take *take, void *ctx, struct tug_err *err)
{
    for (const char *at = argv[*i] + 1; *at; at++) {
        const struct tug_opt *o = NULL;
        for (size_t k = 0; k < n && !o; k++)
            if (table[k].letter == *at)
                o = &table[k];
        if (!o)
            return tug_fail(err, -ENOENT, "unknown option -%c; --help lists those that there are",
                            *at);
        const char *value = o->arg != TUG_ARG_NONE && at[1] ? at + 1 : NULL;
        if (value && *value == '=')
            value++;
        if (!value && o->arg == TUG_ARG_NEED) {
            if (*i + 1 >= argc)
                return tug_fail(err, -EINVAL, "option -%c (--%s) needs a value: -%c %s", o->letter,
                                o->name, o->letter, o->arg_name);
            value = argv[++*i];
            int rc = take(ctx, o, value, err);
            return rc;
        }
        int rc = take(ctx, o, value, err);
        if (rc || value)
            return rc;
    }
    return 0;
}

int tug_opts_parse(const struct tug_opt *table, size_t n, int argc, char **argv,
                   tug_opts_take *take, void *ctx, int *first, int *bad, struct tug_err *err)
{
    int i = 1, rc = 0;
    for (; i < argc; i++) {
        if (argv[i][0] != '-' || !argv[i][1])
            break;
        if (!strcmp(argv[i], "--")) {
            i++;
            break;
        }
        int at = i;
        rc = argv[i][1] == '-' ? parse_long(table, n, argc, argv, &i, take, ctx, err)
                               : parse_short(table, n, argc, argv, &i, take, ctx, err);
        if (rc) {
            if (bad)
                *bad = at;
            return rc;
        }
    }
    *first = i < argc ? i : argc;
    return 0;
}

/* ---- showing ---- */

#define HELP_COLUMN 34
#define HELP_WIDTH  100

static void put_wrapped(struct tug_buf *out, const char *text, size_t indent, size_t width)
{
    size_t column = indent;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column + word > width && column > indent) {
            while (out->len && out->data[out->len - 1] == ' ')
                out->len--;
            tug_buf_addf(out, "\n%*s", (int) indent, "");
            column = indent;
        }
        tug_buf_add(out, text, word);
        column += word;
        text += word;
        if (*text == ' ') {
            text++;
            tug_buf_addc(out, ' ');
            column++;
        }
    }
    tug_buf_addc(out, '\n');
}

void tug_opts_help(struct tug_buf *out, const struct tug_opt *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct tug_opt *o = &table[i];
        if (!o->help)
            continue;
        size_t at = out->len;
        if (o->letter)
            tug_buf_addf(out, "  -%c, --%s", o->letter, o->name);
        else
            tug_buf_addf(out, "      --%s", o->name);
        if (o->arg == TUG_ARG_NEED)
            tug_buf_addf(out, "=%s", o->arg_name);
        else if (o->arg == TUG_ARG_MAYBE && *o->arg_name)
            tug_buf_addf(out, "[=%s]", o->arg_name);
        size_t used = out->len - at;
        if (used + 2 > HELP_COLUMN)
            tug_buf_addf(out, "\n%*s", HELP_COLUMN, "");
        else
            tug_buf_addf(out, "%*s", (int) (HELP_COLUMN - used), "");
        put_wrapped(out, o->help, HELP_COLUMN, HELP_WIDTH);
    }
}

/* What scdoc would take for markup is written with a backslash. */
static void put_scd(struct tug_buf *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("*_\\~#", *text))
            tug_buf_addc(out, '\\');
        tug_buf_addc(out, *text);
    }
}

static void put_json(struct tug_buf *out, const char *key, const char *text)
{
    tug_buf_addf(out, ",\"%s\":", key);
    tug_out_json_string(out, text, strlen(text));
}

void tug_opts_json(struct tug_buf *out, const struct tug_opt *table, size_t n)
{
    const char *comma = "";
    tug_buf_addc(out, '[');
    for (size_t i = 0; i < n; i++) {
        const struct tug_opt *o = &table[i];
        const char letter[2] = {o->letter};
        if (!o->help)
            continue;
        tug_buf_addf(out, "%s{\"name\":", comma);
        tug_out_json_string(out, o->name, strlen(o->name));
        put_json(out, "letter", letter);
        put_json(out, "value", o->arg == TUG_ARG_NONE ? "" : o->arg_name);
        put_json(out, "help", o->help);
        tug_buf_addc(out, '}');
        comma = ",";
    }
    tug_buf_addc(out, ']');
}

void tug_opts_scd(struct tug_buf *out, const struct tug_opt *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct tug_opt *o = &table[i];
        if (!o->help)
            continue;
        if (o->letter)
            tug_buf_addf(out, "*-%c*, ", o->letter);
        tug_buf_addf(out, "*--%s*", o->name);
        if (o->arg != TUG_ARG_NONE && *o->arg_name) {
            tug_buf_adds(out, o->arg == TUG_ARG_MAYBE ? "[=" : "=");
            tug_buf_adds(out, "<");
            put_scd(out, o->arg_name);
            tug_buf_adds(out, o->arg == TUG_ARG_MAYBE ? ">]" : ">");
        }
        tug_buf_adds(out, "\n\t");
        put_scd(out, o->help);
        tug_buf_adds(out, "\n\n");
    }
}
