/* xml.c - XML from strangers: expat, with bounds
 *
 * Layer: conf.
 */
#include "conf/xml.h"

#include <errno.h>
#include <expat.h>
#include <stdio.h>

#include "base/err.h"

struct tug_xml {
    const struct tug_xml_walk *w;
    const char *file;
    XML_Parser parser;
    size_t depth, elements;
    bool stopped;
    struct tug_conf_errors *errs;
};

struct tug_conf_pos tug_xml_pos(const struct tug_xml *x)
{
    return (struct tug_conf_pos){x->file, (unsigned) XML_GetCurrentLineNumber(x->parser),
                                 (unsigned) XML_GetCurrentColumnNumber(x->parser) + 1};
}

void tug_xml_stop(struct tug_xml *x, const char *sentence, const char *hint)
{
    if (x->stopped)
        return;
    x->stopped = true;
    tug_conf_errors_add(x->errs, tug_xml_pos(x), NULL, 0, hint, "%s", sentence);
    XML_StopParser(x->parser, XML_FALSE);
}

static void on_open(void *ctx, const char *tag, const char **attributes)
{
    struct tug_xml *x = ctx;
    char text[80];
    if (!x->stopped && x->depth >= x->w->depth_max) {
        snprintf(text, sizeof text, "more than %zu elements inside each other", x->w->depth_max);
        tug_xml_stop(x, text, NULL);
    }
    if (!x->stopped && ++x->elements > x->w->elements_max) {
        snprintf(text, sizeof text, "more than %zu elements", x->w->elements_max);
        tug_xml_stop(x, text, NULL);
    }
    if (!x->stopped)
        x->w->open(x->w->ctx, x, tag, attributes, x->depth++);
}

static void on_close(void *ctx, const char *tag)
{
    struct tug_xml *x = ctx;
    if (x->stopped)
        return;
    x->depth--;
    x->w->close(x->w->ctx, tag);
}

static void on_text(void *ctx, const char *text, int len)
{
    struct tug_xml *x = ctx;
    if (!x->stopped)
        x->w->text(x->w->ctx, text, (size_t) len);
}

static void on_doctype(void *ctx, const char *name, const char *system_id, const char *public_id, int declares)
{
    struct tug_xml *x = ctx;
    char text[120];
    (void) name, (void) system_id, (void) public_id;
    if (x->w->takes_doctype && !declares)
        return;
    snprintf(text, sizeof text, "%s has no place in %s", declares ? "a DOCTYPE that declares entities" : "a DOCTYPE", x->w->what);
    tug_xml_stop(x, text, "take it out");
}

int tug_xml_read(const struct tug_xml_walk *w, const char *file, const char *text, size_t len, struct tug_conf_errors *errs)
{
    struct tug_xml x = {.w = w, .file = file, .errs = errs};
    if (len > w->bytes_max) {
        tug_conf_errors_add(errs, (struct tug_conf_pos){file, 0, 0}, NULL, 0, NULL, "the file is over %zu KiB, too much for %s",
                            w->bytes_max / 1024, w->what);
        return -EINVAL;
    }
    x.parser = XML_ParserCreate(NULL);
    tug_assert(x.parser);
    XML_SetUserData(x.parser, &x);
    XML_SetElementHandler(x.parser, on_open, on_close);
    if (w->text)
        XML_SetCharacterDataHandler(x.parser, on_text);
    XML_SetStartDoctypeDeclHandler(x.parser, on_doctype);
    if (XML_Parse(x.parser, text, (int) len, 1) == XML_STATUS_ERROR)
        tug_xml_stop(&x, XML_ErrorString(XML_GetErrorCode(x.parser)), "this is no XML");
    XML_ParserFree(x.parser);
    return x.stopped ? -EINVAL : 0;
}
