#include "log/log.h"

#include <jansson.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/unit.h"

#define LINE_MAX_ (128 * 1024)

/* Standard error goes to memory between capture() and captured(). */
static int saved_stderr = -1;
static int memory = -1;

static void capture(void)
{
    saved_stderr = dup(STDERR_FILENO);
    memory = memfd_create("stderr", 0);
    dup2(memory, STDERR_FILENO);
}

static char *captured(void)
{
    char *text = calloc(1, LINE_MAX_);

    dup2(saved_stderr, STDERR_FILENO);
    assert_true(pread(memory, text, LINE_MAX_ - 1, 0) >= 0);
    close(saved_stderr);
    close(memory);
    return text;
}

static void assert_line(const char *line, const char *after_time)
{
    char time[25];
    int64_t ms;

    assert_true(strlen(line) > 25);
    memcpy(time, line, 24);
    time[24] = '\0';
    assert_int_equal(clock_parse_rfc3339(time, &ms), 0);
    assert_string_equal(line + 25, after_time);
}

static void a_fact_is_one_line_of_keys_and_values(void **state)
{
    char *line;

    (void)state;
    log_init("promoter", LOG_INFO, LOG_TEXT);
    capture();
    log_info("release started", LOG_S("pipeline", "shop"), LOG_I("release", 42),
             LOG_B("forced", true), LOG_S("by", NULL), LOG_S("why", "a \"b\""), LOG_S("empty", ""));
    line = captured();
    assert_line(line, "info  promoter: release started pipeline=shop release=42 forced=true by=- "
                      "why=\"a \\\"b\\\"\" empty=\"\"\n");
    free(line);
}

static void a_fact_needs_no_values(void **state)
{
    char *line;

    (void)state;
    log_init("promoter", LOG_INFO, LOG_TEXT);
    capture();
    log_error("no broker answers");
    line = captured();
    assert_line(line, "error promoter: no broker answers\n");
    free(line);
}

static void levels_below_the_chosen_one_are_silent_and_not_evaluated(void **state)
{
    char *text;
    int evaluated = 0;

    (void)state;
    log_init("promoter", LOG_WARN, LOG_TEXT);
    capture();
    log_debug("x", LOG_I("n", ++evaluated));
    log_info("x", LOG_I("n", ++evaluated));
    text = captured();
    assert_string_equal(text, "");
    assert_int_equal(evaluated, 0);
    assert_true(log_enabled(LOG_WARN) && log_enabled(LOG_ERROR));
    free(text);
}

static void values_cannot_forge_lines_or_steer_a_terminal(void **state)
{
    char *line;

    (void)state;
    log_init("x", LOG_INFO, LOG_TEXT);
    capture();
    log_info("m", LOG_S("v", "a\nb\r\t\x1b[2J\x7f"), LOG_S("w", "\xc2\x9b 2J"),
             LOG_S("bad", "\xff z"), LOG_S("ok", "\xc3\xa9t\xc3\xa9 \xf0\x9f\x9a\x80"));
    line = captured();
    assert_line(line, "info  x: m v=\"a\\nb\\r\\t\\u001b[2J\\u007f\" w=\"\\u009b 2J\" "
                      "bad=\"\\u00ff z\" ok=\"\xc3\xa9t\xc3\xa9 \xf0\x9f\x9a\x80\"\n");
    free(line);
}

static void json_lines_parse_and_hold_the_same(void **state)
{
    char *line;
    json_t *json;

    (void)state;
    log_init("builder", LOG_DEBUG, LOG_JSON);
    capture();
    log_warn("slow \"disk\"", LOG_S("path", "a\\b\n\xff"), LOG_I("ms", -5), LOG_B("ok", false),
             LOG_S("none", NULL));
    line = captured();
    json = json_loads(line, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "level")), "warn");
    assert_string_equal(json_string_value(json_object_get(json, "service")), "builder");
    assert_string_equal(json_string_value(json_object_get(json, "msg")), "slow \"disk\"");
    assert_string_equal(json_string_value(json_object_get(json, "path")), "a\\b\n\xc3\xbf");
    assert_int_equal(json_integer_value(json_object_get(json, "ms")), -5);
    assert_true(json_is_false(json_object_get(json, "ok")));
    assert_true(json_is_null(json_object_get(json, "none")));
    json_decref(json);
    free(line);
}

static void a_long_value_is_cut_between_characters(void **state)
{
    char value[6000] = "x";
    char *line;
    json_t *json;
    const char *logged;

    (void)state;
    for (size_t i = 1; i + 2 < sizeof(value); i += 2)
        memcpy(value + i, "\xc3\xa9", 2);
    log_init("x", LOG_INFO, LOG_JSON);
    capture();
    log_info("m", LOG_S("v", value));
    line = captured();
    json = json_loads(line, 0, NULL);
    assert_non_null(json);
    logged = json_string_value(json_object_get(json, "v"));
    assert_int_equal(strlen(logged), 2047 + 3);
    assert_string_equal(logged + 2047, "...");
    json_decref(json);
    free(line);
}

static void a_line_with_too_much_in_it_says_so(void **state)
{
    char value[2001];
    struct log_kv kv[100] = {{0}};
    char *line;
    json_t *json;

    (void)state;
    memset(value, '\x01', 2000);
    value[2000] = '\0';
    for (size_t i = 0; i < 99; i++)
        kv[i] = LOG_S("k", value);
    log_init("x", LOG_INFO, LOG_JSON);
    capture();
    log_write(LOG_INFO, "much", kv);
    line = captured();
    json = json_loads(line, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "msg")), "much");
    assert_true(json_is_true(json_object_get(json, "cut")));
    json_decref(json);
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fact_is_one_line_of_keys_and_values),
        cmocka_unit_test(a_fact_needs_no_values),
        cmocka_unit_test(levels_below_the_chosen_one_are_silent_and_not_evaluated),
        cmocka_unit_test(values_cannot_forge_lines_or_steer_a_terminal),
        cmocka_unit_test(json_lines_parse_and_hold_the_same),
        cmocka_unit_test(a_long_value_is_cut_between_characters),
        cmocka_unit_test(a_line_with_too_much_in_it_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
