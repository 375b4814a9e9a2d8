/* test_config.c - a configuration is complete and consistent, or all that is wrong is listed */
#include "unit.h"

#include "base/log.h"
#include "conf/config.h"
#include "conf/memfiles.h"

static int load_files(const struct memfile *files, struct tug_config *c, struct tug_buf *errors)
{
    struct tug_source_reader reader = memfiles(files);
    struct tug_conf_errors errs = {0};
    int rc = tug_config_load(&reader, files[0].name, c, &errs);

    tug_conf_errors_print(&errs, errors);
    tug_conf_errors_clear(&errs);
    return rc;
}

/* A good configuration out of one text. */
static struct tug_config good(const char *text)
{
    const struct memfile files[] = {{"t.yaml", text, 0}, {0}};
    struct tug_config c = {0};
    struct tug_buf errors = {0};
    int rc = load_files(files, &c, &errors);

    ck_assert_msg(rc == 0, "%s", tug_buf_str(&errors));
    tug_buf_clear(&errors);
    return c;
}

static void is_refused(const char *text, const char *want)
{
    const struct memfile files[] = {{"t.yaml", text, 0}, {0}};
    struct tug_config c = {0}, untouched = {0};
    struct tug_buf errors = {0};
    int rc = load_files(files, &c, &errors);

    ck_assert_msg(!strcmp(tug_buf_str(&errors), want), "%s\ngave: %s\nnot:  %s", text,
                  tug_buf_str(&errors), want);
    ck_assert_int_eq(rc, -EINVAL);
    ck_assert_int_eq(memcmp(&c, &untouched, sizeof c), 0);
    tug_buf_clear(&errors);
}

START_TEST(an_empty_file_is_a_whole_configuration)
{
    struct tug_config c = good("");
    ck_assert_str_eq(c.cluster.name, "tug");
    ck_assert_str_eq(c.cluster.listen.host, "127.0.0.1");
    ck_assert_int_eq(c.cluster.listen.port, 7110);
    ck_assert_ptr_null(c.cluster.listen.path);
    struct tug_buf b = {0};
    tug_buf_addf(&b, "%s/tugd.sock", c.cluster.run_dir);
    ck_assert_str_eq(c.cluster.socket, tug_buf_str(&b));
    tug_buf_reset(&b);
    tug_buf_addf(&b, "%s/keys/controller", c.cluster.state_dir);
    ck_assert_str_eq(c.cluster.key_file, tug_buf_str(&b));
    tug_buf_clear(&b);
    ck_assert_str_eq(c.scheduler.policy, "multifactor+easy");
    ck_assert_uint_eq(c.scheduler.policy_dirs.n, 1);
    ck_assert_uint_eq(c.scheduler.policy_params.n, 0);
    ck_assert_int_eq(c.timeouts.node_timeout_s, 60);
    ck_assert_int_eq(c.timeouts.launch_timeout_s, 30);
    ck_assert_int_eq(c.timeouts.wireup_timeout_s, 120);
    ck_assert_int_eq(c.timeouts.kill_grace_s, 30);
    ck_assert_int_eq(c.timeouts.lease_s, 300);
    ck_assert_int_eq(c.timeouts.min_job_age_s, 300);
    ck_assert_int_eq(c.limits.max_script_bytes, 4 << 20);
    ck_assert_int_eq(c.limits.max_env_bytes, 1 << 20);
    ck_assert_int_eq(c.limits.max_jobs, 200000);
    ck_assert_int_eq(c.limits.min_uid, 1000);
    ck_assert_int_eq(c.logging.level, TUG_LOG_INFO);
    ck_assert_uint_eq(c.n_nodes, 0);
    ck_assert_uint_eq(c.n_queues, 1);
    const struct tug_conf_queue *q = tug_config_default_queue(&c);
    ck_assert_str_eq(q->name, "main");
    ck_assert(q->is_default && q->nodes.all);
    ck_assert_int_eq(q->state, TUG_QUEUE_UP);
    ck_assert(q->max_time_s == TUG_CONF_UNLIMITED && q->default_time_s == TUG_CONF_UNLIMITED);
    ck_assert(tug_config_queue_allows(q, "anyone"));
    ck_assert(tug_config_queue_has(q, "any-host"));
    ck_assert_ptr_null(tug_config_queue_pos(q, &q->max_time_s).file);
    tug_config_clear(&c);
    tug_config_clear(&c);
}
END_TEST

