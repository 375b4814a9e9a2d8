/* share.c - tug share: who has used how much of which share, and who goes first
 *
 * The tree comes from the controller with its figures; which rows are shown, and the sentences of
 * --why, are made here. Layer: cli.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/verb.h"

enum { OPT_USERS = 1, OPT_WHY, OPT_NOHEAD };
static const struct tug_opt opts[] = {
    {OPT_USERS, "users", 'u', TUG_ARG_NONE, NULL, "users only, the one who goes first in front"},
    {OPT_WHY, "why", 'w', TUG_ARG_NONE, NULL,
     "which of two users goes first, and by what: tug share --why ann bob"},
    {OPT_NOHEAD, "noheader", 'H', TUG_ARG_NONE, NULL, "no line of headings"},
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_share(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

struct share_args {
    bool users, why, no_head;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct share_args *a = ctx;
    (void) value;
    (void) err;
    a->users |= o->id == OPT_USERS;
    a->why |= o->id == OPT_WHY;
    a->no_head |= o->id == OPT_NOHEAD;
    return 0;
}

/* ---- which rows */

/* Parents stand in front, or this is no tree. */
static int check(const Tugpb__SharesReply *r, struct tug_err *err)
{
    for (size_t i = 0; i < r->n_rows; i++)
        if (i ? r->rows[i]->parent >= i : r->rows[i]->is_user)
            return tug_fail(err, -EPROTO, "the controller's answer is no tree (row %zu)", i);
    return 0;
}

static bool is_below(const Tugpb__SharesReply *r, size_t i, const char *account)
{
    for (;; i = r->rows[i]->parent) {
        if (!r->rows[i]->is_user && !strcmp(r->rows[i]->name, account))
            return true;
        if (i == 0)
            return false;
    }
}

/* Every word names an account, or nothing is shown. */
static int check_words(const Tugpb__SharesReply *r, int n, char **words, struct tug_err *err)
{
    const char **names = tug_xcalloc(r->n_rows + 1, sizeof *names);
    size_t n_names = 0;
    int rc = 0;
    for (size_t i = 1; i < r->n_rows; i++)
        if (!r->rows[i]->is_user)
            names[n_names++] = r->rows[i]->name;
    for (int w = 0; w < n && !rc; w++) {
        size_t i = 0;
        while (i < n_names && strcmp(names[i], words[w]) != 0)
            i++;
        if (i < n_names)
            continue;
        const char *near = tug_str_nearest(words[w], names, n_names);
        rc = near ? tug_fail(err, -ENOENT, "there is no account '%s'; did you mean '%s'?", words[w],
                             near)
                  : tug_fail(err, -ENOENT, "there is no account '%s'; 'tug share' lists them all",
                             words[w]);
    }
    free(names);
    return rc;
}

static bool wanted(const Tugpb__SharesReply *r, const struct share_args *a, size_t i, int n,
                   char **words)
{
    if (i == 0 || (a->users && !r->rows[i]->is_user))
        return false;
    for (int w = 0; w < n; w++)
        if (is_below(r, i, words[w]))
            return true;
    return n == 0;
}

/* ---- as a table */

static void add_level(struct tug_table *t, double level)
{
    if (isfinite(level))
        tug_table_cellf(t, "%.3g", level);
    else
        tug_table_cells(t, "unused", TUG_PLAIN);
}

static void add_row(struct tug_table *t, const Tugpb__SharesReply *r, const Tugpb__ShareView *v,
                    unsigned depth, bool flat)
{
    const char *account = flat ? r->rows[v->parent]->name : v->is_user ? "" : v->name;
    tug_table_cellf(t, "%*s%s", flat ? 0 : (int) (2 * depth), "", account);
    tug_table_cells(t, v->is_user ? v->name : "", TUG_PLAIN);
    tug_table_cellf(t, "%g", v->weight);
    tug_table_cellf(t, "%.1f", v->share * 100);
    tug_table_cellf(t, "%.1f", v->usage * 100);
    tug_table_cellf(t, "%.2f", v->usage_gpu_s / 3600);
    tug_table_cellf(t, "%u", v->gpus);
    add_level(t, v->level_fs);
    tug_table_cellf(t, "%.3f", v->factor);
}

/* Who goes first stands in front. */
static int by_factor(const void *a, const void *b)
{
    const Tugpb__ShareView *x = *(Tugpb__ShareView *const *) a, *y = *(Tugpb__ShareView *const *) b;
    if (x->factor != y->factor)
        return x->factor > y->factor ? -1 : 1;
    return strcmp(x->name, y->name);
}

struct walk {
    struct tug_table *t;
    const Tugpb__SharesReply *r;
    const bool *wanted;
};

