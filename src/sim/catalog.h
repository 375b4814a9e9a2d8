/* catalog.h - which policies there are, and what each decides: `tug-sim show`, `tug policy show`
 *
 * Layer: sim.
 */
#ifndef TUG_SIM_CATALOG_H
#define TUG_SIM_CATALOG_H

#include "base/vec.h"

struct tug_dirs tug_vec(char *); /* where policies are looked for, in that order */

/* Those of a configuration file; of the system's (where it can be read) when 'config' is NULL, else
 * the installed one. In a build tree, plugins/ of it comes first. *policy_out (NULL = does not
 * matter, else to be freed): what that file has tugd run, NULL when there is none. */
void tug_dirs_default(struct tug_dirs *dirs, const char *config, char **policy_out);
/* Those that are installed, and plugins/ of a build tree before them; no configuration is read. */
void tug_dirs_installed(struct tug_dirs *dirs);
void tug_dirs_clear(struct tug_dirs *dirs);

extern const char tug_catalog_usage[];

/* argv[0] names the program. The exit status. */
int tug_catalog_main(int argc, char **argv);

#endif
