/* The language: the keys of every mapping, what may stand for them, and what they are for. The
 * readers take keys by these tables and the JSON Schema is printed from them, so that neither has
 * a key that the other lacks. Internal to the library. */
#ifndef GANTRY_DEFINITION_KEYS_H
#define GANTRY_DEFINITION_KEYS_H

#include <stdbool.h>
#include <stddef.h>

enum shape_type {
    SHAPE_TEXT = 1, /* `pattern` and `max` characters, where there are any */
    SHAPE_SCALAR,   /* text that may look like a number: 60s, 0, 4Gi, 1.5 */
    SHAPE_WORD,     /* one of `words` */
    SHAPE_BOOL,
    SHAPE_TRUE,
    SHAPE_COUNT, /* 1 to `max` */
    SHAPE_TEXTS, /* one `item`, or a list of `max` at most */
    SHAPE_LIST,  /* of `item` */
    SHAPE_MAP,   /* of `keys` */
    SHAPE_ONE,   /* a mapping with exactly one of `keys` */
    SHAPE_PAIRS, /* a mapping of texts; `pattern` is of its keys */
    SHAPE_ANY,   /* any mapping: what it may hold is known to others */
    SHAPE_EITHER /* `item` or `other` */
};

/* What a value may be. */
struct shape {
    enum shape_type type;
    const char *name; /* for messages: "a duration, such as 90s" */
    const char *pattern;
    const char *const *words; /* ended by NULL */
    const struct keys *keys;
    const struct shape *item, *other;
    size_t max;
    bool may_be_empty; /* SHAPE_LIST */
};

struct field {
    const char *key; /* NULL ends a table; with '<' in it: that and all that begins as it does */
    unsigned flags;
    const struct shape *shape;
    const char *about;   /* for people, in an editor */
    const char *example; /* as JSON, or NULL */
};
#define FIELD_REQUIRED 1u
#define FIELD_ONE_OF   4u /* exactly one of those that say so */
#define FIELD_LATER                                                                                \
    2u /* in the language, not in this version: refused where it asks for something */

/* What may stand in a mapping. */
struct keys {
    const char *what; /* for messages: "a stage" */
    const char *id;   /* in the schema */
    const struct field *fields;
};

#define DEF_NAMES_MAX   100 /* of voters, variables, inputs, addresses */
#define DEF_GLOBS_MAX   50
#define DEF_GATES_MAX   20
#define DEF_ENV_MAX     200
#define DEF_FREEZES_MAX 50
#define DEF_MESSAGE_MAX 2000
#define DEF_REASON_MAX  500
#define DEF_RETRIES_MAX 10
#define DEF_DEPTH_MAX   1000000
#define DEF_LABELS_MAX  50

