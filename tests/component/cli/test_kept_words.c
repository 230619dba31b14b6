/* What is kept of a build and what it took, in the lines that people read. */
#include <jansson.h>

#include "base/buf.h"
#include "services/cli/cli.h"
#include "tests/unit/unit.h"

static void expect(void (*words)(const json_t *, struct buf *), const char *json, const char *text)
{
    json_t *value = json_loads(json, 0, NULL);
    struct buf out;

    assert_non_null(value);
    buf_init(&out, 4096);
    words(value, &out);
    assert_string_equal(buf_cstr(&out), text);
    buf_release(&out);
    json_decref(value);
}

static void an_archive_is_told_with_its_files_and_size(void **state)
{
    (void)state;
    expect(kept_words, "{\"name\": \"docs\", \"entries\": 12, \"sizeBytes\": 3565158}",
           "docs: 12 files, 3.4 MiB");
    expect(kept_words, "{\"name\": \"web.zip\", \"entries\": 1, \"sizeBytes\": 1023}",
           "web.zip: 1 file, 1023 bytes");
    expect(kept_words, "{\"name\": \"log\", \"sizeBytes\": 1024}", "log: 1.0 KiB");
}

static void a_name_cannot_write_to_the_terminal(void **state)
{
    (void)state;
    json_t *file = json_pack("{s:s, s:i}", "name", "a\x1b[2Jb", "sizeBytes", 1);
    struct buf out;

    buf_init(&out, 4096);
    kept_words(file, &out);
    assert_null(strchr(buf_cstr(&out), '\x1b'));
    buf_release(&out);
    json_decref(file);
}

static void what_a_run_took_is_told_as_far_as_it_is_known(void **state)
{
    (void)state;
    expect(usage_words,
           "{\"buildMs\": 34000, \"cpuMs\": 21000, \"memoryPeakBytes\": 220200960, \"bytesIn\": "
           "2048, \"bytesOut\": 3565158}",
           "took 34 s, 21 s of CPU, 210.0 MiB of memory at most, 2.0 KiB in, 3.4 MiB out");
    expect(usage_words, "{\"buildMs\": 34000}", "took 34 s");
    expect(usage_words, "{}", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_archive_is_told_with_its_files_and_size),
        cmocka_unit_test(a_name_cannot_write_to_the_terminal),
        cmocka_unit_test(what_a_run_took_is_told_as_far_as_it_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
