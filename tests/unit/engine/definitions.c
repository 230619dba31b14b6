/* The definitions that scripts use. */
#include "base/str.h"
#include "script.h"

#define HEAD(mode)                                                                                 \
    "apiVersion: gantry/v1\n"                                                                      \
    "kind: Pipeline\n"                                                                             \
    "metadata: {name: shop}\n"                                                                     \
    "spec:\n"                                                                                      \
    "  mode: " mode "\n"
#define SOURCE                                                                                     \
    "  sources:\n"                                                                                 \
    "    - {name: app, git: https://git.example/shop.git, branches: [main, release/*]}\n"
#define BUILD                                                                                      \
    "  stages:\n"                                                                                  \
    "    - name: build\n"                                                                          \
    "      steps:\n"                                                                               \
    "        - build: {name: image, image: registry.example/shop}\n"
#define DEPLOY(env)                                                                                \
    "    - name: " env "\n"                                                                        \
    "      steps:\n"                                                                               \
    "        - deploy: {name: app, environment: " env "}\n"
#define GATED(env, gates)                                                                          \
    "    - name: " env "\n"                                                                        \
    "      gates:\n" gates "      steps:\n"                                                        \
    "        - deploy: {name: app, environment: " env "}\n"
#define APPROVAL(text) "        - approval: {" text "}\n"

