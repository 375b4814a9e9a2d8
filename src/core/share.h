/* share.h - accounts and users as a tree: who may use how much, and who has
 *
 * Row 0 is the root, every other row stands behind its parent. Accounts come from the configuration, users with their first
 * job (or from the account's list of users). A row keeps its number until the next tug_shares_configure(). What a run uses
 * is charged to its user and to every account above. Layer: core.
 */
#ifndef TUG_CORE_SHARE_H
#define TUG_CORE_SHARE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "core/core.h"
#include "core/intern.h"
#include "core/usage.h"

struct tug_shares; /* opaque: see share.c */

struct tug_shares *tug_shares_new(struct tug_interns *texts); /* borrows them for good */
void tug_shares_free(struct tug_shares *s);

/* Could these accounts be taken? -EINVAL: a name twice, a parent that is none, a loop, a user's weight that is none. */
int tug_shares_check(const struct tug_core_account *accounts, size_t n, struct tug_err *err);
/* Takes checked accounts. What ended runs used stays with its account and user, also where the account has gone (it then has
 * no share any more); nothing runs afterwards: every run has to be started again. */
void tug_shares_configure(struct tug_shares *s, const struct tug_core_account *accounts, size_t n,
                          int64_t half_life_ms, int64_t now_ms);

/* The row of a user's jobs under that account, made when there is none. account "" = the user's own: the first that lists
 * the user, else the first that takes everyone. Without configured accounts every name is one. */
uint32_t tug_shares_user(struct tug_shares *s, const char *account, const char *user, uint32_t uid);
/* The same, of exactly that account ("" = none at all: below the root), as records name it. */
uint32_t tug_shares_exact(struct tug_shares *s, const char *account, const char *user,
                          uint32_t uid);
/* Who may charge what: 0 and *out = the account (a text that lives until the next configure).
 *   -ENOENT  no such account (did you mean)   -EPERM  it does not take the user, or is divided into others */
int tug_shares_admit(const struct tug_shares *s, const char *account, const char *user,
                     const char **out, struct tug_err *err);

struct tug_share_load { /* what a run holds */
    int64_t rate;       /* what it is charged, see usage.h */
    uint32_t gpus, cpus;
    uint64_t micro;     /* slices of GPUs, in millionths of one */
    uint64_t mem_bytes;
};
void tug_shares_start(struct tug_shares *s, uint32_t row, const struct tug_share_load *load,
                      int64_t at_ms);
void tug_shares_stop(struct tug_shares *s, uint32_t row, const struct tug_share_load *load,
                     int64_t at_ms, int64_t end_ms);
/* As a record says. */
void tug_shares_add(struct tug_shares *s, uint32_t row, double gpu_s, int64_t at_ms);
/* GPU-seconds of ended runs as they count now: what a record has to say of a user. */
double tug_shares_settled(const struct tug_shares *s, uint32_t row, int64_t now_ms);

size_t tug_shares_count(const struct tug_shares *s);
/* Name, weight and place of a row, without its figures. */
void tug_shares_row(const struct tug_shares *s, uint32_t row, struct tug_policy_share *out);
/* All rows with their figures, worked out unless they are those of now_ms still. Valid until the next call that changes
 * anything. level_fs is rounded to single precision, so that what should be equal is. */
const struct tug_policy_share *tug_shares_figures(struct tug_shares *s, int64_t now_ms, size_t *n);
size_t tug_shares_bytes(const struct tug_shares *s);

#endif
