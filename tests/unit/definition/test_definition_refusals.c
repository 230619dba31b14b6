/* One row a rule: what breaks it, and the line, path and reason that are told. */
#include "tests/unit/definition/definitions.h"

#define STAGE(steps) AFTER_BUILD "    - name: dev\n      steps:\n" steps /* steps from line 13 */
#define STEP(step)   STAGE("        - " step "\n")
#define GATE(gate)                                                                                 \
    AFTER_BUILD "    - name: dev\n      gates:\n        - " gate "\n"                              \
                "      steps: [custom/x: {name: x}]\n" /* the gate in line 13 */
#define SOURCE(source)     HEAD("Pipeline") "  sources:\n    - " source "\n" STAGES BUILD
#define GIT(url)           SOURCE("{name: app, branches: [main], git: '" url "'}")
#define IMAGE(image)       STEP("build: {name: other, image: '" image "'}")
#define ENVIRONMENT(spec)  HEAD("Environment") "  " spec "\n"
#define NOTIFICATION(spec) HEAD("Notification") "  " spec "\n"

static void assert_all_refused(const struct refusal *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_refused(&rows[i]);
}

static void rules_of_every_kind(void **state)
{
    static const struct refusal rows[] = {
        {"", 1, "", "there is no definition in it"},
        {"- a\n", 1, "", "expected a mapping"},
        {"just text\n", 1, "", "expected a mapping"},
        {AFTER_BUILD "---\n", 11, "", "a second document"},
        {"a: &x 1\n", 1, "", "anchors"},
        {"a: [\n", 2, "", "not YAML"},
        {"kind: Environment\nmetadata: {name: x}\nspec: {driver: command, command: {run: x}}\n", 1,
         "", "a definition needs 'apiVersion'"},
        {"apiVersion: gantry/v2\nkind: Environment\nmetadata: {name: x}\nspec: {driver: command, "
         "command: {run: x}}\n",
         1, "apiVersion",
         "'gantry/v2' is not a version of the language; did you mean 'gantry/v1'?"},
        {"apiVersion: apps/v1\nkind: Environment\nmetadata: {name: x}\nspec: {driver: command, "
         "command: {run: x}}\n",
         1, "apiVersion", "not a version of the language, which is one of: gantry/v1"},
        {"apiVersion: gantry/v1\nkind: Pipelin\nmetadata: {name: x}\nspec: {}\n", 2, "kind",
         "did you mean 'Pipeline'?"},
        {"apiVersion: gantry/v1\nkind: Role\nmetadata: {name: x}\nspec: {}\n", 2, "kind",
         "the kind 'Role' is not supported yet"},
        {"apiVersion: gantry/v1\nkind: Binding\nmetadata: {name: x}\nspec: {}\n", 2, "kind",
         "the kind 'Binding' is not supported yet"},
        {"apiVersion: gantry/v1\nkind: [Pipeline]\nmetadata: {name: x}\nspec: {}\n", 2, "kind",
         "not a kind"},
        {AFTER_BUILD "status: {}\n", 11, "status",
         "not a key of a definition, which has: apiVersion, kind, metadata, spec"},
        {AFTER_BUILD "kind: Pipeline\n", 11, "kind", "stands there twice"},
        {"apiVersion: gantry/v1\nkind: Environment\nmetadata:\nspec: {driver: command, command: "
         "{run: x}}\n",
         3, "metadata", "needs a value"},
        {"apiVersion: gantry/v1\nkind: Environment\nmetadata: {}\nspec: {driver: command, command: "
         "{run: x}}\n",
         3, "metadata", "metadata needs 'name'"},
        {"apiVersion: gantry/v1\nkind: Environment\nmetadata: {name: x, lables: {}}\nspec: "
         "{driver: command, command: {run: x}}\n",
         3, "metadata.lables", "did you mean 'labels'?"},
        {"apiVersion: gantry/v1\nkind: Environment\nmetadata: {name: a b}\nspec: {driver: command, "
         "command: {run: x}}\n",
         3, "metadata.name", "'a b': a name has"},
        {"apiVersion: gantry/v1\nkind: Environment\nmetadata: {name: [x]}\nspec: {driver: command, "
         "command: {run: x}}\n",
         3, "metadata.name", "expected text, not a list"},
        {"apiVersion: gantry/v1\nkind: Environment\nmetadata: {name: x, labels: {a b: c}}\nspec: "
         "{driver: command, command: {run: x}}\n",
         3, "metadata.labels.a b", "a label has"},
        {"apiVersion: gantry/v1\nkind: Environment\nmetadata: {name: x}\nspec: []\n", 4, "spec",
         "expected a mapping"},
    };

    (void)state;
    assert_all_refused(rows, COUNT(rows));
}

