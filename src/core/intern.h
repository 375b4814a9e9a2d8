/* intern.h - one copy of each text that many jobs share
 *
 * 100,000 waiting jobs have a handful of users, queues and names. Equal texts have equal pointers,
 * so they can be compared and hashed as pointers. NULL is taken as "".
 */
#ifndef TUG_CORE_INTERN_H
#define TUG_CORE_INTERN_H

#include <stddef.h>

struct tug_interns; /* opaque: see intern.c */

struct tug_interns *tug_interns_new(void);
void tug_interns_free(struct tug_interns *t);                 /* frees every text */
const char *tug_intern(struct tug_interns *t, const char *s); /* one more holder; never NULL */
/* One more holder of what tug_intern() gave, without looking for it; returns it. */
const char *tug_intern_hold(const char *s);
void tug_intern_drop(struct tug_interns *t, const char *s);   /* one holder less; NULL is fine */
size_t tug_interns_count(const struct tug_interns *t);
size_t tug_interns_bytes(const struct tug_interns *t);

#endif