static const char whole[] =
    "cluster:\n"
    "  name: dgx\n"
    "  state_dir: /var/lib/tug\n"
    "  run_dir: /run/tug/\n"
    "  listen: '[::1]:0'\n"
    "scheduler:\n"
    "  policy: backfill\n"
    "  policy_dirs: [/opt/a, \"/opt/b c\"]\n"
    "  policy_params: {depth: 007, 'null': \"x: \\\"y\\\"\\n\\u2028\\\\\"}\n"
    "timeouts: {lease: 0s, kill_grace: 1m30s}\n"
    "limits: {max_script: 64K, max_env: 2MiB}\n"
    "logging: {level: debug}\n"
    "queues:\n"
    "  train:\n"
    "    default: yes\n"
    "    max_time: 3-00:00:00\n"
    "    nodes: gpu[1-4],gpu[10-12]\n"
    "    allow_users: [ann, bob]\n"
    "  debug:\n"
    "    priority: -10\n"
    "    default_time: 10m\n"
    "    max_time: 1h\n"
    "    nodes: [gpu12, cpu1]\n"
    "    state: down\n"
    "  null:\n"
    "  lab: {cap: 64, guarantee: 32, lend: false}\n"
    "  nlp: {parent: lab, weight: 3, guarantee: 8, borrow: false}\n"
    "accounts:\n"
    "  nlp: {weight: 2, users: [ann=2.5, bob]}\n"
    "nodes:\n"
    "  - name: gpu[1-12]\n"
    "    cpus: 128\n"
    "    memory: 2T\n"
    "    gpus: 8\n"
    "    gpu_model: H100 80G\n"
    "    machine: dgx-h100\n"
    "  - {name: cpu1, address: 10.0.0.7}\n"
    "fabric:\n"
    "  - {name: leaf1, level: leaf, parent: spine, nodes: [gpu1, \"gpu[3-4]\"]}\n"
    "  - {name: spine}\n"
    "fabric_levels:\n"
    "  leaf: {bandwidth: 400Gb/s, oversubscription: 3:2}\n";

START_TEST(every_kind_of_value_arrives)
{
    struct tug_config c = good(whole);
    ck_assert_str_eq(c.cluster.socket, "/run/tug/tugd.sock");
    ck_assert_str_eq(c.cluster.listen.host, "::1");
    ck_assert_int_eq(c.cluster.listen.port, 0);
    ck_assert_uint_eq(c.scheduler.policy_dirs.n, 2);
    ck_assert_str_eq(c.scheduler.policy_dirs.at[1], "/opt/b c");
    const struct tug_conf_param *param = c.scheduler.policy_params.at;
    ck_assert_uint_eq(c.scheduler.policy_params.n, 2);
    ck_assert_str_eq(param[0].name, "depth");
    ck_assert_str_eq(param[0].value, "007");
    ck_assert_uint_eq(param[0].name_pos.line, 9);
    ck_assert_uint_eq(param[0].name_pos.column, 19);
    ck_assert_uint_eq(param[0].value_pos.column, 26);
    ck_assert_str_eq(param[1].name, "null");
    ck_assert_str_eq(param[1].value, "x: \"y\"\n\xe2\x80\xa8\\");
    ck_assert_int_eq(c.timeouts.lease_s, 0);
    ck_assert_int_eq(c.timeouts.kill_grace_s, 90);
    ck_assert_int_eq(c.limits.max_script_bytes, 65536);
    ck_assert_int_eq(c.limits.max_env_bytes, 2 << 20);
    ck_assert_int_eq(c.logging.level, TUG_LOG_DEBUG);
    ck_assert_uint_eq(c.n_queues, 5);
    const struct tug_conf_queue *q = tug_config_find_queue(&c, "train");
    ck_assert_ptr_eq(q, tug_config_default_queue(&c));
    ck_assert_int_eq(q->max_time_s, 3 * 86400);
    ck_assert_int_eq(q->default_time_s, 3 * 86400);
    ck_assert(tug_config_queue_has(q, "gpu11") && !tug_config_queue_has(q, "gpu5"));
    ck_assert(tug_config_queue_allows(q, "bob") && !tug_config_queue_allows(q, "eve"));
    q = tug_config_find_queue(&c, "debug");
    ck_assert_int_eq(q->priority, -10);
    ck_assert_int_eq(q->default_time_s, 600);
    ck_assert_int_eq(q->state, TUG_QUEUE_DOWN);
    ck_assert(tug_config_queue_has(q, "cpu1") && tug_config_queue_has(q, "gpu12"));
    ck_assert_ptr_nonnull(tug_config_find_queue(&c, "null"));
    ck_assert_ptr_null(tug_config_find_queue(&c, "nope"));
    const struct tug_conf_node *n = tug_config_find_node(&c, "gpu7");
    ck_assert_ptr_eq(n, &c.nodes[0]);
    ck_assert_int_eq(n->cpus, 128);
    ck_assert_int_eq(n->memory_bytes, 2LL << 40);
    ck_assert_int_eq(n->gpus, 8);
    ck_assert_str_eq(n->gpu_model, "H100 80G");
    ck_assert_str_eq(n->machine, "dgx-h100");
    ck_assert_ptr_null(n->address);
    ck_assert_str_eq(tug_config_find_node(&c, "cpu1")->address, "10.0.0.7");
    ck_assert_ptr_null(tug_config_find_node(&c, "gpu13"));
    ck_assert_ptr_null(tug_config_find_node(&c, ""));
    ck_assert_uint_eq(tug_config_count_hosts(&c), 13);
    q = tug_config_find_queue(&c, "lab");
    ck_assert(q->cap == 64 && q->guarantee == 32 && q->borrow && !q->lend && !q->parent);
    q = tug_config_find_queue(&c, "nlp");
    ck_assert(q->weight == 3 && q->guarantee == 8 && !q->borrow && q->lend && q->cap == 0);
    ck_assert_str_eq(q->parent, "lab");
    ck_assert_uint_eq(c.n_accounts, 1);
    ck_assert_str_eq(c.accounts[0].users.at[0], "ann=2.5");
    ck_assert_int_eq(c.accounts[0].weight, 2);
    ck_assert_uint_eq(c.n_fabric, 2);
    ck_assert_str_eq(c.fabric[0].name, "leaf1");
    ck_assert_str_eq(c.fabric[0].level, "leaf");
    ck_assert_str_eq(c.fabric[0].parent, "spine");
    ck_assert_str_eq(c.fabric[0].nodes.text, "gpu1,gpu[3-4]");
    ck_assert_ptr_null(c.fabric[1].parent);
    ck_assert_ptr_null(c.fabric[1].nodes.text);
    ck_assert_uint_eq(c.n_fabric_levels, 1);
    ck_assert_str_eq(c.fabric_levels[0].name, "leaf");
    ck_assert_int_eq(c.fabric_levels[0].bandwidth_bytes_s, 50000000000);
    ck_assert_int_eq(c.fabric_levels[0].oversubscription_milli, 1500);
    tug_config_clear(&c);
}
END_TEST

