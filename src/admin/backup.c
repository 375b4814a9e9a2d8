/* backup.c - a copy of the state, while the daemon runs or not
 *
 * Written beside its name, checked as `verify` does the file, and only then given the name: a file
 * that is there is a whole backup. Layer: programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/mem.h"
#include "host/store_file.h"

/* The sum of all bytes, which also go to 'to' when that is not -1. */
static int sum_of(const char *path, int to, struct backup *m, struct tug_err *err)
{
    crypto_generichash_state hash;
    unsigned char block[65536], sum[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
    ssize_t n = 0;

    if (fd < 0)
        return tug_fail(err, -errno, "cannot read %s: %s", path, strerror(errno));
    crypto_generichash_init(&hash, NULL, 0, sizeof sum);
    m->bytes = 0;
    while (rc == 0 && (n = read(fd, block, sizeof block)) > 0) {
        crypto_generichash_update(&hash, block, (size_t) n);
        m->bytes += n;
        for (ssize_t at = 0, w; to >= 0 && rc == 0 && at < n; at += w) {
            w = write(to, block + at, (size_t) (n - at));
            if (w < 0)
                rc = tug_fail(err, -errno, "cannot write the backup: %s", strerror(errno));
        }
    }
    if (n < 0)
        rc = tug_fail(err, -errno, "cannot read %s: %s", path, strerror(errno));
    crypto_generichash_final(&hash, sum, sizeof sum);
    sodium_bin2hex(m->sum, sizeof m->sum, sum, sizeof sum);
    close(fd);
    return rc;
}

static int check_copy(const char *path, struct backup *m, struct tug_err *err)
{
    struct state s;
    int rc = state_open(&s, path, err);

    if (rc < 0)
        return rc;
    rc = state_check(&s, err);
    m->records = s.records;
    m->rows = s.rows;
    state_close(&s);
    return rc;
}

/* 'to' is whole and checked when this returns 0; else it is not there. */
static int make_copy(struct state *s, const char *to, struct backup *m, struct tug_err *err)
{
    char why[256], when[32];
    time_t now = time(NULL);
    struct tug_lineage now_at;
    int rc = state_lineage(s, &now_at, err);

    m->epoch = now_at.epoch;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    snprintf(why, sizeof why, "this state was put back from a backup of %s (epoch %" PRIu64 ")",
             when, m->epoch);
    rc = rc < 0 ? rc : tug_store_db_copy(s->path, s->db, to, err);
    if (rc < 0)
        return rc;
    rc = state_mark(to, why, NULL, err);
    rc = rc < 0 ? rc : check_copy(to, m, err);
    if (rc < 0)
        unlink(to);
    return rc;
}

static void say(const struct admin *a, FILE *out, const struct backup *m)
{
    if (a->json)
        fprintf(out,
                "{\"epoch\":%" PRIu64 ",\"records\":%" PRId64 ",\"history\":%" PRId64
                ",\"bytes\":%" PRId64 ",\"blake2b\":\"%s\"}\n",
                m->epoch, m->records, m->rows, m->bytes, m->sum);
    else
        fprintf(out,
                "backup of epoch %" PRIu64 ": %" PRId64 " records, %" PRId64
                " rows of history, %" PRId64 " bytes\nBLAKE2b-256 %s (b2sum -l 256)\n",
                m->epoch, m->records, m->rows, m->bytes, m->sum);
}

/* To standard output: by way of a file of our own. */
static int to_stdout(struct state *s, struct backup *m, struct tug_err *err)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = tug_xasprintf("%s/tug-backup-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    char *file = NULL;
    int rc;

    if (!mkdtemp(dir)) {
        rc = tug_fail(err, -errno, "cannot make a directory for the copy, %s: %s", dir,
                      strerror(errno));
        free(dir);
        return rc;
    }
    file = tug_xasprintf("%s/state.db", dir);
    rc = make_copy(s, file, m, err);
    rc = rc < 0 ? rc : sum_of(file, STDOUT_FILENO, m, err);
    unlink(file);
    rmdir(dir);
    free(file);
    free(dir);
    return rc;
}

int backup_to(struct state *s, const char *to, struct backup *m, struct tug_err *err)
{
    char *part = tug_xasprintf("%s.part", to);
    int rc;

    if (access(to, F_OK) == 0) {
        rc = tug_fail(err, -EEXIST, "%s is there; name another file, or remove it", to);
    } else {
        rc = make_copy(s, part, m, err);
        rc = rc < 0 ? rc : sum_of(part, -1, m, err);
        if (rc == 0 && rename(part, to) < 0) {
            rc = tug_fail(err, -errno, "cannot give the backup its name %s: %s", to,
                          strerror(errno));
            unlink(part);
        }
        rc = rc < 0 ? rc : tug_store_file_sync_dir(to, err);
    }
    free(part);
    return rc;
}

int do_backup(struct admin *a, struct tug_err *err)
{
    int is_stdout = strcmp(a->file, "-") == 0;
    struct backup m = {0};
    struct state s;
    int rc = state_open_default(&s, a, err);

    if (rc < 0)
        return rc;
    rc = is_stdout ? to_stdout(&s, &m, err) : backup_to(&s, a->file, &m, err);
    state_close(&s);
    if (rc == 0)
        say(a, is_stdout ? stderr : stdout, &m);
    return rc;
}
