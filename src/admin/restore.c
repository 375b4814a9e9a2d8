/* restore.c - a backup back into its place
 *
 * For a state in etcd: restore_etcd.c. The backup is checked and copied before anything is touched. From "state.db.restoring" on, which
 * is the whole new state under another name, no daemon starts until it has its name; what was there
 * is kept. Layer: programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/mem.h"
#include "host/coreconf.h"
#include "host/store_file.h"

static int sync_dir(const char *dir, struct tug_err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

    if (fd < 0 || fsync(fd) < 0)
        rc = tug_fail(err, -errno, "cannot make %s durable: %s", dir, strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

/* A file that is not there is moved as well. */
static int move(const char *from, const char *to, struct tug_err *err)
{
    if (rename(from, to) < 0 && errno != ENOENT)
        return tug_fail(err, -errno, "cannot move %s to %s: %s", from, to, strerror(errno));
    return 0;
}

static int is_there(const char *path, const char *suffix)
{
    char *name = tug_xasprintf("%s%s", path, suffix);
    struct stat st;
    int is = lstat(name, &st) == 0;

    free(name);
    return is;
}

static int may_replace(const struct admin *a, const char *path, struct tug_err *err)
{
    if (a->replace || (!is_there(path, "") && !is_there(path, "-wal")))
        return 0;
    return tug_fail(err, -EEXIST,
                    "%s holds a state; with --replace it is kept beside the one that is restored",
                    a->state_dir);
}

/* The state and its log under names that belong together, so that sqlite finds the log. */
static int move_aside(const char *dir, const char *path, char **kept, struct tug_err *err)
{
    char when[32], *from, *to;
    time_t now = time(NULL);
    int rc;

    *kept = NULL;
    if (!is_there(path, "") && !is_there(path, "-wal"))
        return 0;
    strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", gmtime(&now));
    *kept = tug_xasprintf("%s.before-%s", path, when);
    from = tug_xasprintf("%s-wal", path);
    to = tug_xasprintf("%s-wal", *kept);
    rc = move(path, *kept, err);
    rc = rc < 0 ? rc : move(from, to, err);
    free(from);
    free(to);
    from = tug_xasprintf("%s-shm", path); /* an index of the log, made anew by whoever needs it */
    unlink(from);
    free(from);
    return rc < 0 ? rc : sync_dir(dir, err);
}

/* What it has given out since the backup is not given out again, if it can still be read; the same backup may have been
 * put back before. */
static void read_replaced(const char *path, struct tug_lineage *out)
{
    struct state s = {0};
    struct tug_err err = {0};

    *out = (struct tug_lineage){0};
    if (!is_there(path, ""))
        return;
    if (state_open(&s, path, &err) < 0 || state_lineage(&s, out, &err) < 0)
        fprintf(stderr,
                "tug-admin: %s, which is replaced, cannot be read: ids of its jobs may be given out again if this backup was "
                "put back before (%s)\n",
                path, err.msg);
    if (s.path)
        state_close(&s);
}

static int put_there(struct state *s, const char *dir, const char *path, char **kept,
                     struct tug_err *err)
{
    char *part = tug_xasprintf("%s.part", path), *half = tug_xasprintf("%s.restoring", path);
    char why[256];
    struct tug_lineage from, replaced;
    int rc = state_lineage(s, &from, err);

    read_replaced(path, &replaced);
    snprintf(why, sizeof why, "this state was put back from %.120s (epoch %" PRIu64 ")", s->path,
             from.epoch);
    rc = rc < 0 ? rc : tug_store_db_copy(s->path, s->db, part, err);
    rc = rc < 0 ? rc : state_mark(part, why, &replaced, err);
    rc = rc < 0 ? rc : move(part, half, err);
    if (rc < 0)
        unlink(part);
    rc = rc < 0 ? rc : sync_dir(dir, err);
    rc = rc < 0 ? rc : move_aside(dir, path, kept, err);
    rc = rc < 0 ? rc : move(half, path, err);
    free(part);
    free(half);
    return rc < 0 ? rc : sync_dir(dir, err);
}

int state_make_dir(const char *dir, struct tug_err *err)
{
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return tug_fail(err, -errno, "cannot make the state directory %s: %s", dir,
                        strerror(errno));
    return 0;
}

static int restore_to_file(const struct admin *a, struct state *s, char **kept, struct tug_err *err)
{
    char *path = tug_xasprintf("%s/state.db", a->state_dir);
    int lock = -1, rc = state_make_dir(a->state_dir, err);

    rc = rc < 0 ? rc : tug_store_file_check_dir(path, err);
    rc = rc < 0 ? rc : tug_store_file_lock(path, &lock, err);
    rc = rc < 0 ? rc : may_replace(a, path, err);
    rc = rc < 0 ? rc : put_there(s, a->state_dir, path, kept, err);
    if (lock >= 0)
        close(lock);
    free(path);
    return rc;
}

static int restore(const struct admin *a, struct state *s, char **kept, struct tug_err *err)
{
    if (a->state_dir)
        return restore_to_file(a, s, kept, err);
    if (a->has_config && a->cfg.cluster.store == TUG_STORE_IN_ETCD)
        return restore_to_etcd(a, s, kept, err);
    return tug_fail(err, -EINVAL,
                    "tug admin restore: say where with --state-dir DIR, a state is not replaced by accident");
}

int do_restore(struct admin *a, struct tug_err *err)
{
    char *kept = NULL;
    struct state s = {0};
    int rc = state_open(&s, a->file, err);

    rc = rc < 0 ? rc : state_check(&s, err);
    rc = rc < 0 ? rc : restore(a, &s, &kept, err);
    if (rc == 0 && a->json)
        printf("{\"records\":%" PRId64 ",\"history\":%" PRId64 ",\"kept\":%s%s%s}\n", s.records,
               s.rows, kept ? "\"" : "", kept ? kept : "null", kept ? "\"" : "");
    else if (rc == 0)
        printf(
            "restored: %" PRId64 " records, %" PRId64 " rows of history%s%s\n"
            "The next tugd starts in safe mode: no gang is started before every node has said what "
            "it runs (tug ping says what is waited for).\n",
            s.records, s.rows, kept ? "; what was there is kept as " : "", kept ? kept : "");
    if (s.path)
        state_close(&s);
    free(kept);
    return rc;
}