START_TEST(a_value_tells_where_it_was_written_after_loading)
{
    const struct memfile files[] = {
        {"main.yaml", "include: q.yaml\n", 0},
        {"q.yaml", "queues:\n  train:\n    max_time: 72:00:00\n", 0},
        {0},
    };
    struct tug_config c = {0};
    struct tug_buf b = {0};
    ck_assert_int_eq(load_files(files, &c, &b), 0);
    const struct tug_conf_queue *q = &c.queues[0];
    tug_conf_pos_print(tug_config_queue_pos(q, &q->max_time_s), &b);
    ck_assert_str_eq(tug_buf_str(&b), "q.yaml:3:15");
    tug_buf_reset(&b);
    /* What is not written has the place of its queue. */
    tug_conf_pos_print(tug_config_queue_pos(q, &q->priority), &b);
    ck_assert_str_eq(tug_buf_str(&b), "q.yaml:2:3");
    tug_buf_clear(&b);
    tug_config_clear(&c);
}
END_TEST

START_TEST(the_single_queue_is_the_default)
{
    struct tug_config c = good("queues: {train: {}}\n");
    ck_assert_str_eq(tug_config_default_queue(&c)->name, "train");
    tug_config_clear(&c);
}
END_TEST

/* Each row: one text and all that is said about it. */
static const struct {
    const char *text;
    const char *errors;
} refused[] = {
    {"cluster:\n  nmae: x\n", "t.yaml:2:3: unknown key 'nmae' in cluster; did you mean 'name'?\n"},
    {"shceduler: {}\n",
     "t.yaml:1:1: unknown key 'shceduler' at the top level; did you mean 'scheduler'?\n"},
    {"logging: {zzzzzzzzz: 1}\n",
     "t.yaml:1:11: unknown key 'zzzzzzzzz' in logging; it takes level\n"},
    {"queues: {a: {name: b}}\n", "t.yaml:1:14: unknown key 'name' in queues.a; it takes "
                                 "default, priority, max_time, default_time, nodes, state, "
                                 "allow_users, tier, preempt, preempt_min_run, preempt_signal, "
                                 "preempt_notice, preflight, preflight_drains, parent, weight, guarantee, cap, borrow, lend, "
                                 "share_gpus\n"},
    {"- 1\n", "t.yaml:1:1: a configuration file is a map of sections; write 'key: value' lines\n"},
    {"timeouts: {lease: 5}\n",
     "t.yaml:1:19: timeouts.lease: '5' is not a length of time; write the "
     "unit, such as 5s or 5m\n"},
    {"timeouts: {lease: soon}\n", "t.yaml:1:19: timeouts.lease: 'soon' is not a length of time; "
                                  "write it like 30s, 5m, 1h30m, 7d or 1:30:00\n"},
    {"timeouts: {lease: unlimited}\n",
     "t.yaml:1:19: timeouts.lease: 'unlimited' is not a length of time; write it like 30s, 5m, "
     "1h30m, 7d or 1:30:00\n"},
    {"timeouts: {lease: 25h}\n",
     "t.yaml:1:19: timeouts.lease: '25h' is over the largest, 1d; it takes from 0s to 1d\n"},
    {"timeouts: {node_timeout: 0s}\n", "t.yaml:1:26: timeouts.node_timeout: '0s' is under the "
                                       "smallest, 1s; it takes from 1s to 1d\n"},
    {"queues: {q: {max_time: 0s}}\n", "t.yaml:1:24: queues.q.max_time: '0s' is under the smallest, "
                                      "1s; it takes from 1s to 3650d, or "
                                      "unlimited\n"},
    {"scheduler: {pass_max_jobs: 1000001}\n",
     "t.yaml:1:28: scheduler.pass_max_jobs: '1000001' is over the largest, 1000000 jobs; it takes "
     "from 0 to 1000000 jobs\n"},
    {"scheduler: {pass_max_jobs: 99999999999999999999}\n",
     "t.yaml:1:28: scheduler.pass_max_jobs: '99999999999999999999' is out of range; it takes from "
     "0 "
     "to 1000000 jobs\n"},
    {"scheduler: {pass_max_jobs: 0x10}\n",
     "t.yaml:1:28: scheduler.pass_max_jobs: '0x10' is not a whole number; write it in decimal "
     "digits, without a unit\n"},
    {"scheduler: {pass_max_jobs: 010}\n",
     "t.yaml:1:28: scheduler.pass_max_jobs: '010' is not a whole number; write it in decimal "
     "digits, without a unit\n"},
    {"scheduler: {pass_max_jobs: }\n",
     "t.yaml:1:28: scheduler.pass_max_jobs: has no value; write a value, or take the line out for "
     "the default\n"},
    {"scheduler: {policy: [a]}\n", "t.yaml:1:21: scheduler.policy: takes a text, not a list\n"},
    {"scheduler: {policy: ../evil}\n",
     "t.yaml:1:21: scheduler.policy: '../evil' names no policy; write a name, or names with '+' in "
     "between: sjf+easy\n"},
    {"scheduler: {policy: sjf++easy}\n",
     "t.yaml:1:21: scheduler.policy: 'sjf++easy' names no policy; write a name, or names with '+' in "
     "between: sjf+easy\n"},
    {"scheduler: {policy_dirs: [/a, b]}\n",
     "t.yaml:1:26: scheduler.policy_dirs: 'b' is not an absolute path; begin with '/'\n"},
    {"scheduler: {policy_params: {a: {b: 1}, c: }}\n",
     "t.yaml:1:32: scheduler.policy_params.a: takes a text, not a map\n"
     "t.yaml:1:43: scheduler.policy_params.c: has no value; write a value, or take the line out "
     "for "
     "the default\n"},
    {"scheduler: {policy_params: 5}\n",
     "t.yaml:1:28: scheduler.policy_params: takes a map, not a text; write 'name: value' lines "
     "below the key, indented\n"},
    {"limits: {max_env: 5}\n", "t.yaml:1:19: limits.max_env: '5' is not an amount of memory; write "
                               "it like 512K, 4M, 80G or 2T "
                               "(powers of 1024, no fractions)\n"},
    {"limits: {max_env: 1T}\n",
     "t.yaml:1:19: limits.max_env: '1T' is over the largest, 16M; it takes from 1K to 16M\n"},
    {"limits: {min_uid: 0}\n",
     "t.yaml:1:19: limits.min_uid: '0' is under the smallest, 1; it takes from 1 to 4294967294\n"},
    {"logging: {level: debgu}\n",
     "t.yaml:1:18: logging.level: 'debgu' is not known here; did you mean 'debug'?\n"},
    {"logging: {level: chatty}\n",
     "t.yaml:1:18: logging.level: 'chatty' is not known here; it takes "
     "error, warn, info or debug\n"},
    {"cluster: {state_dir: ~/x}\n",
     "t.yaml:1:22: cluster.state_dir: '~/x' is not an absolute path; '~' and '$' are not replaced; "
     "begin with '/'\n"},
    {"cluster: {state_dir: ''}\n",
     "t.yaml:1:22: cluster.state_dir: the text is empty; write a value "
     "or take the line out\n"},
    {"cluster: {name: \"a\\eb\"}\n",
     "t.yaml:1:17: cluster.name: 'a\\x1bb' has a control character in it; write it on one line "
     "without control characters\n"},
    {"cluster: {listen: /run/x.sock}\n",
     "t.yaml:1:19: cluster.listen: '/run/x.sock' is not an address; write host:port with a port "
     "from 0 to 65535, such as 10.0.0.1:7110 or [::1]:7110\n"},
    {"cluster: {listen: '::1:80'}\n", "t.yaml:1:19: cluster.listen: '::1:80' is not an address; "
                                      "write host:port with a port from 0 to "
                                      "65535, such as 10.0.0.1:7110 or [::1]:7110\n"},
    {"cluster: {listen: 'a:65536'}\n",
     "t.yaml:1:19: cluster.listen: 'a:65536' is not an address; write host:port with a port from 0 "
     "to 65535, such as 10.0.0.1:7110 or [::1]:7110\n"},
    {"cluster: {run_dir: "
     "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaa}\n",
     "t.yaml:1:20: the socket tugd.sock in this directory has a path of 110 bytes, over the "
     "system's "
     "largest, 107; use a shorter run_dir, or set cluster.socket\n"},
    {"queues:\n  a: {default: true}\n  b: {default: true}\n",
     "t.yaml:3:16: queue 'b' cannot be the default: queue 'a' is it already (t.yaml:2:16); write "
     "'default: true' for one queue only\n"},
    {"queues:\n  a: {}\n  b: {}\n",
     "t.yaml:2:3: none of the queues is the default; write 'default: "
     "true' for the one that jobs without a queue go to\n"},
    {"queues: {a: {default: false}}\n",
     "t.yaml:1:10: none of the queues is the default; write 'default: true' for the one that jobs "
     "without a queue go to\n"},
    {"queues: {a: {default: maybe}, b: {}}\n",
     "t.yaml:1:23: queues.a.default: 'maybe' is neither true nor false; write true or false\n"},
    {"queues: {a: {default_time: 2h, max_time: 1h}}\n",
     "t.yaml:1:28: queue 'a': default_time is longer than max_time (t.yaml:1:42); make "
     "default_time "
     "shorter or max_time longer\n"},
    {"queues: {a: {preflight: \"allreduce:8\"}}\n",
     "t.yaml:1:25: queue 'a': preflight: '8' is not a bandwidth; write it like 50GB/s (bytes) or 400Gb/s (bits); write "
     "allreduce:8GB/s@2m\n"},
    {"queues: {a: {nodes: \"n[1-5],x\"}}\nnodes: [{name: \"n[1-3]\"}]\n",
     "t.yaml:1:21: queue 'a' has nodes that 'nodes:' does not have: n[4-5],x; add them to "
     "'nodes:', "
     "or take them out here\n"},
    {"queues: [a]\n",
     "t.yaml:1:9: queues: takes a map, not a list; write 'name: value' lines below "
     "the key, indented\n"},
    {"queues: {a: 1}\n",
     "t.yaml:1:13: queues.a: takes a map, not a text; write 'key: value' lines, "
     "indented\n"},
    {"queues: {'a b': {}}\n",
     "t.yaml:1:10: queues: 'a b' is not a name; use letters, digits and . _ -, and begin with a "
     "letter or digit\n"},
    {"queues: {a: {nodes: n1}}\nnodes: {name: n1}\n",
     "t.yaml:2:8: nodes: takes a list, not a map; write one '- ...' line for each below the key\n"},
    {"nodes:\n  - cpus: 4\n  -\n",
     "t.yaml:2:5: nodes[0]: 'name' is missing\nt.yaml:3:4: nodes[1]: 'name' is missing\n"},
    {"nodes: [{name: \"n[1-4]\"}, {name: [a, n3, n4]}]\n",
     "t.yaml:1:34: host 'n3' already has a row at t.yaml:1:16; keep it in one of the two\n"},
    {"nodes: [{name: \"n[1-4]\"}]\nfabric:\n  - {name: leaf1, nodes: \"n[1-3]\"}\n"
     "  - {name: leaf2, nodes: \"n[3-5]\"}\n",
     "t.yaml:4:26: domain 'leaf2' has nodes that 'nodes:' does not have: n5; add them to 'nodes:', "
     "or take them out here\n"
     "t.yaml:4:26: node 'n3' is in domain 'leaf2' and in domain 'leaf1' (t.yaml:3:26); keep it in "
     "one of the two\n"},
    {"fabric:\n  - {name: leaf1, parent: spin}\n  - {name: spine}\n",
     "t.yaml:2:27: domain 'leaf1': there is no domain 'spin' above it; did you mean 'spine'?\n"},
    {"fabric:\n  - {name: a, parent: b}\n  - {name: b, parent: c}\n  - {name: c, parent: b}\n",
     "t.yaml:3:23: domain 'b' is below 'c', which is itself below 'b'; a fabric is a tree: take "
     "out one of the parents\n"},
    {"fabric: [{name: a, parent: a}]\n",
     "t.yaml:1:28: domain 'a' is below 'a', which is itself below 'a'; a fabric is a tree: take "
     "out one of the parents\n"},
    {"fabric:\n  - {name: a}\n  - {name: a}\n",
     "t.yaml:3:12: there is a domain 'a' already (t.yaml:2:12); give one of them another name\n"},
    {"fabric:\n  - {name: a, level: leaf}\nfabric_levels:\n  leef: {bandwidth: 50GB}\n"
     "  leaf: {oversubscription: 0.5}\n",
     "t.yaml:4:3: no domain is of level 'leef'; did you mean 'leaf'?\n"
     "t.yaml:4:21: fabric_levels.leef.bandwidth: '50GB' is not a bandwidth; write it like 50GB/s (bytes) "
     "or 400Gb/s (bits)\n"
     "t.yaml:5:28: fabric_levels.leaf.oversubscription: '0.5' is under the smallest, 1; it takes from 1 "
     "to 1000\n"},
    {"queues:\n  lab: {guarantee: 4}\n  a: {parent: labb, default: true}\n",
     "t.yaml:3:15: queue 'a': there is no queue 'labb' above it; did you mean 'lab'?\n"},
    {"queues:\n  a: {parent: b}\n  b: {parent: a}\n  c: {default: true}\n",
     "t.yaml:2:15: queue 'a' is below 'b', which is itself below 'a'; take out one of the "
     "parents\n"},
    {"queues:\n  a: {default: true}\n  b: {parent: a}\n",
     "t.yaml:2:16: queue 'a' cannot be the default: it is divided ('b' is below it, t.yaml:3:15) and "
     "takes no jobs itself; make one of those below it the default\n"},
    {"queues: {a: {guarantee: 9, cap: 8}}\n",
     "t.yaml:1:25: queue 'a': its guarantee of 9 GPUs is over its cap of 8 (t.yaml:1:33); make the "
     "guarantee smaller or the cap larger\n"},
    {"queues: {a: {borrow: false}}\n",
     "t.yaml:1:22: queue 'a' may not borrow and is guaranteed nothing: no job with GPUs could start "
     "in it; give it a guarantee, or let it borrow\n"},
    {"queues:\n  lab: {guarantee: 8}\n  a: {parent: lab, guarantee: 6, default: true}\n"
     "  b: {parent: lab, guarantee: 4}\n",
     "t.yaml:4:31: the queues below 'lab' are guaranteed 10 GPUs together, but its own guarantee is 8 "
     "(t.yaml:2:20); guarantee less below it, or more to it\n"},
    {"nodes: [{name: \"n[1-2]\", gpus: 4}]\nqueues:\n  a: {guarantee: 6, default: true}\n"
     "  b: {guarantee: 4}\n",
     "t.yaml:4:18: 10 GPUs are guaranteed in all, but the nodes have 8 (t.yaml:1:9); guarantee less, "
     "or add nodes\n"},
    {"accounts:\n  lab: {}\n  nlp: {parent: lap, users: [ann=0, bob, bob=2]}\n",
     "t.yaml:3:17: account 'nlp': there is no account 'lap' above it; did you mean 'lab'?\n"
     "t.yaml:3:29: account 'nlp': 'ann=0' is not a user; write a user's name, or name=weight with a "
     "weight over 0\n"
     "t.yaml:3:29: account 'nlp': user 'bob' is in it twice; name each user once\n"},
    {"fabric: [{level: leaf}]\n", "t.yaml:1:10: fabric[0]: 'name' is missing\n"},
    {"nodes: [{name: \"n[1-2]\", address: x}]\n",
     "t.yaml:1:35: one address for 2 hosts; give each host a row of its own\n"},
    {"nodes: [{name: n1, gpus: 65, memory: -1}]\n",
     "t.yaml:1:26: nodes[0].gpus: '65' is over the largest, 64 GPUs; it takes from 0 to 64 GPUs\n"
     "t.yaml:1:38: nodes[0].memory: '-1' is not an amount of memory; write it like 512K, 4M, 80G "
     "or "
     "2T (powers of 1024, no fractions)\n"},
};

