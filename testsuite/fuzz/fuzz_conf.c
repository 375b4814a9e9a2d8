/* fuzz_conf.c - any files at all: both loaders list errors or give a configuration whose dump loads
 * to an equal one, and nothing is leaked
 *
 * The input is up to 8 files a, b, c ... that may include each other, with lines "%%" between.
 */
#include "fuzz.h"

#include "conf/config.h"

struct files {
    const uint8_t *at[8];
    size_t len[8];
    size_t n;
};

static int read_one(void *ctx, const char *path, size_t max_bytes, struct tug_buf *out,
                    struct tug_err *err)
{
    const struct files *f = ctx;
    size_t i = (size_t) (path[0] - 'a');

    if (path[0] < 'a' || path[1] || i >= f->n)
        return tug_fail(err, -2, "no file '%s'", path);
    tug_assert(f->len[i] <= max_bytes);
    tug_buf_add(out, f->at[i], f->len[i]);
    return 0;
}

static int match_all(void *ctx, const char *pattern, struct tug_source_paths *out,
                     struct tug_err *err)
{
    const struct files *f = ctx;

    (void) pattern;
    (void) err;
    for (size_t i = 0; i < f->n; i++)
        tug_vec_push(&out->list, tug_xasprintf("%c", (char) ('a' + i)));
    return 0;
}

static struct files split(const uint8_t *data, size_t len)
{
    struct files f = {{data}, {len}, 1};
    const uint8_t *end = data + len;

    while (f.n < 8) {
        const uint8_t *from = f.at[f.n - 1];
        const uint8_t *mark = from < end ? memmem(from, (size_t) (end - from), "\n%%\n", 4) : NULL;
        if (!mark)
            break;
        f.len[f.n - 1] = (size_t) (mark - from);
        f.at[f.n] = mark + 4;
        f.len[f.n] = (size_t) (end - mark - 4);
        f.n++;
    }
    return f;
}

/* Sorted, printable, and there when and only when the load failed. */
static void check_errors(int rc, struct tug_conf_errors *errs)
{
    struct tug_buf b = {0};

    tug_assert((rc < 0) == (tug_conf_errors_count(errs) > 0));
    tug_conf_errors_print(errs, &b);
    for (size_t i = 0; i < b.len; i++)
        tug_assert((unsigned char) b.data[i] >= 0x20 || b.data[i] == '\n');
    tug_buf_clear(&b);
    tug_conf_errors_clear(errs);
}

static void controller(struct files *f)
{
    struct tug_source_reader reader = {f, read_one, match_all};
    struct tug_config c = {0}, again = {0};
    struct tug_conf_errors errs = {0};
    struct tug_schema_diff diff = {0};
    struct tug_buf b = {0};
    int rc = tug_config_load(&reader, "a", &c, &errs);

    check_errors(rc, &errs);
    if (rc == 0) {
        tug_assert(tug_config_default_queue(&c));
        tug_config_dump(&c, &b);
        struct files dump = {{(const uint8_t *) tug_buf_str(&b)}, {b.len}, 1};
        reader.ctx = &dump;
        rc = b.len <= TUG_YAML_FILE_MAX ? tug_config_load(&reader, "a", &again, &errs) : -1;
        if (rc == 0) {
            tug_config_diff(&c, &again, &diff);
            tug_assert(!diff.list.len);
        } else {
            tug_assert(b.len > TUG_YAML_FILE_MAX);
        }
    }
    tug_conf_errors_clear(&errs);
    tug_schema_diff_clear(&diff);
    tug_buf_clear(&b);
    tug_config_clear(&c);
    tug_config_clear(&again);
}

static void node(struct files *f)
{
    struct tug_source_reader reader = {f, read_one, match_all};
    struct tug_node_config c = {0}, again = {0};
    struct tug_conf_errors errs = {0};
    struct tug_schema_diff diff = {0};
    struct tug_buf b = {0};
    int rc = tug_node_config_load(&reader, "a", &c, &errs);

    check_errors(rc, &errs);
    if (rc == 0) {
        tug_node_config_dump(&c, &b);
        struct files dump = {{(const uint8_t *) tug_buf_str(&b)}, {b.len}, 1};
        reader.ctx = &dump;
        tug_assert(tug_node_config_load(&reader, "a", &again, &errs) == 0);
        tug_node_config_diff(&c, &again, &diff);
        tug_assert(!diff.list.len);
    }
    tug_conf_errors_clear(&errs);
    tug_schema_diff_clear(&diff);
    tug_buf_clear(&b);
    tug_node_config_clear(&c);
    tug_node_config_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct files f = split(data, len);

    controller(&f);
    node(&f);
    return 0;
}
