/* reports, artifacts and cache. */
#include "tests/unit/buildspec/check.h"

static void a_report_has_files_a_format_and_a_place(void **state)
{
    struct buildspec *spec =
        parse(HEAD BUILD "reports:\n"
                         "  unit:\n"
                         "    files: '**/*.xml'\n"
                         "  arn:aws:codebuild:eu-central-1:1:report-group/cover-1:\n"
                         "    files: [a.xml, b.xml]\n"
                         "    file-format: CoberturaXml\n"
                         "    base-directory: out\n"
                         "    discard-paths: yes\n"
                         "  $GROUP: {files: x}\n");

    (void)state;
    assert_int_equal(spec->report_count, 3);
    assert_string_equal(spec->reports[0].group, "unit");
    assert_int_equal(spec->reports[0].line, 4);
    assert_int_equal(spec->reports[0].format, BUILDSPEC_JUNITXML);
    assert_false(spec->reports[0].discard_paths);
    assert_null(spec->reports[0].base_directory);
    assert_string_equal(spec->reports[1].group,
                        "arn:aws:codebuild:eu-central-1:1:report-group/cover-1");
    assert_texts(&spec->reports[1].files, "a.xml|b.xml");
    assert_int_equal(spec->reports[1].format, BUILDSPEC_COBERTURAXML);
    assert_string_equal(spec->reports[1].base_directory, "out");
    assert_true(spec->reports[1].discard_paths);
    assert_string_equal(spec->reports[2].group, "$GROUP");
    buildspec_free(spec);
}

static void all_ten_formats_are_known_in_any_case(void **state)
{
    static const struct {
        const char *name;
        bool coverage;
    } rows[] = {{"JUNITXML", false},  {"CUCUMBERJSON", false}, {"NUNITXML", false},
                {"NUNIT3XML", false}, {"TESTNGXML", false},    {"VISUALSTUDIOTRX", false},
                {"CLOVERXML", true},  {"COBERTURAXML", true},  {"JACOCOXML", true},
                {"SIMPLECOV", true}};

    (void)state;
    assert_int_equal(BUILDSPEC_REPORT_FORMATS, COUNT(rows));
    for (size_t i = 0; i < COUNT(rows); i++) {
        char yaml[160];
        struct buildspec *spec;

        snprintf(yaml, sizeof(yaml), HEAD BUILD "reports: {a: {files: x, file-format: %c%s}}\n",
                 rows[i].name[0] + 'a' - 'A', rows[i].name + 1);
        spec = parse(yaml);
        assert_string_equal(buildspec_report_format_name(spec->reports[0].format), rows[i].name);
        assert_int_equal(buildspec_report_is_coverage(spec->reports[0].format), rows[i].coverage);
        buildspec_free(spec);
    }
}

static void what_is_wrong_in_reports_is_told(void **state)
{
    static const struct row rows[] = {
        {HEAD BUILD "reports:\n", ""},
        {HEAD BUILD "reports: [a]\n", "3:10: error: reports: must be a mapping, not a list"},
        {HEAD BUILD "reports: {a: {file-format: JUNITXML}}\n",
         "3:11: error: reports.a: files is missing: where the report's files are"},
        {HEAD BUILD "reports: {a: }\n",
         "3:11: error: reports.a: files is missing: where the report's files are"},
        {HEAD BUILD "reports: {a: x.xml}\n", "3:14: error: reports.a: must be a mapping, not text"},
        {HEAD BUILD "reports: {a b: {files: x}}\n",
         "3:11: error: reports.a b: is no report group: a name of letters, digits, - and _, or an "
         "ARN"},
        {HEAD BUILD "reports: {a: {files: x, file-format: JUNIT}}\n",
         "3:38: error: reports.a.file-format: 'JUNIT' is no report format: JUNITXML, CUCUMBERJSON, "
         "NUNITXML, NUNIT3XML, TESTNGXML, VISUALSTUDIOTRX, CLOVERXML, COBERTURAXML, JACOCOXML or "
         "SIMPLECOV"},
        {HEAD BUILD "reports: {a: {files: x, file-format: juntxml}}\n",
         "3:38: error: reports.a.file-format: 'juntxml' is no report format: JUNITXML, "
         "CUCUMBERJSON, NUNITXML, NUNIT3XML, TESTNGXML, VISUALSTUDIOTRX, CLOVERXML, COBERTURAXML, "
         "JACOCOXML or SIMPLECOV; did you mean 'JUNITXML'?"},
        {HEAD BUILD "reports: {a: {files: [x, ../y]}}\n",
         "3:26: warning: reports.a.files[1]: matches nothing: a path with '..' in it leaves the "
         "folder"},
        {HEAD BUILD "reports: {a: {files: x, base-directory: ../y}}\n",
         "3:41: warning: reports.a.base-directory: matches nothing: a path with '..' in it leaves "
         "the folder"},
    };

    (void)state;
    check_rows(rows, COUNT(rows));
}