static void add_below(const struct walk *w, uint32_t parent, unsigned depth)
{
    for (uint32_t i = parent + 1; i < w->r->n_rows; i++) {
        if (w->r->rows[i]->parent != parent)
            continue;
        if (w->wanted[i])
            add_row(w->t, w->r, w->r->rows[i], depth, false);
        if (!w->r->rows[i]->is_user)
            add_below(w, i, w->wanted[i] ? depth + 1 : depth);
    }
}

static void add_users(const struct walk *w)
{
    Tugpb__ShareView **users = tug_xcalloc(w->r->n_rows + 1, sizeof *users);
    size_t n = 0;
    for (size_t i = 0; i < w->r->n_rows; i++)
        if (w->wanted[i])
            users[n++] = w->r->rows[i];
    qsort(users, n, sizeof *users, by_factor);
    for (size_t i = 0; i < n; i++)
        add_row(w->t, w->r, users[i], 0, true);
    free(users);
}

static void say(const Tugpb__SharesReply *r, const struct share_args *a, const bool *shown)
{
    static const struct tug_table_column columns[] = {
        {"ACCOUNT", false, 8}, {"USER", false, 6},      {"WEIGHT", true, 0},
        {"SHARE %", true, 0},  {"USED %", true, 0},     {"GPU-HOURS", true, 0},
        {"GPUS", true, 0},     {"SHARE/USED", true, 0}, {"FACTOR", true, 0},
    };
    struct walk w = {tug_table_new(columns, sizeof columns / sizeof *columns), r, shown};
    if (a->users)
        add_users(&w);
    else
        add_below(&w, 0, 0);
    tug_table_print(w.t, &tug_out.buf, tug_out.width, !a->no_head, tug_out.colour);
    tug_table_free(w.t);
}

/* ---- why */

/* "ann", or "nlp/ann" where ann is in several accounts; without an account the row that goes first.
 */
static const Tugpb__ShareView *find_user(const Tugpb__SharesReply *r, const char *word,
                                         struct tug_err *err)
{
    const char *slash = strrchr(word, '/'), *name = slash ? slash + 1 : word;
    const Tugpb__ShareView *best = NULL;
    for (size_t i = 1; i < r->n_rows; i++) {
        const Tugpb__ShareView *v = r->rows[i];
        const char *account = r->rows[v->parent]->name;
        if (!v->is_user || strcmp(v->name, name) != 0 ||
            (slash && (strlen(account) != (size_t) (slash - word) ||
                       strncmp(account, word, (size_t) (slash - word)) != 0)))
            continue;
        if (!best || v->factor > best->factor)
            best = v;
    }
    if (!best)
        tug_fail(err, -ENOENT,
                 "user '%s' is not known here: listed in no account, and no job of that user was "
                 "ever submitted",
                 word);
    return best;
}

/* From the top down, without the root; returns how many. */
static size_t path_of(const Tugpb__SharesReply *r, const Tugpb__ShareView *v,
                      const Tugpb__ShareView **path, size_t most)
{
    size_t n = 0;
    for (const Tugpb__ShareView *i = v; n < most; i = r->rows[i->parent]) {
        path[n++] = i;
        if (i->parent == 0)
            break;
    }
    for (size_t i = 0; i < n / 2; i++) {
        const Tugpb__ShareView *other = path[i];
        path[i] = path[n - 1 - i];
        path[n - 1 - i] = other;
    }
    return n;
}

static void say_used(struct tug_buf *out, const Tugpb__ShareView *v)
{
    tug_buf_addf(out, "%s %s has used %.3g %%, its target is %.3g %%",
                 v->is_user ? "user" : "account", v->name, v->usage * 100, v->share * 100);
}

struct pair { /* of users, as they are called here */
    const Tugpb__ShareView *at[2];
    char *name[2];
};

/* With the account in front where the name alone does not tell them apart. */
static void name_pair(const Tugpb__SharesReply *r, struct pair *p)
{
    bool same = !strcmp(p->at[0]->name, p->at[1]->name);
    for (int i = 0; i < 2; i++)
        p->name[i] = same ? tug_xasprintf("%s/%s", r->rows[p->at[i]->parent]->name, p->at[i]->name)
                          : tug_xstrdup(p->at[i]->name);
}

