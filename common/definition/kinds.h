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
    struct strv images;  /* builds with `image:` in the steps before this one */
    struct strv actions; /* what may export in the steps before this one; names may repeat */
    /* What could not be read is wrong already, and who lacks it is not told. */
    bool images_unsure, actions_unsure, sources_unsure, variables_unsure;
    size_t action_count;
    size_t image_builds; /* with `image:` in the whole pipeline */
};

void sources_read(struct reader *r, struct def_pipeline *pipeline, const struct yaml_node *node);
void source_release(struct def_source *source);

/* While the stage is read it is not counted among the pipeline's: those are the ones before. */
void gates_read(struct pipeline_reader *pr, struct def_stage *stage, const struct yaml_node *node);
void gate_release(struct def_gate *gate);

/* The text, which the caller frees, and the window it tells; a problem where it tells none. */
char *window_text_read(struct reader *r, struct window **window, const struct yaml_node *node);

/* Notes each {{name}} in a text, or in the texts of a map, that cannot have a value where the
 * steps before this one have run. NULL: none. */
void templates_check(const struct pipeline_reader *pr, const struct yaml_node *node);

/* One of the two at most; NULL: not there. */
void target_read(struct pipeline_reader *pr, struct def_action *action,
                 const struct yaml_node *kubernetes, const struct yaml_node *docker);

/* Builds with `image:` in a list of stages, however wrong the rest of it is. */
size_t image_builds_count(const struct yaml_node *stages);

/* `node` is an entry of a stage's steps: one action, or `parallel:` with several. */
void step_read(struct pipeline_reader *pr, struct def_stage *stage, struct def_step *step,
               const struct yaml_node *node);
void step_release(struct def_step *step);

void approval_read(struct pipeline_reader *pr, struct def_approval *approval,
                   const struct yaml_node *map);
/* With a `name:`, which is returned; the caller frees. */
char *approval_action_read(struct pipeline_reader *pr, struct def_approval *approval,
                           const struct yaml_node *map);
void approval_release(struct def_approval *approval);

#endif
