#include "definition/keys.h"

#include "definition/definition.h"

#define NAME_PATTERN     "^[a-z0-9][a-z0-9-]{0,62}$"
#define SECRET_PATTERN   "^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$"
#define VARIABLE_PATTERN "^[A-Za-z_][A-Za-z0-9_]{0,127}$"
#define INPUT_PATTERN    "^[A-Za-z0-9_.-]{1,128}$"

const char *const mode_words[] = {"superseded", "queued", "parallel", NULL};
const char *const outcome_words[] = {"succeeded", "failed",     "stopped",  "superseded",
                                     "skipped",   "abandoned",  "approved", "rejected",
                                     "expired",   "overridden", NULL};
static const char *const version_words[] = {"gantry/v1", NULL};
static const char *const kind_words[] = {"Pipeline", "Environment", "Notification", NULL};
static const char *const driver_words[] = {"command", NULL};

/* Single values */
static const struct shape a_version = {
    .type = SHAPE_WORD, .name = "gantry/v1", .words = version_words};
static const struct shape a_kind = {.type = SHAPE_WORD, .name = "a kind", .words = kind_words};
static const struct shape a_mode = {.type = SHAPE_WORD, .name = "a mode", .words = mode_words};
static const struct shape a_driver = {
    .type = SHAPE_WORD, .name = "a driver", .words = driver_words};
static const struct shape an_outcome = {
    .type = SHAPE_WORD, .name = "an outcome", .words = outcome_words};
static const struct shape a_name = {.type = SHAPE_TEXT, .name = "a name", .pattern = NAME_PATTERN};
static const struct shape a_message = {.type = SHAPE_TEXT, .name = "text", .max = DEF_MESSAGE_MAX};
static const struct shape a_reason = {
    .type = SHAPE_TEXT, .name = "a reason", .max = DEF_REASON_MAX};
static const struct shape a_git = {.type = SHAPE_TEXT, .name = "the address of a git repository"};
static const struct shape a_path = {.type = SHAPE_TEXT, .name = "a file's path"};
static const struct shape a_repository = {.type = SHAPE_TEXT,
                                          .name = "a registry and a repository"};
static const struct shape an_image = {
    .type = SHAPE_TEXT, .name = "an image", .pattern = "^[A-Za-z0-9][A-Za-z0-9._:/@-]*$"};
static const struct shape a_secret = {
    .type = SHAPE_TEXT, .name = "a secret's name", .pattern = SECRET_PATTERN};
static const struct shape a_url = {
    .type = SHAPE_TEXT, .name = "a URL", .pattern = "^https?://[^ /]"};
static const struct shape an_address = {
    .type = SHAPE_TEXT, .name = "a mail address", .pattern = "^[^@ ]+@[^@ ]+$"};
static const struct shape a_branch = {
    .type = SHAPE_TEXT, .name = "a branch or a glob", .pattern = "^(?!refs/)[^ ~^:]+$"};
static const struct shape a_tag = {
    .type = SHAPE_TEXT, .name = "a tag or a glob", .pattern = "^(?!refs/)[^ ~^:]+$"};
static const struct shape a_path_glob = {
    .type = SHAPE_TEXT, .name = "a path or a glob", .pattern = "^[^/].*[^/]$|^[^/]$"};
static const struct shape a_glob = {.type = SHAPE_TEXT, .name = "a glob", .pattern = "^[^ ]+$"};
static const struct shape an_event = {
    .type = SHAPE_TEXT, .name = "an event or a glob", .pattern = "^[a-z.*?-]+$"};
static const struct shape a_voter = {
    .type = SHAPE_TEXT, .name = "a voter", .pattern = "^(group|user):."};
static const struct shape an_excluded = {
    .type = SHAPE_TEXT,
    .name = "author, starter or approver-of:<stage>",
    .pattern = "^(author|starter|approver-of:[a-z0-9][a-z0-9-]{0,62})$"};
static const struct shape a_duration = {.type = SHAPE_SCALAR,
                                        .name = "a duration, such as 90s, 15m, 2h or 3d",
                                        .pattern = "^(0|([0-9]+(w|d|h|m|s|ms))+)$"};
