/* runout.c - the output of many ranks on one terminal
 *
 * Layer: cli.
 */
#include "cli/runout.h"

#include <string.h>

#include "base/mem.h"

void tug_runout_init(struct tug_runout *o, bool label, uint32_t ntasks)
{
    *o = (struct tug_runout){.label = label, .ntasks = ntasks};
}

void tug_runout_clear(struct tug_runout *o)
{
    for (size_t i = 0; i < o->partial.len; i++)
        tug_buf_clear(&o->partial.at[i]);
    tug_vec_clear(&o->partial);
    tug_buf_clear(&o->ready[0]);
    tug_buf_clear(&o->ready[1]);
}

/* The line that a rank has begun; ranks are made as they speak, as there may be 100,000. */
static struct tug_buf *partial_of(struct tug_runout *o, uint32_t rank, uint32_t stream)
{
    size_t i = (size_t) rank * 2 + stream - 1;
    while (o->partial.len <= i)
        tug_vec_push(&o->partial, ((struct tug_buf){0}));
    return &o->partial.at[i];
}

static void put(struct tug_runout *o, uint32_t rank, uint32_t stream, struct tug_buf *begun,
                const char *data, size_t n)
{
    struct tug_buf *out = &o->ready[stream - 1];
    if (o->label)
        tug_buf_addf(out, "%u: ", rank);
    if (begun->len)
        tug_buf_add(out, begun->data, begun->len);
    if (n)
        tug_buf_add(out, data, n);
    tug_buf_reset(begun);
    if (o->label && out->data[out->len - 1] != '\n')
        tug_buf_addc(out, '\n');
}

/* Where the line ends; a progress bar that goes back with \r counts as lines when nothing is
 * labelled. */
static const char *line_end(const struct tug_runout *o, const char *data, size_t n)
{
    const char *nl = memchr(data, '\n', n), *cr = o->label ? NULL : memchr(data, '\r', n);
    return !nl || (cr && cr < nl) ? cr : nl;
}

void tug_runout_data(struct tug_runout *o, uint32_t rank, uint32_t stream, const void *data,
                     size_t n)
{
    const char *at = data;
    if (rank >= o->ntasks || stream < 1 || stream > 2 || n == 0)
        return;
    if (o->ntasks == 1 && !o->label) {
        tug_buf_add(&o->ready[stream - 1], at, n);
        return;
    }
    struct tug_buf *begun = partial_of(o, rank, stream);
    while (n > 0) {
        const char *end = line_end(o, at, n);
        size_t len = end ? (size_t) (end - at) + 1 : n;
        if (end || begun->len + len > TUG_RUNOUT_LINE_MAX)
            put(o, rank, stream, begun, at, len);
        else
            tug_buf_add(begun, at, len);
        at += len;
        n -= len;
    }
}

void tug_runout_end(struct tug_runout *o)
{
    for (size_t i = 0; i < o->partial.len; i++)
        if (o->partial.at[i].len)
            put(o, (uint32_t) (i / 2), (uint32_t) (i % 2) + 1, &o->partial.at[i], NULL, 0);
}
