/* skew.c - how the head's clock and this node's differ. Layer: stepd. */
#include "stepd/skew.h"

#define DRIFT_ONE_IN 10000 /* of two machines' clocks: 100 ppm, twice what is common */

void tug_skew_take(struct tug_skew *s, uint64_t asked_us, uint64_t head_us, uint64_t now_us)
{
    uint64_t error_us = (now_us - asked_us) / 2;

    if (now_us < asked_us || (s->known && error_us > s->error_us + (now_us - s->taken_us) / DRIFT_ONE_IN))
        return;
    *s = (struct tug_skew){.known = true,
                           .ahead_us = (int64_t) (head_us - asked_us - error_us),
                           .error_us = error_us,
                           .taken_us = now_us};
}

uint64_t tug_skew_head_us(const struct tug_skew *s, uint64_t us)
{
    return s->known ? us + (uint64_t) s->ahead_us : 0;
}
