#include "conf/conf.h"

#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "tests/unit/unit.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

struct common_conf {
    struct conf_map kafka;
    char *prefix;
    char *password;
    bool verbose;
};

struct builder_conf {
    int64_t slots;
    int64_t grace_ms;
    uint64_t memory_bytes;
    struct strv labels;
    char *commands;
    char *ca_file;
    char *ca;
};

static const struct conf_item common_items[] = {
    {"kafka", CONF_MAP, offsetof(struct common_conf, kafka), NULL, "Brokers.", CONF_REQUIRED},
    {"topic-prefix", CONF_STR, offsetof(struct common_conf, prefix), "gantry", "Prefix.", 0},
    {"password", CONF_STR, offsetof(struct common_conf, password), NULL, "Password.", CONF_SECRET},
    {"log.verbose", CONF_BOOL, offsetof(struct common_conf, verbose), "false", "More.", 0},
    {NULL, 0, 0, NULL, NULL, 0},
};

static const struct conf_item builder_items[] = {
    {"slots", CONF_INT, offsetof(struct builder_conf, slots), "2", "Builds at once.", 0},
    {"stop.grace", CONF_DURATION, offsetof(struct builder_conf, grace_ms), "30s", "Grace.", 0},
    {"stop.memory", CONF_SIZE, offsetof(struct builder_conf, memory_bytes), "4Gi", "Memory.", 0},
    {"labels", CONF_LIST, offsetof(struct builder_conf, labels), "a,b", "Labels.", 0},
    {"commands", CONF_YAML, offsetof(struct builder_conf, commands), NULL, "Commands.", 0},
    {"tls.ca-file", CONF_STR, offsetof(struct builder_conf, ca_file), NULL, "CA.", 0},
    {"tls.ca", CONF_STR, offsetof(struct builder_conf, ca), NULL, "CA itself.", 0},
    {NULL, 0, 0, NULL, NULL, 0},
};

struct fixture {
    struct common_conf common;
    struct builder_conf builder;
    struct conf_section sections[3];
    struct err err;
    char *folder;
    char *path;
    char *other; /* a second file, for _FILE */
};

static const char *const variables[] = {
    "GANTRY_KAFKA",          "GANTRY_TOPIC_PREFIX",       "GANTRY_PASSWORD",
    "GANTRY_PASSWORD_FILE",  "GANTRY_LOG_VERBOSE",        "GANTRY_BUILDER_SLOTS",
    "GANTRY_BUILDER_LABELS", "GANTRY_BUILDER_STOP_GRACE", "GANTRY_BUILDER_TLS_CA_FILE",
};

static int set_up(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));

    for (size_t i = 0; i < COUNT(variables); i++)
        unsetenv(variables[i]);
    f->sections[0] = (struct conf_section){"common", common_items, &f->common};
    f->sections[1] = (struct conf_section){"builder", builder_items, &f->builder};
    f->folder = mkdtemp(mem_strdup("/tmp/gantry-test-conf-XXXXXX"));
    f->path = mem_printf("%s/gantry.yaml", f->folder);
    f->other = mem_printf("%s/other", f->folder);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    conf_release(f->sections);
    file_remove_tree(f->folder, NULL);
    free(f->other);
    free(f->path);
    free(f->folder);
    free(f);
    return 0;
}

static int load(struct fixture *f, const char *yaml, const char *set)
{
    struct strv sets = {0};
    int ret;

    assert_int_equal(file_write(f->path, yaml, strlen(yaml), 0600, &f->err), 0);
    if (set)
        strv_add(&sets, set);
    conf_release(f->sections);
    ret = conf_load(f->sections, f->path, &sets, &f->err);
    strv_release(&sets);
    return ret;
}

static void assert_loads(struct fixture *f, const char *yaml, const char *set)
{
    if (load(f, yaml, set) < 0)
        fail_msg("%s", f->err.msg);
}

