/* limits.c - resource limits under which NCCL and RDMA fail late, or run slowly
 *
 * NVIDIA's NCCL manual (troubleshooting: stack size, memory registration) names the first two. The third:
 * every rank may hold connections to every other, each of several sockets (NCCL_NSOCKS_PERTHREAD and
 * NCCL_SOCKET_NTHREADS make up to 8 on fast links), and what runs out of descriptors does so in the
 * middle of the wire-up. Layer: stepd.
 */
#include "stepd/limits.h"

#include <sys/resource.h>

#include "base/size.h"
#include "stepd/nics.h"

#define FILES_PER_PEER 16
#define FILES_ANYHOW   256 /* libraries, data, devices */

static uint64_t limit_of(const struct tug_payload *p, int which)
{
    struct rlimit lim;

    if (getrlimit((__rlimit_resource_t) which, &lim))
        return RLIM_INFINITY;
    for (size_t i = 0; i + 1 < p->spec->n_rlimits; i += 2)
        if ((int) p->spec->rlimits[i] == which)
            return p->spec->rlimits[i + 1] < lim.rlim_max ? p->spec->rlimits[i + 1] : lim.rlim_max;
    return lim.rlim_cur;
}

void tug_limits_of_ranks(const struct tug_payload *p, struct tug_limits *out)
{
    out->memlock_bytes = limit_of(p, RLIMIT_MEMLOCK);
    out->nofile = limit_of(p, RLIMIT_NOFILE);
    out->stack_bytes = limit_of(p, RLIMIT_STACK);
}

void tug_limits_warn(const struct tug_payload *p, const struct tug_limits *l, struct tug_buf *out)
{
    uint64_t files = FILES_ANYHOW + (uint64_t) FILES_PER_PEER * p->n_ranks;
    char size[TUG_SIZE_TEXT_MAX];
    const char *and = "";

    if (p->batch || p->emulated || !p->slice->gpus || p->n_ranks < 2)
        return;
    if (l->memlock_bytes != RLIM_INFINITY && tug_nics_of_node(p)) {
        tug_buf_addf(out,
                     "ranks may lock %s of memory, and RDMA locks all that it sends: the admin of node "
                     "%s can set LimitMEMLOCK=infinity for tuglaunch",
                     tug_size_format(l->memlock_bytes, size, sizeof size), p->node);
        and = "; ";
    }
    if (l->stack_bytes == RLIM_INFINITY) {
        tug_buf_addf(out,
                     "%sthe stack is unlimited, which gives threads 2 MiB only, too little for NCCL: use "
                     "ulimit -s 8192 before submitting",
                     and);
        and = "; ";
    }
    if (l->nofile < files)
        tug_buf_addf(out,
                     "%sranks may open %llu files, and %u ranks may need %llu: use ulimit -n %llu before "
                     "submitting",
                     and, (unsigned long long) l->nofile, p->n_ranks, (unsigned long long) files,
                     (unsigned long long) files);
}