static void a_report_groups_name_is_checked(void **state)
{
    (void)state;
    assert_true(buildspec_is_report_group("a"));
    assert_true(buildspec_is_report_group("Unit_tests-1"));
    assert_true(buildspec_is_report_group("arn:aws:codebuild:x:1:report-group/shop-unit"));
    assert_false(buildspec_is_report_group(""));
    assert_false(buildspec_is_report_group("-a"));
    assert_false(buildspec_is_report_group("a/b"));
    assert_false(buildspec_is_report_group("../a"));
    assert_false(buildspec_is_report_group("arn:aws:codebuild:x:1:report-group/"));
    assert_false(buildspec_is_report_group("arn:aws:codebuild:x:1:report-group/a/../b"));
    assert_false(buildspec_is_report_group("arn:aws:codebuild:x:1:project/a"));
}

static void artifacts_have_files_and_secondary_ones_beside(void **state)
{
    struct buildspec *spec = parse(HEAD BUILD "artifacts:\n"
                                              "  files: imageDetail.json\n"
                                              "  name: shop-$(date +%F)\n"
                                              "  base-directory: 'out*'\n"
                                              "  exclude-paths: '**/.*'\n"
                                              "  enable-symlinks: yes\n"
                                              "  s3-prefix: p\n"
                                              "  secondary-artifacts:\n"
                                              "    docs:\n"
                                              "      files: ['**/*']\n"
                                              "      base-directory: site\n"
                                              "      discard-paths: yes\n");

    (void)state;
    assert_texts(&spec->artifacts.files, "imageDetail.json");
    assert_null(spec->artifacts.identifier);
    assert_int_equal(spec->artifacts.line, 3);
    assert_string_equal(spec->artifacts.name, "shop-$(date +%F)");
    assert_string_equal(spec->artifacts.base_directory, "out*");
    assert_texts(&spec->artifacts.exclude_paths, "**/.*");
    assert_true(spec->artifacts.enable_symlinks);
    assert_false(spec->artifacts.discard_paths);
    assert_string_equal(spec->artifacts.s3_prefix, "p");
    assert_int_equal(spec->secondary_count, 1);
    assert_string_equal(spec->secondary[0].identifier, "docs");
    assert_texts(&spec->secondary[0].files, "**/*");
    assert_string_equal(spec->secondary[0].base_directory, "site");
    assert_true(spec->secondary[0].discard_paths);
    assert_false(spec->secondary[0].enable_symlinks);
    buildspec_free(spec);
}

static void what_is_wrong_in_artifacts_is_told(void **state)
{
    static const struct row rows[] = {
        {HEAD BUILD "artifacts:\n", ""},
        {HEAD BUILD "artifacts: [x]\n", "3:12: error: artifacts: must be a mapping, not a list"},
        {HEAD BUILD "artifacts: {name: x}\n",
         "3:1: error: artifacts: files is missing: which files the artifacts are"},
        {HEAD BUILD "artifacts: {files: []}\n",
         "3:1: error: artifacts: files is missing: which files the artifacts are"},
        {HEAD BUILD "artifacts: {files: {a: b}}\n",
         "3:1: error: artifacts: files is missing: which files the artifacts are\n"
         "3:20: error: artifacts.files: must be a list, not a mapping"},
        {HEAD BUILD "artifacts: {files: x, base-directory: [a]}\n",
         "3:39: error: artifacts.base-directory: must be text, not a list"},
        {HEAD BUILD "artifacts: {files: x, discard-paths: perhaps}\n",
         "3:38: error: artifacts.discard-paths: must be yes or no, not 'perhaps'"},
        {HEAD BUILD "artifacts: {files: ['']}\n",
         "3:21: warning: artifacts.files[0]: matches nothing: it is empty"},
        {HEAD BUILD "artifacts: {secondary-artifacts: {a: {files: x}}}\n",
         "3:1: warning: artifacts: has no files: there are secondary artifacts only"},
        {HEAD BUILD "artifacts: {files: x, secondary-artifacts: {a: {name: x}}}\n",
         "3:45: error: artifacts.secondary-artifacts.a: files is missing: which files these "
         "artifacts are"},
        {HEAD BUILD "artifacts: {files: x, secondary-artifacts: {a-b: {files: x}}}\n",
         "3:45: error: artifacts.secondary-artifacts.a-b: is no identifier: letters, digits and _, "
         "at most 127 of them"},
        {HEAD BUILD
         "artifacts: {files: x, secondary-artifacts: {a: {files: x, secondary-artifacts: "
         "{}}}}\n",
         "3:59: warning: artifacts.secondary-artifacts.a.secondary-artifacts: unknown key, left "
         "out"},
    };

    (void)state;
    check_rows(rows, COUNT(rows));
}

