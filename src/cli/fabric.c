/* fabric.c - tug fabric: how nodes are wired together, and reading it from the files of other tools
 *
 * The tree with its figures comes from the controller. What is imported is printed and never put
 * anywhere: an admin looks at it first. Layer: cli.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/hostlist.h"
#include "base/mem.h"
#include "base/rate.h"
#include "cli/client.h"
#include "cli/verb.h"
#include "conf/wiring.h"
#include "host/readfile.h"

#define FILE_MAX_BYTES ((size_t) 1 << 30)

enum { OPT_FORMAT = 1, OPT_CHECK };
static const struct tug_opt opts[] = {
    {OPT_FORMAT, "format", 'f', TUG_ARG_NEED, "FORMAT",
     "import: what FILE is: slurm-tree, slurm-block, slurm-yaml, ibnetdiscover, topograph or csv; "
     "the "
     "default, auto, looks"},
    {OPT_CHECK, "check", 0, TUG_ARG_NONE, NULL,
     "import: print in what the running configuration differs instead; status 1 when it does"},
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_fabric(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

struct fabric_args {
    enum tug_wiring_format format;
    bool check, has_format;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct fabric_args *a = ctx;
    if (o->id == OPT_CHECK) {
        a->check = true;
        return 0;
    }
    a->has_format = true;
    int rc = tug_wiring_format(value, &a->format, err);
    return rc ? tug_fail_ctx(err, rc, "--format") : 0;
}

/* ---- what is configured */

static void add_row(struct tug_table *t, const Tugpb__DomainView *d)
{
    char text[TUG_RATE_TEXT_MAX];
    tug_table_cellf(t, "%*s%s", (int) (2 * (d->depth < 32 ? d->depth : 32)), "", d->name);
    tug_table_cells(t, *d->level ? d->level : "-", TUG_PLAIN);
    if (d->n_usable < d->n_nodes)
        tug_table_cellf(t, "%u/%u", d->n_usable, d->n_nodes);
    else
        tug_table_cellf(t, "%u", d->n_nodes);
    tug_table_cellf(t, "%u/%u", d->gpus_free, d->gpus);
    if (d->largest_nodes)
        tug_table_cellf(t, "%ux%u", d->largest_nodes, d->largest_gpus);
    else
        tug_table_cells(t, d->shut ? "shut" : "-", TUG_PLAIN);
    tug_table_cells(t,
                    d->bandwidth_bytes_s
                        ? tug_rate_format((int64_t) d->bandwidth_bytes_s, text, sizeof text)
                        : "-",
                    TUG_PLAIN);
    if (d->oversubscription > 1)
        tug_table_cellf(t, "%g:1", d->oversubscription);
    else
        tug_table_cells(t, "-", TUG_PLAIN);
    tug_table_cells(t, d->nodes, TUG_PLAIN);
}

static void say(const Tugpb__FabricReply *r)
{
    static const struct tug_table_column columns[] = {
        {"DOMAIN", false, 8}, {"LEVEL", false, 0},  {"NODES", true, 0},   {"FREE GPUS", true, 0},
        {"LARGEST", true, 0},
        {"PER GPU", true, 0}, {"OVERSUB", true, 0}, {"HOSTS", false, 12},
    };
    if (r->n_domains) {
        struct tug_table *t = tug_table_new(columns, sizeof columns / sizeof *columns);
        for (size_t i = 0; i < r->n_domains; i++)
            add_row(t, r->domains[i]);
        tug_table_print(t, &tug_out.buf, tug_out.width, true, tug_out.colour);
        tug_table_free(t);
    } else {
        tug_out_adds("No fabric is configured: the cluster is one domain. 'tug fabric import FILE' "
                     "makes one.\n");
    }
    if (r->n_domains && *r->unwired) {
        tug_out_adds("In no domain: ");
        tug_out_text(r->unwired);
        tug_out_adds("\n");
    }
}

/* What nodes say themselves, and is not configured so. */
static void warn_drift(const Tugpb__FabricReply *r)
{
    for (size_t i = 0; i < r->n_drift; i++)
        tug_out_warn("%s", r->drift[i]);
}

static int show(struct tug_err *err)
{
    Tugpb__FabricRequest request = TUGPB__FABRIC_REQUEST__INIT;
    struct tug_client c = {0};
    ProtobufCMessage *m;
    int rc =
        tug_client_once(TUG_MSG_FABRIC_REQUEST, &request.base, TUG_MSG_FABRIC_REPLY, &c, &m, err);
    if (!rc)
        tug_out.json ? tug_out_message(m) : say((const Tugpb__FabricReply *) m);
    if (!rc && !tug_out.json)
        warn_drift((const Tugpb__FabricReply *) m);
    tug_client_close(&c);
    return rc;
}

