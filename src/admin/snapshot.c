/* snapshot.c - one more copy of the state beside those of the last hours, and which there are
 *
 * tugd has it made every few hours; it is made as a backup is, read back, and only then takes its name, and only after that the
 * oldest go. It takes the disk when nobody else wants it, and no room that is wanted: one that would leave less room than
 * another one needs is not made. Layer: programs.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/mem.h"
#include "host/loop.h"
#include "host/snapshots.h"
#include "host/store_file.h"

#define SPARE_BYTES  (16LL << 20)   /* that is left free in any case */
#define IOPRIO_IDLE  (3 << 13)      /* linux/ioprio.h: class 3 */

/* Behind everybody else, at the processors and at the disk. */
static void stand_back(void)
{
    (void) !nice(19);
    syscall(SYS_ioprio_set, 1 /* this process */, 0, IOPRIO_IDLE);
}

/* ---- room */

static long long size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (long long) st.st_size : 0;
}

static long long state_bytes(const char *path)
{
    char *wal = tug_xasprintf("%s-wal", path);
    long long bytes = size_of(path) + size_of(wal);

    free(wal);
    return bytes;
}

static int check_room(const char *dir, long long bytes, struct tug_err *err)
{
    long long free_bytes = tug_store_file_free_bytes(dir);

    if (free_bytes < 0 || free_bytes >= 2 * bytes + SPARE_BYTES)
        return 0;
    return tug_fail(err, -ENOSPC,
                    "no snapshot is made: it takes %lld bytes, and %s, with %lld free, is to have room for another one and %lld "
                    "after it; give it room, or name another place (snapshots.directory), or keep none (snapshots: {every: 0})",
                    bytes, dir, free_bytes, SPARE_BYTES);
}

/* ---- one more */

/* One that was not finished. */
static void sweep(const char *half)
{
    static const char *const suffixes[] = {"", ".part", ".part-journal", ".part.new", ".part.new-journal"};

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char *name = tug_xasprintf("%s%s", half, suffixes[i]);
        unlink(name);
        free(name);
    }
}

static void forget_oldest(const char *dir, int64_t keep)
{
    struct tug_snapshots all = {0};

    tug_snapshots_list(dir, &all);
    for (size_t i = keep > 0 ? (size_t) keep : 1; i < all.len; i++)
        unlink(all.at[i].path);
    tug_snapshots_clear(&all);
}

static int make_dir(const char *dir, struct tug_err *err)
{
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return tug_fail(err, -errno, "cannot make the directory for snapshots %s: %s", dir, strerror(errno));
    return 0;
}

static int name_it(const char *half, const char *name, struct tug_err *err)
{
    if (rename(half, name) < 0)
        return tug_fail(err, -errno, "cannot give the snapshot its name %s: %s", name, strerror(errno));
    return tug_store_file_sync_dir(name, err);
}

static int make_one(struct admin *a, const char *dir, struct backup *made, struct tug_err *err)
{
    char *half = tug_xasprintf("%s/half.db", dir), *name = tug_snapshots_name(dir, tug_wall_ms());
    struct state s = {0};
    int rc;

    sweep(half);
    rc = check_room(dir, 0, err);
    setenv("TMPDIR", dir, 1); /* a state in etcd is put together there */
    rc = rc ? rc : state_open_default(&s, a, err);
    rc = rc ? rc : check_room(dir, state_bytes(s.path), err);
    rc = rc ? rc : backup_to(&s, half, made, err);
    rc = rc ? rc : name_it(half, name, err);
    if (s.path)
        state_close(&s);
    if (rc == 0 && a->json)
        printf("{\"file\":\"%s\",\"epoch\":%" PRIu64 ",\"records\":%" PRId64 ",\"history\":%" PRId64 ",\"bytes\":%" PRId64 "}\n",
               name, made->epoch, made->records, made->rows, made->bytes);
    else if (rc == 0)
        printf("%s: epoch %" PRIu64 ", %" PRId64 " records, %" PRId64 " rows of history, %" PRId64 " bytes\n", name, made->epoch,
               made->records, made->rows, made->bytes);
    free(half);
    free(name);
    return rc;
}

