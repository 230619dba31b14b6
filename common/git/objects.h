/* Objects of a repository, read through `git cat-file --batch`: one process answers any number of
 * questions, so that a checkout from a warm mirror starts none. Blocking; one thread at a time. */
#ifndef GANTRY_GIT_OBJECTS_H
#define GANTRY_GIT_OBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct git_objects;

enum git_object_type {
    GIT_OBJECT_MISSING = 1,
    GIT_OBJECT_COMMIT,
    GIT_OBJECT_TREE,
    GIT_OBJECT_BLOB,
    GIT_OBJECT_TAG
};

struct git_object {
    enum git_object_type type;
    uint64_t size; /* bytes of content that follow */
};

int git_objects_open(struct git_objects **out, const char *git_dir, struct err *err);
void git_objects_close(struct git_objects *objects); /* NULL is accepted */
/* Monotonic ms after which calls fail with ERR_TIMEOUT. */
void git_objects_set_deadline(struct git_objects *objects, int64_t mono_ms);
/* True when it may be used again: no error, nothing unanswered, and the repository at `git_dir` is
 * still the one that was opened, not one made in its place. */
bool git_objects_usable(const struct git_objects *objects, const char *git_dir);

/* Asks for an object by any name that git knows; at most GIT_OBJECTS_AHEAD unanswered ones. */
#define GIT_OBJECTS_AHEAD 128
int git_objects_ask(struct git_objects *objects, const char *name, struct err *err);
/* Sends what was asked at once instead of with the next wait for an answer: git then works while
 * its caller does something else. */
int git_objects_send(struct git_objects *objects, struct err *err);
/* The next answer, in the order asked. Its content must be read whole with git_objects_read(). */
int git_objects_next(struct git_objects *objects, struct git_object *out, struct err *err);
/* Exactly `len` bytes of content, or a part: *data points to at most `max`, valid until the next
 * call, *len > 0. */
int git_objects_read(struct git_objects *objects, void *out, size_t len, struct err *err);
int git_objects_chunk(struct git_objects *objects, const char **data, size_t *len, size_t max,
                      struct err *err);

#endif
