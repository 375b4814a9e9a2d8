/* wiring.h - how nodes are wired together, as a file of another tool tells it
 *
 * Slurm's topology.conf and topology.yaml, ibnetdiscover's output, topograph's models and plain CSV all become one
 * tree of domains, printed as the 'fabric:' of tugline.yaml. Syntax that cannot be read is an error with its line; what
 * is read but has no place in a tree is a warning, and is left out. Nothing here touches a file. Layer: conf.
 *
 * Sources of the formats: topology.conf(5) and topology.yaml(5) of Slurm, ibnetdiscover(8) of infiniband-diags, the
 * models in NVIDIA's topograph.
 */
#ifndef TUG_CONF_WIRING_H
#define TUG_CONF_WIRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"
#include "conf/errors.h"

enum {
    TUG_WIRING_WARNINGS_MAX = 100, /* kept; the rest is only counted */
    TUG_WIRING_DEPTH_MAX = 64,
};
#define TUG_WIRING_NONE UINT32_MAX

enum tug_wiring_format {
    TUG_WIRING_AUTO,
    TUG_WIRING_SLURM_TREE,
    TUG_WIRING_SLURM_BLOCK,
    TUG_WIRING_SLURM_YAML,
    TUG_WIRING_IBNETDISCOVER,
    TUG_WIRING_TOPOGRAPH,
    TUG_WIRING_CSV,
};
/* -EINVAL lists those that there are. */
int tug_wiring_format(const char *name, enum tug_wiring_format *out, struct tug_err *err);
const char *tug_wiring_format_name(enum tug_wiring_format f);

struct tug_wiring_node; /* opaque: a host and where it is */

struct tug_wiring_domain {
    char *key;         /* as the file calls it */
    char *name;        /* as a configuration may call it; after tug_wiring_finish() */
    char *level;       /* NULL until finished: by its height */
    char *about;       /* a remark for the reader, or NULL */
    uint32_t parent;   /* TUG_WIRING_NONE = at the top */
    uint32_t height;   /* 0: nothing below; after finishing */
    uint32_t rank;     /* the same, without what is below and was given a level: tells the usual level */
    unsigned line;     /* where it was first named */
    bool is_described; /* not only named by others */
    bool is_dropped;   /* has no nodes, not even below; after finishing */
    struct tug_vec(const char *) nodes; /* its own ones; in natural order after finishing */
};

struct tug_wiring_warning {
    unsigned line; /* 0 = of the whole file */
    char *text;
};

struct tug_wiring_level { /* what the file tells of the links of a level */
    char *name;
    int64_t oversubscription_milli;
    char *how; /* what it was made of */
};

struct tug_wiring {
    struct tug_vec(struct tug_wiring_domain *) domains;
    struct tug_vec(struct tug_wiring_warning) warnings;
    struct tug_vec(struct tug_wiring_level) levels;
    size_t warnings_left_out;
    struct tug_wiring_node *nodes; /* by name */
    void *by_key;                  /* domains */
};

struct tug_wiring *tug_wiring_new(void);
void tug_wiring_free(struct tug_wiring *w);

/* Read 'text', which 'file' has; AUTO looks what it is and *format tells. 0 with a finished wiring of at least one node,
 * or -EINVAL with everything that cannot be read in 'errs'. */
int tug_wiring_read(struct tug_wiring *w, enum tug_wiring_format *format, const char *file,
                    const char *text, size_t len, struct tug_conf_errors *errs);

/* ---- to make one by hand; lines are where it is said, 0 = nowhere */

/* The domain of that name, made where there is none. */
uint32_t tug_wiring_domain(struct tug_wiring *w, const char *key, unsigned line);
/* Puts a host into a domain, TUG_WIRING_NONE: it is only known. One that is in another stays there, with a warning. */
void tug_wiring_put(struct tug_wiring *w, uint32_t domain, const char *host, unsigned line);
/* Has a parent already: that one stays, with a warning. */
void tug_wiring_below(struct tug_wiring *w, uint32_t domain, uint32_t parent, unsigned line);
void tug_wiring_warn(struct tug_wiring *w, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Cuts loops, drops what has no nodes, gives levels and names. To be called once, at the end. */
void tug_wiring_finish(struct tug_wiring *w);

size_t tug_wiring_count_nodes(const struct tug_wiring *w); /* that are in a domain */
/* "97 nodes in 19 domains: 1 core, 6 spine, 12 leaf" */
void tug_wiring_summary(const struct tug_wiring *w, struct tug_buf *out);
/* 'fabric:', and 'fabric_levels:' where something is known, with warnings as comments. */
void tug_wiring_print(const struct tug_wiring *w, const char *file, enum tug_wiring_format format,
                      struct tug_buf *out);

struct tug_wiring_drift tug_vec(char *);
/* A sentence for each difference of 'w' to what is 'running'. Domains are matched by the nodes they have in common, so
 * another name alone is none. Nodes that 'running' has and nobody ever wired are none either. */
void tug_wiring_compare(const struct tug_wiring *w, const struct tug_wiring *running,
                        struct tug_wiring_drift *out);
void tug_wiring_drift_clear(struct tug_wiring_drift *d);

/* ---- the readers; each adds to 'w' what it finds */

struct tug_wiring_text {
    const char *file;
    const char *text; /* NUL-terminated, without any inside */
    size_t len;
    struct tug_conf_errors *errs;
};
void tug_wiring_read_slurm(struct tug_wiring *w, const struct tug_wiring_text *t);
void tug_wiring_read_ib(struct tug_wiring *w, const struct tug_wiring_text *t);
void tug_wiring_read_csv(struct tug_wiring *w, const struct tug_wiring_text *t);
/* Slurm's topology.yaml and topograph's models; *format is AUTO, or what it has to be. */
void tug_wiring_read_yaml(struct tug_wiring *w, const struct tug_wiring_text *t,
                          enum tug_wiring_format *format);
/* Puts all hosts of a list there. What is no list is an error at that line. */
void tug_wiring_put_list(struct tug_wiring *w, const struct tug_wiring_text *t, uint32_t domain,
                         const char *list, unsigned line);
void tug_wiring_error(const struct tug_wiring_text *t, unsigned line, const char *what, size_t len,
                      const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* The next line, without what ends it; false at the end. */
bool tug_wiring_line(const char **rest, const char **line, size_t *len);

#endif