static int find_dir(const struct admin *a, char **dir, struct tug_err *err)
{
    *dir = NULL;
    if (!a->has_config)
        return tug_fail(err, -ENOENT, "there is no configuration; say --config FILE");
    *dir = tug_snapshots_dir(&a->cfg, state_default(a));
    return 0;
}

int do_snapshot(struct admin *a, struct tug_err *err)
{
    struct backup made = {0};
    char *dir, *lock_of = NULL;
    int lock = -1, rc = find_dir(a, &dir, err);

    stand_back();
    rc = rc ? rc : make_dir(dir, err);
    if (!rc) {
        lock_of = tug_xasprintf("%s/state", dir);
        rc = tug_store_file_lock(lock_of, &lock, err);
    }
    rc = rc ? rc : make_one(a, dir, &made, err);
    if (!rc)
        forget_oldest(dir, a->cfg.snapshots.keep);
    if (lock >= 0)
        close(lock);
    free(lock_of);
    free(dir);
    return rc;
}

/* ---- which there are */

static void count(struct state *s)
{
    s->records = s->rows = 0;
    for (size_t i = 0; i < s->tallies.len; i++)
        if (strcmp(s->tallies.at[i].kind, TUG_STORE_ROWS) == 0)
            s->rows += s->tallies.at[i].n;
        else
            s->records += s->tallies.at[i].n;
}

static void show(const struct admin *a, const struct tug_snapshot *file, int is_first)
{
    struct tug_lineage at = {0};
    struct tug_err err = {0};
    struct state s = {0};
    time_t when = (time_t) (file->at_ms / 1000);
    char text[32];
    struct tm tm;
    int rc = state_open(&s, file->path, &err);

    rc = rc ? rc : state_lineage(&s, &at, &err);
    count(&s);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", localtime_r(&when, &tm));
    if (a->json)
        printf("%s{\"file\":\"%s\",\"at_ms\":%" PRId64 ",\"epoch\":%" PRIu64 ",\"records\":%" PRId64 ",\"history\":%" PRId64
               ",\"bytes\":%" PRId64 ",\"readable\":%s}",
               is_first ? "" : ",", file->path, file->at_ms, at.epoch, s.records, s.rows, file->bytes,
               rc ? "false" : "true");
    else if (rc)
        printf("%-19s %8s %10s %10s %12" PRId64 "  %s (%s)\n", text, "?", "?", "?", file->bytes, file->path, err.msg);
    else
        printf("%-19s %8" PRIu64 " %10" PRId64 " %10" PRId64 " %12" PRId64 "  %s\n", text, at.epoch, s.records,
               s.rows, file->bytes, file->path);
    if (s.path)
        state_close(&s);
}

int do_snapshots(struct admin *a, struct tug_err *err)
{
    struct tug_snapshots all = {0};
    char *dir;
    int rc = find_dir(a, &dir, err);

    if (rc)
        return rc;
    tug_snapshots_list(dir, &all);
    if (a->json)
        printf("{\"directory\":\"%s\",\"snapshots\":[", dir);
    else if (all.len)
        printf("%-19s %8s %10s %10s %12s  %s\n", "TIME", "EPOCH", "RECORDS", "HISTORY", "BYTES", "FILE");
    else
        printf("there is no snapshot in %s\n", dir);
    for (size_t i = 0; i < all.len; i++)
        show(a, &all.at[i], i == 0);
    if (a->json)
        printf("]}\n");
    else if (all.len)
        printf("Each was read back, and whole, when it was made; tug admin verify FILE does it again.\n");
    tug_snapshots_clear(&all);
    free(dir);
    return 0;
}