START_TEST(each_wrong_value_is_named_with_its_key_its_place_and_a_way_out)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        is_refused(refused[i].text, refused[i].errors);
}
END_TEST

START_TEST(everything_wrong_in_all_files_is_listed_at_once_in_reading_order)
{
    const struct memfile files[] = {
        {"main.yaml",
         "cluster: &c\n"
         "  name: my cluster\n"
         "include: [q.yaml, gone.yaml, broken.yaml]\n"
         "timeouts: {lease: 2d, lease: 1d}\n",
         0},
        {"q.yaml", "queues:\n  train: {nodse: x, state: dwn, nodes: unknown1}\n", 0},
        {"broken.yaml", "limits:\n  min_uid: 0\n  max_script: 9M\n   max_env: 1M\n", 0},
        {0},
    };
    struct tug_config c = {0};
    struct tug_buf b = {0};
    ck_assert_int_eq(load_files(files, &c, &b), -EINVAL);
    ck_assert_str_eq(
        tug_buf_str(&b),
        "main.yaml:1:10: the anchor '&c' is not taken here; write the value out where it is "
        "needed\n"
        "main.yaml:2:9: cluster.name: 'my cluster' is not a name; use letters, digits and . _ -, "
        "and "
        "begin with a letter or digit\n"
        "main.yaml:3:19: cannot open 'gone.yaml': No such file or directory\n"
        "main.yaml:4:19: timeouts.lease: '2d' is over the largest, 1d; it takes from 0s to 1d\n"
        "main.yaml:4:23: 'lease' is already written at main.yaml:4:12; keep one of the two\n"
        "q.yaml:2:11: unknown key 'nodse' in queues.train; did you mean 'nodes'?\n"
        "q.yaml:2:28: queues.train.state: 'dwn' is not known here; did you mean 'down'?\n"
        "broken.yaml:2:12: limits.min_uid: '0' is under the smallest, 1; it takes from 1 to "
        "4294967294\n"
        "broken.yaml:4:11: a ':' where no key can be; indent the line like its neighbours, or "
        "quote "
        "a text that contains ': '\n");
    tug_buf_clear(&b);
}
END_TEST

