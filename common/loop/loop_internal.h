/* Shared by the files of this library alone. */
#ifndef GANTRY_LOOP_LOOP_INTERNAL_H
#define GANTRY_LOOP_LOOP_INTERNAL_H

#include <sys/queue.h>

#include "loop/loop.h"

struct loop_child;
LIST_HEAD(loop_children, loop_child);

/* The children that were started on this loop and are not yet freed. */
struct loop_children *loop_children(struct loop *loop);

/* Kills what still runs, waits for it and frees it; no callback follows. */
void loop_children_abandon(struct loop_children *children);

#endif
