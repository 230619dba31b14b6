/* Documents through libexpat, bounded: the one place that includes it. Who reads a format is told
 * of elements and text as they come. Names are without their namespace's prefix. Pure. */
#ifndef GANTRY_XML_XML_H
#define GANTRY_XML_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct xml_parser;

/* Of the document, as a reason may show it. */
struct xml_shown {
    char text[48];
};

struct xml_conf {
    size_t depth;     /* elements in elements */
    size_t attribute; /* bytes of one value */
    bool no_doctype;  /* else one that declares nothing is read over */
    void (*open)(struct xml_parser *parser, const char *name, const char *const *attributes,
                 void *arg);
    void (*close)(struct xml_parser *parser, const char *name, void *arg);
    void (*text)(struct xml_parser *parser, const char *text, size_t len, void *arg);
    struct xml_shown (*shown)(const char *text, void *arg); /* NULL: the beginning of it */
    void *arg;
};

struct xml_refusal {
    enum err_code code; /* ERR_INVALID, ERR_LIMIT, or what xml_refuse() said */
    unsigned long line;
    char reason[512];
};

/* 0, or -1 and *why. */
int xml_parse(const struct xml_conf *conf, const char *bytes, size_t len, struct xml_refusal *why);

/* ---- inside of the conf's functions ---- */

/* The document is refused; none of the functions is called again. The first reason counts. */
void xml_refuse(struct xml_parser *parser, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Of the element at hand; the root's is 1. In close() too. */
size_t xml_parser_depth(const struct xml_parser *parser);
/* The element that is open at that depth; "" where there is none. */
const char *xml_parser_element(const struct xml_parser *parser, size_t depth);

#endif
