/* test_json.c - messages as JSON; a parser of others (jansson) is the judge of "valid". Layer:
 * tests. */
#include "unit.h"

#include <jansson.h>

#include "proto/client.pb-c.h"
#include "proto/msg.h"
#include "proto/node.pb-c.h"

#define M(x) (&(x).base)

static json_t *parsed(const ProtobufCMessage *m, int indent)
{
    struct tug_buf b = {0};
    json_error_t e;
    tug_msg_json(&b, m, indent);
    ck_assert_uint_eq(strlen(tug_buf_str(&b)), b.len);
    json_t *j = json_loads(tug_buf_str(&b), JSON_REJECT_DUPLICATES, &e);
    ck_assert_msg(j != NULL, "%s at %d: %.200s", e.text, e.position, tug_buf_str(&b));
    tug_buf_clear(&b);
    return j;
}

static void gives(const ProtobufCMessage *m, int indent, const char *want)
{
    struct tug_buf b = {0};
    tug_buf_adds(&b, "before:");
    tug_msg_json(&b, m, indent);
    ck_assert_str_eq(tug_buf_str(&b) + 7, want);
    tug_buf_clear(&b);
}

START_TEST(every_field_is_there_with_its_name_also_when_zero)
{
    Tugpb__ShowReply r = TUGPB__SHOW_REPLY__INIT;
    gives(M(r), 0, "{\"job\":null,\"spec\":null,\"now_ms\":0}");
    Tugpb__ShowRequest q = TUGPB__SHOW_REQUEST__INIT;
    q.job = UINT64_MAX;
    q.spec = 1;
    gives(M(q), 0, "{\"job\":18446744073709551615,\"spec\":true}");
    Tugpb__PingRequest p = TUGPB__PING_REQUEST__INIT;
    gives(M(p), 2, "{}");
}
END_TEST

START_TEST(indent_puts_each_field_on_its_line)
{
    Tugpb__ExitInfo e = TUGPB__EXIT_INFO__INIT;
    Tugpb__Error f = TUGPB__ERROR__INIT, *failed[] = {&f, &f};
    uint64_t done[] = {1, 2};
    e.exit_code = INT32_MIN;
    gives(M(e), 2,
          "{\n  \"exit_code\": -2147483648,\n  \"signal\": 0,\n  \"core_dumped\": false,\n  "
          "\"oom\": false\n}");
    Tugpb__CancelReply r = TUGPB__CANCEL_REPLY__INIT;
    gives(M(r), 1, "{\n \"done\": [],\n \"failed\": []\n}");
    r.n_done = r.n_failed = 2;
    r.done = done;
    r.failed = failed;
    gives(M(r), 0,
          "{\"done\":[1,2],\"failed\":[{\"code\":0,\"text\":\"\"},{\"code\":0,\"text\":\"\"}]}");
}
END_TEST

START_TEST(enums_are_names_and_unknown_ones_numbers)
{
    Tugpb__WaitRequest w = TUGPB__WAIT_REQUEST__INIT;
    w.until = TUGPB__WAIT_FOR__WAIT_START;
    gives(M(w), 0,
          "{\"job\":0,\"until\":\"WAIT_START\",\"timeout_s\":0,\"seen_state\":\"\",\"step\":0}");
    w.until = (Tugpb__WaitFor) 77;
    gives(M(w), 0, "{\"job\":0,\"until\":77,\"timeout_s\":0,\"seen_state\":\"\",\"step\":0}");
}
END_TEST

START_TEST(bytes_are_base64_text_a_string_lists_arrays_and_keys_are_kept_back)
{
    Tugpb__StepLaunch l = TUGPB__STEP_LAUNCH__INIT;
    const char *want[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                          "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"}; /* RFC 4648 10 */
    for (size_t n = 0; n <= 6; n++) {
        l.order = (ProtobufCBinaryData){n, (uint8_t *) (uintptr_t) "foobar"};
        json_t *j = parsed(M(l), 0);
        ck_assert_str_eq(json_string_value(json_object_get(j, "order")), want[n]);
        json_decref(j);
    }
    Tugpb__JobSpec s = TUGPB__JOB_SPEC__INIT;
    s.script = (ProtobufCBinaryData){10, (uint8_t *) (uintptr_t) "#!/bin/sh\n"};
    s.env = (ProtobufCBinaryData){9, (uint8_t *) (uintptr_t) "A=1\0B=\"2"};
    s.io_key = (ProtobufCBinaryData){4, (uint8_t *) (uintptr_t) "keyy"};
    json_t *j = parsed(M(s), 0);
    ck_assert_str_eq(json_string_value(json_object_get(j, "script")), "#!/bin/sh\n");
    json_t *env = json_object_get(j, "env");
    ck_assert_uint_eq(json_array_size(env), 2);
    ck_assert_str_eq(json_string_value(json_array_get(env, 0)), "A=1");
    ck_assert_str_eq(json_string_value(json_array_get(env, 1)), "B=\"2");
    ck_assert(json_is_null(json_object_get(j, "io_key")));
    json_decref(j);
}
END_TEST

