/* gpus.c - which GPUs of the node a rank works with, in the order of the ring
 *
 * Ranks are dealt the ring's GPUs in turn, so that neighbours in rank order are neighbours in the
 * ring. Layer: stepd.
 */
#include "stepd/gpus.h"

bool tug_gpus_are_ordered(uint64_t gpus, const ProtobufCBinaryData *order)
{
    uint64_t seen = 0;

    for (size_t i = 0; i < order->len; i++) {
        uint64_t one = order->data[i] < TUG_GPUS_MAX ? 1ULL << order->data[i] : 0;
        if (!(gpus & one) || (seen & one))
            return false;
        seen |= one;
    }
    return order->len == 0 || seen == gpus;
}

const Tugpb__MigSlice *tug_gpus_slice(const struct tug_payload *p, unsigned device)
{
    for (size_t i = 0; p->inv && device >= p->inv->gpus && i < p->inv->n_mig; i++)
        if (p->inv->mig[i]->device == device)
            return p->inv->mig[i];
    return NULL;
}

unsigned tug_gpus_gpu(const struct tug_payload *p, unsigned device)
{
    const Tugpb__MigSlice *s = tug_gpus_slice(p, device);

    return s && s->gpu < TUG_GPUS_MAX ? s->gpu : device;
}

void tug_gpus_of_node(const struct tug_payload *p, struct tug_gpu_list *out)
{
    const ProtobufCBinaryData *order = &p->slice->gpu_order;

    out->n = 0;
    for (size_t i = 0; i < order->len; i++)
        out->at[out->n++] = order->data[i];
    for (uint64_t g = order->len ? 0 : p->slice->gpus; g; g &= g - 1)
        out->at[out->n++] = (uint8_t) __builtin_ctzll(g);
}

void tug_gpus_of_rank(const struct tug_payload *p, unsigned local, struct tug_gpu_list *out)
{
    struct tug_gpu_list all;
    unsigned ranks = p->n_local ? p->n_local : 1, each, from, to;

    tug_gpus_of_node(p, &all);
    each = p->spec->res ? p->spec->res->gpus_per_task : 0;
    from = local * all.n / ranks;
    to = (local + 1) * all.n / ranks;
    if (each && each <= all.n / ranks)
        from = local * each, to = from + each;
    else if (to == from)
        to = from + 1;
    if (p->batch)
        from = 0, to = all.n;
    out->n = 0;
    for (unsigned i = from; i < to && i < all.n; i++)
        out->at[out->n++] = all.at[i];
}

void tug_gpus_shown(const struct tug_payload *p, unsigned local, struct tug_gpu_list *out)
{
    if (p->spec->launcher == TUGPB__LAUNCHER__LAUNCHER_TORCH && !p->slice->mig_profile[0])
        tug_gpus_of_node(p, out);
    else
        tug_gpus_of_rank(p, local, out);
}
