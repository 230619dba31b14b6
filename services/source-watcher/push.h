/* What a forge's webhook says of a push, or of a pull request's new head. Pure. */
#ifndef GANTRY_SOURCE_WATCHER_PUSH_H
#define GANTRY_SOURCE_WATCHER_PUSH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

enum forge { FORGE_GITHUB = 1, FORGE_GITLAB, FORGE_GITEA };
enum push_kind { PUSH_REF = 1, PUSH_PULL_REQUEST };

struct push {
    struct strv identities; /* of the repository's URLs (git_url_identity) */
    char ref[256];          /* full */
    char before[65];        /* "": the push made the ref, or it is not known */
    char after[65];         /* "": there is nothing to build, see `nothing` */
    const char *nothing;    /* why; NULL: there is */
    bool forced;
    char pusher[128];
    char *message; /* the head commit's, whole */
    char subject[512];
    struct strv people; /* lower case */
    /* `people` are the authors and committers of everything between before and after (of after
     * alone for a new branch): for sure, not only as far as the forge listed them. */
    bool people_complete;
    /* What the commits touch, <= 1,000: all that differs between before and after for sure, and
     * what was changed and changed back. */
    struct strv paths;
    bool paths_complete;
};

/* Parses a payload of `len` bytes. -1: it is no JSON, or lacks what such an event has.
 * Zero-initialise and release in either case. */
int push_parse(struct push *push, enum forge forge, enum push_kind kind, const char *json,
               size_t len, struct err *err);
void push_release(struct push *push);

/* The JSON in a form-encoded body (`payload=...`). The caller frees; NULL: not there. */
char *push_form_payload(const char *body, size_t len, size_t *out_len);

#endif
