/* measure.c - one figure: warmed up, repeated for a while, the slowest rank counts
 *
 * Layer: probe.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/probe.h"

#define SPAN_S    0.2 /* so long is measured */
#define TIMES_MIN 3
#define TIMES_MAX 1000
#define BYTES_MAX ((size_t) 1 << 36)

int probe_fail(char *why, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, TUG_WHY_MAX, fmt, ap);
    va_end(ap);
    return -1;
}

double probe_busbw(double algbw, int n)
{
    return algbw * 2 * (n - 1) / n;
}

/* The largest of all ranks' numbers. */
static int slowest(struct probe_comm *c, double mine, double *out, char *why)
{
    double *all = calloc((size_t) c->n, sizeof *all);
    if (!all)
        return probe_fail(why, "no memory for %d figures", c->n);
    int rc = probe_transport.gather(c, mine, all, why);
    *out = mine;
    for (int i = 0; i < c->n && rc == 0; i++)
        *out = all[i] > *out ? all[i] : *out;
    free(all);
    return rc;
}

int probe_measure(struct probe_comm *c, size_t bytes, struct probe_figure *out, char *why)
{
    double one = 0, all = 0;
    /* The first one makes connections and the like; the second says how long one takes. */
    int rc = probe_transport.reduce(c, bytes, 1, &one, why);
    if (rc == 0)
        rc = probe_transport.reduce(c, bytes, 1, &one, why);
    if (rc == 0)
        rc = slowest(c, one, &one, why);
    if (rc)
        return rc;
    double want = one > 0 ? SPAN_S / one : TIMES_MAX;
    int times = want > TIMES_MAX ? TIMES_MAX : want < TIMES_MIN ? TIMES_MIN : (int) want;
    rc = probe_transport.reduce(c, bytes, times, &all, why);
    if (rc == 0)
        rc = slowest(c, all, &all, why);
    if (rc)
        return rc;
    *out = (struct probe_figure){.bytes = bytes, .times = times, .seconds = all / times};
    out->algbw = out->seconds > 0 ? (double) bytes / out->seconds : 0;
    out->busbw = probe_busbw(out->algbw, c->n);
    return 0;
}

/* ---- sizes */

/* "16M": up to a comma, ".." or the end; whole floats. Returns what is behind, NULL = that is none. */
static const char *size_at(const char *text, size_t *out)
{
    char *end;
    unsigned long long n = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    unsigned shift = 0;
    if (n == 0)
        return NULL;
    const char *unit = strchr("KMG", *end);
    if (*end && unit) {
        shift = (unsigned) (10 * (1 + (unit - "KMG")));
        end++;
    }
    if (n > BYTES_MAX >> shift || (n << shift) % sizeof(float))
        return NULL;
    *out = (size_t) (n << shift);
    return end;
}

int probe_sizes(const char *text, size_t *out, int room, char *why)
{
    const char *at = text;
    int n = 0;
    for (;;) {
        size_t from = 0, to = 0;
        const char *end = size_at(at, &from);
        to = from;
        if (end && !strncmp(end, "..", 2))
            end = size_at(end + 2, &to);
        if (!end || (*end && *end != ',') || to < from) {
            probe_fail(why, "'%.64s' are no sizes: write 4K,1M,16M or 4K..16M, in bytes, multiples of 4", text);
            return 0;
        }
        for (size_t size = from; size <= to; size *= 4) {
            if (n == room) {
                probe_fail(why, "'%.64s' are more than %d sizes", text, room);
                return 0;
            }
            out[n++] = size;
        }
        if (!*end)
            return n;
        at = end + 1;
    }
}
