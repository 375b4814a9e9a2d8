/* skew.h - how the head's clock and this node's differ, from questions and answers
 *
 * Failures of a gang are put in order by when they happened, and clocks of nodes agree about nothing. An answer is as good as
 * it was quick (its error is half of the time that it took), and gets worse with time, as clocks drift. Pure. Layer: stepd.
 */
#ifndef TUG_STEPD_SKEW_H
#define TUG_STEPD_SKEW_H

#include <stdbool.h>
#include <stdint.h>

struct tug_skew {
    bool known;
    int64_t ahead_us;            /* the head's clock, of this node's */
    uint64_t error_us, taken_us; /* at most, when it was taken */
};

/* Asked at 'asked_us' and answered at 'now_us', by this node's clock; in between the head's said 'head_us'. */
void tug_skew_take(struct tug_skew *s, uint64_t asked_us, uint64_t head_us, uint64_t now_us);
/* What the head's clock said when this node's said 'us'; 0: that is not known. */
uint64_t tug_skew_head_us(const struct tug_skew *s, uint64_t us);

#endif
