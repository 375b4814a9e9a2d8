/* rasreport.h - what NCCL's status service (RAS) says about the communicators of a job, read from its JSON
 *
 * The format is that of NCCL 2.28.7 and later (src/ras/client_support.cc of https://github.com/NVIDIA/nccl): an object
 * with "nccl_version" and "communicators", each with "ranks" and "missing_ranks". What else stands in it is passed over.
 * Layer: stepd.
 */
#ifndef TUG_STEPD_RASREPORT_H
#define TUG_STEPD_RASREPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/vec.h"

struct tug_ras_rank {
    uint64_t comm; /* which communicator: equal for its ranks */
    unsigned comm_size;
    unsigned rank; /* within the communicator */
    int pid;       /* of its process; -1 = not known */
    char host[48]; /* its address */
    uint64_t count; /* collectives that it has launched; point-to-point operations are not counted */
    int error;     /* ncclResult_t of what failed asynchronously or while it was set up; 0 = nothing */
    bool missing;  /* the others know of it, it did not answer; then nothing of the above but rank, pid and host */
    bool dead;     /* and they have given it up */
};

struct tug_ras_report {
    char version[24]; /* of NCCL: "2.28.9" */
    unsigned comms;
    struct tug_vec(struct tug_ras_rank) ranks;
};

/* -EPROTO: not that format, cut off, or nested too deep; 'err' says where. Nothing is kept then. */
int tug_ras_report_read(struct tug_ras_report *out, const char *text, size_t len, struct tug_err *err);
void tug_ras_report_clear(struct tug_ras_report *r);
/* "remote process error" */
const char *tug_ras_error_name(int error);

#endif
