/* test_yaml.c - a YAML text becomes a tree that knows its places, or a list of what is wrong */
#include "unit.h"

#include "conf/yaml.h"

struct parsed {
    struct tug_yaml_pool *pool;
    struct tug_yaml *root;
    bool broken;
    struct tug_conf_errors errs;
    struct tug_buf text; /* of the errors */
};

static struct parsed parse_n(const char *text, size_t len)
{
    struct parsed p = {.pool = tug_yaml_pool_new()};

    p.root = tug_yaml_parse(p.pool, "f.yaml", text, len, &p.broken, &p.errs);
    tug_conf_errors_sort(&p.errs);
    tug_conf_errors_print(&p.errs, &p.text);
    return p;
}

static struct parsed parse(const char *text)
{
    return parse_n(text, strlen(text));
}

static void done(struct parsed *p)
{
    tug_conf_errors_clear(&p->errs);
    tug_buf_clear(&p->text);
    tug_yaml_pool_free(p->pool);
}

START_TEST(a_tree_knows_where_each_node_was_written)
{
    struct parsed p = parse("# comment\na: 1\nb:\n  - x y\n  - 'ü': [ \"q\\n\" ]\n");
    ck_assert_str_eq(tug_buf_str(&p.text), "");
    ck_assert(!p.broken);
    ck_assert_int_eq(p.root->kind, TUG_YAML_MAP);
    ck_assert_uint_eq(p.root->n_items, 2);
    struct tug_yaml *a = tug_yaml_get(p.root, "a"), *b = tug_yaml_get(p.root, "b");
    ck_assert_str_eq(a->text, "1");
    ck_assert_uint_eq(a->pos.line, 2);
    ck_assert_uint_eq(a->pos.column, 4);
    ck_assert_str_eq(a->pos.file, "f.yaml");
    ck_assert_int_eq(b->kind, TUG_YAML_LIST);
    ck_assert_str_eq(b->items[0].value->text, "x y");
    ck_assert(!b->items[0].value->quoted);
    struct tug_yaml *u = tug_yaml_get(b->items[1].value, "ü");
    ck_assert_str_eq(u->items[0].value->text, "q\n");
    ck_assert(u->items[0].value->quoted);
    /* Columns are characters, not bytes: the ü before it is one. */
    ck_assert_uint_eq(u->items[0].value->pos.column, 12);
    done(&p);
}
END_TEST

START_TEST(an_empty_text_has_no_root_and_no_error)
{
    static const char *const texts[] = {"", "\n\n", "# nothing\n",
                                        "\xef\xbb\xbf# byte order mark\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct parsed p = parse(texts[i]);
        ck_assert_ptr_null(p.root);
        ck_assert(!p.broken);
        ck_assert_str_eq(tug_buf_str(&p.text), "");
        done(&p);
    }
}
END_TEST

START_TEST(nothing_null_and_tilde_are_no_value_unless_quoted)
{
    struct parsed p = parse("a:\nb: ~\nc: null\nd: ''\ne: 'null'\nf: nullx\n");
    static const bool want[] = {true, true, true, false, false, false};
    for (size_t i = 0; i < 6; i++)
        ck_assert_int_eq(tug_yaml_is_null(p.root->items[i].value), want[i]);
    done(&p);
}
END_TEST

