/* emulate.c - to be like a kind of machine: what the options leave open is as that has it
 *
 * Layer: programs.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "host/machines.h"
#include "noded/daemon.h"

int emulate_machine(struct options *o, const char *beside, struct tug_err *err)
{
    struct tug_sheet *s;
    int rc = o->machine ? tug_machines_find(beside, o->machine, &s, err) : 0;
    if (!o->machine || rc)
        return rc;
    if (o->gpus > (int64_t) s->machine.n_gpus) {
        rc = tug_fail(err, -EINVAL, "%lld GPUs: a %s has %u; say --gpus=%u or less, or another --machine", (long long) o->gpus,
                      s->machine.name, s->machine.n_gpus, s->machine.n_gpus);
        tug_sheet_free(s);
        return rc;
    }
    if (o->gpus < 0)
        o->gpus = s->machine.n_gpus;
    tug_sheet_cut(s, (uint32_t) o->gpus);
    if (!o->cpus)
        o->cpus = s->cpus;
    if (!o->memory_bytes)
        o->memory_bytes = (int64_t) s->mem_bytes;
    if (!o->gpu_model && s->machine.n_gpus)
        o->gpu_model = tug_xstrdup(s->machine.gpu[0].model);
    free(o->machine);
    o->machine = tug_xstrdup(s->machine.name); /* that was perhaps an alias or a path */
    o->sheet = s;
    return 0;
}
