/* verb.h - what every verb is made of
 *
 * A verb is one file with one table of options and one function that gets its own argv (argv[0] is
 * the verb) and hands back the exit status. Layer: cli.
 */
#ifndef TUG_CLI_VERB_H
#define TUG_CLI_VERB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"
#include "cli/opts.h"
#include "cli/out.h"

struct tug_verb {
    const char *name, *usage, *summary;
    int (*run)(int argc, char **argv);
    /* The rows of its options. */
    const struct tug_opt *(*opts)(size_t *n);
};

#define TUG_VERB(name, usage, summary)                                                             \
    int tug_do_##name(int argc, char **argv);                                                      \
    const struct tug_opt *tug_opts_of_##name(size_t *n);
#include "cli/verbs.def"
#undef TUG_VERB

extern const struct tug_verb tug_verbs[];
extern const size_t tug_verbs_n;

/* argv[0] is the verb. Hands back the exit status. */
int tug_verb_run(int argc, char **argv);

/* Options that all verbs have; ids below 0. */
#define TUG_OPT_JSON (-1)
#define TUG_OPT_HELP (-2)
#define TUG_COMMON_OPTS                                                                            \
    {TUG_OPT_JSON, "json", 0, TUG_ARG_NONE, NULL, "answer as JSON, errors too"},                   \
    {                                                                                              \
        TUG_OPT_HELP, "help", 'h', TUG_ARG_NONE, NULL, "this text"                                 \
    }

/* Parse a verb's options by its table, wherever they stand (also behind words), so that "tug show
 * 71 --json" works. The words are left in argv[1..*words]. --json and --help are done here. < 0: go
 * on. Else the exit status (2 with the sentence said, 0 after --help). */
int tug_verb_parse(const char *name, int argc, char **argv, tug_opts_take *take, void *ctx,
                   int *words);
/* Prints the help of a verb. */
void tug_verb_help(const char *name);
/* "tug queue --help" as a sentence's end. */
int tug_verb_usage(const char *name, struct tug_err *err);

/* "71": a job id from 1. -EINVAL says so. */
int tug_verb_job_id(const char *text, uint64_t *out, struct tug_err *err);

/* Lists that requests carry. */
struct tug_words tug_vec(char *);
void tug_words_add(struct tug_words *w, const char *list); /* splits at commas; copies */
void tug_words_clear(struct tug_words *w);

#endif
