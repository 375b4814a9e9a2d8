/* room.h - arrays that policies keep from pass to pass
 *
 * Header only: a plugin is one shared object and links nothing.
 */
#ifndef ROOM_H
#define ROOM_H

#include <errno.h>
#include <stdlib.h>

/* Room for n rows of 'size' bytes in the array whose pointer 'rows' points to, with some to spare
 * so that it is not asked for in every pass. -ENOMEM: nothing has changed. */
static inline int make_room(void *rows, size_t *cap, size_t n, size_t size)
{
    if (n <= *cap)
        return 0;
    void **at = rows, *more = realloc(*at, 2 * n * size);
    if (!more)
        return -ENOMEM;
    *at = more;
    *cap = 2 * n;
    return 0;
}

#endif
