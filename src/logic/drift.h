/* drift.h - what nodes say of the network between them, against the fabric that is configured
 *
 * Nodes that NVLink joins (NVL72) know the domain that they are in. Two of one such domain in different domains of the fabric,
 * or one domain of NVLink's own level with nodes of two, and placement believes what is not so. Most are taken to be right; of equal
 * parts, the one that was configured first. Layer: logic.
 */
#ifndef TUG_LOGIC_DRIFT_H
#define TUG_LOGIC_DRIFT_H

#include <stddef.h>
#include <stdint.h>

#define TUG_DRIFT_TEXT 512

struct tug_drift_row {
    const char *node;
    const char *nvlink;         /* NVLink domain; never "" */
    const char *domain;         /* of the fabric; "" = in none */
    uint8_t is_nvlink;          /* that domain is of NVLink's own level */
};

/* Is a level of that name one that NVLink joins? "nvlink", "nvl72", "block", "clique". */
int tug_drift_is_nvlink(const char *level);
/* Says a sentence for each node that is not where the others are, in the order of the rows. */
void tug_drift_find(const struct tug_drift_row *rows, size_t n, void (*say)(void *arg, size_t row, const char *text),
                    void *arg);

#endif
