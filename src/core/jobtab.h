/* jobtab.h - jobs by id, as the core finds them: base/idtab.h with the type of what is in it
 */
#ifndef TUG_CORE_JOBTAB_H
#define TUG_CORE_JOBTAB_H

#include "base/idtab.h"
#include "core/job.h"

struct tug_entry;

static inline struct tug_entry *tug_jobtab_find(const struct tug_idtab *t, tug_job_id id)
{
    return tug_idtab_find(t, id);
}

/* That with the next higher id; NULL: none. */
static inline struct tug_entry *tug_jobtab_after(const struct tug_idtab *t, tug_job_id id)
{
    return tug_idtab_after(t, id);
}

#endif
