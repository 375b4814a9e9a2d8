/* node.c - tug node: one node in full (node_show.c), and what is inside nodes
 *
 * What nodes say of themselves comes from the controller, or of this very machine from tugnoded, which knows how to look: the
 * command itself links nothing for that. Layer: cli.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hostlist.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/links.h"
#include "cli/matrix.h"
#include "cli/node_show.h"
#include "cli/sandbox.h"
#include "cli/verb.h"
#include "conf/hwlocxml.h"
#include "conf/machine.h"
#include "conf/ncclxml.h"
#include "host/readfile.h"
#include "proto/machine.h"

#define INVENTORY_MAX_BYTES ((size_t) 1 << 20)

enum { OPT_HERE = 1, OPT_EXPORT, OPT_FORMAT, OPT_LIMIT };
static const struct tug_opt opts[] = {
    {OPT_EXPORT, "export", 0, TUG_ARG_NEED, "FILE",
     "topo: write it as a description of that kind of machine, for machine: in tugline.yaml and tug sandbox --machine; - is standard output"},
    {OPT_HERE, "here", 0, TUG_ARG_NONE, NULL, "topo: look at this very machine; no daemon is asked"},
    {OPT_FORMAT, "format", 'f', TUG_ARG_NEED, "FORMAT", "topo: what to export: yaml, nccl or hwloc; the default is yaml"},
    {OPT_LIMIT, "limit", 'n', TUG_ARG_NEED, "N", "history: the newest N; the default is 50"},
    TUG_COMMON_OPTS,
};

/* What a description may be written as. */
static const struct format {
    const char *name;
    void (*write)(const struct tug_sheet *s, struct tug_buf *out);
} formats[] = {{"yaml", tug_sheet_write}, {"nccl", tug_ncclxml_write}, {"hwloc", tug_hwlocxml_write}};

