/* offer.c - a state that is damaged: which copy beside it could take its place
 *
 * Copies of a state lie beside it under names that begin with its own: those that upgrades, `tug admin restore` and `move` keep,
 * and backups of whoever puts them there; snapshots have a directory (snapshot.c). The newest that is whole is named; what is not whole is not offered.
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
#include "host/snapshots.h"
#include "host/store_db.h"
#include "queued/daemon.h"

struct copy {
    char *path;
    time_t at;
};
struct copies tug_vec(struct copy);

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

static void collect_beside(const char *dir_name, struct copies *out)
{
    DIR *dir = opendir(dir_name);
    struct dirent *e;
    struct stat st;
    while (dir && (e = readdir(dir))) {
        struct copy c = {tug_xasprintf("%s/%s", dir_name, e->d_name), 0};
        if (tug_str_has_prefix(e->d_name, "state.db.") && lstat(c.path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size) {
            c.at = st.st_mtime;
            tug_vec_push(out, c);
        } else {
            free(c.path);
        }
    }
    if (dir)
        closedir(dir);
}

static void collect_snapshots(const struct tugd *d, struct copies *out)
{
    char *dir = tug_snapshots_dir(&d->cfg, d->state_dir);
    struct tug_snapshots all = {0};
    tug_snapshots_list(dir, &all);
    for (size_t i = 0; i < all.len; i++) {
        struct copy c = {tug_xstrdup(all.at[i].path), (time_t) (all.at[i].at_ms / 1000)};
        tug_vec_push(out, c);
    }
    tug_snapshots_clear(&all);
    free(dir);
}

/* The command that begins from 'file', up to that; the caller frees. */
static char *way_out(const struct tugd *d)
{
    return d->cfg.cluster.store == TUG_STORE_IN_ETCD
               ? tug_xasprintf("stop all controllers, and: tug admin restore --config %s --replace", d->config_path)
               : tug_xasprintf("tug admin restore --state-dir %s --replace", d->state_dir);
}

static void offer(const struct tugd *d, const struct copy *c)
{
    char *command = way_out(d);
    char when[32];
    struct tm tm;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", localtime_r(&c->at, &tm));
    tug_error("the newest whole copy is %s; to begin from that: %s %s", c->path, command, c->path);
    tug_error("what was acknowledged after that copy was made, %s, is lost then: where the damaged state is worth more, have it "
              "looked at first; gangs that run go on in any case", when);
    free(command);
}

void offer_copy(const struct tugd *d)
{
    struct copies copies = {0};
    const struct copy *found = NULL;
    collect_beside(d->state_dir, &copies);
    collect_snapshots(d, &copies);
    if (copies.len)
        qsort(copies.at, copies.len, sizeof *copies.at, newest_first);
    for (size_t i = 0; i < copies.len && !found; i++)
        found = is_whole(copies.at[i].path) ? &copies.at[i] : NULL;
    char *command = way_out(d);
    if (found)
        offer(d, found);
    else
        tug_error("there is no whole copy here; take one of your backups: %s FILE", command);
    free(command);
    for (size_t i = 0; i < copies.len; i++)
        free(copies.at[i].path);
    tug_vec_clear(&copies);
}
