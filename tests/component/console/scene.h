/* What the console's tests share: one service a program of tests, a story on its topics. */
#ifndef GANTRY_TEST_CONSOLE_SCENE_H
#define GANTRY_TEST_CONSOLE_SCENE_H

#include "tests/component/console/rest.h"
#include "tests/component/console/story.h"
#include "tests/component/service.h"

struct scene {
    struct service service;
    struct story story;
    struct rest rest;
};

/* -1: there is no Kafka. `config`: more lines of the console's section, may be NULL. */
int scene_begin(struct scene *scene, const char *config);
void scene_end(struct scene *scene);

/* A pipeline with the stages build, dev and prod (with a gate), as a definition's text. */
#define SCENE_YAML_SIZE 1024
void scene_yaml(char out[SCENE_YAML_SIZE], const char *name);
/* Told, and known by the console as a whole: its definition and the promoter's word come by two
 * topics. */
void scene_pipeline(struct scene *scene, const char *name);
/* Build and deployed to dev, then waits for prod: the story of most tests. */
void scene_release(struct scene *scene, struct story_release *release,
                   struct story_approval *approval);

/* Commands or definitions of this name that came so far. */
size_t scene_count(const struct scene *scene, enum topic topic, const char *name);
/* The n-th of them, counted from 0, that the console sends for a call which waits for what becomes
 * of it. */
const struct got *scene_sent(struct scene *scene, enum topic topic, const char *name, size_t n,
                             const struct reply *reply);

#endif
