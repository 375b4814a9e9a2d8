/* memfiles.h - files that are strings, for tests of the configuration
 *
 *     const struct memfile files[] = {{"a.yaml", "include: b.yaml\n"}, {"b.yaml", "..."}, {0}};
 *     struct tug_source_reader reader = memfiles(files);
 * Layer: tests.
 */
#ifndef TUG_UNIT_CONF_MEMFILES_H
#define TUG_UNIT_CONF_MEMFILES_H

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "base/mem.h"
#include "conf/source.h"

struct memfile {
    const char *name;
    const char *text;
    size_t len; /* 0: up to the NUL */
};

static int memfiles_read(void *ctx, const char *path, size_t max_bytes, struct tug_buf *out,
                         struct tug_err *err)
{
    for (const struct memfile *f = ctx; f->name; f++) {
        size_t len = f->len ? f->len : strlen(f->text);
        if (strcmp(f->name, path))
            continue;
        if (len > max_bytes)
            return tug_fail(err, -EFBIG, "'%s' is over %zu bytes", path, max_bytes);
        tug_buf_add(out, f->text, len);
        return 0;
    }
    return tug_fail(err, -ENOENT, "cannot open '%s': No such file or directory", path);
}

/* In the order of the table, which a test writes sorted. */
static int memfiles_match(void *ctx, const char *pattern, struct tug_source_paths *out,
                          struct tug_err *err)
{
    (void) err;
    for (const struct memfile *f = ctx; f->name; f++)
        if (!fnmatch(pattern, f->name, FNM_PATHNAME))
            tug_vec_push(&out->list, tug_xstrdup(f->name));
    return 0;
}

static inline struct tug_source_reader memfiles(const struct memfile *files)
{
    return (struct tug_source_reader){(void *) files, memfiles_read, memfiles_match};
}

#endif
