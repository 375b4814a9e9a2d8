/* snapshots.c - copies of the state that are made every few hours: where they are, and how they are called
 *
 * Layer: host.
 */
#include "host/snapshots.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/mem.h"

#define NAME_FORMAT "state-%Y%m%dT%H%M%SZ.db"

char *tug_snapshots_dir(const struct tug_config *cfg, const char *state_dir)
{
    if (cfg->snapshots.directory)
        return tug_xstrdup(cfg->snapshots.directory);
    return tug_xasprintf("%s/snapshots", state_dir);
}

char *tug_snapshots_name(const char *dir, int64_t at_ms)
{
    time_t at = (time_t) (at_ms / 1000);
    char name[64];
    struct tm tm;

    strftime(name, sizeof name, NAME_FORMAT, gmtime_r(&at, &tm));
    return tug_xasprintf("%s/%s", dir, name);
}

/* 0: not one of ours. */
static int64_t time_of(const char *name)
{
    struct tm tm = {0};
    const char *end = strptime(name, NAME_FORMAT, &tm);

    return end && !*end ? (int64_t) timegm(&tm) * 1000 : 0;
}

static int newest_first(const void *a, const void *b)
{
    const struct tug_snapshot *x = a, *y = b;

    return (x->at_ms < y->at_ms) - (x->at_ms > y->at_ms);
}

void tug_snapshots_list(const char *dir, struct tug_snapshots *out)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    struct stat st;

    while (d && (e = readdir(d))) {
        struct tug_snapshot s = {.at_ms = time_of(e->d_name)};

        if (!s.at_ms)
            continue;
        s.path = tug_xasprintf("%s/%s", dir, e->d_name);
        if (lstat(s.path, &st) == 0 && S_ISREG(st.st_mode)) {
            s.bytes = st.st_size;
            tug_vec_push(out, s);
        } else {
            free(s.path);
        }
    }
    if (d)
        closedir(d);
    if (out->len)
        qsort(out->at, out->len, sizeof *out->at, newest_first);
}

void tug_snapshots_clear(struct tug_snapshots *s)
{
    for (size_t i = 0; i < s->len; i++)
        free(s->at[i].path);
    tug_vec_clear(s);
}
