/* machine.c - tug machine: what is known of kinds of machines, and files of other tools
 *
 * Nothing here asks a daemon. What is imported or exported is printed, or put into the file of --out. Layer: cli.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/size.h"
#include "base/str.h"
#include "cli/matrix.h"
#include "cli/verb.h"
#include "conf/hwlocxml.h"
#include "conf/ncclxml.h"
#include "host/machines.h"
#include "host/readfile.h"

enum { OPT_FORMAT = 1, OPT_OUT, OPT_NAME, OPT_NIC };
static const struct tug_opt opts[] = {
    {OPT_FORMAT, "format", 'f', TUG_ARG_NEED, "FORMAT", "export: nccl, hwloc or yaml; the default is yaml"},
    {OPT_OUT, "out", 'o', TUG_ARG_NEED, "FILE", "import, export: write there, not to the standard output"},
    {OPT_NAME, "name", 0, TUG_ARG_NEED, "NAME", "import: what to call it; the default is the name of the file"},
    {OPT_NIC, "nic", 0, TUG_ARG_NEED, "BUSID,...",
     "import: devices of a file of NCCL that have no class there and are adapters, not GPUs"},
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_machine(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

struct machine_args {
    const char *format, *out, *name, *nics;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct machine_args *a = ctx;
    switch (o->id) {
    case OPT_FORMAT:
        if (strcmp(value, "nccl") && strcmp(value, "hwloc") && strcmp(value, "yaml"))
            return tug_fail(err, -EINVAL, "--format: '%.40s' is none of nccl, hwloc and yaml", value);
        a->format = value;
        break;
    case OPT_OUT:
        a->out = value;
        break;
    case OPT_NAME:
        a->name = value;
        break;
    case OPT_NIC:
        a->nics = value;
        break;
    }
    return 0;
}

/* ---- files of others */

static int is_xml(const char *text, size_t len)
{
    size_t at = 0;
    while (at < len && strchr(" \t\r\n\xef\xbb\xbf", text[at]))
        at++;
    return at < len && text[at] == '<';
}

/* "dir/my machine.xml" -> "my_machine" */
static void name_of(const char *path, char *out, size_t size_bytes)
{
    const char *slash = strrchr(path, '/');
    tug_str_copy(out, size_bytes, slash ? slash + 1 : path);
    char *dot = strrchr(out, '.');
    if (dot && dot != out)
        *dot = '\0';
    for (char *s = out; *s; s++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *s))
            *s = '_';
}

static void say_odd(const struct tug_buf *odd)
{
    const char *rest = tug_buf_str(odd), *at;
    size_t len;
    while (!tug_out.json && tug_str_split(&rest, '\n', &at, &len))
        if (len)
            tug_out_warn("%.*s", (int) len, at);
}

static int read_xml(const struct machine_args *a, const char *path, const struct tug_buf *text, struct tug_sheet **out,
                    struct tug_err *err)
{
    struct tug_conf_errors errs = {0};
    struct tug_buf odd = {0}, wrong = {0};
    char name[64];
    name_of(a->name ? a->name : path, name, sizeof name);
    struct tug_ncclxml_opts nccl = {.name = a->name ? a->name : name, .nics = a->nics};
    int rc = memmem(text->data, text->len, "<topology", 9)
                 ? tug_hwlocxml_read(path, text->data, text->len, nccl.name, out, &odd, &errs)
                 : tug_ncclxml_read(path, text->data, text->len, &nccl, out, &odd, &errs);
    if (rc) {
        tug_conf_errors_sort(&errs);
        tug_conf_errors_line(&errs, &wrong);
        tug_fail(err, rc, "%s", tug_buf_str(&wrong));
    } else {
        say_odd(&odd);
    }
    tug_conf_errors_clear(&errs);
    tug_buf_clear(&odd);
    tug_buf_clear(&wrong);
    return rc;
}

static int is_path(const char *word)
{
    return strchr(word, '/') || tug_str_has_suffix(word, ".yaml") || tug_str_has_suffix(word, ".xml");
}

