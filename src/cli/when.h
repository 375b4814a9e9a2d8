/* when.h - points in time as people write them
 *
 *   now  now+2h  now-1d  now+30 (seconds, as in sbatch)  now+1hour  now+5minutes
 *   today  tomorrow  yesterday  midnight  noon        today, tomorrow and yesterday are at 0:00
 *   18:00  18:00:30                                   today; with 'ahead' the next time that the
 * clock shows it 2026-11-30  2026-11-30T18:00  2026-11-30 18:00:00 Local time. Layer: cli.
 */
#ifndef TUG_CLI_WHEN_H
#define TUG_CLI_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* -EINVAL: none of these. 'ahead': a clock time or noon that is over means the next one. */
int tug_when_parse(const char *text, int64_t now_ms, bool ahead, int64_t *out_ms,
                   struct tug_err *err);

#endif
