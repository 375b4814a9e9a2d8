/* pmix.h - the PMIx server that a step's ranks on this node connect to
 *
 * Hides libpmix: no type of it appears here, and it is loaded only when one of these is called, so
 * that a step without PMIx pays nothing. Its own threads do the work; every callback below comes on
 * the loop. One server a process: the library cannot be started twice, and after a failed step it
 * must not be shut down either (it may hang), so there is no free: the process ends with _exit.
 * What needs other nodes is handed up as bytes with a ticket and answered later with that ticket.
 * Layer: host.
 */
#ifndef TUG_HOST_PMIX_H
#define TUG_HOST_PMIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct event_base;
struct tug_pmix;

enum tug_pmix_status {
    TUG_PMIX_OK,
    TUG_PMIX_NOT_FOUND,
    TUG_PMIX_TIMEOUT,
    TUG_PMIX_EXISTS,
    TUG_PMIX_FAILED
};

struct tug_pmix_job {         /* borrowed until on_up; ranks are numbered along the nodes */
    const char *nspace;       /* unguessable: a PMIx client is believed when it knows it */
    const char *const *nodes; /* names, used instead of gethostname() */
    const unsigned *ntasks;   /* per node */
    unsigned n_nodes, me;
    const char *tmpdir; /* private to the user */
};

struct tug_pmix_ops {
    void (*on_up)(void *arg,
                  const struct tug_err *err); /* ready; or NULL != err->code: it will never be */
    void (*on_connected)(void *arg, unsigned rank); /* a local rank called PMIx_Init */
    void (*on_abort)(void *arg, unsigned rank, int status, const char *text);
    /* To be answered by tug_pmix_fence_done: the data of all 'nodes', joined in any order. */
    void (*on_fence)(void *arg, uint64_t ticket, const void *sig, size_t sig_len,
                     const uint32_t *nodes, size_t n_nodes, const void *data, size_t len);
    /* To be answered by tug_pmix_modex_done: what tug_pmix_modex_ask gave on the node of 'rank'. */
    void (*on_modex)(void *arg, uint64_t ticket, unsigned rank);
    /* Answer to tug_pmix_modex_ask. */
    void (*on_modex_local)(void *arg, unsigned from_node, uint64_t from_ticket,
                           enum tug_pmix_status st, const void *data, size_t len);
    /* 'data' are entries (below); to be answered by tug_pmix_publish_done. */
    void (*on_publish)(void *arg, uint64_t ticket, const void *data, size_t len, bool unpublish);
    /* To be answered by tug_pmix_lookup_done with entries. timeout_s 0: none. */
    void (*on_lookup)(void *arg, uint64_t ticket, char *const *keys, size_t n_keys, bool wait,
                      unsigned timeout_s);
};

/* Starts the server on a thread; on_up follows. */
int tug_pmix_start(struct tug_pmix **out, struct event_base *base, const struct tug_pmix_job *job,
                   const struct tug_pmix_ops *ops, void *arg, struct tug_err *err);
/* Variables that a local rank needs to find the server: "K=V", NULL at the end. tug_pmix_env_free()
 * frees. */
int tug_pmix_rank_env(struct tug_pmix *p, unsigned rank, char ***env, struct tug_err *err);
void tug_pmix_env_free(char **env);

void tug_pmix_fence_done(struct tug_pmix *p, uint64_t ticket, enum tug_pmix_status st,
                         const void *data, size_t len);
void tug_pmix_modex_ask(struct tug_pmix *p, unsigned rank, unsigned from_node,
                        uint64_t from_ticket);
void tug_pmix_modex_done(struct tug_pmix *p, uint64_t ticket, enum tug_pmix_status st,
                         const void *data, size_t len);
void tug_pmix_publish_done(struct tug_pmix *p, uint64_t ticket, enum tug_pmix_status st);
void tug_pmix_lookup_done(struct tug_pmix *p, uint64_t ticket, enum tug_pmix_status st,
                          const void *data, size_t len);

/* ---- published data as bytes: entries one after the other ---- */

struct tug_pmix_entry {
    unsigned rank;     /* who published it */
    const char *key;   /* NUL-terminated */
    const void *value; /* packed by libpmix; empty for unpublish */
    size_t value_len;
};
void tug_pmix_entry_add(struct tug_buf *out, const struct tug_pmix_entry *e);
/* The next one, which points into the bytes; false: no more, or the rest is damaged. */
bool tug_pmix_entry_next(const void **data, size_t *len, struct tug_pmix_entry *out);

#endif
