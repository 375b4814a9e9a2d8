/* config.c - the controller's and the node's configuration as structs
 *
 * The tables check each value by itself; here is what only shows when all of them are there, and
 * the defaults that depend on other values.
 * Layer: conf.
 */
#include "conf/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hostlist.h"
#include "base/mem.h"
#include "base/preflight.h"
#include "base/str.h"
#include "base/version.h"

/* ---- tables ---------------------------------------------------------------------------------- */

#include "conf/rows.h"
#include "conf/config.def"

/* ---- files ----------------------------------------------------------------------------------- */

struct tug_config_files {
    char **at;
    size_t n;
};

/* The names outlive the tree: positions point to them. */
static struct tug_config_files *take_files(struct tug_source *source)
{
    struct tug_config_files *files = tug_new(struct tug_config_files);

    files->at = source->files.at;
    files->n = source->files.len;
    source->files.at = NULL;
    source->files.len = source->files.cap = 0;
    return files;
}

static void free_files(struct tug_config_files *files)
{
    if (!files)
        return;
    for (size_t i = 0; i < files->n; i++)
        free(files->at[i]);
    free(files->at);
    free(files);
}

/* ---- hosts ----------------------------------------------------------------------------------- */

struct tug_config_hosts {
    struct host {
        const char *name; /* borrowed from the row's list */
        const struct tug_conf_node *row;
    } * at;
    size_t n;
};

static int by_name(const void *a, const void *b)
{
    const struct host *x = a;
    const struct host *y = b;
    int c = tug_hostname_cmp(x->name, y->name);

    return c ? c : (x->row > y->row) - (x->row < y->row);
}

static struct tug_config_hosts *index_hosts(const struct tug_config *c)
{
    struct tug_config_hosts *h = tug_new(struct tug_config_hosts);
    size_t total = 0;

    for (size_t i = 0; i < c->n_nodes; i++)
        total += c->nodes[i].name.list ? tug_hostlist_count(c->nodes[i].name.list) : 0;
    h->at = tug_xcalloc(total + 1, sizeof *h->at);
    for (size_t i = 0; i < c->n_nodes; i++) {
        const struct tug_conf_node *row = &c->nodes[i];
        size_t n = row->name.list ? tug_hostlist_count(row->name.list) : 0;
        for (size_t k = 0; k < n; k++)
            h->at[h->n++] = (struct host){tug_hostlist_nth(row->name.list, k), row};
    }
    if (h->n > 1)
        qsort(h->at, h->n, sizeof *h->at, by_name);
    return h;
}

static void free_hosts(struct tug_config_hosts *h)
{
    if (!h)
        return;
    free(h->at);
    free(h);
}

static int find_by_name(const void *name, const void *host)
{
    return tug_hostname_cmp(name, ((const struct host *) host)->name);
}

const struct tug_conf_node *tug_config_find_node(const struct tug_config *config, const char *host)
{
    const struct tug_config_hosts *h = config->hosts;
    const struct host *found =
        h && h->n ? bsearch(host, h->at, h->n, sizeof *h->at, find_by_name) : NULL;

    return found ? found->row : NULL;
}

size_t tug_config_count_hosts(const struct tug_config *config)
{
    return config->hosts ? config->hosts->n : 0;
}

/* ---- defaults that depend on others ---------------------------------------------------------- */

static void derive_path(char **path, const char *dir, const char *name)
{
    if (!*path)
        *path = tug_xasprintf("%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", name);
}

static void add_main_queue(struct tug_config *c)
{
    struct tug_conf_errors none = {0};

    free(c->queues);
    c->queues = tug_new(struct tug_conf_queue);
    c->n_queues = 1;
    tug_schema_fill(&tug_conf_queue_schema, NULL, true, &c->queues[0], &none);
    tug_assert(!tug_conf_errors_count(&none));
    c->queues[0].name = tug_xstrdup("main");
    tug_conf_errors_clear(&none);
}

static void derive(struct tug_config *c)
{
    derive_path(&c->cluster.key_file, c->cluster.state_dir, "keys/controller");
    derive_path(&c->cluster.socket, c->cluster.run_dir, "tugd.sock");
    if (!c->n_queues)
        add_main_queue(c);
    for (size_t i = 0; i < c->n_queues; i++)
        if (!c->queues[i].default_time_s)
            c->queues[i].default_time_s = c->queues[i].max_time_s;
    struct tug_conf_queue *only = &c->queues[0];
    if (c->n_queues == 1 &&
        tug_schema_state(&tug_conf_queue_schema, only, &only->is_default) == TUG_SCHEMA_DEFAULT)
        only->is_default = true;
}

