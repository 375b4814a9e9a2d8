/* test_wiring.c - files of other tools become a fabric that loads, or say where they cannot be read
 */
#include "unit.h"

#include "base/rand.h"
#include "conf/config.h"
#include "conf/memfiles.h"
#include "conf/wiring.h"

/* ---- small files of our own */

static const char tree[] = "# a comment\n"
                           "SwitchName=core Switches=spine[1-2]\n"
                           "switchname=spine1 SWITCHES=leaf[1-2] LinkSpeed=400\n"
                           "SwitchName=spine2 \\\n  Switches=leaf3\n"
                           "SwitchName=leaf1 Nodes=n[1-4]\n"
                           "SwitchName=leaf2 Nodes=\"n[5-8]\" # behind\n"
                           "SwitchName=leaf3 Nodes=n[9-10],x1\r\n";
static const char block[] = "BlockName=b1 Nodes=g[01-04]\nBlockName=b2 Nodes=g[05-08]\n"
                            "BlockSizes=4,8\n";
static const char slurm_yaml[] = "---\n"
                                 "- topology: flat\n  flat: true\n"
                                 "- topology: blocks\n  block:\n    block_sizes: [4]\n    blocks:\n"
                                 "      - block: b1\n        nodes: g[1-4]\n"
                                 "- topology: net\n  cluster_default: true\n  tree:\n"
                                 "    switches:\n"
                                 "      - {switch: top, children: \"s[1-2]\"}\n"
                                 "      - {switch: s1, nodes: \"n[1-2]\"}\n"
                                 "      - {switch: s2, nodes: \"n[3-4]\"}\n";
static const char model[] =
    "switches:\n  core:\n    labels: {region: east}\n    switches: [s1, s2]\n"
    "blocks:\n"
    "- switch: s1\n  nodes: [\"a[1-2]\", a5]\n"
    "  annotations: {x.test/domain: nvl1, x.test/sub-domain: r1}\n"
    "- switch: s2\n  nodes: [\"b[1-2]\"]\n"
    "  annotations: {x.test/domain: nvl2}\n"
    "- switch: s2\n  nodes: [\"c[1-2]\"]\n"
    "  annotations: {x.test/domain: nvl3}\n";
static const char csv[] = "node,pod,leaf\nh1,p1,s1\nh2,p1,s1\nh3,p1,s2\nh4,p2,s1\nh5,p2,s3\n";
#define IB_HOST(port, host, hca)                                                                   \
    "[" port "]\t\"H-" host hca "\"[1](x) \t\t# \"" host " " hca "\" lid 1 4xNDR\n"
#define IB_UP(port, guid, name)                                                                    \
    "[" port "]\t\"S-" guid "\"[9]\t\t# \"MF0;" name ":MQM9701/U1\" lid 2 4xNDR\n"
static const char ib[] =
    "# Topology file: generated on a day\n\nvendid=0x2c9\ndevid=0xd2f2\n"
    "switchguid=0xa1(a1)\nSwitch\t65 \"S-a1\"\t\t# \"MF0;leaf-a1:MQM9701/U1\" enhanced port 0 lid "
    "7 lmc 0\n" IB_HOST("1", "n1", "mlx5_0") IB_HOST("2", "n2", "mlx5_0") IB_UP(
        "3", "c1",
        "spine-1") "[65]\t\"H-f1\"[1](f1) \t\t# \"Mellanox Technologies Aggregation Node\" lid 3 "
                   "4xNDR\n\n"
                   "Switch\t65 \"S-a2\"\t\t# \"MF0;leaf-a2:MQM9701/U1\" enhanced port 0 lid 8 lmc "
                   "0\n" IB_HOST("1", "n1", "mlx5_1") IB_HOST("2", "n2", "mlx5_1") IB_UP(
                       "3", "c1",
                       "spine-1") "[4]\t\"H-e1\"[1](e1) \t\t# \"MT4129 ConnectX7   Mellanox "
                                  "Technologies\" lid 3 4xNDR\n\n"
                                  "Switch\t65 \"S-b1\"\t\t# \"MF0;leaf-b1:MQM9701/U1\" enhanced "
                                  "port 0 lid 9 lmc 0\n" IB_HOST("1", "n3", "mlx5_0") IB_UP(
                                      "3", "c1",
                                      "spine-1") "\n"
                                                 "Switch\t65 \"S-c1\"\t\t# "
                                                 "\"MF0;spine-1:MQM9701/U1\" enhanced port 0 lid 2 "
                                                 "lmc 0\n" IB_UP("1", "a1", "leaf-a1")
                                                     IB_UP("2", "a2", "leaf-a2") IB_UP(
                                                         "3", "b1",
                                                         "leaf-b1") "\n"
                                                                    "Ca\t1 \"H-n1mlx5_0\"\t\t# "
                                                                    "\"n1 mlx5_0\"\n"
                                                                    "[1](x) \t\"S-a1\"[1]\t\t# lid "
                                                                    "1 lmc 0 "
                                                                    "\"MF0;leaf-a1:MQM9701/U1\" "
                                                                    "lid 7 4xNDR\n";

