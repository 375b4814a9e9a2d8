/* hostlist.c - a set of host names, written as gpu[001-128,200]
 *
 * at[] is strictly increasing in tug_hostname_cmp() order. Text is read into names and names are
 * folded back into text (hostfold.c); no bracket lives in between.
 * Layer: base.
 */
#include "base/hostlist.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hostfold.h"
#include "base/mem.h"
#include "base/vec.h"

#define RANGE_DIGITS_MAX 18 /* digits of a number in brackets; 10^18 fits into 63 bits */
#define PARTS_MAX 64        /* pieces of one item: text, bracket, text, ... */

struct tug_hostlist {
    char **at;
    size_t len;
    size_t cap;
};

/* ---- names ------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_char(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
}

bool tug_hostname_ok(const char *host)
{
    size_t n = 0;
    while (is_name_char(host[n]))
        n++;
    return host[n] == '\0' && n > 0 && n <= TUG_HOSTNAME_MAX && host[0] != '-' && host[0] != '_' &&
           host[0] != '.';
}

/* By value, when both texts stand at a digit; steps over the numbers. */
static int cmp_number(const char **a, const char **b)
{
    while (**a == '0')
        (*a)++;
    while (**b == '0')
        (*b)++;
    size_t n = 0, m = 0;
    while (is_digit((*a)[n]))
        n++;
    while (is_digit((*b)[m]))
        m++;
    int c = n != m ? (n < m ? -1 : 1) : memcmp(*a, *b, n);
    *a += n;
    *b += m;
    return c;
}

int tug_hostname_cmp(const char *a, const char *b)
{
    const char *p = a, *q = b;
    while (*p && *q) {
        int c = 0;
        if (is_digit(*p) && is_digit(*q))
            c = cmp_number(&p, &q);
        else
            c = (unsigned char) *p++ - (unsigned char) *q++;
        if (c)
            return c;
    }
    if (*p || *q)
        return *p ? 1 : -1;
    return strcmp(a, b); /* equal but for padding */
}

static int cmp_names(const void *a, const void *b)
{
    return tug_hostname_cmp(*(char *const *) a, *(char *const *) b);
}

/* ---- life cycle -------------------------------------------------------------------------- */

struct tug_hostlist *tug_hostlist_new(void)
{
    return tug_new(struct tug_hostlist);
}

void tug_hostlist_free(struct tug_hostlist *hl)
{
    if (!hl)
        return;
    for (size_t i = 0; i < hl->len; i++)
        free(hl->at[i]);
    free(hl->at);
    free(hl);
}

struct tug_hostlist *tug_hostlist_copy(const struct tug_hostlist *hl)
{
    struct tug_hostlist *copy = tug_hostlist_new();
    tug_vec_reserve(copy, hl->len);
    for (size_t i = 0; i < hl->len; i++)
        tug_vec_push(copy, tug_xstrdup(hl->at[i]));
    return copy;
}

/* Bring at[] into order after names were appended. */
static void settle(struct tug_hostlist *hl)
{
    size_t sorted = 1;
    while (sorted < hl->len && tug_hostname_cmp(hl->at[sorted - 1], hl->at[sorted]) < 0)
        sorted++;
    if (sorted >= hl->len)
        return;
    qsort(hl->at, hl->len, sizeof *hl->at, cmp_names);
    size_t kept = 0;
    for (size_t i = 0; i < hl->len; i++)
        if (kept && !strcmp(hl->at[kept - 1], hl->at[i]))
            free(hl->at[i]);
        else
            hl->at[kept++] = hl->at[i];
    hl->len = kept;
}

/* ---- reading ----------------------------------------------------------------------------- */

/* A piece of an item: the same text for all its hosts, or the numbers of one bracket. */
struct range {
    uint64_t lo;
    uint64_t hi;
    int width;
};

struct part {
    const char *text; /* with text_len; NULL for a bracket */
    size_t text_len;
    struct tug_vec(struct range) ranges;
    size_t count; /* numbers in the bracket */
    size_t range; /* where the expansion stands */
    uint64_t value;
};

struct reader {
    const char *text;
    const char *at;
    struct tug_hostlist *hl;
    size_t made; /* hosts so far, duplicates counted */
    struct part parts[PARTS_MAX];
    size_t n_parts;
    struct tug_err *err;
};

static int bad(const struct reader *rd, const char *at, const char *why)
{
    size_t column = (size_t) (at - rd->text) + 1;
    size_t from = column > 32 ? column - 32 : 0; /* the part of a long text that the column is in */
    return tug_fail(rd->err, -EINVAL, "hostlist '%s%.64s': column %zu: %s", from ? "..." : "",
                    rd->text + from, column, why);
}

static int too_many(const struct reader *rd, const char *at)
{
    return tug_fail(rd->err, -E2BIG, "hostlist: column %zu: with this it is over %d hosts, "
                    "the most in one list", (size_t) (at - rd->text) + 1, TUG_HOSTLIST_MAX);
}

