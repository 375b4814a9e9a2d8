/* test_reach.c - a machine answers, whatever the process that listens there does */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/loop.h"
#include "host/reach.h"

static struct tug_loop *loop;

static void on_word(void *arg, enum tug_reach_word word)
{
    *(int *) arg = (int) word;
    tug_loop_stop(loop);
}

static int try_it(const char *host, unsigned port)
{
    int word = -1;
    struct tug_reach *r = tug_reach_new(tug_loop_base(loop), host, port, 20000, on_word, &word);

    tug_loop_run(loop);
    tug_reach_free(r);
    return word;
}

START_TEST(who_listens_is_reached_and_so_is_who_does_not)
{
    struct tug_reached *r;

    ck_assert_int_eq(tug_loop_new(&loop, NULL), 0);
    ck_assert_int_eq(tug_reached_new(&r, tug_loop_base(loop), "127.0.0.1", NULL), 0);
    unsigned port = tug_reached_port(r);
    ck_assert_uint_ne(port, 0);
    ck_assert_int_eq(try_it("127.0.0.1", port), TUG_REACH_ANSWERED);
    tug_reached_free(r);
    ck_assert_int_eq(try_it("127.0.0.1", port), TUG_REACH_ANSWERED); /* refused: its daemon has gone, the machine has not */
    tug_loop_free(loop);
}
END_TEST

START_TEST(who_listens_and_is_stopped_is_reached)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_eq(tug_loop_new(&loop, NULL), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &a, sizeof a), 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) &a, &len), 0);
    for (int i = 0; i < 8; i++) /* nobody takes these */
        ck_assert_int_eq(try_it("127.0.0.1", ntohs(a.sin_port)), TUG_REACH_ANSWERED);
    close(fd);
    tug_loop_free(loop);
}
END_TEST

START_TEST(what_cannot_be_tried_is_told_from_silence)
{
    struct tug_reached *r;
    struct tug_err err;

    ck_assert_int_eq(tug_loop_new(&loop, NULL), 0);
    ck_assert_int_eq(try_it("no-address", 1), TUG_REACH_UNKNOWN);
    unit_fails(tug_reached_new(&r, tug_loop_base(loop), "no-address", &err), -EADDRNOTAVAIL, err, "it is not a numeric address");
    tug_loop_free(loop);
}
END_TEST

UNIT_MAIN("host/reach", who_listens_is_reached_and_so_is_who_does_not, who_listens_and_is_stopped_is_reached,
          what_cannot_be_tried_is_told_from_silence)
