/* machines.c - the folders of machine descriptions, and finding one in them
 *
 * Layer: host.
 */
#include "host/machines.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/version.h"
#include "host/readfile.h"

#define FOLDERS 5
#define SUFFIX  ".yaml"

/* ---- folders */

/* Where this program lies. "" when nobody can say. */
static void own_folder(char *out, size_t size_bytes)
{
    ssize_t n = readlink("/proc/self/exe", out, size_bytes - 1);
    out[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(out, '/');
    if (slash)
        *slash = '\0';
}

/* In the order of the header; those that are not there are left in. The caller frees each. */
static void folders(const char *beside, char *out[FOLDERS])
{
    char own[PATH_MAX];
    const char *slash = beside ? strrchr(beside, '/') : NULL;
    own_folder(own, sizeof own);
    out[0] = slash ? tug_xasprintf("%.*s/machines", (int) (slash - beside), beside)
                   : tug_xstrdup(beside ? "machines" : "");
    out[1] = tug_xstrdup(TUG_SYSCONFDIR "/machines");
    out[2] = tug_xasprintf("%s/machines", own);
    out[3] = tug_xasprintf("%s/../share/tugline/machines", own); /* an installation that was moved */
    out[4] = tug_xstrdup(TUG_DATADIR "/machines");
}

static void free_folders(char *at[FOLDERS])
{
    for (size_t i = 0; i < FOLDERS; i++)
        free(at[i]);
}

/* ---- one file */

int tug_machines_read(const char *path, struct tug_sheet **out, struct tug_err *err)
{
    struct tug_conf_errors errs = {0};
    struct tug_buf text = {0}, says = {0};
    int rc = tug_readfile(path, TUG_YAML_FILE_MAX, &text, err);
    if (rc == 0 && (rc = tug_sheet_read(path, tug_buf_str(&text), text.len, out, &errs)) != 0) {
        tug_conf_errors_line(&errs, &says);
        tug_fail(err, rc, "%s", tug_buf_str(&says));
    }
    tug_conf_errors_clear(&errs);
    tug_buf_clear(&says);
    tug_buf_clear(&text);
    return rc;
}

/* ---- all of them */

static void add(struct tug_machines *all, const char *folder, const char *file)
{
    struct tug_machines_entry e = {.name = tug_xstrdup(file), .path = tug_xasprintf("%s/%s", folder, file)};
    struct tug_err err = {0};
    e.name[strlen(file) - strlen(SUFFIX)] = '\0';
    for (size_t i = 0; i < all->len; i++)
        if (!strcmp(all->at[i].name, e.name)) { /* hidden by an earlier folder */
            free(e.name);
            free(e.path);
            return;
        }
    if (tug_machines_read(e.path, &e.sheet, &err))
        e.problem = tug_xstrdup(err.msg);
    tug_vec_push(all, e);
}

static int by_name(const void *a, const void *b)
{
    const struct tug_machines_entry *x = a, *y = b;
    return strcmp(x->name, y->name);
}

void tug_machines_list(const char *beside, struct tug_machines *out)
{
    char *at[FOLDERS];
    folders(beside, at);
    for (size_t i = 0; i < FOLDERS; i++) {
        DIR *d = *at[i] ? opendir(at[i]) : NULL;
        for (struct dirent *e; d && (e = readdir(d));)
            if (*e->d_name != '.' && tug_str_has_suffix(e->d_name, SUFFIX))
                add(out, at[i], e->d_name);
        if (d)
            closedir(d);
    }
    free_folders(at);
    if (out->len)
        qsort(out->at, out->len, sizeof *out->at, by_name);
}

void tug_machines_clear(struct tug_machines *m)
{
    for (size_t i = 0; i < m->len; i++) {
        free(m->at[i].name);
        free(m->at[i].path);
        free(m->at[i].problem);
        tug_sheet_free(m->at[i].sheet);
    }
    tug_vec_clear(m);
}

/* ---- by name */

static int fail_unknown(const struct tug_machines *all, const char *name, struct tug_err *err)
{
    const char **names = tug_xcalloc(all->len + 1, sizeof *names);
    struct tug_buf text = {0};
    for (size_t i = 0; i < all->len; i++) {
        names[i] = all->at[i].name;
        tug_buf_addf(&text, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = tug_str_nearest(name, names, all->len);
    int rc = near ? tug_fail(err, -ENOENT, "machine '%.64s' is not known; did you mean %s?", name, near)
                  : tug_fail(err, -ENOENT, "machine '%.64s' is not known; %s%s", name,
                             all->len ? "known are " : "no folder has any", tug_buf_str(&text));
    tug_buf_clear(&text);
    free(names);
    return rc;
}

static int has_alias(const struct tug_sheet *s, const char *name)
{
    for (size_t i = 0; i < s->aliases.n; i++)
        if (!strcmp(s->aliases.at[i], name))
            return 1;
    return 0;
}

static int find_alias(const char *beside, const char *name, struct tug_sheet **out, struct tug_err *err)
{
    struct tug_machines all = {0};
    int rc = 1;
    tug_machines_list(beside, &all);
    for (size_t i = 0; i < all.len && rc > 0; i++)
        if (all.at[i].sheet && has_alias(all.at[i].sheet, name)) {
            *out = all.at[i].sheet;
            all.at[i].sheet = NULL;
            rc = 0;
        }
    if (rc > 0)
        rc = fail_unknown(&all, name, err);
    tug_machines_clear(&all);
    return rc;
}

int tug_machines_find(const char *beside, const char *name, struct tug_sheet **out, struct tug_err *err)
{
    char *at[FOLDERS], *path = NULL;
    if (strchr(name, '/') || tug_str_has_suffix(name, SUFFIX))
        return tug_machines_read(name, out, err);
    folders(beside, at);
    for (size_t i = 0; i < FOLDERS && !path; i++) {
        path = tug_xasprintf("%s/%s" SUFFIX, at[i], name);
        if (!*at[i] || access(path, F_OK) != 0) {
            free(path);
            path = NULL;
        }
    }
    free_folders(at);
    int rc = path ? tug_machines_read(path, out, err) : find_alias(beside, name, out, err);
    free(path);
    return rc;
}