static const struct sample {
    const char *text;
    enum tug_wiring_format format;
    const char *summary;
    const char *says[8]; /* each is in what is printed */
} samples[] = {
    {tree,
     TUG_WIRING_SLURM_TREE,
     "11 nodes in 6 domains: 1 core, 2 spine, 3 leaf",
     {"{name: leaf2, level: leaf, parent: spine1, nodes: \"n[5-8]\"}",
      "{name: leaf3, level: leaf, parent: spine2, nodes: \"n[9-10],x1\"}",
      "{name: spine1, level: spine, parent: core}", "LinkSpeed of 1 switches is not used"}},
    {block,
     TUG_WIRING_SLURM_BLOCK,
     "8 nodes in 2 domains: 2 block",
     {"{name: b1, level: block, nodes: \"g[01-04]\"}",
      "# warning: line 3: BlockSizes=4,8 is not used"}},
    {slurm_yaml,
     TUG_WIRING_SLURM_YAML,
     "4 nodes in 3 domains: 1 spine, 2 leaf",
     {"{name: s1, level: leaf, parent: top, nodes: \"n[1-2]\"}",
      "line 4: topology 'blocks' is left out: a cluster has one fabric"}},
    {model,
     TUG_WIRING_TOPOGRAPH,
     "7 nodes in 5 domains: 1 spine, 2 leaf, 2 nvlink",
     {"{name: s1, level: leaf, parent: core, nodes: \"a[1-2,5]\"} # accelerator domain nvl1",
      "{name: nvl3, level: nvlink, parent: s2, nodes: \"c[1-2]\"}"}},
    {csv,
     TUG_WIRING_CSV,
     "5 nodes in 6 domains: 2 pod, 4 leaf",
     {"{name: p1-s1, level: leaf, parent: p1, nodes: \"h[1-2]\"}",
      "{name: s2, level: leaf, parent: p1, nodes: \"h3\"}",
      "{name: p2-s1, level: leaf, parent: p2, nodes: \"h4\"}",
      "2 domains have names that are below several others"}},
    {ib,
     TUG_WIRING_IBNETDISCOVER,
     "3 nodes in 3 domains: 1 spine, 1 leaf, 1 rail",
     {"{name: rails-leaf-a1, level: rail, parent: spine-1, nodes: \"n[1-2]\"} # leaf-a1, leaf-a2",
      "{name: leaf-b1, level: leaf, parent: spine-1, nodes: \"n3\"}",
      "1 aggregation nodes (SHARP) of switches are no hosts",
      "line 16: 1 HCAs do not tell their host"}},
};
#define N_SAMPLES (sizeof samples / sizeof *samples)

/* The configuration that comes of it loads; the caller frees the text. */
static char *printed(const struct tug_wiring *w, enum tug_wiring_format f)
{
    struct tug_buf b = {0};
    tug_wiring_print(w, "t", f, &b);
    return tug_buf_take(&b);
}

