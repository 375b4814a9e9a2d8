/* test_store.c - what the store acknowledged is there, and damage is never silent
 *
 * Faults come from here: fsync, fdatasync and statfs are defined in this file, so that the dynamic
 * linker gives them to libsqlite3 and to us alike; the full disk is RLIMIT_FSIZE; crashes are
 * SIGKILL to a child.
 * Layer: tests.
 */
#include "host/store.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "host/store_impl.h"
#include "unit.h"

/* ---- faults ---- */

static atomic_int syncs, fail_sync_at, fail_sync_once, sync_error = EIO;
static atomic_long fs_magic;

static int count_sync(long call, int fd)
{
    int n = ++syncs, at = fail_sync_at;

    if (at > 0 && (fail_sync_once ? n == at : n >= at)) {
        errno = sync_error;
        return -1;
    }
    return (int) syscall(call, fd);
}

int fsync(int fd)
{
    return count_sync(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return count_sync(SYS_fdatasync, fd);
}

int statfs(const char *path, struct statfs *out)
{
    int rc = (int) syscall(SYS_statfs, path, out);

    if (fs_magic != 0)
        out->f_type = fs_magic;
    return rc;
}

/* ---- a store in a directory of its own ---- */

static char dir[64], path[96], wal[128];
static struct event_base *loop;

static void setup_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/tug-store-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/state.db", dir);
    snprintf(wal, sizeof wal, "%s-wal", path);
    loop = event_base_new();
    ck_assert_ptr_nonnull(loop);
}

static void empty_dir(void)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    char name[512];

    while (d != NULL && (e = readdir(d)) != NULL) {
        snprintf(name, sizeof name, "%s/%s", dir, e->d_name);
        unlink(name);
    }
    if (d != NULL)
        closedir(d);
}

static void clean_dir(void)
{
    event_base_free(loop);
    empty_dir();
    rmdir(dir);
}

static int try_open(struct tug_store **s, int create, struct tug_err *err)
{
    struct tug_store_opts o = {.path = path, .create = create};

    return tug_store_open(s, loop, &o, err);
}

static struct tug_store *must_open(void)
{
    struct tug_store *s = NULL;
    struct tug_err err = {0, ""};

    ck_assert_msg(try_open(&s, 1, &err) == 0, "open: %s", err.msg);
    return s;
}

/* Wait for the next callback of the loop. */
static void turn(void)
{
    ck_assert_int_eq(event_base_loop(loop, EVLOOP_ONCE), 0);
}

struct acks {
    int n, failed, rc;
    char why[TUG_ERR_MAX];
};

static void on_ack(void *arg, int rc, const char *why)
{
    struct acks *a = arg;

    a->n++;
    if (rc == 0)
        return;
    a->failed++;
    a->rc = rc;
    snprintf(a->why, sizeof a->why, "%s", why);
}

static void put(struct tug_batch *b, const char *kind, int id, const char *data)
{
    char text[16];

    snprintf(text, sizeof text, "%d", id);
    tug_batch_put(b, kind, text, data, strlen(data));
}

/* Commit and wait. */
static int commit(struct tug_store *s, struct tug_batch *b)
{
    struct acks a = {0};

    tug_store_commit(s, b, on_ack, &a);
    while (a.n == 0)
        turn();
    return a.rc;
}

static int add_record(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    tug_buf_addf(arg, "%s/%s=", kind, id);
    tug_buf_add(arg, data, len);
    tug_buf_addc(arg, '\n');
    return 0;
}

/* All records of 'kind' as text. */
static int dump(struct tug_store *s, const char *kind, struct tug_buf *out, struct tug_err *err)
{
    tug_buf_reset(out);
    return tug_store_load(s, kind, add_record, out, err);
}

static void holds(struct tug_store *s, const char *kind, const char *want)
{
    struct tug_buf b = {0};
    struct tug_err err = {0, ""};

    ck_assert_msg(dump(s, kind, &b, &err) == 0, "%s", err.msg);
    ck_assert_str_eq(tug_buf_str(&b), want);
    tug_buf_clear(&b);
}

struct rows {
    struct tug_buf text;
    int n, rc;
    bool ended;
    char why[TUG_ERR_MAX];
};

static void on_row(void *arg, const struct tug_history_row *r, int rc, const char *why)
{
    struct rows *h = arg;

    if (r == NULL) {
        h->ended = true;
        h->rc = rc;
        snprintf(h->why, sizeof h->why, "%s", why != NULL ? why : "");
        return;
    }
    h->n++;
    tug_buf_addf(&h->text, "%llu.%u %s %lld uid=%u %s %s %s %s %s view=%zu\n",
                 (unsigned long long) r->job, r->attempt, r->what != NULL ? r->what : "-",
                 (long long) r->at_ms, r->uid, r->user != NULL ? r->user : "-",
                 r->queue != NULL ? r->queue : "-", r->account != NULL ? r->account : "-",
                 r->name != NULL ? r->name : "-", r->state != NULL ? r->state : "-",
                 r->view != NULL ? r->view_len : (size_t) 999);
}

static void query(struct tug_store *s, const struct tug_history_filter *f, struct rows *out)
{
    memset(out, 0, sizeof *out);
    tug_store_history(s, f, on_row, out);
    while (!out->ended)
        turn();
}

/* ---- the ordinary ---- */

START_TEST(what_was_committed_is_there_after_a_restart)
{
    struct tug_store *s;
    struct tug_batch *b;

    setup_dir();
    s = must_open();
    b = tug_batch_new();
    put(b, "job", 1, "one");
    put(b, "job", 2, "two");
    put(b, "node", 1, "n");
    put(b, "job", 3, "");
    ck_assert_int_eq(commit(s, b), 0);
    b = tug_batch_new();
    put(b, "job", 2, "zwei");
    tug_batch_del(b, "job", "1");
    tug_batch_del(b, "job", "never there");
    put(b, "job", 4, "a");
    put(b, "job", 4, "the last put of a batch wins");
    ck_assert_int_eq(commit(s, b), 0);
    tug_store_close(s);

    s = must_open();
    holds(s, "job", "job/2=zwei\njob/3=\njob/4=the last put of a batch wins\n");
    holds(s, NULL, "job/2=zwei\njob/3=\njob/4=the last put of a batch wins\nnode/1=n\n");
    holds(s, "step", "");
    tug_store_close(s);
    clean_dir();
}
END_TEST

static int stop_at_once(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    (void) kind, (void) id, (void) data, (void) len;
    return ++*(int *) arg == 1 ? 7 : 0;
}