/* ---- import */

static void json_text(const char *key, const char *text)
{
    tug_out_addf("\"%s\":", key);
    tug_out_json_string(&tug_out.buf, text, strlen(text));
}

static void json_warnings(const struct tug_wiring *w)
{
    tug_out_adds(",\"warnings\":[");
    for (size_t i = 0; i < w->warnings.len; i++) {
        tug_out_addf("%s{\"line\":%u,", i ? "," : "", w->warnings.at[i].line);
        json_text("text", w->warnings.at[i].text);
        tug_out_adds("}");
    }
    tug_out_addf("],\"warnings_left_out\":%zu}\n", w->warnings_left_out);
}

static void json_domain(const struct tug_wiring *w, const struct tug_wiring_domain *d)
{
    struct tug_hostlist *hl = tug_hostlist_new();
    struct tug_buf hosts = {0};
    for (size_t i = 0; i < d->nodes.len; i++)
        tug_hostlist_add(hl, d->nodes.at[i], NULL);
    tug_hostlist_format(hl, &hosts);
    tug_out_adds("{");
    json_text("name", d->name);
    tug_out_adds(",");
    json_text("level", d->level);
    tug_out_adds(",");
    json_text("parent", d->parent == TUG_WIRING_NONE ? "" : w->domains.at[d->parent]->name);
    tug_out_adds(",");
    json_text("nodes", tug_buf_str(&hosts));
    tug_out_adds("}");
    tug_buf_clear(&hosts);
    tug_hostlist_free(hl);
}

static void print_import(const struct tug_wiring *w, const char *file,
                         enum tug_wiring_format format)
{
    bool first = true;
    if (!tug_out.json) {
        tug_wiring_print(w, file, format, &tug_out.buf);
        return;
    }
    tug_out_adds("{");
    json_text("format", tug_wiring_format_name(format));
    tug_out_addf(",\"nodes\":%zu,\"domains\":[", tug_wiring_count_nodes(w));
    for (size_t i = 0; i < w->domains.len; i++) {
        if (w->domains.at[i]->is_dropped)
            continue;
        tug_out_adds(first ? "" : ",");
        json_domain(w, w->domains.at[i]);
        first = false;
    }
    tug_out_adds("]");
    json_warnings(w);
}

/* The controller's answer as a wiring. */
static int take_running(const Tugpb__FabricReply *r, struct tug_wiring *out, struct tug_err *err)
{
    struct tug_hostlist *hl = NULL;
    int rc = 0;
    for (size_t i = 0; i <= r->n_domains && !rc; i++) {
        const Tugpb__DomainView *d = i < r->n_domains ? r->domains[i] : NULL;
        uint32_t row = d ? tug_wiring_domain(out, d->name, 0) : TUG_WIRING_NONE;
        if (d && *d->parent)
            tug_wiring_below(out, row, tug_wiring_domain(out, d->parent, 0), 0);
        rc = tug_hostlist_parse(d ? d->nodes : r->unwired, &hl, err);
        for (size_t k = 0; !rc && k < tug_hostlist_count(hl); k++)
            tug_wiring_put(out, row, tug_hostlist_nth(hl, k), 0);
        tug_hostlist_free(hl);
        hl = NULL;
    }
    if (!rc)
        tug_wiring_finish(out);
    return rc;
}

static void print_drift(const struct tug_wiring *w, enum tug_wiring_format format,
                        const struct tug_wiring_drift *drift)
{
    if (tug_out.json) {
        tug_out_adds("{");
        json_text("format", tug_wiring_format_name(format));
        tug_out_addf(",\"nodes\":%zu,\"drift\":[", tug_wiring_count_nodes(w));
        for (size_t i = 0; i < drift->len; i++) {
            tug_out_adds(i ? "," : "");
            tug_out_json_string(&tug_out.buf, drift->at[i], strlen(drift->at[i]));
        }
        tug_out_adds("]");
        json_warnings(w);
        return;
    }
    for (size_t i = 0; i < drift->len; i++) {
        tug_out_text(drift->at[i]);
        tug_out_adds("\n");
    }
    if (!drift->len) {
        tug_out_adds("as configured: ");
        tug_wiring_summary(w, &tug_out.buf);
        tug_out_adds("\n");
    }
}

