/* test_source.c - files that include each other become one tree */
#include "unit.h"

#include "conf/memfiles.h"
#include "conf/source.h"

/* Load "main.yaml" out of 'files'; what is wrong, as text, is to be 'want'. */
static void load(const struct memfile *files, struct tug_source *source, const char *want)
{
    struct tug_source_reader reader = memfiles(files);
    struct tug_conf_errors errs = {0};
    struct tug_buf b = {0};
    int rc = tug_source_load(&reader, files[0].name, source, &errs);

    tug_conf_errors_sort(&errs);
    tug_conf_errors_print(&errs, &b);
    ck_assert_msg(!strcmp(tug_buf_str(&b), want), "gave: %s\nnot:  %s", tug_buf_str(&b), want);
    ck_assert_int_eq(rc, *want ? -EINVAL : 0);
    tug_buf_clear(&b);
    tug_conf_errors_clear(&errs);
}

/* All of a tree in one line: {a: 1, b: [x, y]} */
static void print(const struct tug_yaml *n, struct tug_buf *b)
{
    if (n->kind == TUG_YAML_SCALAR) {
        tug_buf_adds(b, n->text);
        return;
    }
    tug_buf_addc(b, n->kind == TUG_YAML_MAP ? '{' : '[');
    for (size_t i = 0; i < n->n_items; i++) {
        tug_buf_addf(b, "%s%s%s", i ? ", " : "", n->items[i].key ? n->items[i].key->text : "",
                     n->items[i].key ? ": " : "");
        print(n->items[i].value, b);
    }
    tug_buf_addc(b, n->kind == TUG_YAML_MAP ? '}' : ']');
}

static void is_tree(const struct tug_source *source, const char *want)
{
    struct tug_buf b = {0};
    print(source->root, &b);
    ck_assert_str_eq(tug_buf_str(&b), want);
    tug_buf_clear(&b);
}

