/* A document through jansson, bounded before it is: what a value costs in memory has little to do
 * with its size as text. */
#ifndef GANTRY_REPORT_JSON_H
#define GANTRY_REPORT_JSON_H

#include "report/read.h"

struct json_t; /* jansson */

/* The root, to be released; NULL with "name:line: reason" in in->err. */
struct json_t *json_read(struct reading *in);

/* -1 with "name: path: reason": JSON has no lines once it is read. */
int json_refuse(struct reading *in, const char *path, const char *reason);

#endif