static void rules_of_a_pipeline(void **state)
{
    static const struct refusal rows[] = {
        {HEAD("Pipeline") "  stages: []\n" SOURCES, 5, "spec.stages", "needs one at least"},
        {HEAD("Pipeline") SOURCES, 5, "spec", "a pipeline needs 'stages'"},
        {HEAD("Pipeline") SOURCES "  stages: {}\n", 7, "spec.stages", "expected a list of stages"},
        {HEAD("Pipeline") "  mode: supersede\n" SOURCES STAGES BUILD, 5, "spec.mode",
         "did you mean 'superseded'?"},
        {HEAD("Pipeline") "  mode: [queued]\n" SOURCES STAGES BUILD, 5, "spec.mode", "not a mode"},
        {HEAD("Pipeline") "  variables: [a]\n" SOURCES STAGES BUILD, 5, "spec.variables",
         "expected a mapping"},
        {HEAD("Pipeline") "  variables: {1A: x}\n" SOURCES STAGES BUILD, 5, "spec.variables.1A",
         "a variable has"},
        {HEAD("Pipeline") "  variables: {A: [x]}\n" SOURCES STAGES BUILD, 5, "spec.variables.A",
         "expected text, not a list"},
        {HEAD("Pipeline") "  variables: {A: {{x}}}\n" SOURCES STAGES BUILD, 5, "",
         "a key must be plain text"},
        {HEAD("Pipeline") "  variables: {A: ~}\n" SOURCES STAGES BUILD, 5, "spec.variables.A",
         "needs a value; \"\" is an empty one"},
        {HEAD("Pipeline") "  variables: {A: 1, A: 2}\n" SOURCES STAGES BUILD, 5, "spec.variables.A",
         "stands there twice"},
        {HEAD("Pipeline") "  variables: {A: \"\\e[2J\"}\n" SOURCES STAGES BUILD, 5,
         "spec.variables.A", "the control character U+001B is not allowed"},
        {HEAD("Pipeline") SOURCES STAGES BUILD "  trigers: []\n", 11, "spec.trigers",
         "not a key of a pipeline, which has: mode, variables, sources, stages"},
    };

    (void)state;
    assert_all_refused(rows, COUNT(rows));
}

static void rules_of_a_source(void **state)
{
    static const struct refusal rows[] = {
        {HEAD("Pipeline") "  sources: []\n" STAGES BUILD, 5, "spec.sources", "needs one at least"},
        {SOURCE("app"), 6, "spec.sources[0]", "expected a mapping"},
        {SOURCE("{name: app, branches: [main]}"), 6, "spec.sources[0]", "a source needs 'git'"},
        {SOURCE("{name: app, git: https://g/x}"), 6, "spec.sources[0]",
         "a source needs 'branches'"},
        {SOURCE("{name: app, git: https://g/x, branches: []}"), 6, "spec.sources[0].branches",
         "needs one at least"},
        {SOURCE("{name: app, git: https://g/x, branches: [refs/heads/main]}"), 6,
         "spec.sources[0].branches[0]", "main, not refs/heads/main"},
        {SOURCE("{name: app, git: https://g/x, branches: [main, a b]}"), 6,
         "spec.sources[0].branches[1]", "expected a branch or a glob"},
        {SOURCE("{name: app, git: https://g/x, branches: [main, main]}"), 6,
         "spec.sources[0].branches[1]", "'main' stands there twice"},
        {SOURCE("{name: app, git: https://g/x, branches: {a: b}}"), 6, "spec.sources[0].branches",
         "expected a list"},
        {SOURCE("{name: app, git: https://g/x, branches: [main], poll: 60}"), 6,
         "spec.sources[0].poll", "expected a duration"},
        {SOURCE("{name: app, git: https://g/x, branches: [main], poll: 2d}"), 6,
         "spec.sources[0].poll", "expected 1s to 1d, or 0"},
        {SOURCE("{name: app, git: https://g/x, branches: [main], poll: 10ms}"), 6,
         "spec.sources[0].poll", "expected 1s to 1d, or 0"},
        {SOURCE("{name: app, git: https://g/x, branches: [main], credentials: ../x}"), 6,
         "spec.sources[0].credentials", "expected a secret's name"},
        {SOURCE("{name: app, git: https://g/x, branches: [main], branch: x}"), 6,
         "spec.sources[0].branch", "did you mean 'branches'?"},
        {HEAD("Pipeline") SOURCES "    - {name: app, git: https://g/x, branches: [main]}\n" STAGES
                                  "    - name: build\n      steps: [custom/x: {name: x}]\n",
         7, "spec.sources[1].name", "another source has the name 'app'"},
        {GIT("ftp://git.example/x"), 6, "spec.sources[0].git", "expected https://"},
        {GIT("/srv/x.git"), 6, "spec.sources[0].git", "expected https://"},
        {GIT("file://srv/x.git"), 6, "spec.sources[0].git", "expected https://"},
        {GIT("ext::sh -c x"), 6, "spec.sources[0].git", "not the address"},
        {GIT("ext::sh@x"), 6, "spec.sources[0].git", "expected https://"},
        {GIT("--upload-pack=x"), 6, "spec.sources[0].git", "not the address"},
        {GIT("https://"), 6, "spec.sources[0].git", "not the address"},
        {GIT("https://user:pass@git.example/x"), 6, "spec.sources[0].git", "a password"},
    };

    (void)state;
    assert_all_refused(rows, COUNT(rows));
}

