/* The JSON Schema that is shipped is what the parser's tables say. */
#include "base/file.h"
#include "definition/keys.h"
#include "definition/schema.h"
#include "tests/unit/definition/definitions.h"

#define SHIPPED "deploy/schema/gantry-v1.schema.json"

static void the_schema_that_is_shipped_is_that_of_the_tables(void **state)
{
    struct buf schema, shipped;
    struct err err = {0};

    (void)state;
    buf_init(&schema, 256 * 1024);
    definition_schema(&schema);
    assert_false(schema.overflow);
    if (getenv("GANTRY_TEST_WRITE_SCHEMA"))
        assert_int_equal(file_write(SHIPPED, schema.data, schema.len, 0644, &err), 0);
    if (file_read(&shipped, SHIPPED, 256 * 1024, &err) < 0)
        fail_msg("%s", err.msg);
    if (strcmp(schema.data, shipped.data) != 0)
        fail_msg("%s is not what the tables of common/definition/keys.c say: write it again by "
                 "running this test with GANTRY_TEST_WRITE_SCHEMA=1",
                 SHIPPED);
    buf_release(&schema);
    buf_release(&shipped);
}

static void every_key_is_told_to_people(void **state)
{
    static const struct keys *const all[] = {
        &root_keys,         &metadata_keys,      &pipeline_keys,
        &source_keys,       &paths_keys,         &stage_keys,
        &gate_keys,         &approval_gate_keys, &approval_action_keys,
        &check_keys,        &step_keys,          &member_keys,
        &build_keys,        &job_keys,           &size_keys,
        &deploy_keys,       &kubernetes_keys,    &custom_keys,
        &environment_keys,  &command_keys,       &freeze_keys,
        &notification_keys, &webhook_keys,       &mail_keys};

    (void)state;
    for (size_t i = 0; i < COUNT(all); i++)
        for (const struct field *f = all[i]->fields; f->key; f++)
            if (!(f->flags & FIELD_LATER) && (!f->shape || !f->shape->name || !f->about))
                fail_msg("%s: '%s' has no shape or no text", all[i]->what, f->key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_schema_that_is_shipped_is_that_of_the_tables),
        cmocka_unit_test(every_key_is_told_to_people),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
