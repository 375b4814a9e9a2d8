/* store_db.h - one connection to a store's file: its schema, its checksums, what is in it
 *
 * Below the store (store.h), which adds threads and commits, and below the tools that copy and
 * check a file (store_copy.h). Nothing here keeps state between calls; a connection is used by one
 * thread at a time.
 *
 * Layer: host.
 */
#ifndef TUG_HOST_STORE_DB_H
#define TUG_HOST_STORE_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/batch.h"
#include "base/err.h"
#include "base/vec.h"
#include "host/store.h"

/* What the records of one kind add up to; rows of the history count as one kind. */
#define TUG_STORE_ROWS ":history"
struct tug_store_tally {
    char *kind;
    int64_t n;
    uint64_t sum;
    bool dirty;
};
struct tug_store_tallies tug_vec(struct tug_store_tally);
/* That of 'kind', a new one if there was none. Valid until the next call. */
struct tug_store_tally *tug_store_tally_of(struct tug_store_tallies *t, const char *kind);
void tug_store_tallies_clear(struct tug_store_tallies *t);

/* The sentence for what sqlite just refused on 'db' (may be NULL), and its errno. */
int tug_store_db_fail(const char *path, sqlite3 *db, int rc, const char *doing,
                      struct tug_err *err);

/* Did 'rc' come of a write that found no room? Then nothing of the transaction is on the disk and it may be tried again,
 * which never holds after a failed sync. errno as sqlite left it. */
bool tug_store_db_found_no_room(sqlite3 *db, int rc);
/* -ENOSPC, with a sentence for who waits for room: the file, what is full, how much is free, what to do. */
int tug_store_db_say_full(const char *path, struct tug_err *err);

uint64_t tug_store_db_record_sum(const char *kind, const char *id, const void *data, size_t len);
uint64_t tug_store_db_row_sum(int64_t id, const struct tug_history_row *r);

/* The number of the schema that this program writes. */
int tug_store_db_version(void);
/* 'flags' of sqlite3_open_v2. */
int tug_store_db_open(const char *path, int flags, sqlite3 **db, struct tug_err *err);
/* Make an empty store under another name, then give it the real one: whoever finds 'path' finds a
 * whole file, and an empty or half-made one there is always damage. */
int tug_store_db_create(const char *path, struct tug_err *err);
/* One number that a statement (a literal) answers; an sqlite code. */
int tug_store_db_number(sqlite3 *db, const char *sql, int64_t *out);

/* Is it ours, and of which version? -EILSEQ  -EPROTO newer */
int tug_store_db_identify(const char *path, sqlite3 *db, int64_t *version, struct tug_err *err);
/* Every page, and that indexes and tables say the same. 1 when interrupted. */
int tug_store_db_check_pages(const char *path, sqlite3 *db, struct tug_err *err);
/* From version 'from' to ours, all steps in one transaction: the file is of the old version or of
 * the new one. Before that, a copy of the file is made: "PATH.vFROM". */
int tug_store_db_migrate(const char *path, sqlite3 *db, int64_t from, struct tug_err *err);

/* A consistent copy of what 'db' sees, one plain file (no log), closed to others, on the disk when
 * this returns 0. It takes its name last; -EEXIST is never said: an older file of that name is
 * replaced. */
int tug_store_db_copy(const char *path, sqlite3 *db, const char *to, struct tug_err *err);

int tug_store_db_tallies(const char *path, sqlite3 *db, struct tug_store_tallies *out,
                         struct tug_err *err);
/* Records of 'kind' (NULL: all) in the order of kind and id, held against their checksums and
 * against 'tallies'. As tug_store_load(). */
int tug_store_db_load(const char *path, sqlite3 *db, const char *kind,
                      struct tug_store_tallies *tallies, tug_store_record_cb *cb, void *arg,
                      struct tug_err *err);

/* The columns of the history, in the order that tug_store_db_row() reads. */
#define TUG_STORE_ROW_COLUMNS                                                                      \
    "id, sum, at_ms, job, attempt, what, uid, user, queue, account, name, state, view"
/* The row under the statement, held against its checksum; strings belong to the statement. */
int tug_store_db_row(const char *path, sqlite3_stmt *st, int64_t *id, struct tug_history_row *out,
                     struct tug_err *err);
/* Put one record, tally included, in a transaction of its own; for tools. */
int tug_store_db_put(const char *path, sqlite3 *db, const char *kind, const char *id,
                     const void *data, size_t len, struct tug_err *err);

/* All rows, oldest first, held against 'tallies' (NULL: a version that did not count them). */
typedef int tug_store_row_cb(void *arg, int64_t id, const struct tug_history_row *row);
int tug_store_db_rows(const char *path, sqlite3 *db, struct tug_store_tallies *tallies,
                      tug_store_row_cb *cb, void *arg, struct tug_err *err);

#endif
