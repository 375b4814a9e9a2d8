/* wiring_slurm.c - Slurm's topology.conf, of trees and of blocks
 *
 * A line is NAME=VALUE pairs with blanks in between, names in any letter case; '#' begins a
 * comment, '\' at the end goes on in the next line. Layer: conf.
 */
#include <string.h>
#include <strings.h>

#include "base/hostlist.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/wiring.h"

#define EXPECTED                                                                                   \
    "expected SwitchName=NAME with Switches=LIST or Nodes=LIST, or BlockName=NAME Nodes=LIST"

struct row { /* of one line; NULL = not said */
    char *switch_name, *switches, *nodes, *link_speed, *block_name, *block_sizes;
};

static void row_clear(struct row *r)
{
    free(r->switch_name);
    free(r->switches);
    free(r->nodes);
    free(r->link_speed);
    free(r->block_name);
    free(r->block_sizes);
}

static char **slot_of(struct row *r, const char *name, size_t len)
{
    const struct {
        const char *name;
        char **slot;
    } slots[] = {{"SwitchName", &r->switch_name},
                 {"Switches", &r->switches},
                 {"Nodes", &r->nodes},
                 {"LinkSpeed", &r->link_speed},
                 {"BlockName", &r->block_name},
                 {"BlockSizes", &r->block_sizes}};
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++)
        if (strlen(slots[i].name) == len && !strncasecmp(slots[i].name, name, len))
            return slots[i].slot;
    return NULL;
}

/* false: an error was listed. */
static bool split(struct tug_wiring *w, const struct tug_wiring_text *t, const char *s,
                  unsigned line, struct row *out)
{
    while (*(s += strspn(s, " \t"))) {
        size_t name = strcspn(s, "= \t");
        if (s[name] != '=' || name == 0) {
            tug_wiring_error(t, line, s, strcspn(s, " \t"), EXPECTED, "this is no NAME=VALUE pair");
            return false;
        }
        const char *value = s + name + 1;
        char end = *value == '"' ? '"' : '\0';
        value += end != '\0';
        size_t len = end ? strcspn(value, "\"") : strcspn(value, " \t");
        char **slot = slot_of(out, s, name);
        if (end && value[len] != '"') {
            tug_wiring_error(t, line, value, len, "expected a closing '\"'",
                             "the value of %.*s does not end", (int) (name < 60 ? name : 60), s);
            return false;
        }
        if (!slot)
            tug_wiring_warn(w, line, "%.*s is not used", (int) (name < 60 ? name : 60), s);
        else if (*slot) {
            tug_wiring_error(t, line, s, name, "expected it once", "%.*s is said twice", (int) name,
                             s);
            return false;
        } else
            *slot = tug_xasprintf("%.*s", (int) len, value);
        s = value + len + (end != '\0');
    }
    return true;
}

static void add_children(struct tug_wiring *w, const struct tug_wiring_text *t, uint32_t parent,
                         const char *list, unsigned line)
{
    struct tug_hostlist *hl = NULL;
    struct tug_err err = {0};
    if (tug_hostlist_parse(list, &hl, &err)) {
        tug_wiring_error(t, line, list, strlen(list), "expected names like s[0-2,4]",
                         "Switches: %s", err.msg);
        return;
    }
    for (size_t i = 0; i < tug_hostlist_count(hl); i++)
        tug_wiring_below(w, tug_wiring_domain(w, tug_hostlist_nth(hl, i), line), parent, line);
    tug_hostlist_free(hl);
}

static void take_row(struct tug_wiring *w, const struct tug_wiring_text *t, const struct row *r,
                     unsigned line, size_t *speeds)
{
    const char *name = r->switch_name ? r->switch_name : r->block_name;
    if (r->block_sizes)
        tug_wiring_warn(w, line,
                        "BlockSizes=%s is not used: gangs take the fewest blocks whatever their "
                        "size",
                        r->block_sizes);
    if (r->block_sizes && !name)
        return;
    if (!name || !*name || (r->switch_name && r->block_name)) {
        tug_wiring_error(t, line, NULL, 0, EXPECTED, "this line names no switch and no block");
        return;
    }
    if (!r->nodes && !r->switches)
        tug_wiring_warn(w, line, "'%.100s' has neither nodes nor switches", name);
    uint32_t d = tug_wiring_domain(w, name, line);
    if (w->domains.at[d]->is_described)
        tug_wiring_warn(w, line, "'%.100s' is described again: both are taken together", name);
    w->domains.at[d]->is_described = true;
    if (r->block_name && !w->domains.at[d]->level)
        w->domains.at[d]->level = tug_xstrdup("block");
    if (r->nodes)
        tug_wiring_put_list(w, t, d, r->nodes, line);
    if (r->switches)
        add_children(w, t, d, r->switches, line);
    *speeds += r->link_speed != NULL;
}

void tug_wiring_read_slurm(struct tug_wiring *w, const struct tug_wiring_text *t)
{
    const char *rest = t->text, *at;
    size_t len, speeds = 0;
    unsigned number = 0, first = 0;
    struct tug_buf joined = {0};
    while (tug_wiring_line(&rest, &at, &len)) {
        const char *hash = memchr(at, '#', len);
        struct row r = {0};
        number++;
        first = joined.len ? first : number;
        tug_buf_add(&joined, at, hash ? (size_t) (hash - at) : len);
        if (joined.len && joined.data[joined.len - 1] == '\\' && *rest) {
            joined.data[joined.len - 1] = ' ';
            continue;
        }
        if (!strncasecmp(tug_buf_str(&joined), "include ", 8))
            tug_wiring_warn(w, first, "what is included is not read: import that file too");
        else if (strspn(tug_buf_str(&joined), " \t") < joined.len &&
                 split(w, t, tug_buf_str(&joined), first, &r))
            take_row(w, t, &r, first, &speeds);
        row_clear(&r);
        tug_buf_reset(&joined);
        if (joined.data)
            *joined.data = '\0';
    }
    tug_buf_clear(&joined);
    if (speeds)
        tug_wiring_warn(w, 0,
                        "LinkSpeed of %zu switches is not used: Slurm gives it no unit; write "
                        "fabric_levels with bandwidths",
                        speeds);
}