static void rules_of_a_stage(void **state)
{
    static const struct refusal rows[] = {
        {AFTER_BUILD "    - dev\n", 11, "spec.stages[1]", "expected a mapping"},
        {AFTER_BUILD "    - name: build\n      steps: [custom/x: {name: x}]\n", 11,
         "spec.stages[1].name", "another stage has the name 'build'"},
        {AFTER_BUILD "    - name: dev\n", 11, "spec.stages[1]", "a stage needs 'steps'"},
        {AFTER_BUILD "    - name: dev\n      steps: []\n", 12, "spec.stages[1].steps",
         "needs one at least of steps"},
        {AFTER_BUILD "    - name: dev\n      steps: [custom/x: {name: x}]\n      "
                     "rollback-approval: 1\n",
         13, "spec.stages[1].rollback-approval", "expected true or false"},
        {STEP("build: {name: unit}\n        - deploy: {name: unit, environment: dev}"), 14,
         "spec.stages[1].steps[1].deploy.name", "another action of this stage has the name 'unit'"},
        {STEP("build"), 13, "spec.stages[1].steps[0]", "expected one action, such as"},
        {STEP("{}"), 13, "spec.stages[1].steps[0]", "expected one action, such as"},
        {STEP("{build: {name: a}, deploy: {name: b}}"), 13, "spec.stages[1].steps[0]",
         "expected one action, such as"},
        {STEP("biuld: {name: a}"), 13, "spec.stages[1].steps[0].biuld",
         "'biuld' is not an action; did you mean 'build'?"},
        {STEP("custom: {name: a}"), 13, "spec.stages[1].steps[0].custom", "not an action"},
        {STEP("parallel: []"), 13, "spec.stages[1].steps[0].parallel", "needs one at least"},
        {STEP("parallel: {}"), 13, "spec.stages[1].steps[0].parallel", "expected a list"},
        {STEP("parallel: [parallel: [build: {name: a}]]"), 13,
         "spec.stages[1].steps[0].parallel[0].parallel", "cannot hold another"},
        {STEP("parallel: [build: {name: a}, custom/x: {name: a}]"), 13,
         "spec.stages[1].steps[0].parallel[1].custom/x.name", "another action of this stage"},
    };

    (void)state;
    assert_all_refused(rows, COUNT(rows));
}

