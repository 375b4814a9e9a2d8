/* hist.c - how often a time took how long, within an eighth
 *
 * Values up to 7 have a cell each; above, a cell is the power of two and the three bits below it.
 * Layer: base.
 */
#include "base/hist.h"

#define LINEAR 8u /* cells of each power of two */

static unsigned cell_of(uint32_t value)
{
    if (value < LINEAR)
        return value;
    unsigned top = 31u - (unsigned) __builtin_clz(value); /* 3 for 8..15 */
    return (top - 2) * LINEAR + ((value >> (top - 3)) & (LINEAR - 1));
}

/* The largest value of a cell. */
static uint32_t end_of(unsigned cell)
{
    if (cell < LINEAR)
        return cell;
    unsigned top = cell / LINEAR + 2;
    uint64_t first = (uint64_t) (LINEAR + cell % LINEAR) << (top - 3);
    return (uint32_t) (first + (1ULL << (top - 3)) - 1);
}

void tug_hist_add(struct tug_hist *h, uint32_t value)
{
    h->n++;
    h->cell[cell_of(value)]++;
    if (value > h->max)
        h->max = value;
}

void tug_hist_merge(struct tug_hist *h, const struct tug_hist *from)
{
    h->n += from->n;
    h->max = from->max > h->max ? from->max : h->max;
    for (unsigned i = 0; i < TUG_HIST_CELLS; i++)
        h->cell[i] += from->cell[i];
}

uint32_t tug_hist_quantile(const struct tug_hist *h, unsigned permille)
{
    uint64_t wanted = (h->n * permille + 999) / 1000, seen = 0;
    for (unsigned i = 0; i < TUG_HIST_CELLS && h->n; i++) {
        seen += h->cell[i];
        if (seen >= wanted && seen)
            return end_of(i) < h->max ? end_of(i) : h->max;
    }
    return h->max;
}
