/* The language as a JSON Schema (draft 2020-12), from the tables that the parser reads by. For
 * editors: what it lets pass may still be refused, since names, order and bounds of values are the
 * parser's. The file that is shipped is deploy/schema/gantry-v1.schema.json. */
#ifndef GANTRY_DEFINITION_SCHEMA_H
#define GANTRY_DEFINITION_SCHEMA_H

#include "base/buf.h"

/* Adds the schema, with a line end at its end; `out` must take 256 KiB. */
void definition_schema(struct buf *out);

#endif
