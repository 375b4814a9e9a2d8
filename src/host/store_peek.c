/* store_peek.c - the records of a state that cannot be opened for want of room
 *
 * The index of the log is made in memory, which sqlite does for a connection that has the file for itself, so nothing is
 * written, nor made beside the file. Layer: host.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "host/store.h"
#include "host/store_db.h"
#include "host/store_file.h"

static int read_all(const char *path, sqlite3 *db, tug_store_record_cb *cb, void *arg, struct tug_err *err)
{
    struct tug_store_tallies tallies = {0};
    int64_t version;
    int rc = tug_store_db_identify(path, db, &version, err);
    if (!rc && version != tug_store_db_version())
        rc = tug_fail(err, -EPROTO, "%s is of an older version, and there is no room to bring it to this one", path);
    rc = rc ? rc : tug_store_db_tallies(path, db, &tallies, err);
    rc = rc ? rc : tug_store_db_load(path, db, NULL, &tallies, cb, arg, err);
    tug_store_tallies_clear(&tallies);
    return rc;
}

int tug_store_peek(const char *path, tug_store_record_cb *cb, void *arg, struct tug_err *err)
{
    sqlite3 *db = NULL;
    int lock = -1, rc = tug_store_file_check_dir(path, err);
    rc = rc ? rc : tug_store_file_lock(path, &lock, err);
    rc = rc ? rc : tug_store_file_check(path, err);
    rc = rc ? rc : tug_store_file_check_wal(path, err);
    rc = rc ? rc : tug_store_db_open(path, SQLITE_OPEN_READWRITE, &db, err);
    if (!rc) {
        sqlite3_busy_timeout(db, 5000); /* somebody may be making a backup */
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        int sql = sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;"
                                   " PRAGMA cell_size_check = ON; BEGIN", NULL, NULL, NULL);
        rc = sql == SQLITE_OK ? read_all(path, db, cb, arg, err)
                              : tug_store_db_fail(path, db, sql, "cannot read the state file", err);
    }
    sqlite3_close(db);
    if (lock >= 0)
        close(lock);
    return rc;
}