static const struct shape a_number_of_cores = {.type = SHAPE_SCALAR, .name = "a number of cores"};
static const struct shape a_size_in_bytes = {.type = SHAPE_SCALAR,
                                             .name = "a size, such as 512Mi or 4Gi"};
static const struct shape a_window = {.type = SHAPE_TEXT, .name = "a window of time"};
static const struct shape a_reaction = {.type = SHAPE_TEXT,
                                        .name = "fail, retry N or rollback",
                                        .pattern = "^(fail|rollback|retry ([1-9]|10))$"};
static const struct shape a_truth = {.type = SHAPE_BOOL, .name = "true or false"};
static const struct shape just_true = {.type = SHAPE_TRUE, .name = "true"};
static const struct shape a_number_of_votes = {
    .type = SHAPE_COUNT, .name = "a number", .max = DEF_NAMES_MAX};

static const struct shape a_number_of_commits = {
    .type = SHAPE_COUNT, .name = "a number", .max = DEF_DEPTH_MAX};

/* Several values */
static const struct shape branches = {
    .type = SHAPE_TEXTS, .name = "branches", .item = &a_branch, .max = DEF_GLOBS_MAX};
static const struct shape tags = {
    .type = SHAPE_TEXTS, .name = "tags", .item = &a_tag, .max = DEF_GLOBS_MAX};
static const struct shape path_globs = {
    .type = SHAPE_TEXTS, .name = "globs of paths", .item = &a_path_glob, .max = DEF_GLOBS_MAX};
static const struct shape globs = {
    .type = SHAPE_TEXTS, .name = "globs", .item = &a_glob, .max = DEF_GLOBS_MAX};
static const struct shape events = {
    .type = SHAPE_TEXTS, .name = "events", .item = &an_event, .max = DEF_GLOBS_MAX};
static const struct shape outcomes = {
    .type = SHAPE_TEXTS, .name = "outcomes", .item = &an_outcome, .max = DEF_GLOBS_MAX};
static const struct shape addresses = {
    .type = SHAPE_TEXTS, .name = "addresses", .item = &an_address, .max = DEF_NAMES_MAX};
static const struct shape voters = {
    .type = SHAPE_TEXTS, .name = "people and groups", .item = &a_voter, .max = DEF_NAMES_MAX};
static const struct shape excluded = {
    .type = SHAPE_TEXTS, .name = "who may not", .item = &an_excluded, .max = DEF_NAMES_MAX};
static const struct shape labels = {.type = SHAPE_PAIRS,
                                    .name = "labels",
                                    .pattern = "^[A-Za-z0-9._/-]{1,63}$",
                                    .max = DEF_LABELS_MAX};
static const struct shape variables = {
    .type = SHAPE_PAIRS, .name = "variables", .pattern = VARIABLE_PATTERN, .max = DEF_NAMES_MAX};
static const struct shape env = {
    .type = SHAPE_PAIRS, .name = "variables", .pattern = VARIABLE_PATTERN, .max = DEF_ENV_MAX};
static const struct shape input = {
    .type = SHAPE_PAIRS, .name = "inputs", .pattern = INPUT_PATTERN, .max = DEF_NAMES_MAX};
/* Its {{names}} are filled in before it has to be one. */
static const struct shape a_kubernetes_name = {.type = SHAPE_TEXT,
                                               .name = "a name in Kubernetes",
                                               .pattern =
                                                   "^([a-z0-9]([a-z0-9.-]*[a-z0-9])?|.*\\{\\{.*)$"};