static int read_number(struct reader *rd, uint64_t *out, int *width)
{
    const char *start = rd->at;
    uint64_t value = 0;
    for (; is_digit(*rd->at); rd->at++) {
        if (rd->at - start == RANGE_DIGITS_MAX)
            return bad(rd, start, "a number in brackets has at most 18 digits");
        value = value * 10 + (uint64_t) (*rd->at - '0');
    }
    if (rd->at == start)
        return bad(rd, start,
                   *start == '['    ? "brackets don't nest; write them one after the other"
                   : *start == '\0' ? "']' is missing"
                                    : "expected a number, as in [1-4,7]");
    *out = value;
    *width = (int) (rd->at - start);
    return 0;
}

static int read_range(struct reader *rd, struct part *part)
{
    const char *start = rd->at;
    struct range r;
    int hi_width;
    int rc = read_number(rd, &r.lo, &r.width);
    if (rc)
        return rc;
    r.hi = r.lo;
    if (*rd->at == '-') {
        const char *hi_text = ++rd->at;
        if ((rc = read_number(rd, &r.hi, &hi_width)))
            return rc;
        if (hi_width != r.width && (hi_width < r.width || *hi_text == '0'))
            return bad(rd, start, "the two ends of the range are padded differently");
        if (r.hi < r.lo)
            return bad(rd, start, "the range runs backwards");
    }
    uint64_t count = r.hi - r.lo + 1;
    if (count > TUG_HOSTLIST_MAX - part->count)
        return too_many(rd, start);
    part->count += count;
    tug_vec_push(&part->ranges, r);
    return 0;
}

static int read_bracket(struct reader *rd, struct part *part)
{
    int rc;
    do {
        rd->at++; /* '[' or ',' */
        if ((rc = read_range(rd, part)))
            return rc;
    } while (*rd->at == ',');
    if (*rd->at != ']')
        return bad(rd, rd->at, *rd->at ? "expected ',', '-' or ']'" : "']' is missing");
    rd->at++;
    return 0;
}

/* Make the names that the parts stand for: the last bracket turns fastest, like an odometer. */
static int expand(struct reader *rd, const char *start)
{
    struct tug_buf name = { 0 };
    size_t total = 1;
    for (size_t i = 0; i < rd->n_parts; i++) {
        struct part *p = &rd->parts[i];
        if (p->text)
            continue;
        total *= p->count; /* both are at most TUG_HOSTLIST_MAX */
        if (total > TUG_HOSTLIST_MAX)
            return too_many(rd, start);
        p->range = 0;
        p->value = p->ranges.at[0].lo;
    }
    if (total > TUG_HOSTLIST_MAX - rd->made)
        return too_many(rd, start);
    rd->made += total;
    for (size_t done = 0; done < total; done++) {
        tug_buf_reset(&name);
        for (size_t i = 0; i < rd->n_parts; i++) {
            const struct part *p = &rd->parts[i];
            if (p->text)
                tug_buf_add(&name, p->text, p->text_len);
            else
                tug_buf_addf(&name, "%0*" PRIu64, p->ranges.at[p->range].width, p->value);
        }
        if (!tug_hostname_ok(tug_buf_str(&name))) {
            tug_buf_clear(&name);
            return bad(rd, start,
                       "a host name starts with a letter or digit and has at most 255 bytes");
        }
        tug_vec_push(rd->hl, tug_xstrdup(tug_buf_str(&name)));
        for (size_t i = rd->n_parts; i-- > 0;) {
            struct part *p = &rd->parts[i];
            if (p->text)
                continue;
            if (p->value++ < p->ranges.at[p->range].hi)
                break;
            p->range = (p->range + 1) % p->ranges.len;
            p->value = p->ranges.at[p->range].lo;
            if (p->range)
                break;
        }
    }
    tug_buf_clear(&name);
    return 0;
}

static void clear_parts(struct reader *rd)
{
    for (size_t i = 0; i < rd->n_parts; i++)
        tug_vec_clear(&rd->parts[i].ranges);
    rd->n_parts = 0;
}

static bool ends_item(char c)
{
    return c == '\0' || c == ',' || c == ' ' || c == '\t' || c == '\n';
}

static int read_item(struct reader *rd)
{
    const char *start = rd->at;
    int rc = 0;
    while (rc == 0 && !ends_item(*rd->at)) {
        if (rd->n_parts == PARTS_MAX)
            return bad(rd, start, "too many brackets in one name");
        struct part *part = &rd->parts[rd->n_parts++];
        *part = (struct part){ 0 };
        if (*rd->at == '[') {
            rc = read_bracket(rd, part);
            continue;
        }
        part->text = rd->at;
        while (is_name_char(*rd->at))
            rd->at++;
        part->text_len = (size_t) (rd->at - part->text);
        if (part->text_len > TUG_HOSTNAME_MAX)
            return bad(rd, start, "a host name has at most 255 bytes");
        if (part->text_len == 0)
            return bad(rd, rd->at, *rd->at == ']' ? "']' without '['"
                                                  : "this is not part of a host name (letters, "
                                                    "digits, '-', '_' and '.' are)");
    }
    if (rc == 0 && rd->at == start)
        return bad(rd, start, "a host name is missing here");
    return rc ? rc : expand(rd, start);
}

