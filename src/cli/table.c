/* table.c - rows and columns that fit the terminal
 *
 * Cells are kept escaped in one buffer, with where each ends and how wide it is shown. When the
 * rows are wider than the terminal, the widest column that may be cut gives way first. Layer: cli.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "cli/out.h"

struct cell {
    uint32_t end; /* in 'text' */
    int columns;
    enum tug_colour colour;
};

struct tug_table {
    const struct tug_table_column *columns; /* the caller's */
    size_t n;
    struct tug_buf text;
    struct tug_vec(struct cell) cells;
};

static const char *const colour_codes[] = {"",         "\033[1m",  "\033[2m", "\033[31m",
                                           "\033[32m", "\033[33m", "\033[36m"};

struct tug_table *tug_table_new(const struct tug_table_column *columns, size_t n)
{
    struct tug_table *t = tug_new(struct tug_table);
    t->columns = columns;
    t->n = n;
    return t;
}

void tug_table_free(struct tug_table *t)
{
    if (!t)
        return;
    tug_buf_clear(&t->text);
    tug_vec_clear(&t->cells);
    free(t);
}

static bool is_wide(uint32_t c)
{
    return (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) ||
           (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
           (c >= 0x1F300 && c <= 0x1FAFF) || (c >= 0x20000 && c <= 0x3FFFD);
}

static bool is_mark(uint32_t c)
{
    return (c >= 0x0300 && c <= 0x036F) || (c >= 0x200B && c <= 0x200D) ||
           (c >= 0xFE00 && c <= 0xFE0F);
}

/* Bytes and columns of the character at s; s is well-formed after tug_str_escape(). */
static size_t step(const unsigned char *s, size_t n, int *columns)
{
    size_t len = s[0] < 0x80 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (len > n)
        len = n;
    uint32_t c = len == 1 ? s[0] : s[0] & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len; i++)
        c = c << 6 | (s[i] & 0x3F);
    *columns = is_mark(c) ? 0 : is_wide(c) ? 2 : 1;
    return len;
}

int tug_out_columns(const char *s, size_t n)
{
    int total = 0, one;
    for (size_t i = 0; i < n; total += one)
        i += step((const unsigned char *) s + i, n - i, &one);
    return total;
}

static bool is_plain(const char *s, size_t n)
{
    unsigned odd = 0;
    for (size_t i = 0; i < n; i++) /* no early end: the compiler takes 16 bytes at a time */
        odd |= (unsigned char) (s[i] - 0x20) > 0x5E;
    return !odd;
}

void tug_table_cell(struct tug_table *t, const char *text, size_t n, enum tug_colour c)
{
    size_t at = t->text.len;
    int columns = (int) n;
    if (is_plain(text, n)) {
        tug_buf_add(&t->text, text, n);
    } else {
        tug_str_escape(&t->text, text, n);
        columns = tug_out_columns(t->text.data + at, t->text.len - at);
    }
    tug_vec_push(&t->cells, ((struct cell){(uint32_t) t->text.len, columns, c}));
}

void tug_table_cells(struct tug_table *t, const char *text, enum tug_colour c)
{
    tug_table_cell(t, text, strlen(text), c);
}

void tug_table_cellf(struct tug_table *t, const char *fmt, ...)
{
    char small[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    tug_table_cell(t, small,
                   n < 0                       ? 0
                   : (size_t) n < sizeof small ? (size_t) n
                                               : sizeof small - 1,
                   TUG_PLAIN);
}

/* Widths that are wanted, then cut from the widest that may be cut until the row fits. */
static void fit(const struct tug_table *t, int width, bool head, int *w)
{
    for (size_t k = 0; k < t->n; k++)
        w[k] = head ? tug_out_columns(t->columns[k].head, strlen(t->columns[k].head)) : 1;
    for (size_t i = 0; i < t->cells.len; i++)
        if (t->cells.at[i].columns > w[i % t->n])
            w[i % t->n] = t->cells.at[i].columns;
    int total = -2;
    for (size_t k = 0; k < t->n; k++)
        total += w[k] + 2;
    while (width > 0 && total > width) {
        size_t widest = t->n;
        for (size_t k = 0; k < t->n; k++)
            if (t->columns[k].least && w[k] > t->columns[k].least &&
                (widest == t->n || w[k] > w[widest]))
                widest = k;
        if (widest == t->n)
            break;
        w[widest]--;
        total--;
    }
}

/* As much of the cell as fits 'w', then "..."; hands back the columns used. */
static int put_cut(struct tug_buf *out, const char *s, size_t n, int w)
{
    int used = 0, one;
    int dots = w >= 4 ? 3 : 0;
    for (size_t i = 0; i < n; used += one) {
        size_t len = step((const unsigned char *) s + i, n - i, &one);
        if (used + one > w - dots)
            break;
        tug_buf_add(out, s + i, len);
        i += len;
    }
    for (int i = 0; i < dots; i++, used++)
        tug_buf_addc(out, '.');
    return used;
}

static void put_spaces(struct tug_buf *out, int n)
{
    if (n <= 0)
        return;
    memset(tug_buf_room(out, (size_t) n), ' ', (size_t) n);
    out->len += (size_t) n;
}

static void put_cell(struct tug_buf *out, const char *s, size_t n, int columns, int w, bool right,
                     bool last, const char *code)
{
    if (right && columns < w)
        put_spaces(out, w - columns);
    if (*code)
        tug_buf_adds(out, code);
    if (columns > w)
        columns = put_cut(out, s, n, w);
    else
        tug_buf_add(out, s, n);
    if (*code)
        tug_buf_adds(out, "\033[0m");
    if (last) {
        while (out->len && out->data[out->len - 1] == ' ')
            out->len--;
        tug_buf_addc(out, '\n');
    } else {
        put_spaces(out, (right ? 0 : w - columns) + 2);
    }
}

void tug_table_print(const struct tug_table *t, struct tug_buf *out, int width, bool head,
                     bool colour)
{
    int *w = tug_xcalloc(t->n, sizeof *w);
    fit(t, width, head, w);
    for (size_t k = 0; head && k < t->n; k++) {
        const char *name = t->columns[k].head;
        size_t n = strlen(name);
        put_cell(out, name, n, (int) n, w[k], t->columns[k].right, k + 1 == t->n,
                 colour ? colour_codes[TUG_BOLD] : "");
    }
    size_t at = 0;
    for (size_t i = 0; i < t->cells.len; i++) {
        const struct cell *c = &t->cells.at[i];
        size_t k = i % t->n;
        put_cell(out, t->text.data + at, c->end - at, c->columns, w[k], t->columns[k].right,
                 k + 1 == t->n, colour ? colour_codes[c->colour] : "");
        at = c->end;
    }
    free(w);
}