static void rules_of_a_build(void **state)
{
    static const struct refusal rows[] = {
        {STEP("build: {}"), 13, "spec.stages[1].steps[0].build", "a build needs 'name'"},
        {STEP("build: unit"), 13, "spec.stages[1].steps[0].build", "expected a mapping"},
        {STEP("build: {name: unit, source: ap}"), 13, "spec.stages[1].steps[0].build.source",
         "'ap' is not a source of this pipeline; did you mean 'app'?"},
        {HEAD("Pipeline") SOURCES "    - {name: b, git: https://g/x, branches: [main]}\n" STAGES
                                  "    - name: build\n      steps:\n        - build: {name: a}\n",
         11, "spec.stages[0].steps[0].build", "needs 'source', since the pipeline has 2"},
        {STEP("build: {name: unit, buildspec: a.yml, dockerfile: b}"), 13,
         "spec.stages[1].steps[0].build.dockerfile", "not both"},
        {STEP("build: {name: unit, dockerfile: b}"), 13, "spec.stages[1].steps[0].build.dockerfile",
         "needs 'image' too"},
        {STEP("build: {name: unit, buildspec: /etc/x}"), 13,
         "spec.stages[1].steps[0].build.buildspec", "within the source"},
        {STEP("build: {name: unit, buildspec: a/../../x}"), 13,
         "spec.stages[1].steps[0].build.buildspec", "within the source"},
        {STEP("build: {name: image, image: r.example/x}"), 13, "spec.stages[1].steps[0].build.name",
         "another build that makes an image has this name"},
        {STEP("build: {name: unit, size: 4}"), 13, "spec.stages[1].steps[0].build.size",
         "expected a mapping"},
        {STEP("build: {name: unit, size: {cpu: 0}}"), 13, "spec.stages[1].steps[0].build.size.cpu",
         "expected a number of cores"},
        {STEP("build: {name: unit, size: {memory: 4GB}}"), 13,
         "spec.stages[1].steps[0].build.size.memory", "expected a size"},
        {STEP("build: {name: unit, size: {memory: 4Gi, disk: 1Gi}}"), 13,
         "spec.stages[1].steps[0].build.size.disk", "not a key of a size"},
        {STEP("build: {name: unit, env: {A-B: x}}"), 13, "spec.stages[1].steps[0].build.env.A-B",
         "a variable has"},
        {STEP("build: {name: unit, timeout: 60}"), 13, "spec.stages[1].steps[0].build.timeout",
         "expected a duration"},
        {STEP("build: {name: unit, timeout: 8d}"), 13, "spec.stages[1].steps[0].build.timeout",
         "expected 1s to 7d"},
        {STEP("build: {name: unit, timeout: 999ms}"), 13, "spec.stages[1].steps[0].build.timeout",
         "expected 1s to 7d"},
        {STEP("build: {name: unit, retry-lost: \"true\"}"), 13,
         "spec.stages[1].steps[0].build.retry-lost", "expected true or false"},
        {STEP("build: {name: unit, kubernetes: {nodes: fast}}"), 13,
         "spec.stages[1].steps[0].build.kubernetes.nodes", "not a key of a build's Job"},
        {STEP("build: {name: unit, kubernetes: {service-account: Me}}"), 13,
         "spec.stages[1].steps[0].build.kubernetes.service-account", "a name in Kubernetes has"},
        {STEP("build: {name: unit, kubernetes: {node-selector: {'/disk': fast}}}"), 13,
         "spec.stages[1].steps[0].build.kubernetes.node-selector./disk", "a label of a node"},
        {STEP("build: {name: unit, kubernetes: {node-selector: {disk: 'a b'}}}"), 13,
         "spec.stages[1].steps[0].build.kubernetes.node-selector.disk", "a label's value has"},
        {STEP("build: {name: unit, privileged: maybe}"), 13,
         "spec.stages[1].steps[0].build.privileged", "expected true or false"},
        {STEP("build: {name: unit, build-image: \"debian 12\"}"), 13,
         "spec.stages[1].steps[0].build.build-image", "expected an image"},
        {STEP("build: {name: unit, build-image: \"x:{{release.number}}\"}"), 13,
         "spec.stages[1].steps[0].build.build-image", "without {{names}}"},
        {STEP("build: {name: unit, batch: 1}"), 13, "spec.stages[1].steps[0].build.batch",
         "expected true or false"},
        {STEP("build: {name: unit, image: r.example/u, batch: true, dockerfile: D}"), 13,
         "spec.stages[1].steps[0].build.dockerfile", "a batch stands in a buildspec"},
        {IMAGE("shop"), 13, "spec.stages[1].steps[0].build.image", "a registry and a repository"},
        {IMAGE("acme/shop"), 13, "spec.stages[1].steps[0].build.image", "a registry"},
        {IMAGE("r.example/shop:1"), 13, "spec.stages[1].steps[0].build.image", "without a tag"},
        {IMAGE("r.example/shop@sha256:00"), 13, "spec.stages[1].steps[0].build.image",
         "without a tag"},
        {IMAGE("r.example/Shop"), 13, "spec.stages[1].steps[0].build.image", "lower-case"},
        {IMAGE("r.example/a//b"), 13, "spec.stages[1].steps[0].build.image", "lower-case"},
        {IMAGE("r.example/a..b"), 13, "spec.stages[1].steps[0].build.image", "lower-case"},
        {IMAGE("r.example/a___b"), 13, "spec.stages[1].steps[0].build.image", "lower-case"},
        {IMAGE("r.example:x/a"), 13, "spec.stages[1].steps[0].build.image", "a registry"},
        {IMAGE("r.example/a/"), 13, "spec.stages[1].steps[0].build.image", "lower-case"},
    };

    (void)state;
    assert_all_refused(rows, COUNT(rows));
}