static void skip_blanks(struct reader *rd)
{
    while (*rd->at == ' ' || *rd->at == '\t' || *rd->at == '\n')
        rd->at++;
}

static int read_list(struct reader *rd)
{
    skip_blanks(rd);
    if (!*rd->at)
        return 0;
    for (;;) {
        int rc = read_item(rd);
        clear_parts(rd);
        if (rc)
            return rc;
        skip_blanks(rd);
        if (!*rd->at)
            return 0;
        if (*rd->at != ',')
            return bad(rd, rd->at, "expected ',' between two names");
        rd->at++;
        skip_blanks(rd);
    }
}

int tug_hostlist_parse(const char *text, struct tug_hostlist **out, struct tug_err *err)
{
    struct reader *rd = tug_new(struct reader); /* too large for a small stack */
    rd->text = rd->at = text;
    rd->err = err;
    rd->hl = tug_hostlist_new();
    int rc = read_list(rd);
    if (rc == 0) {
        settle(rd->hl);
        *out = rd->hl;
    } else {
        tug_hostlist_free(rd->hl);
    }
    free(rd);
    return rc;
}

void tug_hostlist_format(const struct tug_hostlist *hl, struct tug_buf *out)
{
    tug_hostfold((const char *const *) hl->at, hl->len, out);
}

/* ---- asking and changing ----------------------------------------------------------------- */

/* Where 'host' is or would be. */
static bool search(const struct tug_hostlist *hl, const char *host, size_t *index)
{
    size_t lo = 0, hi = hl->len;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = tug_hostname_cmp(hl->at[mid], host);
        if (c == 0) {
            *index = mid;
            return true;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *index = lo;
    return false;
}

int tug_hostlist_add(struct tug_hostlist *hl, const char *host, struct tug_err *err)
{
    size_t i;
    if (!tug_hostname_ok(host))
        return tug_fail(err, -EINVAL, "'%.64s' is not a host name: letters, digits, '-', '_' and "
                        "'.', a letter or digit first, at most %d bytes", host, TUG_HOSTNAME_MAX);
    if (search(hl, host, &i))
        return 0;
    tug_vec_push(hl, NULL);
    memmove(&hl->at[i + 1], &hl->at[i], (hl->len - 1 - i) * sizeof *hl->at);
    hl->at[i] = tug_xstrdup(host);
    return 0;
}

void tug_hostlist_remove(struct tug_hostlist *hl, const char *host)
{
    size_t i;
    if (!search(hl, host, &i))
        return;
    free(hl->at[i]);
    tug_vec_remove(hl, i);
}

size_t tug_hostlist_count(const struct tug_hostlist *hl)
{
    return hl->len;
}

const char *tug_hostlist_nth(const struct tug_hostlist *hl, size_t i)
{
    tug_assert(i < hl->len);
    return hl->at[i];
}

bool tug_hostlist_contains(const struct tug_hostlist *hl, const char *host)
{
    size_t i;
    return search(hl, host, &i);
}

bool tug_hostlist_find(const struct tug_hostlist *hl, const char *host, size_t *index)
{
    size_t i;
    if (!search(hl, host, &i))
        return false;
    *index = i;
    return true;
}

bool tug_hostlist_equal(const struct tug_hostlist *a, const struct tug_hostlist *b)
{
    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++)
        if (strcmp(a->at[i], b->at[i]))
            return false;
    return true;
}

/* One walk over both for all three set operations: which names to keep. */
enum side { ONLY_A = 1, ONLY_B = 2, BOTH = 4 };

static struct tug_hostlist *merge(const struct tug_hostlist *a, const struct tug_hostlist *b,
                                  unsigned keep)
{
    struct tug_hostlist *out = tug_hostlist_new();
    size_t i = 0, j = 0;
    while (i < a->len || j < b->len) {
        int c = i == a->len ? 1 : j == b->len ? -1 : tug_hostname_cmp(a->at[i], b->at[j]);
        unsigned side = c < 0 ? ONLY_A : c > 0 ? ONLY_B : BOTH;
        if (keep & side)
            tug_vec_push(out, tug_xstrdup(c > 0 ? b->at[j] : a->at[i]));
        i += c <= 0;
        j += c >= 0;
    }
    return out;
}

struct tug_hostlist *tug_hostlist_union(const struct tug_hostlist *a, const struct tug_hostlist *b)
{
    return merge(a, b, ONLY_A | ONLY_B | BOTH);
}

struct tug_hostlist *tug_hostlist_intersect(const struct tug_hostlist *a,
                                            const struct tug_hostlist *b)
{
    return merge(a, b, BOTH);
}

struct tug_hostlist *tug_hostlist_subtract(const struct tug_hostlist *a,
                                           const struct tug_hostlist *b)
{
    return merge(a, b, ONLY_A);
}