static void loads(const struct tug_wiring *w, const char *fabric)
{
    struct tug_buf text = {0}, errors = {0};
    struct tug_config c = {0};
    struct tug_conf_errors errs = {0};
    tug_buf_adds(&text, fabric);
    tug_buf_adds(&text, "nodes:\n");
    for (size_t i = 0; i < w->domains.len; i++)
        for (size_t k = 0; k < w->domains.at[i]->nodes.len; k++)
            tug_buf_addf(&text, "  - {name: \"%s\"}\n", w->domains.at[i]->nodes.at[k]);
    const struct memfile files[] = {{"f.yaml", tug_buf_str(&text), 0}, {0}};
    struct tug_source_reader reader = memfiles(files);
    int rc = tug_config_load(&reader, "f.yaml", &c, &errs);
    tug_conf_errors_print(&errs, &errors);
    ck_assert_msg(rc == 0, "%s\n%s", tug_buf_str(&text), tug_buf_str(&errors));
    tug_config_clear(&c);
    tug_conf_errors_clear(&errs);
    tug_buf_clear(&text);
    tug_buf_clear(&errors);
}

/* What reading gives; the caller frees. */
static struct tug_wiring *read_as(const char *text, size_t len, enum tug_wiring_format *f, int *rc,
                                  struct tug_buf *errors)
{
    struct tug_wiring *w = tug_wiring_new();
    struct tug_conf_errors errs = {0};
    *rc = tug_wiring_read(w, f, "t", text, len, &errs);
    tug_conf_errors_print(&errs, errors);
    tug_conf_errors_clear(&errs);
    return w;
}

static struct tug_wiring *good(const char *text)
{
    enum tug_wiring_format f = TUG_WIRING_AUTO;
    struct tug_buf errors = {0};
    int rc;
    struct tug_wiring *w = read_as(text, strlen(text), &f, &rc, &errors);
    ck_assert_msg(rc == 0, "%s", tug_buf_str(&errors));
    tug_buf_clear(&errors);
    return w;
}

START_TEST(every_format_is_recognised_and_becomes_a_fabric_that_loads)
{
    for (size_t i = 0; i < N_SAMPLES; i++) {
        enum tug_wiring_format f = TUG_WIRING_AUTO;
        struct tug_buf errors = {0}, summary = {0};
        int rc;
        struct tug_wiring *w = read_as(samples[i].text, strlen(samples[i].text), &f, &rc, &errors);
        ck_assert_msg(rc == 0, "%s", tug_buf_str(&errors));
        ck_assert_int_eq(f, samples[i].format);
        tug_wiring_summary(w, &summary);
        ck_assert_str_eq(tug_buf_str(&summary), samples[i].summary);
        char *text = printed(w, f);
        for (size_t k = 0; k < 8 && samples[i].says[k]; k++)
            ck_assert_msg(strstr(text, samples[i].says[k]), "%s\nis not in\n%s", samples[i].says[k],
                          text);
        loads(w, text);
        free(text);
        tug_wiring_free(w);
        tug_buf_clear(&summary);
    }
}
END_TEST

