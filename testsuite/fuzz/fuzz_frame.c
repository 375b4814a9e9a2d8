/* fuzz_frame.c - whatever bytes come: a frame lies inside of them, and a part of it is never
 * refused for being one */
#include "fuzz.h"

#include <errno.h>

#include "proto/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    for (int ch = TUG_CH_CLIENT; ch <= TUG_CH_LAUNCH; ch++) {
        size_t at = 0;
        for (;;) {
            struct tug_frame f = {0}, again;
            struct tug_err err = {0};
            long n = tug_frame_cut(data + at, len - at, (enum tug_channel) ch, &f, &err);
            if (n < 0)
                tug_assert(n == -EPROTO && err.msg[0]);
            if (n <= 0)
                break;
            tug_assert((size_t) n <= len - at && (size_t) n == TUG_FRAME_HEAD + f.len);
            tug_assert(f.body == data + at + TUG_FRAME_HEAD && f.flags == 0);
            const struct tug_msg_info *info = tug_msg_info(f.number);
            tug_assert(info && (int) info->channel == ch && f.len <= info->max_bytes);
            tug_assert(
                tug_frame_cut(data + at, (size_t) n - 1, (enum tug_channel) ch, &again, NULL) == 0);
            uint8_t head[TUG_FRAME_HEAD];
            tug_frame_head(head, f.number, f.rid, f.len);
            tug_assert(memcmp(head, data + at, sizeof head) == 0);
            at += (size_t) n;
        }
    }
    return 0;
}
