/* store_file.h - may this path hold a store, and is it ours alone
 *
 * Everything that can be known about a database file without opening it: the file system, the
 * directory, owner and mode, the lock that keeps a second daemon out, and whether the write-ahead
 * log that a crash left behind is whole.
 *
 * Layer: host.
 */
#ifndef TUG_HOST_STORE_FILE_H
#define TUG_HOST_STORE_FILE_H

#include <stdbool.h>

#include "base/err.h"

/* The directory of 'path' exists, belongs to us, is closed to others (0700) and is on a local file
 * system. -ENOENT  -ENOTDIR  -EACCES  -ENOTSUP */
int tug_store_file_check_dir(const char *path, struct tug_err *err);

/* Take the lock next to 'path' ("path.lock"). It goes away with the descriptor, also when the
 * process dies. -EBUSY  held; the sentence names the holder's pid */
int tug_store_file_lock(const char *path, int *fd, struct tug_err *err);

/* -ENOENT: there is none (and no log of one either); -EACCES: not a file of ours with mode 0600;
 * -EILSEQ: cut to nothing, or lost while its log is still there, or in the middle of `tug admin
 * restore`, which leaves "path.restoring" until all is in its place. */
int tug_store_file_check(const char *path, struct tug_err *err);

/* Refuse a log in which something was damaged *before* its last transaction: sqlite stops reading
 * at the first bad frame, as if the machine had crashed there, and acknowledged transactions would
 * be dropped without a word. The last transaction of a log cannot be judged: half-written is what a
 * crash leaves. -EILSEQ. */
int tug_store_file_check_wal(const char *path, struct tug_err *err);

/* Does a daemon hold the lock? Takes nothing. */
bool tug_store_file_is_locked(const char *path);

/* Make durable which files the directory of 'path' has. */
int tug_store_file_sync_dir(const char *path, struct tug_err *err);

/* Where the file system that holds 'path' is mounted; the caller frees. */
char *tug_store_file_mount(const char *path);

/* Bytes that we may still write on the file system of 'path', -1 when unknown. */
long long tug_store_file_free_bytes(const char *path);

#endif