static void without_a_file_there_are_defaults_and_the_environment(void **state)
{
    struct fixture *f = *state;

    setenv("GANTRY_KAFKA", "k1:9092,k2:9092", 1);
    assert_int_equal(conf_load(f->sections, NULL, NULL, &f->err), 0);
    assert_string_equal(conf_map_get(&f->common.kafka, "bootstrap.servers"), "k1:9092,k2:9092");
    assert_string_equal(f->common.prefix, "gantry");
    assert_null(f->common.password);
    assert_false(f->common.verbose);
    assert_int_equal(f->builder.slots, 2);
    assert_int_equal(f->builder.grace_ms, 30000);
    assert_true(f->builder.memory_bytes == 4ull << 30);
    assert_int_equal(f->builder.labels.count, 2);
    assert_null(f->builder.commands);
}

static void the_file_gives_every_type(void **state)
{
    struct fixture *f = *state;

    assert_loads(f,
                 "common:\n"
                 "  kafka:\n"
                 "    bootstrap.servers: k:9092\n"
                 "    linger.ms: 0\n"
                 "    many: [x, y]\n"
                 "  topic-prefix: g\n"
                 "  log: {verbose: yes}\n"
                 "builder:\n"
                 "  slots: 7\n"
                 "  stop.grace: 1m30s\n"
                 "  stop:\n"
                 "    memory: 64Mi\n"
                 "  labels: [x, 'y,z']\n"
                 "  commands:\n"
                 "    edge: {argv: [deploy, \"8080\"]}\n",
                 NULL);
    assert_string_equal(conf_map_get(&f->common.kafka, "bootstrap.servers"), "k:9092");
    assert_string_equal(conf_map_get(&f->common.kafka, "linger.ms"), "0");
    assert_int_equal(f->common.kafka.pairs[2].values.count, 2);
    assert_null(conf_map_get(&f->common.kafka, "other"));
    assert_string_equal(f->common.prefix, "g");
    assert_true(f->common.verbose);
    assert_int_equal(f->builder.slots, 7);
    assert_int_equal(f->builder.grace_ms, 90000);
    assert_true(f->builder.memory_bytes == 64ull << 20);
    assert_int_equal(f->builder.labels.count, 2);
    assert_string_equal(f->builder.labels.items[1], "y,z");
    assert_string_equal(f->builder.commands, "edge:\n  argv:\n  - deploy\n  - \"8080\"\n");
}

static void the_environment_wins_over_the_file_and_set_over_both(void **state)
{
    struct fixture *f = *state;
    const char *yaml = "common: {kafka: {bootstrap.servers: file, acks: all}}\n"
                       "builder: {slots: 3, labels: [file], stop: {grace: 3s}}\n";

    setenv("GANTRY_KAFKA", "env", 1);
    setenv("GANTRY_BUILDER_SLOTS", "4", 1);
    setenv("GANTRY_BUILDER_LABELS", "x, y", 1);
    setenv("GANTRY_BUILDER_STOP_GRACE", "4s", 1);
    assert_loads(f, yaml, "builder.slots=5");
    assert_string_equal(conf_map_get(&f->common.kafka, "bootstrap.servers"), "env");
    assert_string_equal(conf_map_get(&f->common.kafka, "acks"), "all");
    assert_int_equal(f->builder.slots, 5);
    assert_int_equal(f->builder.grace_ms, 4000);
    assert_int_equal(f->builder.labels.count, 2);
    assert_string_equal(f->builder.labels.items[1], "y");
}

static void set_reaches_one_key_of_a_mapping(void **state)
{
    struct fixture *f = *state;

    assert_loads(f, "common: {kafka: {bootstrap.servers: a, acks: all}}\n",
                 "common.kafka.acks=1=2");
    assert_string_equal(conf_map_get(&f->common.kafka, "acks"), "1=2");
    assert_loads(f, "common: {kafka: {acks: all}}\n", "common.kafka=b:1,c:2");
    assert_string_equal(conf_map_get(&f->common.kafka, "bootstrap.servers"), "b:1,c:2");
}

