/* test_store_feed.c - all records, read on one thread and taken on another: in order, and to the first failure */
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "host/store.h"
#include "proto/msg.h"
#include "unit.h"

enum { N = 3000 }; /* more than there are batches for */

static char dir[64], path[96];
static struct event_base *loop;

static void on_done(void *arg, int rc, const char *why)
{
    (void) why;
    ck_assert_int_eq(rc, 0);
    *(int *) arg = 1;
}

static struct tug_store *open_store(void)
{
    struct tug_store_opts o = {.path = path, .create = 1};
    struct tug_store *s = NULL;
    struct tug_err err = {0};
    ck_assert_msg(tug_store_open(&s, loop, &o, &err) == 0, "%s", err.msg);
    return s;
}

/* Ids that sort as text as they do as numbers; one record is larger than a batch may become. */
static struct tug_store *filled(int n)
{
    static char large[3 << 20];
    struct tug_batch *b = tug_batch_new();
    int done = 0;
    strcpy(dir, "/tmp/tug-feed.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/state.db", dir);
    loop = event_base_new();
    for (int i = 0; i < n; i++) {
        char id[16];
        snprintf(id, sizeof id, "%06d", i);
        tug_batch_put(b, "job", id, i == 777 ? large : id, i == 777 ? sizeof large : strlen(id));
    }
    struct tug_store *s = open_store();
    tug_store_commit(s, b, on_done, &done);
    while (!done)
        event_base_loop(loop, EVLOOP_ONCE);
    return s;
}

static void clean(struct tug_store *s)
{
    char command[128];
    tug_store_close(s);
    event_base_free(loop);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

struct made {
    int number;
    size_t len;
};

struct heard {
    pthread_t taker;
    int read_fails_at, take_fails_at; /* -1: never */
    int read, taken;
};

static int on_read(void *arg, struct tug_arena *a, const char *kind, const char *id, const void *data, size_t len,
                   void **out, struct tug_err *err)
{
    struct heard *h = arg;
    struct made *m = tug_arena_alloc(a, sizeof *m);
    (void) data;
    ck_assert(!pthread_equal(pthread_self(), h->taker));
    ck_assert_str_eq(kind, "job");
    *m = (struct made){atoi(id), len};
    *out = m;
    ck_assert_int_eq(m->number, h->read);
    if (h->read++ == h->read_fails_at)
        return tug_fail(err, -EPROTO, "record %s is odd", id);
    return 0;
}

static int on_take(void *arg, void *made, struct tug_err *err)
{
    struct heard *h = arg;
    const struct made *m = made;
    ck_assert(pthread_equal(pthread_self(), h->taker));
    ck_assert_int_eq(m->number, h->taken);
    ck_assert_uint_eq(m->len, m->number == 777 ? 3 << 20 : 6);
    if (h->taken++ == h->take_fails_at)
        return tug_fail(err, -EEXIST, "record %d is there twice", m->number);
    return 0;
}

static int feed(struct tug_store *s, struct heard *h, struct tug_err *err)
{
    struct tug_store_feed f = {on_read, on_take, h};
    h->taker = pthread_self();
    return tug_store_feed(s, &f, err);
}

START_TEST(every_record_is_read_and_then_taken_in_the_order_of_the_store)
{
    struct tug_store *s = filled(N);
    struct heard h = {.read_fails_at = -1, .take_fails_at = -1};
    struct tug_err err = {0};
    ck_assert_msg(feed(s, &h, &err) == 0, "%s", err.msg);
    ck_assert_int_eq(h.read, N);
    ck_assert_int_eq(h.taken, N);
    clean(s);
}
END_TEST

START_TEST(an_empty_store_gives_nothing)
{
    struct tug_store *s = filled(0);
    struct heard h = {.read_fails_at = -1, .take_fails_at = -1};
    ck_assert_int_eq(feed(s, &h, NULL), 0);
    ck_assert_int_eq(h.read, 0);
    clean(s);
}
END_TEST

START_TEST(what_cannot_be_read_is_named_after_all_before_it_were_taken)
{
    static const int at[] = {0, 1, 127, 128, 129, 1500, N - 1};
    struct tug_store *s = filled(N);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        struct heard h = {.read_fails_at = at[i], .take_fails_at = -1};
        struct tug_err err = {0};
        char words[48];
        snprintf(words, sizeof words, "record %06d is odd", at[i]);
        unit_fails(feed(s, &h, &err), -EPROTO, err, words);
        ck_assert_int_eq(h.taken, at[i]);
    }
    clean(s);
}
END_TEST

START_TEST(what_cannot_be_taken_ends_it_though_the_reader_is_ahead)
{
    static const int at[] = {0, 127, 128, 1000, N - 1};
    struct tug_store *s = filled(N);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        struct heard h = {.read_fails_at = at[i] == N - 1 ? -1 : N - 1, .take_fails_at = at[i]};
        struct tug_err err = {0};
        unit_fails(feed(s, &h, &err), -EEXIST, err, "is there twice");
        ck_assert_int_eq(h.taken, at[i] + 1);
    }
    clean(s);
}
END_TEST

START_TEST(a_damaged_record_is_named)
{
    struct tug_store *s = filled(N);
    struct heard h = {.read_fails_at = -1, .take_fails_at = -1};
    struct tug_err err = {0};
    sqlite3 *db = NULL;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "UPDATE record SET data = 'x' WHERE id = '002000'", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    unit_fails(feed(s, &h, &err), -EILSEQ, err, "record job/002000 is damaged");
    ck_assert_int_eq(h.taken, 2000);
    clean(s);
}
END_TEST

UNIT_MAIN("host/store_feed", every_record_is_read_and_then_taken_in_the_order_of_the_store, an_empty_store_gives_nothing,
          what_cannot_be_read_is_named_after_all_before_it_were_taken,
          what_cannot_be_taken_ends_it_though_the_reader_is_ahead, a_damaged_record_is_named)
