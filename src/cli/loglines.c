/* loglines.c - the lines of a gang's output file, by rank
 *
 * Layer: cli.
 */
#include "cli/loglines.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/out.h"

void tug_loglines_clear(struct tug_loglines *l)
{
    for (size_t i = 0; i < l->ring.len; i++)
        free(l->ring.at[i]);
    tug_vec_clear(&l->ring);
    tug_buf_clear(&l->partial);
    tug_buf_clear(&l->out);
}

/* "12: text": the rank, and how long the label is; -1 and 0 when there is none. */
static int64_t rank_of(const char *line, size_t n, size_t *label)
{
    size_t i = 0;
    int64_t rank = 0;
    for (; i < n && i < 10 && line[i] >= '0' && line[i] <= '9'; i++)
        rank = rank * 10 + (line[i] - '0');
    *label = 0;
    if (i == 0 || i + 1 >= n || line[i] != ':' || line[i + 1] != ' ')
        return -1;
    *label = i + 2;
    return rank;
}

/* One line of the last ones; the ring forgets the oldest. */
static void keep(struct tug_loglines *l, const struct tug_buf *line)
{
    char *copy = tug_xmalloc(line->len + 1);
    memcpy(copy, tug_buf_str(line), line->len + 1);
    if (l->ring.len < l->last) {
        tug_vec_push(&l->ring, copy);
    } else {
        size_t i = l->n_lines % l->last;
        free(l->ring.at[i]);
        l->ring.at[i] = copy;
    }
}

/* 'n' without the newline. */
static void one(struct tug_loglines *l, const char *text, size_t n, bool ended)
{
    size_t label = 0;
    int64_t rank = -1;
    if (l->labelled)
        rank = rank_of(text, n, &label);
    if (l->rank >= 0 && l->labelled && rank != l->rank)
        return;
    if (l->rank >= 0 || l->json) {
        text += label;
        n -= label;
    }
    struct tug_buf line = {0};
    if (l->json) {
        tug_buf_addf(&line, "{\"rank\":");
        if (rank >= 0)
            tug_buf_addf(&line, "%lld", (long long) rank);
        else
            tug_buf_adds(&line, "null");
        tug_buf_adds(&line, ",\"text\":");
        tug_out_json_string(&line, text, n);
        tug_buf_adds(&line, "}");
    } else {
        tug_buf_add(&line, text, n);
    }
    if (ended && !l->json)
        tug_buf_addc(&line, '\n');
    if (l->json)
        tug_buf_addc(&line, '\n');
    if (l->last)
        keep(l, &line);
    else
        tug_buf_add(&l->out, line.data, line.len);
    l->n_lines++;
    tug_buf_clear(&line);
}

void tug_loglines_data(struct tug_loglines *l, const char *data, size_t n)
{
    if (l->rank < 0 && !l->json && !l->last) { /* nothing to look at: as it comes, half lines too */
        tug_buf_add(&l->out, data, n);
        return;
    }
    while (n > 0) {
        const char *nl = memchr(data, '\n', n);
        size_t len = nl ? (size_t) (nl - data) : n;
        if (!nl) {
            tug_buf_add(&l->partial, data, len);
            return;
        }
        if (l->partial.len) {
            tug_buf_add(&l->partial, data, len);
            one(l, l->partial.data, l->partial.len, true);
            tug_buf_reset(&l->partial);
        } else {
            one(l, data, len, true);
        }
        data += len + 1;
        n -= len + 1;
    }
}

void tug_loglines_release(struct tug_loglines *l)
{
    for (size_t i = 0; i < l->ring.len; i++) {
        size_t k = l->ring.len < l->last ? i : (l->n_lines + i) % l->last;
        tug_buf_adds(&l->out, l->ring.at[k]);
        free(l->ring.at[k]);
    }
    l->ring.len = 0;
    l->last = 0;
    if (l->rank < 0 &&
        !l->json) { /* from now on bytes pass as they come: a line that has begun too */
        tug_buf_add(&l->out, tug_buf_str(&l->partial), l->partial.len);
        tug_buf_reset(&l->partial);
    }
}

void tug_loglines_end(struct tug_loglines *l)
{
    if (l->partial.len)
        one(l, l->partial.data, l->partial.len, false);
    tug_buf_reset(&l->partial);
    tug_loglines_release(l);
}