static void rules_of_a_deploy(void **state)
{
    static const struct refusal rows[] = {
        {STEP("deploy: {name: app}"), 13, "spec.stages[1].steps[0].deploy",
         "a deploy needs 'environment'"},
        {STEP("deploy: {name: app, environment: DEV}"), 13,
         "spec.stages[1].steps[0].deploy.environment", "a name has"},
        {STEP("deploy: {name: app, environment: dev, artifact: imag}"), 13,
         "spec.stages[1].steps[0].deploy.artifact", "no build 'imag' with 'image' runs before"},
        {STEP("build: {name: unit}\n        - deploy: {name: app, environment: dev, artifact: "
              "unit}"),
         14, "spec.stages[1].steps[1].deploy.artifact", "no build 'unit' with 'image'"},
        {STEP("build: {name: second, image: r.example/x}\n"
              "        - deploy: {name: app, environment: dev}"),
         14, "spec.stages[1].steps[1].deploy", "needs 'artifact': 2 builds of the pipeline"},
        /* One that comes later counts as well: were it moved to the front, another image would go
         * out. */
        {STEP("deploy: {name: app, environment: dev}\n"
              "        - parallel:\n"
              "            - custom/x: {name: x}\n"
              "            - build: {name: second, image: r.example/x}"),
         13, "spec.stages[1].steps[0].deploy", "needs 'artifact': 2 builds of the pipeline"},
        {HEAD("Pipeline") SOURCES STAGES "    - name: dev\n      steps:\n"
                                         "        - deploy: {name: app, environment: dev}\n" BUILD,
         10, "spec.stages[0].steps[0].deploy", "no build with 'image' runs before this deploy"},
        {HEAD("Pipeline") SOURCES STAGES
         "    - name: dev\n      steps:\n"
         "        - parallel:\n"
         "            - build: {name: image, image: r.example/x}\n"
         "            - deploy: {name: app, environment: dev, artifact: image}\n",
         12, "spec.stages[0].steps[0].parallel[1].deploy.artifact", "runs before this deploy"},
        {STEP("deploy: {name: app, environment: dev, image: r.example/x}"), 13,
         "spec.stages[1].steps[0].deploy.image", "not a key of a deploy"},
        {STEP("deploy: {name: app, environment: dev, kubernetes: {}, docker: {}}"), 13,
         "spec.stages[1].steps[0].deploy.docker", "not both"},
        {STEP("deploy: {name: app, environment: dev, kubernetes: shop}"), 13,
         "spec.stages[1].steps[0].deploy.kubernetes", "expected a mapping"},
        {STEP("deploy: {name: app, environment: dev, run: rm}"), 13,
         "spec.stages[1].steps[0].deploy.run", "not a key of a deploy"},
    };

    (void)state;
    assert_all_refused(rows, COUNT(rows));
}

#define KUBERNETES(target) STEP("deploy: {name: app, environment: dev, kubernetes: {" target "}}")
#define AT                 "spec.stages[1].steps[0].deploy.kubernetes"

