/* columns.h - lists of jobs: which columns, in what order
 *
 * The columns are in columns.def. Layer: cli.
 */
#ifndef TUG_CLI_COLUMNS_H
#define TUG_CLI_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"
#include "proto/job.pb-c.h"

struct tug_columns tug_vec(int); /* enum of columns.def */
struct tug_sort_key {
    int column;
    bool down;
};
struct tug_sort tug_vec(struct tug_sort_key);

/* "id,name,state". -EINVAL names the one that isn't there and a near one. */
int tug_columns_parse(const char *text, struct tug_columns *out, struct tug_err *err);
/* "queue,-time": '-' is largest first. */
int tug_sort_parse(const char *text, struct tug_sort *out, struct tug_err *err);

void tug_columns_sort(Tugpb__JobView **jobs, size_t n, const struct tug_sort *by, int64_t now_ms);

/* A list that is filled page by page; cells are copied. 'columns' must outlive it. */
struct tug_joblist;
struct tug_joblist *tug_joblist_new(const struct tug_columns *columns);
void tug_joblist_free(struct tug_joblist *l);
void tug_joblist_add(struct tug_joblist *l, Tugpb__JobView *const *jobs, size_t n, int64_t now_ms);
void tug_joblist_print(const struct tug_joblist *l, struct tug_buf *out, int width, bool head,
                       bool colour);

/* Must the answer carry more than 'brief' gives? */
bool tug_columns_need_all(const struct tug_columns *columns);
/* The list of columns: for help, and as scdoc. */
void tug_columns_help(struct tug_buf *out, bool scd);

#endif
