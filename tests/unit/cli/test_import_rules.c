/* One row a rule: a part of a pipeline, and what of it stands in the definition or the report. */
#include "tests/unit/cli/test_import.h"

#include "base/mem.h"
#include "services/cli/import.h"
#include "tests/unit/unit.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* An action of a get-pipeline's JSON, in single quotes. */
#define ACTION(category, provider, name, more)                                                     \
    "{'name':'" name "','actionTypeId':{'category':'" category                                     \
    "','owner':'AWS','provider':'" provider "','version':'1'}" more "}"
#define CONFIG(pairs) ",'configuration':{" pairs "}"
#define GITHUB                                                                                     \
    ACTION("Source", "GitHub", "Src",                                                              \
           CONFIG("'Owner':'a','Repo':'b','Branch':'main','OAuthToken':'****'")                    \
               OUTPUT("s") ",'namespace':'Src'")
#define OUTPUT(name)               ",'outputArtifacts':[{'name':'" name "'}]"
#define INPUT(name)                ",'inputArtifacts':[{'name':'" name "'}]"
#define SOURCE                     "{'name':'Source','actions':[" GITHUB "]}"
#define STAGE(name, actions, more) "{'name':'" name "','actions':[" actions "]" more "}"
#define PIPELINE(stages, more)     "{'name':'p','stages':[" stages "]" more "}"
#define LAMBDA                     ACTION("Invoke", "Lambda", "Do", "")
#define DO                         STAGE("Do", LAMBDA, "")
#define IMAGE                                                                                      \
    STAGE("Build",                                                                                 \
          ACTION("Build", "ECRBuildAndPublish", "Img",                                             \
                 CONFIG("'ECRRepositoryName':'r'") INPUT("s") ",'namespace':'Img'"),               \
          "")

static char *quoted(const char *text)
{
    char *json = mem_strdup(text);

    for (char *c = json; *c; c++)
        *c = *c == '\'' ? '"' : *c == '`' ? '\'' : *c;
    return json;
}

static int run(struct import_result *result, const char *text, const struct strv *parameters,
               struct err *err)
{
    char *json = quoted(text);
    int ret = import_codepipeline(result, "in", json, strlen(json), parameters, err);

    free(json);
    return ret;
}

struct row {
    const char *what;
    const char *input;
    const char *yaml;   /* in the definitions; NULL: nothing to look for */
    const char *report; /* in the report */
    const char *absent; /* in neither */
};

static void check(const struct row *row)
{
    struct import_result result;
    struct err err;
    char *report;

    if (run(&result, row->input, NULL, &err) < 0)
        fail_msg("%s: %s", row->what, err.msg);
    report = import_report(&result);
    import_count_definitions(result.yaml);
    if ((row->yaml && !strstr(result.yaml, row->yaml)) ||
        (row->report && !strstr(report, row->report)) ||
        (row->absent && (strstr(result.yaml, row->absent) || strstr(report, row->absent))))
        fail_msg("%s:\n%s\n%s", row->what, result.yaml, report);
    free(report);
    import_result_release(&result);
}

