/* test_ras.c - NCCL's status service: its report, and a server that answers well, badly, late or not at all */
#include "unit.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/in.h>

#include "base/buf.h"
#include "base/rand.h"
#include "host/loop.h"
#include "stepd/ras.h"

/* As NCCL 2.28 writes it (the names; the values are ours). */
static const char report_text[] =
    "{\n  \"nccl_version\": \"2.28.9\",\n  \"cuda_runtime_version\": 13000,\n  \"cuda_driver_version\": 13000,\n"
    "  \"timestamp\": \"2026-11-29 12:00:00\",\n  \"communicators_count\": 1,\n  \"communicators\": [\n    {\n"
    "      \"hash\": \"0x1234\",\n      \"secondary_hash\": \"0x1:0x2\",\n      \"size\": 3,\n"
    "      \"ranks_count\": 2,\n      \"missing_ranks_count\": 1,\n      \"ranks\": [\n"
    "        {\n          \"rank\": 0,\n          \"host\": \"10.0.0.1\",\n          \"pid\": 4711,\n"
    "          \"cuda_dev\": 0,\n          \"nvml_dev\": 0,\n          \"status\": {\n            \"init_state\": 0,\n"
    "            \"async_error\": 7,\n            \"finalize_called\": false,\n            \"destroy_flag\": false,\n"
    "            \"abort_flag\": false\n          },\n          \"collective_counts\": {\n"
    "            \"Broadcast\": 3,\n            \"AllReduce\": 117,\n            \"SendRecv\": 900\n          }\n        },\n"
    "        {\n          \"rank\": 1,\n          \"host\": \"10.0.0.2\",\n          \"pid\": 815,\n"
    "          \"status\": {\n            \"init_state\": 0,\n            \"async_error\": 6\n          },\n"
    "          \"collective_counts\": {\n            \"Broadcast\": 3,\n            \"AllReduce\": 116\n          }\n"
    "        }\n      ],\n      \"missing_ranks\": [\n        {\n          \"rank\": 2,\n          \"host\": \"10.0.0.3\",\n"
    "          \"pid\": 99,\n          \"status\": {\n            \"unresponsive\": true,\n"
    "            \"considered_dead\": true\n          }\n        }\n      ]\n    }\n  ],\n  \"ras\": {\n"
    "    \"collection_time_sec\": 0.012,\n    \"timeouts_count\": 0\n  }\n}\n";

static struct tug_ras_report report;
static struct tug_err err;

START_TEST(a_report_is_read)
{
    ck_assert_int_eq(tug_ras_report_read(&report, report_text, strlen(report_text), &err), 0);
    ck_assert_str_eq(report.version, "2.28.9");
    ck_assert_uint_eq(report.comms, 1);
    ck_assert_uint_eq(report.ranks.len, 3);
    const struct tug_ras_rank *r = report.ranks.at;
    ck_assert_uint_eq(r[0].comm_size, 3);
    ck_assert_uint_eq(r[0].comm, r[2].comm);
    ck_assert_str_eq(r[0].host, "10.0.0.1");
    ck_assert_int_eq(r[0].pid, 4711);
    ck_assert_uint_eq(r[0].count, 120); /* without what is from one to one */
    ck_assert_int_eq(r[0].error, 0);    /* in progress is none */
    ck_assert_uint_eq(r[1].count, 119);
    ck_assert_int_eq(r[1].error, 6);
    ck_assert(!r[1].missing && r[2].missing && r[2].dead);
    ck_assert_uint_eq(r[2].rank, 2);
    tug_ras_report_clear(&report);
}
END_TEST

START_TEST(a_report_that_is_cut_off_anywhere_is_refused)
{
    for (size_t len = 0; len + 2 < sizeof report_text; len++)
        ck_assert_msg(tug_ras_report_read(&report, report_text, len, &err) == -EPROTO, "%zu bytes were taken", len);
    unit_fails(tug_ras_report_read(&report, "[]", 2, &err), -EPROTO, err, "no object at byte 0");
    unit_fails(tug_ras_report_read(&report, "{}", 2, &err), -EPROTO, err, "no version");
    unit_fails(tug_ras_report_read(&report, "{\"a\":1} x", 9, &err), -EPROTO, err, "something behind its end");
}
END_TEST