START_TEST(what_cannot_be_read_is_told_with_its_line_and_what_was_expected)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"SwitchName=a Nodes=n[1-\n", "t:1:1: 'a': "},
        {"SwitchName=a Nodes=n[1-2]\nNodes=n3\n", "t:2:1: this line names no switch and no block"},
        {"SwitchName=a Nodes=n1 Nodes=n2\n", "t:1:1: Nodes is said twice; expected it once"},
        {"SwitchName=a Nodes=n1\nwhat is this\n", "t:2:1: this is no NAME=VALUE pair; expected "},
        {"SwitchName=a Nodes=\"n1\n", "expected a closing '\"'"},
        {"SwitchName=a Switches=b\n", "no node is in any domain"},
        {"", "this is no fabric of any known format"},
        {"just words\n", "this is no fabric of any known format"},
        {"node,leaf\nn1,s1\nn2\n", "t:3:1: 1 fields, not 2; expected the node"},
        {"node,le af\nn1,s1\n", "t:1:1: column 2 is not called like a level"},
        {"- topology: a\n  tree: {}\n", "t:2:9: this topology has no list of them; expected tree:"},
        {"- {a: b}\n", "this is no topology; expected a map that begins with"},
        {"switches: [a]\n", "'switches' is no map"},
        {"blocks:\n- {nodes: [a]}\n", "t:2:3: this block is on no switch"},
        {"switches: {a: {switches: [\"b[\"]}}\n", "t:1:1: "},
        {"Switch\t3 \"S-1\"\t# \"a\"\n[1]\t\"H-\n", "t:2:1: this port is not connected"},
        {"Switch\t3 \"S-1\"\t# \"a\"\nSwitch\t3 \"S-1\"\t# \"a\"\n",
         "t:2:1: this switch is described twice"},
        {"vendid=0x1\nnonsense\n", "t:2:1: this is no line of ibnetdiscover's"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        enum tug_wiring_format f = TUG_WIRING_AUTO;
        struct tug_buf errors = {0};
        int rc;
        struct tug_wiring *w = read_as(bad[i].text, strlen(bad[i].text), &f, &rc, &errors);
        ck_assert_int_eq(rc, -EINVAL);
        if (*bad[i].text)
            ck_assert_msg(strstr(tug_buf_str(&errors), bad[i].says), "%s\ngave %s", bad[i].text,
                          tug_buf_str(&errors));
        tug_wiring_free(w);
        tug_buf_clear(&errors);
    }
}
END_TEST

START_TEST(what_is_no_tree_is_left_out_with_a_warning)
{
    static const struct {
        const char *text, *says;
    } odd[] = {
        {"SwitchName=a Nodes=n[1-2]\nSwitchName=b Nodes=n[2-3]\n",
         "line 2: node 'n2' is in 'b', and in 'a' since line 1: it stays there"},
        {"SwitchName=a Switches=c\nSwitchName=b Switches=c\nSwitchName=c Nodes=n1\n",
         "line 2: 'c' is below 'b', and already below 'a', where it stays"},
        {"SwitchName=a Switches=b Nodes=n1\nSwitchName=b Switches=a Nodes=n2\n",
         "which is itself below it: it is put at the top"},
        {"SwitchName=a Nodes=n1\nSwitchName=b Switches=c\n", "'b' has no nodes and is left out"},
        {"SwitchName=a Nodes=n1 Switches=zz\n", "'zz' is described nowhere and is left out"},
        {"SwitchName=a:b Nodes=n1\nSwitchName=a/b Nodes=n2\n",
         "2 domains have other names here, as a configuration takes letters, digits and . _ - "
         "only; the "
         "first: 'a:b' is 'a-b'"},
        {"SwitchName=a Nodes=n1 Colour=red\n", "line 1: Colour is not used"},
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct tug_wiring *w = good(odd[i].text);
        char *text = printed(w, TUG_WIRING_SLURM_TREE);
        ck_assert_msg(strstr(text, odd[i].says), "%s\nis not in\n%s", odd[i].says, text);
        loads(w, text);
        free(text);
        tug_wiring_free(w);
    }
}
END_TEST

static void takes(const char *text, size_t len)
{
    for (int f = TUG_WIRING_AUTO; f <= TUG_WIRING_CSV; f++) {
        enum tug_wiring_format format = (enum tug_wiring_format) f;
        struct tug_buf errors = {0};
        int rc;
        struct tug_wiring *w = read_as(text, len, &format, &rc, &errors);
        ck_assert(rc == 0 || errors.len);
        if (rc == 0) {
            char *out = printed(w, format);
            loads(w, out);
            free(out);
        }
        tug_wiring_free(w);
        tug_buf_clear(&errors);
    }
}

