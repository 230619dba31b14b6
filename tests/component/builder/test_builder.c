/* The builder on a real Kafka, a real git and a real registry. */
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "tests/component/builder/bench.h"

static struct bench bench;

static int setup_one(const char *settings)
{
    bench_setup(&bench, settings);
    if (!bench.left_out)
        service_start(&bench.s, true);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return setup_one("  aws-region: eu-central-1\n");
}

static int setup_one_slot(void **state)
{
    (void)state;
    return setup_one("  slots: 1\n");
}

static int teardown(void **state)
{
    (void)state;
    bench_teardown(&bench);
    return 0;
}

#define NEED()                                                                                     \
    do {                                                                                           \
        (void)state;                                                                               \
        if (bench.left_out)                                                                        \
            skip();                                                                                \
    } while (0)

static const char *exported(const Gantry__V1__Finished *finished, const char *name)
{
    for (size_t i = 0; i < finished->n_exported; i++) {
        if (str_eq(finished->exported[i]->key, name))
            return finished->exported[i]->value;
    }
    return NULL;
}

static void a_buildspec_runs_at_its_commit_and_exports_variables(void **state)
{
    NEED();
    char id[ID_SIZE];
    const struct ask ask = {
        .buildspec = "version: 0.2\n"
                     "env: {variables: {A: spec, FROM_START: spec}, exported-variables: [V, A]}\n"
                     "phases:\n"
                     "  install: {commands: ['echo phase one', 'cd /usr']}\n"
                     "  build:\n"
                     "    commands:\n"
                     "      - test \"$PWD\" = /usr\n"
                     "      - cd \"$CODEBUILD_SRC_DIR\"; V=$FROM_START-$GANTRY_RELEASE\n"
                     "      - grep -q FROM_START buildspec.yml\n"
                     "      - test \"$(id -u)\" = 0 -a \"$CODEBUILD_BUILD_SUCCEEDING\" = 1\n"
                     "      - test \"$GANTRY_PIPELINE $GANTRY_ACTION\" = 'shop app'\n"
                     "      - test \"$AWS_REGION $AWS_DEFAULT_REGION\" = "
                     "'eu-central-1 eu-central-1'\n"};
    const int64_t asked_ms = clock_now_ms();
    bench_ask(&bench, &ask, id);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    if (f->outcome != GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED) {
        char *log = bench_log(&bench, id);
        fail_msg("%s\n%s", f->reason, log);
    }
    assert_string_equal(exported(f, "V"), "start-7");
    assert_string_equal(exported(f, "A"), "spec");
    assert_int_equal(f->image_case, GANTRY__V1__FINISHED__IMAGE__NOT_SET);
    assert_int_equal(bench_count(&bench, id, GANTRY__V1__ACTION_RESULT__BODY_STARTED), 1);
    assert_string_equal(f->phases[1]->name, "QUEUED");
    assert_int_equal(f->phases[1]->end_ms, f->started_ms);
    assert_in_range(f->phases[1]->start_ms, asked_ms, f->started_ms);
    assert_string_equal(f->phases[f->n_phases - 2]->name, "BUILD");
    assert_string_equal(f->phases[f->n_phases - 2]->status, "SUCCEEDED");
    assert_string_equal(f->phases[f->n_phases - 1]->name, "COMPLETED");
    bench_log_has(&bench, id, "Entering phase INSTALL\nRunning command echo phase one\n");
    bench_log_has(&bench, id, "phase one\n");
}

static void a_failing_command_is_told_with_phase_exit_code_and_last_lines(void **state)
{
    NEED();
    char id[ID_SIZE];
    const struct ask ask = {.buildspec =
                                "version: 0.2\n"
                                "phases:\n"
                                "  build:\n"
                                "    commands: ['seq 1 100', 'echo no >&2; exit 42', x]\n"
                                "  post_build:\n"
                                "    commands: 'echo still $CODEBUILD_BUILD_SUCCEEDING'\n"};
    bench_ask(&bench, &ask, id);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_string_equal(f->phase, "BUILD");
    assert_string_equal(f->command, "echo no >&2; exit 42");
    assert_int_equal(f->exit_code, 42);
    assert_int_equal(f->n_log_tail, 20);
    assert_string_equal(f->log_tail[19], "still 0");
    assert_string_equal(f->log_tail[18], "no");
    assert_string_equal(f->log_tail[17], "100");
}

