/* A pipeline, its inputs and its executors on the simulated Kafka, and what must hold at the end.
 */
#ifndef GANTRY_TESTS_PROMOTER_SCENE_H
#define GANTRY_TESTS_PROMOTER_SCENE_H

#include "base/map.h"
#include "sim.h"

struct scene {
    struct sim *sim;
    int64_t executed[SIM_PARTITIONS]; /* request.custom read so far */
    struct map *runs;                 /* answered */
    uint64_t sources, commands, bad;  /* sent */
    uint8_t definition[SHA256_SIZE];
    bool mute; /* the executor does not answer */
};

extern const char scene_yaml[];

void scene_init(struct scene *scene, struct sim *sim);
void scene_release(struct scene *scene);

/* Two pipelines, one in each partition. */
const char *scene_pipeline(int32_t partition);
void scene_define(struct scene *scene, const char *pipeline, const char *yaml);
/* A new commit; `forced_ce_id` NULL: the next id. Returns its ce_id (static). */
const char *scene_push(struct scene *scene, const char *pipeline);
/* A start by hand, naming the definition whose YAML this is. */
const char *scene_start_release(struct scene *scene, const char *pipeline, const char *yaml);
/* A record that cannot be decoded. */
void scene_push_garbage(struct scene *scene, const char *pipeline);
/* The executor answers a request that it has not seen, now and then twice; false: there is none. */
bool scene_execute(struct scene *scene);
/* Everything settles: executors answer, promoters work, time moves on by up to a few minutes. */
void scene_settle(struct scene *scene);

/* Walks the ledger; fails the test where the chain breaks. Returns the number of void records. */
uint64_t scene_check_chain(struct scene *scene, int32_t partition);
/* All that must hold whatever happened: the chain, each input decided once, everything published
 * and nothing invented, readers lose nothing, promoters' states equal the ledger's. */
void scene_check(struct scene *scene);
/* Promoters' states equal the ledger's: what has to hold even where records were lost. */
void scene_check_states(struct scene *scene);
/* Decisions that counted and whose cause is this record. */
size_t scene_caused(struct scene *scene, int32_t partition, const char *ce_id);
/* Changes of a kind (what_case) that counted. */
size_t scene_changes(struct scene *scene, int32_t partition, int what_case);
/* Time of the last Decision that counted and has one, Unix ms; -1: there is none. */
int64_t scene_change_ms(struct scene *scene, int32_t partition, int what_case);

#endif