static void rules_of_a_target_in_kubernetes(void **state)
{
    static const struct refusal rows[] = {
        {KUBERNETES("namespace: a, deployment: b, container: c, nope: 1"), 13, AT ".nope",
         "not a key of a target in Kubernetes"},
        {KUBERNETES("namespace: a, deployment: b, container: c, demonset: d"), 13, AT ".demonset",
         "did you mean 'daemonset'?"},
        {KUBERNETES("deployment: b, container: c"), 13, AT, "needs 'namespace'"},
        {KUBERNETES("namespace: a, deployment: b"), 13, AT, "needs 'container'"},
        {KUBERNETES("namespace: a, container: c"), 13, AT,
         "needs 'deployment', 'statefulset' or 'daemonset'"},
        {KUBERNETES("namespace: a, container: c, deployment: b, daemonset: d"), 13, AT ".daemonset",
         "one of deployment, statefulset and daemonset"},
        {KUBERNETES("namespace: a.b, deployment: b.c, container: c"), 13, AT ".namespace",
         "'a.b': a name in Kubernetes has"},
        {KUBERNETES("namespace: a, statefulset: B, container: c"), 13, AT ".statefulset",
         "'B': a name in Kubernetes has"},
        {KUBERNETES("namespace: a, deployment: -b, container: c"), 13, AT ".deployment",
         "'-b': a name in Kubernetes has"},
        {KUBERNETES("namespace: a, deployment: [b], container: c"), 13, AT ".deployment",
         "expected text, not a list"},
        {KUBERNETES("namespace: 'a-{{variables.N}}', deployment: b, container: c"), 13,
         AT ".namespace", "spec.variables has no such key"},
        {STEP("deploy: {name: app, environment: dev, docker: {container: '{{what}}'}}"), 13,
         "spec.stages[1].steps[0].deploy.docker.container", "{{what}}: expected release.number"},
    };
#undef AT

    (void)state;
    assert_all_refused(rows, COUNT(rows));
}

static void rules_of_a_custom_action(void **state)
{
    static const struct refusal rows[] = {
        {STEP("custom/: {name: a}"), 13, "spec.stages[1].steps[0].custom/", "a name has"},
        {STEP("custom/Load: {name: a}"), 13, "spec.stages[1].steps[0].custom/Load", "a name has"},
        {STEP("custom/x: {}"), 13, "spec.stages[1].steps[0].custom/x", "needs 'name'"},
        {STEP("custom/x: {name: a, input: [b]}"), 13, "spec.stages[1].steps[0].custom/x.input",
         "expected a mapping"},
        {STEP("custom/x: {name: a, input: {b: {c: d}}}"), 13,
         "spec.stages[1].steps[0].custom/x.input.b", "expected text, not a mapping"},
        {STEP("custom/x: {name: a, inputs: {}}"), 13, "spec.stages[1].steps[0].custom/x.inputs",
         "did you mean 'input'?"},
    };

    (void)state;
    assert_all_refused(rows, COUNT(rows));
}

static void rules_of_gates_and_approvals(void **state)
{
    static const struct refusal rows[] = {
        {GATE("approval"), 13, "spec.stages[1].gates[0]", "expected one gate"},
        {GATE("approvals: {}"), 13, "spec.stages[1].gates[0].approvals",
         "did you mean 'approval'?"},
        {GATE("approval: {by: [qa]}"), 13, "spec.stages[1].gates[0].approval.by[0]",
         "expected group:<name> or user:"},
        {GATE("approval: {by: ['group:']}"), 13, "spec.stages[1].gates[0].approval.by[0]",
         "expected group:<name> or user:"},
        {GATE("approval: {by: [group:qa], count: 0}"), 13, "spec.stages[1].gates[0].approval.count",
         "expected a number from 1 to 100"},
        {GATE("approval: {by: ['user:a@x.org'], count: 2}"), 13,
         "spec.stages[1].gates[0].approval.count", "2 votes are asked of 1 people"},
        {GATE("approval: {not: [me]}"), 13, "spec.stages[1].gates[0].approval.not[0]",
         "'me': expected author or starter, or approver-of: and a stage's name"},
        {GATE("approval: {not: [starter, autor]}"), 13, "spec.stages[1].gates[0].approval.not[1]",
         "and a stage's name; did you mean 'author'?"},
        {GATE("approval: {not: stater}"), 13, "spec.stages[1].gates[0].approval.not",
         "did you mean 'starter'?"},
        {GATE("approval: {not: [aprover-of:build]}"), 13, "spec.stages[1].gates[0].approval.not[0]",
         "did you mean 'approver-of:build'?"},
        {GATE("approval: {expires: 61d}"), 13, "spec.stages[1].gates[0].approval.expires",
         "expected 1s to 60d"},
        {GATE("approval: {message: \"a\\ab\"}"), 13, "spec.stages[1].gates[0].approval.message",
         "U+0007"},
        {GATE("approval: {message: \"a\\u202eb\"}"), 13, "spec.stages[1].gates[0].approval.message",
         "U+202E"},
        {GATE("approval: {message: [x]}"), 13, "spec.stages[1].gates[0].approval.message",
         "expected text"},
        {GATE("approval: {name: x}"), 13, "spec.stages[1].gates[0].approval.name",
         "not a key of an approval"},
        {STEP("approval: {by: [group:qa]}"), 13, "spec.stages[1].steps[0].approval",
         "an approval needs 'name'"},
        {AFTER_BUILD "    - name: dev\n      gates: [approval: {}]\n      steps:\n"
                     "        - approval: {name: approval}\n",
         14, "spec.stages[1].steps[0].approval.name", "a gate of this stage has the name"},
    };

    (void)state;
    assert_all_refused(rows, COUNT(rows));
}