static void a_bad_buildspec_fails_with_file_and_line(void **state)
{
    NEED();
    char id[ID_SIZE];
    const struct ask ask = {.buildspec = "version: 0.2\nphases:\n  build:\n    commands: {a: b}\n"};
    bench_ask(&bench, &ask, id);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_string_equal(f->phase, "DOWNLOAD_SOURCE");
    assert_non_null(strstr(f->reason, "buildspec.yml: line 4: phases.build.commands: must be a"));
}

static void an_image_of_a_batch_stays_a_note_in_the_sandbox(void **state)
{
    NEED();
    char id[ID_SIZE];
    const struct ask ask = {.buildspec = "version: 0.2\nphases: {build: {commands: ['true']}}\n",
                            .batch_image = "r.example/ci:1"};
    bench_ask(&bench, &ask, id);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    bench_log_has(&bench, id,
                  "The batch's image r.example/ci:1 is not used: a build has the tools of the "
                  "builder's machine\n"
                  "The batch's privileged-mode is not given: docker build and push work without\n");
}

static void a_batch_is_answered_with_its_plan(void **state)
{
    NEED();
    char id[ID_SIZE];
    const struct ask ask = {.buildspec = "version: 0.2\n"
                                         "batch:\n"
                                         "  build-graph:\n"
                                         "    - identifier: unit\n"
                                         "      env: {image: 'debian:12', privileged-mode: no}\n"
                                         "    - identifier: load\n"
                                         "      depend-on: [unit]\n"
                                         "phases: {build: {commands: [exit 1]}}\n",
                            .batch = true};
    bench_ask(&bench, &ask, id);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    assert_non_null(f->batch);
    assert_int_equal(f->batch->n_builds, 2);
    assert_string_equal(f->batch->builds[0]->identifier, "unit");
    assert_string_equal(f->batch->builds[1]->depend_on[0], "unit");
    assert_string_equal(f->batch->builds[0]->image, "debian:12");
    assert_int_equal(f->batch->builds[0]->privilege_case,
                     GANTRY__V1__BATCH_BUILD__PRIVILEGE_PRIVILEGED);
    assert_false(f->batch->builds[0]->privileged);
    assert_int_equal(f->batch->builds[1]->privilege_case, 0);
    bench_log_has(&bench, id, "Build unit, image debian:12, not privileged");
    bench_log_has(&bench, id, "Build load, after unit");
}

static void a_dockerfile_is_built_pushed_and_its_digest_is_the_registrys(void **state)
{
    NEED();
    char id[ID_SIZE], digest[OCI_DIGEST_SIZE];
    const struct ask ask = {.dockerfile = "FROM scratch\nCOPY Dockerfile /it\nCMD [\"/it\"]\n",
                            .image = "acme/shop"};
    bench_ask(&bench, &ask, id);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    if (f->outcome != GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED) {
        char *log = bench_log(&bench, id);
        fail_msg("%s\n%s", f->reason, log);
    }
    assert_int_equal(f->image_case, GANTRY__V1__FINISHED__IMAGE_ARTIFACT);
    assert_string_equal(f->artifact->name, "app");
    assert_string_equal(f->artifact->tag, "shop-7");
    assert_int_equal(f->artifact->n_platforms, 1);
    assert_non_null(strstr(f->artifact->media_type, "manifest"));
    bench_registry_digest(&bench, "acme/shop", "shop-7", digest);
    assert_string_equal(f->artifact->digest, digest);
}

static void the_digest_of_a_buildspec_comes_from_image_detail_or_the_tag(void **state)
{
    NEED();
    char id[ID_SIZE], digest[OCI_DIGEST_SIZE];
    const struct ask by_tag = {.buildspec = "version: 0.2\nphases: {build: {commands: ["
                                            "'printf \"FROM scratch\\nCOPY buildspec.yml /\" >D',"
                                            "'buildah bud -q -f D -t $GANTRY_IMAGE . && buildah "
                                            "push -q $GANTRY_IMAGE']}}\n",
                               .image = "acme/by-tag"};
    bench_ask(&bench, &by_tag, id);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    bench_registry_digest(&bench, "acme/by-tag", "shop-7", digest);
    assert_string_equal(f->artifact->digest, digest);

    char *detail = NULL;
    assert_true(asprintf(&detail,
                         "version: 0.2\nphases: {build: {commands: "
                         "'mkdir out; echo ''{\"ImageURI\": \"%s/acme/by-tag@%s\"}'' "
                         ">out/imageDetail.json'}}\n"
                         "artifacts: {files: imageDetail.json, base-directory: out}\n",
                         bench.registry, digest) > 0);
    const struct ask by_detail = {.buildspec = detail, .image = "acme/by-tag"};
    bench_ask(&bench, &by_detail, id);
    f = bench_finished(&bench, id, NULL);
    if (f->outcome != GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED)
        fail_msg("%s", f->reason);
    assert_string_equal(f->artifact->digest, digest);
    free(detail);
}

