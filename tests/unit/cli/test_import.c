/* `gantry import codepipeline`: whole pipelines against what they are known to become. With
 * GANTRY_GOLDEN set, what comes out now is written down as what is known. */
#include <dirent.h>

#include "base/file.h"
#include "base/mem.h"
#include "definition/definition.h"
#include "services/cli/import.h"
#include "tests/unit/cli/test_import.h"
#include "tests/unit/unit.h"

#define FIXTURES_LEAST 8

char *import_report(const struct import_result *result)
{
    struct buf text;

    buf_init(&text, 1 << 20);
    for (size_t i = 0; i < result->line_count; i++)
        buf_addf(&text, "%-11s  %s: %s\n", import_kind_name(result->lines[i].kind),
                 result->lines[i].where, result->lines[i].text);
    return buf_detach(&text);
}

static int parse(const char *doc, size_t len, int first_line, void *arg, struct err *err)
{
    struct definition *def = NULL;

    (void)first_line;
    if (definition_parse(&def, doc, len, NULL, err) < 0)
        return -1;
    ++*(size_t *)arg;
    definition_free(def);
    return 0;
}

size_t import_count_definitions(const char *yaml)
{
    struct err err = {0};
    size_t count = 0;

    if (definition_split(yaml, strlen(yaml), parse, &count, &err) < 0)
        fail_msg("%s in:\n%s", err.msg, yaml);
    return count;
}

static void compare(const char *name, const char *kind, const char *now)
{
    char *path = mem_printf("%s/known/%s.%s", IMPORTS, name, kind);
    struct buf known;
    struct err err;

    if (getenv("GANTRY_GOLDEN")) {
        assert_int_equal(file_write(path, now, strlen(now), 0644, &err), 0);
    } else {
        if (file_read(&known, path, 1 << 20, &err) < 0)
            fail_msg("%s", err.msg);
        if (strcmp(buf_cstr(&known), now) != 0)
            fail_msg("%s differs; what came out:\n%s", path, now);
        buf_release(&known);
    }
    free(path);
}

static void translate(const char *name)
{
    char *path = mem_printf("%s/%s", IMPORTS, name), *report;
    struct import_result result;
    struct buf text;
    struct err err;

    if (file_read(&text, path, IMPORT_SIZE_MAX, &err) < 0 ||
        import_codepipeline(&result, name, text.data, text.len, NULL, &err) < 0)
        fail_msg("%s: %s", name, err.msg);
    assert_true(import_count_definitions(result.yaml) > 0);
    report = import_report(&result);
    compare(name, "gantry", result.yaml);
    compare(name, "report", report);
    free(report);
    import_result_release(&result);
    buf_release(&text);
    free(path);
}

static void pipelines_become_what_they_are_known_to_become(void **state)
{
    DIR *folder = opendir(IMPORTS);
    size_t count = 0;

    (void)state;
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        if (str_ends(entry->d_name, ".json") || str_ends(entry->d_name, ".yaml")) {
            translate(entry->d_name);
            count++;
        }
    closedir(folder);
    assert_true(count >= FIXTURES_LEAST);
}

/* Every beginning of a pipeline, and every pipeline with a byte changed: refused with a place and a
 * reason, or translated into what applies. */
static void whatever_the_bytes_the_outcome_applies(void **state)
{
    static const char *const names[] = {"v2-triggers-variables.json", "lambda.yaml"};

    (void)state;
    for (size_t n = 0; n < 2; n++) {
        char *path = mem_printf("%s/%s", IMPORTS, names[n]);
        struct import_result result;
        struct buf text;
        struct err err;

        assert_int_equal(file_read(&text, path, IMPORT_SIZE_MAX, &err), 0);
        for (size_t at = 0; at < text.len; at += 7) {
            char was = text.data[at];

            text.data[at] = "{}[]\"':,#!&*\x01x 0-"[at % 18];
            if (import_codepipeline(&result, "f", text.data, text.len, NULL, &err) < 0) {
                if (err.code == ERR_INTERNAL || !str_starts(err.msg, "f:"))
                    fail_msg("byte %zu: %s", at, err.msg);
            } else {
                import_count_definitions(result.yaml);
            }
            import_result_release(&result);
            text.data[at] = was;
        }
        buf_release(&text);
        free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipelines_become_what_they_are_known_to_become),
        cmocka_unit_test(whatever_the_bytes_the_outcome_applies),
        cmocka_unit_test(each_rule_holds),
        cmocka_unit_test(what_is_no_pipeline_is_refused_with_file_line_and_reason),
        cmocka_unit_test(variables_that_no_release_could_carry_lose_their_defaults),
        cmocka_unit_test(what_a_template_tells_is_filled_in),
        cmocka_unit_test(what_a_project_ran_in_is_taken_over),
        cmocka_unit_test(a_parameter_that_is_given_takes_the_placeholders_place),
        cmocka_unit_test(what_grows_or_goes_round_is_refused_at_once),
        cmocka_unit_test(texts_that_mean_something_to_gantry_are_made_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