static void a_mapping_may_be_written_with_dotted_keys_or_as_the_brokers_alone(void **state)
{
    struct fixture *f = *state;

    assert_loads(f, "common:\n  kafka.bootstrap.servers: a\n  kafka.acks: all\n", NULL);
    assert_string_equal(conf_map_get(&f->common.kafka, "bootstrap.servers"), "a");
    assert_string_equal(conf_map_get(&f->common.kafka, "acks"), "all");
    assert_loads(f, "common: {kafka: \"a:1,b:2\"}\n", NULL);
    assert_string_equal(conf_map_get(&f->common.kafka, "bootstrap.servers"), "a:1,b:2");
}

static void a_value_may_come_from_a_file_named_in_the_environment(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(file_write(f->other, "s3cret\n", 7, 0600, &f->err), 0);
    setenv("GANTRY_PASSWORD_FILE", f->other, 1);
    assert_loads(f, "common: {kafka: a, password: old}\n", NULL);
    assert_string_equal(f->common.password, "s3cret");
    setenv("GANTRY_PASSWORD", "x", 1);
    assert_int_equal(load(f, "common: {kafka: a}\n", NULL), -1);
    assert_non_null(strstr(f->err.msg, "GANTRY_PASSWORD and GANTRY_PASSWORD_FILE are both set"));
    unsetenv("GANTRY_PASSWORD");
    setenv("GANTRY_PASSWORD_FILE", "/nowhere", 1);
    assert_int_equal(load(f, "common: {kafka: a}\n", NULL), -1);
    assert_non_null(strstr(f->err.msg, "GANTRY_PASSWORD_FILE: cannot read '/nowhere'"));
}

static void a_variable_that_is_a_settings_own_is_not_taken_for_a_file(void **state)
{
    struct fixture *f = *state;

    setenv("GANTRY_BUILDER_TLS_CA_FILE", "/some/ca.pem", 1);
    assert_loads(f, "common: {kafka: a}\n", NULL);
    assert_string_equal(f->builder.ca_file, "/some/ca.pem");
    assert_null(f->builder.ca);
}

static void nothing_after_the_colon_and_an_empty_variable_mean_the_default(void **state)
{
    struct fixture *f = *state;

    setenv("GANTRY_BUILDER_SLOTS", "", 1);
    assert_loads(f, "common:\n  kafka: a\n  topic-prefix:\n  log:\nbuilder:\n", NULL);
    assert_string_equal(f->common.prefix, "gantry");
    assert_int_equal(f->builder.slots, 2);
    assert_loads(f, "common: {kafka: a, topic-prefix: \"\"}\n", NULL);
    assert_string_equal(f->common.prefix, "");
}

static void sections_of_other_services_are_skipped(void **state)
{
    struct fixture *f = *state;

    assert_loads(f,
                 "common: {kafka: a}\n"
                 "source-watcher: {what: ever}\npromoter: []\ndeployer:\napprover: x\n"
                 "notifier: {}\nconsole: {}\nsupervisor: {}\n",
                 "promoter.any=thing");
}