static void a_digest_that_the_registry_has_not_or_a_tag_that_moved_is_refused(void **state)
{
    NEED();
    char id[ID_SIZE];
    const struct ask unknown = {
        .buildspec = "version: 0.2\nphases: {build: {commands: 'export "
                     "GANTRY_IMAGE_DIGEST=sha256:"
                     "1111111111111111111111111111111111111111111111111111111111111111'}}\n",
        .image = "acme/none"};
    bench_ask(&bench, &unknown, id);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_string_equal(f->phase, "UPLOAD_ARTIFACTS");
    assert_non_null(strstr(f->reason, "it is not there"));

    const struct ask moved = {
        .buildspec = "version: 0.2\nphases: {build: {commands: ["
                     "'printf \"FROM scratch\\nCOPY buildspec.yml /a\" >D; buildah bud -q -f D -t "
                     "$GANTRY_IMAGE . && buildah push -q --digestfile d $GANTRY_IMAGE',"
                     "'export GANTRY_IMAGE_DIGEST=$(cat d)',"
                     "'printf \"FROM scratch\\nCOPY buildspec.yml /b\" >D; buildah bud -q -f D -t "
                     "$GANTRY_IMAGE . && buildah push -q $GANTRY_IMAGE']}}\n",
        .image = "acme/moved"};
    bench_ask(&bench, &moved, id);
    f = bench_finished(&bench, id, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_non_null(strstr(f->reason, "The tag 'shop-7' moved meanwhile"));
}

/* Below the artifact store. */
static size_t stored(const char *key)
{
    struct buf text;
    size_t len = 0;
    char *path = mem_printf("%s/state/artifacts/%s", bench.dir, key);
    if (file_read(&text, path, 64 << 20, NULL) == 0) {
        len = text.len;
        buf_release(&text);
    }
    free(path);
    return len;
}

static void artifacts_reports_and_the_log_are_kept_and_told(void **state)
{
    NEED();
    char id[ID_SIZE];
    const struct ask ask = {
        .buildspec =
            "version: 0.2\n"
            "phases:\n"
            "  build:\n"
            "    commands:\n"
            "      - V=1.2; mkdir out; echo a >out/a; ln -s /etc/passwd out/b\n"
            "      - echo '<testsuite name=\"s\"><testcase name=\"c\"/></testsuite>' >t.xml\n"
            "      - echo c >out/c; chmod 600 out/c; chown 7:7 out/c\n"
            "reports: {unit: {files: t.xml}}\n"
            "artifacts: {files: '**/*', base-directory: out, name: web-$V}\n"};
    bench_ask(&bench, &ask, id);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    if (f->outcome != GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED) {
        char *log = bench_log(&bench, id);
        fail_msg("%s\n%s", f->reason, log);
    }
    assert_int_equal(f->n_files, 2);
    assert_string_equal(f->files[0]->name, "web-1.2.zip");
    assert_int_equal(f->files[0]->entries, 1);
    assert_int_equal(stored(f->files[0]->key), f->files[0]->size_bytes);
    assert_string_equal(f->files[1]->name, "log");
    assert_int_equal(stored(f->files[1]->key), f->files[1]->size_bytes);
    assert_int_equal(f->n_reports, 1);
    assert_int_equal(f->reports[0]->counts->passed, 1);
    assert_true(f->usage->build_ms > 0);
    assert_true(f->usage->bytes_out > f->files[0]->size_bytes);
    bench_log_has(&bench, id, "Left out of web-1.2.zip: out/b: a link that leads out");
    bench_log_has(&bench, id, "Left out of web-1.2.zip: out/c: Permission denied");
}

static void what_a_build_took_is_told_and_counted(void **state)
{
    NEED();
    char id[ID_SIZE];
    const struct ask ask = {.buildspec =
                                "version: 0.2\nphases: {build: {commands: ["
                                "'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done',"
                                "'x=$(head -c 40000000 /dev/zero | tr \"\\0\" a); sleep 0.3',"
                                "'(i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done)']}}\n"};
    bench_ask(&bench, &ask, id);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    assert_true(f->usage->cpu_ms > 0);
    assert_true(f->usage->cpu_ms <= f->usage->build_ms * sysconf(_SC_NPROCESSORS_ONLN));
    assert_true(f->usage->memory_peak_bytes > 40000000);
    assert_true(f->usage->memory_peak_bytes < 1000000000);
}

static void a_cache_with_a_hashed_key_comes_back(void **state)
{
    NEED();
    char id[ID_SIZE];
    const struct ask ask = {
        .buildspec = "version: 0.2\n"
                     "env: {exported-variables: [V]}\n"
                     "phases: {build: {commands: ['V=$(cat ~/.kept/a || echo none); mkdir -p "
                     "~/.kept; echo here >~/.kept/a']}}\n"
                     "cache: {paths: ['/root/.kept/**/*'], key: "
                     "'k-$(codebuild-hash-files buildspec.yml)'}\n"};
    static const char *const found[] = {"none", "here"};
    for (size_t i = 0; i < 2; i++) {
        bench_ask(&bench, &ask, id);
        const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
        assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
        assert_string_equal(exported(f, "V"), found[i]);
    }
    bench_log_has(&bench, id, "Cache restored: k-");
}

/* As after a ledger that began anew: its release numbers begin at 1 again. */
static void a_tag_that_was_there_before_the_build_and_did_not_move_is_none_of_its(void **state)
{
    NEED();
    char id[ID_SIZE], digest[OCI_DIGEST_SIZE];
    const struct ask before = {.dockerfile = "FROM scratch\nCOPY Dockerfile /before\n",
                               .image = "acme/older"};
    bench_ask(&bench, &before, id);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    const struct ask after = {
        .buildspec = "version: 0.2\nphases: {build: {commands: ["
                     "'printf \"FROM scratch\\nCOPY buildspec.yml /a\" >D; docker build -q -f D -t "
                     "${GANTRY_IMAGE%:*}:other . && docker push -q --digestfile d "
                     "${GANTRY_IMAGE%:*}:other',"
                     "'export GANTRY_IMAGE_DIGEST=$(cat d)']}}\n",
        .image = "acme/older"};
    bench_ask(&bench, &after, id);
    f = bench_finished(&bench, id, NULL);
    if (f->outcome != GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED)
        fail_msg("%s", f->reason);
    bench_registry_digest(&bench, "acme/older", "other", digest);
    assert_string_equal(f->artifact->digest, digest);
    assert_string_equal(f->artifact->tag, "");
}

static void an_image_for_several_platforms_stays_one(void **state)
{
    NEED();
    char id[ID_SIZE], digest[OCI_DIGEST_SIZE];
    const struct ask ask = {
        .buildspec =
            "version: 0.2\nphases: {build: {commands: ["
            "'printf \"FROM scratch\\nCOPY buildspec.yml /a\" >D; docker buildx build -f D "
            "--platform linux/amd64,linux/arm64 -t $GANTRY_IMAGE --push .']}}\n",
        .image = "acme/several"};
    bench_ask(&bench, &ask, id);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    if (f->outcome != GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED)
        fail_msg("%s", f->reason);
    bench_registry_digest(&bench, "acme/several", "shop-7", digest);
    assert_string_equal(f->artifact->digest, digest);
    assert_string_equal(f->artifact->media_type, "application/vnd.oci.image.index.v1+json");
    assert_int_equal(f->artifact->n_platforms, 2);
    assert_string_equal(f->artifact->platforms[0], "linux/amd64");
    assert_string_equal(f->artifact->platforms[1], "linux/arm64");
    assert_string_equal(f->artifact->signature, ""); /* no key is configured */
}

static void a_cancel_ends_the_whole_tree(void **state)
{
    NEED();
    char id[ID_SIZE];
    const struct ask ask = {.buildspec = "version: 0.2\nphases: {build: {commands: "
                                         "'setsid sleep 98701 & sleep 98702 & echo up; wait'}}\n"};
    bench_ask(&bench, &ask, id);
    bench_log_has(&bench, id, "up\n");
    assert_int_equal(bench_processes("sleep 9870"), 2);
    bench_cancel(&bench, id, "Ann stopped it");
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_STOPPED);
    assert_string_equal(f->reason, "Ann stopped it");
    assert_int_equal(bench_processes("sleep 9870"), 0);
}

