/* machines.h - the folders of machine descriptions, and finding one in them
 *
 * Looked through in this order: machines/ beside the configuration (where one is named), machines/ of the system's configuration
 * directory, machines/ beside the running program (a build tree), those installed with it. The first file wins; an alias
 * inside a file counts when no file has the name.
 */
#ifndef TUG_HOST_MACHINES_H
#define TUG_HOST_MACHINES_H

#include "base/err.h"
#include "base/vec.h"
#include "conf/machine.h"

/* A file, whatever it is called.
 *   -EINVAL  'err' has everything that is wrong in it, a line each
 *   else     why it cannot be read */
int tug_machines_read(const char *path, struct tug_sheet **out, struct tug_err *err);

/* By name, or by path when 'name' has a '/' in it or ends with .yaml. 'beside': the path of a configuration, or NULL.
 *   -ENOENT  none is called so; says which is near, or which there are
 *   else     as tug_machines_read() */
int tug_machines_find(const char *beside, const char *name, struct tug_sheet **out, struct tug_err *err);

/* One that was found; 'sheet' is NULL when it cannot be read, and 'problem' says why. */
struct tug_machines_entry {
    char *name, *path, *problem;
    struct tug_sheet *sheet;
};
struct tug_machines tug_vec(struct tug_machines_entry);
/* All that there are, sorted by name. */
void tug_machines_list(const char *beside, struct tug_machines *out);
void tug_machines_clear(struct tug_machines *m);

#endif
