/* offer.c - a state that is damaged: which copy beside it could take its place
 *
 * Copies of a state lie beside it under names that begin with its own: those that upgrades, `tug admin restore` and `move` keep,
 * and backups of whoever puts them there. The newest that is whole is named; what is not whole is not offered.
 * Layer: programs.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "host/store_db.h"
#include "queued/daemon.h"

struct copy {
    char *path;
    time_t at;
};

static int newest_first(const void *a, const void *b)
{
    const struct copy *x = a, *y = b;
    return (x->at < y->at) - (x->at > y->at);
}

static int pass_over(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    (void) arg, (void) kind, (void) id, (void) data, (void) len;
    return 0;
}

static int is_whole(const char *path)
{
    struct tug_store_tallies tallies = {0};
    sqlite3 *db = NULL;
    int64_t version;
    int rc = tug_store_db_open(path, SQLITE_OPEN_READONLY, &db, NULL);
    rc = rc ? rc : tug_store_db_identify(path, db, &version, NULL);
    rc = rc ? rc : tug_store_db_check_pages(path, db, NULL);
    rc = rc ? rc : tug_store_db_tallies(path, db, &tallies, NULL);
    rc = rc ? rc : tug_store_db_load(path, db, NULL, &tallies, pass_over, NULL, NULL);
    tug_store_tallies_clear(&tallies);
    sqlite3_close(db);
    return rc == 0;
}

void offer_copy(const struct tugd *d)
{
    struct tug_vec(struct copy) copies = {0};
    DIR *dir = opendir(d->state_dir);
    const char *found = NULL;
    struct dirent *e;
    struct stat st;
    while (dir && (e = readdir(dir))) {
        struct copy c = {tug_xasprintf("%s/%s", d->state_dir, e->d_name), 0};
        if (tug_str_has_prefix(e->d_name, "state.db.") && lstat(c.path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size) {
            c.at = st.st_mtime;
            tug_vec_push(&copies, c);
        } else {
            free(c.path);
        }
    }
    if (dir)
        closedir(dir);
    if (copies.len)
        qsort(copies.at, copies.len, sizeof *copies.at, newest_first);
    for (size_t i = 0; i < copies.len && !found; i++)
        found = is_whole(copies.at[i].path) ? copies.at[i].path : NULL;
    if (found)
        tug_error("the newest whole copy beside it is %s; to begin from that: tug admin restore --state-dir %s --replace %s", found,
                  d->state_dir, found);
    else
        tug_error("there is no whole copy beside it; take one of your backups: tug admin restore --state-dir %s --replace FILE",
                  d->state_dir);
    for (size_t i = 0; i < copies.len; i++)
        free(copies.at[i].path);
    tug_vec_clear(&copies);
}