const struct tug_opt *tug_opts_of_node(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

struct node_args {
    bool here;
    const char *export;          /* NULL: print it */
    uint32_t limit;              /* 0: not said */
    const struct format *format; /* NULL: not said */
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct node_args *a = ctx;
    uint64_t n;
    if (o->id == OPT_LIMIT && (tug_str_u64(value, UINT32_MAX, &n) || n == 0))
        return tug_fail(err, -EINVAL, "--limit: '%.64s' is not a number from 1", value);
    if (o->id == OPT_LIMIT)
        a->limit = (uint32_t) n;
    if (o->id == OPT_EXPORT)
        a->export = value;
    else if (o->id == OPT_HERE)
        a->here = true;
    for (size_t i = 0; o->id == OPT_FORMAT && i < sizeof formats / sizeof *formats; i++)
        if (!strcmp(value, formats[i].name))
            a->format = &formats[i];
    return o->id == OPT_FORMAT && !a->format
               ? tug_fail(err, -EINVAL, "--format: '%.40s' is none of yaml, nccl and hwloc", value)
               : 0;
}

/* ---- what is there, in words */

/* "0-15,32-47" */
static void add_cpus(struct tug_buf *out, const ProtobufCBinaryData *mask)
{
    size_t n = 8 * mask->len;
    for (size_t i = 0, end; i < n; i = end + 1) {
        for (end = i; end < n && mask->data[end / 8] >> end % 8 & 1; end++)
            ;
        if (end == i)
            continue;
        tug_buf_addf(out, "%s%zu", out->len ? "," : "", i);
        if (end > i + 1)
            tug_buf_addf(out, "-%zu", end - 1);
    }
}

static void say_matrix(const Tugpb__Inventory *inv, const struct tug_machine *m)
{
    struct tug_buf cpus[TUG_MACHINE_NUMA_MAX] = {{0}};
    const char *texts[TUG_MACHINE_NUMA_MAX] = {NULL};
    for (uint32_t i = 0; i < m->n_numa; i++) {
        if (i < inv->n_numa_cpus)
            add_cpus(&cpus[i], &inv->numa_cpus[i]);
        texts[i] = tug_buf_str(&cpus[i]);
    }
    struct tug_matrix_more more = {.numa_cpus = inv->n_numa_cpus ? texts : NULL, .lost = inv->gpus_lost};
    tug_matrix_print(m, &more, tug_out.colour, &tug_out.buf);
    for (uint32_t i = 0; i < m->n_numa; i++)
        tug_buf_clear(&cpus[i]);
}

/* Runs of one profile on one GPU: "GPU 0: 3 x 1g.10gb, 1 x 3g.40gb" */
static void say_parts(const Tugpb__Inventory *inv)
{
    for (size_t i = 0, n; i < inv->n_mig; i += n) {
        const Tugpb__MigSlice *s = inv->mig[i];
        bool more = i && inv->mig[i - 1]->gpu == s->gpu;
        for (n = 1; i + n < inv->n_mig && inv->mig[i + n]->gpu == s->gpu && !strcmp(inv->mig[i + n]->profile, s->profile);)
            n++;
        if (more)
            tug_out_adds(", ");
        else
            tug_out_addf("%sGPU %u is cut into ", i ? "\n" : "", s->gpu);
        tug_out_addf("%zu x ", n);
        tug_out_text(s->profile);
    }
    if (inv->n_mig)
        tug_out_adds("\n");
}

static void say_more(const Tugpb__Inventory *inv)
{
    char text[256];
    if (inv->gpus_lost)
        tug_out_addf("GPU %s cannot be used; the log of tugnoded says why\n",
                     tug_gpuset_format(inv->gpus_lost, text, sizeof text));
    say_parts(inv);
    if (*inv->nvlink_domain) {
        tug_out_adds("NVLink domain ");
        tug_out_text(inv->nvlink_domain);
        tug_out_adds("\n");
    }
    if (inv->hides_pci)
        tug_out_adds("A virtual machine that hides PCI devices: NVLinks to what is hidden count as links to switches.\n");
}

static void say_kind(const Tugpb__TopoView *v)
{
    struct tug_machine *m = NULL;
    struct tug_err err = {0};
    const Tugpb__Inventory *inv = v->inventory;
    int rc = inv->links ? tug_machine_of_pb(inv->links, &m, &err) : 0;
    tug_out_colour(TUG_BOLD);
    tug_out_text(v->nodes);
    tug_out_colour(TUG_PLAIN);
    if (v->n_nodes > 1)
        tug_out_addf(" (%u nodes)", v->n_nodes);
    tug_out_adds("\n");
    if (m && m->n_gpus == inv->gpus)
        say_matrix(inv, m);
    else if (rc || m) {
        tug_out_addf("%u GPUs; what it says of its links makes no sense: ", inv->gpus);
        tug_out_text(rc ? err.msg : "there are not so many");
        tug_out_adds("\n");
    } else {
        tug_out_addf("%u GPUs; nothing is known of what is between them%s\n", inv->gpus, inv->emulated ? ": it is emulated" : "");
    }
    say_more(inv);
    free(m);
}

static void say(const Tugpb__TopoReply *r)
{
    if (tug_out.json) {
        tug_out_message(&r->base);
        return;
    }
    for (size_t i = 0; i < r->n_kinds; i++) {
        tug_out_adds(i ? "\n" : "");
        if (r->kinds[i]->inventory)
            say_kind(r->kinds[i]);
    }
    if (*r->silent) {
        tug_out_adds(r->n_kinds ? "\n" : "");
        tug_out_text(r->silent);
        tug_out_adds(": never heard of; nodes say what they have when they come up\n");
    }
}

/* ---- as a description */

static int write_file(const char *path, const struct tug_buf *text, struct tug_err *err)
{
    FILE *f = fopen(path, "we");
    int rc = 0;
    if (!f)
        return tug_fail(err, -errno, "%s cannot be written: %s", path, strerror(errno));
    if (fwrite(text->data, 1, text->len, f) != text->len)
        rc = -errno;
    if (fclose(f) == EOF && !rc)
        rc = -errno;
    return rc ? tug_fail(err, rc, "%s cannot be written: %s", path, strerror(-rc)) : 0;
}

/* One kind, whole: a GPU that is lost is no part of what such a machine is. */
static int check_export(const Tugpb__TopoReply *r, struct tug_err *err)
{
    const Tugpb__TopoView *v = r->n_kinds ? r->kinds[0] : NULL;
    if (!v)
        return tug_fail(err, -ENOENT, "no such node has said what it has; it does when it comes up");
    if (r->n_kinds > 1)
        return tug_fail(err, -EEXIST, "there are %zu kinds of machines, as of %.64s and %.64s; name the nodes of one", r->n_kinds,
                        v->nodes, r->kinds[1]->nodes);
    if (!v->inventory || !v->inventory->links)
        return tug_fail(err, -ENODATA, "nothing is known of what is between the GPUs of %.64s", v->nodes);
    if (v->inventory->gpus_lost)
        return tug_fail(err, -EIO, "a GPU of %.64s cannot be used, so this is no whole machine of its kind", v->nodes);
    return 0;
}

static void describe(const Tugpb__TopoView *v, const struct tug_machine *m, const struct format *format, struct tug_buf *out)
{
    struct tug_sheet *s = tug_sheet_new();
    s->machine = *m;
    snprintf(s->machine.name, sizeof s->machine.name, "%.60s", *v->inventory->machine ? v->inventory->machine : v->nodes);
    s->cpus = v->inventory->cpus;
    s->mem_bytes = v->inventory->mem_bytes;
    free(s->about);
    s->about = tug_xasprintf("as %.64s says of itself", v->nodes);
    format->write(s, out);
    tug_sheet_free(s);
}

static int export(const Tugpb__TopoReply *r, const char *path, const struct format *format, struct tug_err *err)
{
    struct tug_machine *m = NULL;
    struct tug_buf text = {0};
    int rc = check_export(r, err);
    if (!rc)
        rc = tug_machine_of_pb(r->kinds[0]->inventory->links, &m, err);
    if (rc)
        return rc;
    describe(r->kinds[0], m, format ? format : &formats[0], &text);
    if (strcmp(path, "-") != 0)
        rc = write_file(path, &text, err);
    else
        tug_out_adds(tug_buf_str(&text));
    tug_buf_clear(&text);
    free(m);
    return rc;
}

static int show(const Tugpb__TopoReply *r, const struct node_args *a, struct tug_err *err)
{
    if (a->export)
        return export(r, a->export, a->format, err);
    say(r);
    return 0;
}

/* ---- asking */

static int ask(int n, char **words, const struct node_args *a, struct tug_err *err)
{
    Tugpb__TopoRequest request = TUGPB__TOPO_REQUEST__INIT;
    struct tug_buf hosts = {0};
    struct tug_client c = {0};
    ProtobufCMessage *m;
    for (int i = 0; i < n; i++)
        tug_buf_addf(&hosts, "%s%s", i ? "," : "", words[i]);
    request.nodes = (char *) tug_buf_str(&hosts);
    int rc = tug_client_once(TUG_MSG_TOPO_REQUEST, &request.base, TUG_MSG_TOPO_REPLY, &c, &m, err);
    if (!rc)
        rc = show((const Tugpb__TopoReply *) m, a, err);
    tug_client_close(&c);
    tug_buf_clear(&hosts);
    return rc;
}

/* ---- looking */

/* tugnoded --inventory writes its inventory, packed, to standard output. */
static int run_noded(struct tug_buf *out, struct tug_err *err)
{
    char path[TUG_PATH_MAX];
    int pipe_fds[2], status;
    int rc = tug_sandbox_program("tugnoded", path, err);
    if (rc)
        return rc;
    if (pipe(pipe_fds) < 0)
        return tug_fail(err, -errno, "no pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipe_fds[1], STDOUT_FILENO);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        execl(path, path, "--inventory", (char *) NULL);
        _exit(127);
    }
    close(pipe_fds[1]);
    ssize_t n = 0;
    while (pid > 0 && out->len < INVENTORY_MAX_BYTES && (n = read(pipe_fds[0], tug_buf_room(out, 65536), 65536)) > 0)
        out->len += (size_t) n;
    close(pipe_fds[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return tug_fail(err, -errno, "%s cannot be started: %s", path, strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return tug_fail(err, -EIO, "%s could not look at this machine", path);
    return 0;
}

static int look_here(const struct node_args *args, struct tug_err *err)
{
    char host[256] = "this host";
    Tugpb__TopoView view = TUGPB__TOPO_VIEW__INIT, *views[] = {&view};
    Tugpb__TopoReply r = TUGPB__TOPO_REPLY__INIT;
    struct tug_arena a = {.budget_bytes = 64 << 20};
    struct tug_buf packed = {0};
    ProtobufCMessage *m = NULL;
    int rc = run_noded(&packed, err);
    if (!rc)
        rc = tug_proto_decode(&a, &tugpb__inventory__descriptor, tug_buf_str(&packed), packed.len, &m, err);
    if (!rc) {
        gethostname(host, sizeof host - 1);
        view.nodes = host;
        view.n_nodes = 1;
        view.inventory = (Tugpb__Inventory *) m;
        r.kinds = views;
        r.n_kinds = 1;
        rc = show(&r, args, err);
    }
    tug_buf_clear(&packed);
    tug_arena_clear(&a);
    return rc;
}

/* Where no controller is, as on a compute node, one wants to see this machine. */
static int topo(int n, char **words, const struct node_args *a, struct tug_err *err)
{
    size_t len = a->export ? strlen(a->export) : 0;
    if (a->format && !a->export)
        return tug_fail(err, -EINVAL, "--format is of what --export writes; say --export FILE");
    if (!a->format && len > 4 && !strcmp(a->export + len - 4, ".xml"))
        return tug_fail(err, -EINVAL, "is %.64s for NCCL or for hwloc? Say --format nccl or --format hwloc", a->export);
    if (a->here && n)
        return tug_fail(err, -EINVAL, "--here is this machine, not '%.64s'; leave one of them away", words[0]);
    int rc = a->here ? TUG_UNREACHABLE : ask(n, words, a, err);
    if (rc != TUG_UNREACHABLE || n)
        return rc;
    if (!a->here)
        tug_out_note("no controller answers here; this is what is in this very machine");
    return look_here(a, err);
}

int tug_do_node(int argc, char **argv)
{
    struct node_args a = {0};
    struct tug_err err = {0};
    int words, status = tug_verb_parse("node", argc, argv, take, &a, &words);
    if (status >= 0)
        return status;
    int rc;
    if (words && !strcmp(argv[1], "topo")) {
        rc = topo(words - 1, argv + 2, &a, &err);
    } else if (words && (a.here || a.export || a.format)) {
        rc = tug_fail(&err, -EINVAL, "--here, --export and --format are of 'tug node topo'");
    } else if (words && !strcmp(argv[1], "show")) {
        rc = tug_node_show(words - 1, argv + 2, &err);
    } else if (words && !strcmp(argv[1], "history")) {
        rc = tug_node_history(words - 1, argv + 2, a.limit, &err);
    } else if (words && !strcmp(argv[1], "link")) {
        rc = tug_link_clear(words - 1, argv + 2, &err);
    } else {
        tug_fail(&err, -EINVAL, "'tug node' takes 'show', 'history', 'link clear' or 'topo'");
        tug_verb_usage("node", &err);
        return tug_out_usage(&err);
    }
    return rc == -EINVAL ? tug_out_usage(&err) : rc ? tug_out_fail(&err) : TUG_EXIT_OK;
}