/* ---- what must fit together ------------------------------------------------------------------ */

static char *place_text(struct tug_conf_pos pos)
{
    struct tug_buf b = {0};

    tug_conf_pos_print(pos, &b);
    return tug_buf_take(&b);
}

static void check_default_queue(const struct tug_config *c, struct tug_conf_errors *errs)
{
    const struct tug_conf_queue *first = NULL;
    bool unusable = false; /* then that one may be it */

    for (size_t i = 0; i < c->n_queues; i++) {
        const struct tug_conf_queue *q = &c->queues[i];
        unusable = unusable || tug_schema_state(&tug_conf_queue_schema, q, &q->is_default) ==
                                   TUG_SCHEMA_UNUSABLE;
        if (!q->is_default)
            continue;
        if (!first) {
            first = q;
            continue;
        }
        char *at = place_text(tug_config_queue_pos(first, &first->is_default));
        tug_conf_errors_add(errs, tug_config_queue_pos(q, &q->is_default), "true", 4,
                            "write 'default: true' for one queue only",
                            "queue '%s' cannot be the default: queue '%s' is it already (%s)",
                            q->name, first->name, at);
        free(at);
    }
    if (!first && !unusable)
        tug_conf_errors_add(errs, c->queues[0].origin.pos, NULL, 0,
                            "write 'default: true' for the one that jobs without a queue go to",
                            "none of the queues is the default");
}

static void check_queue_nodes(const struct tug_config *c, const struct tug_conf_queue *q,
                              struct tug_conf_errors *errs)
{
    struct tug_hostlist *unknown = tug_hostlist_new();
    size_t n = q->nodes.list ? tug_hostlist_count(q->nodes.list) : 0;

    for (size_t i = 0; i < n; i++) {
        const char *host = tug_hostlist_nth(q->nodes.list, i);
        if (!tug_config_find_node(c, host))
            tug_hostlist_add(unknown, host, NULL);
    }
    if (tug_hostlist_count(unknown)) {
        struct tug_buf text = {0}, shown = {0};
        tug_hostlist_format(unknown, &text);
        tug_conf_show(&shown, tug_buf_str(&text), text.len, 120);
        tug_conf_errors_add(errs, tug_config_queue_pos(q, &q->nodes), q->nodes.text,
                            strlen(q->nodes.text), "add them to 'nodes:', or take them out here",
                            "queue '%s' has nodes that 'nodes:' does not have: %s", q->name,
                            tug_buf_str(&shown));
        tug_buf_clear(&text);
        tug_buf_clear(&shown);
    }
    tug_hostlist_free(unknown);
}

static void check_preflight(const struct tug_conf_queue *q, struct tug_conf_errors *errs)
{
    struct tug_preflight p;
    struct tug_err err = {0};
    if (q->preflight && *q->preflight && tug_preflight_parse(q->preflight, &p, &err))
        tug_conf_errors_add(errs, tug_config_queue_pos(q, &q->preflight), q->preflight, strlen(q->preflight),
                            "write allreduce:8GB/s@2m", "queue '%s': preflight: %s", q->name, err.msg);
}

static void check_queue(const struct tug_config *c, const struct tug_conf_queue *q,
                        bool nodes_known, struct tug_conf_errors *errs)
{
    if (q->default_time_s > q->max_time_s) {
        struct tug_conf_pos max = tug_config_queue_pos(q, &q->max_time_s);
        struct tug_conf_pos pos = tug_config_queue_pos(q, &q->default_time_s);
        char *at = place_text(max);
        tug_conf_errors_add(errs, pos, NULL, 0, "make default_time shorter or max_time longer",
                            "queue '%s': default_time is longer than max_time (%s)", q->name, at);
        free(at);
    }
    check_preflight(q, errs);
    if (nodes_known)
        check_queue_nodes(c, q, errs);
}