/* Each row: a text and all that is said about it. */
static const struct {
    const char *text;
    const char *errors;
} refused[] = {
    {"a: 1\nb: 2\na: 3\n",
     "f.yaml:3:1: 'a' is already written at f.yaml:1:1; keep one of the two\n"},
    {"a: {x: 1, y: 2, x: 3, x: 4}\n",
     "f.yaml:1:17: 'x' is already written at f.yaml:1:5; keep one of the two\n"
     "f.yaml:1:23: 'x' is already written at f.yaml:1:5; keep one of the two\n"},
    {"a: &base 1\nb: *base\n",
     "f.yaml:1:4: the anchor '&base' is not taken here; write the value out where it is needed\n"
     "f.yaml:2:4: the alias '*base' is not taken here; write the value out\n"},
    {"a: &m {x: 1}\nb: &l [1]\n",
     "f.yaml:1:4: the anchor '&m' is not taken here; write the value out where it is needed\n"
     "f.yaml:2:4: the anchor '&l' is not taken here; write the value out where it is needed\n"},
    {"a: !!str 1\nb: !own {x: 1}\nc: ! 5\n",
     "f.yaml:1:4: the tag 'tag:yaml.org,2002:str' is not taken here; write the value without it\n"
     "f.yaml:2:4: the tag '!own' is not taken here; write the value without it\n"
     "f.yaml:3:4: the tag '!' is not taken here; write the value without it\n"},
    {"a:\n\tb: 1\n  \tc: 2\n\t\n\t# comment\nd: 1\n",
     "f.yaml:2:1: a tab as indentation; indent with spaces\n"
     "f.yaml:3:3: a tab as indentation; indent with spaces\n"
     "f.yaml:5:1: a tab as indentation; indent with spaces\n"},
    {"a: 1\n---\na: 2\n",
     "f.yaml:2:1: a second document begins here; remove the '---', or put this part into a file of "
     "its own and 'include:' it\n"},
    {"a: \"\\0\"\n", "f.yaml:1:4: a NUL byte in a text; delete the \\0\n"},
    {"a: b\xffz\nc: \xff\n", "f.yaml:1:5: byte 0xff is not UTF-8 text; save the file as UTF-8\n"},
    {"a: \xed\xa0\x80\n", "f.yaml:1:4: byte 0xed is not UTF-8 text; save the file as UTF-8\n"},
    {"a: \xc0\xaf\n", "f.yaml:1:4: byte 0xc0 is not UTF-8 text; save the file as UTF-8\n"},
    {"ü: \x1b[31m\nb: \x7f\n",
     "f.yaml:1:4: a control character (byte 0x1b); delete it; in double quotes it can be written "
     "\\xNN\n"
     "f.yaml:2:4: a control character (byte 0x7f); delete it; in double quotes it can be written "
     "\\xNN\n"},
    {"{a: 1}: 2\n", "f.yaml:1:1: a map where a key has to be; quote the text if it is meant to "
                    "contain { } or [ ]\n"},
    {"a: {{ template }}\n",
     "f.yaml:1:5: a map where a key has to be; quote the text if it is meant "
     "to contain { } or [ ]\n"},
    {"a: 1\n b: 2\n", "f.yaml:2:3: a ':' where no key can be; indent the line like its neighbours, "
                      "or quote a text that contains ': '\n"},
    {"a: 1\nb\nc: 2\n", "f.yaml:3:1: a key without ':' (what is read there began in line 2); write "
                        "'key: value', or quote or indent a text that goes on over lines\n"},
    {"a: 'open\nb: 1\n",
     "f.yaml:3:1: the file ends inside quotes (what is read there began in line "
     "1); close the quotes\n"},
    {"a: [1, 2\nb: 3\n", "f.yaml:2:2: no ',' or closing bracket where one has to be (what is read "
                         "there began in line 1); close the bracket, or quote a text that contains "
                         "one\n"},
    {"a: @x\n", "f.yaml:1:4: a character that cannot begin a value; put the value into quotes\n"},
    {"a: \"\\q\"\n", "f.yaml:1:5: an unknown \\ sequence in double quotes; write \\\\ for a "
                     "backslash, or use single quotes\n"},
    {"[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]\n", ""},
    {"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]\n",
     "f.yaml:1:17: more than 16 maps and lists inside each other\n"},
};

START_TEST(each_refusal_has_its_place_and_a_way_out)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct parsed p = parse(refused[i].text);
        ck_assert_msg(!strcmp(tug_buf_str(&p.text), refused[i].errors), "%s\ngave: %s\nnot:  %s",
                      refused[i].text, tug_buf_str(&p.text), refused[i].errors);
        done(&p);
    }
}
END_TEST

START_TEST(a_nul_byte_is_found_where_it_is)
{
    struct parsed p = parse_n("a: 1\nb: \0\n", 10);
    ck_assert_str_eq(tug_buf_str(&p.text), "f.yaml:2:4: a NUL byte; is this really a text file?\n");
    ck_assert(p.broken);
    ck_assert_ptr_null(p.root);
    done(&p);
}
END_TEST

