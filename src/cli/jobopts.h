/* jobopts.h - what a user says about a job, from the command line, the script and the environment
 *
 * The table is jobopts.def. Sources may be read in any order: what a higher one said is not changed
 * by a lower one (command line > #TUG > #SBATCH > environment). Layer: cli.
 */
#ifndef TUG_CLI_JOBOPTS_H
#define TUG_CLI_JOBOPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/vec.h"
#include "cli/opts.h"
#include "proto/job.pb-c.h"

enum tug_jobopt_id {
#define TUG_JOBOPT(ID, ...) TUG_JOBOPT_##ID,
#define TUG_JOBALIAS(...)
#define TUG_SBATCHOPT(...)
#include "cli/jobopts.def"
#undef TUG_JOBOPT
#undef TUG_JOBALIAS
#undef TUG_SBATCHOPT
    TUG_JOBOPTS
};

enum tug_jobopt_source {
    TUG_FROM_NOWHERE,
    TUG_FROM_ENVIRON,
    TUG_FROM_SBATCH,
    TUG_FROM_TUG,
    TUG_FROM_COMMAND
};

struct tug_jobopts {
    char verb;                  /* 'S' submit, 'R' run */
    int64_t now_ms;             /* wall clock, for --begin */
    Tugpb__JobSpec spec;        /* strings are owned by 'owned', as is all that finish() adds */
    Tugpb__ResourceRequest res; /* spec.res points here */
    char *wrap;
    char *export_list;
    int wait, parsable, label, quiet, new_job, json, help;
    uint8_t source[TUG_JOBOPTS]; /* enum tug_jobopt_source */
    struct tug_vec(void *) owned;
    struct tug_vec(char *) warnings;
};

void tug_jobopts_init(struct tug_jobopts *o, char verb, int64_t now_ms);
void tug_jobopts_clear(struct tug_jobopts *o);

/* TUG_OPT_GPUS_PER_NODE=8 and so on; names that no option has are warned about. -EINVAL names the
 * variable. */
int tug_jobopts_environ(struct tug_jobopts *o, char *const *environ_, struct tug_err *err);
/* #TUG and #SBATCH lines before the script's first command. Options of sbatch that mean nothing
 * here are warned about, with their line. -EINVAL names file and line. */
int tug_jobopts_script(struct tug_jobopts *o, const char *name, const char *text, size_t len,
                       struct tug_err *err);
/* *first: index of the first word that is no option. */
int tug_jobopts_command(struct tug_jobopts *o, int argc, char **argv, int *first,
                        struct tug_err *err);

/* What goes with a job besides its options: directory, umask, limits, environment.
 *   -E2BIG  the environment is over 1 MiB, or one variable is over 128 KiB */
int tug_jobopts_finish(struct tug_jobopts *o, char *const *environ_, struct tug_err *err);

/* Keeps 'p' (from malloc) until clear. */
void *tug_jobopts_own(struct tug_jobopts *o, void *p);

/* The rows of a verb, for help and manual. */
const struct tug_opt *tug_jobopts_table(char verb, size_t *n);

#endif
