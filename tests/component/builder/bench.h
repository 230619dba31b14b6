/* A builder as a process between real counterparts: Kafka (GANTRY_KAFKA), a git repository, an
 * image registry (Debian's docker-registry). */
#ifndef GANTRY_TESTS_BUILDER_BENCH_H
#define GANTRY_TESTS_BUILDER_BENCH_H

#include "gantry/v1/log.pb-c.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "oci/oci.h"
#include "tests/component/service.h"

struct bench {
    struct service s;
    bool left_out;
    char dir[64]; /* that every user may read: repository, registry, the builder's own folder */
    char repository[128];
    char registry[64]; /* host:port */
    struct loop_child *registry_child;
    char commit[65];
};

/* What a request asks for; the rest is filled in. */
struct ask {
    const char *buildspec;   /* YAML that is committed as buildspec.yml; NULL: `dockerfile` */
    const char *dockerfile;  /* text that is committed as Dockerfile */
    const char *image;       /* repository's name in the registry; NULL: none */
    bool batch;              /* the plan of the buildspec's batch */
    const char *batch_image; /* of a build of a batch, which is privileged, too; NULL: none */
    uint64_t memory_bytes;
    const char *git;      /* URL of the repository; NULL: file://<repository> */
    size_t extra_exports; /* of an earlier action, 64 KiB each, that the request carries */
};

void bench_setup(struct bench *b, const char *settings);
void bench_teardown(struct bench *b);
/* Commits what `ask` holds; sends a RUN. The run's id goes to run_id. */
void bench_ask(struct bench *b, const struct ask *ask, char run_id[ID_SIZE]);
void bench_ask_again(struct bench *b, const struct ask *ask, const char *run_id);
void bench_cancel(struct bench *b, const char *run_id, const char *reason);
/* Waits for the run's Finished; the `attempt` it is of goes to *attempt (may be NULL). */
const Gantry__V1__Finished *bench_finished(struct bench *b, const char *run_id, uint32_t *attempt);
size_t bench_count(struct bench *b, const char *run_id,
                   Gantry__V1__ActionResult__BodyCase body_case);
/* Waits until a chunk of the run's log holds the text. */
void bench_log_has(struct bench *b, const char *run_id, const char *text);
/* The run's log, of all attempts; the caller frees. */
char *bench_log(struct bench *b, const char *run_id);
/* Processes of this machine whose command line holds the text. */
size_t bench_processes(const char *text);
/* The digest that the registry has for a tag or digest; "" for none. */
void bench_registry_digest(struct bench *b, const char *image, const char *tag,
                           char digest[OCI_DIGEST_SIZE]);

#endif
