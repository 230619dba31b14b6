/* Shared by the files of this library alone. */
#ifndef GANTRY_BUILD_INTERNAL_H
#define GANTRY_BUILD_INTERNAL_H

#include "archive/archive.h"
#include "base/sha256.h"
#include "build/build.h"
#include "buildspec/plan.h"
#include "gantry/v1/request.pb-c.h"
#include "gantry/v1/result.pb-c.h"
#include "git/git.h"
#include "oci/oci.h"
#include "report/report.h"

/* As CodeBuild names them ("Build phase transitions"). */
enum phase {
    PHASE_SUBMITTED,
    PHASE_QUEUED,
    PHASE_PROVISIONING,
    PHASE_DOWNLOAD_SOURCE,
    PHASE_INSTALL,
    PHASE_PRE_BUILD,
    PHASE_BUILD,
    PHASE_POST_BUILD,
    PHASE_UPLOAD_ARTIFACTS,
    PHASE_FINALIZING,
    PHASE_COMPLETED,
    PHASE_COUNT
};

struct phase_record {
    bool begun;
    const char *status; /* "" while it runs */
    int64_t start_ms, end_ms;
    char *context;
};

/* What is in the artifact store by now. */
struct kept {
    char *name, *key;
    char sha256[SHA256_HEX_SIZE];
    uint64_t size, entries;
    Gantry__V1__StoredFileKind kind;
};

/* A failure that does not end the build at once. */
struct failure {
    bool failed;
    enum phase phase;
    char *reason;
    char *command; /* NULL: none */
    int code;
};

struct build {
    const struct build_env *env;
    struct build_host host;
    bool ended; /* its result is told, something is still under way */
    const Gantry__V1__ActionRequest *request;
    const Gantry__V1__Revision *revision;
    struct build_place *place;
    bool opened;
    bool fetching;             /* the source; somebody will call back */
    struct checkout *checkout; /* it is one */
    unsigned working;          /* jobs on workers, which will call back */
    volatile bool halt;        /* to them: the build has ended */
    struct buildspec *spec;
    Gantry__V1__BatchPlan *batch;  /* the answer, where it is asked for; NULL */
    struct build_secrets *secrets; /* NULL: it asks for none */
    struct git_login login;        /* for git in the commands, until they have it; zero: none */
    struct plan plan;
    bool planned;
    struct strv texts;                  /* the plan's, then those of values.c and runtimes.c */
    struct strv users;                  /* who runs them, as build_script has it */
    void (*moved)(struct build *build); /* what is brought or sent is there */
    /* What was asked of the place is answered; NULL: nothing was. */
    void (*answered)(struct build *build, const struct build_exit *result);
    struct phase_record phases[PHASE_COUNT];
    enum phase phase;

    bool stopping;
    enum build_stop why;
    char *stop_reason;

    /* after the commands */
    unsigned step;          /* of after.c */
    struct failure failure; /* the first */
    struct values *values;
    bool runtimes_wanted;
    size_t runtimes; /* the text of `texts` that looks for them */
    void (*runtimes_next)(struct build *build);
    struct cache *cache;
    bool cache_refused; /* there can be none, as was told */
    void (*layers_next)(struct build *build);
    struct keeping *keeping; /* an artifact that is packed and stored */
    struct kept *kept;
    size_t kept_count;
    struct reading_reports *reading;
    struct report_group_kept *reports;
    size_t report_count;
    uint64_t bytes_in, bytes_out;
    int64_t begun_ms;
    struct build_usage usage;

    /* the end */
    struct log_file *log_file;
    bool decided; /* how it ends; it is told once the log is stored */
    Gantry__V1__Outcome outcome;
    char *reason, *command;
    const char *failed_phase;
    int code;

    /* the image */
    char *tag;                              /* of GANTRY_IMAGE */
    char *image_uri;                        /* repository:tag */
    struct strv exported;                   /* NAME=value */
    char digest[OCI_DIGEST_SIZE];           /* "" until known */
    char check_tag[129];                    /* that must still name it; "" for none */
    struct oci_call *image_call, *tag_call; /* under way */
    char tag_digest[OCI_DIGEST_SIZE];       /* what check_tag names; "" for nothing */
    struct oci_image image;
    bool image_known;
    bool by_tag;                      /* nothing but its tag told which */
    struct oci_call *before_call;     /* under way */
    char tag_before[OCI_DIGEST_SIZE]; /* what `tag` named before the commands */
    struct oci_call *attach_call;     /* under way */
    struct attest_key *key;           /* of what is attached */
    char signature[OCI_DIGEST_SIZE], provenance[OCI_DIGEST_SIZE]; /* manifests; "" for none */
};

