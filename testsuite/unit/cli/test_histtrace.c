/* test_histtrace.c - a job of the history as a line of a trace */
#include "unit.h"

#include "cli/histtrace.h"

START_TEST(a_line_has_what_was_asked_for_and_what_was_decided)
{
    Tugpb__JobView j = TUGPB__JOB_VIEW__INIT;
    Tugpb__Slice a = TUGPB__SLICE__INIT, b = TUGPB__SLICE__INIT;
    Tugpb__Slice *slices[] = {&a, &b};
    struct tug_buf out = {0};
    a.node = (char *) "n1";
    a.gpus = 0x0f;
    b.node = (char *) "n2";
    b.gpus = 0x0b;
    j.id = 7;
    j.user = (char *) "ann, \"the\" user";
    j.queue = (char *) "main";
    j.state = (char *) "COMPLETED";
    j.attempt = 1;
    j.nodes = j.ntasks = j.cpus = 2;
    j.gpus = 7;
    j.gpus_last = 3;
    j.time_limit_s = 60;
    j.submit_ms = j.eligible_ms = 1005;
    j.alloc_ms = 2000;
    j.end_ms = 3500;
    j.slices = slices;
    j.n_slices = 2;
    j.predicted_mbs = 45500;
    j.best_mbs = 91000;
    j.quality = 0.5;
    tug_histtrace_line(&out, &j);
    ck_assert_str_eq(tug_buf_str(&out),
                     "7,1.005,1.500,7,2,\"ann, \"\"the\"\" user\",main,completed,,0,2,0.995,60,,,"
                     "2.000,3.500,\"n1:0-3;n2:0-1,3\",1,2,3,0,0,0,,,45.5,0.500,1000,,,,,,,,,,\n");
    tug_buf_clear(&out);
}
END_TEST

START_TEST(what_has_not_happened_is_left_empty)
{
    Tugpb__JobView j = TUGPB__JOB_VIEW__INIT;
    struct tug_buf out = {0};
    j.id = 8;
    j.user = (char *) "bob";
    j.state = (char *) "PENDING";
    j.attempt = j.nodes = j.ntasks = j.cpus = 1;
    j.submit_ms = 1000;
    j.eligible_ms = 90000;
    j.asked_nodes = (char *) "n[1-2,4]";
    tug_histtrace_line(&out, &j);
    ck_assert_str_eq(tug_buf_str(&out), "8,1.000,,0,1,bob,,pending,,0,1,,,,90.000,,,,1,1,0,0,0,0,"
                                        "\"n[1-2,4]\",,,,,,,,,,,,,,\n");
    tug_buf_clear(&out);
}
END_TEST

START_TEST(what_was_held_begins_when_it_was_released_and_what_is_held_never)
{
    Tugpb__JobView j = TUGPB__JOB_VIEW__INIT;
    Tugpb__JobHold held = TUGPB__JOB_HOLD__INIT;
    struct tug_buf out = {0};
    j.id = 8;
    j.user = (char *) "bob";
    j.state = (char *) "PENDING";
    j.attempt = j.nodes = j.ntasks = j.cpus = 1;
    j.submit_ms = 1000;
    j.eligible_ms = 4000; /* it was held for 3 s, long after it came */
    j.held_ms = 3000;
    j.released_ms = 90000;
    tug_histtrace_line(&out, &j);
    ck_assert_str_eq(tug_buf_str(&out), "8,1.000,,0,1,bob,,pending,,0,1,,,,90.000,,,,1,1,0,0,0,0,,,,,,,,,,,,,,,\n");
    tug_buf_reset(&out);
    j.held = &held;
    tug_histtrace_line(&out, &j);
    ck_assert_str_eq(tug_buf_str(&out), "8,1.000,,0,1,bob,,pending,,0,1,,,,9999999999.000,,,,1,1,0,0,0,0,,,,,,,,,,,,,,,\n");
    tug_buf_clear(&out);
}
END_TEST

START_TEST(a_line_has_what_was_asked_of_its_place)
{
    Tugpb__JobView j = TUGPB__JOB_VIEW__INIT;
    struct tug_buf out = {0};
    j.state = (char *) "PENDING";
    j.submit_ms = j.eligible_ms = 1000;
    j.gpus = 1;
    j.gpu_milli = 250;
    j.asked_topology = (char *) "leaf";
    j.topology_required = j.spread = 1;
    j.topology_domains = 2;
    j.topology_wait_s = 60;
    j.segment = 4;
    j.exclusive_level = (char *) "rack, row";
    j.quality_floor = 800;
    j.quality_wait_s = 1800;
    tug_histtrace_line(&out, &j);
    const char *asked = strstr(tug_buf_str(&out), "250,");
    ck_assert_ptr_nonnull(asked);
    ck_assert_str_eq(asked, "250,leaf,1,2,60,4,1,\"rack, row\",800,1800,\n");
    j.quality_wait_s = UINT32_MAX;
    tug_buf_reset(&out);
    tug_histtrace_line(&out, &j);
    ck_assert_msg(strstr(tug_buf_str(&out), ",800,,\n") != NULL, "for ever is an empty field");
    j.gpu_milli = 0;
    j.mig_profile = (char *) "1g.10gb";
    tug_buf_reset(&out);
    tug_histtrace_line(&out, &j);
    ck_assert_msg(strstr(tug_buf_str(&out), ",,leaf,1,") && strstr(tug_buf_str(&out), ",1g.10gb\n"), "slices are no GPUs");
    tug_buf_clear(&out);
}
END_TEST

UNIT_MAIN("cli/histtrace", a_line_has_what_was_asked_for_and_what_was_decided,
          what_has_not_happened_is_left_empty, what_was_held_begins_when_it_was_released_and_what_is_held_never, a_line_has_what_was_asked_of_its_place)
