/* A document through libexpat, bounded: the reader of a format is told of elements as they open and
 * close. Names are without their namespace's prefix. */
#ifndef GANTRY_REPORT_XML_H
#define GANTRY_REPORT_XML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report/read.h"

struct xml;

struct xml_reader {
    const char *const *roots; /* ended by NULL: what the outermost element may be */
    void (*open)(struct xml *xml, const char *name, const char *const *attributes);
    void (*close)(struct xml *xml, const char *name);
};

/* 0, or -1 with "name:line: reason". */
int xml_read(struct reading *in, const struct xml_reader *reader, void *state);

/* ---- inside the reader's functions ---- */

void *xml_state(const struct xml *xml);
struct reading *xml_in(const struct xml *xml);
size_t xml_depth(const struct xml *xml);       /* of the element at hand; the root's is 1 */
const char *xml_parent(const struct xml *xml); /* "" for the root */
bool xml_is(const char *name, const char *other);

/* In open(): the text inside this element is kept, to a bound, until close() of it. */
void xml_collect(struct xml *xml);
const char *xml_text(const struct xml *xml); /* in close(): "" where none was collected */

/* The value, or NULL. */
const char *xml_attribute(const char *const *attributes, const char *name);
/* A count: digits. False, having failed, where it is missing or anything else. */
bool xml_number(struct xml *xml, const char *const *attributes, const char *name, uint64_t *out);
/* The same, 0 where it is missing. */
bool xml_number_or_0(struct xml *xml, const char *const *attributes, const char *name,
                     uint64_t *out);

/* The document is refused, with this reason and the line; the reader is not called again. */
void xml_fail(struct xml *xml, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with what in->err holds. */
void xml_fail_err(struct xml *xml);

#endif