/* ---- build.c ---- */
void build_mark(struct build *build, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The machine failed it, not the build: it is started again, at most 3 times; ERR_INVALID: it
 * would never run, and fails. */
void build_give_back(struct build *build, const struct err *err);
void build_detach(struct build *build); /* its end was told */

const char *phase_name(enum phase phase);
void phase_begin(struct build *build, enum phase phase);
void phase_end(struct build *build, const char *status, const char *context);
void phase_completed(struct build *build); /* however it ended */

/* Says what the host's log and the whole log shall have. */
bool build_put(struct build *build, const char *data, size_t len);
/* A job on a worker; `done` is not called once the build has ended. */
void build_work(struct build *build, void (*work)(struct build *build),
                void (*done)(struct build *build));

/* ---- result.c: each ends the build ---- */
/* As failed: `command` and `code` where a command failed, else NULL and 0. */
void build_fail(struct build *build, enum phase phase, const char *reason, const char *command,
                int code);
void build_succeed(struct build *build);
void build_stopped(struct build *build);
/* Tells how it ends; nothing is waited for. The build is gone after, or as soon as nothing of it is
 * under way. */
void result_tell(struct build *build);

/* ---- source.c ---- */
/* A clean checkout of the revision into the empty folder `dir`; done on the loop. */
struct checkout;
struct checkout *checkout_start(struct build_sources *sources, const Gantry__V1__Revision *revision,
                                const char *dir, void (*done)(const struct err *err, void *arg),
                                void *arg, struct err *err);
/* True: no callback follows and nothing writes to `dir` any more; a fetch that is under way goes on
 * for those who come next. False: `done` follows soon. */
bool checkout_cancel(struct checkout *checkout);
/* The login that the revision is fetched with, as git_login_read() has it. Blocking on a file. */
int checkout_login(const struct build_sources *sources, const Gantry__V1__Revision *revision,
                   struct git_login *out, struct err *err);

/* ---- steps.c ---- */
void steps_begin(struct build *build); /* the source is there */

/* ---- spec.c ---- */
/* The build's buildspec, or one that builds and pushes its Dockerfile. */
int spec_load(struct build *build, struct err *err);
/* Where it is, relative to the source. */
const char *spec_dockerfile(const struct build *build);

/* ---- batch.c ---- */
/* The source is there, and the plan of its buildspec's batch is the answer: ends the build. */
void batch_answer(struct build *build);
void batch_plan_free(Gantry__V1__BatchPlan *plan); /* NULL accepted */
/* The wish's image and whether it is privileged: as the action says, and over that what a build of
 * a batch says as far as the driver has it. */
int batch_wish(const struct build *build, struct build_wish *wish, struct err *err);
void batch_tell_left_out(struct build *build); /* in its log: what the driver has not */
/* The identifier of a build of a batch; NULL: it is none. */
const char *batch_identifier(const struct build *build);

/* ---- after.c: what follows the commands, a step after the other ---- */
void after_begin(struct build *build); /* all commands have run */
void after_next(struct build *build);  /* a step is done */
/* The first failure counts, and the build goes on to its end. */
void after_fail(struct build *build, enum phase phase, const char *reason, const char *command,
                int code);
bool after_is_kept(const struct build *build); /* artifacts are tried */

/* ---- place.c ---- */
/* The folders of a build's place as archives know them; valid as long as the build. */
struct place_tree {
    struct archive_mount mounts[3];
    struct archive_tree tree;
};
void place_tree_init(struct place_tree *out, const struct build *build);
/* Adds the folders that a rule's files are in, relative to the place's. */
struct files;
void place_wants(const struct build *build, const struct files *files, struct strv *paths);
/* An empty file on the place's disk, without a name; -1 and *err. */
int place_file(const struct build *build, struct err *err);
/* What the commands left at these paths is below place->dir; then `next`, perhaps from inside this
 * call. A place that fails gives the build back. */
void place_bring(struct build *build, const struct strv *paths, uint64_t limit_bytes,
                 void (*next)(struct build *build));
/* The same the other way, once the place is open: before that, what is there is there inside. */
void place_send(struct build *build, const struct strv *paths, void (*next)(struct build *build));

/* ---- values.c: texts of the buildspec that the shell evaluates ---- */
enum values_when { VALUES_BEFORE, VALUES_AFTER }; /* the commands */
void values_prepare(struct build *build);         /* before open(): adds to build->texts */
bool values_wanted(const struct build *build, enum values_when when);
/* Asks the shell, puts what it says into build->spec; then `next`, perhaps from inside this call.
 * `err` NULL: all is known. */
void values_ask(struct build *build, enum values_when when,
                void (*next)(struct build *build, const struct err *err));
void values_free(struct values *values);

/* ---- runtimes.c: install.runtime-versions ---- */
void runtimes_prepare(struct build *build); /* before open(): adds to build->texts */
/* INSTALL has begun: the log has which are there and which are not; then `next`. */
void runtimes_tell(struct build *build, void (*next)(struct build *build));

/* ---- keep.c: artifacts ---- */
struct files *artifact_files(const struct build *build, const struct buildspec_artifacts *a);
void keep_wants(const struct build *build, struct strv *paths);
void keep_begin(struct build *build);  /* then after_next() */
void keep_cancel(struct build *build); /* nothing calls back any more */
void keep_free(struct build *build);
/* Notes it for the result. */
void keep_note(struct build *build, const struct kept *kept);
void keep_told_left(struct build *build, const struct archive_left *left, const char *what);

/* ---- cache.c ---- */
/* Either calls `next`, perhaps from inside; restoring may fail the build instead. */
void cache_restore(struct build *build, void (*next)(struct build *build));
void cache_save(struct build *build, void (*next)(struct build *build));
void cache_wants(const struct build *build, struct strv *paths);
void cache_cancel(struct build *build); /* nothing calls back any more */
void cache_free(struct build *build);

/* ---- layers.c ---- */
bool layers_are_kept(const struct build *build); /* of this pipeline's builds */
void layers_take(struct build *build);           /* before open() */
/* Ends all processes; then `next`, perhaps from inside this call. */
void layers_give(struct build *build, void (*next)(struct build *build));

/* ---- reports.c ---- */
struct report_group_kept {
    char *name;
    struct report report;
};
void reports_wants(const struct build *build, struct strv *paths);
void reports_begin(struct build *build); /* then after_next() */
void reports_free(struct build *build);

/* ---- log_file.c: the whole log ---- */
void log_file_open(struct build *build); /* its place is there */
/* NULL is accepted. */
void log_file_add(struct log_file *file, const char *data, size_t len);
void log_file_mark(struct log_file *file, const char *line);
/* Stores it; then `done`, perhaps from inside this call. */
void log_file_store(struct build *build, void (*done)(struct build *build));
void log_file_cancel(struct build *build); /* nothing calls back any more */
void log_file_free(struct build *build);

/* ---- secrets.c ---- */
/* What the commands wrote, to build_put(); nothing of a secret in it. An end that may be the
 * beginning of one waits for what comes next. */
bool build_log(struct build *build, const char *data, size_t len);
void build_flush(struct build *build); /* nothing waits any more: before a mark, at the end */
/* `text` without secrets; the caller frees. NULL gives NULL. */
char *build_masked(const struct build *build, const char *text);
/* For texts of test reports; NULL: nothing is hidden. */
const struct report_mask *build_report_mask(const struct build *build);
/* The buildspec is read: has what its env.parameter-store and env.secrets-manager name, then
 * `next`, perhaps from inside this call; or fails the build. build->login is hidden, too. */
void build_secrets_get(struct build *build, void (*next)(struct build *build));
/* In the order in which they are set; NULL: none. */
struct parameter_values;
const struct parameter_values *build_secrets_values(const struct build *build);
/* The place has the environment: wiped here, and released. */
void build_secrets_forget(struct build *build, struct strv *env);
void build_secrets_cancel(struct build *build); /* nothing calls back any more */
void build_secrets_free(struct build *build);

/* ---- login.c: env.git-credential-helper ---- */
/* Into build->login, where the buildspec asks for it; ERR_INVALID without "file:line: ". */
int login_get(struct build *build, struct err *err);
void login_variables(const struct build *build, struct strv *env);
bool login_is_variable(const char *name); /* one that must not leave the build */

/* ---- variables.c ---- */
/* What the commands find in their environment. */
void variables_add(const struct build *build, struct strv *env);

/* ---- image.c ---- */
/* Whether to ask the shell for these after the commands. */
#define IMAGE_DIGEST_VARIABLE "GANTRY_IMAGE_DIGEST"
#define IMAGE_DIGEST_FILE     ".gantry-digest"         /* beside the source: what was pushed */
int image_begin(struct build *build, struct err *err); /* repository and tag, before the commands */
void image_cancel(struct build *build);                /* questions under way */
void image_wants(const struct build *build, struct strv *paths); /* files that image_find() reads */
void image_find(struct build *build);                            /* then image_attest() */

/* ---- attest.c ---- */
/* The digest is known: signs it where that is configured; then after_next(). */
void image_attest(struct build *build);

#endif
