/* opts.h - one table of options: the parser, the help and the manual read it
 *
 * Long options may be shortened as far as they stay unambiguous. Parsing stops at the first word
 * that is no option, and after "--". Layer: cli.
 */
#ifndef TUG_CLI_OPTS_H
#define TUG_CLI_OPTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum tug_opt_arg { TUG_ARG_NONE, TUG_ARG_NEED, TUG_ARG_MAYBE };

struct tug_opt {
    int id;           /* the caller's; several rows may share one (aliases) */
    const char *name; /* long name, never NULL */
    char letter;      /* 0 = none */
    enum tug_opt_arg arg;
    const char *arg_name; /* "N"; NULL when arg is NONE */
    const char *help;     /* NULL: an alias or a name that is only known, not shown */
};

/* What an option gave: value is NULL where there is none. Non-zero ends the parsing and is handed
 * back. */
typedef int tug_opts_take(void *ctx, const struct tug_opt *o, const char *value,
                          struct tug_err *err);

/* argv[0] is skipped. *first: index of the first word that is not an option.
 *   -ENOENT  no such option: *bad (if not NULL) is its index; the sentence says which one is near
 *   -EINVAL  argument missing or not wanted, or the name is ambiguous */
int tug_opts_parse(const struct tug_opt *table, size_t n, int argc, char **argv,
                   tug_opts_take *take, void *ctx, int *first, int *bad, struct tug_err *err);

/* The rows that have a help text: for a terminal, as a JSON array, and as scdoc. */
void tug_opts_help(struct tug_buf *out, const struct tug_opt *table, size_t n);
void tug_opts_json(struct tug_buf *out, const struct tug_opt *table, size_t n);
void tug_opts_scd(struct tug_buf *out, const struct tug_opt *table, size_t n);

#endif