static void a_parked_run_that_is_cancelled_never_starts(void **state)
{
    NEED();
    char first[ID_SIZE], second[ID_SIZE], third[ID_SIZE];
    const struct ask slow = {
        .buildspec = "version: 0.2\nphases: {build: {commands: 'echo up; sleep 98703'}}\n"};
    const struct ask quick = {.buildspec =
                                  "version: 0.2\nphases: {build: {commands: 'echo never'}}\n"};
    bench_ask(&bench, &slow, first);
    bench_log_has(&bench, first, "up\n");
    bench_ask(&bench, &quick, second);
    bench_cancel(&bench, second, "not needed");
    const Gantry__V1__Finished *f = bench_finished(&bench, second, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_STOPPED);
    assert_int_equal(bench_count(&bench, second, GANTRY__V1__ACTION_RESULT__BODY_STARTED), 0);

    id_random(third);
    bench_cancel(&bench, third, "before it was seen");
    bench_ask_again(&bench, &quick, third);
    f = bench_finished(&bench, third, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_STOPPED);
    bench_cancel(&bench, first, "enough");
    assert_int_equal(bench_finished(&bench, first, NULL)->outcome,
                     GANTRY__V1__OUTCOME__OUTCOME_STOPPED);
}

static void a_run_is_done_once_however_often_it_is_asked_for(void **state)
{
    NEED();
    char id[ID_SIZE], other[ID_SIZE];
    const struct ask ask = {.buildspec = "version: 0.2\nphases: {build: {commands: 'true'}}\n"};
    bench_ask(&bench, &ask, id);
    bench_finished(&bench, id, NULL);
    bench_ask_again(&bench, &ask, id);
    bench_ask(&bench, &ask, other);
    bench_finished(&bench, other, NULL);
    assert_int_equal(service_end(&bench.s, SIGKILL), -SIGKILL);
    bench_ask_again(&bench, &ask, id);
    service_start(&bench.s, true);
    bench_ask(&bench, &ask, other);
    bench_finished(&bench, other, NULL);
    service_run_for(&bench.s, 500);
    assert_int_equal(bench_count(&bench, id, GANTRY__V1__ACTION_RESULT__BODY_STARTED), 1);
    assert_int_equal(bench_count(&bench, id, GANTRY__V1__ACTION_RESULT__BODY_FINISHED), 1);
}