static void what_is_wrong_is_refused_with_its_place(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *yaml, *set, *place, *reason;
    } rows[] = {
        {"common: {kafka: a}\nbuilder:\n  slot: 3\n", NULL,
         ":3: ", "builder.slot is not a setting; did you mean 'slots'?"},
        {"common:\n  kafka: a\n  log:\n    zzzzzz: 1\n", NULL,
         ":4: ", "common.log.zzzzzz is not a setting"},
        {"commn: {}\n", NULL, ":1: ", "did you mean 'common'?"},
        {"common: {kafka: a}\nweb:\n  port: 1\n", NULL, ":2: ", "'web' is neither"},
        {"builder: {slots: 1}\nbuilder: {slots: 2}\n", NULL, ":2: ", "twice"},
        {"builder:\n  slots: 1\n  slots: 2\n", NULL, ":3: ", "builder.slots stands there twice"},
        {"builder:\n  stop.grace: 1s\n  stop: {grace: 2s}\n", NULL, ":3: ", "twice"},
        {"common:\n  kafka:\n    acks: 1\n    acks: 2\n", NULL, ":4: ", "common.kafka.acks"},
        {"common:\n  kafka:\n    a: {b: 1}\n", NULL, ":3: ", "common.kafka.a: expected a value"},
        {"common:\n  kafka:\n    a:\n", NULL, ":3: ", "common.kafka.a: expected a value"},
        {"builder:\n  slots: many\n", NULL, ":2: ", "builder.slots: 'many' is not a whole number"},
        {"builder:\n  stop:\n    grace: 5\n", NULL, ":3: ", "is not a duration"},
        {"builder: {stop: {memory: lots}}\n", NULL, ":1: ", "is not a size"},
        {"common: {log: {verbose: 1}}\n", NULL, ":1: ", "'1' is not true or false"},
        {"builder:\n  slots: [1]\n", NULL, ":2: ", "expected a value, not a list"},
        {"builder:\n  labels:\n    - [x]\n", NULL, ":3: ", "list of plain values"},
        {"builder:\n  stop: 5\n", NULL, ":2: ", "builder.stop must be a mapping"},
        {"builder: 5\n", NULL, ":1: ", "builder must be a mapping"},
        {"- common\n", NULL, ":1: ", "expected a mapping of sections"},
        {"common:\n  kafka: [a\n", NULL, ":3: ", "not YAML"},
        {"common:\n  topic-prefix: &x y\n", NULL, ":2: ", "anchors"},
        {"{}", NULL, "", "common.kafka is required: set it there, or GANTRY_KAFKA"},
        {"{}", "slots=1", "--set slots: ", "section.key=value"},
        {"{}", "builder.slots", "--set builder.slots: ", "section.key=value"},
        {"{}", "builder.slot=1", "--set builder.slot: ", "did you mean 'slots'?"},
        {"{}", "bilder.slots=1", "--set bilder.slots: ", "did you mean 'builder'?"},
        {"{}", "builder.slots=x", "--set builder.slots: ", "whole number"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        if (load(f, rows[i].yaml, rows[i].set) == 0)
            fail_msg("taken: %s", rows[i].yaml);
        if (!strstr(f->err.msg, rows[i].place) || !strstr(f->err.msg, rows[i].reason))
            fail_msg("row %zu: %s", i, f->err.msg);
        if (rows[i].place[0] == ':')
            assert_memory_equal(f->err.msg, f->path, strlen(f->path));
    }
}

static void a_wrong_variable_is_named(void **state)
{
    struct fixture *f = *state;

    setenv("GANTRY_BUILDER_SLOTS", "many", 1);
    assert_int_equal(load(f, "common: {kafka: a}\n", NULL), -1);
    assert_string_equal(f->err.msg, "GANTRY_BUILDER_SLOTS: 'many' is not a whole number");
}

static void a_missing_file_is_told(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(conf_load(f->sections, f->path, NULL, &f->err), -1);
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
}

static void help_lists_key_variable_default_and_sentence(void **state)
{
    struct fixture *f = *state;
    struct buf out;

    buf_init(&out, 10000);
    conf_help(f->sections, &out);
    assert_non_null(strstr(out.data, "GANTRY_BUILDER_STOP_GRACE"));
    assert_non_null(strstr(out.data, "default: 30s"));
    assert_non_null(strstr(out.data, "      Builds at once.\n"));
    assert_non_null(strstr(out.data, "required"));
    buf_release(&out);
}

int main(void)
{
#define CONF_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CONF_TEST(without_a_file_there_are_defaults_and_the_environment),
        CONF_TEST(the_file_gives_every_type),
        CONF_TEST(the_environment_wins_over_the_file_and_set_over_both),
        CONF_TEST(set_reaches_one_key_of_a_mapping),
        CONF_TEST(a_mapping_may_be_written_with_dotted_keys_or_as_the_brokers_alone),
        CONF_TEST(a_value_may_come_from_a_file_named_in_the_environment),
        CONF_TEST(a_variable_that_is_a_settings_own_is_not_taken_for_a_file),
        CONF_TEST(nothing_after_the_colon_and_an_empty_variable_mean_the_default),
        CONF_TEST(sections_of_other_services_are_skipped),
        CONF_TEST(what_is_wrong_is_refused_with_its_place),
        CONF_TEST(a_wrong_variable_is_named),
        CONF_TEST(a_missing_file_is_told),
        CONF_TEST(help_lists_key_variable_default_and_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
