/* demands.c - what jobs of a trace ask of the fabric, of a part of a GPU, and of slices. Layer: sim. */
#include "sim/demands.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/mig.h"

/* Numbers; the smaller ones are flags. */
static const struct column {
    const char *name;
    uint64_t most;
    size_t at, size;
} columns[] = {
#define COLUMN(name, most, field) {name, most, offsetof(struct tug_job_req, field), sizeof((struct tug_job_req *) 0)->field}
    COLUMN("topology_required", 1, topology_required),
    COLUMN("topology_domains", UINT32_MAX, topology_domains),
    COLUMN("topology_wait_s", UINT32_MAX, topology_wait_s),
    COLUMN("segment", UINT32_MAX, segment),
    COLUMN("spread", 1, spread),
    COLUMN("quality_floor", 1000, quality_milli),
    COLUMN("quality_wait_s", UINT32_MAX, quality_wait_s),
    COLUMN("gpu_milli", TUG_GPU_MILLI, gpu_milli),
};

static void set(struct tug_job_req *r, const struct column *c, uint64_t value)
{
    char *at = (char *) r + c->at;
    if (c->size == sizeof(uint8_t))
        *(uint8_t *) at = (uint8_t) value;
    else
        *(uint32_t *) (void *) at = (uint32_t) value;
}

static int read_profile(const struct tug_trace *t, struct tug_job_req *r, struct tug_err *err)
{
    r->mig_profile = tug_trace_text(t, "mig_profile");
    if (!*r->mig_profile || tug_mig_is_profile(r->mig_profile, strlen(r->mig_profile)))
        return 0;
    return tug_trace_wrong(t, "mig_profile", err, "expected a profile of slices of a GPU, like 1g.10gb, or nothing");
}

int tug_sim_demands_read(const struct tug_trace *t, struct tug_job_req *r, struct tug_err *err)
{
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        uint64_t value;
        int rc = tug_trace_number(t, columns[i].name, columns[i].most, &value, err);
        if (rc)
            return rc;
        set(r, &columns[i], value);
    }
    r->topology = tug_trace_text(t, "asked_topology");
    r->exclusive_level = tug_trace_text(t, "exclusive_level");
    if (r->quality_milli && !*tug_trace_text(t, "quality_wait_s"))
        r->quality_wait_s = UINT32_MAX;
    if (r->gpu_milli == TUG_GPU_MILLI)
        r->gpu_milli = 0; /* all of it */
    return read_profile(t, r, err);
}

int tug_sim_demands_any(const struct tug_job_req *r)
{
    return *r->topology || *r->exclusive_level || r->topology_required || r->segment || r->spread || r->quality_milli;
}

void tug_sim_demands_forget(struct tug_job_req *r)
{
    r->topology = r->exclusive_level = "";
    r->topology_required = r->spread = 0;
    r->topology_domains = r->topology_wait_s = r->segment = 0;
}
