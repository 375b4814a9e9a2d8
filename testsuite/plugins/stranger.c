/* stranger.c - a shared object for tests that is no policy */
#include <stddef.h>

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
size_t
stranger_size(void);

size_t stranger_size(void)
{
    return sizeof(size_t);
}
