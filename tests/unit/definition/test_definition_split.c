/* Streams of several documents, as `gantry apply -f` takes them. */
#include "tests/unit/definition/definitions.h"

struct found {
    struct buf text; /* line:document| ... */
    int fail_at;     /* the document, from 1, at which the callback fails */
    int count;
};

static int note(const char *doc, size_t len, int first_line, void *arg, struct err *err)
{
    struct found *found = arg;

    buf_addf(&found->text, "%d:%.*s|", first_line, (int)len, doc);
    if (++found->count == found->fail_at)
        return err_set(err, ERR_INVALID, "as asked");
    return 0;
}

static void documents_are_found_with_their_first_line(void **state)
{
    static const struct {
        const char *yaml, *found;
    } rows[] = {
        {"", ""},
        {"\n# nothing\n", ""},
        {"---\n---\n", ""},
        {"a: 1", "1:a: 1|"},
        {"a: 1\n---\nb: 2\n", "1:a: 1\n|3:b: 2\n|"},
        {"# head\n---\na: 1\n", "1:# head\n---\na: 1\n|"},
        {"%YAML 1.1\n---\na: 1\n", "1:%YAML 1.1\n---\na: 1\n|"},
        {"---\na: 1\n---\n# of b\nb: 2\n", "1:---\na: 1\n|4:# of b\nb: 2\n|"},
        {"a: 1\n---\n# nothing\n---\nb: 2\n", "1:a: 1\n|5:b: 2\n|"},
        {"a: 1\n...\n# between\n---\nb: 2\n", "1:a: 1\n|3:# between\n---\nb: 2\n|"},
        {"a: 1\n--- {b: 2}\n", "1:a: 1\n|2:--- {b: 2}\n|"},
        {"a: 1\n--- # comment\nb: 2\n", "1:a: 1\n|3:b: 2\n|"},
        {"a: |\n  ---\n  x\n", "1:a: |\n  ---\n  x\n|"},
        {"a: 1\n---b: 2\n", "1:a: 1\n---b: 2\n|"},
        {"a: 1\r\n---\r\nb: 2\r\n", "1:a: 1\r\n|3:b: 2\r\n|"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct found found = {0};
        struct err err = {0};

        buf_init(&found.text, 10000);
        assert_int_equal(definition_split(rows[i].yaml, strlen(rows[i].yaml), note, &found, &err),
                         0);
        assert_string_equal(buf_cstr(&found.text), rows[i].found);
        buf_release(&found.text);
    }
}

static void a_callback_that_fails_ends_it(void **state)
{
    const char *yaml = "a: 1\n---\nb: 2\n---\nc: 3\n";
    struct found found = {.fail_at = 2};
    struct err err = {0};

    (void)state;
    buf_init(&found.text, 10000);
    assert_int_equal(definition_split(yaml, strlen(yaml), note, &found, &err), -1);
    assert_int_equal(found.count, 2);
    assert_string_equal(err.msg, "as asked");
    buf_release(&found.text);
}

static int parse(const char *doc, size_t len, int first_line, void *arg, struct err *err)
{
    struct definition *def;
    int *count = arg;

    (void)first_line;
    (*count)++;
    if (definition_parse(&def, doc, len, NULL, err) < 0)
        return -1;
    definition_free(def);
    return 0;
}

static void each_document_found_can_be_parsed(void **state)
{
    const char *yaml = "# all of it\n---\n" AFTER_BUILD "---\n"
                       "# where it runs\n" HEAD("Environment") "  {driver: command, command: {run: "
                                                               "x}}\n...\n";
    struct err err = {0};
    int count = 0;

    (void)state;
    assert_int_equal(definition_split(yaml, strlen(yaml), parse, &count, &err), 0);
    assert_int_equal(count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_found_with_their_first_line),
        cmocka_unit_test(a_callback_that_fails_ends_it),
        cmocka_unit_test(each_document_found_can_be_parsed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
