/* The readers of the kinds and of their larger parts. Each fills what it can and notes what is
 * wrong; what it made is freed by the matching free whether or not it is whole. Internal to the
 * library. */
#ifndef GANTRY_DEFINITION_KINDS_H
#define GANTRY_DEFINITION_KINDS_H

#include "definition/read.h"

struct def_pipeline *pipeline_read(struct reader *r, const struct yaml_node *spec);
void pipeline_free(struct def_pipeline *pipeline);

struct def_environment *environment_read(struct reader *r, const struct yaml_node *spec);
void environment_free(struct def_environment *environment);

struct def_notification *notification_read(struct reader *r, const struct yaml_node *spec);
void notification_free(struct def_notification *notification);

/* A pipeline while it is read. */
struct pipeline_reader {
    struct reader *r;
    struct def_pipeline *pipeline;
    struct strv images;      /* builds with `image:` in the steps before this one */
    struct strv step_images; /* in this one */
    bool images_unsure;      /* a build could not be read, so who lacks one is not told */
    size_t action_count;
};

/* `node` is an entry of a stage's steps: one action, or `parallel:` with several. */
void step_read(struct pipeline_reader *pr, struct def_stage *stage, struct def_step *step,
               const struct yaml_node *node);
void step_release(struct def_step *step);

void approval_read(struct reader *r, struct def_approval *approval, const struct yaml_node *map);
/* With a `name:`, which is returned; the caller frees. */
char *approval_action_read(struct reader *r, struct def_approval *approval,
                           const struct yaml_node *map);
void approval_release(struct def_approval *approval);

#endif
