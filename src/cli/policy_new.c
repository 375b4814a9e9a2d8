/* policy_new.c - tug policy new: a policy that works, to begin with
 *
 * The files are those of contrib/policy-template, with the policy's name in them. Layer: cli.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/out.h"
#include "cli/policy.h"

#define NAME_MAX_BYTES 31

static const struct {
    const char *name, *text;
} files[] = {
#include "cli/template.h"
};
#define FILES (sizeof files / sizeof *files)

static int check_name(const char *name, struct tug_err *err)
{
    size_t n = strlen(name), good = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    if (n == 0)
        return tug_fail(err, -EINVAL, "a policy needs a name of 1 to %d of a-z, 0-9, '-' and '_'",
                        NAME_MAX_BYTES);
    if (name[good] == '.' && tug_str_has_suffix(name, ".so"))
        return tug_fail(err, -EINVAL, "'%.64s': the name of a policy stands without '.so'", name);
    if (isupper((unsigned char) name[good]))
        return tug_fail(err, -EINVAL,
                        "'%.64s' cannot be a policy's name: write it in small letters", name);
    if (name[good])
        return tug_fail(
            err, -EINVAL,
            "'%.64s' cannot be a policy's name: '%.1s' is none of a-z, 0-9, '-' and '_'", name,
            isprint((unsigned char) name[good]) ? &name[good] : "?");
    if (n > NAME_MAX_BYTES)
        return tug_fail(err, -EINVAL,
                        "'%.64s' cannot be a policy's name: it has more than %d letters", name,
                        NAME_MAX_BYTES);
    if (*name == '-')
        return tug_fail(err, -EINVAL,
                        "'%.64s' cannot be a policy's name here: it would be taken for an option",
                        name);
    return 0;
}

/* "my-policy" is my_policy in C; "2d" is p_2d. */
static char *identifier(const char *name)
{
    char *id = tug_xasprintf("%s%s", isdigit((unsigned char) *name) ? "p_" : "", name);
    for (char *p = id; *p; p++)
        if (*p == '-')
            *p = '_';
    return id;
}

static void fill_in(struct tug_buf *out, const char *text, const char *name, const char *id)
{
    for (const char *at; (at = strchr(text, '@'));) {
        tug_buf_add(out, text, (size_t) (at - text));
        if (tug_str_has_prefix(at, "@NAME@"))
            tug_buf_adds(out, name), text = at + 6;
        else if (tug_str_has_prefix(at, "@IDENT@"))
            tug_buf_adds(out, id), text = at + 7;
        else
            tug_buf_addc(out, '@'), text = at + 1;
    }
    tug_buf_adds(out, text);
}

static char *path_of(const char *dir, const char *file, const char *name)
{
    return strcmp(file, "policy.c") ? tug_xasprintf("%s/%s", dir, file)
                                    : tug_xasprintf("%s/%s.c", dir, name);
}

static int write_file(const char *path, const char *text, size_t len, int executable,
                      struct tug_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, executable ? 0777 : 0666);
    int rc = fd < 0 || write(fd, text, len) != (ssize_t) len
                 ? tug_fail(err, -errno, "%s cannot be written: %s", path, strerror(errno))
                 : 0;
    if (fd >= 0)
        close(fd);
    return rc;
}

static int nothing_is_there(const char *name, const char *dir, struct tug_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < FILES && !rc; i++) {
        char *path = path_of(dir, files[i].name, name);
        if (access(path, F_OK) == 0)
            rc =
                tug_fail(err, -EEXIST,
                         "%s is there already, and nothing was written; take another directory, or "
                         "move it away",
                         path);
        free(path);
    }
    return rc;
}

int tug_policy_new(const char *name, const char *dir, struct tug_err *err)
{
    int rc = check_name(name, err);
    if (!rc)
        rc = nothing_is_there(name, dir, err);
    if (!rc && mkdir(dir, 0777) && errno != EEXIST)
        rc = tug_fail(err, -errno, "directory %s cannot be made: %s", dir, strerror(errno));
    char *id = identifier(name);
    for (size_t i = 0; i < FILES && !rc; i++) {
        struct tug_buf text = {0};
        char *path = path_of(dir, files[i].name, name);
        fill_in(&text, files[i].text, name, id);
        rc = write_file(path, tug_buf_str(&text), text.len, tug_str_has_suffix(path, ".sh"), err);
        free(path);
        tug_buf_clear(&text);
    }
    free(id);
    return rc;
}