START_TEST(hosts_of_all_lists_together_are_bounded)
{
    struct tug_buf b = {0};
    tug_buf_adds(&b, "nodes:\n");
    for (char c = 'a'; c < 'g'; c++)
        tug_buf_addf(&b, "- name: %c[1-65536]\n", c);
    const struct memfile files[] = {{"t.yaml", tug_buf_str(&b), 0}, {0}};
    struct tug_config c = {0};
    struct tug_buf errors = {0};
    ck_assert_int_eq(load_files(files, &c, &errors), -EINVAL);
    ck_assert_str_eq(tug_buf_str(&errors),
                     "t.yaml:6:9: nodes[4].name: more than 262144 hosts in all lists together\n"
                     "t.yaml:7:9: nodes[5].name: more than 262144 hosts in all lists together\n");
    tug_buf_clear(&errors);
    tug_buf_clear(&b);
}
END_TEST

static void dumps_to_itself(const char *text)
{
    struct tug_config c = good(text), again;
    struct tug_schema_diff diff = {0};
    struct tug_buf b = {0};

    tug_config_dump(&c, &b);
    again = good(tug_buf_str(&b));
    tug_config_diff(&c, &again, &diff);
    ck_assert_msg(!diff.list.len, "%s: '%s' became '%s'", diff.list.at[0].path, diff.list.at[0].was,
                  diff.list.at[0].is);
    tug_schema_diff_clear(&diff);
    tug_buf_clear(&b);
    tug_config_clear(&c);
    tug_config_clear(&again);
}