static const struct row rows[] = {
    {"superseded is what a pipeline is", PIPELINE(SOURCE "," DO, ""), NULL, "mode: superseded",
     "mode: queued"},
    {"QUEUED", PIPELINE(SOURCE "," DO, ",'executionMode':'QUEUED'"), "mode: queued", NULL, NULL},
    {"PARALLEL", PIPELINE(SOURCE "," DO, ",'executionMode':'PARALLEL'"), "mode: parallel", NULL,
     NULL},
    {"a mode that nobody knows", PIPELINE(SOURCE "," DO, ",'executionMode':'SOON'"), NULL,
     "'SOON' is not known", "mode: queued"},
    {"a name gets to be a valid one", "{'name':'My Shop_1!','stages':[" SOURCE "," DO "]}",
     "name: my-shop-1\n", "'My Shop_1!' is called my-shop-1", NULL},
    {"GitHub of old", PIPELINE(SOURCE "," DO, ""), "git: https://github.com/a/b.git", "git-token",
     "****"},
    {"a branch", PIPELINE(SOURCE "," DO, ""), "branches: [main]", NULL, NULL},
    {"a connection's forge is a guess",
     PIPELINE(STAGE("S",
                    ACTION("Source", "CodeStarSourceConnection", "Src",
                           CONFIG("'FullRepositoryId':'x/y','BranchName':'refs/heads/dev'")),
                    "") "," DO,
              ""),
     "branches: [dev]", "github.com is a guess", NULL},
    {"DetectChanges false",
     PIPELINE(STAGE("S",
                    ACTION("Source", "CodeStarSourceConnection", "Src",
                           CONFIG("'FullRepositoryId':'x/y','DetectChanges':false")),
                    "") "," DO,
              ""),
     "poll: \"0\"", "DetectChanges is false", NULL},
    {"CodeCommit without a region",
     PIPELINE(STAGE("S", ACTION("Source", "CodeCommit", "Src", CONFIG("'RepositoryName':'r'")),
                    "") "," DO,
              ""),
     "https://git-codecommit.placeholder-aws-region.amazonaws.com/v1/repos/r", "in line ", NULL},
    {"a source that is no git",
     PIPELINE(STAGE("S", ACTION("Source", "Custom", "Src", ""), "") "," DO, ""),
     "git: https://git.example/placeholder-repository.git", "name a git repository", "credentials"},
    {"a pipeline without a source", PIPELINE(DO, ""), "# Which repository?",
     "Gantry needs: name the repository", NULL},
    {"tags alone",
     PIPELINE(SOURCE "," DO, ",'triggers':[{'gitConfiguration':{'sourceActionName':'Src',"
                             "'push':[{'tags':{'includes':['v*']}}]}}]"),
     "tags: [v*]\n", NULL, "branches:"},
    {"pull requests alone",
     PIPELINE(SOURCE "," DO, ",'triggers':[{'gitConfiguration':{'sourceActionName':'Src',"
                             "'pullRequest':[{'events':['OPEN']}]}}]"),
     "pull-requests: true", NULL, "branches:"},
    {"paths of one trigger alone hold for none",
     PIPELINE(SOURCE "," DO,
              ",'triggers':[{'gitConfiguration':{'sourceActionName':'Src',"
              "'push':[{'branches':{'includes':['a']},'filePaths':{'includes':['x']}},"
              "{'branches':{'includes':['b']}}]}}]"),
     "branches: [a, b]", "another none", "paths:\n"},
    {"another source's trigger",
     PIPELINE(SOURCE "," DO, ",'triggers':[{'gitConfiguration':{"
                             "'sourceActionName':'X','push':[{'tags':"
                             "{'includes':['v*']}}]}}]"),
     "branches: [main]", NULL, "tags:"},
    {"equal runOrder is parallel",
     PIPELINE(SOURCE "," STAGE("T",
                               ACTION("Invoke", "Lambda", "A", ",'runOrder':2") "," ACTION(
                                   "Invoke", "Lambda", "B", ",'runOrder':2"),
                               ""),
              ""),
     "- parallel:\n", NULL, NULL},
    {"runOrder decides, not the place",
     PIPELINE(SOURCE "," STAGE("T",
                               ACTION("Invoke", "Lambda", "Second", ",'runOrder':2") "," ACTION(
                                   "Invoke", "Lambda", "First", ",'runOrder':1"),
                               ""),
              ""),
     "name: first\n        # Nobody answers custom/lambda yet: docs/extend.md shows how.\n"
     "        - custom/lambda:\n            name: second\n",
     NULL, "parallel"},
    {"two of one name", PIPELINE(SOURCE "," STAGE("T", LAMBDA "," LAMBDA, ""), ""), "name: do-2\n",
     NULL, NULL},
    {"two stages of one name", PIPELINE(SOURCE "," DO "," DO, ""), "- name: do-2\n", NULL, NULL},
    {"a message and a link",
     PIPELINE(
         SOURCE "," STAGE(
             "T",
             ACTION(
                 "Approval", "Manual", "Ok",
                 CONFIG("'CustomData':'Look','ExternalEntityLink':'http://x'") ",'timeoutInMinutes'"
                                                                               ":60"),
             ""),
         ""),
     "expires: 1h\n            message: \"Look\\nhttp://x\"\n", "who may approve", NULL},
    {"an approval that is called as a gate is",
     PIPELINE(SOURCE "," STAGE("T", ACTION("Approval", "Manual", "Check", ""), ""), ""),
     "name: check-approval", NULL, NULL},
    {"an approval's topic",
     PIPELINE(SOURCE "," STAGE(
                  "T", ACTION("Approval", "Manual", "Ok", CONFIG("'NotificationArn':'arn:t'")), ""),
              ""),
     NULL, "told the topic arn:t", NULL},
    {"an image is built and deployed by digest",
     PIPELINE(SOURCE "," IMAGE "," STAGE(
                  "Prod", ACTION("Deploy", "EKS", "Go", CONFIG("'ClusterName':'c'")), ""),
              ""),
     "environment: p-prod\n            artifact: img\n", "'deploy-p-prod'", NULL},
    {"a place that is deployed to twice is one environment",
     PIPELINE(
         SOURCE "," IMAGE "," STAGE(
             "A", ACTION("Deploy", "EKS", "Go", CONFIG("'ClusterName':'c'")),
             "") "," STAGE("B", ACTION("Deploy", "EKS", "Go", CONFIG("'ClusterName':'c'")), ""),
         ""),
     "environment: p-a\n", NULL, "p-b"},
    {"a deploy of what nothing makes is custom",
     PIPELINE(SOURCE
              "," STAGE("Prod", ACTION("Deploy", "ECS", "Go", CONFIG("'ClusterName':'c'")), ""),
              ""),
     "- custom/ecs:\n", "no build before it makes an image", "kind: Environment"},
    {"a build whose output is deployed makes the image",
     PIPELINE(
         SOURCE
         "," STAGE("B", ACTION("Build", "CodeBuild", "Make", INPUT("s") OUTPUT("o")), "") "," STAGE(
             "Prod", ACTION("Deploy", "ECS", "Go", CONFIG("'ClusterName':'c'") INPUT("o")), ""),
         ""),
     "image: placeholder-registry.example/p\n", "set `image:`", NULL},
    {"a test never makes the image",
     PIPELINE(SOURCE
              "," STAGE("B",
                        ACTION("Test", "CodeBuild", "Make",
                               CONFIG("'EnvironmentVariables':'[{\\'name\\':\\'U\\',\\'value\\':\\'"
                                      "1.dkr.ecr.x.amazonaws.com/r\\'}]'") INPUT("s")),
                        ""),
              ""),
     "U: ", NULL, "image:"},
    {"a batch",
     PIPELINE(SOURCE "," STAGE("B",
                               ACTION("Build", "CodeBuild", "Make",
                                      CONFIG("'BatchEnabled':'true','CombineArtifacts':'true'")
                                          INPUT("s")),
                               ""),
              ""),
     "batch: true\n", "the artifacts of the batch are not combined", NULL},
    {"no batch",
     PIPELINE(SOURCE "," STAGE("B",
                               ACTION("Build", "CodeBuild", "Make",
                                      CONFIG("'BatchEnabled':'false'") INPUT("s")),
                               ""),
              ""),
     "buildspec.yml", NULL, "batch:"},
    {"variables of three kinds",
     PIPELINE(
         SOURCE "," STAGE(
             "B",
             ACTION(
                 "Build",
                 "CodeBuild",
                 "Make",
                 CONFIG(
                     "'EnvironmentVariables':'[{\\'name\\':\\'A\\',\\'value\\':\\'1\\'},{\\'name\\'"
                     ":\\'B\\',\\'value\\':\\'/s\\',\\'type\\':\\'PARAMETER_STORE\\'},"
                     "{\\'name\\':\\'C\\',\\'value\\':\\'t\\',\\'type\\':\\'SECRETS_MANAGER\\'}]'")
                     INPUT("s")),
             ""),
         ""),
     "A: \"1\"\n", "C was read from Secrets Manager, 't'", "  B:"},
    {"variables that are no JSON",
     PIPELINE(SOURCE "," STAGE("B",
                               ACTION("Build", "CodeBuild", "Make",
                                      CONFIG("'EnvironmentVariables':'A=1'") INPUT("s")),
                               ""),
              ""),
     NULL, "EnvironmentVariables is no JSON list", NULL},
    {"a variable of the pipeline",
     PIPELINE(SOURCE "," STAGE(
                  "T", ACTION("Invoke", "Lambda", "Do", CONFIG("'U':'x #{variables.a-b} y'")), ""),
              ",'variables':[{'name':'a-b','defaultValue':'1'}]"),
     "U: \"x {{variables.a_b}} y\"", "'a-b' is called a_b", NULL},
    {"an exported variable",
     PIPELINE(
         SOURCE "," IMAGE "," STAGE(
             "T",
             ACTION(
                 "Invoke", "Lambda", "Do",
                 CONFIG(
                     "'U':'#{Img.X} #{Img.ECRImageDigestId} #{Src.CommitId} #{Src.BranchName}'")),
             ""),
         ""),
     "U: \"{{actions.img.X}} {{artifacts.img.digest}} {{revisions.src}} main\"", NULL, NULL},
    {"a variable of what runs later", PIPELINE(SOURCE "," DO "," IMAGE, ""), NULL, NULL, "{{"},
    {"a variable that nothing gives",
     PIPELINE(SOURCE
              "," STAGE("T", ACTION("Invoke", "Lambda", "Do", CONFIG("'U':'#{No.Where}'")), ""),
              ""),
     "U: placeholder-no-where\n", "stands for #{No.Where} in line", "{{"},
    {"onFailure ROLLBACK",
     PIPELINE(SOURCE "," STAGE("T", LAMBDA, ",'onFailure':{'result':'ROLLBACK'}"), ""),
     "on-failure: rollback\n", NULL, NULL},
    {"onFailure RETRY",
     PIPELINE(SOURCE "," STAGE("T", LAMBDA, ",'onFailure':{'result':'RETRY'}"), ""),
     "on-failure: retry 1\n", NULL, NULL},
    {"no rollback in parallel",
     PIPELINE(SOURCE "," STAGE("T", LAMBDA, ",'onFailure':{'result':'ROLLBACK'}"),
              ",'executionMode':'PARALLEL'"),
     NULL, "ROLLBACK is left out", "on-failure"},
    {"a window that is none of ours is asked for",
     PIPELINE(SOURCE
              "," STAGE("T", LAMBDA,
                        ",'beforeEntry':{'conditions':[{'result':'FAIL','rules':[{'name':'W',"
                        "'ruleTypeId':{'provider':'DeploymentWindow'},'configuration':{'Cron':'* "
                        "0/5 9 ? * MON#2'}}]}]}"),
              ""),
     "custom: deployment-window\n", "is the gate check", "window:"},
    {"a zone that nobody knows is asked for",
     PIPELINE(SOURCE
              "," STAGE("T", LAMBDA,
                        ",'beforeEntry':{'conditions':[{'result':'FAIL','rules':[{'name':'W',"
                        "'ruleTypeId':{'provider':'DeploymentWindow'},'configuration':{'Cron':'* * "
                        "9-16 ? * 2-6','TimeZone':'Mars/X'}}]}]}"),
              ""),
     "custom: deployment-window\n", NULL, "window: "},
    {"a Lambda rule is a check",
     PIPELINE(
         SOURCE "," STAGE(
             "T", LAMBDA,
             ",'beforeEntry':{'conditions':[{'result':'SKIP','rules':[{'name':'L',"
             "'ruleTypeId':{'provider':'LambdaInvoke'},'configuration':{'FunctionName':'f'}}]}]}"),
         ""),
     "- check:\n            custom: lambda\n", "the stage was skipped", NULL},
    {"region and role of an action are input",
     PIPELINE(
         SOURCE "," STAGE(
             "T", ACTION("Invoke", "Lambda", "Do", ",'region':'us-east-1','roleArn':'arn:r'"), ""),
         ""),
     "role-arn: \"arn:r\"", "ran with the role arn:r", NULL},
    {"tokens stay behind",
     PIPELINE(SOURCE "," STAGE("T", ACTION("Invoke", "X", "Do", CONFIG("'OAuthToken':'hush'")), ""),
              ""),
     NULL, NULL, "hush"},
    {"tags are labels", PIPELINE(SOURCE "," DO, ",'tags':[{'key':'team','value':'web'}]"),
     "team: web", NULL, NULL},
    {"names of providers",
     PIPELINE(SOURCE "," STAGE("T",
                               ACTION("Invoke", "StepFunctions", "A", "") "," ACTION(
                                   "Deploy", "S3", "B",
                                   "") "," ACTION("Deploy", "CloudFormation", "C",
                                                  "") "," ACTION("Test", "DeviceFarm", "D", ""),
                               ""),
              ""),
     "custom/device-farm", "custom/step-functions", NULL},
};