START_TEST(a_load_stops_when_the_callback_says_so)
{
    struct tug_store *s;
    struct tug_batch *b = tug_batch_new();
    int seen = 0;

    setup_dir();
    s = must_open();
    put(b, "job", 1, "one");
    put(b, "job", 2, "two");
    ck_assert_int_eq(commit(s, b), 0);
    ck_assert_int_eq(tug_store_load(s, NULL, stop_at_once, &seen, NULL), 7);
    ck_assert_int_eq(seen, 1);
    tug_store_close(s);
    clean_dir();
}
END_TEST

struct ordered {
    int *next, mine;
    bool wrong;
};

static void on_ordered(void *arg, int rc, const char *why)
{
    struct ordered *o = arg;

    (void) why;
    o->wrong = rc != 0 || *o->next != o->mine;
    (*o->next)++;
}

START_TEST(callbacks_come_in_order_and_waiting_batches_share_a_transaction)
{
    enum { N = 2000 };
    static struct ordered o[N];
    struct tug_store_stats st;
    struct tug_store *s;
    int next = 0;

    setup_dir();
    s = must_open();
    for (int i = 0; i < N; i++) {
        struct tug_batch *b = tug_batch_new();

        put(b, "job", i, "x");
        o[i] = (struct ordered){&next, i, false};
        tug_store_commit(s, b, on_ordered, &o[i]);
    }
    while (next < N)
        turn();
    for (int i = 0; i < N; i++)
        ck_assert_msg(!o[i].wrong, "callback %d", i);
    tug_store_stats(s, &st);
    ck_assert_uint_eq(st.batches, N);
    ck_assert_uint_ge(st.transactions, 1);
    ck_assert_msg(st.transactions < N / 10, "%llu transactions for %d batches",
                  (unsigned long long) st.transactions, N);
    tug_store_close(s);
    clean_dir();
}
END_TEST

START_TEST(one_transaction_costs_one_sync)
{
    struct tug_store *s;
    struct tug_batch *b = tug_batch_new();
    int before;

    setup_dir();
    s = must_open();
    put(b, "job", 1, "x"); /* begins the log: one sync more */
    ck_assert_int_eq(commit(s, b), 0);
    before = syncs;
    for (int i = 0; i < 10; i++) {
        b = tug_batch_new();
        put(b, "job", i, "y");
        ck_assert_int_eq(commit(s, b), 0);
    }
    ck_assert_int_eq(syncs - before, 10);
    tug_store_close(s);
    clean_dir();
}
END_TEST

START_TEST(a_relaxed_store_does_not_sync_for_each_commit)
{
    struct tug_store_opts o = {.path = NULL, .create = 1, .relaxed = 1};
    struct tug_store *s;
    int before;

    setup_dir();
    o.path = path;
    ck_assert_int_eq(tug_store_open(&s, loop, &o, NULL), 0);
    before = syncs;
    for (int i = 0; i < 10; i++) {
        struct tug_batch *b = tug_batch_new();

        put(b, "step", i, "y");
        ck_assert_int_eq(commit(s, b), 0);
    }
    ck_assert_int_le(syncs - before, 1);
    tug_store_close(s);
    ck_assert_int_eq(tug_store_open(&s, loop, &o, NULL), 0);
    holds(s, NULL,
          "step/0=y\nstep/1=y\nstep/2=y\nstep/3=y\nstep/4=y\nstep/5=y\nstep/6=y\nstep/7=y\nstep/"
          "8=y\nstep/9=y\n");
    tug_store_close(s);
    clean_dir();
}
END_TEST

static int sync_now(struct tug_store *s)
{
    struct acks a = {0};

    tug_store_sqlite_sync(s, on_ack, &a);
    while (a.n == 0)
        turn();
    return a.rc;
}

START_TEST(a_relaxed_store_has_all_on_the_disk_when_it_is_asked_to_and_says_when_it_has_not)
{
    struct tug_store_opts o = {.path = NULL, .create = 1, .relaxed = 1};
    struct tug_batch *b = tug_batch_new();
    struct tug_store *s;
    int before;

    setup_dir();
    o.path = path;
    ck_assert_int_eq(tug_store_open(&s, loop, &o, NULL), 0);
    put(b, "copied", 1, "7");
    ck_assert_int_eq(commit(s, b), 0);
    before = syncs;
    ck_assert_int_eq(sync_now(s), 0);
    ck_assert_int_gt(syncs, before);
    fail_sync_at = 1;
    syncs = 0;
    ck_assert_int_eq(sync_now(s), -EIO);
    fail_sync_at = 0;
    ck_assert_int_eq(sync_now(s), -EIO); /* nobody knows what is there: no second try */
    tug_store_close(s);
    clean_dir();
}
END_TEST

START_TEST(closing_commits_what_was_handed_over_and_runs_its_callbacks)
{
    struct tug_store *s;
    struct acks a = {0};

    setup_dir();
    s = must_open();
    for (int i = 0; i < 50; i++) {
        struct tug_batch *b = tug_batch_new();

        put(b, "job", 1, i == 49 ? "last" : "early");
        tug_store_commit(s, b, i % 2 == 0 ? on_ack : NULL, &a);
    }
    tug_store_close(s);
    ck_assert_int_eq(a.n, 25);
    ck_assert_int_eq(a.failed, 0);
    s = must_open();
    holds(s, NULL, "job/1=last\n");
    tug_store_close(s);
    clean_dir();
}
END_TEST

START_TEST(the_log_is_checkpointed_before_it_grows_without_end)
{
    static char data[1 << 20];
    struct tug_store_stats st;
    struct tug_store *s;
    struct stat file;

    setup_dir();
    s = must_open();
    for (int i = 0; i < 100; i++) {
        struct tug_batch *b = tug_batch_new();

        data[0] = (char) ('0' + i % 10); /* sqlite does not write a page that stays as it is */
        memset(data + 1, data[0], sizeof data - 2);
        put(b, "blob", 1, data);
        ck_assert_int_eq(commit(s, b), 0);
    }
    tug_store_stats(s, &st);
    ck_assert_uint_ge(st.checkpoints, 1);
    ck_assert_int_eq(stat(wal, &file), 0);
    ck_assert_msg(file.st_size < 64 << 20, "the log has %lld bytes", (long long) file.st_size);
    tug_store_close(s);
    clean_dir();
}
END_TEST