START_TEST(a_dump_loads_to_an_equal_configuration)
{
    dumps_to_itself("");
    dumps_to_itself(whole);
    dumps_to_itself(
        "scheduler: {policy_params: {a: 'no', b: '-', c: '# x', d: ' y ', e: '', f: '- z',"
        " g: 'a: b', h: '[', i: '&x', j: \"\\t\\r\\x7f\\u0085\\ufeff\", k: 'ü', l: '~'}}\n");
}
END_TEST

START_TEST(a_dump_marks_defaults_and_places)
{
    struct tug_config c = good("timeouts: {lease: 120s}\nnodes: [{name: n1}]\n");
    struct tug_buf b = {0};
    tug_config_dump(&c, &b);
    ck_assert_ptr_nonnull(
        strstr(tug_buf_str(&b), "\n  kill_grace: 30s # default\n  lease: 2m # t.yaml:1:19\n"));
    ck_assert_ptr_nonnull(
        strstr(tug_buf_str(&b), "\n  main: # default\n    default: true # default\n"));
    ck_assert_ptr_nonnull(strstr(tug_buf_str(&b),
                                 "\nnodes:\n  - name: n1 # t.yaml:2:16\n    cpus: 0 # default\n"
                                 "    memory: 0 # default\n"));
    ck_assert_ptr_nonnull(strstr(tug_buf_str(&b), "\n    # gpu_model: not set\n"));
    tug_buf_clear(&b);
    tug_config_clear(&c);
}
END_TEST

