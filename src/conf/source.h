/* source.h - a configuration as it is written: one tree out of a file and all that it includes
 *
 * 'include: FILE', 'include: PATTERN' or a list of those at the top level of a file; names are
 * relative to the file they stand in. What files say about the same top-level key is put
 * together one level deep: maps join (the same name twice is refused and both places are named),
 * lists follow each other; a file is read once.
 *
 * This part touches no file itself: the caller brings a reader. src/host/readfile.h has the
 * one for real files.
 */
#ifndef TUG_CONF_SOURCE_H
#define TUG_CONF_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"
#include "conf/errors.h"
#include "conf/yaml.h"

enum {
    TUG_SOURCE_DEPTH_MAX = 8,             /* files including each other */
    TUG_SOURCE_FILES_MAX = 256,           /* of one configuration */
    TUG_SOURCE_BYTES_MAX = 16 * 1024 * 1024,
};

struct tug_source_paths {
    struct tug_vec(char *) list; /* owned */
};

struct tug_source_reader {
    void *ctx;
    /* Append the whole of 'path' to 'out'. 0; -EFBIG: it is over 'max_bytes'; another negative
     * errno: 'err' has the sentence, which names the path. */
    int (*read)(void *ctx, const char *path, size_t max_bytes, struct tug_buf *out,
                struct tug_err *err);
    /* The files that match 'pattern' (* ? [...] as in the shell), sorted by bytes. None is not a
     * failure. NULL: patterns are refused. */
    int (*match)(void *ctx, const char *pattern, struct tug_source_paths *out, struct tug_err *err);
};

struct tug_source {
    struct tug_yaml_pool *pool;
    struct tug_yaml *root;             /* a map, never NULL after a load; without include: */
    struct tug_vec(char *) files;      /* read, in that order; positions point to these */
    bool broken;                       /* a part is missing: say nothing about what is not there */
    size_t bytes;
};

/* Read 'path' and what it includes. 0; -EINVAL when anything was added to 'errs'; 'out' is to be
 * cleared either way, and what could be read is in it, so that its errors can be listed too. */
int tug_source_load(const struct tug_source_reader *reader, const char *path,
                    struct tug_source *out, struct tug_conf_errors *errs);
void tug_source_clear(struct tug_source *source);

/* 'name' as seen from a file 'from': joined to its folder unless absolute, "." ".." "//" taken
 * out by their letters. Caller frees. */
char *tug_source_path(const char *from, const char *name);

#endif
