/* mig.c - slices of a GPU as NVIDIA's MIG cuts them, and what their profiles are called */
#include "base/mig.h"

#include <string.h>

/* Digits and one letter at *at: the number, and *at behind the letter; 0: something else stands there. */
static uint32_t take_number(const char **at, const char *end, char letter)
{
    const char *p = *at;
    uint32_t n = 0;
    while (p < end && *p >= '0' && *p <= '9' && n < 1000)
        n = n * 10 + (uint32_t) (*p++ - '0');
    if (p == *at || p == end || *p != letter)
        return 0;
    *at = p + 1;
    return n;
}

/* The end of a name: letters, digits, '+', '-', '.'. */
static int is_suffix(const char *p, const char *end)
{
    for (; p < end; p++)
        if (!(*p >= 'a' && *p <= 'z') && !(*p >= '0' && *p <= '9') && !strchr("+-.", *p))
            return 0;
    return 1;
}

static uint32_t compute(const char *text, size_t len)
{
    const char *at = text, *end = text + len;
    uint32_t c = take_number(&at, end, 'c');
    if (c && (at == end || *at++ != '.'))
        return 0;
    uint32_t g = take_number(&at, end, 'g');
    if (!g || at == end || *at++ != '.' || !take_number(&at, end, 'g') || at == end || *at++ != 'b')
        return 0;
    return len < TUG_MIG_PROFILE_MAX && is_suffix(at, end) ? c ? c : g : 0;
}

int tug_mig_is_profile(const char *text, size_t len)
{
    return compute(text, len) != 0;
}

uint32_t tug_mig_compute(const char *profile)
{
    return compute(profile, strlen(profile));
}

uint32_t tug_mig_micro(const char *profile, uint32_t of)
{
    uint64_t micro = (uint64_t) tug_mig_compute(profile) * TUG_MIG_MICRO / (of ? of : TUG_MIG_OF);
    return micro > TUG_MIG_MICRO ? TUG_MIG_MICRO : micro ? (uint32_t) micro : 1;
}

tug_gpuset tug_mig_gpus(const struct tug_mig *m)
{
    tug_gpuset gpus = 0;
    for (uint32_t i = 0; i < m->n; i++)
        gpus |= 1ULL << m->at[i].gpu;
    return gpus;
}