START_TEST(the_file_and_its_log_are_closed_to_others)
{
    struct tug_store *s;
    struct tug_batch *b = tug_batch_new();
    struct stat st;

    setup_dir();
    umask(0);
    s = must_open();
    put(b, "job", 1, "x");
    ck_assert_int_eq(commit(s, b), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(stat(wal, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    tug_store_close(s);
    clean_dir();
}
END_TEST

/* ---- history ---- */

static void fill_history(struct tug_store *s)
{
    struct tug_batch *b = tug_batch_new();

    for (int i = 1; i <= 10; i++)
        tug_batch_history(b, &(struct tug_history_row){.job = (uint64_t) i,
                                                       .what = i % 2 ? "submit" : "end",
                                                       .at_ms = 100 * i,
                                                       .uid = (uint32_t) (i % 3),
                                                       .user = i % 3 ? "ada" : "bob",
                                                       .queue = "train",
                                                       .state = i % 2   ? NULL
                                                                : i % 4 ? "FAILED"
                                                                        : "COMPLETED\"\\\n",
                                                       .view = i % 2 ? NULL : "packed",
                                                       .view_len = i % 2 ? 0 : 6});
    ck_assert_int_eq(commit(s, b), 0);
}

static void query_gives(struct tug_store *s, const struct tug_history_filter *f, const char *jobs)
{
    struct rows h;
    char *line, *save = NULL, got[256] = "";

    query(s, f, &h);
    ck_assert_msg(h.rc == 0, "%s", h.why);
    tug_buf_adds(&h.text, "\n"); /* so that there is a text */
    for (line = strtok_r(h.text.data, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save))
        if (strchr(line, '.') != NULL) {
            strncat(got, line, strcspn(line, "."));
            strcat(got, " ");
        }
    ck_assert_str_eq(got, jobs);
    tug_buf_clear(&h.text);
}

START_TEST(history_is_filtered_and_comes_newest_first)
{
    struct tug_store *s;
    struct rows h;

    setup_dir();
    s = must_open();
    fill_history(s);
    query_gives(s, &(struct tug_history_filter){0}, "10 9 8 7 6 5 4 3 2 1 ");
    query_gives(s, &(struct tug_history_filter){.limit = 3}, "10 9 8 ");
    query_gives(s, &(struct tug_history_filter){.since_ms = 300, .until_ms = 500}, "5 4 3 ");
    query_gives(s, &(struct tug_history_filter){.what = "end"}, "10 8 6 4 2 ");
    query_gives(s, &(struct tug_history_filter){.uids = (uint32_t[]){0}, .n_uids = 1}, "9 6 3 ");
    query_gives(s, &(struct tug_history_filter){.uids = (uint32_t[]){0, 2}, .n_uids = 2},
                "9 8 6 5 3 2 ");
    query_gives(s, &(struct tug_history_filter){.ids = (uint64_t[]){7, 3, 99}, .n_ids = 2}, "7 3 ");
    query_gives(s,
                &(struct tug_history_filter){
                    .ids = (uint64_t[]){3, 6, 7}, .n_ids = 3, .uids = (uint32_t[]){0}, .n_uids = 1},
                "6 3 ");
    query_gives(s,
                &(struct tug_history_filter){.states = (const char *[]){"FAILED"}, .n_states = 1},
                "10 6 2 ");
    query_gives(
        s,
        &(struct tug_history_filter){.states = (const char *[]){"COMPLETED\"\\\n"}, .n_states = 1},
        "8 4 ");
    query_gives(
        s, &(struct tug_history_filter){.states = (const char *[]){"') OR 1=1 --"}, .n_states = 1},
        "");
    query(s, &(struct tug_history_filter){.ids = (uint64_t[]){2, 3}, .n_ids = 2}, &h);
    ck_assert_str_eq(tug_buf_str(&h.text), "3.0 submit 300 uid=0 bob train - - - view=999\n"
                                           "2.0 end 200 uid=2 ada train - - FAILED view=6\n");
    tug_buf_clear(&h.text);
    tug_store_close(s);
    clean_dir();
}
END_TEST

START_TEST(a_query_sees_every_commit_whose_callback_has_come)
{
    struct tug_store *s;

    setup_dir();
    s = must_open();
    for (int i = 1; i <= 20; i++) {
        struct tug_batch *b = tug_batch_new();
        struct rows h;

        tug_batch_history(
            b, &(struct tug_history_row){.job = (uint64_t) i, .what = "submit", .at_ms = i});
        ck_assert_int_eq(commit(s, b), 0);
        query(s, &(struct tug_history_filter){0}, &h);
        ck_assert_int_eq(h.n, i);
        tug_buf_clear(&h.text);
    }
    tug_store_close(s);
    clean_dir();
}
END_TEST

START_TEST(queries_that_a_close_cuts_off_are_told_so)
{
    struct tug_store *s;
    struct rows h[20];
    int cancelled = 0;

    setup_dir();
    s = must_open();
    fill_history(s);
    memset(h, 0, sizeof h);
    for (int i = 0; i < 20; i++)
        tug_store_history(s, &(struct tug_history_filter){0}, on_row, &h[i]);
    tug_store_close(s);
    for (int i = 0; i < 20; i++) {
        ck_assert(h[i].ended);
        ck_assert(h[i].rc == 0 ? h[i].n == 10 : h[i].rc == -ECANCELED && h[i].n == 0);
        cancelled += h[i].rc != 0;
        tug_buf_clear(&h[i].text);
    }
    (void) cancelled;
    clean_dir();
}
END_TEST

/* ---- what is refused at open ---- */

static void raw_sql(const char *sql)
{
    sqlite3 *db;

    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

/* A store with some of everything, closed. */
static void make_store(int records)
{
    struct tug_store *s = must_open();
    struct tug_batch *b = tug_batch_new();
    char data[400];

    for (int i = 0; i < records; i++) {
        memset(data, 'a' + i % 26, sizeof data - 1);
        data[sizeof data - 1] = '\0';
        put(b, i % 5 ? "job" : "node", i, data);
        tug_batch_history(
            b, &(struct tug_history_row){
                   .job = (uint64_t) i, .what = "submit", .at_ms = i, .uid = 1000, .user = "ada"});
    }
    ck_assert_int_eq(commit(s, b), 0);
    tug_store_close(s);
}

START_TEST(a_second_daemon_is_refused_with_the_pid_of_the_first)
{
    struct tug_store *s, *second;
    struct tug_err err;
    char pid[32];
    int status;
    pid_t child;

    setup_dir();
    s = must_open();
    snprintf(pid, sizeof pid, "process %d ", (int) getpid());
    unit_fails(try_open(&second, 1, &err), -EBUSY, err, pid);
    child = fork();
    if (child == 0)
        _exit(try_open(&second, 1, &err) == -EBUSY && strstr(err.msg, pid) != NULL ? 0 : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    tug_store_close(s);
    s = must_open();
    tug_store_close(s);
    clean_dir();
}
END_TEST

START_TEST(a_file_that_is_not_there_is_made_only_when_asked)
{
    struct tug_store *s;
    struct tug_err err;

    setup_dir();
    unit_fails(try_open(&s, 0, &err), -ENOENT, err, path);
    ck_assert_int_ne(access(path, F_OK), 0);
    make_store(1);
    ck_assert_int_eq(try_open(&s, 0, &err), 0);
    tug_store_close(s);
    ck_assert_int_eq(unlink(path), 0);
    close(open(wal, O_CREAT | O_WRONLY, 0600));
    unit_fails(try_open(&s, 1, &err), -EILSEQ, err, "its log");
    clean_dir();
}
END_TEST

START_TEST(a_file_of_a_newer_version_or_another_program_is_refused)
{
    struct tug_store *s;
    struct tug_err err;

    setup_dir();
    make_store(3);
    raw_sql("PRAGMA user_version = 99");
    unit_fails(try_open(&s, 1, &err), -EPROTO, err, "newer");
    raw_sql("PRAGMA user_version = 1; PRAGMA application_id = 5");
    unit_fails(try_open(&s, 1, &err), -EILSEQ, err, "not a state file of Tugline");
    clean_dir();
}
END_TEST

START_TEST(a_truncated_file_is_refused_at_every_length)
{
    struct tug_store *s;
    struct tug_err err = {0, ""};
    struct stat st;
    struct tug_buf whole = {0};
    int fd;

    setup_dir();
    make_store(200);
    ck_assert_int_eq(stat(path, &st), 0);
    fd = open(path, O_RDWR);
    ck_assert_int_eq(read(fd, tug_buf_room(&whole, (size_t) st.st_size), (size_t) st.st_size),
                     st.st_size);
    close(fd);
    for (off_t len = 0; len < st.st_size; len += len < 1024 ? 97 : 3001) {
        empty_dir();
        fd = open(path, O_RDWR | O_CREAT, 0600);
        ck_assert_int_eq(write(fd, whole.data, (size_t) len), len);
        close(fd);
        ck_assert_msg(try_open(&s, 1, &err) == -EILSEQ, "%lld of %lld bytes: %d %s",
                      (long long) len, (long long) st.st_size, err.code, err.msg);
        ck_assert_ptr_nonnull(strstr(err.msg, path));
    }
    tug_buf_clear(&whole);
    clean_dir();
}
END_TEST

START_TEST(a_text_file_is_refused_and_left_alone)
{
    struct tug_store *s;
    struct tug_err err;
    char text[32] = "";
    int fd;

    setup_dir();
    fd = open(path, O_RDWR | O_CREAT, 0600);
    ck_assert_int_eq(write(fd, "cluster: sled\n", 14), 14);
    unit_fails(try_open(&s, 1, &err), -EILSEQ, err, "not a database");
    ck_assert_int_eq(pread(fd, text, sizeof text, 0), 14);
    ck_assert_str_eq(text, "cluster: sled\n");
    close(fd);
    clean_dir();
}
END_TEST

START_TEST(files_and_directories_that_others_may_read_are_refused)
{
    struct tug_store *s;
    struct tug_err err;
    char other[128];

    setup_dir();
    make_store(1);
    chmod(path, 0640);
    unit_fails(try_open(&s, 1, &err), -EACCES, err, "chmod 0600");
    chmod(path, 0600);
    chmod(dir, 0750);
    unit_fails(try_open(&s, 1, &err), -EACCES, err, "chmod 0700");
    chmod(dir, 0700);
    snprintf(other, sizeof other, "%s/elsewhere", dir);
    ck_assert_int_eq(rename(path, other), 0);
    ck_assert_int_eq(symlink(other, path), 0);
    unit_fails(try_open(&s, 1, &err), -EACCES, err, "not a regular file");
    unlink(path);
    snprintf(path, sizeof path, "%s/no/state.db", dir);
    unit_fails(try_open(&s, 1, &err), -ENOENT, err, "state directory");
    clean_dir();
}
END_TEST

START_TEST(a_network_file_system_is_refused_by_name)
{
    struct tug_store *s;
    struct tug_err err;

    setup_dir();
    fs_magic = 0x6969;
    unit_fails(try_open(&s, 1, &err), -ENOTSUP, err, "NFS");
    fs_magic = 0x0bd00bd0;
    unit_fails(try_open(&s, 1, &err), -ENOTSUP, err, "Lustre");
    fs_magic = 0x65735546;
    unit_fails(try_open(&s, 1, &err), -ENOTSUP, err, "FUSE");
    fs_magic = (long) (int32_t) 0xff534d42; /* sign-extended, as some architectures give it */
    unit_fails(try_open(&s, 1, &err), -ENOTSUP, err, "CIFS");
    clean_dir();
}
END_TEST

static void read_file(const char *name, struct tug_buf *out)
{
    struct stat st;
    int fd = open(name, O_RDONLY);

    tug_buf_reset(out);
    if (fd < 0)
        return;
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_eq(read(fd, tug_buf_room(out, (size_t) st.st_size), (size_t) st.st_size),
                     st.st_size);
    out->len = (size_t) st.st_size;
    close(fd);
}

static void write_file(const char *name, const struct tug_buf *in)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    ck_assert_int_eq(write(fd, in->data, in->len), (ssize_t) in->len);
    close(fd);
}

/* ---- other versions ---- */

static int64_t number_in(const char *file, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    int64_t n;

    ck_assert_int_eq(sqlite3_open(file, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
    n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
    return n;
}

/* What a daemon of schema 1 would have left: it did not count rows of the history. */
static void make_store_of_version_1(int records)
{
    make_store(records);
    raw_sql("DELETE FROM tally WHERE kind = ':history';"
            " UPDATE meta SET value = 1 WHERE key = 'schema'; PRAGMA user_version = 1");
}

START_TEST(a_file_of_the_version_before_is_brought_to_this_one_and_a_copy_is_kept)
{
    struct tug_buf was = {0}, is = {0};
    struct tug_store *s;
    struct stat st;
    char old[128];

    setup_dir();
    snprintf(old, sizeof old, "%s.v1", path);
    make_store(20);
    s = must_open();
    ck_assert_int_eq(dump(s, NULL, &was, NULL), 0);
    tug_store_close(s);
    raw_sql("DELETE FROM tally WHERE kind = ':history';"
            " UPDATE meta SET value = 1 WHERE key = 'schema'; PRAGMA user_version = 1");
    s = must_open();
    ck_assert_int_eq(dump(s, NULL, &is, NULL), 0);
    ck_assert_str_eq(tug_buf_str(&is), tug_buf_str(&was));
    tug_store_close(s);
    ck_assert_int_eq(number_in(path, "PRAGMA user_version"), 2);
    ck_assert_int_eq(number_in(path, "SELECT n FROM tally WHERE kind = ':history'"), 20);
    ck_assert_int_eq(stat(old, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(number_in(old, "PRAGMA user_version"), 1);
    ck_assert_int_eq(number_in(old, "SELECT count(*) FROM record"), 20);
    ck_assert_int_eq(number_in(old, "SELECT count(*) FROM history"), 20);
    tug_buf_clear(&was);
    tug_buf_clear(&is);
    clean_dir();
}
END_TEST

START_TEST(a_migration_that_fails_leaves_the_version_before_and_can_be_tried_again)
{
    int moved = 0, failed = 0;

    setup_dir();
    for (int at = 1; at <= 40 && !moved; at++) {
        struct tug_store *s;
        struct tug_err err;

        empty_dir();
        make_store_of_version_1(20);
        syncs = 0;
        fail_sync_at = at;
        moved = try_open(&s, 1, &err) == 0;
        fail_sync_at = 0;
        if (moved) {
            tug_store_close(s);
            continue;
        }
        failed++;
        ck_assert_ptr_nonnull(strstr(err.msg, path));
        s = must_open();
        {
            struct tug_buf all = {0};

            ck_assert_int_eq(dump(s, NULL, &all, &err), 0);
            tug_buf_clear(&all);
        }
        tug_store_close(s);
        ck_assert_int_eq(number_in(path, "PRAGMA user_version"), 2);
    }
    ck_assert_int_eq(moved, 1);
    ck_assert_int_ge(failed, 3); /* the copy, its name, the commit */
    clean_dir();
}
END_TEST

/* ---- damage ---- */

START_TEST(a_changed_record_is_named)
{
    struct tug_store *s;
    struct tug_err err;
    struct tug_buf b = {0};

    setup_dir();
    make_store(20);
    raw_sql("UPDATE record SET data = 'forged' WHERE kind = 'job' AND id = '7'");
    s = must_open();
    unit_fails(dump(s, NULL, &b, &err), -EILSEQ, err, "job/7");
    ck_assert_int_eq(dump(s, "node", &b, &err), 0);
    tug_store_close(s);
    tug_buf_clear(&b);
    clean_dir();
}
END_TEST

START_TEST(a_missing_record_is_noticed)
{
    struct tug_store *s;
    struct tug_err err;
    struct tug_buf b = {0};

    setup_dir();
    make_store(20);
    raw_sql("DELETE FROM record WHERE kind = 'job' AND id = '7'");
    s = must_open();
    unit_fails(dump(s, "job", &b, &err), -EILSEQ, err, "15 records of kind job, but 16");
    unit_fails(dump(s, NULL, &b, &err), -EILSEQ, err, "of kind job");
    tug_store_close(s);
    raw_sql("DELETE FROM record; DELETE FROM tally WHERE kind = 'node'");
    s = must_open();
    unit_fails(dump(s, NULL, &b, &err), -EILSEQ, err, "of kind job");
    tug_store_close(s);
    tug_buf_clear(&b);
    clean_dir();
}
END_TEST

START_TEST(a_changed_history_row_is_named)
{
    struct tug_store *s;
    struct rows h;

    setup_dir();
    make_store(20);
    raw_sql("UPDATE history SET uid = 0 WHERE id = 5");
    s = must_open();
    query(s, &(struct tug_history_filter){.ids = (uint64_t[]){4}, .n_ids = 1}, &h);
    ck_assert_int_eq(h.rc, -EILSEQ);
    ck_assert_int_eq(h.n, 0);
    ck_assert_ptr_nonnull(strstr(h.why, "row 5"));
    tug_store_close(s);
    clean_dir();
}
END_TEST

START_TEST(damage_in_a_big_file_is_told_while_the_daemon_runs)
{
    static const char uid[] = {0x01, 0x23, 0x45, 0x67};
    struct tug_store *s;
    struct tug_batch *b = tug_batch_new();
    struct tug_buf db = {0};
    struct acks last = {0};
    size_t len = 40 << 20;
    char *big = calloc(1, len), *at;

    setup_dir();
    s = must_open();
    tug_batch_put(b, "blob", "big", big, len);
    for (int i = 0; i < 10; i++)
        tug_batch_history(b,
                          &(struct tug_history_row){.job = 1, .what = "submit", .uid = 0x01234567});
    ck_assert_int_eq(commit(s, b), 0);
    tug_store_close(s);
    read_file(path, &db);
    at = memmem(db.data, db.len, uid, sizeof uid);
    ck_assert_ptr_nonnull(at);
    at[0] = 0x41; /* in a row or in an index: the other does not say so */
    write_file(path, &db);
    s = must_open();
    while (!last.failed) {
        int before = last.n;

        b = tug_batch_new();
        put(b, "job", 1, "x");
        tug_store_commit(s, b, on_ack, &last);
        while (last.n == before)
            turn();
    }
    ck_assert_int_eq(last.rc, -EIO);
    ck_assert_msg(strstr(last.why, "is damaged") != NULL, "%s", last.why);
    tug_store_close(s);
    tug_buf_clear(&db);
    free(big);
    clean_dir();
}
END_TEST

/* Everything that can be read, as one text; < 0 when any of it was refused. */
static int read_all(struct tug_buf *out, struct tug_err *err)
{
    struct tug_store *s;
    struct rows h;
    int rc = try_open(&s, 1, err);

    if (rc < 0)
        return rc;
    rc = dump(s, NULL, out, err);
    if (rc == 0) {
        query(s, &(struct tug_history_filter){.limit = 100000}, &h);
        rc = h.rc;
        snprintf(err->msg, sizeof err->msg, "%s", h.why);
        tug_buf_adds(out, tug_buf_str(&h.text));
        tug_buf_clear(&h.text);
    }
    tug_store_close(s);
    return rc;
}

/* Flip a byte at random places of 'target' (the file or the log, below 'limit'): either somebody is
 * told, or nothing is different. Returns how many were told. */
static int flip(struct tug_buf *db, struct tug_buf *log, struct tug_buf *target, size_t limit,
                const char *want, uint64_t seed)
{
    struct tug_buf got = {0};
    struct tug_err err = {0, ""};
    int told = 0, n = unit_rounds(200);
    unsigned short x[3] = {(unsigned short) seed, (unsigned short) (seed >> 16),
                           (unsigned short) (seed >> 32)};

    for (int i = 0; i < n; i++) {
        size_t at = (size_t) nrand48(x) % limit;
        char with = (char) (1 + nrand48(x) % 255);
        int rc;

        empty_dir();
        target->data[at] ^= with;
        write_file(path, db);
        if (log->len > 0)
            write_file(wal, log);
        target->data[at] ^= with;
        tug_buf_reset(&got);
        rc = read_all(&got, &err);
        told += rc < 0;
        if (rc == 0)
            ck_assert_msg(strcmp(tug_buf_str(&got), want) == 0,
                          "byte %zu ^ 0x%02x passed and changed what is read", at,
                          (unsigned char) with);
        else
            ck_assert_msg((rc == -EILSEQ || rc == -EPROTO) && strstr(err.msg, dir) != NULL,
                          "byte %zu ^ 0x%02x: %d %s", at, (unsigned char) with, rc, err.msg);
    }
    printf("# %d of %d flips told, the others made no difference\n", told, n);
    tug_buf_clear(&got);
    return told;
}

START_TEST(a_flipped_byte_is_told_or_makes_no_difference)
{
    struct tug_buf db = {0}, none = {0}, want = {0};
    struct tug_err err = {0, ""};

    setup_dir();
    make_store(150);
    read_file(path, &db);
    ck_assert_int_eq(read_all(&want, &err), 0);
    ck_assert_int_ge(flip(&db, &none, &db, db.len, tug_buf_str(&want), unit_seed()),
                     unit_rounds(200) / 4);
    tug_buf_clear(&db);
    tug_buf_clear(&want);
    clean_dir();
}
END_TEST

/* The last transaction of a log cannot be told from one that a crash cut; what is before it must
 * be. */
START_TEST(a_flipped_byte_in_the_log_drops_nothing_silently)
{
    struct tug_buf db = {0}, log = {0}, want = {0};
    struct tug_err err = {0, ""};
    struct tug_store *s;
    size_t limit = 0;

    setup_dir();
    s = must_open();
    for (int i = 0; i < 30; i++) {
        struct tug_batch *b = tug_batch_new();

        read_file(wal, &log);
        limit = log.len;
        put(b, "job", i, "some data of a job");
        tug_batch_history(b, &(struct tug_history_row){.job = (uint64_t) i, .what = "submit"});
        ck_assert_int_eq(commit(s, b), 0);
    }
    read_file(path, &db);
    read_file(wal, &log);
    ck_assert_uint_gt(log.len, limit);
    tug_store_close(s);
    empty_dir();
    write_file(path, &db);
    write_file(wal, &log);
    ck_assert_int_eq(read_all(&want, &err), 0); /* the log is replayed */
    ck_assert_ptr_nonnull(strstr(want.data, "job/29="));
    ck_assert_int_ge(flip(&db, &log, &log, limit, tug_buf_str(&want), unit_seed()),
                     unit_rounds(200) / 2);
    tug_buf_clear(&db);
    tug_buf_clear(&log);
    tug_buf_clear(&want);
    clean_dir();
}
END_TEST

/* ---- crashes and bad disks ---- */

/* Generation g: three records and a history row that all say g. */
static struct tug_batch *generation(int g)
{
    struct tug_batch *b = tug_batch_new();
    char data[16];

    snprintf(data, sizeof data, "%d", g);
    put(b, "job", 1, data);
    put(b, "node", 2, data);
    put(b, "tok", 3, data);
    tug_batch_history(b,
                      &(struct tug_history_row){.job = (uint64_t) g, .what = "submit", .at_ms = g});
    return b;
}

/* The one generation that the store holds, whole; 0 when none. */
static int generation_held(void)
{
    struct tug_store *s = must_open();
    struct tug_buf b = {0};
    struct tug_err err = {0, ""};
    struct rows h;
    char want[128];
    int g = 0;

    ck_assert_msg(dump(s, NULL, &b, &err) == 0, "%s", err.msg);
    if (b.len > 0) {
        ck_assert_int_eq(sscanf(b.data, "job/1=%d", &g), 1);
        snprintf(want, sizeof want, "job/1=%d\nnode/2=%d\ntok/3=%d\n", g, g, g);
        ck_assert_str_eq(b.data, want);
    }
    query(s, &(struct tug_history_filter){.limit = 1000000}, &h);
    ck_assert_int_eq(h.rc, 0);
    ck_assert_int_eq(h.n, g);
    tug_buf_clear(&h.text);
    tug_buf_clear(&b);
    tug_store_close(s);
    return g;
}

static void tell_ack(void *arg, int rc, const char *why)
{
    int *g = arg, fd = g[1];

    (void) why;
    if (rc == 0 && write(fd, g, sizeof *g) != sizeof *g)
        _exit(1);
    free(arg);
}

/* Commit generations after 'from', up to 8 at a time, and write the number of each acknowledged one
 * to 'fd'. */
static void commit_forever(int from, int fd)
{
    struct tug_store *s = must_open();

    for (;;) {
        for (int i = 0; i < 8; i++) {
            int *arg = malloc(2 * sizeof *arg);

            arg[0] = ++from;
            arg[1] = fd;
            tug_store_commit(s, generation(from), tell_ack, arg);
        }
        turn();
    }
}

START_TEST(every_acknowledged_batch_survives_kill_and_no_batch_survives_in_part)
{
    uint64_t seed = unit_seed();
    unsigned short x[3] = {(unsigned short) seed, (unsigned short) (seed >> 16),
                           (unsigned short) (seed >> 32)};
    int held = 0, acked, n, rounds = unit_rounds(30);

    setup_dir();
    for (int i = 0; i < rounds; i++) {
        int fds[2], wait_for = (int) (nrand48(x) % 40);
        pid_t child;

        ck_assert_int_eq(pipe(fds), 0);
        child = fork();
        if (child == 0) {
            event_reinit(loop);
            close(fds[0]);
            commit_forever(held, fds[1]);
        }
        close(fds[1]);
        acked = held;
        while (wait_for-- > 0 && read(fds[0], &n, sizeof n) == sizeof n)
            acked = n;
        for (volatile long spin = nrand48(x) % 200000; spin > 0;
             spin--) /* anywhere within a commit */
            ;
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(fds[0], &n, sizeof n) == sizeof n) /* acknowledged before the kill came */
            acked = n;
        close(fds[0]);
        held = generation_held();
        ck_assert_msg(held >= acked, "%d was acknowledged, %d is there", acked, held);
    }
    ck_assert_int_gt(held, 0);
    printf("# %d kills, %d generations\n", rounds, held);
    clean_dir();
}
END_TEST

/* Commit one by one until one fails; then show that the store stays shut but can be read. Returns
 * the acknowledged generations. */
static int commit_until_failure(struct tug_store *s, int max, struct acks *last)
{
    struct tug_buf b = {0};
    struct acks more = {0};
    int g = 0;

    memset(last, 0, sizeof *last);
    while (g < max) {
        int before = last->n;

        tug_store_commit(s, generation(g + 1), on_ack, last);
        while (last->n == before)
            turn();
        if (last->failed)
            break;
        g++;
    }
    if (!last->failed)
        return g;
    fail_sync_at = 0; /* the disk is well again: nobody may try again all the same */
    for (int i = 0; i < 3; i++)
        tug_store_commit(s, generation(g + 2 + i), on_ack, &more);
    while (more.n < 3)
        turn();
    ck_assert_int_eq(more.failed, 3);
    ck_assert_int_eq(more.rc, -EIO);
    ck_assert_ptr_nonnull(strstr(more.why, "takes nothing more"));
    ck_assert_int_eq(dump(s, "meta", &b, NULL), 0);
    tug_buf_clear(&b);
    return g;
}

START_TEST(a_failed_sync_is_never_acknowledged_nor_tried_again)
{
    setup_dir();
    for (int once = 0; once <= 1; once++)
        for (int at = 1; at <= 12; at++) {
            struct tug_store *s;
            struct acks last;
            int acked, held;

            empty_dir();
            s = must_open();
            fail_sync_once = once;
            syncs = 0;
            fail_sync_at = at;
            acked = commit_until_failure(s, 100, &last);
            ck_assert_int_eq(last.failed, 1);
            ck_assert_msg(last.rc == -EIO, "%d %s", last.rc, last.why);
            ck_assert_ptr_nonnull(strstr(last.why, path));
            ck_assert_ptr_nonnull(strstr(last.why, "Input/output error"));
            ck_assert_ptr_nonnull(strstr(last.why, "bytes free"));
            tug_store_close(s);
            held = generation_held();
            ck_assert_msg(held >= acked && held <= acked + 1, "sync %d: %d acknowledged, %d there",
                          at, acked, held);
        }
    clean_dir();
}
END_TEST

START_TEST(all_batches_that_share_a_failed_transaction_are_told)
{
    struct tug_store *s;
    struct acks a = {0};

    setup_dir();
    s = must_open();
    syncs = 0;
    fail_sync_at = 1;
    for (int i = 0; i < 100; i++) {
        struct tug_batch *b = tug_batch_new();

        put(b, "job", i, "x");
        tug_store_commit(s, b, on_ack, &a);
    }
    while (a.n < 100)
        turn();
    ck_assert_int_eq(a.failed, 100);
    fail_sync_at = 0;
    tug_store_close(s);
    clean_dir();
}
END_TEST

START_TEST(a_sync_that_fails_while_a_store_is_opened_or_made_is_told)
{
    struct tug_store *s;
    struct tug_err err;
    int made = 0;

    setup_dir();
    for (int at = 1; at <= 30 && !made; at++) {
        empty_dir();
        syncs = 0;
        fail_sync_at = at;
        made = try_open(&s, 1, &err) == 0;
        fail_sync_at = 0;
        if (made) {
            tug_store_close(s);
            ck_assert_int_gt(
                at, 3); /* making one takes several syncs, and each of them was refused above */
        } else {
            ck_assert_msg(err.code == -EIO, "%d %s", err.code, err.msg);
            ck_assert_ptr_nonnull(strstr(err.msg, path));
        }
        tug_store_close(must_open()); /* what a failure left behind is in nobody's way */
    }
    ck_assert_int_eq(made, 1);
    clean_dir();
}
END_TEST

static void limit_files(rlim_t bytes)
{
    struct rlimit l;

    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = bytes;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &l), 0);
}

START_TEST(a_full_disk_is_told_and_loses_nothing_that_was_acknowledged)
{
    struct tug_store *s;
    struct acks last;
    int acked, held;

    setup_dir();
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t room = 33 << 10; room < 300 << 10; room += 41 << 10) {
        empty_dir();
        s = must_open();
        limit_files(room);
        acked = commit_until_failure(s, 1000, &last);
        ck_assert_msg(last.failed == 1 && last.rc == -ENOSPC, "%d %s", last.rc, last.why);
        ck_assert_ptr_nonnull(strstr(last.why, path));
        ck_assert_ptr_nonnull(strstr(last.why, "bytes free"));
        tug_store_close(s);
        limit_files(RLIM_INFINITY);
        held = generation_held();
        ck_assert_msg(held >= acked && held <= acked + 1, "%d acknowledged, %d there", acked, held);
    }
    clean_dir();
}
END_TEST

START_TEST(a_store_on_a_full_disk_is_not_opened)
{
    struct tug_store *s;
    struct tug_err err;

    setup_dir();
    make_store(10);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(20 << 10);
    unit_fails(try_open(&s, 1, &err), -ENOSPC, err, "full");
    limit_files(RLIM_INFINITY);
    tug_store_close(must_open());
    clean_dir();
}
END_TEST

/* ---- a store that waits for room ---- */

struct room {
    bool is_full;
    int news;
    char why[TUG_ERR_MAX];
};

static void on_room(void *arg, const char *why)
{
    struct room *r = arg;

    r->is_full = why != NULL;
    r->news++;
    if (why != NULL)
        snprintf(r->why, sizeof r->why, "%s", why);
}

static void hand_over(struct tug_store *s, struct acks *a, int id)
{
    struct tug_batch *b = tug_batch_new();
    char text[2000];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    put(b, "job", id, text);
    tug_store_commit(s, b, on_ack, a);
}

static struct tug_batch *big_batch(void)
{
    struct tug_batch *b = tug_batch_new();
    char text[2000];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < 300; i++)
        put(b, "job", 1000 + i, text);
    return b;
}

/* No check in here: Check keeps them in a file, which is as limited as ours. */
static void fill_up(struct tug_store *s, struct acks *a, const struct room *r, int *handed)
{
    while (!r->is_full && *handed < 100000) {
        hand_over(s, a, (*handed)++);
        event_base_loop(loop, EVLOOP_ONCE);
    }
}

static int count_record(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    (void) kind, (void) id, (void) data, (void) len;
    ++*(int *) arg;
    return 0;
}

static int records_after_a_restart(void)
{
    struct tug_store *s = must_open();
    int n = 0;

    ck_assert_int_eq(tug_store_load(s, "job", count_record, &n, NULL), 0);
    tug_store_close(s);
    return n;
}

static rlim_t size_of(const char *name)
{
    struct stat st;

    return stat(name, &st) == 0 ? (rlim_t) st.st_size : 0;
}

START_TEST(a_store_that_waits_for_room_goes_on_by_itself_and_loses_nothing)
{
    int handed = 0, cycles = unit_rounds(4);
    struct acks a = {0};
    struct room r = {0};
    struct tug_store *s;

    setup_dir();
    signal(SIGXFSZ, SIG_IGN);
    s = must_open();
    tug_store_wait_for_room(s, on_room, &r);
    for (int c = 0; c < cycles; c++) {
        int acked;

        limit_files((size_of(path) > size_of(wal) ? size_of(path) : size_of(wal)) + (20 << 10));
        fill_up(s, &a, &r, &handed);
        acked = a.n;
        for (int i = 0; i < 3; i++)
            hand_over(s, &a, handed++);
        limit_files(RLIM_INFINITY);
        ck_assert_int_eq(a.n, acked);
        ck_assert_int_lt(a.n, handed - 3);
        ck_assert_ptr_nonnull(strstr(r.why, path));
        ck_assert_ptr_nonnull(strstr(r.why, "file system /"));
        ck_assert_ptr_nonnull(strstr(r.why, "bytes free"));
        while (a.n < handed) {
            ck_assert_int_eq(a.failed, 0);
            turn();
        }
        ck_assert(!r.is_full);
    }
    tug_store_close(s);
    ck_assert_int_eq(a.failed, 0);
    ck_assert_int_eq(records_after_a_restart(), handed);
    printf("# %d batches in %d cycles, %d news\n", handed, cycles, r.news);
    clean_dir();
}
END_TEST

START_TEST(what_has_no_room_at_a_close_fails_and_what_was_acknowledged_is_there)
{
    struct acks a = {0};
    struct room r = {0};
    struct tug_store *s;
    int handed = 0, held;

    setup_dir();
    signal(SIGXFSZ, SIG_IGN);
    s = must_open();
    tug_store_wait_for_room(s, on_room, &r);
    for (; handed < 5; handed++)
        hand_over(s, &a, handed);
    while (a.n < handed)
        turn();
    limit_files(100 << 10); /* which would never take the next one */
    tug_store_commit(s, big_batch(), on_ack, &a);
    while (!r.is_full)
        event_base_loop(loop, EVLOOP_ONCE);
    tug_store_close(s);
    limit_files(RLIM_INFINITY);
    ck_assert_int_eq(a.n, handed + 1);
    ck_assert_int_eq(a.failed, 1);
    ck_assert_int_eq(a.rc, -ENOSPC);
    held = records_after_a_restart();
    ck_assert_int_eq(held, handed);
    clean_dir();
}
END_TEST

START_TEST(a_store_that_waits_for_room_does_not_wait_after_a_failed_sync)
{
    struct room r = {0};
    struct tug_store *s;
    struct acks last;

    setup_dir();
    s = must_open();
    tug_store_wait_for_room(s, on_room, &r);
    sync_error = ENOSPC;
    syncs = 0;
    fail_sync_once = 1;
    fail_sync_at = 3;
    commit_until_failure(s, 10, &last);
    fail_sync_at = 0;
    sync_error = EIO;
    ck_assert_int_eq(last.rc, -EIO);
    ck_assert_int_eq(r.news, 0);
    ck_assert_int_eq(commit(s, tug_batch_new()), -EIO);
    tug_store_close(s);
    clean_dir();
}
END_TEST

UNIT_MAIN("host/store", a_store_that_waits_for_room_goes_on_by_itself_and_loses_nothing,
          what_has_no_room_at_a_close_fails_and_what_was_acknowledged_is_there,
          a_store_that_waits_for_room_does_not_wait_after_a_failed_sync, what_was_committed_is_there_after_a_restart,
          a_load_stops_when_the_callback_says_so,
          callbacks_come_in_order_and_waiting_batches_share_a_transaction,
          one_transaction_costs_one_sync,
          a_relaxed_store_has_all_on_the_disk_when_it_is_asked_to_and_says_when_it_has_not, a_relaxed_store_does_not_sync_for_each_commit,
          closing_commits_what_was_handed_over_and_runs_its_callbacks,
          the_log_is_checkpointed_before_it_grows_without_end,
          the_file_and_its_log_are_closed_to_others, history_is_filtered_and_comes_newest_first,
          a_query_sees_every_commit_whose_callback_has_come,
          queries_that_a_close_cuts_off_are_told_so,
          a_second_daemon_is_refused_with_the_pid_of_the_first,
          a_file_that_is_not_there_is_made_only_when_asked,
          a_file_of_a_newer_version_or_another_program_is_refused,
          a_file_of_the_version_before_is_brought_to_this_one_and_a_copy_is_kept,
          a_migration_that_fails_leaves_the_version_before_and_can_be_tried_again,
          a_truncated_file_is_refused_at_every_length, a_text_file_is_refused_and_left_alone,
          files_and_directories_that_others_may_read_are_refused,
          a_network_file_system_is_refused_by_name, a_changed_record_is_named,
          a_missing_record_is_noticed, a_changed_history_row_is_named,
          damage_in_a_big_file_is_told_while_the_daemon_runs,
          a_flipped_byte_is_told_or_makes_no_difference,
          a_flipped_byte_in_the_log_drops_nothing_silently,
          every_acknowledged_batch_survives_kill_and_no_batch_survives_in_part,
          a_failed_sync_is_never_acknowledged_nor_tried_again,
          all_batches_that_share_a_failed_transaction_are_told,
          a_sync_that_fails_while_a_store_is_opened_or_made_is_told,
          a_full_disk_is_told_and_loses_nothing_that_was_acknowledged,
          a_store_on_a_full_disk_is_not_opened)
