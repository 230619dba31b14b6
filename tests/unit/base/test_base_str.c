#include "base/str.h"

#include <sys/resource.h>

#include "tests/unit/unit.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static void comparing_accepts_null(void **state)
{
    (void)state;
    assert_true(str_eq("a", "a"));
    assert_false(str_eq("a", "b"));
    assert_false(str_eq("a", NULL));
    assert_true(str_eq(NULL, NULL));
    assert_true(str_starts("refs/heads/main", "refs/heads/"));
    assert_false(str_starts("refs", "refs/heads/"));
    assert_true(str_ends("a.yaml", ".yaml"));
    assert_false(str_ends("yaml", ".yaml"));
    assert_true(str_empty(NULL) && str_empty(""));
    assert_false(str_empty(" "));
}

static void globs_match_as_documented(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool match;
    } rows[] = {
        {"main", "main", true},
        {"main", "maine", false},
        {"main", "mai", false},
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "feature", true},
        {"*", "feature/x", false},
        {"**", "feature/x/y", true},
        {"feature/*", "feature/x", true},
        {"feature/*", "feature/x/y", false},
        {"feature/**", "feature/x/y", true},
        {"feature/*", "feature/", true},
        {"**/src/*.c", "a/b/src/x.c", true},
        {"**/src/*.c", "a/b/src/x/y.c", false},
        {"*a*b*c", "xxaxxbxxc", true},
        {"*a*b*c", "xxaxxcxxb", false},
        {"release-?", "release-1", true},
        {"release-?", "release-/", false},
        {"release-?", "release-", false},
        {"?", "\xc3\xa9", true},
        {"v[0-9].*", "v1.2", true},
        {"v[0-9].*", "vx.2", false},
        {"[!a-c]x", "dx", true},
        {"[!a-c]x", "bx", false},
        {"[^a-c]x", "bx", false},
        {"[!a]", "/", false},
        {"[a-]", "-", true},
        {"[]a]", "]", true},
        {"[\\]]", "]", true},
        {"[a", "[a", true},
        {"[a", "a", false},
        {"\\*", "*", true},
        {"\\*", "a", false},
        {"a\\", "a\\", true},
        {"release.*", "release.started", true},
        {"***", "a/b", true},
        {"*/**", "a/b/c", true},
        {"*a/*b", "a/xb", true},
        {"**x*y", "x/xzy", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (str_glob(rows[i].pattern, rows[i].text) != rows[i].match)
            fail_msg("'%s' on '%s' is not %d", rows[i].pattern, rows[i].text, rows[i].match);
}

