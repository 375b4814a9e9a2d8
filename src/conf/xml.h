/* xml.h - XML from strangers: expat, with bounds
 *
 * No entity is ever declared or fetched, so nothing grows; size, depth and number of elements are bounded. Layer: conf.
 */
#ifndef TUG_CONF_XML_H
#define TUG_CONF_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/errors.h"

struct tug_xml; /* opaque: one walk */

struct tug_xml_walk {
    const char *what;       /* "a topology of NCCL", for sentences */
    size_t bytes_max, depth_max, elements_max;
    bool takes_doctype;     /* one that declares nothing */
    void *ctx;
    /* attributes: name, value, ..., NULL. Depth of the root is 0. */
    void (*open)(void *ctx, struct tug_xml *x, const char *tag, const char **attributes, size_t depth);
    void (*close)(void *ctx, const char *tag);
    void (*text)(void *ctx, const char *text, size_t len); /* in pieces; NULL: not wanted */
};

/* Calls back for each element. -EINVAL: what is wrong is in 'errs', with its line. */
int tug_xml_read(const struct tug_xml_walk *w, const char *file, const char *text, size_t len, struct tug_conf_errors *errs);

/* In a callback: where we are; and nothing more of this, for that reason (only the first one counts). */
struct tug_conf_pos tug_xml_pos(const struct tug_xml *x);
void tug_xml_stop(struct tug_xml *x, const char *sentence, const char *hint);

#endif
