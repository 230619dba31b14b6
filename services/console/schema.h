/* The read model's tables. Whoever changes them raises the version: the file is then made anew out
 * of the topics, never migrated. */
#ifndef GANTRY_CONSOLE_SCHEMA_H
#define GANTRY_CONSOLE_SCHEMA_H

#define SCHEMA_VERSION 5

extern const char schema_sql[];

#endif
