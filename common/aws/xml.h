/* AWS's XML answers, a callback a leaf. */
#ifndef GANTRY_AWS_XML_H
#define GANTRY_AWS_XML_H

#include <stddef.h>

#include "base/err.h"

/* `path` is the names of the elements from the root on, "ListBucketResult/Contents/Key"; `text`
 * what stands in it. Called at the end of each element, inner ones first; non-zero ends it as
 * ERR_LIMIT. */
typedef int xml_element_fn(const char *path, const char *text, void *arg);

/* 0; ERR_INVALID: it is not well-formed, has a DOCTYPE or a text over 64 KiB; ERR_LIMIT: it is
 * deeper than 16 elements, or holds more than xml/xml.h allows. */
int xml_walk(const char *data, size_t len, xml_element_fn *element, void *arg, struct err *err);

#endif
