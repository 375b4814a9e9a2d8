/* lease.c - until when a node may run what could be started again elsewhere. Layer: logic. */
#include "logic/lease.h"

void tug_lease_set(struct tug_lease *l, int64_t until_ms)
{
    l->until_ms = until_ms;
}

bool tug_lease_allows(const struct tug_lease *l, bool requeueable, int64_t now_ms)
{
    return !requeueable || now_ms < l->until_ms;
}