static void two_stars_of_a_path_are_any_number_of_folders(void **state)
{
    static const struct {
        const char *pattern;
        const char *path;
        bool match;
    } rows[] = {
        {"**/*", "a", true},
        {"**/*", "a/b/c", true},
        {"**/a", "a", true},
        {"**/a", "b/a", true},
        {"**/a", "ba", false},
        {"a/**/b", "a/b", true},
        {"a/**/b", "a/c/d/b", true},
        {"a/**/b", "a/cb", false},
        {"a/**/b", "ab", false},
        {"**/**/a", "a", true},
        {"**/**/a", "b/a", true},
        {"a/**", "a/b/c", true},
        {"a/**", "a", false},
        {"a**/b", "a/b", true},
        {"a**/b", "ac/d/b", true},
        {"a**/b", "ab", false},
        {"**/*/**/c", "c", false},
        {"**/*/**/c", "a/c", true},
        {"", "", true},
        {"**/", "", true},
        {"**/", "a", false},
        {"**/\\*", "a/*", true},
        {"**/[ab]", "x/b", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (str_glob_path(rows[i].pattern, rows[i].path) != rows[i].match)
            fail_msg("'%s' on '%s' is not %d", rows[i].pattern, rows[i].path, rows[i].match);
}

static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6;
}

/* Backtracking would need longer than the universe has. */
static void a_hostile_glob_does_not_explode(void **state)
{
    char pattern[202] = "";
    char text[2001] = "";
    double before = cpu_seconds();

    (void)state;
    for (size_t i = 0; i < 200; i += 4)
        memcpy(pattern + i, i % 8 ? "**a*" : "*a*a", 4);
    pattern[200] = 'c';
    memset(text, 'a', 2000);
    text[1999] = 'b';
    assert_false(str_glob(pattern, text));
    assert_true(cpu_seconds() - before < 5);
}

static void names_are_lower_case_letters_digits_and_dashes(void **state)
{
    char longest[65];

    (void)state;
    assert_true(str_is_name("shop"));
    assert_true(str_is_name("0-a"));
    assert_false(str_is_name(""));
    assert_false(str_is_name(NULL));
    assert_false(str_is_name("-shop"));
    assert_false(str_is_name("Shop"));
    assert_false(str_is_name("shop.web"));
    assert_false(str_is_name("shop/web"));
    assert_false(str_is_name("caf\xc3\xa9"));
    memset(longest, 'a', sizeof(longest));
    longest[63] = '\0';
    assert_true(str_is_name(longest));
    longest[63] = 'a';
    longest[64] = '\0';
    assert_false(str_is_name(longest));
}

static void images_are_what_an_engine_takes(void **state)
{
    static const char *const good[] = {"debian", "debian:12", "registry.example:5000/ci/Maven:3.9",
                                       "r.example/a@sha256:00"};
    static const char *const bad[] = {"",     "-debian", "/debian",   ":12",   "debian 12",
                                      "a//b", "a\nb",    "x:{{tag}}", "a?b=c", "a\xc3\xa9"};
    char longest[STR_IMAGE_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(str_is_image(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(str_is_image(bad[i]));
    memset(longest, 'a', sizeof(longest));
    longest[STR_IMAGE_MAX + 1] = '\0';
    assert_false(str_is_image(longest));
    longest[STR_IMAGE_MAX] = '\0';
    assert_true(str_is_image(longest));
}

static void only_well_formed_utf8_passes(void **state)
{
    static const struct {
        const char *text;
        bool valid;
    } rows[] = {
        {"", true},
        {"plain", true},
        {"\xc3\xa9", true},
        {"\xe2\x82\xac", true},
        {"\xf0\x9f\x9a\x80", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"\x80", false},
        {"\xc3", false},
        {"\xc0\x80", false},
        {"\xe0\x80\x80", false},
        {"\xed\xa0\x80", false},
        {"\xf0\x80\x80\x80", false},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\xe2\x82", false},
        {"a\xff", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(str_is_utf8(rows[i].text, strlen(rows[i].text)), rows[i].valid);
    assert_false(str_is_utf8("a\0b", 3));
}

static void numbers_are_whole_strings_in_range(void **state)
{
    int64_t i = 7;
    uint64_t u = 7;
    double d = 7;

    (void)state;
    assert_int_equal(str_to_i64("-9223372036854775808", &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(str_to_i64("9223372036854775807", &i), 0);
    assert_true(i == INT64_MAX);
    assert_int_equal(str_to_i64("9223372036854775808", &i), -1);
    assert_int_equal(str_to_i64("-", &i), -1);
    assert_int_equal(str_to_i64("1 ", &i), -1);
    assert_int_equal(str_to_i64("+1", &i), -1);
    assert_int_equal(str_to_i64(NULL, &i), -1);
    assert_int_equal(str_to_u64("18446744073709551615", &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(str_to_u64("18446744073709551616", &u), -1);
    assert_int_equal(str_to_u64("-1", &u), -1);
    assert_int_equal(str_to_u64("", &u), -1);
    assert_int_equal(str_to_double("0.5", &d), 0);
    assert_true(d == 0.5);
    assert_int_equal(str_to_double("1e400", &d), -1);
    assert_int_equal(str_to_double("nan", &d), -1);
    assert_int_equal(str_to_double("0x10", &d), -1);
    assert_int_equal(str_to_double(" 1", &d), -1);
}

static void durations_need_a_unit(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"0", 0},
        {"500ms", 500},
        {"60s", 60000},
        {"15m", 900000},
        {"2h", 7200000},
        {"3d", 259200000},
        {"1w", 604800000},
        {"1h30m", 5400000},
        {"1m1ms", 60001},
        {"1", -1},
        {"", -1},
        {"h", -1},
        {"1h1h", -1},
        {"30m1h", -1},
        {"1.5h", -1},
        {"-1h", -1},
        {"1 h", -1},
        {"1y", -1},
        {"99999999999w", -1},
        {"1h ", -1},
        {"18446744073709551616ms", -1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t ms = -1;

        if (str_to_duration(rows[i].text, &ms) != (rows[i].ms < 0 ? -1 : 0) || ms != rows[i].ms)
            fail_msg("'%s' gave %lld", rows[i].text, (long long)ms);
    }
}

static void sizes_know_decimal_and_binary_units(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
        int ret;
    } rows[] = {
        {"512", 512, 0},      {"64Ki", 65536, 0}, {"4Gi", 4ull << 30, 0},
        {"10M", 10000000, 0}, {"2K", 2000, 0},    {"1T", 1000000000000, 0},
        {"", 0, -1},          {"Gi", 0, -1},      {"1.5Gi", 0, -1},
        {"4GiB", 0, -1},      {"-1", 0, -1},      {"99999999Ti", 0, -1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t bytes = 0;

        assert_int_equal(str_to_size(rows[i].text, &bytes), rows[i].ret);
        assert_true(bytes == rows[i].bytes);
    }
}

static void lists_grow_split_sort_and_know_what_they_hold(void **state)
{
    struct strv v = {0};

    (void)state;
    strv_split(&v, " b, a ,, c\t,", ',');
    assert_int_equal(v.count, 3);
    assert_string_equal(v.items[0], "b");
    strv_addf(&v, "%s-%d", "d", 4);
    for (int i = 0; i < 100; i++) {
        strv_add(&v, "z");
        assert_null(v.items[v.count]);
    }
    strv_sort(&v);
    assert_string_equal(v.items[0], "a");
    assert_string_equal(v.items[3], "d-4");
    assert_true(strv_has(&v, "c"));
    assert_false(strv_has(&v, ""));
    strv_release(&v);
    assert_int_equal(v.count, 0);
    strv_split(&v, NULL, ',');
    strv_sort(&v);
    strv_release(&v);
}

static void a_misspelt_word_finds_the_nearest_known_one(void **state)
{
    static const char *const known[] = {"source", "buildspec", "dockerfile", "image", "env", NULL};
    static const struct {
        const char *word, *nearest;
    } rows[] = {
        {"sources", "source"},
        {"srouce", "source"},
        {"buildSpec", "buildspec"},
        {"build-spec", "buildspec"},
        {"Dockerfile", "dockerfile"},
        {"imge", "image"},
        {"enviroment", NULL},
        {"x", NULL},
        {"", NULL},
        {"kubernetes", NULL},
        {"envs", "env"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *nearest = str_nearest(rows[i].word, known);

        if (!str_eq(nearest, rows[i].nearest))
            fail_msg("'%s' gave '%s'", rows[i].word, nearest ? nearest : "nothing");
    }
}

static void what_would_not_be_shown_as_itself_becomes_a_question_mark(void **state)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"läuft 👍 – “so”\n\tund so", "läuft 👍 – “so”\n\tund so"},
        {"a\x1b[2J\rb\x7f", "a?[2J?b?"},
        {"\xc2\x9b"
         "2J \xc2\xa0",
         "?2J \xc2\xa0"},
        {"\xe2\x80\xae"
         "a\xe2\x81\xa9",
         "?a?"},
        {"\xe2\x80\xa9\xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xaa",
         "\xe2\x80\xa9\xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xaa"},
        {"\xe2\x80", "\xe2\x80"},
        {"\xc2", "\xc2"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[64];

        snprintf(text, sizeof(text), "%s", rows[i][0]);
        str_disarm(text);
        assert_string_equal(text, rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparing_accepts_null),
        cmocka_unit_test(globs_match_as_documented),
        cmocka_unit_test(two_stars_of_a_path_are_any_number_of_folders),
        cmocka_unit_test(a_hostile_glob_does_not_explode),
        cmocka_unit_test(names_are_lower_case_letters_digits_and_dashes),
        cmocka_unit_test(images_are_what_an_engine_takes),
        cmocka_unit_test(only_well_formed_utf8_passes),
        cmocka_unit_test(numbers_are_whole_strings_in_range),
        cmocka_unit_test(durations_need_a_unit),
        cmocka_unit_test(sizes_know_decimal_and_binary_units),
        cmocka_unit_test(a_misspelt_word_finds_the_nearest_known_one),
        cmocka_unit_test(what_would_not_be_shown_as_itself_becomes_a_question_mark),
        cmocka_unit_test(lists_grow_split_sort_and_know_what_they_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