/* A name, a file of ours, or one of NCCL or hwloc: what it is shows in it. */
static int load(const struct machine_args *a, const char *what, int is_file, struct tug_sheet **out, struct tug_err *err)
{
    struct tug_buf text = {0};
    if (!is_file && !is_path(what))
        return tug_machines_find(NULL, what, out, err);
    int rc = tug_readfile(what, TUG_HWLOCXML_BYTES_MAX, &text, err);
    if (rc == 0)
        rc = is_xml(tug_buf_str(&text), text.len) ? read_xml(a, what, &text, out, err) : tug_machines_read(what, out, err);
    tug_buf_clear(&text);
    return rc;
}

/* ---- list */

static void json_text(const char *key, const char *text)
{
    tug_out_addf("\"%s\":", key);
    tug_out_json_string(&tug_out.buf, text, strlen(text));
}

static void json_sheet(const struct tug_sheet *s)
{
    json_text("name", s->machine.name);
    tug_out_adds(",");
    json_text("about", s->about);
    tug_out_adds(",");
    json_text("gpu_model", s->machine.n_gpus ? s->machine.gpu[0].model : "");
    tug_out_addf(",\"gpus\":%u,\"nics\":%u,\"numa\":%u,\"nvswitch\":%s,\"nvlink_nodes\":%u,\"cpus\":%u,\"mem_bytes\":%llu",
                 s->machine.n_gpus, s->machine.n_nics, s->machine.n_numa, s->machine.nvswitch ? "true" : "false", s->nvlink_nodes,
                 s->cpus, (unsigned long long) s->mem_bytes);
}

static void list_json(const struct tug_machines *all)
{
    tug_out_adds("{\"machines\":[");
    for (size_t i = 0; i < all->len; i++) {
        tug_out_adds(i ? ",{" : "{");
        if (all->at[i].sheet)
            json_sheet(all->at[i].sheet);
        else
            json_text("name", all->at[i].name);
        tug_out_adds(",");
        json_text("path", all->at[i].path);
        tug_out_adds(",");
        json_text("problem", all->at[i].problem ? all->at[i].problem : "");
        tug_out_adds("}");
    }
    tug_out_adds("]}\n");
}

static void add_row(struct tug_table *t, const struct tug_machines_entry *e)
{
    char size[TUG_SIZE_TEXT_MAX];
    tug_table_cells(t, e->name, TUG_BOLD);
    tug_table_cellf(t, "%u", e->sheet->machine.n_gpus);
    tug_table_cells(t, e->sheet->machine.n_gpus ? e->sheet->machine.gpu[0].model : "-", TUG_PLAIN);
    tug_table_cellf(t, "%u", e->sheet->cpus);
    tug_table_cells(t, tug_size_format(e->sheet->mem_bytes, size, sizeof size), TUG_PLAIN);
    tug_table_cells(t, e->sheet->about, TUG_PLAIN);
}

static int do_list(const struct machine_args *a, const char *what, struct tug_err *err)
{
    static const struct tug_table_column columns[] = {{"NAME", false, 8}, {"GPUS", true, 0},   {"MODEL", false, 0},
                                                      {"CPUS", true, 0},  {"MEMORY", true, 0}, {"ABOUT", false, 12}};
    struct tug_machines all = {0};
    (void) a, (void) what, (void) err;
    tug_machines_list(NULL, &all);
    if (tug_out.json) {
        list_json(&all);
    } else {
        struct tug_table *t = tug_table_new(columns, sizeof columns / sizeof *columns);
        for (size_t i = 0; i < all.len; i++)
            if (all.at[i].sheet)
                add_row(t, &all.at[i]);
            else
                tug_out_warn("%s", all.at[i].problem);
        tug_table_print(t, &tug_out.buf, tug_out.width, true, tug_out.colour);
        tug_table_free(t);
    }
    tug_machines_clear(&all);
    return 0;
}

/* ---- show, check, import, export */