START_TEST(a_report_with_changed_bytes_is_read_or_refused)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    int rounds = unit_rounds(3000);

    for (int i = 0; i < rounds; i++) {
        char text[sizeof report_text];
        memcpy(text, report_text, sizeof text);
        for (int k = 0; k < 3; k++)
            text[tug_rand_below(&r, sizeof text - 1)] = (char) tug_rand_below(&r, 256);
        if (tug_ras_report_read(&report, text, sizeof text - 1, &err) == 0)
            tug_ras_report_clear(&report);
    }
}
END_TEST

START_TEST(deep_nesting_is_refused)
{
    struct tug_buf b = {0};

    tug_buf_adds(&b, "{\"x\":");
    for (int i = 0; i < 100000; i++)
        tug_buf_addc(&b, '[');
    unit_fails(tug_ras_report_read(&report, b.data, b.len, &err), -EPROTO, err, "nested too deep");
    tug_buf_clear(&b);
}
END_TEST

START_TEST(a_large_report_takes_no_time_to_speak_of)
{
    struct tug_buf b = {0};
    struct timespec from, to;

    tug_buf_adds(&b, "{\"nccl_version\":\"2.29.1\",\"communicators\":[");
    for (int c = 0; c < 16; c++) {
        tug_buf_addf(&b, "%s{\"hash\":\"0x%x\",\"size\":1024,\"ranks\":[", c ? "," : "", c);
        for (int i = 0; i < 1024; i++)
            tug_buf_addf(&b,
                         "%s{\"rank\":%d,\"host\":\"10.1.2.3\",\"pid\":%d,\"status\":{\"init_state\":0,"
                         "\"async_error\":0},\"collective_counts\":{\"AllReduce\":%d,\"AllGather\":3}}",
                         i ? "," : "", i, 1000 + i, 5000 + c);
        tug_buf_adds(&b, "],\"missing_ranks\":[]}");
    }
    tug_buf_adds(&b, "]}");
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    ck_assert_int_eq(tug_ras_report_read(&report, b.data, b.len, &err), 0);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    double ms = (double) (to.tv_sec - from.tv_sec) * 1e3 + (double) (to.tv_nsec - from.tv_nsec) / 1e6;
    printf("# 16 communicators of 1,024 ranks, %zu KiB: %.1f ms\n", b.len >> 10, ms);
    ck_assert_uint_eq(report.ranks.len, 16 * 1024);
    ck_assert_double_lt(ms, 2000);
    tug_ras_report_clear(&report);
    tug_buf_clear(&b);
}
END_TEST

/* ---- a server ---- */

enum manner { WELL, IN_PIECES, OLD, GARBAGE, SILENT, HANGS_UP, HALF, ENDLESS };

struct server {
    enum manner manner;
    struct tug_loop *loop;
    struct evconnlistener *listener;
    struct tug_vec(struct bufferevent *) conns;
    struct tug_timer *more;
    char addr[32];
    struct tug_buf heard;
    size_t sent;
    /* the answer */
    int answers, code;
    char text[TUG_ERR_MAX];
    size_t ranks;
};

static void on_more(void *arg)
{
    struct server *s = arg;
    size_t left = strlen(report_text) - s->sent, n = left < 97 ? left : 97;
    struct bufferevent *bev = s->conns.at[s->conns.len - 1];

    ck_assert_int_eq(send(bufferevent_getfd(bev), report_text + s->sent, n, 0), (ssize_t) n);
    s->sent += n;
    if (s->sent < strlen(report_text))
        tug_timer_set(s->more, tug_now_ms() + 1);
    else
        shutdown(bufferevent_getfd(bev), SHUT_WR);
}

static void say(struct bufferevent *bev, const char *text)
{
    bufferevent_write(bev, text, strlen(text));
}

/* Says it at once, and that this was all. */
static void say_last(struct bufferevent *bev, const char *text, size_t len)
{
    ck_assert_int_eq(send(bufferevent_getfd(bev), text, len, 0), (ssize_t) len);
    shutdown(bufferevent_getfd(bev), SHUT_WR);
}