START_TEST(accelerator_domains_have_a_place_where_one_switch_has_them_all)
{
    static const char text[] = "blocks:\n"
                               "- {switch: s1, nodes: a1, annotations: {x/domain: d1}}\n"
                               "- {switch: s1, nodes: a2, annotations: {x/domain: d1}}\n"
                               "- {switch: s2, nodes: b1, annotations: {x/domain: d2}}\n"
                               "- {switch: s2, nodes: b2}\n"
                               "- {switch: s3, nodes: c1, annotations: {x/domain: d3}}\n"
                               "- {switch: s4, nodes: c2, annotations: {x/domain: d3}}\n"
                               "- {switch: s3, nodes: c3, annotations: {x/domain: d3}}\n";
    struct tug_wiring *w = good(text);
    char *out = printed(w, TUG_WIRING_TOPOGRAPH);
    ck_assert_str_eq(out, "# from t (topograph): 7 nodes in 5 domains: 4 leaf, 1 nvlink\n"
                          "# warning: line 6: accelerator domain 'd3' spans 's3' and 's4' and is "
                          "left out: a fabric is one tree\n"
                          "fabric:\n"
                          "  - {name: s2, level: leaf, nodes: \"b2\"}\n"
                          "  - {name: s1, level: leaf, nodes: \"a[1-2]\"} # accelerator domain d1\n"
                          "  - {name: s3, level: leaf, nodes: \"c[1,3]\"}\n"
                          "  - {name: s4, level: leaf, nodes: \"c2\"}\n"
                          "  - {name: d2, level: nvlink, parent: s2, nodes: \"b1\"}\n");
    loads(w, out);
    free(out);
    tug_wiring_free(w);
}
END_TEST

START_TEST(files_that_are_cut_off_are_read_or_refused)
{
    for (size_t i = 0; i < N_SAMPLES; i++)
        for (size_t len = 0; len <= strlen(samples[i].text); len++) {
            char *cut = tug_xasprintf("%.*s", (int) len, samples[i].text);
            takes(cut, len);
            free(cut);
        }
}
END_TEST

START_TEST(files_with_wrong_bytes_are_read_or_refused)
{
    static const char likely[] = "\n\n ,=\"[]{}-:#\\\t0aSH\x80\x01";
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (int round = unit_rounds(600); round > 0; round--) {
        const char *from = samples[tug_rand_below(&r, N_SAMPLES)].text;
        size_t len = strlen(from);
        char *text = tug_xstrdup(from);
        for (uint64_t n = 1 + tug_rand_below(&r, 6); n > 0; n--)
            text[tug_rand_below(&r, len)] = likely[tug_rand_below(&r, sizeof likely)];
        takes(text, len);
        free(text);
    }
}
END_TEST

START_TEST(a_hundred_thousand_nodes_are_read_within_seconds)
{
    struct tug_buf b = {0};
    tug_buf_adds(&b, "node,leaf,pod\n");
    for (int i = 0; i < 100000; i++)
        tug_buf_addf(&b, "n%d,s%d,p%d\n", (i * 7919) % 100000, i / 32, i / 1024);
    clock_t began = clock();
    struct tug_wiring *w = good(tug_buf_str(&b));
    ck_assert_uint_eq(tug_wiring_count_nodes(w), 100000);
    free(printed(w, TUG_WIRING_CSV));
    tug_wiring_free(w);
    tug_buf_reset(&b);
    for (int leaf = 0; leaf < 3125; leaf++) {
        tug_buf_addf(&b, "Switch\t65 \"S-%d\"\t\t# \"leaf%d\" enhanced\n", leaf, leaf);
        for (int k = 0; k < 32; k++)
            tug_buf_addf(&b, "[%d]\t\"H-%d-%d\"[1](x) \t# \"n%d mlx5_0\" lid 1 4xNDR\n", k, leaf, k,
                         leaf * 32 + k);
        for (int k = 0; k < 8; k++)
            tug_buf_addf(&b, "[%d]\t\"S-x%d-%d\"[1]\t# \"sp\" lid 1 4xNDR\n", 33 + k, leaf / 32, k);
    }
    w = good(tug_buf_str(&b));
    ck_assert_uint_eq(tug_wiring_count_nodes(w), 100000);
    char *text = printed(w, TUG_WIRING_IBNETDISCOVER);
    ck_assert_ptr_nonnull(strstr(text, "leaf: {oversubscription: 4}"));
    free(text);
    tug_wiring_free(w);
    tug_buf_clear(&b);
    ck_assert_int_lt((clock() - began) / CLOCKS_PER_SEC, 20); /* with sanitizers; else about one */
}
END_TEST

