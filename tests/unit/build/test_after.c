/* What follows the commands: artifacts, reports, the whole log. The place is a folder of this
 * machine in which /bin/sh runs the commands, each in a shell of its own. */
#include "tests/unit/build/made_up.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/sha256.h"
#include "buildspec/buildspec.h"
#include "store/artifact_store.h"

static struct {
    char dir[64];   /* of the place */
    char store[64]; /* of the artifact store */
    char build_dir[80], src_dir[80], home_dir[80];
    const char *stop_at; /* the mark at which it is stopped */
} fx;

static bool command(const char *text, size_t index)
{
    int out[2], status = 0;
    char piece[4096];
    (void)index;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], 1);
        dup2(out[1], 2);
        char *const argv[] = {"sh", "-c", (char *)text, NULL};
        if (chdir(fx.src_dir) == 0)
            execve("/bin/sh", argv, mu.env.items);
        _exit(127);
    }
    close(out[1]);
    for (ssize_t n; (n = read(out[0], piece, sizeof(piece))) > 0;)
        put(piece, (size_t)n);
    close(out[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    mu.next.code = WEXITSTATUS(status);
    return true;
}

static void stop_it(void *arg)
{
    (void)arg;
    if (!mu.ended)
        build_stop(mu.build, BUILD_CANCEL, "Ann stopped it");
}

static void on_mark(void *host, const char *line)
{
    made_mark(host, line);
    if (fx.stop_at && str_starts(line, fx.stop_at))
        loop_post(mu.loop, stop_it, NULL);
}

static int setup(void **state)
{
    struct err err;
    (void)state;
    memset(&fx, 0, sizeof(fx));
    snprintf(fx.dir, sizeof(fx.dir), "/tmp/gantry-after-XXXXXX");
    snprintf(fx.store, sizeof(fx.store), "/tmp/gantry-after-XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    assert_non_null(mkdtemp(fx.store));
    snprintf(fx.build_dir, sizeof(fx.build_dir), "%s/build", fx.dir);
    snprintf(fx.src_dir, sizeof(fx.src_dir), "%s/build/src", fx.dir);
    snprintf(fx.home_dir, sizeof(fx.home_dir), "%s/home", fx.dir);
    assert_int_equal(file_mkdirs(fx.src_dir, 0755, NULL), 0);
    assert_int_equal(file_mkdirs(fx.home_dir, 0755, NULL), 0);
    made_up_init(command);
    made_host.mark = on_mark;
    mu.place.dir = fx.dir;
    mu.place.paths =
        (struct build_paths){.build = fx.build_dir, .src = fx.src_dir, .home = fx.home_dir};
    const struct artifact_store_conf conf = {.loop = mu.loop, .where = fx.store};
    return artifact_store_new(&mu.build_env.artifacts, &conf, &err);
}

static int teardown(void **state)
{
    (void)state;
    artifact_store_free(mu.build_env.artifacts);
    made_up_release();
    (void)file_remove_tree(fx.dir, NULL);
    return file_remove_tree(fx.store, NULL);
}

static void build(const char *text)
{
    mu.text = text;
    begin(2);
    finish();
}

static void assert_outcome(Gantry__V1__Outcome outcome, const char *phase)
{
    if (mu.finished->outcome != outcome || !str_eq(mu.finished->phase, phase))
        fail_msg("%d %s: %s\n%s", (int)mu.finished->outcome, mu.finished->phase,
                 mu.finished->reason, buf_cstr(&mu.log));
}

static void assert_log(const char *text)
{
    if (!strstr(buf_cstr(&mu.log), text))
        fail_msg("the log has no '%s':\n%s", text, buf_cstr(&mu.log));
}

/* What `command` prints, run in the folder of the store. */
static const char *in_store(const char *command)
{
    static char out[4096];
    char *line = mem_printf("cd %s && { %s; } 2>&1", fx.store, command);
    FILE *pipe = popen(line, "r");
    size_t n = fread(out, 1, sizeof(out) - 1, pipe);
    out[n] = '\0';
    pclose(pipe);
    free(line);
    return out;
}

#define SUCCEEDED GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED
#define FAILED    GANTRY__V1__OUTCOME__OUTCOME_FAILED

/* ---- artifacts ---- */

static void artifacts_are_packed_stored_and_told(void **state)
{
    (void)state;
    build("version: 0.2\n"
          "env: {variables: {V: '1.2'}}\n"
          "phases: {build: {commands: ['mkdir -p dist/sub docs; echo a >dist/a; echo b "
          ">dist/sub/b; echo d >docs/d']}}\n"
          "artifacts:\n"
          "  files: ['**/*']\n"
          "  base-directory: dist\n"
          "  name: web-$V-$(echo \"x y\")\n"
          "  s3-prefix: /releases/\n"
          "  secondary-artifacts:\n"
          "    docs: {files: docs, name: $V}\n"
          "    more: {files: 'dist/*'}\n");
    assert_outcome(SUCCEEDED, "");
    assert_int_equal(mu.finished->n_files, 4);
    const Gantry__V1__StoredFile *web = mu.finished->files[0];
    assert_string_equal(web->name, "web-1.2-x y.zip");
    assert_string_equal(web->key, "artifacts/shop/7/run/releases/web-1.2-x y.zip");
    assert_int_equal(web->kind, GANTRY__V1__STORED_FILE_KIND__STORED_FILE_KIND_ARTIFACT);
    assert_int_equal(web->entries, 2);
    assert_string_equal(mu.finished->files[1]->name, "docs");
    assert_string_equal(mu.finished->files[1]->key, "artifacts/shop/7/run/1.2.zip");
    assert_string_equal(mu.finished->files[2]->key, "artifacts/shop/7/run/more.zip");
    assert_int_equal(mu.finished->files[3]->kind,
                     GANTRY__V1__STORED_FILE_KIND__STORED_FILE_KIND_LOG);
    char hash[SHA256_HEX_SIZE];
    hex_encode(web->sha256.data, web->sha256.len, hash);
    assert_int_equal(
        strncmp(in_store("sha256sum <'artifacts/shop/7/run/releases/web-1.2-x y.zip'"), hash, 64),
        0);
    assert_non_null(strstr(in_store("cat artifacts/shop/7/run/releases/*.manifest.json"),
                           "{\"path\":\"sub/b\",\"size\":2,"));
    assert_true(mu.finished->usage->bytes_out > web->size_bytes);
    assert_string_equal(mu.finished->phases[mu.finished->n_phases - 2]->name, "UPLOAD_ARTIFACTS");
    assert_string_equal(mu.finished->phases[mu.finished->n_phases - 2]->status, "SUCCEEDED");
}

static void artifacts_of_a_failed_build_are_kept_when_post_build_ran(void **state)
{
    (void)state;
    build("version: 0.2\n"
          "phases: {build: {commands: [echo a >a, exit 3]}, post_build: {commands: [echo b >b]}}\n"
          "artifacts: {files: '*'}\n");
    assert_outcome(FAILED, "BUILD");
    assert_int_equal(mu.finished->exit_code, 3);
    assert_int_equal(mu.finished->n_files, 2);
    assert_string_equal(mu.finished->files[0]->key, "artifacts/shop/7/run/app.zip");
    assert_int_equal(mu.finished->files[0]->entries, 2);
}

static void a_build_that_did_not_come_so_far_has_no_artifacts(void **state)
{
    static const char *const texts[] = {
        "version: 0.2\nphases: {install: {commands: [echo a >a, exit 3]}}\nartifacts: {files: "
        "'*'}\n",
        "version: 0.2\nphases: {build: {on-failure: ABORT, commands: [echo a >a, exit 3]}}\n"
        "artifacts: {files: '*'}\n"};
    for (size_t i = 0; i < 2; i++) {
        if (i) {
            teardown(state);
            setup(state);
        }
        build(texts[i]);
        assert_int_equal(mu.finished->outcome, FAILED);
        assert_int_equal(mu.finished->n_files, 1); /* the log */
        assert_string_equal(in_store("ls"), "logs\n");
    }
}

static void files_that_are_not_there_fail_the_build_that_succeeded(void **state)
{
    (void)state;
    build("version: 0.2\nphases: {build: {commands: ['true']}}\n"
          "artifacts:\n  files: [none]\n");
    assert_outcome(FAILED, "UPLOAD_ARTIFACTS");
    assert_non_null(strstr(mu.finished->reason, "no file matches what line 3"));
}

static void a_link_out_of_the_source_is_left_out_and_told(void **state)
{
    (void)state;
    build("version: 0.2\nphases: {build: {commands: ['echo a >a; ln -s /etc/passwd b']}}\n"
          "artifacts: {files: '*'}\n");
    assert_outcome(SUCCEEDED, "");
    assert_int_equal(mu.finished->files[0]->entries, 1);
    assert_log("Left out of app.zip: b: a link that leads out");
}

static void a_name_that_leads_out_of_the_store_fails_the_build(void **state)
{
    (void)state;
    build("version: 0.2\nphases: {build: {commands: [echo a >a]}}\n"
          "artifacts: {files: '*', name: $(echo ../../../evil)}\n");
    assert_outcome(FAILED, "UPLOAD_ARTIFACTS");
    assert_non_null(strstr(mu.finished->reason, "cannot be one"));
    assert_string_equal(in_store("ls"), "logs\n");
}

static void texts_that_the_shell_cannot_evaluate_fail_the_build(void **state)
{
    (void)state;
    build("version: 0.2\nphases: {build: {commands: [echo a >a]}}\n"
          "artifacts: {files: '*', name: '${NONE:?it is not set}'}\n");
    assert_outcome(FAILED, "UPLOAD_ARTIFACTS");
    assert_non_null(strstr(mu.finished->reason, "cannot be evaluated"));
    assert_log("it is not set");
}

static void a_store_that_fails_fails_the_build(void **state)
{
    (void)state;
    if (geteuid() == 0) /* whom no mode stops */
        assert_non_null(in_store("rm -r .tmp; touch .tmp"));
    else
        assert_non_null(in_store("chmod 500 .tmp"));
    build("version: 0.2\nphases: {build: {commands: [echo a >a]}}\nartifacts: {files: '*'}\n");
    assert_outcome(FAILED, "UPLOAD_ARTIFACTS");
    assert_non_null(strstr(mu.finished->reason, "The artifacts 'app.zip' are not kept: "));
    assert_log("The whole log is not kept: ");
    assert_int_equal(mu.finished->n_files, 0);
}

static void without_a_store_nothing_is_kept_and_that_is_told(void **state)
{
    (void)state;
    struct artifact_store *store = mu.build_env.artifacts;
    mu.build_env.artifacts = NULL;
    build("version: 0.2\nphases: {build: {commands: [echo a >a]}}\nartifacts: {files: '*'}\n");
    mu.build_env.artifacts = store;
    assert_outcome(SUCCEEDED, "");
    assert_int_equal(mu.finished->n_files, 0);
    assert_log("there is no artifact store here");
}

static void a_stop_while_artifacts_are_packed_or_stored_ends_it(void **state)
{
    static const char *const marks[] = {"Phase complete: BUILD", "Artifacts app.zip"};
    for (size_t i = 0; i < 2; i++) {
        if (i) {
            teardown(state);
            setup(state);
        }
        fx.stop_at = marks[i];
        build("version: 0.2\nphases: {build: {commands: [head -c 5000000 /dev/urandom >a]}}\n"
              "artifacts: {files: '*'}\n");
        assert_int_equal(mu.finished->outcome, GANTRY__V1__OUTCOME__OUTCOME_STOPPED);
        assert_string_equal(mu.finished->reason, "Ann stopped it");
        loop_drain(mu.loop);
    }
}

/* ---- reports ---- */

static void reports_are_read_and_a_malformed_one_is_a_line_in_the_log(void **state)
{
    (void)state;
    build("version: 0.2\n"
          "phases:\n"
          "  build:\n"
          "    commands:\n"
          "      - mkdir -p out/a && cd out\n"
          "      - 'mkdir -p out/a; echo \"<testsuite name=\\\"s\\\"><testcase "
          "name=\\\"one\\\"/><testcase "
          "name=\\\"two\\\"><failure message=\\\"m\\\"/></testcase></testsuite>\" >out/a/1.xml'\n"
          "      - echo '<testsuite' >out/2.xml\n"
          "      - exit 5\n"
          "reports:\n"
          "  unit: {files: ['**/*.xml'], base-directory: $(echo out)}\n"
          "  'arn:aws:codebuild:eu-central-1:1:report-group/none': {files: ['*.none']}\n");
    assert_outcome(FAILED, "BUILD");
    assert_int_equal(mu.finished->exit_code, 5);
    assert_int_equal(mu.finished->n_reports, 1);
    const Gantry__V1__TestReport *unit = mu.finished->reports[0];
    assert_string_equal(unit->group, "unit");
    assert_int_equal(unit->counts->passed, 1);
    assert_int_equal(unit->counts->failed, 1);
    assert_int_equal(unit->problems, 1);
    assert_log("Report unit: 2.xml:");
    assert_log("Report none: no file matches");
}

static void a_report_that_is_a_link_out_or_a_pipe_is_not_read(void **state)
{
    (void)state;
    build("version: 0.2\n"
          "phases: {build: {commands: ['ln -s /etc/passwd a.xml; mkfifo b.xml']}}\n"
          "reports: {unit: {files: '*.xml'}}\n");
    assert_outcome(SUCCEEDED, "");
    assert_int_equal(mu.finished->n_reports, 0);
    assert_log("Report unit: a.xml: a link that leads out");
    assert_log("Report unit: b.xml: neither a file nor a link");
}

/* ---- caches ---- */

/* The next build: the same store, a clean place, its log alone. */
static void again(void)
{
    gantry__v1__finished__free_unpacked(mu.finished, NULL);
    mu.finished = NULL;
    mu.ended = false;
    buf_reset(&mu.log);
    strv_release(&mu.texts);
    strv_release(&mu.env);
    assert_int_equal(file_remove_tree(fx.build_dir, NULL), 0);
    assert_int_equal(file_remove_tree(fx.home_dir, NULL), 0);
    assert_int_equal(file_mkdirs(fx.src_dir, 0755, NULL), 0);
    assert_int_equal(file_mkdirs(fx.home_dir, 0755, NULL), 0);
}

#define CACHED(commands, cache)                                                                    \
    "version: 0.2\nphases: {build: {commands: [" commands "]}}\ncache:\n  paths: [node_modules, "  \
    "'*.txt']\n" cache

static void a_cache_comes_back_in_the_next_build_and_is_replaced_by_it(void **state)
{
    (void)state;
    build(
        CACHED("'test ! -e node_modules; mkdir -p node_modules/a; echo 1 >node_modules/a/x; ln -s "
               "a/x node_modules/l; echo no >other'",
               ""));
    assert_outcome(SUCCEEDED, "");
    assert_log("Cache: there is none yet");
    assert_log("Cache kept: without a key (2 files");
    again();
    build(CACHED("'grep -qx 1 node_modules/l && test ! -e other; echo 2 >node_modules/a/x'", ""));
    assert_outcome(SUCCEEDED, "");
    assert_log("Cache restored: without a key (2 files, 2 bytes)");
    assert_true(mu.finished->usage->bytes_in > 0);
    again();
    build(CACHED("grep -qx 2 node_modules/l", ""));
    assert_outcome(SUCCEEDED, "");
}

static void a_key_is_evaluated_before_the_commands_and_its_cache_never_changes(void **state)
{
    (void)state;
    const char *spec = CACHED("'cat x.txt; echo $(cat x.txt)2 >x.txt'",
                              "  key: npm-$CODEBUILD_BUILD_NUMBER/$(echo a b)\n");
    build(spec);
    assert_outcome(SUCCEEDED, "");
    assert_log("Cache kept: npm-7%2Fa%20b (1 files");
    again();
    build(spec);
    assert_log("Cache restored: npm-7%2Fa%20b");
    assert_log("Running command cat x.txt; echo $(cat x.txt)2 >x.txt\n2\n");
    assert_null(strstr(buf_cstr(&mu.log), "Cache kept"));
    again();
    build(spec);
    assert_log(">x.txt\n2\n");
}

static void fallback_keys_are_prefixes_of_which_the_newest_counts(void **state)
{
    (void)state;
    for (int i = 1; i <= 2; i++) {
        char *spec = mem_printf(CACHED("echo %d >x.txt", "  key: npm-%d\n"), i, i);
        build(spec);
        assert_outcome(SUCCEEDED, "");
        free(spec);
        again();
        /* File systems tell times apart by ticks of some milliseconds. */
        (void)in_store("find cache -name npm-1 -exec touch -d '1 hour ago' {} +");
    }
    build(CACHED("grep -qx 2 x.txt", "  key: npm-3\n  fallback-keys: [mvn-, npm-]\n"));
    assert_outcome(SUCCEEDED, "");
    assert_log("Cache restored: npm-2");
    assert_log("Cache kept: npm-3");
}

static void an_action_only_restores_or_only_saves(void **state)
{
    (void)state;
    build(CACHED("echo 1 >x.txt", "  action: restore\n"));
    assert_null(strstr(buf_cstr(&mu.log), "Cache kept"));
    again();
    build(CACHED("echo 1 >x.txt", "  action: save\n"));
    assert_log("Cache kept");
    again();
    build(CACHED("test ! -e x.txt; echo 2 >x.txt", "  action: save\n"));
    assert_outcome(SUCCEEDED, "");
}

static void a_failed_build_keeps_no_cache(void **state)
{
    (void)state;
    build(CACHED("'echo 1 >x.txt; exit 3'", ""));
    assert_outcome(FAILED, "BUILD");
    assert_string_equal(in_store("ls"), "logs\n");
}

static void another_pipeline_or_other_paths_find_nothing(void **state)
{
    static char other[] = "other", shop[] = "shop";
    (void)state;
    build(CACHED("echo 1 >x.txt", "  key: k\n"));
    again();
    mu.request.pipeline = other;
    build(CACHED("test ! -e x.txt", "  key: k\n  fallback-keys: [k, $NONE]\n  action: restore\n"));
    assert_outcome(SUCCEEDED, "");
    assert_log("Cache: there is none yet");
    again();
    mu.request.pipeline = shop;
    build("version: 0.2\nphases: {build: {commands: [test ! -e x.txt]}}\n"
          "cache: {paths: ['*.txt'], key: k, action: restore}\n");
    assert_outcome(SUCCEEDED, "");
}

static void a_cache_that_leads_out_fails_the_build_and_is_removed(void **state)
{
    (void)state;
    const char *spec = CACHED("echo 1 >x.txt", "");
    build(spec);
    again();
    (void)in_store("f=$(find cache -name only) && sed -i s,src/x.txt,src/../..,g $f");
    build(spec);
    assert_outcome(FAILED, "DOWNLOAD_SOURCE");
    assert_non_null(strstr(mu.finished->reason, "was removed: the archive is refused"));
    again();
    build(spec);
    assert_outcome(SUCCEEDED, "");
}

static void a_cache_that_is_away_is_done_without(void **state)
{
    (void)state;
    const char *spec = CACHED("echo 1 >x.txt", "");
    build(spec);
    again();
    (void)in_store("mv cache c && touch cache");
    build(spec);
    assert_outcome(SUCCEEDED, "");
    assert_log("Cache: it is not kept: ");
}

/* ---- the log ---- */

static void the_whole_log_is_kept_as_it_was_written(void **state)
{
    (void)state;
    build("version: 0.2\nphases: {build: {commands: ['seq 1 90000; printf half', exit 1]}}\n");
    assert_outcome(FAILED, "BUILD");
    assert_int_equal(mu.finished->n_files, 1);
    const Gantry__V1__StoredFile *log = mu.finished->files[0];
    assert_string_equal(log->name, "log");
    assert_string_equal(log->key, "logs/shop/7/run.2.log");
    char hash[SHA256_HEX_SIZE];
    hex_encode(log->sha256.data, log->sha256.len, hash);
    assert_int_equal(strncmp(in_store("sha256sum <logs/shop/7/run.2.log"), hash, 64), 0);
    assert_non_null(strstr(in_store("tail -n 5 logs/shop/7/run.2.log"),
                           "90000\nhalf\nRunning command exit 1\n"));
    assert_string_equal(in_store("grep -c '^[0-9]*$' logs/shop/7/run.2.log"), "90000\n");
}

static void a_log_that_never_ends_is_cut(void **state)
{
    (void)state;
    build("version: 0.2\nphases: {build: {commands: ['yes 123456789 | head -c 70000000']}}\n");
    assert_outcome(SUCCEEDED, "");
    assert_non_null(strstr(in_store("tail -n 1 logs/shop/7/run.2.log"), "longer than 64 MiB"));
    assert_true(mu.finished->files[0]->size_bytes < (64 << 20) + 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(artifacts_are_packed_stored_and_told),
        TEST(artifacts_of_a_failed_build_are_kept_when_post_build_ran),
        TEST(a_build_that_did_not_come_so_far_has_no_artifacts),
        TEST(files_that_are_not_there_fail_the_build_that_succeeded),
        TEST(a_link_out_of_the_source_is_left_out_and_told),
        TEST(a_name_that_leads_out_of_the_store_fails_the_build),
        TEST(texts_that_the_shell_cannot_evaluate_fail_the_build),
        TEST(a_store_that_fails_fails_the_build),
        TEST(without_a_store_nothing_is_kept_and_that_is_told),
        TEST(a_stop_while_artifacts_are_packed_or_stored_ends_it),
        TEST(reports_are_read_and_a_malformed_one_is_a_line_in_the_log),
        TEST(a_report_that_is_a_link_out_or_a_pipe_is_not_read),
        TEST(a_cache_comes_back_in_the_next_build_and_is_replaced_by_it),
        TEST(a_key_is_evaluated_before_the_commands_and_its_cache_never_changes),
        TEST(fallback_keys_are_prefixes_of_which_the_newest_counts),
        TEST(an_action_only_restores_or_only_saves),
        TEST(a_failed_build_keeps_no_cache),
        TEST(another_pipeline_or_other_paths_find_nothing),
        TEST(a_cache_that_leads_out_fails_the_build_and_is_removed),
        TEST(a_cache_that_is_away_is_done_without),
        TEST(the_whole_log_is_kept_as_it_was_written),
        TEST(a_log_that_never_ends_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