/* "PATH WAS>IS LIVE|RESTART @LINE;" for each change. */
static void diff_is(const char *was, const char *is, bool restart, const char *want)
{
    struct tug_config a = good(was), b = good(is);
    struct tug_schema_diff diff = {0};
    struct tug_buf text = {0};

    tug_config_diff(&a, &b, &diff);
    for (size_t i = 0; i < diff.list.len; i++) {
        const struct tug_schema_change *c = &diff.list.at[i];
        tug_buf_addf(&text, "%s %s>%s %s @%u;", c->path, c->was ? c->was : "", c->is ? c->is : "",
                     c->reload == TUG_RELOAD_LIVE ? "live" : "restart", c->pos.line);
    }
    ck_assert_str_eq(tug_buf_str(&text), want);
    ck_assert_int_eq(diff.needs_restart, restart);
    tug_buf_clear(&text);
    tug_schema_diff_clear(&diff);
    tug_config_clear(&a);
    tug_config_clear(&b);
}

START_TEST(a_diff_lists_what_changes_and_whether_a_restart_is_needed)
{
    diff_is(whole, whole, false, "");
    diff_is("timeouts: {lease: 60s}\n", "# other places\ntimeouts:\n  lease: 1m\n", false, "");
    diff_is("timeouts: {kill_grace: 60s}\n", "timeouts:\n  kill_grace: 2m\n", false,
            "timeouts.kill_grace 60s>2m live @2;");
    diff_is("", "cluster: {name: x}\nlogging: {level: warn}\n", true,
            "cluster.name tug>x restart @1;logging.level info>warn live @2;");
    diff_is("queues: {a: {default: true}, b: {}}\n",
            "queues:\n  c:\n  a: {default: true, state: down}\n", false,
            "queues.a.state up>down live @3;queues.b present> live @0;queues.c >present live @2;");
    /* The order of rows says nothing. */
    diff_is("nodes: [{name: a}, {name: b}]\n", "nodes: [{name: b, gpus: 2}, {name: a}]\n", false,
            "nodes.b.gpus 0>2 live @1;");
    diff_is("scheduler: {policy_params: {a: '1, b=2'}}\n",
            "scheduler: {policy_params: {a: 1, b: 2}}\n", false,
            "scheduler.policy_params a=1, b=2>a=1, b=2 live @1;");
}
END_TEST

static void count_steps(void *ctx, const struct tug_schema_visit *v)
{
    ((int *) ctx)[v->step]++;
}

START_TEST(a_walk_opens_and_closes_in_pairs)
{
    struct tug_config c = good(whole);
    int n[4] = {0};
    tug_schema_walk(&tug_config_schema, &c, count_steps, n);
    ck_assert_int_eq(n[TUG_STEP_OPEN], 13);
    ck_assert_int_eq(n[TUG_STEP_ITEM], 5 + 1 + 2 + 2 + 1);
    ck_assert_int_eq(n[TUG_STEP_CLOSE], 13 + 11);
    ck_assert_int_eq(n[TUG_STEP_VALUE], 7 + 7 + 3 + 12 + 7 + 7 + 7 + 1 + 5 * 21 + 1 * 3 + 2 * 7 + 2 * 4 + 3);
    tug_config_clear(&c);
}
END_TEST