/* ---- drift */

static void drifts(const char *file, const char *running, const char *const *says)
{
    struct tug_wiring *w = good(file), *r = good(running);
    struct tug_wiring_drift d = {0};
    size_t n = 0;
    tug_wiring_compare(w, r, &d);
    for (; says[n]; n++) {
        ck_assert_uint_lt(n, d.len);
        ck_assert_str_eq(d.at[n], says[n]);
    }
    ck_assert_msg(d.len == n, "also: %s", d.len > n ? d.at[n] : "");
    tug_wiring_drift_clear(&d);
    tug_wiring_free(w);
    tug_wiring_free(r);
}

START_TEST(other_names_alone_are_no_drift)
{
    const char *const none[] = {NULL};
    drifts(tree, tree, none);
    drifts("SwitchName=t Switches=a,b\nSwitchName=a Nodes=n[1-2]\nSwitchName=b Nodes=n[3-4]\n",
           "SwitchName=u Switches=a,b\nSwitchName=b Nodes=n[1-2]\nSwitchName=a Nodes=n[3-4]\n",
           none);
}
END_TEST

START_TEST(each_node_and_domain_that_is_elsewhere_is_named)
{
    const char *const nodes[] = {"node n2 is configured in 'b', and in 'a' in the file",
                                 "node n9, in 'b' in the file, is not configured",
                                 "node n7 is configured in 'b', and is not in the file", NULL};
    drifts("SwitchName=a Nodes=n[1-3]\nSwitchName=b Nodes=n[4-6],n9\n",
           "SwitchName=a Nodes=n[1,3]\nSwitchName=b Nodes=n2,n[4-7]\n", nodes);
    const char *const split[] = {"node n3 is configured in 'a', and in 'b' in the file", NULL};
    drifts("SwitchName=a Nodes=n[1-2]\nSwitchName=b Nodes=n3\n", "SwitchName=a Nodes=n[1-3]\n",
           split);
    const char *const up[] = {"domain 'c' is configured below 'q', and below 'p' in the file",
                              NULL};
    drifts("SwitchName=p Switches=a,b,c\nSwitchName=q Switches=d,e\nSwitchName=a Nodes=n1\n"
           "SwitchName=b Nodes=n2\nSwitchName=c Nodes=n3\nSwitchName=d Nodes=n4\n"
           "SwitchName=e Nodes=n5\n",
           "SwitchName=p Switches=a,b\nSwitchName=q Switches=c,d,e\nSwitchName=a Nodes=n1\n"
           "SwitchName=b Nodes=n2\nSwitchName=c Nodes=n3\nSwitchName=d Nodes=n4\n"
           "SwitchName=e Nodes=n5\n",
           up);
}
END_TEST

UNIT_MAIN("conf/wiring", every_format_is_recognised_and_becomes_a_fabric_that_loads,
          what_cannot_be_read_is_told_with_its_line_and_what_was_expected,
          what_is_no_tree_is_left_out_with_a_warning,
          accelerator_domains_have_a_place_where_one_switch_has_them_all,
          files_that_are_cut_off_are_read_or_refused, files_with_wrong_bytes_are_read_or_refused,
          a_hundred_thousand_nodes_are_read_within_seconds, other_names_alone_are_no_drift,
          each_node_and_domain_that_is_elsewhere_is_named)
