/* What holds a release, in the words that people read. */
#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "services/cli/cli.h"
#include "tests/unit/unit.h"

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)

static void expect(json_t *hold, const char *words)
{
    struct buf out;

    assert_non_null(hold);
    buf_init(&out, 4096);
    held_words(hold, &out);
    assert_string_equal(buf_cstr(&out), words);
    buf_release(&out);
    json_decref(hold);
}

static void what_could_make_a_terminal_lie_is_taken_out_of_every_text(void **state)
{
    json_t *value = json_pack("{s:s, s:[{s:s}, s, i]}", "reason", "a\x1b[2J\nb", "lines", "line",
                              "\xc2\x9bx", "läuft", 7);
    const json_t *lines = jget(value, "lines");

    (void)state;
    disarm_json(value);
    disarm_json(NULL);
    assert_string_equal(jstr(value, "reason"), "a?[2J\nb");
    assert_string_equal(jstr(json_array_get(lines, 0), "line"), "?x");
    assert_string_equal(json_string_value(json_array_get(lines, 1)), "läuft");
    json_decref(value);
}

static void every_hold_says_what_is_waited_for(void **state)
{
    int64_t now = clock_now_ms();
    (void)state;

    expect(json_pack("{s:s, s:s, s:i}", "name", "occupied:41", "kind", "occupied", "release", 41),
           "release 41 is in there");
    expect(json_pack("{s:s, s:s, s:i}", "name", "behind:41", "kind", "behind", "release", 41),
           "behind release 41");
    expect(json_pack("{s:s, s:s, s:s, s:s, s:I}", "name", "disabled", "kind", "disabled", "by",
                     "kim", "reason", "the fair", "sinceMs", (json_int_t)(now - 2 * HOUR)),
           "disabled by kim 2 h ago: the fair");
    expect(json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", "pinned:prod", "kind", "pinned",
                     "environment", "prod", "digest",
                     "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                     "reason", "measuring"),
           "prod is pinned to sha256:0123456789ab: measuring");
    expect(json_pack("{s:s, s:s, s:I, s:I}", "name", "soak", "kind", "soak", "soakMs",
                     (json_int_t)(2 * HOUR), "untilMs",
                     (json_int_t)(now + HOUR + 12 * MINUTE + 30000)),
           "soak: 1 h 12 min left");
    expect(json_pack("{s:s, s:s, s:I}", "name", "soak", "kind", "soak", "soakMs",
                     (json_int_t)(2 * HOUR)),
           "soak of 2 h");
    expect(json_pack("{s:s, s:s, s:[s, s], s:i}", "name", "approval", "kind", "approval", "by",
                     "group:qa", "user:kim", "count", 2),
           "approval by 2 of group:qa, user:kim");
    expect(json_pack("{s:s, s:s}", "name", "manual", "kind", "manual"),
           "held until it is promoted by hand");
    expect(json_pack("{s:s, s:s}", "name", "new-gate", "kind", "new"), "new-gate");
}

static void a_window_says_when_it_opens_by_the_clock_here(void **state)
{
    (void)state;
    setenv("TZ", "Europe/Berlin", 1);
    tzset();
    expect(json_pack("{s:s, s:s, s:s, s:I}", "name", "window", "kind", "window", "window",
                     "2001-01-01 - 2001-01-02 UTC", "untilMs", (json_int_t)978307200000),
           "window 2001-01-01 - 2001-01-02 UTC, opens 2001-01-01 01:00");
    expect(json_pack("{s:s, s:s, s:s, s:s, s:I}", "name", "freeze:prod", "kind", "freeze",
                     "environment", "prod", "reason", "audit", "untilMs", (json_int_t)978307200000),
           "frozen: prod until 2001-01-01 01:00: audit");
}

static void a_check_says_its_last_answer_and_when_it_is_asked_again(void **state)
{
    int64_t now = clock_now_ms();
    (void)state;

    expect(json_pack("{s:s, s:s, s:s, s:b}", "name", "check", "kind", "check", "type", "error-rate",
                     "asking", 1),
           "check error-rate is being asked");
    expect(json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:I, s:I}", "name", "check", "kind", "check",
                     "type", "error-rate", "asking", 0, "answer", "no", "reason",
                     "2 % of requests fail", "answeredMs", (json_int_t)(now - 2 * MINUTE),
                     "askAgainMs", (json_int_t)(now + 3 * MINUTE + 20000)),
           "check error-rate says no: 2 % of requests fail (2 min ago), asked again in 3 min");
    expect(json_pack("{s:s, s:s, s:b, s:s, s:I}", "name", "check-2", "kind", "check", "asking", 1,
                     "answer", "yes", "answeredMs", (json_int_t)(now - 2 * MINUTE)),
           "check check-2 says yes (2 min ago), is being asked again");
}

static void what_others_wrote_cannot_steer_the_terminal(void **state)
{
    (void)state;
    expect(json_pack("{s:s, s:s, s:s}", "name", "disabled", "kind", "disabled", "reason",
                     "x\x1b[2J\r\ny"),
           "disabled: x [2J  y");
}

static void votes_for_and_against_are_counted_apart(void **state)
{
    json_t *approval = json_pack("{s:[{s:s}, {s:s}, {s:s}]}", "votes", "verdict", "approve",
                                 "verdict", "reject", "verdict", "approve");
    (void)state;

    assert_int_equal(count_votes(approval, "approve"), 2);
    assert_int_equal(count_votes(approval, "reject"), 1);
    json_decref(approval);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_could_make_a_terminal_lie_is_taken_out_of_every_text),
        cmocka_unit_test(every_hold_says_what_is_waited_for),
        cmocka_unit_test(a_window_says_when_it_opens_by_the_clock_here),
        cmocka_unit_test(a_check_says_its_last_answer_and_when_it_is_asked_again),
        cmocka_unit_test(what_others_wrote_cannot_steer_the_terminal),
        cmocka_unit_test(votes_for_and_against_are_counted_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