static const struct shape a_service_account = {.type = SHAPE_TEXT,
                                               .name = "a name in Kubernetes",
                                               .pattern = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"};
static const struct shape a_target = {
    .type = SHAPE_PAIRS, .name = "a mapping", .pattern = INPUT_PATTERN, .max = DEF_NAMES_MAX};

static const struct shape node_labels = {.type = SHAPE_PAIRS,
                                         .name = "labels of nodes",
                                         .pattern = "^([a-z0-9.-]{1,253}/)?[A-Za-z0-9._-]{1,63}$",
                                         .max = DEF_LABELS_MAX};

#define MAP_OF(table)                                                                              \
    {                                                                                              \
        .type = SHAPE_MAP, .name = "a mapping", .keys = &(table)                                   \
    }
static const struct shape a_metadata = MAP_OF(metadata_keys);
static const struct shape a_spec = {.type = SHAPE_ANY, .name = "a mapping"};
static const struct shape a_size = MAP_OF(size_keys);
static const struct shape a_build = MAP_OF(build_keys);
static const struct shape a_job = MAP_OF(job_keys);
static const struct shape a_deploy = MAP_OF(deploy_keys);
static const struct shape a_kubernetes = MAP_OF(kubernetes_keys);
static const struct shape a_custom = MAP_OF(custom_keys);
static const struct shape an_approval_gate = MAP_OF(approval_gate_keys);
static const struct shape an_approval_action = MAP_OF(approval_action_keys);
static const struct shape a_check = MAP_OF(check_keys);
static const struct shape a_source = MAP_OF(source_keys);
static const struct shape a_stage = MAP_OF(stage_keys);
static const struct shape a_command = MAP_OF(command_keys);
static const struct shape a_freeze = MAP_OF(freeze_keys);
static const struct shape a_webhook = MAP_OF(webhook_keys);
static const struct shape a_mail = MAP_OF(mail_keys);
static const struct shape paths_map = MAP_OF(paths_keys);
static const struct shape paths = {SHAPE_EITHER,
                                   "a list of globs, or include: and exclude:", .item = &path_globs,
                                   .other = &paths_map};
static const struct shape a_gate = {.type = SHAPE_ONE, .name = "a gate", .keys = &gate_keys};
static const struct shape a_step = {.type = SHAPE_ONE, .name = "a step", .keys = &step_keys};
static const struct shape a_member = {.type = SHAPE_ONE, .name = "an action", .keys = &member_keys};
static const struct shape sources = {.type = SHAPE_LIST,
                                     .name = "a list of sources",
                                     .item = &a_source,
                                     .max = DEFINITION_SOURCES_MAX};
static const struct shape stages = {
    .type = SHAPE_LIST, .name = "a list of stages", .item = &a_stage, .max = DEFINITION_STAGES_MAX};
static const struct shape gates = {.type = SHAPE_LIST,
                                   .name = "a list of gates",
                                   .item = &a_gate,
                                   .max = DEF_GATES_MAX,
                                   .may_be_empty = true};
static const struct shape steps = {.type = SHAPE_LIST,
                                   .name = "a list of steps",
                                   .item = &a_step,
                                   .max = DEFINITION_STAGE_ACTIONS_MAX};
static const struct shape members = {.type = SHAPE_LIST,
                                     .name = "a list of actions",
                                     .item = &a_member,
                                     .max = DEFINITION_STAGE_ACTIONS_MAX};
static const struct shape freezes = {.type = SHAPE_LIST,
                                     .name = "a list of freezes",
                                     .item = &a_freeze,
                                     .max = DEF_FREEZES_MAX,
                                     .may_be_empty = true};

/* Every kind */
static const struct field root_fields[] = {
    [ROOT_VERSION] = {"apiVersion", FIELD_REQUIRED, &a_version, "The language's version.", NULL},
    [ROOT_KIND] = {"kind", FIELD_REQUIRED, &a_kind, "What is defined.", NULL},
    [ROOT_METADATA] = {"metadata", FIELD_REQUIRED, &a_metadata, "What it is called.", NULL},
    [ROOT_SPEC] = {"spec", FIELD_REQUIRED, &a_spec, "What it is.", NULL},
    [ROOT_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys root_keys = {"a definition", "definition", root_fields};

static const struct field metadata_fields[] = {
    [METADATA_NAME] = {"name", FIELD_REQUIRED, &a_name,
                       "Its name, one of its kind: 1 to 63 lower-case letters, digits and dashes.",
                       "\"shop\""},
    [METADATA_LABELS] = {"labels", 0, &labels, "Keys and texts of your own, to find it by.",
                         "{\"team\": \"web\"}"},
    [METADATA_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys metadata_keys = {"metadata", "metadata", metadata_fields};

/* Pipeline */
static const struct field pipeline_fields[] = {
    [PIPELINE_MODE] = {"mode", 0, &a_mode,
                       "superseded (default): one release a stage, a newer one takes the place of "
                       "an older that waits. queued: first in, first out. parallel: releases are "
                       "independent of each other.",
                       "\"superseded\""},
    [PIPELINE_VARIABLES] = {"variables", 0, &variables,
                            "Texts for {{variables.NAME}}, which whoever starts a release by hand "
                            "may set otherwise.",
                            "{\"LOG_LEVEL\": \"info\"}"},
    [PIPELINE_SOURCES] = {"sources", FIELD_REQUIRED, &sources,
                          "The git repositories whose revisions start releases: 10 at most.", NULL},
    [PIPELINE_STAGES] = {"stages", FIELD_REQUIRED, &stages,
                         "What a release passes through, in order: 50 at most.", NULL},
    [PIPELINE_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys pipeline_keys = {"a pipeline", "pipeline", pipeline_fields};

static const struct field source_fields[] = {
    [SOURCE_NAME] = {"name", FIELD_REQUIRED, &a_name, "What the pipeline calls it.", "\"app\""},
    [SOURCE_GIT] = {"git", FIELD_REQUIRED, &a_git,
                    "The repository: https://, ssh://, file:/// or user@host:path, without a "
                    "password.",
                    "\"https://git.example/acme/shop.git\""},
    [SOURCE_BRANCHES] = {"branches", 0, &branches,
                         "Globs over the branch's short name. A source has branches, tags or "
                         "pull-requests.",
                         "[\"main\", \"release/*\"]"},
    [SOURCE_TAGS] = {"tags", 0, &tags, "Globs over the tag's name.", "[\"v*\"]"},
    [SOURCE_PULL_REQUESTS] = {"pull-requests", 0, &a_truth,
                              "Whether heads of pull or merge requests start releases; false "
                              "unless set. Who may open one can then run what this pipeline "
                              "builds.",
                              "true"},
    [SOURCE_PATHS] = {"paths", 0, &paths,
                      "Which changes count: one that touches no included path, or excluded ones "
                      "alone, starts nothing. A list is what is included. `*` does not cross "
                      "a '/', `**` does.",
                      "{\"include\": [\"src/**\"], \"exclude\": [\"docs/**\"]}"},
    [SOURCE_CREDENTIALS] = {"credentials", 0, &a_secret, "The name of the secret to read it with.",
                            "\"shop/git-token\""},
    [SOURCE_POLL] = {"poll", 0, &a_duration,
                     "How often to look, 1s to 1d; 60s unless set; 0: webhooks only.", "\"60s\""},
    [SOURCE_SUBMODULES] = {"submodules", 0, &a_truth,
                           "Whether builds get the submodules too, and theirs; false unless set: "
                           "an empty folder each.",
                           "true"},
    [SOURCE_LFS] = {"lfs", 0, &a_truth,
                    "Whether builds get the files that Git LFS keeps; false unless set: their "
                    "pointers.",
                    "true"},
    [SOURCE_CLONE] = {"clone", 0, &a_truth,
                      "Whether builds find a .git, for git describe, git log and the like; false "
                      "unless set.",
                      "true"},
    [SOURCE_DEPTH] = {"depth", 0, &a_number_of_commits,
                      "How many commits back the builder fetches, for a history too large to "
                      "keep; all unless set.",
                      "50"},
    [SOURCE_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys source_keys = {"a source", "source", source_fields};

static const struct field paths_fields[] = {
    [PATHS_INCLUDE] = {"include", 0, &path_globs, "Paths that count; all unless set.",
                       "[\"src/**\"]"},
    [PATHS_EXCLUDE] = {"exclude", 0, &path_globs, "Paths that do not, though included.",
                       "[\"docs/**\", \"**.md\"]"},
    [PATHS_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys paths_keys = {"paths", "paths", paths_fields};

static const struct field stage_fields[] = {
    [STAGE_NAME] = {"name", FIELD_REQUIRED, &a_name, "Its name in this pipeline.", "\"prod\""},
    [STAGE_GATES] = {"gates", 0, &gates,
                     "What holds a release before this stage. All must pass, in any order.", NULL},
    [STAGE_STEPS] = {"steps", FIELD_REQUIRED, &steps, "What is done, in order; 50 actions at most.",
                     NULL},
    [STAGE_ON_FAILURE] = {"on-failure", 0, &a_reaction,
                          "fail (default). retry N: enters the stage again by itself, up to N "
                          "times. rollback: a release of what last succeeded here starts by "
                          "itself.",
                          "\"rollback\""},
    [STAGE_ROLLBACK_APPROVAL] = {"rollback-approval", 0, &a_truth,
                                 "Whether a rollback needs this stage's approvals; false unless "
                                 "set.",
                                 "false"},
    [STAGE_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys stage_keys = {"a stage", "stage", stage_fields};

/* Gates */
static const struct field gate_fields[] = {
    [GATE_APPROVAL] = {"approval", 0, &an_approval_gate,
                       "Held until enough people have approved this digest.",
                       "{\"by\": [\"group:qa\"], \"count\": 1}"},
    [GATE_SOAK] = {"soak", 0, &a_duration,
                   "Held for so long after the release succeeded in the stage before: 1s to 60d.",
                   "\"2h\""},
    [GATE_WINDOW] = {"window", 0, &a_window,
                     "Held while the window is shut: days and times, or two dates, and an IANA "
                     "time zone.",
                     "\"Mon-Fri 09:00-16:00 Europe/Berlin\""},
    [GATE_MANUAL] = {"manual", 0, &just_true, "Held until somebody promotes the release.", "true"},
    [GATE_CHECK] = {"check", 0, &a_check,
                    "Held until a custom action says yes; it is asked again after a no.",
                    "{\"custom\": \"error-rate\", \"every\": \"5m\"}"},
    [GATE_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys gate_keys = {"a gate", "gate", gate_fields};

#define APPROVAL_FIELDS                                                                            \
    [APPROVAL_BY] = {"by", 0, &voters,                                                             \
                     "Who may vote: group:<name> and user:<e-mail or subject>; anybody whose "     \
                     "role allows it unless set.",                                                 \
                     "[\"group:release-managers\"]"},                                              \
    [APPROVAL_COUNT] = {"count", 0, &a_number_of_votes, "How many have to approve; 1 unless set.", \
                        "2"},                                                                      \
    [APPROVAL_REJECTS] = {"rejects", 0, &a_number_of_votes,                                        \
                          "How many rejections reject; 1 unless set.", "1"},                       \
    [APPROVAL_NOT] = {"not", 0, &excluded,                                                         \
                      "Who may not: author (of what is new to this stage), starter (of the "       \
                      "release), approver-of:<stage> (who approved it for that earlier stage).",   \
                      "[\"author\", \"starter\"]"},                                                \
    [APPROVAL_EXPIRES] = {"expires", 0, &a_duration,                                               \
                          "When it counts as rejected: 60d at most, 7d unless set.", "\"3d\""},    \
    [APPROVAL_MESSAGE] = {"message", 0, &a_message,                                                \
                          "What those asked should know; {{names}} are filled in.",                \
                          "\"Release {{release.number}}\""}

static const struct field approval_gate_fields[] = {
    APPROVAL_FIELDS,
    [APPROVAL_NAME] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys approval_gate_keys = {"an approval", "approval-gate", approval_gate_fields};

static const struct field approval_action_fields[] = {
    APPROVAL_FIELDS,
    [APPROVAL_NAME] = {"name", FIELD_REQUIRED, &a_name, "The action's name in its stage.",
                       "\"last-look\""},
    [APPROVAL_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys approval_action_keys = {"an approval", "approval-action", approval_action_fields};

static const struct field check_fields[] = {
    [CHECK_CUSTOM] = {"custom", FIELD_REQUIRED, &a_name,
                      "Who answers: the NAME of a custom/NAME that somebody serves.",
                      "\"error-rate\""},
    [CHECK_INPUT] = {"input", 0, &input, "What it is given; {{names}} are filled in.",
                     "{\"below\": \"1%\"}"},
    [CHECK_EVERY] = {"every", 0, &a_duration,
                     "How long after a no it is asked again, and how long a yes is good for: 1s "
                     "to 1d, 5m unless set.",
                     "\"5m\""},
    [CHECK_TIMEOUT] = {"timeout", 0, &a_duration,
                       "How long it may take to answer, 1s to 1d; as long as `every` unless set, "
                       "1m at least.",
                       "\"1m\""},
    [CHECK_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys check_keys = {"a check", "check", check_fields};

/* Steps */
#define ACTION_FIELDS                                                                              \
    [STEP_BUILD] = {"build", 0, &a_build, "Runs a buildspec, or builds and pushes an image.",      \
                    "{\"name\": \"image\", \"image\": \"registry.example/acme/shop\"}"},           \
    [STEP_DEPLOY] = {"deploy", 0, &a_deploy, "Puts the release's image into an environment.",      \
                     "{\"name\": \"app\", \"environment\": \"prod\"}"},                            \
    [STEP_APPROVAL] = {"approval", 0, &an_approval_action,                                         \
                       "An approval that holds the stage. A gate is what you want: it stands "     \
                       "before the stage.",                                                        \
                       "{\"name\": \"last-look\", \"by\": [\"group:ops\"]}"},                      \
    [STEP_CUSTOM] = {"custom/<name>", 0, &a_custom,                                                \
                     "Asks whoever serves that name on request.custom.",                           \
                     "{\"name\": \"load\", \"input\": {\"rate\": \"50\"}}"}

static const struct field step_fields[] = {
    ACTION_FIELDS,
    [STEP_PARALLEL] = {"parallel", 0, &members, "Actions that run together.", NULL},
    [STEP_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys step_keys = {"a step", "step", step_fields};

static const struct field member_fields[] = {
    ACTION_FIELDS,
    [STEP_PARALLEL] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys member_keys = {"an action", "action", member_fields};

#define ACTION_NAME_ABOUT "Its name in this stage."
#define LOST_AFTER_FIELD                                                                           \
    {                                                                                              \
        "lost-after", 0, &a_duration,                                                              \
            "How long its executor may be silent before the run counts as lost: 1m to 7d, 10m "    \
            "unless set.",                                                                         \
            "\"10m\""                                                                              \
    }

static const struct field build_fields[] = {
    [BUILD_NAME] = {"name", FIELD_REQUIRED, &a_name, ACTION_NAME_ABOUT, "\"image\""},
    [BUILD_SOURCE] = {"source", 0, &a_name,
                      "Which source is built; may be left out where there is one.", "\"app\""},
    [BUILD_BUILDSPEC] = {"buildspec", 0, &a_path,
                         "The file in the source that says what to run; buildspec.yml where "
                         "there is no image.",
                         "\"ci/buildspec.yml\""},
    [BUILD_DOCKERFILE] = {"dockerfile", 0, &a_path,
                          "The file in the source to build the image from; Dockerfile unless set.",
                          "\"Dockerfile\""},
    [BUILD_IMAGE] = {"image", 0, &a_repository,
                     "The repository that the image goes to, without a tag: the build fixes its "
                     "digest, once for the release.",
                     "\"registry.example/acme/shop\""},
    [BUILD_BATCH] = {"batch", 0, &a_truth,
                     "Whether it runs the builds of its buildspec's `batch` instead of its phases; "
                     "false unless set.",
                     "true"},
    [BUILD_SIZE] = {"size", 0, &a_size, "What it may use.", "{\"cpu\": 2, \"memory\": \"4Gi\"}"},
    [BUILD_ENV] = {"env", 0, &env, "Its environment's variables; {{names}} are filled in.",
                   "{\"VERSION\": \"{{release.number}}\"}"},
    [BUILD_TIMEOUT] = {"timeout", 0, &a_duration, "1s to 7d; 60m unless set.", "\"60m\""},
    [BUILD_LOST_AFTER] = LOST_AFTER_FIELD,
    [BUILD_RETRY_LOST] = {"retry-lost", 0, &a_truth,
                          "Whether a lost run is started again elsewhere, once; true unless set.",
                          "true"},
    [BUILD_BUILD_IMAGE] = {"build-image", 0, &an_image,
                           "The image that its commands run in, where the builder has an engine "
                           "for it; the builder's own unless set.",
                           "\"registry.example/ci/maven:3.9\""},
    [BUILD_PRIVILEGED] = {"privileged", 0, &a_truth,
                          "Whether it may do as root does on the engine's machine, where the "
                          "builder allows it; false unless set.",
                          "true"},
    [BUILD_KUBERNETES] = {"kubernetes", 0, &a_job,
                          "Of the Job that it is, for a builder of that driver.",
                          "{\"node-selector\": {\"kubernetes.io/arch\": \"arm64\"}}"},
    [BUILD_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys build_keys = {"a build", "build", build_fields};

static const struct field job_fields[] = {
    [JOB_SERVICE_ACCOUNT] = {"service-account", 0, &a_service_account,
                             "Who it is in the cluster, with a token of it; unless set the "
                             "builder's choice, which is nobody unless that says otherwise.",
                             "\"image-builder\""},
    [JOB_NODE_SELECTOR] = {"node-selector", 0, &node_labels,
                           "Labels that its node must have; unless set the builder's choice.",
                           "{\"kubernetes.io/arch\": \"arm64\"}"},
    [JOB_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys job_keys = {"a build's Job", "job", job_fields};

static const struct field size_fields[] = {
    [SIZE_CPU] = {"cpu", 0, &a_number_of_cores, "Cores.", "2"},
    [SIZE_MEMORY] = {"memory", 0, &a_size_in_bytes, "Memory.", "\"4Gi\""},
    [SIZE_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys size_keys = {"a size", "size", size_fields};

static const struct field deploy_fields[] = {
    [DEPLOY_NAME] = {"name", FIELD_REQUIRED, &a_name, ACTION_NAME_ABOUT, "\"app\""},
    [DEPLOY_ENVIRONMENT] = {"environment", FIELD_REQUIRED, &a_name,
                            "Where to: an Environment's name.", "\"prod\""},
    [DEPLOY_ARTIFACT] = {"artifact", 0, &a_name,
                         "Which build's image; may be left out where one build makes one.",
                         "\"image\""},
    [DEPLOY_KUBERNETES] = {"kubernetes", 0, &a_kubernetes,
                           "What to change there, for an environment of that driver; {{names}} are "
                           "filled in.",
                           "{\"namespace\": \"shop\", \"deployment\": \"shop\", "
                           "\"container\": \"app\"}"},
    [DEPLOY_DOCKER] = {"docker", 0, &a_target,
                       "What to change there, for an environment of that driver; {{names}} are "
                       "filled in.",
                       "{\"container\": \"shop\"}"},
    [DEPLOY_TIMEOUT] = {"timeout", 0, &a_duration, "1s to 7d; 15m unless set.", "\"15m\""},
    [DEPLOY_LOST_AFTER] = LOST_AFTER_FIELD,
    [DEPLOY_RETRY_LOST] = {"retry-lost", 0, &a_truth,
                           "Whether a lost run is started again elsewhere, once; unless set, true "
                           "with kubernetes or docker, else false.",
                           "true"},
    [DEPLOY_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys deploy_keys = {"a deploy", "deploy", deploy_fields};

static const struct field kubernetes_fields[] = {
    [KUBERNETES_NAMESPACE] = {"namespace", FIELD_REQUIRED, &a_kubernetes_name, "Where it is.",
                              "\"shop\""},
    [KUBERNETES_DEPLOYMENT] = {"deployment", FIELD_ONE_OF, &a_kubernetes_name,
                               "The Deployment that runs the image.", "\"shop\""},
    [KUBERNETES_STATEFULSET] = {"statefulset", FIELD_ONE_OF, &a_kubernetes_name,
                                "The StatefulSet that runs the image.", "\"shop\""},
    [KUBERNETES_DAEMONSET] = {"daemonset", FIELD_ONE_OF, &a_kubernetes_name,
                              "The DaemonSet that runs the image.", "\"shop\""},
    [KUBERNETES_CONTAINER] = {"container", FIELD_REQUIRED, &a_kubernetes_name,
                              "Which of its containers gets the image.", "\"app\""},
    [KUBERNETES_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys kubernetes_keys = {"a target in Kubernetes", "kubernetes", kubernetes_fields};

static const struct field custom_fields[] = {
    [CUSTOM_NAME] = {"name", FIELD_REQUIRED, &a_name, ACTION_NAME_ABOUT, "\"load\""},
    [CUSTOM_INPUT] = {"input", 0, &input, "What it is given; {{names}} are filled in.",
                      "{\"rate\": \"50\"}"},
    [CUSTOM_TIMEOUT] = {"timeout", 0, &a_duration, "1s to 7d; 24h unless set.", "\"1h\""},
    [CUSTOM_LOST_AFTER] = LOST_AFTER_FIELD,
    [CUSTOM_RETRY_LOST] = {"retry-lost", 0, &a_truth,
                           "Whether a lost run is started again elsewhere, once; false unless "
                           "set.",
                           "false"},
    [CUSTOM_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys custom_keys = {"a custom action", "custom", custom_fields};

/* Environment */
static const struct field environment_fields[] = {
    [ENVIRONMENT_DEPLOYER] = {"deployer", 0, &a_name,
                              "Which deployer serves it; default unless set.", "\"default\""},
    [ENVIRONMENT_DRIVER] = {"driver", FIELD_REQUIRED, &a_driver, "How a digest gets there.",
                            "\"command\""},
    [ENVIRONMENT_COMMAND] = {"command", 0, &a_command, "For the driver `command`.",
                             "{\"run\": \"deploy-prod\"}"},
    [ENVIRONMENT_FREEZE] = {"freeze", 0, &freezes,
                            "While one of these windows is open, nothing enters a stage that "
                            "deploys here; rollbacks do.",
                            "[{\"window\": \"2026-12-23 18:00 - 2027-01-02 08:00 Europe/Berlin\", "
                            "\"reason\": \"holidays\"}]"},
    [ENVIRONMENT_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys environment_keys = {"an environment", "environment", environment_fields};

static const struct field command_fields[] = {
    [COMMAND_RUN] = {"run", FIELD_REQUIRED, &a_name,
                     "A name: its argv stands only in that deployer's own configuration.",
                     "\"deploy-prod\""},
    [COMMAND_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys command_keys = {"a command", "command", command_fields};

static const struct field freeze_fields[] = {
    [FREEZE_WINDOW] = {"window", FIELD_REQUIRED, &a_window, "When.",
                       "\"2026-12-23 18:00 - 2027-01-02 08:00 Europe/Berlin\""},
    [FREEZE_REASON] = {"reason", FIELD_REQUIRED, &a_reason, "Why; whoever waits is shown it.",
                       "\"holidays\""},
    [FREEZE_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys freeze_keys = {"a freeze", "freeze", freeze_fields};

/* Notification */
static const struct field notification_fields[] = {
    [NOTIFICATION_EVENTS] = {"events", FIELD_REQUIRED, &events, "Globs over noun.verb.",
                             "[\"release.ended\", \"approval.*\"]"},
    [NOTIFICATION_PIPELINES] = {"pipelines", 0, &globs, "Globs over their names; all unless set.",
                                "[\"shop\"]"},
    [NOTIFICATION_STAGES] = {"stages", 0, &globs, "Globs over their names; all unless set.",
                             "[\"prod\"]"},
    [NOTIFICATION_OUTCOMES] = {"outcomes", 0, &outcomes,
                               "What it came to, where the event says; all unless set.",
                               "[\"failed\", \"rejected\"]"},
    [NOTIFICATION_WEBHOOK] = {"webhook", 0, &a_webhook, "Sent as Standard Webhooks says.", NULL},
    [NOTIFICATION_MAIL] = {"mail", 0, &a_mail, "Sent as mail.", NULL},
    [NOTIFICATION_SLACK] = {"slack", FIELD_LATER, NULL, NULL, NULL},
    [NOTIFICATION_TEAMS] = {"teams", FIELD_LATER, NULL, NULL, NULL},
    [NOTIFICATION_STATUS] = {"status", FIELD_LATER, NULL, NULL, NULL},
    [NOTIFICATION_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys notification_keys = {"a notification", "notification", notification_fields};

static const struct field webhook_fields[] = {
    [WEBHOOK_URL] = {"url", FIELD_REQUIRED, &a_url, "Where to, without a password.",
                     "\"https://hooks.example/x\""},
    [WEBHOOK_SECRET] = {"secret", FIELD_REQUIRED, &a_secret,
                        "The name of the secret it is signed with.", "\"hooks/x\""},
    [WEBHOOK_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys webhook_keys = {"a webhook", "webhook", webhook_fields};

static const struct field mail_fields[] = {
    [MAIL_TO] = {"to", FIELD_REQUIRED, &addresses, "Whom to.", "[\"team@example.org\"]"},
    [MAIL_KEYS] = {NULL, 0, NULL, NULL, NULL},
};
const struct keys mail_keys = {"a mail", "mail", mail_fields};
