/* Environments, notifications, and what every kind has in common. */
#include "tests/unit/definition/definitions.h"

static void an_environment_is_read(void **state)
{
    struct definition *def = parsed("apiVersion: gantry/v1\n"
                                    "kind: Environment\n"
                                    "metadata: {name: edge}\n"
                                    "spec:\n"
                                    "  deployer: inside\n"
                                    "  driver: command\n"
                                    "  command: {run: deploy-edge}\n"
                                    "  freeze: []\n");

    (void)state;
    assert_int_equal(def->kind, DEF_ENVIRONMENT);
    assert_string_equal(def->environment->name, "edge");
    assert_string_equal(def->environment->deployer, "inside");
    assert_string_equal(def->environment->driver, "command");
    assert_string_equal(def->environment->command, "deploy-edge");
    definition_free(def);
    def = parsed(HEAD("Environment") "  {driver: command, command: {run: x}}\n");
    assert_string_equal(def->environment->deployer, "default");
    definition_free(def);
}

static void a_webhook_notification_is_read(void **state)
{
    struct definition *def =
        parsed(HEAD("Notification") "  events: [release.*, approval.opened]\n"
                                    "  pipelines: [shop-*]\n"
                                    "  stages: [prod]\n"
                                    "  outcomes: [failed, rejected]\n"
                                    "  webhook: {url: \"https://chat.example/x\","
                                    " secret: notify/chat}\n");
    const struct def_notification *n = def->notification;

    (void)state;
    assert_string_equal(n->name, "shop");
    assert_int_equal(n->channel, DEF_WEBHOOK);
    assert_int_equal(n->events.count, 2);
    assert_string_equal(n->pipelines.items[0], "shop-*");
    assert_string_equal(n->stages.items[0], "prod");
    assert_int_equal(n->outcomes.count, 2);
    assert_string_equal(n->url, "https://chat.example/x");
    assert_string_equal(n->secret, "notify/chat");
    definition_free(def);
}

static void a_mail_notification_is_read(void **state)
{
    struct definition *def =
        parsed(HEAD("Notification") "  {events: '**', mail: {to: [qa@example.org, a+b@x.org]}}\n");

    (void)state;
    assert_int_equal(def->notification->channel, DEF_MAIL);
    assert_int_equal(def->notification->to.count, 2);
    assert_int_equal(def->notification->pipelines.count, 1);
    assert_string_equal(def->notification->pipelines.items[0], "**");
    assert_int_equal(def->notification->stages.count, 0);
    definition_free(def);
}

static void keys_on_the_topic_are_bare_for_pipelines_only(void **state)
{
    static const struct {
        enum def_kind kind;
        const char *key;
    } rows[] = {{DEF_PIPELINE, "shop"},
                {DEF_ENVIRONMENT, "Environment/shop"},
                {DEF_NOTIFICATION, "Notification/shop"},
                {DEF_ROLE, "Role/shop"},
                {DEF_BINDING, "Binding/shop"}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *key = definition_key(rows[i].kind, "shop");

        assert_string_equal(key, rows[i].key);
        free(key);
    }
}

static void all_mistakes_are_told_at_once_in_the_order_of_lines(void **state)
{
    const char *yaml = HEAD("Pipeline") "  mode: faster\n" SOURCES "  stages:\n"
                                        "    - name: Build\n"
                                        "      steps:\n"
                                        "        - build: {image: x, sorce: app}\n"
                                        "    - nam: dev\n";
    struct def_problems problems = {0};
    struct definition *def;
    struct err err = {0};
    struct buf out;

    (void)state;
    assert_int_equal(definition_parse(&def, yaml, strlen(yaml), &problems, &err), -1);
    buf_init(&out, 10000);
    def_problems_print(&problems, "shop.yaml", &out);
    assert_string_equal(
        out.data,
        "shop.yaml:5:9: spec.mode: not a mode, which is one of: superseded, queued, parallel\n"
        "shop.yaml:9:13: spec.stages[0].name: 'Build': a name has 1 to 63 lower-case letters, "
        "digits and dashes, and does not begin with a dash\n"
        "shop.yaml:11:18: spec.stages[0].steps[0].build: a build needs 'name' (a name)\n"
        "shop.yaml:11:26: spec.stages[0].steps[0].build.image: 'x': expected a registry and a "
        "repository, such as registry.example/acme/shop\n"
        "shop.yaml:11:29: spec.stages[0].steps[0].build.sorce: not a key of a build; did you mean "
        "'source'?\n"
        "shop.yaml:12:7: spec.stages[1].nam: not a key of a stage; did you mean 'name'?\n"
        "shop.yaml:12:7: spec.stages[1]: a stage needs 'name' (a name)\n"
        "shop.yaml:12:7: spec.stages[1]: a stage needs 'steps' (a list of steps)\n");
    assert_string_equal(
        err.msg,
        "line 5, column 9: spec.mode: not a mode, which is one of: superseded, queued, parallel");
    def_problems_release(&problems);
    buf_release(&out);
}

