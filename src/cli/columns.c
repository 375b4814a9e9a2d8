/* columns.c - lists of jobs: which columns, in what order
 *
 * Layer: cli.
 */
#include "cli/columns.h"

#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/rate.h"
#include "base/size.h"
#include "base/str.h"
#include "cli/jobview.h"
#include "cli/out.h"

enum column_id {
#define TUG_COLUMN(ID, ...) COLUMN_##ID,
#include "cli/columns.def"
#undef TUG_COLUMN
    COLUMNS
};

enum kind { COUNT, MILLI, SPAN, TIME, SIZE, TEXT, BUILT };

static const struct {
    const char *name, *head, *help;
    enum kind kind;
    int least;
} columns_[COLUMNS] = {
#define TUG_COLUMN(ID, name, head, kind, least, expr, help) {name, head, help, kind, least},
#include "cli/columns.def"
#undef TUG_COLUMN
};

/* ---- values ---- */

static int64_t waited_ms(const Tugpb__JobView *j, int64_t now_ms)
{
    if (!j->submit_ms)
        return 0;
    return (j->alloc_ms ? j->alloc_ms : j->end_ms ? j->end_ms : now_ms) - j->submit_ms;
}

static int64_t held_ms(const Tugpb__JobView *j, int64_t now_ms)
{
    return j->held_ms + (j->held && now_ms > j->held->at_ms ? now_ms - j->held->at_ms : 0);
}

static int64_t limit_ms(const Tugpb__JobView *j)
{
    return j->time_limit_s && j->time_limit_s != UINT32_MAX ? (int64_t) j->time_limit_s * 1000 : -1;
}

union value {
    int64_t number;
    const char *text;
};
#define VALUE_COUNT(v) .number = (int64_t) (v)
#define VALUE_MILLI(v) .number = (int64_t) (v)
#define VALUE_SPAN(v)  .number = (v)
#define VALUE_TIME(v)  .number = (v)
#define VALUE_SIZE(v)  .number = (v)
#define VALUE_TEXT(v)  .text = (v)
#define VALUE_BUILT(v) .text = (v)