START_TEST(paths_are_relative_to_the_file_they_stand_in)
{
    static const struct {
        const char *from, *name, *want;
    } rows[] = {
        {"a.yaml", "b.yaml", "b.yaml"},  {"etc/a.yaml", "b.yaml", "etc/b.yaml"},
        {"/etc/a.yaml", "b", "/etc/b"},  {"/etc/a.yaml", "/x/b", "/x/b"},
        {"etc/a", "../b", "b"},          {"etc/a", "../../b", "../b"},
        {"/a", "../../b", "/b"},         {"/etc//x/./a", ".//b", "/etc/x/b"},
        {"../a", "../b", "../../b"},     {"etc/a", "..", "."},
        {"", "./x//y.yaml", "x/y.yaml"}, {"/a", "/", "/"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *got = tug_source_path(rows[i].from, rows[i].name);
        ck_assert_str_eq(got, rows[i].want);
        free(got);
    }
}
END_TEST

START_TEST(an_include_stands_for_what_is_in_its_file)
{
    const struct memfile files[] = {
        {"etc/main.yaml", "a: 1\ninclude: sub/x.yaml\nz: 2\n", 0},
        {"etc/sub/x.yaml", "include: [y.yaml, ../w.yaml]\nx: 1\n", 0},
        {"etc/sub/y.yaml", "y: 1\n", 0},
        {"etc/w.yaml", "w: 1\n", 0},
        {0},
    };
    struct tug_source s;
    load(files, &s, "");
    is_tree(&s, "{a: 1, y: 1, w: 1, x: 1, z: 2}");
    ck_assert_uint_eq(s.files.len, 4);
    ck_assert_str_eq(tug_yaml_get(s.root, "y")->pos.file, "etc/sub/y.yaml");
    ck_assert(!s.broken);
    tug_source_clear(&s);
}
END_TEST

START_TEST(maps_of_several_files_join_and_lists_follow_each_other)
{
    const struct memfile files[] = {
        {"main.yaml", "include: queues.d/*.yaml\nqueues: {main: {a: 1}}\nnodes: [n1]\n", 0},
        {"queues.d/a.yaml", "queues: {long: {b: 2}}\nnodes: [n2, n3]\n", 0},
        {"queues.d/b.yaml", "queues: {short: {c: 3}}\n", 0},
        {0},
    };
    struct tug_source s;
    load(files, &s, "");
    is_tree(&s, "{queues: {long: {b: 2}, short: {c: 3}, main: {a: 1}}, nodes: [n2, n3, n1]}");
    tug_source_clear(&s);
}
END_TEST

START_TEST(a_pattern_that_matches_nothing_is_no_error)
{
    const struct memfile files[] = {{"main.yaml", "include: conf.d/*.yaml\na: 1\n", 0}, {0}};
    struct tug_source s;
    load(files, &s, "");
    is_tree(&s, "{a: 1}");
    tug_source_clear(&s);
}
END_TEST

START_TEST(the_same_name_in_two_files_is_refused_and_both_places_are_named)
{
    const struct memfile files[] = {
        {"main.yaml", "queues:\n  long: {a: 1}\nname: x\ninclude: b.yaml\nlist: [1]\n", 0},
        {"b.yaml", "name: y\nqueues:\n  long: {a: 2}\nlist: {a: 1}\n", 0},
        {0},
    };
    struct tug_source s;
    load(files, &s,
         "main.yaml:5:1: 'list' is already written at b.yaml:4:1; keep one of the two\n"
         "b.yaml:1:1: 'name' is already written at main.yaml:3:1; keep one of the two\n"
         "b.yaml:3:3: 'long' is already written at main.yaml:2:3; keep one of the two\n");
    is_tree(&s, "{queues: {long: {a: 1}}, name: x, list: {a: 1}}");
    tug_source_clear(&s);
}
END_TEST

START_TEST(a_cycle_of_includes_is_named_in_full)
{
    const struct memfile files[] = {
        {"etc/main.yaml", "include: a.yaml\n", 0},
        {"etc/a.yaml", "x: 1\ninclude: ../etc/b.yaml\n", 0},
        {"etc/b.yaml", "y: 1\ninclude: [./main.yaml]\n", 0},
        {0},
    };
    struct tug_source s;
    load(files, &s,
         "etc/b.yaml:2:11: files include each other: etc/main.yaml -> etc/a.yaml -> etc/b.yaml -> "
         "etc/main.yaml; take one of these includes out\n");
    is_tree(&s, "{x: 1, y: 1}");
    ck_assert(s.broken);
    tug_source_clear(&s);
}
END_TEST

START_TEST(a_file_is_read_only_once)
{
    const struct memfile files[] = {
        {"main.yaml", "include: [a.yaml, b.yaml, ./a.yaml]\n", 0},
        {"a.yaml", "a: 1\n", 0},
        {"b.yaml", "include: a.yaml\n", 0},
        {0},
    };
    struct tug_source s;
    load(files, &s,
         "main.yaml:1:27: 'a.yaml' is already included at main.yaml:1:11; keep one of the two\n"
         "b.yaml:1:10: 'a.yaml' is already included at main.yaml:1:11; keep one of the two\n");
    tug_source_clear(&s);
}
END_TEST

START_TEST(includes_go_eight_files_deep_and_no_deeper)
{
    const struct memfile files[] = {
        {"1", "include: '2'\n", 0}, {"2", "include: '3'\n", 0},
        {"3", "include: '4'\n", 0}, {"4", "include: '5'\n", 0},
        {"5", "include: '6'\n", 0}, {"6", "include: '7'\n", 0},
        {"7", "include: '8'\n", 0}, {"8", "include: '9'\n", 0},
        {"9", "deep: 1\n", 0},      {0},
    };
    struct tug_source s;
    load(files, &s, "8:1:10: includes go more than 8 files deep; include the file further up\n");
    tug_source_clear(&s);
    load(files + 1, &s, "");
    is_tree(&s, "{deep: 1}");
    tug_source_clear(&s);
}
END_TEST

START_TEST(what_cannot_be_included_is_listed_at_the_include_and_the_rest_is_read)
{
    const struct memfile files[] = {
        {"main.yaml", "include: [no.yaml, bad.yaml, {a: 1}, '', ~]\na: 1\n", 0},
        {"bad.yaml", "- 1\n", 0},
        {0},
    };
    struct tug_source s;
    load(files, &s,
         "main.yaml:1:11: cannot open 'no.yaml': No such file or directory\n"
         "main.yaml:1:30: 'include' takes the name of a file; write 'include: FILE' or 'include: "
         "[FILE, PATTERN]'\n"
         "main.yaml:1:38: 'include' takes the name of a file; write 'include: FILE' or 'include: "
         "[FILE, PATTERN]'\n"
         "main.yaml:1:42: 'include' takes the name of a file; write 'include: FILE' or 'include: "
         "[FILE, PATTERN]'\n"
         "bad.yaml:1:1: a configuration file is a map of sections; write 'key: value' lines\n");
    is_tree(&s, "{a: 1}");
    ck_assert(s.broken);
    tug_source_clear(&s);
}
END_TEST

START_TEST(a_first_file_that_is_not_there_is_one_sentence)
{
    const struct memfile files[] = {{0}};
    struct tug_source_reader reader = memfiles(files);
    struct tug_conf_errors errs = {0};
    struct tug_source s;
    struct tug_buf b = {0};
    ck_assert_int_eq(tug_source_load(&reader, "no.yaml", &s, &errs), -EINVAL);
    tug_conf_errors_print(&errs, &b);
    ck_assert_str_eq(tug_buf_str(&b),
                     "no.yaml: cannot open 'no.yaml': No such file or directory\n");
    ck_assert_ptr_nonnull(s.root);
    tug_buf_clear(&b);
    tug_conf_errors_clear(&errs);
    tug_source_clear(&s);
}
END_TEST

UNIT_MAIN("conf/source", paths_are_relative_to_the_file_they_stand_in,
          an_include_stands_for_what_is_in_its_file,
          maps_of_several_files_join_and_lists_follow_each_other,
          a_pattern_that_matches_nothing_is_no_error,
          the_same_name_in_two_files_is_refused_and_both_places_are_named,
          a_cycle_of_includes_is_named_in_full, a_file_is_read_only_once,
          includes_go_eight_files_deep_and_no_deeper,
          what_cannot_be_included_is_listed_at_the_include_and_the_rest_is_read,
          a_first_file_that_is_not_there_is_one_sentence)