/* Level by level: what ties, and what decides. */
static void explain(const Tugpb__SharesReply *r, const struct pair *p, struct tug_buf *out)
{
    enum { DEEPEST = 4096 };
    const Tugpb__ShareView **a = tug_xcalloc(2 * DEEPEST, sizeof *a), **b = a + DEEPEST;
    size_t n_a = path_of(r, p->at[0], a, DEEPEST), n_b = path_of(r, p->at[1], b, DEEPEST), i = 0;
    for (; i < n_a && i < n_b && a[i]->level_fs == b[i]->level_fs; i++) {
        if (a[i] != b[i])
            tug_buf_addf(out, "%s and %s tie: both have used the same part of their targets.\n",
                         i + 1 == n_a ? p->name[0] : a[i]->name,
                         i + 1 == n_b ? p->name[1] : b[i]->name);
        if (a[i]->is_user != b[i]->is_user)
            break;
    }
    if (i == n_a && i == n_b) {
        tug_buf_addf(
            out,
            "%s and %s have the same rank: of their jobs, the one that was submitted first "
            "goes first.\n",
            p->name[0], p->name[1]);
    } else if (a[i]->level_fs == b[i]->level_fs) {
        int user = a[i]->is_user ? 0 : 1;
        tug_buf_addf(out, "%s goes before %s: a user goes before an account that ties.\n",
                     p->name[user], p->name[!user]);
    } else {
        int first = a[i]->level_fs > b[i]->level_fs ? 0 : 1;
        tug_buf_addf(out, "%s goes before %s: ", p->name[first], p->name[!first]);
        say_used(out, first ? b[i] : a[i]);
        tug_buf_adds(out, "; ");
        say_used(out, first ? a[i] : b[i]);
        tug_buf_adds(out, ".\n");
    }
    free(a);
}

static void say_why(const struct pair *p, const struct tug_buf *text)
{
    double x = p->at[0]->factor, y = p->at[1]->factor;
    const char *first = x == y ? NULL : p->name[x < y];
    if (!tug_out.json) {
        const char *rest = tug_buf_str(text), *at;
        size_t len;
        while (tug_str_split(&rest, '\n', &at, &len))
            if (len) {
                tug_str_escape(&tug_out.buf, at, len);
                tug_out_adds("\n");
            }
        return;
    }
    tug_out_adds("{\"first\":");
    if (first)
        tug_out_json_string(&tug_out.buf, first, strlen(first));
    else
        tug_out_adds("null");
    tug_out_adds(",\"why\":");
    tug_out_json_string(&tug_out.buf, tug_buf_str(text), text->len - 1);
    tug_out_adds("}\n");
}

static int do_why(const Tugpb__SharesReply *r, int n, char **words, struct tug_err *err)
{
    struct tug_buf text = {0};
    struct pair p = {.at = {NULL, NULL}};
    if (n != 2)
        return tug_fail(err, -EINVAL, "--why takes two users, as in: tug share --why ann bob");
    for (int i = 0; i < 2; i++)
        if (!(p.at[i] = find_user(r, words[i], err)))
            return -ENOENT;
    if (p.at[0] == p.at[1])
        return tug_fail(err, -EINVAL, "'%s' and '%s' are the same user", words[0], words[1]);
    name_pair(r, &p);
    explain(r, &p, &text);
    say_why(&p, &text);
    tug_buf_clear(&text);
    free(p.name[0]);
    free(p.name[1]);
    return 0;
}

static int show(const Tugpb__SharesReply *r, const struct share_args *a, int n, char **words,
                struct tug_err *err)
{
    int rc = check(r, err);
    if (!rc && a->why)
        return do_why(r, n, words, err);
    if (!rc)
        rc = check_words(r, n, words, err);
    if (rc)
        return rc;
    if (tug_out.json) {
        tug_out_message(&r->base); /* whole: rows name their parents by place */
        return 0;
    }
    bool *shown = tug_xcalloc(r->n_rows + 1, sizeof *shown);
    for (size_t i = 0; i < r->n_rows; i++)
        shown[i] = wanted(r, a, i, n, words);
    say(r, a, shown);
    free(shown);
    return 0;
}

int tug_do_share(int argc, char **argv)
{
    Tugpb__SharesRequest request = TUGPB__SHARES_REQUEST__INIT;
    struct share_args a = {0};
    struct tug_client c = {0};
    struct tug_err err = {0};
    ProtobufCMessage *m;
    int words, status = tug_verb_parse("share", argc, argv, take, &a, &words);
    if (status >= 0)
        return status;
    if (tug_client_once(TUG_MSG_SHARES_REQUEST, &request.base, TUG_MSG_SHARES_REPLY, &c, &m,
                        &err) ||
        show((const Tugpb__SharesReply *) m, &a, words, argv + 1, &err))
        status = err.code == -EINVAL ? tug_out_usage(&err) : tug_out_fail(&err);
    else
        status = TUG_EXIT_OK;
    tug_client_close(&c);
    return status;
}
