/* The source-watcher as a process, a git repository and a pipeline for each test, and what the
 * watcher reports of them. */
#ifndef GANTRY_TESTS_SOURCE_WATCHER_SCENE_H
#define GANTRY_TESTS_SOURCE_WATCHER_SCENE_H

#include "base/clock.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "gantry/v1/source.pb-c.h"
#include "tests/component/service.h"

#define SECRET    "hush-hush-hush-hush"
#define NO_COMMIT "0000000000000000000000000000000000000000"
/* Long enough for a poll every second to have said something. */
#define QUIET_MS 2500

extern struct service service;
extern unsigned number; /* of the test: names its pipeline and repository */

/* Starts the service. False: there is no Kafka, and the tests are left out. */
bool scene_begin(void);
void scene_end(void);
int scene_setup(void **state);
int scene_teardown(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

/* The first line that a shell script prints, run in the test's repository. Valid until the next
 * call but seven. */
const char *sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
const char *commit(const char *message); /* an empty one on what is checked out; its name */
const char *url(void);
const char *pipeline(void);
void apply(const char *name, const char *git, const char *branches, const char *poll);
/* The test's pipeline and repository; `refs` is YAML: "branches: [main], tags: ['v*']". */
void apply_refs(const char *refs, const char *poll);

/* The n-th revision (from 0) of a pipeline; NULL: there is none. First looks are not counted. */
const Gantry__V1__SourceChanged *report(const char *name, size_t n, struct event_meta *meta);
size_t reports(const char *name);
bool has_reports(struct service *s, void *arg);
/* Waits for the n-th revision (from 1) of the test's pipeline. */
const Gantry__V1__SourceChanged *wait_report(size_t n);
void assert_reports_stay(size_t n);
bool has_person(const Gantry__V1__SourceChanged *change, const char *email);
/* Waits until the first look at a glob ("": at pull requests) is noted; what was there. */
size_t wait_look(const char *glob);

const char *signature(const char *secret, const char *body, size_t len);
/* A commit of a push payload, by two people. */
char *payload_commit(const char *id, const char *author, const char *committer);
char *payload(const char *git, const char *ref, const char *before, const char *after,
              const char *commits);
struct answer post(const char *path, const char *headers, const char *body);
struct answer github(const char *body);
/* Signed as the forge of the path does. */
struct answer hook(const char *forge, const char *event, const char *body);

#endif
