/* vec.h - a typed growable array
 *
 *     struct tug_vec(struct job *) jobs = { 0 };
 *     tug_vec_push(&jobs, j);
 *     for (size_t i = 0; i < jobs.len; i++) use(jobs.at[i]);
 *     tug_vec_clear(&jobs);
 */
#ifndef TUG_BASE_VEC_H
#define TUG_BASE_VEC_H

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define tug_vec(type)  \
    {                  \
        type *at;      \
        size_t len;    \
        size_t cap;    \
    }

/* Make room for 'n' elements in all. */
#define tug_vec_reserve(v, n)                                                      \
    do {                                                                           \
        size_t want_ = (n);                                                        \
        if (want_ > (v)->cap) {                                                    \
            size_t cap_ = (v)->cap ? (v)->cap : 8;                                 \
            while (cap_ < want_)                                                   \
                cap_ *= 2;                                                         \
            (v)->at = tug_xrealloc((v)->at, cap_ * sizeof *(v)->at);               \
            (v)->cap = cap_;                                                       \
        }                                                                          \
    } while (0)

#define tug_vec_push(v, x)                       \
    do {                                         \
        tug_vec_reserve((v), (v)->len + 1);      \
        (v)->at[(v)->len++] = (x);               \
    } while (0)

/* Remove element i, keeping the order. */
#define tug_vec_remove(v, i)                                                                      \
    do {                                                                                          \
        size_t i_ = (i);                                                                          \
        memmove(&(v)->at[i_], &(v)->at[i_ + 1], ((v)->len - i_ - 1) * sizeof *(v)->at);            \
        (v)->len--;                                                                               \
    } while (0)

#define tug_vec_clear(v)             \
    do {                             \
        free((v)->at);               \
        (v)->at = NULL;              \
        (v)->len = (v)->cap = 0;     \
    } while (0)

#endif
