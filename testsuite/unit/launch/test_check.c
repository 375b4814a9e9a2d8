/* test_check.c - a launch order is obeyed only when every field of it is meant for here and now */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

#include "host/net.h"
#include "launch/check.h"

#define WALL_MS 1700000000000LL

static struct tug_keypair keys;
static struct tug_rules rules;
static struct tug_order order;
static struct tug_err err;
static int payload;

static int make_payload(const char *text, int seals)
{
    int fd = memfd_create("payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t) strlen(text));
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static void setup(void)
{
    ck_assert_int_ge(sodium_init(), 0);
    tug_keypair_make(&keys);
    rules = (struct tug_rules){.cluster = "lab", .node = "gpu03", .self = 0, .min_uid = 1000, .max_epoch = 7};
    memcpy(rules.controller_pub, keys.pub, 32);
    memset(rules.boot_id, 0xb0, 16);
    order = (struct tug_order){.cluster = "lab", .node = "gpu03", .epoch = 7, .job = 71, .attempt = 2, .step = 0,
                               .uid = 1000, .gid = 1000, .n_gids = 1, .gids = {44}, .expires_wall_ms = WALL_MS + 60000};
    memset(order.boot_id, 0xb0, 16);
    payload = make_payload("payload", F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    crypto_generichash(order.payload_digest, 32, (const uint8_t *) "payload", 7, NULL, 0);
    memset(&err, 0, sizeof err);
}

static int check(void)
{
    struct tug_order out = {0};
    uint8_t wire[TUG_ORDER_LEN], sig[64];
    ck_assert_int_eq(tug_order_pack(&order, wire, NULL), 0);
    tug_sign(&keys, "tug-order-v1", wire, sizeof wire, sig);
    int rc = tug_check_order(&rules, wire, sig, payload, WALL_MS, &out, &err);
    if (!rc)
        ck_assert_int_eq(out.job, 71);
    else
        ck_assert_int_eq(out.job, 0);
    return rc;
}

START_TEST(an_order_for_here_and_now_is_obeyed)
{
    setup();
    ck_assert_msg(check() == 0, "%s", err.msg);
}
END_TEST

START_TEST(any_changed_bit_breaks_the_signature)
{
    setup();
    uint8_t wire[TUG_ORDER_LEN], sig[64];
    struct tug_order out;
    ck_assert_int_eq(tug_order_pack(&order, wire, NULL), 0);
    tug_sign(&keys, "tug-order-v1", wire, sizeof wire, sig);
    for (size_t bit = 0; bit < 8 * sizeof wire; bit++) {
        wire[bit / 8] ^= (uint8_t) (1 << (bit % 8));
        ck_assert_int_eq(tug_check_order(&rules, wire, sig, payload, WALL_MS, &out, &err), -EACCES);
        wire[bit / 8] ^= (uint8_t) (1 << (bit % 8));
    }
    for (size_t bit = 0; bit < 8 * sizeof sig; bit++) {
        sig[bit / 8] ^= (uint8_t) (1 << (bit % 8));
        ck_assert_int_eq(tug_check_order(&rules, wire, sig, payload, WALL_MS, &out, &err), -EACCES);
        sig[bit / 8] ^= (uint8_t) (1 << (bit % 8));
    }
    ck_assert_str_eq(err.msg, "the launch order is not signed with the controller's key");
    ck_assert_int_eq(tug_check_order(&rules, wire, sig, payload, WALL_MS, &out, &err), 0);
}
END_TEST

START_TEST(a_signature_for_another_purpose_or_by_another_key_does_not_count)
{
    struct tug_keypair other;
    uint8_t wire[TUG_ORDER_LEN], sig[64];
    struct tug_order out;
    setup();
    ck_assert_int_eq(tug_order_pack(&order, wire, NULL), 0);
    tug_sign(&keys, "tug-node-v1", wire, sizeof wire, sig);
    ck_assert_int_eq(tug_check_order(&rules, wire, sig, payload, WALL_MS, &out, &err), -EACCES);
    tug_keypair_make(&other);
    tug_sign(&other, "tug-order-v1", wire, sizeof wire, sig);
    ck_assert_int_eq(tug_check_order(&rules, wire, sig, payload, WALL_MS, &out, &err), -EACCES);
}
END_TEST

START_TEST(an_order_for_elsewhere_is_refused_with_both_names)
{
    setup();
    strcpy(order.cluster, "prod");
    unit_fails(check(), -EPERM, err, "the order is for cluster 'prod'; this is 'lab'");
    setup();
    strcpy(order.node, "gpu04");
    unit_fails(check(), -EPERM, err, "the order is for node 'gpu04'; this is 'gpu03'");
}
END_TEST

START_TEST(an_order_of_an_earlier_boot_is_refused)
{
    setup();
    order.boot_id[15] ^= 1;
    unit_fails(check(), -EPERM, err, "another boot of node 'gpu03'");
}
END_TEST

START_TEST(an_order_of_a_lower_epoch_is_refused)
{
    setup();
    order.epoch = 6;
    unit_fails(check(), -EPERM, err, "the order is of epoch 6; epoch 7 has been obeyed");
    setup();
    order.epoch = 8;
    ck_assert_int_eq(check(), 0);
}
END_TEST

START_TEST(an_order_expires_to_the_millisecond)
{
    setup();
    order.expires_wall_ms = WALL_MS;
    ck_assert_int_eq(check(), 0);
    order.expires_wall_ms = WALL_MS - 1;
    unit_fails(check(), -EPERM, err, "the order expired 0 s ago");
    order.expires_wall_ms = WALL_MS - 90000;
    unit_fails(check(), -EPERM, err, "the order expired 90 s ago");
}
END_TEST

START_TEST(root_and_system_users_run_no_steps)
{
    setup();
    order.uid = 0;
    unit_fails(check(), -EPERM, err, "uid 0; root runs no steps");
    order.uid = 999;
    unit_fails(check(), -EPERM, err, "uids below 1000 (--min-uid) run no steps");
    order.uid = UINT32_MAX;
    unit_fails(check(), -EPERM, err, "-1 is no identity");
    order.uid = 1000;
    order.gid = UINT32_MAX;
    unit_fails(check(), -EPERM, err, "-1 is no identity");
}
END_TEST

START_TEST(one_users_launcher_runs_only_that_user)
{
    setup();
    rules.one_user = true;
    rules.self = 500;
    unit_fails(check(), -EPERM, err, "the order is for uid 1000, and this launcher can only run steps of uid 500");
    order.uid = 0;
    unit_fails(check(), -EPERM, err, "can only run steps of uid 500");
    order.uid = 500;
    ck_assert_int_eq(check(), 0);
}
END_TEST

START_TEST(an_order_for_no_job_is_refused)
{
    setup();
    order.job = 0;
    unit_fails(check(), -EPERM, err, "names no job and attempt");
    setup();
    order.attempt = 0;
    unit_fails(check(), -EPERM, err, "names no job and attempt");
}
END_TEST

START_TEST(the_payload_must_be_the_one_that_was_signed)
{
    setup();
    order.payload_digest[0] ^= 1;
    unit_fails(check(), -EPROTO, err, "its digest differs");
    setup();
    payload = make_payload("payloae", F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    unit_fails(check(), -EPROTO, err, "its digest differs");
}
END_TEST

START_TEST(a_payload_that_can_still_change_is_refused)
{
    static const int too_few[] = {0, F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_WRITE | F_SEAL_GROW, F_SEAL_WRITE | F_SEAL_SHRINK};
    setup();
    for (size_t i = 0; i < sizeof too_few / sizeof *too_few; i++) {
        payload = make_payload("payload", too_few[i]);
        unit_fails(check(), -EPROTO, err, "not a sealed memfd");
    }
    payload = open("/dev/null", O_RDONLY);
    unit_fails(check(), -EPROTO, err, "not a sealed memfd");
}
END_TEST

START_TEST(the_controllers_key_is_a_file_that_nobody_else_can_write)
{
    char dir[] = "/tmp/tug-check-XXXXXX", path[64], path_pub[80];
    uint8_t pub[32];
    setup();
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/key", dir);
    snprintf(path_pub, sizeof path_pub, "%s.pub", path);
    ck_assert_int_eq(tug_keypair_load(path, &keys, 1, &err), 0);
    ck_assert_msg(tug_check_load_key(path_pub, pub, &err) == 0, "%s", err.msg);
    ck_assert_mem_eq(pub, keys.pub, 32);
    ck_assert_int_eq(chmod(path_pub, 0664), 0);
    unit_fails(tug_check_load_key(path_pub, pub, &err), -EPERM, err, "nobody else can write");
    unit_fails(tug_check_load_key(dir, pub, &err), -EPERM, err, dir);
    unit_fails(tug_check_load_key("/nonexistent", pub, &err), -ENOENT, err, "/nonexistent");
    int fd = open(path_pub, O_WRONLY | O_TRUNC);
    ck_assert_int_eq(write(fd, "AAAA\n", 5), 5);
    close(fd);
    chmod(path_pub, 0600);
    unit_fails(tug_check_load_key(path_pub, pub, &err), -EINVAL, err, "32 bytes of base64");
    unlink(path);
    unlink(path_pub);
    rmdir(dir);
}
END_TEST

UNIT_MAIN("launch/check", an_order_for_here_and_now_is_obeyed, any_changed_bit_breaks_the_signature,
          a_signature_for_another_purpose_or_by_another_key_does_not_count,
          an_order_for_elsewhere_is_refused_with_both_names, an_order_of_an_earlier_boot_is_refused,
          an_order_of_a_lower_epoch_is_refused, an_order_expires_to_the_millisecond, root_and_system_users_run_no_steps,
          one_users_launcher_runs_only_that_user, an_order_for_no_job_is_refused,
          the_payload_must_be_the_one_that_was_signed, a_payload_that_can_still_change_is_refused,
          the_controllers_key_is_a_file_that_nobody_else_can_write)