/* Two rows may not name one host; one sentence for each later row is enough. */
static void check_rows(const struct tug_config *c, struct tug_conf_errors *errs)
{
    const struct tug_config_hosts *h = c->hosts;
    bool *listed = tug_xcalloc(c->n_nodes + 1, sizeof *listed);

    for (size_t i = 1; i < h->n; i++) {
        const struct tug_conf_node *row = h->at[i].row;
        const struct tug_conf_node *other = h->at[i - 1].row;
        if (strcmp(h->at[i].name, h->at[i - 1].name) || listed[row - c->nodes])
            continue;
        char *at = place_text(tug_schema_pos(&tug_conf_node_schema, other, &other->name));
        listed[row - c->nodes] = true;
        tug_conf_errors_add(errs, tug_schema_pos(&tug_conf_node_schema, row, &row->name),
                            row->name.text, strlen(row->name.text), "keep it in one of the two",
                            "host '%s' already has a row at %s", h->at[i].name, at);
        free(at);
    }
    for (size_t i = 0; i < c->n_nodes; i++) {
        const struct tug_conf_node *row = &c->nodes[i];
        if (row->address && row->name.list && tug_hostlist_count(row->name.list) > 1)
            tug_conf_errors_add(errs, tug_schema_pos(&tug_conf_node_schema, row, &row->address),
                                row->address, strlen(row->address),
                                "give each host a row of its own", "one address for %zu hosts",
                                tug_hostlist_count(row->name.list));
    }
    free(listed);
}

static void check_cluster(const struct tug_config *c, struct tug_conf_errors *errs)
{
    const struct tug_conf_cluster *k = &c->cluster;

    if (strlen(k->socket) > 107)
        tug_conf_errors_add(
            errs, tug_schema_pos(&tug_conf_cluster_schema, k, &k->run_dir), k->run_dir,
            strlen(k->run_dir), "use a shorter run_dir, or set cluster.socket",
            "the socket tugd.sock in this directory has a path of %zu bytes, over the "
            "system's largest, 107",
            strlen(k->socket));
    for (size_t i = 0; i < c->scheduler.policy_dirs.n; i++) {
        const char *dir = c->scheduler.policy_dirs.at[i];
        if (*dir != '/')
            tug_conf_errors_add(errs,
                                tug_schema_pos(&tug_conf_scheduler_schema, &c->scheduler,
                                               &c->scheduler.policy_dirs),
                                dir, strlen(dir), "begin with '/'",
                                "scheduler.policy_dirs: '%.200s' is not an absolute path", dir);
    }
}

static void check_etcd(const struct tug_config *c, struct tug_conf_errors *errs)
{
    if (c->cluster.store != 1 || c->etcd.endpoints.n)
        return;
    tug_conf_errors_add(errs, tug_schema_pos(&tug_conf_cluster_schema, &c->cluster, &c->cluster.store), "etcd", 4,
                        "add etcd: {endpoints: [http://HOST:2379, ...]}",
                        "cluster.store is etcd, but etcd.endpoints does not say where it is");
}

/* What plugins there are is not known here. */
static void check_policy(const struct tug_config *c, struct tug_conf_errors *errs)
{
    const char *p = c->scheduler.policy;
    size_t n = strlen(p);

    if (n && strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789_-+") == n && *p != '+' &&
        p[n - 1] != '+' && !strstr(p, "++"))
        return;
    tug_conf_errors_add(errs,
                        tug_schema_pos(&tug_conf_scheduler_schema, &c->scheduler,
                                       &c->scheduler.policy),
                        p, n, "write a name, or names with '+' in between: sjf+easy",
                        "scheduler.policy: '%.131s' names no policy", p);
}

static void check(const struct tug_config *c, struct tug_conf_errors *errs)
{
    /* A row whose name could not be read would make its hosts unknown. */
    bool nodes_known = tug_schema_state(&tug_config_schema, c, &c->nodes) != TUG_SCHEMA_UNUSABLE;

    for (size_t i = 0; i < c->n_nodes; i++)
        nodes_known = nodes_known && c->nodes[i].name.list;
    check_cluster(c, errs);
    check_etcd(c, errs);
    check_policy(c, errs);
    check_rows(c, errs);
    check_default_queue(c, errs);
    for (size_t i = 0; i < c->n_queues; i++)
        check_queue(c, &c->queues[i], nodes_known, errs);
    tug_config_check_queues(c, errs);
    tug_config_check_accounts(c, errs);
    tug_config_check_fabric(c, nodes_known, errs);
}