static void a_list_of_patterns_is_bounded(void **state)
{
    struct buildspec *spec = NULL;
    struct err err = {0};
    struct buf yaml;

    (void)state;
    buf_init(&yaml, 64 * 1024);
    buf_adds(&yaml, HEAD BUILD "artifacts: {files: [");
    for (int i = 0; i < 201; i++)
        buf_adds(&yaml, "a, ");
    buf_adds(&yaml, "]}\n");
    assert_int_equal(buildspec_parse(&spec, yaml.data, yaml.len, NULL, &err), -1);
    assert_string_equal(err.msg, "line 3: artifacts.files: has 201 entries; at most 200 are taken");
    buf_release(&yaml);
}

static void a_cache_has_paths_and_perhaps_keys(void **state)
{
    struct buildspec *spec =
        parse(HEAD BUILD "cache:\n"
                         "  key: npm-$(codebuild-hash-files package-lock.json)\n"
                         "  fallback-keys: [npm-a, npm-]\n"
                         "  action: restore\n"
                         "  paths: ['/root/.npm/**/*', node_modules]\n");

    (void)state;
    assert_string_equal(spec->cache.key, "npm-$(codebuild-hash-files package-lock.json)");
    assert_texts(&spec->cache.fallback_keys, "npm-a|npm-");
    assert_true(spec->cache.restore);
    assert_false(spec->cache.save);
    assert_texts(&spec->cache.paths, "/root/.npm/**/*|node_modules");
    buildspec_free(spec);
    spec = parse(HEAD BUILD "cache: {paths: a}\n");
    assert_null(spec->cache.key);
    assert_true(spec->cache.restore);
    assert_true(spec->cache.save);
    buildspec_free(spec);
    spec = parse(HEAD BUILD "cache: {paths: a, action: save}\n");
    assert_false(spec->cache.restore);
    assert_true(spec->cache.save);
    buildspec_free(spec);
}

static void what_is_wrong_in_a_cache_is_told(void **state)
{
    static const struct row rows[] = {
        {HEAD BUILD "cache:\n", ""},
        {HEAD BUILD "cache: {paths: }\n", "3:1: warning: cache: has no paths: nothing is kept"},
        {HEAD BUILD "cache: {paths: x, fallback-keys: a}\n",
         "3:1: warning: cache: fallback-keys without a key are not tried"},
        {HEAD BUILD "cache: {paths: x, key: k, fallback-keys: [a, b, c, d, e]}\n", ""},
        {HEAD BUILD "cache: {paths: x, key: k, fallback-keys: [a, b, c, d, e, f]}\n",
         "3:42: error: cache.fallback-keys: has 6 keys; at most 5 are tried"},
        {HEAD BUILD "cache: {paths: x, key: k, fallback-keys: ['']}\n",
         "3:42: error: cache.fallback-keys: an empty key would match every cache"},
        {HEAD BUILD "cache: {paths: x, action: both}\n",
         "3:27: error: cache.action: must be restore or save (or left out, for both), not 'both'"},
        {HEAD BUILD "cache: {paths: x, key: [a]}\n",
         "3:24: error: cache.key: must be text, not a list"},
    };

    (void)state;
    check_rows(rows, COUNT(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_has_files_a_format_and_a_place),
        cmocka_unit_test(all_ten_formats_are_known_in_any_case),
        cmocka_unit_test(what_is_wrong_in_reports_is_told),
        cmocka_unit_test(a_report_groups_name_is_checked),
        cmocka_unit_test(artifacts_have_files_and_secondary_ones_beside),
        cmocka_unit_test(what_is_wrong_in_artifacts_is_told),
        cmocka_unit_test(a_list_of_patterns_is_bounded),
        cmocka_unit_test(a_cache_has_paths_and_perhaps_keys),
        cmocka_unit_test(what_is_wrong_in_a_cache_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