static void a_builder_killed_in_the_middle_leaves_nothing_and_builds_again(void **state)
{
    NEED();
    char id[ID_SIZE];
    uint32_t attempt = 0;
    const struct ask ask = {
        .buildspec = "version: 0.2\nphases: {build: {commands: ["
                     "'test ! -e left; touch left /tmp/left', 'chown 7:7 left', 'echo up',"
                     "'if [ -e /home/build/src/go ]; then exit 0; fi', 'sleep 4.5']}}\n"};
    bench_ask(&bench, &ask, id);
    bench_log_has(&bench, id, "up\n");
    service_run_for(&bench.s, 100);
    assert_int_equal(service_end(&bench.s, SIGKILL), -SIGKILL);
    service_run_for(&bench.s, 300);
    assert_int_equal(bench_processes("sleep 4.5"), 0);
    service_start(&bench.s, true);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, &attempt);
    if (f->outcome != GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED)
        fail_msg("%s", f->reason);
    assert_int_equal(attempt, 2);
}

static void an_ordered_stop_hands_the_build_back(void **state)
{
    NEED();
    char id[ID_SIZE];
    uint32_t attempt = 0;
    const struct ask ask = {
        .buildspec = "version: 0.2\nphases: {build: {commands: ['echo up', 'sleep 3']}}\n"};
    bench_ask(&bench, &ask, id);
    bench_log_has(&bench, id, "up\n");
    assert_int_equal(service_end(&bench.s, SIGTERM), 0);
    assert_int_equal(bench_count(&bench, id, GANTRY__V1__ACTION_RESULT__BODY_FINISHED), 0);
    service_start(&bench.s, true);
    assert_int_equal(bench_finished(&bench, id, &attempt)->outcome,
                     GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    assert_int_equal(attempt, 2);
}

static void a_build_sees_nothing_of_the_builder_and_its_host(void **state)
{
    NEED();
    char id[ID_SIZE];
    char *spec = NULL;
    assert_true(asprintf(&spec,
                         "version: 0.2\n"
                         "phases:\n"
                         "  build:\n"
                         "    commands:\n"
                         "      - test \"$(ls /proc | grep -c '^[0-9]*$')\" -lt 10\n"
                         "      - '! tr \"\\0\" \"\\n\" </proc/1/environ | grep -q .'\n"
                         "      - test -z \"$(ls %s/state)\"\n"
                         "      - '! touch /usr/x /etc/x %s/x'\n"
                         "      - '! umount %s/state; ! umount -l /home; ! umount -l /run'\n"
                         "      - '! mount -o remount,rw / && ! mount -o remount,rw,bind /'\n"
                         "      - '! kill -9 1; ! kill -0 %d'\n"
                         "      - '! nsenter -t 1 -m true'\n"
                         "      - '! ls /run/docker.sock /run/dbus /run/systemd/private'\n"
                         "      - test \"$(ls /home)\" = build -a ! -e /root/.bashrc\n"
                         "      - '! chroot /proc/1/root true'\n"
                         "      - '! cat /etc/shadow'\n"
                         "      - '! mknod /tmp/sda b 8 0 || ! cat /tmp/sda'\n",
                         bench.dir, bench.dir, bench.dir, (int)getpid()) > 0);
    const struct ask ask = {.buildspec = spec};
    bench_ask(&bench, &ask, id);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    if (f->outcome != GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED)
        fail_msg("%s: %s", f->reason, f->command);
    free(spec);
}

static void a_memory_hog_fails_with_the_reason_and_others_go_on(void **state)
{
    NEED();
    char hog[ID_SIZE], other[ID_SIZE];
    const struct ask eats = {.buildspec = "version: 0.2\nphases: {build: {commands: 'x=$(head -c "
                                          "400000000 /dev/zero | tr \"\\0\" a); sleep 20'}}\n",
                             .memory_bytes = 64 << 20};
    const struct ask ask = {.buildspec = "version: 0.2\nphases: {build: {commands: 'sleep 1'}}\n"};
    bench_ask(&bench, &eats, hog);
    bench_ask(&bench, &ask, other);
    assert_int_equal(bench_finished(&bench, other, NULL)->outcome,
                     GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    const Gantry__V1__Finished *f = bench_finished(&bench, hog, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_non_null(strstr(f->reason, "memory"));
}

static void an_endless_output_is_cut_and_the_build_goes_on(void **state)
{
    NEED();
    char id[ID_SIZE];
    const struct ask ask = {.buildspec = "version: 0.2\nphases: {build: {commands: ['yes 123456789 "
                                         "| head -c 70000000', 'echo the end']}}\n"};
    bench_ask(&bench, &ask, id);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    bench_log_has(&bench, id, "The log was cut here: it is longer than 64 MiB");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_buildspec_runs_at_its_commit_and_exports_variables),
        TEST(a_failing_command_is_told_with_phase_exit_code_and_last_lines),
        TEST(a_bad_buildspec_fails_with_file_and_line),
        TEST(a_batch_is_answered_with_its_plan),
        TEST(an_image_of_a_batch_stays_a_note_in_the_sandbox),
        TEST(a_dockerfile_is_built_pushed_and_its_digest_is_the_registrys),
        TEST(the_digest_of_a_buildspec_comes_from_image_detail_or_the_tag),
        TEST(a_digest_that_the_registry_has_not_or_a_tag_that_moved_is_refused),
        TEST(artifacts_reports_and_the_log_are_kept_and_told),
        TEST(what_a_build_took_is_told_and_counted),
        TEST(a_cache_with_a_hashed_key_comes_back),
        TEST(a_tag_that_was_there_before_the_build_and_did_not_move_is_none_of_its),
        TEST(an_image_for_several_platforms_stays_one),
        TEST(a_cancel_ends_the_whole_tree),
        cmocka_unit_test_setup_teardown(a_parked_run_that_is_cancelled_never_starts, setup_one_slot,
                                        teardown),
        TEST(a_run_is_done_once_however_often_it_is_asked_for),
        TEST(a_builder_killed_in_the_middle_leaves_nothing_and_builds_again),
        TEST(an_ordered_stop_hands_the_build_back),
        TEST(a_build_sees_nothing_of_the_builder_and_its_host),
        TEST(a_memory_hog_fails_with_the_reason_and_others_go_on),
        TEST(an_endless_output_is_cut_and_the_build_goes_on),
    };
    cmocka_set_test_filter(getenv("GANTRY_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