void each_rule_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check(&rows[i]);
}

void what_is_no_pipeline_is_refused_with_file_line_and_reason(void **state)
{
    static const struct {
        const char *input, *wrong;
    } refused[] = {
        {"", "in:1: there is nothing in it"},
        {"{", "in:1:1: not JSON"},
        {"{\n'a':1,\n'a':2}", "in:3:"},
        {"{'a':1}", "in:1: neither what `aws codepipeline get-pipeline` prints"},
        {"[1]", "in:1: neither"},
        {"{'stageStates':[]}", "get-pipeline-state"},
        {"{'pipelines':[]}", "list-pipelines"},
        {"{'Resources':{'A':{'Type':'AWS::S3::Bucket'}}}", "without a resource of type"},
        {"{'pipeline':{'name':'p'}}", "in: 'p' has no list of stages"},
        {"{'name':'p','stages':[]}", "'p' has no list of stages"},
        {PIPELINE("{'name':'S'}", ""), "stage 1 of 'p' has no list of actions"},
        {PIPELINE("{'name':'S','actions':[{'name':'x'}]}", ""), "action 1 of stage 'S'"},
        {PIPELINE(SOURCE, ""), "its stages hold sources alone"},
        {"a: *b\n", "in:1:4: aliases"},
        {"a: 1\na: 2\n", "in:2:4: 'a' stands there twice"},
        {"Resources:\n  P:\n    Type: AWS::CodePipeline::Pipeline\n    Properties:\n      Stages:\n"
         "        - Name: A\n",
         "in:6: stage 1 of 'P'"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct import_result result;
        struct err err = {0};

        assert_int_equal(run(&result, refused[i].input, NULL, &err), -1);
        if (!strstr(err.msg, refused[i].wrong) || err.code != ERR_INVALID)
            fail_msg("%s: %s", refused[i].input, err.msg);
    }
}

#define TEMPLATE(value)                                                                            \
    "Parameters: {P: {Type: String, Default: d}}\n"                                                \
    "Mappings: {M: {a: {b: found}}}\n"                                                             \
    "Resources:\n"                                                                                 \
    "  R: {Type: AWS::ECR::Repository, Properties: {RepositoryName: repo}}\n"                      \
    "  B: {Type: AWS::S3::Bucket}\n"                                                               \
    "  Pipe:\n"                                                                                    \
    "    Type: AWS::CodePipeline::Pipeline\n"                                                      \
    "    Properties:\n"                                                                            \
    "      Stages:\n"                                                                              \
    "        - Name: T\n"                                                                          \
    "          Actions:\n"                                                                         \
    "            - Name: A\n"                                                                      \
    "              ActionTypeId: {Category: Invoke, Owner: AWS, Provider: X, Version: 1}\n"        \
    "              Configuration:\n"                                                               \
    "                V: " value "\n"

void variables_that_no_release_could_carry_lose_their_defaults(void **state)
{
    struct import_result result;
    struct err err = {0};
    struct buf text;
    char *report;

    (void)state;
    buf_init(&text, 256 * 1024);
    buf_adds(&text, "{'name':'p','variables':[");
    for (int i = 0; i < 50; i++)
        buf_addf(&text, "%s{'name':'v%d','defaultValue':'%01000d'}", i ? "," : "", i, i);
    buf_adds(&text, "],'stages':[" SOURCE "," DO "]}");
    assert_int_equal(run(&result, buf_cstr(&text), NULL, &err), 0);
    report = import_report(&result);
    assert_int_equal(import_count_definitions(result.yaml), 1);
    assert_null(strstr(report, "the default of the variable v15 "));
    assert_non_null(strstr(report, "the default of the variable v16 is left out, since all"));
    assert_non_null(strstr(result.yaml, "    v49: \"\"\n"));
    free(report);
    import_result_release(&result);
    buf_release(&text);
}

void what_a_template_tells_is_filled_in(void **state)
{
    static const struct row told[] = {
        {"Ref of a parameter", TEMPLATE("!Ref P"), "V: placeholder-p\n",
         "stands for !Ref P, whose default is `d`, in line 19", NULL},
        {"Ref of a resource with a name", TEMPLATE("!Ref R"), "V: repo\n", NULL, "!Ref R"},
        {"Ref of a resource without", TEMPLATE("!Ref B"), "V: placeholder-b\n", "!Ref B", NULL},
        {"GetAtt", TEMPLATE("!GetAtt B.Arn"), "V: placeholder-b-arn\n", "!GetAtt B.Arn", NULL},
        {"GetAtt, long", TEMPLATE("{Fn::GetAtt: [B, Arn]}"), "V: placeholder-b-arn\n", NULL, NULL},
        {"Sub", TEMPLATE("!Sub a-${P}-${B.Arn}-${!P}"),
         "V: \"a-placeholder-p-placeholder-b-arn-${P}\"\n", NULL, NULL},
        {"Sub with values", TEMPLATE("!Sub ['${X}', {X: !Ref R}]"), "V: repo\n", NULL, NULL},
        {"Join", TEMPLATE("!Join ['-', [a, !Ref R, b]]"), "V: a-repo-b\n", NULL, NULL},
        {"If of texts", TEMPLATE("!If [C, x, y]"), "V: placeholder-c\n",
         "!If C, `x` if it holds, else `y`", NULL},
        {"If of one text", TEMPLATE("!If [C, x, !Ref AWS::NoValue]"), "V: x\n",
         "!If C: taken as if it held", NULL},
        {"If of the other", TEMPLATE("!If [C, !Ref AWS::NoValue, y]"), "V: \"y\"\n",
         "taken as if it did not hold", NULL},
        {"NoValue", TEMPLATE("!Ref AWS::NoValue"), NULL, NULL, "V:"},
        {"FindInMap", TEMPLATE("!FindInMap [M, a, b]"), "V: found\n", NULL, NULL},
        {"FindInMap of what is not known", TEMPLATE("!FindInMap [M, !Ref AWS::Region, b]"),
         "V: placeholder-m-b\n", NULL, NULL},
        {"ImportValue", TEMPLATE("!ImportValue net-id"), "V: placeholder-net-id\n",
         "!ImportValue net-id", NULL},
        {"Select", TEMPLATE("!Select [1, [a, b]]"), "V: b\n", NULL, NULL},
        {"Select of Split", TEMPLATE("!Select [1, !Split ['/', a/b/c]]"), "V: b\n", NULL, NULL},
        {"a function that nobody knows", TEMPLATE("!Cidr [x]"), "V: placeholder-fn-cidr\n",
         "a value of Fn::Cidr", NULL},
        {"a secret's reference", TEMPLATE("`{{resolve:ssm:x}}`"), "V: placeholder-resolve-ssm-x\n",
         "stands for {{resolve:ssm:x}}", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(told); i++) {
        struct row row = told[i];
        char *report = row.report ? quoted(row.report) : NULL, *input = mem_strdup(row.input);

        /* YAML's own quotes stay as they are. */
        for (char *c = input; *c; c++)
            *c = *c == '\'' ? '`' : *c;
        row.report = report;
        row.input = input;
        check(&row);
        free(report);
        free(input);
    }
}

#define PROJECT(environment)                                                                       \
    "{'Resources':{'Proj':{'Type':'AWS::CodeBuild::Project','Properties':{'Environment':"          \
    "{" environment "}}},'Pipe':{'Type':'AWS::CodePipeline::Pipeline','Properties':" PIPELINE(     \
        SOURCE "," STAGE("B",                                                                      \
                         ACTION("Build", "CodeBuild", "Make",                                      \
                                CONFIG("'ProjectName':{'Ref':'Proj'}") INPUT("s")),                \
                         ""),                                                                      \
        "") "}}}"

void what_a_project_ran_in_is_taken_over(void **state)
{
    static const struct row ran[] = {
        {"an image", PROJECT("'Image':'r.example/ci/maven:3.9'"),
         "build-image: \"r.example/ci/maven:3.9\"\n",
         "runs in the image r.example/ci/maven:3.9, which", "privileged"},
        {"an image of the template", PROJECT("'Image':{'Fn::Sub':'${AWS::AccountId}.x/ci:1'}"),
         "build-image: \"placeholder-aws-accountid.x/ci:1\"\n", NULL, NULL},
        {"an image with a digest and a login",
         PROJECT("'Image':'r.example/a@sha256:00','RegistryCredential':{'Credential':'hub'}"),
         "build-image: \"r.example/a@sha256:00\"\n", "pulled with the login 'hub'", NULL},
        {"CodeBuild's own image", PROJECT("'Image':'aws/codebuild/standard:7.0'"),
         "buildspec: buildspec.yml\n",
         "aws/codebuild/standard:7.0, which can be pulled inside AWS alone and is left out",
         "build-image: "},
        {"what is no image", PROJECT("'Image':'-v /:/host debian'"), NULL,
         "which is no image's name and is left out", "build-image: "},
        {"a privileged project", PROJECT("'PrivilegedMode':true"), NULL,
         "was privileged and is not", "privileged: true\n"},
        {"one that is not", PROJECT("'PrivilegedMode':false"), NULL, NULL, "privileged"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(ran); i++)
        check(&ran[i]);
}

void a_parameter_that_is_given_takes_the_placeholders_place(void **state)
{
    struct strv parameters = {0};
    struct import_result result;
    struct err err;

    (void)state;
    strv_add(&parameters, "P=given");
    strv_add(&parameters, "AWS::Region=eu-central-1");
    assert_int_equal(run(&result, TEMPLATE("!Sub ${P} in ${AWS::Region}"), &parameters, &err), 0);
    assert_non_null(strstr(result.yaml, "V: given in eu-central-1\n"));
    assert_null(strstr(result.yaml, "placeholder-p\n"));
    import_result_release(&result);
    strv_release(&parameters);
}

void what_grows_or_goes_round_is_refused_at_once(void **state)
{
    static const char round[] = "Resources:\n"
                                "  A: {Type: AWS::S3::Bucket, Properties: {BucketName: !Ref B}}\n"
                                "  B: {Type: AWS::S3::Bucket, Properties: {BucketName: !Ref A}}\n"
                                "  P:\n"
                                "    Type: AWS::CodePipeline::Pipeline\n"
                                "    Properties: {Name: !Ref A}\n";
    struct import_result result;
    struct err err = {0};
    struct buf text;

    (void)state;
    assert_int_equal(run(&result, round, NULL, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);

    buf_init(&text, 1 << 20);
    buf_adds(&text, "Resources:\n");
    for (int i = 0; i < 40; i++)
        buf_addf(&text,
                 "  A%d: {Type: AWS::S3::Bucket, Properties: {BucketName: !Sub "
                 "'${A%d}${A%d}'}}\n",
                 i, i + 1, i + 1);
    buf_adds(&text,
             "  P:\n    Type: AWS::CodePipeline::Pipeline\n    Properties: {Name: !Ref A0}\n");
    assert_int_equal(import_codepipeline(&result, "in", text.data, text.len, NULL, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);

    /* Functions in functions that come to nothing, 4 to the power of 17 times. */
    buf_reset(&text);
    buf_adds(&text,
             "{\"Resources\":{\"P\":{\"Type\":\"AWS::CodePipeline::Pipeline\",\"Properties\":"
             "{\"Name\":");
    for (int i = 0; i < 17; i++)
        buf_adds(&text, "{\"Fn::Sub\":[\"${A}${A}${A}${A}\",{\"A\":");
    buf_adds(&text, "\"\"");
    for (int i = 0; i < 17; i++)
        buf_adds(&text, "}]}");
    buf_adds(&text, "}}}}");
    assert_int_equal(import_codepipeline(&result, "in", text.data, text.len, NULL, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_non_null(strstr(err.msg, "grows beyond all bounds"));

    buf_reset(&text);
    for (int i = 0; i < 200; i++)
        buf_adds(&text, "{\"a\":");
    buf_adds(&text, "1");
    for (int i = 0; i < 200; i++)
        buf_adds(&text, "}");
    assert_int_equal(import_codepipeline(&result, "in", text.data, text.len, NULL, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    buf_release(&text);
}

void texts_that_mean_something_to_gantry_are_made_harmless(void **state)
{
    static const struct row harmful[] = {
        {"names of Gantry's own",
         PIPELINE(SOURCE "," STAGE(
                      "T",
                      ACTION("Invoke", "X", "Do",
                             CONFIG("'A':'{{variables.X}}','B':'{#{Src.CommitId}}','C':'{{{'")),
                      ""),
                  ""),
         "A: \"{ {variables.X}}\"\n", NULL, "{{variables"},
        {"a brace before",
         PIPELINE(SOURCE "," STAGE(
                      "T", ACTION("Invoke", "X", "Do", CONFIG("'B':'{#{Src.CommitId}}'")), ""),
                  ""),
         "B: \"{ {{revisions.src}}}\"\n", NULL, NULL},
        {"words of YAML",
         PIPELINE(
             SOURCE "," STAGE(
                 "T",
                 ACTION("Invoke", "X", "Do",
                        CONFIG("'A':'true','B':'~','C':'','D':'a: b # c','E':'- x','F':'1e5'")),
                 ""),
             ""),
         "A: \"true\"\n              B: \"~\"\n              C: \"\"\n              D: \"a: b # "
         "c\"\n"
         "              E: \"- x\"\n              F: \"1e5\"\n",
         NULL, NULL},
        {"controls, and what turns text around",
         PIPELINE(
             SOURCE "," STAGE(
                 "T", ACTION("Invoke", "X", "Do", CONFIG("'A':'a\\u0007b\\u202ec\\u2028d'")), ""),
             ""),
         "A: a b c d\n", NULL, NULL},
        {"a branch of characters",
         PIPELINE(STAGE("S",
                        ACTION("Source", "GitHub", "Src",
                               CONFIG("'Owner':'a b','Repo':'../..','Branch':'x y:z'")),
                        "") "," DO,
                  ""),
         "branches: [x-y-z]", NULL, NULL},
        {"a document's end in a comment",
         PIPELINE(SOURCE "," STAGE("T",
                                   ACTION("Build", "CodeBuild", "M",
                                          CONFIG("'ProjectName':'x\\n---\\nkind: y'") INPUT("s")),
                                   ""),
                  ""),
         "# buildspec.yml is a guess: the project x --- kind: y was", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(harmful); i++)
        check(&harmful[i]);
}
