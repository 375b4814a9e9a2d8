/* hostfold.c - names back into brackets
 *
 * Runs of digits are folded from right to left. In one pass every item is seen as
 *     before + digits + after
 * where 'after' may hold brackets of earlier passes already; items with the same 'before' and
 * 'after' become one item whose digits are a bracket. Every step stands for exactly the same set of
 * names, so the result reads back as what went in. Not always the shortest form possible (that is
 * set cover), but products such as r[1-2]n[01-10] come out whole.
 * Layer: base.
 */
#include "base/hostfold.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/vec.h"

#define PASSES_MAX 8          /* runs of digits of a name that get folded, from the right */
#define FOLD_DIGITS_MAX 18    /* longer runs stay text, as the reader takes no longer number */

struct item {
    char *text;
    size_t cut;    /* text[0..cut) is not folded yet */
    size_t first;  /* index of its first name: keeps the order */
    /* of this pass: text[digits..digits_end) is the run of digits */
    size_t digits;
    size_t digits_end;
    uint64_t value;
};

struct items {
    struct item *at;
    size_t len;
    size_t cap;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Find the last run of digits before 'cut'; an item without one has digits == digits_end. */
static void find_digits(struct item *it)
{
    size_t end = it->cut;
    while (end > 0 && !is_digit(it->text[end - 1]))
        end--;
    size_t start = end;
    while (start > 0 && is_digit(it->text[start - 1]))
        start--;
    it->cut = start;
    it->digits = start;
    it->digits_end = end;
    if (end - start > FOLD_DIGITS_MAX)
        it->digits = it->digits_end; /* too long a number: nothing to fold in this pass */
    it->value = 0;
    for (size_t i = it->digits; i < it->digits_end; i++)
        it->value = it->value * 10 + (uint64_t) (it->text[i] - '0');
}

static bool has_digits(const struct item *it)
{
    return it->digits < it->digits_end;
}

/* Same text before and after the digits come together; within these by width, then by value. */
static int cmp_items(const void *pa, const void *pb)
{
    const struct item *a = pa, *b = pb;
    if (has_digits(a) != has_digits(b))
        return has_digits(a) ? -1 : 1;
    if (!has_digits(a))
        return a->first < b->first ? -1 : a->first > b->first;
    if (a->digits != b->digits)
        return a->digits < b->digits ? -1 : 1;
    int c = memcmp(a->text, b->text, a->digits);
    if (c == 0)
        c = strcmp(a->text + a->digits_end, b->text + b->digits_end);
    if (c)
        return c;
    size_t len_a = a->digits_end - a->digits, len_b = b->digits_end - b->digits;
    if (len_a != len_b)
        return len_a < len_b ? -1 : 1;
    return a->value < b->value ? -1 : a->value > b->value;
}

static int cmp_first(const void *pa, const void *pb)
{
    const struct item *a = pa, *b = pb;
    return a->first < b->first ? -1 : a->first > b->first;
}

static bool same_group(const struct item *a, const struct item *b)
{
    return has_digits(a) && has_digits(b) && a->digits == b->digits &&
           !memcmp(a->text, b->text, a->digits) &&
           !strcmp(a->text + a->digits_end, b->text + b->digits_end);
}

/* Can 'next' extend a range that started at 'lo' and stands at 'prev'? Its text must be what the
 * reader makes of prev + 1 at the width of lo. */
static bool follows(const struct item *lo, const struct item *prev, const struct item *next)
{
    size_t width = lo->digits_end - lo->digits, len = next->digits_end - next->digits;
    if (next->value != prev->value + 1)
        return false;
    return len == width || (len > width && next->text[next->digits] != '0');
}

/* Fold at[0..n), one group, into one item with a bracket; frees the texts. */
static struct item fold_group(const struct item *at, size_t n)
{
    struct tug_buf text = { 0 };
    size_t first = at[0].first;
    tug_buf_add(&text, at[0].text, at[0].digits);
    tug_buf_addc(&text, '[');
    for (size_t i = 0; i < n;) {
        size_t j = i;
        while (j + 1 < n && follows(&at[i], &at[j], &at[j + 1]))
            j++;
        if (i)
            tug_buf_addc(&text, ',');
        tug_buf_add(&text, at[i].text + at[i].digits, at[i].digits_end - at[i].digits);
        if (j > i) {
            tug_buf_addc(&text, '-');
            tug_buf_add(&text, at[j].text + at[j].digits, at[j].digits_end - at[j].digits);
        }
        i = j + 1;
    }
    tug_buf_addc(&text, ']');
    tug_buf_adds(&text, at[0].text + at[0].digits_end);
    for (size_t i = 0; i < n; i++) {
        if (at[i].first < first)
            first = at[i].first;
        free(at[i].text);
    }
    return (struct item){ .text = tug_buf_take(&text), .cut = at[0].cut, .first = first };
}

/* One pass over the next run of digits; false when no item has one left. */
static bool pass(struct items *v)
{
    bool any = false;
    for (size_t i = 0; i < v->len; i++) {
        any |= v->at[i].cut > 0;
        find_digits(&v->at[i]);
    }
    if (!any)
        return false;
    qsort(v->at, v->len, sizeof *v->at, cmp_items);
    size_t kept = 0;
    for (size_t i = 0; i < v->len;) {
        size_t j = i + 1;
        while (j < v->len && same_group(&v->at[i], &v->at[j]))
            j++;
        v->at[kept++] = j - i > 1 ? fold_group(&v->at[i], j - i) : v->at[i];
        i = j;
    }
    v->len = kept;
    return true;
}

void tug_hostfold(const char *const *names, size_t n, struct tug_buf *out)
{
    struct items v = { 0 };
    tug_vec_reserve(&v, n);
    for (size_t i = 0; i < n; i++) {
        struct item it = { .text = tug_xstrdup(names[i]), .cut = strlen(names[i]), .first = i };
        tug_vec_push(&v, it);
    }
    for (int i = 0; i < PASSES_MAX && v.len > 1; i++)
        if (!pass(&v))
            break;
    if (v.len > 1)
        qsort(v.at, v.len, sizeof *v.at, cmp_first);
    for (size_t i = 0; i < v.len; i++) {
        if (i)
            tug_buf_addc(out, ',');
        tug_buf_adds(out, v.at[i].text);
        free(v.at[i].text);
    }
    tug_vec_clear(&v);
}
