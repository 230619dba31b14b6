/* Shared by the files of this library alone. */
#ifndef GANTRY_SVC_FRAME_H
#define GANTRY_SVC_FRAME_H

#include "svc/svc.h"

#define SVC_NAMES_MAX 32 /* of readiness, and of notes */

struct svc_check {
    char *name;
    char *reason;
    bool ready;
};

struct svc_remark {
    char *name;
    char *text;
};

/* What stands behind the svc that a service sees. */
struct frame {
    struct svc svc; /* first: a svc is cast to its frame */
    const struct svc_def *def;
    struct conf_section sections[3];
    struct conf_item *own_items; /* the service's and the frame's, one table for one section */
    char *own_target;            /* what own_items fill; copied to the service's own struct */
    size_t own_size;             /* of the service's part of it */
    struct loop_signal *sigterm;
    struct loop_signal *sigint;
    struct svc_check checks[SVC_NAMES_MAX];
    size_t check_count;
    struct svc_remark remarks[SVC_NAMES_MAX];
    size_t remark_count;
    struct loop_timer *topics_timer;
    bool topics_asked; /* an answer is awaited */
    bool topics_told;  /* there was one, if only an error */
    bool topics_good;
    bool stopping;
    bool stopped;
    int exit_code;
};

/* ---- settings (settings.c) ---- */

/* Fills svc->conf and def->conf. */
int settings_load(struct frame *frame, const char *path, const struct strv *sets, struct err *err);
void settings_release(struct frame *frame);
void settings_help(const struct svc_def *def, struct buf *out);
enum log_level settings_log_level(const struct svc_conf *conf);

/* ---- health (health.c) ---- */

void health_start(struct frame *frame);
void health_release(struct frame *frame);

#endif