START_TEST(a_file_over_4_MiB_is_refused_and_one_of_4_MiB_is_read)
{
    size_t len = TUG_YAML_FILE_MAX;
    char *text = tug_xmalloc(len + 1);
    memset(text, '#', len + 1);
    struct parsed p = parse_n(text, len);
    ck_assert_str_eq(tug_buf_str(&p.text), "");
    done(&p);
    p = parse_n(text, len + 1);
    ck_assert_str_eq(tug_buf_str(&p.text),
                     "f.yaml: the file is over 4 MiB; split it up and 'include:' the parts\n");
    ck_assert(p.broken);
    done(&p);
    free(text);
}
END_TEST

START_TEST(a_file_of_millions_of_values_is_refused_in_bounded_memory)
{
    size_t len = TUG_YAML_FILE_MAX;
    char *text = tug_xmalloc(len);
    for (size_t i = 0; i < len; i++)
        text[i] = i == 0 ? '[' : i % 2 ? 'a' : ',';
    struct parsed p = parse_n(text, len);
    ck_assert_uint_eq(tug_conf_errors_count(&p.errs), 1);
    ck_assert_ptr_nonnull(strstr(tug_buf_str(&p.text), "more than 500000 values"));
    done(&p);
    free(text);
}
END_TEST

START_TEST(half_a_million_equal_keys_are_listed_up_to_100_and_counted)
{
    struct tug_buf b = {0};
    for (int i = 0; i < 200000; i++)
        tug_buf_adds(&b, "k: 1\n");
    struct parsed p = parse_n(b.data, b.len);
    ck_assert_uint_eq(p.errs.list.len, 100);
    ck_assert_uint_eq(p.errs.left_out, 199999 - 100);
    ck_assert_uint_eq(p.root->n_items, 1);
    ck_assert_ptr_nonnull(
        strstr(tug_buf_str(&p.text), "\n199899 more errors are not shown; fix these first\n"));
    done(&p);
    tug_buf_clear(&b);
}
END_TEST

START_TEST(what_stands_before_a_syntax_error_is_still_read)
{
    struct parsed p = parse("a: 1\nb: [x, y]\nc: {d: 1}\n e: 2\n");
    ck_assert(p.broken);
    ck_assert_uint_eq(tug_conf_errors_count(&p.errs), 1);
    ck_assert_str_eq(tug_yaml_get(p.root, "a")->text, "1");
    ck_assert_uint_eq(tug_yaml_get(p.root, "b")->n_items, 2);
    done(&p);
}
END_TEST

START_TEST(errors_keep_the_offending_text_short_and_without_control_bytes)
{
    struct tug_conf_errors errs = {0};
    char text[300];
    memset(text, 'x', sizeof text);
    text[0] = '\x1b';
    tug_conf_errors_add(&errs, (struct tug_conf_pos){"f\n", 1, 2}, text, sizeof text, "a\tb",
                        "bad\n%s", "\x1b");
    const struct tug_conf_error *e = &errs.list.at[0];
    ck_assert_uint_eq(strlen(e->text), 4 + 79 + 3);
    ck_assert_int_eq(strncmp(e->text, "\\x1bxxx", 7), 0);
    ck_assert_str_eq(e->sentence, "bad\\n\\x1b");
    ck_assert_str_eq(e->hint, "a\\tb");
    struct tug_buf b = {0};
    tug_conf_errors_print(&errs, &b);
    ck_assert_str_eq(tug_buf_str(&b), "f\\n:1:2: bad\\n\\x1b; a\\tb\n");
    tug_buf_clear(&b);
    tug_conf_errors_clear(&errs);
}
END_TEST

UNIT_MAIN("conf/yaml", a_tree_knows_where_each_node_was_written,
          an_empty_text_has_no_root_and_no_error, nothing_null_and_tilde_are_no_value_unless_quoted,
          each_refusal_has_its_place_and_a_way_out, a_nul_byte_is_found_where_it_is,
          a_file_over_4_MiB_is_refused_and_one_of_4_MiB_is_read,
          a_file_of_millions_of_values_is_refused_in_bounded_memory,
          half_a_million_equal_keys_are_listed_up_to_100_and_counted,
          what_stands_before_a_syntax_error_is_still_read,
          errors_keep_the_offending_text_short_and_without_control_bytes)
