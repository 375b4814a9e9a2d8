/* victims.h - what files know together that look for those who are to give way; for these only
 *
 * victims.c gathers candidates and chooses among them; vacancy.c says what would be free without those that are chosen, and whether the
 * job fits then; clearing.c, whose end makes one node large enough. Layer: core.
 */
#ifndef TUG_CORE_VICTIMS_H
#define TUG_CORE_VICTIMS_H

#include "core/state.h"

struct tug_cand {
    struct tug_entry *e;
    double cost;          /* lost work, in GPU-ms */
    double price;         /* what choosing looks at: the cost, or a share of it */
    uint32_t nodes;       /* usable ones that it is on */
    uint8_t chosen, free; /* free: leaves anyway */
    uint8_t keeps_memory;
};

struct tug_cand_part {
    uint32_t cand, slice;
};
#define TUG_NO_SLICE UINT32_MAX

struct tug_vacancy {
    tug_gpuset gpus;
    uint32_t cpus, others; /* others: gangs that would still run there */
    uint64_t mem_bytes;
    tug_gpuset gpus_owed; /* what holds of other jobs still wait for */
    uint32_t cpus_owed;
    uint64_t mem_owed_bytes;
};

enum { TUG_FITS_NOT, TUG_FITS_LAST, TUG_FITS_ANY }; /* no slice, only a smaller last one, any */

struct tug_offer {
    double price;
    uint32_t node;
};

struct tug_victims {
    struct tug_core *c;
    struct tug_entry *e;
    uint32_t n_nodes;
    struct tug_vec(struct tug_cand) cands;
    struct tug_cand_part *parts;
    uint32_t *first;      /* parts of node i: first[i] .. first[i + 1] */
    struct tug_vacancy *room; /* of each node, as nothing changes meanwhile */
    uint32_t *fixed;      /* a suspended job: its slice on node i, + 1 */
    uint8_t *fits, *best; /* by node: TUG_FITS_..., by candidate */
    const struct tug_region *in; /* only there; NULL = anywhere */
    uint64_t *without;           /* and not on these, as bits; NULL = without none */
    uint64_t *full, *any;        /* what 'fits' says, as bits */
    uint32_t n_full, n_any, n_chosen;
    uint32_t gpus_owed; /* in all */
    int keeps;          /* some queue does not lend what is guaranteed to it */
    uint32_t best_mbs;  /* what those in 'best' leave gives to the job */
    int for_last;       /* offers are for the last slice, the smaller one */
    struct tug_vec(struct tug_offer) heap;
};

/* vacancy.c */
/* What is free there now. */
struct tug_vacancy tug_vacancy_room(const struct tug_victims *v, uint32_t node);
/* What the node has, without those that are chosen. */
struct tug_vacancy tug_vacancy_at(const struct tug_victims *v, uint32_t node);
/* And without that one. */
void tug_vacancy_add(const struct tug_victims *v, struct tug_vacancy *r, const struct tug_cand_part *p);
int tug_vacancy_is_enough(const struct tug_victims *v, uint32_t node, const struct tug_vacancy *r, int last);
/* Has the candidate the node's domain for itself? */
int tug_vacancy_shuts(const struct tug_victims *v, uint32_t cand, uint32_t node);
/* So many others have who are not among those that were chosen. */
uint32_t tug_vacancy_shut_by(const struct tug_victims *v, uint32_t node);
int tug_vacancy_may_use(const struct tug_victims *v, uint32_t node);
uint8_t tug_vacancy_fits(const struct tug_victims *v, uint32_t node);
void tug_vacancy_set(struct tug_victims *v, uint32_t node, uint8_t fits);
/* After one was chosen or sent back: the nodes that it is on. */
void tug_vacancy_refit(struct tug_victims *v, const struct tug_cand *k);
/* What it asks of the fabric; in the one domain that is looked at, all that counts is how many. */
int tug_vacancy_is_as_asked(const struct tug_victims *v, uint32_t *out);
int tug_vacancy_has_all_but_last(const struct tug_victims *v);
int tug_vacancy_has_all(const struct tug_victims *v);

/* clearing.c */
struct tug_clearing {
    uint32_t at[64]; /* candidates that are not chosen yet */
    uint32_t slice[64];
    size_t n;
    struct tug_vacancy before; /* without those who are chosen already */
    uint32_t shut;
};
/* Who has to go so that the node is large enough, as bits of k->at: 1, or 0 when not even all suffice. */
int tug_clearing_find(const struct tug_victims *v, uint32_t node, struct tug_clearing *k, uint64_t *set,
                      double *price);

#endif