static void say_sheet(const struct tug_sheet *s)
{
    char size[TUG_SIZE_TEXT_MAX];
    if (*s->about) {
        tug_out_text(s->about);
        tug_out_adds("\n");
    }
    if (s->cpus)
        tug_out_addf("%u CPUs%s", s->cpus, s->mem_bytes ? ", " : "\n");
    if (s->mem_bytes)
        tug_out_addf("%s of memory\n", tug_size_format(s->mem_bytes, size, sizeof size));
    if (s->nvlink_nodes > 1)
        tug_out_addf("NVLink joins %u such nodes\n", s->nvlink_nodes);
    tug_out_adds("\n");
    tug_matrix_print(&s->machine, NULL, tug_out.colour, &tug_out.buf);
    for (size_t i = 0; i < s->source.n; i++) {
        tug_out_adds(i ? "  " : "\nKnown from\n  ");
        tug_out_text(s->source.at[i]);
        tug_out_adds("\n");
    }
}

static int do_show(const struct machine_args *a, const char *what, struct tug_err *err)
{
    struct tug_sheet *s = NULL;
    int rc = load(a, what, 0, &s, err);
    if (rc)
        return rc;
    if (tug_out.json) {
        struct tug_buf text = {0};
        tug_sheet_write(s, &text);
        tug_out_adds("{");
        json_sheet(s);
        tug_out_adds(",");
        json_text("yaml", tug_buf_str(&text));
        tug_out_adds("}\n");
        tug_buf_clear(&text);
    } else {
        say_sheet(s);
    }
    tug_sheet_free(s);
    return 0;
}

static int do_check(const struct machine_args *a, const char *what, struct tug_err *err)
{
    struct tug_sheet *s = NULL;
    int rc = load(a, what, 1, &s, err);
    if (rc)
        return rc;
    if (tug_out.json) {
        tug_out_adds("{");
        json_sheet(s);
        tug_out_adds("}\n");
    } else {
        tug_out_text(what);
        tug_out_addf(": %u GPUs, %u adapters, without errors\n", s->machine.n_gpus, s->machine.n_nics);
    }
    tug_sheet_free(s);
    return 0;
}

static int put(const struct machine_args *a, const struct tug_buf *text, struct tug_err *err)
{
    if (!a->out) {
        tug_out_adds(tug_buf_str(text));
        return 0;
    }
    FILE *f = fopen(a->out, "we");
    int bad = !f || fwrite(text->data, 1, text->len, f) != text->len;
    if (f && fclose(f))
        bad = 1;
    return bad ? tug_fail(err, -errno, "writing %s: %s", a->out, strerror(errno)) : 0;
}

static int convert(const struct machine_args *a, const char *what, int is_file, const char *format, struct tug_err *err)
{
    struct tug_sheet *s = NULL;
    struct tug_buf text = {0};
    int rc = load(a, what, is_file, &s, err);
    if (rc)
        return rc;
    if (!strcmp(format, "nccl"))
        tug_ncclxml_write(s, &text);
    else if (!strcmp(format, "hwloc"))
        tug_hwlocxml_write(s, &text);
    else
        tug_sheet_write(s, &text);
    rc = put(a, &text, err);
    tug_buf_clear(&text);
    tug_sheet_free(s);
    return rc;
}

static int do_import(const struct machine_args *a, const char *what, struct tug_err *err)
{
    return convert(a, what, 1, "yaml", err);
}

static int do_export(const struct machine_args *a, const char *what, struct tug_err *err)
{
    return convert(a, what, 0, a->format ? a->format : "yaml", err);
}

static const struct {
    const char *name;
    int words;
    int (*run)(const struct machine_args *a, const char *what, struct tug_err *err);
} commands[] = {{"list", 1, do_list}, {"show", 2, do_show}, {"import", 2, do_import}, {"export", 2, do_export}, {"check", 2, do_check}};

int tug_do_machine(int argc, char **argv)
{
    struct machine_args a = {0};
    struct tug_err err = {0};
    int words, status = tug_verb_parse("machine", argc, argv, take, &a, &words);
    if (status >= 0)
        return status;
    for (size_t i = 0; words && i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i].name) && words == commands[i].words)
            return commands[i].run(&a, argv[2], &err) ? tug_out_fail(&err) : TUG_EXIT_OK;
    tug_fail(&err, -EINVAL, "'tug machine' takes list, or one of show, import, export and check with a name or a file");
    tug_verb_usage("machine", &err);
    return tug_out_usage(&err);
}
