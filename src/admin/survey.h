/* survey.h - what is in etcd at a state's place, sound or not
 *
 * Layer: programs.
 */
#ifndef TUG_ADMIN_SURVEY_H
#define TUG_ADMIN_SURVEY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "host/etcd.h"
#include "logic/lineage.h"

struct survey {
    uint64_t parts;             /* keys of the log; 0 = nothing is there */
    size_t records;             /* that hold, where it is whole */
    int is_damaged;             /* no controller starts from it */
    struct tug_err damage;      /* the first that was found, by its key */
    int has_lineage;            /* else no record that could be read says which numbers were given out */
    struct tug_lineage lineage; /* at least these were */
};
/* Damage is an answer, not a failure. */
int survey_read(struct survey *out, struct tug_etcd *e, const char *prefix, struct tug_err *err);
/* All keys of the log with their values, as they are, a line of JSON each, into a file that is whole when it is there. */
int survey_keep(const char *file, struct tug_etcd *e, const char *prefix, struct tug_err *err);

#endif