static void on_line(struct server *s, struct bufferevent *bev, const char *line)
{
    tug_buf_addf(&s->heard, "%s|", line);
    if (s->manner == SILENT)
        return;
    if (s->manner == GARBAGE)
        say(bev, "HTTP/1.1 400 Bad Request\r\n");
    else if (s->manner == HANGS_UP)
        shutdown(bufferevent_getfd(bev), SHUT_RDWR);
    else if (strcmp(line, "CLIENT PROTOCOL 2") == 0)
        say(bev, "SERVER PROTOCOL 2\n");
    else if (strcmp(line, "TIMEOUT 5") == 0)
        say(bev, "OK\n");
    else if (strcmp(line, "SET FORMAT json") == 0)
        say(bev, s->manner == OLD ? "ERROR: Unknown command SET FORMAT json\n" : "OK\n");
    else if (strcmp(line, "VERBOSE STATUS") != 0)
        say(bev, "ERROR: Unknown command\n");
    else if (s->manner == WELL)
        say_last(bev, report_text, strlen(report_text));
    else if (s->manner == HALF)
        say_last(bev, report_text, strlen(report_text) / 2);
    else if (s->manner == IN_PIECES)
        on_more(s);
    else
        say(bev, "{"); /* and on_writable() goes on */
}

static void on_read(struct bufferevent *bev, void *arg)
{
    char *line;

    while ((line = evbuffer_readln(bufferevent_get_input(bev), NULL, EVBUFFER_EOL_LF))) {
        on_line(arg, bev, line);
        free(line);
    }
}

static void on_writable(struct bufferevent *bev, void *arg)
{
    static char blanks[65536];
    struct server *s = arg;

    if (s->manner != ENDLESS || !strstr(tug_buf_str(&s->heard), "VERBOSE"))
        return;
    memset(blanks, ' ', sizeof blanks);
    bufferevent_write(bev, blanks, sizeof blanks);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from, int len, void *arg)
{
    struct server *s = arg;
    struct bufferevent *bev = bufferevent_socket_new(tug_loop_base(s->loop), fd, BEV_OPT_CLOSE_ON_FREE);

    (void) l, (void) from, (void) len;
    bufferevent_setcb(bev, on_read, on_writable, NULL, s);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
    tug_vec_push(&s->conns, bev);
}

static void on_answer(void *arg, const struct tug_ras_report *r, const struct tug_err *why)
{
    struct server *s = arg;

    s->answers++;
    s->code = r ? 0 : why->code;
    s->ranks = r ? r->ranks.len : 0;
    snprintf(s->text, sizeof s->text, "%s", r ? "" : why->msg);
    tug_loop_stop(s->loop);
}

static struct server *serve(enum manner manner)
{
    struct server *s = calloc(1, sizeof *s);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    s->manner = manner;
    ck_assert_int_eq(tug_loop_new(&s->loop, NULL), 0);
    ck_assert_int_eq(tug_timer_new(&s->more, tug_loop_base(s->loop), on_more, s, NULL), 0);
    s->listener = evconnlistener_new_bind(tug_loop_base(s->loop), on_accept, s, LEV_OPT_CLOSE_ON_FREE, 8,
                                          (struct sockaddr *) &at, sizeof at);
    ck_assert_ptr_nonnull(s->listener);
    getsockname(evconnlistener_get_fd(s->listener), (struct sockaddr *) &at, &len);
    snprintf(s->addr, sizeof s->addr, "localhost:%u", ntohs(at.sin_port));
    return s;
}

static void stop(struct server *s)
{
    for (size_t i = 0; i < s->conns.len; i++)
        bufferevent_free(s->conns.at[i]);
    tug_vec_clear(&s->conns);
    if (s->listener)
        evconnlistener_free(s->listener);
    tug_timer_free(s->more);
    tug_buf_clear(&s->heard);
    tug_loop_free(s->loop);
    free(s);
}

static struct server *ask(enum manner manner, unsigned limit_ms)
{
    struct server *s = serve(manner);
    struct tug_ras *ras;

    ck_assert_int_eq(tug_ras_new(&ras, tug_loop_base(s->loop), s->addr, on_answer, s, &err), 0);
    tug_ras_ask(ras, limit_ms);
    tug_loop_run(s->loop);
    ck_assert_int_eq(s->answers, 1);
    tug_ras_free(ras);
    return s;
}