static void rules_of_an_environment(void **state)
{
    static const struct refusal rows[] = {
        {ENVIRONMENT("{driver: kubernetes}"), 5, "spec.driver",
         "the driver 'kubernetes' is not supported yet"},
        {ENVIRONMENT("{driver: comand, command: {run: x}}"), 5, "spec.driver",
         "did you mean 'command'?"},
        {ENVIRONMENT("{driver: command}"), 5, "spec", "needs 'command: {run: NAME}'"},
        {ENVIRONMENT("{driver: command, command: {}}"), 5, "spec.command", "needs 'run'"},
        {ENVIRONMENT("{driver: command, command: {run: /bin/sh}}"), 5, "spec.command.run",
         "a name has"},
        {ENVIRONMENT("{driver: command, command: {run: x, argv: [sh]}}"), 5, "spec.command.argv",
         "not a key of a command"},
        {ENVIRONMENT("{driver: command, command: {run: x}, deployer: A}"), 5, "spec.deployer",
         "a name has"},
    };

    (void)state;
    assert_all_refused(rows, COUNT(rows));
}

static void rules_of_a_notification(void **state)
{
    static const struct refusal rows[] = {
        {NOTIFICATION("{events: ['**']}"), 5, "spec", "needs 'webhook' or 'mail'"},
        {NOTIFICATION("{mail: {to: [a@x.org]}}"), 5, "spec", "a notification needs 'events'"},
        {NOTIFICATION("{events: [], mail: {to: [a@x.org]}}"), 5, "spec.events",
         "needs one at least"},
        {NOTIFICATION("{events: [release], mail: {to: [a@x.org]}}"), 5, "spec.events[0]",
         "expected an event or a glob"},
        {NOTIFICATION("{events: ['**'], mail: {to: []}}"), 5, "spec.mail.to", "needs one at least"},
        {NOTIFICATION("{events: ['**'], mail: {to: [nobody]}}"), 5, "spec.mail.to[0]",
         "expected a mail address"},
        {NOTIFICATION("{events: ['**'], mail: {to: ['A <a@x.org>']}}"), 5, "spec.mail.to[0]",
         "expected a mail address"},
        {NOTIFICATION("{events: ['**'], mail: {to: [\"a@x.org\\nBcc: b\"]}}"), 5, "spec.mail.to[0]",
         "control character U+000A"},
        {NOTIFICATION("{events: ['**'], webhook: {url: https://x}}"), 5, "spec.webhook",
         "a webhook needs 'secret'"},
        {NOTIFICATION("{events: ['**'], webhook: {url: x, secret: s}}"), 5, "spec.webhook.url",
         "expected https://"},
        {NOTIFICATION("{events: ['**'], webhook: {url: 'https://a:b@x/', secret: s}}"), 5,
         "spec.webhook.url", "a password"},
        {NOTIFICATION("{events: ['**'], webhook: {url: https://x, secret: s}, mail: {to: [a@x]}}"),
         5, "spec.mail", "not both"},
        {NOTIFICATION("{events: ['**'], outcomes: [good], mail: {to: [a@x]}}"), 5,
         "spec.outcomes[0]", "expected succeeded"},
        {NOTIFICATION("{events: ['**'], outcomes: [faild], mail: {to: [a@x]}}"), 5,
         "spec.outcomes[0]", "did you mean 'failed'?"},
        {NOTIFICATION("{events: ['**'], slack: {url: https://x}, mail: {to: [a@x]}}"), 5,
         "spec.slack", "'slack' is not supported yet"},
    };

    (void)state;
    assert_all_refused(rows, COUNT(rows));
}