static union value value_of(int column, const Tugpb__JobView *j, int64_t now_ms)
{
    switch ((enum column_id) column) {
#define TUG_COLUMN(ID, name, head, kind, least, expr, help)                                        \
    case COLUMN_##ID:                                                                              \
        return (union value){VALUE_##kind(expr)};
#include "cli/columns.def"
#undef TUG_COLUMN
    case COLUMNS:
        break;
    }
    return (union value){0};
}

static void build(int column, const Tugpb__JobView *j, struct tug_buf *out)
{
    if (column == COLUMN_EXIT) {
        if (j->exit && tug_jobview_is_over(j))
            j->exit->signal > 0 ? tug_buf_adds(out, tug_signal_name(j->exit->signal))
                                : tug_buf_addf(out, "%d", j->exit->exit_code);
    } else if (column == COLUMN_QUALITY) {
        if (j->quality > 0)
            tug_buf_addf(out, "%.2f", j->quality);
    } else if (column == COLUMN_BANDWIDTH) {
        if (j->predicted_mbs)
            tug_buf_addf(out, "%.3g", j->predicted_mbs / 1e3);
    } else if (column == COLUMN_CAUSE) {
        tug_jobview_cause(out, j->cause);
    } else if (*j->nodelist && !*j->reason) { /* a suspended job has both */
        tug_buf_adds(out, j->nodelist);
        if (j->hang && !tug_jobview_is_over(j))
            tug_buf_addf(out, " (%s: rank %u on %s)", j->hang->kind, j->hang->rank, j->hang->node);
    } else if (*j->reason || *j->explain) { /* without printf: this is most of a long list */
        tug_buf_addc(out, '(');
        tug_buf_adds(out, j->reason);
        if (*j->reason && *j->explain)
            tug_buf_add(out, ": ", 2);
        tug_buf_adds(out, j->explain);
        tug_buf_addc(out, ')');
    }
}

static void put(struct tug_table *t, int column, const Tugpb__JobView *j, int64_t now_ms,
                struct tug_buf *scratch)
{
    char text[64];
    union value v = value_of(column, j, now_ms);
    switch (columns_[column].kind) {
    case COUNT: {
        char *at = text + sizeof text;
        uint64_t n = v.number < 0 ? (uint64_t) -v.number : (uint64_t) v.number;
        do
            *--at = (char) ('0' + n % 10);
        while (n /= 10);
        if (v.number < 0)
            *--at = '-';
        tug_table_cell(t, at, (size_t) (text + sizeof text - at), TUG_PLAIN);
        break;
    }
    case MILLI:
        if (*j->mig_profile) {
            snprintf(text, sizeof text, "%ux%s", j->gpus, j->mig_profile);
            tug_table_cells(t, text, TUG_PLAIN);
            break;
        }
        tug_table_cells(t, tug_milli_format(v.number, text, sizeof text), TUG_PLAIN);
        break;
    case SPAN:
        tug_table_cells(t, v.number < 0 ? "-" : tug_out_span(v.number, text, sizeof text),
                        TUG_PLAIN);
        break;
    case TIME:
        tug_table_cells(t, tug_out_time(v.number, text, sizeof text), TUG_PLAIN);
        break;
    case SIZE:
        tug_table_cells(t, v.number ? tug_size_format((uint64_t) v.number, text, sizeof text) : "-",
                        TUG_PLAIN);
        break;
    case TEXT:
        tug_table_cells(t, v.text,
                        column == COLUMN_STATE || column == COLUMN_STATUS
                            ? tug_jobview_colour(j->state)
                            : TUG_PLAIN);
        break;
    case BUILT:
        tug_buf_reset(scratch);
        build(column, j, scratch);
        tug_table_cell(t, tug_buf_str(scratch), scratch->len, TUG_PLAIN);
        break;
    }
}

/* ---- choosing ---- */

static int find(const char *name, size_t len, struct tug_err *err)
{
    const char *names[COLUMNS];
    char word[64];
    for (int i = 0; i < COLUMNS; i++) {
        names[i] = columns_[i].name;
        if (strlen(names[i]) == len && !strncasecmp(names[i], name, len))
            return i;
    }
    tug_str_copy(word, len + 1 < sizeof word ? len + 1 : sizeof word, name);
    const char *near = tug_str_nearest(word, names, COLUMNS);
    return near ? tug_fail(err, -EINVAL, "there is no column '%s'; did you mean %s?", word, near)
                : tug_fail(err, -EINVAL, "there is no column '%s'; --help lists them", word);
}

int tug_columns_parse(const char *text, struct tug_columns *out, struct tug_err *err)
{
    const char *at;
    size_t len;
    while (tug_str_split(&text, ',', &at, &len)) {
        int i = find(at, len, err);
        if (i < 0)
            return i;
        tug_vec_push(out, i);
    }
    return 0;
}

int tug_sort_parse(const char *text, struct tug_sort *out, struct tug_err *err)
{
    const char *at;
    size_t len;
    while (tug_str_split(&text, ',', &at, &len)) {
        bool sign = len > 0 && (*at == '-' || *at == '+');
        int i = find(at + sign, len - sign, err);
        if (i < 0)
            return i;
        if (columns_[i].kind == BUILT)
            return tug_fail(err, -EINVAL, "lists cannot be sorted by '%s'", columns_[i].name);
        tug_vec_push(out, ((struct tug_sort_key){i, sign && *at == '-'}));
    }
    return 0;
}

bool tug_columns_need_all(const struct tug_columns *columns)
{
    for (size_t i = 0; i < columns->len; i++)
        switch (columns->at[i]) {
        case COLUMN_COMMAND:
        case COLUMN_WORKDIR:
        case COLUMN_OUTPUT:
        case COLUMN_COMMENT:
        case COLUMN_CAUSE:
            return true;
        }
    return false;
}

/* ---- sorting ---- */

struct sorting {
    const struct tug_sort *by;
    int64_t now_ms;
};

static int compare(const void *a, const void *b, void *ctx)
{
    const struct sorting *s = ctx;
    const Tugpb__JobView *x = *(Tugpb__JobView *const *) a, *y = *(Tugpb__JobView *const *) b;
    for (size_t i = 0; i < s->by->len; i++) {
        const struct tug_sort_key *k = &s->by->at[i];
        union value v = value_of(k->column, x, s->now_ms), w = value_of(k->column, y, s->now_ms);
        int order = columns_[k->column].kind == TEXT
                        ? strcmp(v.text, w.text)
                        : (v.number > w.number) - (v.number < w.number);
        if (order)
            return k->down ? -order : order;
    }
    return (x->id > y->id) - (x->id < y->id);
}

void tug_columns_sort(Tugpb__JobView **jobs, size_t n, const struct tug_sort *by, int64_t now_ms)
{
    struct sorting s = {by, now_ms};
    if (n > 1)
        qsort_r(jobs, n, sizeof *jobs, compare, &s);
}

/* ---- printing ---- */

struct tug_joblist {
    const struct tug_columns *columns;
    struct tug_table_column *heads;
    struct tug_table *table;
    struct tug_buf scratch;
};

struct tug_joblist *tug_joblist_new(const struct tug_columns *columns)
{
    struct tug_joblist *l = tug_new(struct tug_joblist);
    l->columns = columns;
    l->heads = tug_xcalloc(columns->len, sizeof *l->heads);
    for (size_t i = 0; i < columns->len; i++) {
        int c = columns->at[i];
        l->heads[i] = (struct tug_table_column){columns_[c].head,
                                                columns_[c].kind < TIME || columns_[c].kind == SIZE,
                                                columns_[c].least};
    }
    l->table = tug_table_new(l->heads, columns->len);
    return l;
}

void tug_joblist_free(struct tug_joblist *l)
{
    if (!l)
        return;
    tug_table_free(l->table);
    tug_buf_clear(&l->scratch);
    free(l->heads);
    free(l);
}

void tug_joblist_add(struct tug_joblist *l, Tugpb__JobView *const *jobs, size_t n, int64_t now_ms)
{
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < l->columns->len; i++)
            put(l->table, l->columns->at[i], jobs[k], now_ms, &l->scratch);
}

void tug_joblist_print(const struct tug_joblist *l, struct tug_buf *out, int width, bool head,
                       bool colour)
{
    tug_table_print(l->table, out, width, head, colour);
}

void tug_columns_help(struct tug_buf *out, bool scd)
{
    for (int i = 0; i < COLUMNS; i++)
        if (scd)
            tug_buf_addf(out, "*%s*\n\t%s\n\n", columns_[i].name, columns_[i].help);
        else
            tug_buf_addf(out, "  %-10s %s\n", columns_[i].name, columns_[i].help);
}