/* 0; 1 when something differs. */
static int check(const struct tug_wiring *w, enum tug_wiring_format format, struct tug_err *err)
{
    Tugpb__FabricRequest request = TUGPB__FABRIC_REQUEST__INIT;
    struct tug_wiring *running = tug_wiring_new();
    struct tug_wiring_drift drift = {0};
    struct tug_client c = {0};
    ProtobufCMessage *m;
    int rc =
        tug_client_once(TUG_MSG_FABRIC_REQUEST, &request.base, TUG_MSG_FABRIC_REPLY, &c, &m, err);
    if (!rc)
        rc = take_running((const Tugpb__FabricReply *) m, running, err);
    if (!rc) {
        tug_wiring_compare(w, running, &drift);
        print_drift(w, format, &drift);
        if (!tug_out.json)
            warn_drift((const Tugpb__FabricReply *) m);
        rc = drift.len > 0;
    }
    tug_wiring_drift_clear(&drift);
    tug_wiring_free(running);
    tug_client_close(&c);
    return rc;
}

/* As print and --check show warnings: the first as a comment, the second has no comments. */
static void warn(const struct tug_wiring *w)
{
    for (size_t i = 0; i < w->warnings.len; i++)
        if (w->warnings.at[i].line)
            tug_out_warn("line %u: %s", w->warnings.at[i].line, w->warnings.at[i].text);
        else
            tug_out_warn("%s", w->warnings.at[i].text);
    if (w->warnings_left_out)
        tug_out_warn("and %zu more", w->warnings_left_out);
}

static int read_file(const char *path, struct tug_buf *out, struct tug_err *err)
{
    if (strcmp(path, "-") != 0)
        return tug_readfile(path, FILE_MAX_BYTES, out, err);
    for (size_t n = 1; n;) {
        if (out->len > FILE_MAX_BYTES)
            return tug_fail(err, -EFBIG, "the input is over %zu bytes", FILE_MAX_BYTES);
        n = fread(tug_buf_room(out, 65536), 1, 65536, stdin);
        out->len += n;
    }
    return ferror(stdin) ? tug_fail(err, -EIO, "the input cannot be read") : 0;
}

/* 0; 1 when the running configuration differs; else negative. */
static int import(const char *path, struct fabric_args *a, struct tug_err *err)
{
    struct tug_wiring *w = tug_wiring_new();
    struct tug_conf_errors errs = {0};
    struct tug_buf text = {0}, wrong = {0};
    int rc = read_file(path, &text, err);
    if (rc)
        goto out;
    if (tug_wiring_read(w, &a->format, path, tug_buf_str(&text), text.len, &errs)) {
        tug_conf_errors_sort(&errs);
        tug_conf_errors_print(&errs, &wrong);
        if (!tug_out.json) {
            tug_out_flush();
            fputs(tug_buf_str(&wrong), stderr);
        }
        rc = tug_out.json ? tug_fail(err, -EPROTO, "%s", tug_buf_str(&wrong))
                          : tug_fail(err, -EPROTO, "%s: %zu error%s, nothing is imported", path,
                                     tug_conf_errors_count(&errs),
                                     tug_conf_errors_count(&errs) == 1 ? "" : "s");
        goto out;
    }
    if (a->check) {
        rc = check(w, a->format, err);
        if (rc >= 0 && !tug_out.json)
            warn(w);
    } else {
        print_import(w, path, a->format);
    }
out:
    tug_conf_errors_clear(&errs);
    tug_buf_clear(&text);
    tug_buf_clear(&wrong);
    tug_wiring_free(w);
    return rc;
}

int tug_do_fabric(int argc, char **argv)
{
    struct fabric_args a = {.format = TUG_WIRING_AUTO};
    struct tug_err err = {0};
    int words, rc, status = tug_verb_parse("fabric", argc, argv, take, &a, &words);
    if (status >= 0)
        return status;
    if (words == 2 && !strcmp(argv[1], "import"))
        rc = import(argv[2], &a, &err);
    else if (words == 0 && !a.check && !a.has_format)
        rc = show(&err);
    else {
        tug_fail(&err, -EINVAL,
                 words && !strcmp(argv[1], "import")
                     ? "import takes one file, or - for what comes in"
                     : "'tug fabric' takes nothing, or 'import FILE'");
        tug_verb_usage("fabric", &err);
        return tug_out_usage(&err);
    }
    return rc < 0 ? tug_out_fail(&err) : rc > 0 ? TUG_EXIT_REFUSED : TUG_EXIT_OK;
}
