/* hist.h - how often a time took how long, within an eighth
 *
 * A fixed array of counters, eight for each power of two: adding is two instructions and a shift, and
 * a quantile is off by 12.5 % at most. In place; zeroes are an empty one.
 */
#ifndef TUG_BASE_HIST_H
#define TUG_BASE_HIST_H

#include <stdint.h>

#define TUG_HIST_CELLS 256

struct tug_hist {
    uint64_t n;
    uint32_t max;
    uint32_t cell[TUG_HIST_CELLS];
};

void tug_hist_add(struct tug_hist *h, uint32_t value);
/* Add all of 'from'. */
void tug_hist_merge(struct tug_hist *h, const struct tug_hist *from);
/* The least value that at least 'permille' of 1000 do not exceed, rounded up to the end of its cell
 * and never above the largest; 0 when there is none. */
uint32_t tug_hist_quantile(const struct tug_hist *h, unsigned permille);

#endif