static void at_most_fifty_mistakes_are_told(void **state)
{
    struct def_problems problems = {0};
    struct definition *def;
    struct err err = {0};
    struct buf yaml;

    (void)state;
    buf_init(&yaml, DEFINITION_SIZE_MAX);
    for (int i = 0; i < 1000; i++)
        buf_addf(&yaml, "key-%d: x\n", i);
    assert_int_equal(definition_parse(&def, yaml.data, yaml.len, &problems, &err), -1);
    assert_int_equal(problems.count, 50);
    def_problems_release(&problems);
    assert_int_equal(definition_parse(&def, yaml.data, yaml.len, NULL, NULL), -1);
    buf_release(&yaml);
}

static void more_than_the_limit_is_refused(void **state)
{
    struct def_problems problems = {0};
    struct definition *def;
    struct err err = {0};
    struct buf yaml;

    (void)state;
    buf_init(&yaml, 2 * DEFINITION_SIZE_MAX);
    buf_adds(&yaml, AFTER_BUILD);
    while (yaml.len < DEFINITION_SIZE_MAX)
        buf_addc(&yaml, '#');
    assert_int_equal(definition_parse(&def, yaml.data, yaml.len, &problems, &err), 0);
    definition_free(def);
    buf_addc(&yaml, '#');
    assert_int_equal(definition_parse(&def, yaml.data, yaml.len, &problems, &err), -1);
    assert_string_equal(problems.items[0].reason, "larger than 256 KiB");
    def_problems_release(&problems);
    buf_release(&yaml);
}

/* A key of somebody's is shown, but neither half a character of it nor what steers a terminal. */
static void problems_are_always_text(void **state)
{
    struct def_problems problems = {0};
    struct definition *def;
    struct err err = {0};
    struct buf yaml;

    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        buf_init(&yaml, DEFINITION_SIZE_MAX);
        buf_addf(&yaml, "\"\\e%.*s", (int)shift, "abc");
        for (int i = 0; i < 200; i++)
            buf_adds(&yaml, "\xf0\x9f\x9a\x80");
        buf_addf(&yaml, "\": 1\nkind: \"%.*s", (int)shift, "abc");
        for (int i = 0; i < 200; i++)
            buf_adds(&yaml, "\xf0\x9f\x9a\x80");
        buf_adds(&yaml, "\"\n");
        assert_int_equal(definition_parse(&def, yaml.data, yaml.len, &problems, &err), -1);
        for (size_t i = 0; i < problems.count; i++) {
            const struct def_problem *p = &problems.items[i];

            assert_true(str_is_utf8(p->path, strlen(p->path)));
            assert_true(str_is_utf8(p->reason, strlen(p->reason)));
            assert_null(strchr(p->path, '\x1b'));
        }
        def_problems_release(&problems);
        buf_release(&yaml);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_environment_is_read),
        cmocka_unit_test(a_webhook_notification_is_read),
        cmocka_unit_test(a_mail_notification_is_read),
        cmocka_unit_test(keys_on_the_topic_are_bare_for_pipelines_only),
        cmocka_unit_test(all_mistakes_are_told_at_once_in_the_order_of_lines),
        cmocka_unit_test(problems_are_always_text),
        cmocka_unit_test(at_most_fifty_mistakes_are_told),
        cmocka_unit_test(more_than_the_limit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
