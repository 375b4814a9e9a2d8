/* script.h - a batch script, read and looked at before anybody waits for it
 *
 * Layer: cli.
 */
#ifndef TUG_CLI_SCRIPT_H
#define TUG_CLI_SCRIPT_H

#include "base/buf.h"
#include "base/err.h"

#define TUG_SCRIPT_MAX 4194304u /* bytes; as caps.def: job_spec.script */

/* Read 'path' ("-": standard input) into 'out'. Each of these has its own sentence:
 *   -ENOENT, -EACCES...  cannot be opened
 *   -EISDIR              a directory, or no regular file
 *   -ENODATA             empty
 *   -EFBIG               over 4 MiB
 *   -ENOEXEC             holds a NUL byte (a program, not a script), has no #! line, or ends it
 * with CR LF */
int tug_script_read(const char *path, struct tug_buf *out, struct tug_err *err);
/* The checks of a script that is in memory; 'name' is for the sentence. */
int tug_script_check(const char *name, const char *text, size_t len, struct tug_err *err);

#endif