START_TEST(control_characters_are_escaped_and_come_back)
{
    char text[200];
    int n = 0;
    for (int c = 1; c < 128; c++)
        text[n++] = (char) c;
    memcpy(text + n, "\xc2\x85\xc2\x9b", 5); /* C1: a terminal would obey them */
    Tugpb__Error e = TUGPB__ERROR__INIT;
    e.text = text;
    json_t *j = parsed(M(e), 0);
    ck_assert_str_eq(json_string_value(json_object_get(j, "text")), text);
    json_decref(j);
    struct tug_buf b = {0};
    tug_msg_json(&b, M(e), 0);
    for (size_t i = 0; i < b.len; i++)
        ck_assert_msg(b.data[i] >= 0x20 && b.data[i] < 0x7f, "byte 0x%02x",
                      (unsigned char) b.data[i]);
    tug_buf_clear(&b);
}
END_TEST

START_TEST(bytes_that_are_not_utf8_become_the_replacement_character)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"a\xff"
         "b",
         "a\ufffdb"},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xba", "\u00e4\u20ac\U0001f43a"},
        {"\xc0\xaf", "\ufffd\ufffd"}, /* overlong */
        {"\xe0\x80\xaf", "\ufffd\ufffd\ufffd"},
        {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},           /* surrogate */
        {"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"}, /* over U+10FFFF */
        {"\xe2\x82", "\ufffd\ufffd"},                     /* cut at the end */
        {"\x80", "\ufffd"},
        {"\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80", "\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Tugpb__Error e = TUGPB__ERROR__INIT;
        e.text = (char *) (uintptr_t) rows[i].in;
        json_t *j = parsed(M(e), 0);
        ck_assert_str_eq(json_string_value(json_object_get(j, "text")), rows[i].out);
        json_decref(j);
    }
}
END_TEST

START_TEST(whatever_bytes_a_string_has_the_json_is_valid)
{
    uint64_t x = unit_seed();
    for (int round = unit_rounds(20000); round > 0; round--) {
        char text[24];
        int n = 0;
        for (; n < 23; n++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            text[n] = (char) (x >> 56);
            if (!text[n])
                break;
        }
        text[n] = '\0';
        Tugpb__Error e = TUGPB__ERROR__INIT;
        e.text = text;
        json_decref(parsed(M(e), round % 3));
    }
}
END_TEST

START_TEST(long_strings_and_long_lists_are_whole)
{
    Tugpb__NodeView one = TUGPB__NODE_VIEW__INIT, *views[3000];
    char name[4000];
    memset(name, '"', sizeof name - 1); /* each needs two bytes */
    name[sizeof name - 1] = '\0';
    one.name = name;
    for (int i = 0; i < 3000; i++)
        views[i] = &one;
    Tugpb__NodesReply r = TUGPB__NODES_REPLY__INIT;
    r.n_nodes = 3000;
    r.nodes = views;
    json_t *j = parsed(M(r), 0), *nodes = json_object_get(j, "nodes");
    ck_assert_uint_eq(json_array_size(nodes), 3000);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(nodes, 2999), "name")), name);
    json_decref(j);
}
END_TEST

UNIT_MAIN("proto/json", every_field_is_there_with_its_name_also_when_zero,
          indent_puts_each_field_on_its_line, enums_are_names_and_unknown_ones_numbers,
          bytes_are_base64_text_a_string_lists_arrays_and_keys_are_kept_back,
          control_characters_are_escaped_and_come_back,
          bytes_that_are_not_utf8_become_the_replacement_character,
          whatever_bytes_a_string_has_the_json_is_valid, long_strings_and_long_lists_are_whole)