static void check_manual(const struct tug_schema *schema, const char *scd)
{
    for (size_t i = 0; i < schema->n_keys; i++) {
        const struct tug_schema_key *key = &schema->keys[i];
        ck_assert_msg(*key->text, "%s.%s has no text", schema->name, key->name);
        if (key->sub) {
            check_manual(key->sub, scd);
            continue;
        }
        struct tug_buf b = {0};
        tug_buf_adds(&b, "\n*");
        for (const char *s = key->name; *s; s++)
            tug_buf_addf(&b, "%s%c", *s == '_' ? "\\" : "", *s);
        tug_buf_adds(&b, "*: _");
        ck_assert_msg(strstr(scd, tug_buf_str(&b)), "the manual lacks %s", key->name);
        tug_buf_clear(&b);
    }
}

START_TEST(the_manual_has_every_key)
{
    struct tug_buf b = {0};
    tug_buf_addc(&b, '\n');
    tug_schema_print_scd(&tug_config_schema, &b);
    check_manual(&tug_config_schema, tug_buf_str(&b));
    /* The name of a queue is in the title, and no key. */
    const char *queue = strstr(tug_buf_str(&b), "\n## queues.NAME\n\n");
    ck_assert_ptr_nonnull(queue);
    ck_assert(strstr(queue, "\n*name*: _") > strstr(queue, "\n## nodes[]\n\n"));
    ck_assert_ptr_nonnull(strstr(tug_buf_str(&b),
                                 "Takes from 0s to 1d. Default: 5m. A change takes "
                                 "effect when the daemon is restarted.\n"));
    tug_buf_reset(&b);
    tug_buf_addc(&b, '\n');
    tug_schema_print_scd(&tug_node_config_schema, &b);
    check_manual(&tug_node_config_schema, tug_buf_str(&b));
    tug_buf_clear(&b);
}
END_TEST

/* ---- the node's ------------------------------------------------------------------------------ */

static int load_node(const char *text, struct tug_node_config *c, struct tug_buf *errors)
{
    const struct memfile files[] = {{"n.yaml", text, 0}, {0}};
    struct tug_source_reader reader = memfiles(files);
    struct tug_conf_errors errs = {0};
    int rc = tug_node_config_load(&reader, "n.yaml", c, &errs);

    tug_conf_errors_print(&errs, errors);
    tug_conf_errors_clear(&errs);
    return rc;
}

START_TEST(a_node_needs_only_its_controller)
{
    struct tug_node_config c = {0};
    struct tug_buf b = {0};
    ck_assert_int_eq(load_node("state_dir: /x\n", &c, &b), -EINVAL);
    ck_assert_str_eq(tug_buf_str(&b), "n.yaml: the top level: 'controller' is missing\n");
    tug_buf_reset(&b);
    ck_assert_int_eq(load_node("controller: ctl:7110\nstate_dir: /x\n", &c, &b), 0);
    ck_assert_ptr_null(c.name);
    ck_assert_str_eq(c.controller.host, "ctl");
    ck_assert_int_eq(c.controller.port, 7110);
    ck_assert_str_eq(c.key_file, "/x/node.key");
    ck_assert_str_eq(c.controller_key_file, "/x/controller.pub");
    ck_assert_int_eq(c.emulate.gpus, -1);
    ck_assert_int_eq(c.emulate.cpus, 0);
    tug_buf_clear(&b);
    tug_node_config_clear(&c);
}
END_TEST

START_TEST(a_node_can_pretend_and_its_dump_loads_to_the_same)
{
    struct tug_node_config c = {0}, again = {0};
    struct tug_schema_diff diff = {0};
    struct tug_buf b = {0}, errors = {0};
    ck_assert_int_eq(
        load_node("controller: /run/t.sock\nname: n1\nemulate: {gpus: 8, cpus: 64, memory: 1T, "
                  "gpu_model: 'H100 80G', machine: dgx}\n",
                  &c, &errors),
        0);
    ck_assert_str_eq(c.controller.path, "/run/t.sock");
    ck_assert_ptr_null(c.controller.host);
    ck_assert_int_eq(c.emulate.gpus, 8);
    ck_assert_int_eq(c.emulate.memory_bytes, 1LL << 40);
    ck_assert_str_eq(c.emulate.gpu_model, "H100 80G");
    tug_node_config_dump(&c, &b);
    ck_assert_int_eq(load_node(tug_buf_str(&b), &again, &errors), 0);
    tug_node_config_diff(&c, &again, &diff);
    ck_assert_uint_eq(diff.list.len, 0);
    tug_buf_clear(&b);
    tug_node_config_clear(&c);
    tug_node_config_clear(&again);
}
END_TEST

UNIT_MAIN("conf/config", an_empty_file_is_a_whole_configuration, every_kind_of_value_arrives,
          a_value_tells_where_it_was_written_after_loading, the_single_queue_is_the_default,
          each_wrong_value_is_named_with_its_key_its_place_and_a_way_out,
          everything_wrong_in_all_files_is_listed_at_once_in_reading_order,
          hosts_of_all_lists_together_are_bounded, a_dump_loads_to_an_equal_configuration,
          a_dump_marks_defaults_and_places,
          a_diff_lists_what_changes_and_whether_a_restart_is_needed,
          a_walk_opens_and_closes_in_pairs, the_manual_has_every_key,
          a_node_needs_only_its_controller, a_node_can_pretend_and_its_dump_loads_to_the_same)