static const struct {
    const char *name, *yaml;
} definitions[] = {
    {"simple", HEAD("superseded") SOURCE BUILD DEPLOY("dev") DEPLOY("prod")},
    {"queue", HEAD("queued") SOURCE BUILD DEPLOY("dev") DEPLOY("prod")},
    {"gate", HEAD("superseded") SOURCE BUILD DEPLOY("dev")
                 GATED("prod", APPROVAL("by: [group:release, 'user:zoe@x'], expires: 1h"))},
    {"gate-queue", HEAD("queued") SOURCE BUILD DEPLOY("dev")
                       GATED("prod", APPROVAL("by: [group:release], expires: 1h"))},
    {"two-gates", HEAD("superseded") SOURCE BUILD GATED(
                      "prod", APPROVAL("by: [group:qa]") APPROVAL("by: [group:release]"))},
    {"two-votes", HEAD("superseded") SOURCE BUILD GATED("prod", APPROVAL("count: 2"))},
    {"author", HEAD("superseded") SOURCE BUILD GATED("prod", APPROVAL("not: [author]"))},
    {"starter", HEAD("superseded") SOURCE BUILD GATED("prod", APPROVAL("not: [starter]"))},
    {"careful",
     HEAD("superseded") SOURCE BUILD "    - name: prod\n"
                                     "      rollback-approval: true\n"
                                     "      gates: [{approval: {by: [group:release]}}]\n"
                                     "      steps: [{deploy: {name: app, environment: prod}}]\n"},
    {"careful-window",
     HEAD("superseded") SOURCE BUILD "    - name: prod\n"
                                     "      rollback-approval: true\n"
                                     "      gates: [{window: 'Mon-Fri 09:00-16:00 UTC'},\n"
                                     "              {approval: {by: [group:release]}}]\n"
                                     "      steps: [{deploy: {name: app, environment: prod}}]\n"},
    {"steps", HEAD("superseded") SOURCE BUILD
     "        - parallel:\n"
     "            - build: {name: lint, buildspec: lint.yml}\n"
     "            - custom/load: {name: load, input: {rate: \"50\"}}\n"
     "        - custom/report: {name: report}\n" DEPLOY("dev")},
    {"inside", HEAD("superseded") SOURCE BUILD
     "    - name: prod\n"
     "      steps:\n"
     "        - approval: {name: look, by: [group:release], expires: 1h}\n"
     "        - deploy: {name: app, environment: prod}\n"},
    {"beside", HEAD("superseded") SOURCE BUILD
     "    - name: prod\n"
     "      steps:\n"
     "        - parallel:\n"
     "            - approval: {name: look, by: [group:release], expires: 1h}\n"
     "            - deploy: {name: app, environment: prod}\n"},
    {"vars", HEAD("superseded") "  variables: {LEVEL: info, SIZE: small}\n" SOURCE BUILD
                                "        - custom/say:\n"
                                "            name: say\n"
                                "            input: {text: '{{release.number}} {{variables.LEVEL}} "
                                "{{actions.image.VERSION}} {{revision}} {{pipeline}}'}\n"},
    {"two-sources",
     HEAD("superseded") "  sources:\n"
                        "    - {name: app, git: https://git.example/shop.git, branches: [main]}\n"
                        "    - {name: conf, git: https://git.example/conf.git, branches: ['*']}\n"
                        "  stages:\n"
                        "    - name: build\n"
                        "      steps:\n"
                        "        - build: {name: image, source: app, image: registry.example/shop}"
                        "\n"},
    {"lost", HEAD("superseded") SOURCE BUILD
     "    - name: dev\n"
     "      steps:\n"
     "        - deploy: {name: app, environment: dev, retry-lost: true}\n"
     "        - custom/test: {name: test, timeout: 1h}\n"},
    {"kubernetes", HEAD("superseded") SOURCE BUILD
     "    - name: dev\n"
     "      steps:\n"
     "        - deploy: {name: app, environment: dev, kubernetes: {namespace: a, "
     "deployment: b, container: c}}\n"},
    {"target", HEAD("superseded") "  variables: {NS: a}\n" SOURCE BUILD "    - name: dev\n"
                                  "      steps:\n"
                                  "        - deploy: {name: app, environment: dev, kubernetes: "
                                  "{namespace: 'a-{{variables.NS}}', "
                                  "statefulset: b, container: '{{actions.image.NAME}}'}, "
                                  "retry-lost: false}\n"},
    {"docker", HEAD("superseded") "  variables: {NS: a}\n" SOURCE BUILD "    - name: dev\n"
                                  "      steps:\n"
                                  "        - deploy: {name: app, environment: dev, docker: "
                                  "{container: '{{variables.NS}}'}}\n"},
    {"longer", HEAD("superseded") SOURCE BUILD DEPLOY("dev") DEPLOY("staging") DEPLOY("prod")},
    {"parallel", HEAD("parallel") SOURCE BUILD DEPLOY("dev") DEPLOY("prod")},
    {"soak", HEAD("superseded") SOURCE BUILD DEPLOY("dev") GATED("prod", "        - soak: 2h\n")},
    {"window", HEAD("superseded") SOURCE BUILD GATED(
                   "prod", "        - window: Mon-Fri 09:00-16:00 Europe/Berlin\n")},
    {"window-approval",
     HEAD("superseded") SOURCE BUILD GATED(
         "prod",
         "        - window: Mon-Fri 09:00-16:00 Europe/Berlin\n" APPROVAL("by: [group:release]"))},
    {"manual", HEAD("superseded") SOURCE BUILD GATED("prod", "        - manual: true\n")},
    {"manual-queue", HEAD("queued") SOURCE BUILD GATED("prod", "        - manual: true\n")},
    {"check", HEAD("superseded") SOURCE BUILD GATED(
                  "prod", "        - check: {custom: budget, input: {of: '{{release.number}}'}, "
                          "every: 10m, timeout: 2m}\n")},
    {"check-approval", HEAD("superseded") SOURCE BUILD GATED(
                           "prod", "        - check: {custom: budget, every: 10m}\n" APPROVAL(
                                       "by: [group:release], expires: 7d"))},
    {"rejects", HEAD("superseded") SOURCE BUILD GATED("prod", APPROVAL("count: 2, rejects: 2"))},
    {"eyes", HEAD("superseded") SOURCE BUILD GATED("dev", APPROVAL("by: [group:qa]"))
                 GATED("prod", APPROVAL("not: ['approver-of:dev']"))},
    {"canary",
     HEAD("superseded") SOURCE BUILD "    - name: canary\n"
                                     "      steps:\n"
                                     "        - deploy: {name: one, environment: prod}\n"
                                     "        - custom/test: {name: test}\n"
                                     "    - name: prod\n"
                                     "      gates: [{manual: true}]\n"
                                     "      steps:\n"
                                     "        - deploy: {name: app, environment: prod}\n"},
    {"refs",
     HEAD("superseded") "  sources:\n"
                        "    - {name: app, git: https://git.example/shop.git, branches: [main], "
                        "tags: ['v*'], pull-requests: true}\n" BUILD DEPLOY("dev")},
    {"again",
     HEAD("superseded") SOURCE BUILD "    - name: dev\n"
                                     "      on-failure: retry 2\n"
                                     "      steps:\n"
                                     "        - deploy: {name: app, environment: dev}\n"
                                     "        - custom/test: {name: test}\n" DEPLOY("prod")},
    {"back", HEAD("superseded") SOURCE BUILD "    - name: prod\n"
                                             "      on-failure: rollback\n"
                                             "      steps:\n"
                                             "        - deploy: {name: app, environment: prod}\n"},
    {"paths",
     HEAD("superseded") "  sources:\n"
                        "    - {name: app, git: https://git.example/shop.git, branches: [main], "
                        "paths: {include: ['src/**', Dockerfile], exclude: ['**/*.md']}}\n" BUILD},
    {"checkout",
     HEAD("superseded") "  sources:\n"
                        "    - {name: app, git: https://git.example/shop.git, branches: "
                        "[main], submodules: true, lfs: true, clone: true, depth: 7}\n" BUILD},
    {"build-image",
     HEAD("superseded") SOURCE "  stages:\n"
                               "    - name: build\n"
                               "      steps:\n"
                               "        - build: {name: image, image: registry.example/shop, "
                               "build-image: 'debian:12', privileged: true, "
                               "kubernetes: {service-account: ci, node-selector: {disk: fast}}}\n"},
    {"late", HEAD("superseded") SOURCE BUILD "    - name: prod\n"
                                             "      steps:\n"
                                             "        - custom/test: {name: test}\n"
                                             "        - deploy: {name: app, environment: prod}\n"},
    {"all-gates",
     HEAD("superseded") SOURCE BUILD DEPLOY("dev")
         GATED("staging", "        - manual: true\n        - soak: 10m\n        - check: "
                          "{custom: budget, every: 10m}\n")
             GATED("prod", "        - window: daily 06:00-22:00 Europe/Berlin\n" APPROVAL(
                               "not: [author], rejects: 2") APPROVAL("by: [group:release]"))},
    {"batch", HEAD("superseded") SOURCE
     "  stages:\n"
     "    - name: build\n"
     "      steps:\n"
     "        - build: {name: image, image: registry.example/shop, batch: true, env: {A: '1', "
     "B: '{{release.number}}'}, size: {cpu: 2, memory: 1Gi}, timeout: 10m}\n"
     "        - custom/say: {name: say, input: {text: '{{actions.image.VERSION}}'}}\n" DEPLOY(
         "dev")},
    {"batch-beside", HEAD("superseded") SOURCE
     "  stages:\n"
     "    - name: build\n"
     "      on-failure: retry 1\n"
     "      steps:\n"
     "        - parallel:\n"
     "            - build: {name: image, image: registry.example/shop}\n"
     "            - build: {name: tests, batch: true, retry-lost: false}\n" DEPLOY("dev")},
    {"batch-parallel", HEAD("parallel") SOURCE
     "  stages:\n"
     "    - name: build\n"
     "      steps: [{build: {name: image, image: registry.example/shop, batch: true}}]\n" DEPLOY(
         "dev")},
    {"broken", "kind: Pipeline\nmetadata: {name: shop}\nspec: {mode: sideways}\n"},
    {"other-name", "apiVersion: gantry/v1\n"
                   "kind: Pipeline\n"
                   "metadata: {name: other}\n"
                   "spec:\n"
                   "  sources: [{name: app, git: https://git.example/shop.git, branches: [main]}]\n"
                   "  stages: [{name: a, steps: [{custom/x: {name: x}}]}]\n"},
};

const char *script_definition(const char *name)
{
    for (size_t i = 0; i < sizeof(definitions) / sizeof(*definitions); i++) {
        if (str_eq(definitions[i].name, name))
            return definitions[i].yaml;
    }
    return NULL;
}