/* Places in the tables. */
enum { ROOT_VERSION, ROOT_KIND, ROOT_METADATA, ROOT_SPEC, ROOT_KEYS };
enum { METADATA_NAME, METADATA_LABELS, METADATA_KEYS };
enum { PIPELINE_MODE, PIPELINE_VARIABLES, PIPELINE_SOURCES, PIPELINE_STAGES, PIPELINE_KEYS };
enum {
    SOURCE_NAME,
    SOURCE_GIT,
    SOURCE_BRANCHES,
    SOURCE_TAGS,
    SOURCE_PULL_REQUESTS,
    SOURCE_PATHS,
    SOURCE_CREDENTIALS,
    SOURCE_POLL,
    SOURCE_SUBMODULES,
    SOURCE_LFS,
    SOURCE_CLONE,
    SOURCE_DEPTH,
    SOURCE_KEYS
};
enum { PATHS_INCLUDE, PATHS_EXCLUDE, PATHS_KEYS };
enum {
    STAGE_NAME,
    STAGE_GATES,
    STAGE_STEPS,
    STAGE_ON_FAILURE,
    STAGE_ROLLBACK_APPROVAL,
    STAGE_KEYS
};
enum { GATE_APPROVAL, GATE_SOAK, GATE_WINDOW, GATE_MANUAL, GATE_CHECK, GATE_KEYS };
enum {
    APPROVAL_BY,
    APPROVAL_COUNT,
    APPROVAL_REJECTS,
    APPROVAL_NOT,
    APPROVAL_EXPIRES,
    APPROVAL_MESSAGE,
    APPROVAL_NAME, /* of an action alone */
    APPROVAL_KEYS
};
enum { CHECK_CUSTOM, CHECK_INPUT, CHECK_EVERY, CHECK_TIMEOUT, CHECK_KEYS };
enum { STEP_BUILD, STEP_DEPLOY, STEP_APPROVAL, STEP_CUSTOM, STEP_PARALLEL, STEP_KEYS };
enum {
    BUILD_NAME,
    BUILD_SOURCE,
    BUILD_BUILDSPEC,
    BUILD_DOCKERFILE,
    BUILD_IMAGE,
    BUILD_BATCH,
    BUILD_SIZE,
    BUILD_ENV,
    BUILD_TIMEOUT,
    BUILD_LOST_AFTER,
    BUILD_RETRY_LOST,
    BUILD_BUILD_IMAGE,
    BUILD_PRIVILEGED,
    BUILD_KUBERNETES,
    BUILD_KEYS
};
enum { JOB_SERVICE_ACCOUNT, JOB_NODE_SELECTOR, JOB_KEYS };
enum { SIZE_CPU, SIZE_MEMORY, SIZE_KEYS };
enum {
    DEPLOY_NAME,
    DEPLOY_ENVIRONMENT,
    DEPLOY_ARTIFACT,
    DEPLOY_KUBERNETES,
    DEPLOY_DOCKER,
    DEPLOY_TIMEOUT,
    DEPLOY_LOST_AFTER,
    DEPLOY_RETRY_LOST,
    DEPLOY_KEYS
};
enum {
    KUBERNETES_NAMESPACE,
    KUBERNETES_DEPLOYMENT,
    KUBERNETES_STATEFULSET,
    KUBERNETES_DAEMONSET,
    KUBERNETES_CONTAINER,
    KUBERNETES_KEYS
};
enum {
    CUSTOM_NAME,
    CUSTOM_INPUT,
    CUSTOM_TIMEOUT,
    CUSTOM_LOST_AFTER,
    CUSTOM_RETRY_LOST,
    CUSTOM_KEYS
};
enum {
    ENVIRONMENT_DEPLOYER,
    ENVIRONMENT_DRIVER,
    ENVIRONMENT_COMMAND,
    ENVIRONMENT_FREEZE,
    ENVIRONMENT_KEYS
};
enum { COMMAND_RUN, COMMAND_KEYS };
enum { FREEZE_WINDOW, FREEZE_REASON, FREEZE_KEYS };
enum {
    NOTIFICATION_EVENTS,
    NOTIFICATION_PIPELINES,
    NOTIFICATION_STAGES,
    NOTIFICATION_OUTCOMES,
    NOTIFICATION_WEBHOOK,
    NOTIFICATION_MAIL,
    NOTIFICATION_SLACK,
    NOTIFICATION_TEAMS,
    NOTIFICATION_STATUS,
    NOTIFICATION_KEYS
};
enum { WEBHOOK_URL, WEBHOOK_SECRET, WEBHOOK_KEYS };
enum { MAIL_TO, MAIL_KEYS };

extern const struct keys root_keys, metadata_keys, pipeline_keys, source_keys, paths_keys,
    stage_keys, gate_keys, approval_gate_keys, approval_action_keys, check_keys, step_keys,
    member_keys, build_keys, job_keys, size_keys, deploy_keys, kubernetes_keys, custom_keys,
    environment_keys, command_keys, freeze_keys, notification_keys, webhook_keys, mail_keys;

extern const char *const mode_words[], *const outcome_words[];

#endif
