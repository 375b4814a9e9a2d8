/* jobtab.h - jobs by id
 *
 * Ids are given out one after the other, so a page of 64 neighbouring ids is nearly always full: 8
 * bytes a job, and ids come out in order without a sort. Does not own the jobs.
 */
#ifndef TUG_CORE_JOBTAB_H
#define TUG_CORE_JOBTAB_H

#include <stddef.h>

#include "core/job.h"

struct tug_entry;

struct tug_jobpage {
    uint64_t number; /* ids number * 64 .. + 63 */
    uint64_t used;   /* bit i: at[i] is there; never 0 */
    struct tug_entry *at[64];
};
struct tug_jobtab {             /* zero-initialised is empty */
    struct tug_jobpage **pages; /* by number */
    size_t n_pages, cap;
    size_t n_jobs;
};

void tug_jobtab_clear(struct tug_jobtab *t);
void tug_jobtab_add(struct tug_jobtab *t, tug_job_id id,
                    struct tug_entry *e);                    /* the id must be new */
void tug_jobtab_remove(struct tug_jobtab *t, tug_job_id id); /* nothing if it is not there */
struct tug_entry *tug_jobtab_find(const struct tug_jobtab *t, tug_job_id id); /* NULL: no such */
struct tug_entry *tug_jobtab_after(const struct tug_jobtab *t,
                                   tug_job_id id); /* the next higher id; NULL: none */

#endif
