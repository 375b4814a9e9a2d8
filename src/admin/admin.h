/* admin.h - the parts of tug-admin, which copies and checks the controller's state
 *
 * main.c     options, which command                    state.c    a state that is only read
 * verify.c   is every record sound, do they agree      backup.c   a copy while the daemon runs
 * export.c   everything as lines of JSON               restore.c  a copy back into its place
 * move.c     from a file into etcd, or back            controllers.c  who leads, where several share it
 * snapshot.c one more copy, and which there are   restore_etcd.c  ... to where controllers share it
 * survey.c   what is in etcd, sound or not (survey.h)
 * Nothing here talks to the daemon: the state's file may be read while it is written to (one
 * transaction of sqlite's), and its lock keeps everybody else from writing. Layer: programs.
 */
#ifndef TUG_ADMIN_ADMIN_H
#define TUG_ADMIN_ADMIN_H

#include <sqlite3.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/config.h"
#include "host/store_db.h"
#include "logic/lineage.h"

struct admin {
    const char *config;    /* --config; NULL = the system's, if it is there */
    const char *state_dir; /* --state-dir, or NULL */
    const char *file;      /* the word behind the command, or NULL */
    int replace, json;
    struct tug_config cfg;
    int has_config;
};

/* state.c: one state, as of one moment */
struct state {
    char *path;
    sqlite3 *db;
    int64_t version;
    struct tug_store_tallies tallies;
    int64_t records, rows; /* counted by state_check() */
    char *own_dir;         /* gathered: where the file is, gone at the close */
    struct tug_err behind; /* gathered: etcd has an older state than this controller has seen; code 0: it has not */
};
/* 'where' is a file or the directory that holds state.db. Nothing is changed there, and a daemon
 * that works on it is in nobody's way. */
int state_open(struct state *s, const char *where, struct tug_err *err);
/* The state that a command is about when it names no file: that of the configured controller or of --state-dir. */
int state_open_default(struct state *s, const struct admin *a, struct tug_err *err);
void state_close(struct state *s);
/* A file with all that may lie beside it; what is not there is removed as well. */
void state_remove(const char *path);
/* gather.c: one that is in etcd, with the history of the controller whose state directory this is. */
int state_gather(struct state *s, const struct tug_config *cfg, const char *state_dir, struct tug_err *err);
/* gather.c: the history of that state as a controller's copy of it, whole when it is there. */
int state_history_to(struct state *s, const char *file, struct tug_err *err);
/* Pages, checksums, counts: -EILSEQ names the first record that is not as it was written. */
int state_check(struct state *s, struct tug_err *err);
int state_lineage(struct state *s, struct tug_lineage *out, struct tug_err *err);
/* Where the configured controller, or --state-dir, has its state. */
const char *state_default(const struct admin *a);
/* Say of the state in that file, a copy, that it is one: whoever starts from it is in safe mode. Its numbers go on from those of
 * the state that it replaces; NULL = there is none. */
int state_mark(const char *path, const char *why, const struct tug_lineage *replaced, struct tug_err *err);

/* move.c: all records of that state into etcd, which holds none; with the lead, which is given back. */
int move_records(struct state *from, const struct tug_store_opts *to, struct tug_err *err);

/* restore.c: the state directory, if it is not there. */
int state_make_dir(const char *dir, struct tug_err *err);

/* restore_etcd.c: that backup to where controllers share a state. *kept: the file with what was there, or NULL. */
int restore_to_etcd(const struct admin *a, struct state *backup, char **kept, struct tug_err *err);

/* backup.c: a copy of that state, marked as one, checked as state_check() does, on the disk under that name; -EEXIST: there is
 * something. */
struct backup {
    uint64_t epoch;
    int64_t records, rows, bytes;
    char sum[65];
};
int backup_to(struct state *s, const char *to, struct backup *made, struct tug_err *err);

int do_backup(struct admin *a, struct tug_err *err);
int do_verify(struct admin *a, struct tug_err *err);
int do_export(struct admin *a, struct tug_err *err);
int do_restore(struct admin *a, struct tug_err *err);
int do_controllers(struct admin *a, struct tug_err *err);
int do_move(struct admin *a, struct tug_err *err);
int do_snapshot(struct admin *a, struct tug_err *err);
int do_snapshots(struct admin *a, struct tug_err *err);

#endif