START_TEST(the_protocol_is_spoken_line_by_line_and_the_report_comes)
{
    struct server *s = ask(WELL, 10000);

    ck_assert_int_eq(s->code, 0);
    ck_assert_uint_eq(s->ranks, 3);
    ck_assert_str_eq(tug_buf_str(&s->heard), "CLIENT PROTOCOL 2|TIMEOUT 5|SET FORMAT json|VERBOSE STATUS|");
    stop(s);
    s = ask(IN_PIECES, 10000);
    ck_assert_int_eq(s->code, 0);
    ck_assert_uint_eq(s->ranks, 3);
    stop(s);
}
END_TEST

START_TEST(a_server_without_json_is_said_to_be_too_old)
{
    struct server *s = ask(OLD, 10000);

    ck_assert_int_eq(s->code, -ENOTSUP);
    ck_assert_str_eq(s->text, "this NCCL is older than 2.28.7: its status service does not speak JSON");
    stop(s);
}
END_TEST

START_TEST(what_is_no_ras_server_is_quoted)
{
    struct server *s = ask(GARBAGE, 10000);

    ck_assert_int_eq(s->code, -EPROTO);
    ck_assert_str_eq(s->text, "NCCL's status service answered 'HTTP/1.1 400 Bad Request'");
    stop(s);
}
END_TEST

START_TEST(half_an_answer_is_none)
{
    struct server *s = ask(HALF, 10000);

    ck_assert_int_eq(s->code, -EPROTO);
    stop(s);
    s = ask(HANGS_UP, 10000);
    ck_assert_int_eq(s->code, -EPROTO);
    stop(s);
}
END_TEST

START_TEST(a_server_that_says_nothing_is_left_after_the_limit)
{
    struct server *s = ask(SILENT, 200);

    ck_assert_int_eq(s->code, -ETIMEDOUT);
    stop(s);
}
END_TEST

START_TEST(an_answer_without_end_is_cut_off)
{
    struct server *s = ask(ENDLESS, 50000);

    ck_assert_int_eq(s->code, -E2BIG);
    stop(s);
}
END_TEST

START_TEST(where_nobody_listens_there_is_nobody_and_one_can_ask_again)
{
    struct server *s = serve(WELL);
    struct tug_ras *ras;

    evconnlistener_disable(s->listener);
    evconnlistener_free(s->listener);
    s->listener = NULL;
    ck_assert_int_eq(tug_ras_new(&ras, tug_loop_base(s->loop), s->addr, on_answer, s, &err), 0);
    for (int i = 1; i <= 2; i++) {
        tug_ras_ask(ras, 10000);
        tug_ras_ask(ras, 10000); /* one at a time */
        tug_loop_run(s->loop);
        ck_assert_int_eq(s->answers, i);
        ck_assert_int_eq(s->code, -ECONNREFUSED);
    }
    tug_ras_free(ras);
    stop(s);
}
END_TEST

START_TEST(an_address_that_is_none_is_refused)
{
    struct server *s = serve(WELL);
    struct tug_ras *ras;

    unit_fails(tug_ras_new(&ras, tug_loop_base(s->loop), "somewhere", on_answer, s, &err), -EINVAL, err,
               "NCCL_RAS_ADDR=somewhere is not an address and a port");
    stop(s);
}
END_TEST

UNIT_MAIN("stepd/ras",
          a_report_is_read,
          a_report_that_is_cut_off_anywhere_is_refused,
          a_report_with_changed_bytes_is_read_or_refused,
          deep_nesting_is_refused,
          a_large_report_takes_no_time_to_speak_of,
          the_protocol_is_spoken_line_by_line_and_the_report_comes,
          a_server_without_json_is_said_to_be_too_old,
          what_is_no_ras_server_is_quoted,
          half_an_answer_is_none,
          a_server_that_says_nothing_is_left_after_the_limit,
          an_answer_without_end_is_cut_off,
          where_nobody_listens_there_is_nobody_and_one_can_ask_again,
          an_address_that_is_none_is_refused)