/* Fills a pipeline with stages of so many actions, and says what is told about it. */
static void assert_too_many(int stages, int steps, int members, int line, const char *path,
                            const char *reason)
{
    struct refusal row = {NULL, line, path, reason};
    struct buf yaml;

    buf_init(&yaml, DEFINITION_SIZE_MAX);
    buf_adds(&yaml, HEAD("Pipeline") SOURCES STAGES);
    for (int i = 0; i < stages; i++) {
        buf_addf(&yaml, "    - name: s%d\n      steps:\n", i);
        for (int j = 0; j < steps; j++) {
            buf_adds(&yaml, "        - parallel: [");
            for (int k = 0; k < members; k++)
                buf_addf(&yaml, "custom/x: {name: a%d-%d}, ", j, k);
            buf_adds(&yaml, "]\n");
        }
    }
    assert_false(yaml.overflow);
    row.yaml = buf_cstr(&yaml);
    assert_refused(&row);
    buf_release(&yaml);
}

static void variables_that_no_release_could_carry(void **state)
{
    struct buf yaml;
    struct refusal row = {NULL, 5, "spec.variables",
                          "they take 16410 bytes, of which a release may carry 16384"};

    (void)state;
    buf_init(&yaml, DEFINITION_SIZE_MAX);
    buf_adds(&yaml, HEAD("Pipeline") "  variables: {");
    for (int i = 0; i < 10; i++)
        buf_addf(&yaml, "V%d: \"%01639d\"%s", i, i, i < 9 ? ", " : "}\n" SOURCES STAGES BUILD);
    row.yaml = buf_cstr(&yaml);
    assert_refused(&row);
    buf_release(&yaml);
}

static void limits_of_a_pipeline(void **state)
{
    struct buf yaml;
    struct refusal row = {NULL, 5, "spec.sources", "more than 10 sources"};

    (void)state;
    assert_too_many(51, 1, 1, 8, "spec.stages", "more than 50 stages");
    assert_too_many(1, 51, 1, 10, "spec.stages[0].steps", "more than 50 steps");
    assert_too_many(1, 1, 51, 10, "spec.stages[0].steps[0].parallel", "more than 50 actions");
    assert_too_many(1, 3, 17, 10, "spec.stages[0].steps", "51 actions, of which a stage may");
    assert_too_many(50, 1, 11, 8, "spec.stages", "550 actions, of which a pipeline may have 500");
    buf_init(&yaml, DEFINITION_SIZE_MAX);
    buf_adds(&yaml, HEAD("Pipeline") "  sources:\n");
    for (int i = 0; i < 11; i++)
        buf_addf(&yaml, "    - {name: s%d, git: https://g/x, branches: [main]}\n", i);
    buf_adds(&yaml, STAGES BUILD);
    row.line = 6;
    row.yaml = buf_cstr(&yaml);
    assert_refused(&row);
    buf_release(&yaml);
}

static void a_message_has_two_thousand_characters_at_most(void **state)
{
    struct refusal row = {NULL, 13, "spec.stages[1].gates[0].approval.message",
                          "longer than 2000 characters"};
    struct buf yaml;

    (void)state;
    for (int count = 2000; count <= 2001; count++) {
        buf_init(&yaml, DEFINITION_SIZE_MAX);
        buf_adds(&yaml,
                 AFTER_BUILD "    - name: dev\n      gates:\n        - approval: {message: '");
        for (int i = 0; i < count; i++)
            buf_adds(&yaml, "\xf0\x9f\x9a\x80");
        buf_adds(&yaml, "'}\n      steps: [custom/x: {name: x}]\n");
        row.yaml = buf_cstr(&yaml);
        if (count == 2000)
            definition_free(parsed(row.yaml));
        else
            assert_refused(&row);
        buf_release(&yaml);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_of_every_kind),
        cmocka_unit_test(rules_of_a_pipeline),
        cmocka_unit_test(rules_of_a_source),
        cmocka_unit_test(rules_of_a_stage),
        cmocka_unit_test(rules_of_a_build),
        cmocka_unit_test(rules_of_a_deploy),
        cmocka_unit_test(rules_of_a_target_in_kubernetes),
        cmocka_unit_test(rules_of_a_custom_action),
        cmocka_unit_test(rules_of_gates_and_approvals),
        cmocka_unit_test(rules_of_an_environment),
        cmocka_unit_test(rules_of_a_notification),
        cmocka_unit_test(variables_that_no_release_could_carry),
        cmocka_unit_test(limits_of_a_pipeline),
        cmocka_unit_test(a_message_has_two_thousand_characters_at_most),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