/* ---- load ------------------------------------------------------------------------------------ */

/* 1: something is wrong, and 'errs' says what in the order of its places. */
static int sum_up(struct tug_conf_errors *errs, size_t before)
{
    int is_wrong = tug_conf_errors_count(errs) > before;

    if (is_wrong)
        tug_conf_errors_sort(errs);
    else if (!before)
        tug_conf_errors_clear(errs); /* of the order of files: nothing is left for the caller to free */
    return is_wrong;
}

int tug_config_load(const struct tug_source_reader *reader, const char *path,
                    struct tug_config *out, struct tug_conf_errors *errs)
{
    struct tug_source source = {0};
    struct tug_config c = {0};
    size_t before = tug_conf_errors_count(errs);

    tug_source_load(reader, path, &source, errs);
    tug_schema_fill(&tug_config_schema, source.root, source.broken, &c, errs);
    c.files = take_files(&source);
    derive(&c);
    c.hosts = index_hosts(&c);
    if (!source.broken)
        check(&c, errs);
    tug_source_clear(&source);
    if (sum_up(errs, before)) {
        tug_config_clear(&c);
        return -EINVAL;
    }
    *out = c;
    return 0;
}

int tug_node_config_load(const struct tug_source_reader *reader, const char *path,
                         struct tug_node_config *out, struct tug_conf_errors *errs)
{
    struct tug_source source = {0};
    struct tug_node_config c = {0};
    size_t before = tug_conf_errors_count(errs);

    tug_source_load(reader, path, &source, errs);
    tug_schema_fill(&tug_node_config_schema, source.root, source.broken, &c, errs);
    c.files = take_files(&source);
    derive_path(&c.key_file, c.state_dir, "node.key");
    derive_path(&c.controller_key_file, c.state_dir, "controller.pub");
    tug_source_clear(&source);
    if (sum_up(errs, before)) {
        tug_node_config_clear(&c);
        return -EINVAL;
    }
    *out = c;
    return 0;
}

void tug_config_clear(struct tug_config *config)
{
    free_hosts(config->hosts);
    config->hosts = NULL;
    tug_schema_clear(&tug_config_schema, config);
    free_files(config->files);
    config->files = NULL;
}

void tug_node_config_clear(struct tug_node_config *config)
{
    tug_schema_clear(&tug_node_config_schema, config);
    free_files(config->files);
    config->files = NULL;
}

/* ---- questions ------------------------------------------------------------------------------- */

const struct tug_conf_queue *tug_config_find_queue(const struct tug_config *config,
                                                   const char *name)
{
    for (size_t i = 0; i < config->n_queues; i++)
        if (!strcmp(config->queues[i].name, name))
            return &config->queues[i];
    return NULL;
}

const struct tug_conf_queue *tug_config_default_queue(const struct tug_config *config)
{
    for (size_t i = 0; i < config->n_queues; i++)
        if (config->queues[i].is_default)
            return &config->queues[i];
    return NULL;
}

bool tug_config_queue_has(const struct tug_conf_queue *queue, const char *host)
{
    return queue->nodes.all ||
           (queue->nodes.list && tug_hostlist_contains(queue->nodes.list, host));
}

bool tug_config_queue_allows(const struct tug_conf_queue *queue, const char *user)
{
    for (size_t i = 0; i < queue->allow_users.n; i++)
        if (!strcmp(queue->allow_users.at[i], user))
            return true;
    return queue->allow_users.n == 0;
}

struct tug_conf_pos tug_config_queue_pos(const struct tug_conf_queue *queue, const void *field)
{
    return tug_schema_pos(&tug_conf_queue_schema, queue, field);
}

void tug_config_diff(const struct tug_config *was, const struct tug_config *is,
                     struct tug_schema_diff *diff)
{
    tug_schema_compare(&tug_config_schema, was, is, diff);
}

void tug_node_config_diff(const struct tug_node_config *was, const struct tug_node_config *is,
                          struct tug_schema_diff *diff)
{
    tug_schema_compare(&tug_node_config_schema, was, is, diff);
}

void tug_config_dump(const struct tug_config *config, struct tug_buf *out)
{
    tug_schema_dump(&tug_config_schema, config, out);
}

void tug_node_config_dump(const struct tug_node_config *config, struct tug_buf *out)
{
    tug_schema_dump(&tug_node_config_schema, config, out);
}
