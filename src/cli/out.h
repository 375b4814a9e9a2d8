/* out.h - how the command speaks: one buffer for stdout, sentences on stderr, tables, JSON, colour
 *
 * Everything from outside (names, reasons, paths) goes through tug_str_escape() on its way to a
 * terminal or a table. Layer: cli.
 */
#ifndef TUG_CLI_OUT_H
#define TUG_CLI_OUT_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* Exit statuses of the command; `tug run` and `tug wait` hand on the job's own. */
enum tug_exit {
    TUG_EXIT_OK = 0,
    TUG_EXIT_REFUSED = 1,
    TUG_EXIT_USAGE = 2,
    TUG_EXIT_UNREACHABLE = 3
};

/* err->code of "no controller there": exit status 3. */
#define TUG_UNREACHABLE (-ENOTCONN)

enum tug_colour { TUG_PLAIN, TUG_BOLD, TUG_DIM, TUG_RED, TUG_GREEN, TUG_YELLOW, TUG_CYAN };

struct tug_out {
    struct tug_buf buf; /* of stdout; written by tug_out_flush() */
    const char *verb;   /* "" before it is known */
    bool json;
    bool colour; /* of stdout */
    bool err_colour;
    bool utf8;
    int width; /* columns of the terminal; 0: stdout is no terminal, don't cut */
};
extern struct tug_out tug_out;

/* Looks at the terminal and the environment (NO_COLOR, TERM=dumb, COLUMNS). */
void tug_out_init(void);
/* Writes all of the buffer; a closed pipe ends the process quietly. */
void tug_out_flush(void);

/* Ends a verb that failed: the sentence on stderr, or {"error":{...}} on stdout. Hands back the
 * exit status: 2 for 'usage', else 3 when err->code is TUG_UNREACHABLE, else 1. */
int tug_out_fail(const struct tug_err *err);
int tug_out_usage(const struct tug_err *err);
/* A sentence on stderr: "tug: ..." and "tug: warning: ..."; nothing with --json except in
 * 'warnings' of the verb. */
void tug_out_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void tug_out_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void tug_out_adds(const char *s); /* raw */
void tug_out_addf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void tug_out_text(const char *s);                /* escaped */
void tug_out_colour(enum tug_colour c);          /* nothing when there are no colours */
void tug_out_message(const ProtobufCMessage *m); /* JSON and a newline */
/* A JSON string with its quotes. */
void tug_out_json_string(struct tug_buf *out, const char *s, size_t n);

/* "2026-11-21T01:13:25", local time; "-" when ms is 0. */
char *tug_out_time(int64_t ms, char *out, size_t size_bytes);
/* "1:02:03", "2-03:04:05", "0:07": how long; negative shows as 0:00. */
char *tug_out_span(int64_t ms, char *out, size_t size_bytes);
/* "0.042 s", "12.3 s", then as tug_out_span(). */
char *tug_out_precise(int64_t ms, char *out, size_t size_bytes);

/* Columns that a text takes on a terminal (escaped text, UTF-8). */
int tug_out_columns(const char *s, size_t n);

/* ---- tables ---- */

struct tug_table_column {
    const char *head;
    bool right; /* numbers */
    int least;  /* may be cut down to this many columns; 0 = never cut */
};
struct tug_table;
struct tug_table *tug_table_new(const struct tug_table_column *columns, size_t n);
void tug_table_free(struct tug_table *t);
/* Next cell, row by row; the text is escaped here. */
void tug_table_cell(struct tug_table *t, const char *text, size_t n, enum tug_colour c);
void tug_table_cells(struct tug_table *t, const char *text, enum tug_colour c);
void tug_table_cellf(struct tug_table *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Appends the table, cut to 'width' columns (0 = as wide as it wants); what is cut ends with "...".
 */
void tug_table_print(const struct tug_table *t, struct tug_buf *out, int width, bool head,
                     bool colour);

#endif
