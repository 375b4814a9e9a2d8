/* jobpick.h - which jobs a verb is about: their ids, or options that choose them
 *
 * The options are those of a list, so that "tug queue" shows what "tug cancel" would take. Layer: cli.
 */
#ifndef TUG_CLI_JOBPICK_H
#define TUG_CLI_JOBPICK_H

#include "cli/client.h"
#include "cli/verb.h"

enum { TUG_PICK_ME = 1000, TUG_PICK_USER, TUG_PICK_QUEUE, TUG_PICK_STATE, TUG_PICK_NAME };
#define TUG_PICK_OPTS                                                                              \
    {TUG_PICK_ME, "me", 0, TUG_ARG_NONE, NULL, "my own jobs"},                                     \
    {TUG_PICK_USER, "user", 'u', TUG_ARG_NEED, "LIST", "jobs of these users"},                     \
    {TUG_PICK_QUEUE, "queue", 'q', TUG_ARG_NEED, "LIST", "jobs in these queues"},                  \
    {TUG_PICK_QUEUE, "partition", 'p', TUG_ARG_NEED, "LIST", "as --queue, the way Slurm writes it"}, \
    {TUG_PICK_STATE, "state", 't', TUG_ARG_NEED, "LIST", "jobs in these states, as they are listed: PENDING, RUNNING, ... or PD, R, ..."}, \
    {TUG_PICK_STATE, "states", 0, TUG_ARG_NEED, "LIST", NULL},                                     \
    {                                                                                              \
        TUG_PICK_NAME, "name", 'n', TUG_ARG_NEED, "NAME", "jobs of this name"                      \
    }

struct tug_pick {
    Tugpb__JobsRequest filter;  /* points into the rest */
    struct tug_words users, queues, states;
    uint64_t *ids;
    size_t n_ids;
    bool by_option;
};
#define TUG_PICK_INIT {.filter = TUGPB__JOBS_REQUEST__INIT}

/* True: it was one of TUG_PICK_OPTS, and is taken. */
bool tug_pick_option(struct tug_pick *p, const struct tug_opt *o, const char *value);
/* The words of the command: ids. Where 'step' is given, "71.2" alone may also be one step. -EINVAL: no id. */
int tug_pick_ids(struct tug_pick *p, int n, char **words, uint32_t *step, struct tug_err *err);
/* The same for a verb that does something to jobs: either ids or options, and one of both. */
int tug_pick_words(struct tug_pick *p, const char *verb, int n, char **words, uint32_t *step, struct tug_err *err);
/* What was done, one line each ("Held job 71"; NULL: nothing is said; 'how' comes behind it), and what was refused. The exit
 * status. */
int tug_pick_say(const struct tug_pick *p, const char *did, const char *how, const uint64_t *done, size_t n_done,
                 Tugpb__Error *const *failed, size_t n_failed);
void tug_pick_clear(struct tug_pick *p);

#endif
