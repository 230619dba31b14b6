/* What a source follows: branches, tags, pull requests, and the paths that count. */
#include "tests/unit/definition/definitions.h"

#define SOURCE(keys)                                                                               \
    HEAD("Pipeline") "  sources:\n    - {name: app, git: https://g/x, " keys "}\n" STAGES BUILD
#define AT "spec.sources[0]"

static const struct def_source *source_of(struct definition *def)
{
    return &def->pipeline->sources[0];
}

static void branches_are_matched_by_their_short_name(void **state)
{
    struct definition *def = parsed(SOURCE("branches: [development, release/*]"));
    const struct def_source *app = source_of(def);

    (void)state;
    assert_true(def_source_matches(app, "refs/heads/development"));
    assert_true(def_source_matches(app, "refs/heads/release/1.0"));
    assert_false(def_source_matches(app, "refs/heads/release/1.0/x"));
    assert_false(def_source_matches(app, "refs/heads/main"));
    assert_false(def_source_matches(app, "refs/tags/development"));
    assert_false(def_source_matches(app, "refs/pull/7/head"));
    assert_false(def_source_matches(app, "development"));
    definition_free(def);
}

static void tags_need_no_branches(void **state)
{
    struct definition *def = parsed(SOURCE("tags: [v*, 'nightly/**']"));
    const struct def_source *app = source_of(def);

    (void)state;
    assert_int_equal(app->branches.count, 0);
    assert_int_equal(app->tags.count, 2);
    assert_true(def_source_matches(app, "refs/tags/v1.0"));
    assert_true(def_source_matches(app, "refs/tags/nightly/2026/11"));
    assert_false(def_source_matches(app, "refs/tags/1.0"));
    assert_false(def_source_matches(app, "refs/heads/v1.0"));
    definition_free(def);
}

static void heads_of_pull_and_merge_requests_are_matched_when_asked_for(void **state)
{
    struct definition *def = parsed(SOURCE("pull-requests: true"));
    const struct def_source *app = source_of(def);

    (void)state;
    assert_true(app->pull_requests);
    assert_true(def_source_matches(app, "refs/pull/7/head"));
    assert_true(def_source_matches(app, "refs/merge-requests/42/head"));
    assert_false(def_source_matches(app, "refs/pull/7/merge"));
    assert_false(def_source_matches(app, "refs/pull/x/head"));
    assert_false(def_source_matches(app, "refs/pull//head"));
    assert_false(def_source_matches(app, "refs/pull/7/head/x"));
    assert_false(def_source_matches(app, "refs/heads/main"));
    definition_free(def);
    def = parsed(SOURCE("branches: main, pull-requests: false, tags: []"));
    assert_false(def_source_matches(source_of(def), "refs/pull/7/head"));
    definition_free(def);
}

struct change {
    const char *paths; /* of the source */
    char *const *changed;
    size_t count;
    bool complete, wanted;
};

static void a_change_counts_by_its_paths(void **state)
{
    static char *const docs[] = {"docs/a.md", "docs/x/b.md"};
    static char *const code[] = {"src/main.c"};
    static char *const both[] = {"docs/a.md", "src/main.c"};
    static const struct change rows[] = {
        {"branches: main", docs, 2, true, true},
        {"branches: main, paths: [src/**]", code, 1, true, true},
        {"branches: main, paths: [src/**]", docs, 2, true, false},
        {"branches: main, paths: [src/**]", both, 2, true, true},
        {"branches: main, paths: 'src/**'", docs, 2, true, false},
        {"branches: main, paths: {include: [src/**]}", docs, 2, true, false},
        {"branches: main, paths: {exclude: [docs/**]}", docs, 2, true, false},
        {"branches: main, paths: {exclude: [docs/**]}", both, 2, true, true},
        {"branches: main, paths: {exclude: [docs/*]}", docs, 2, true, true},
        {"branches: main, paths: {exclude: ['**.md']}", docs, 2, true, false},
        {"branches: main, paths: {include: [src/**, docs/**], exclude: [docs/**]}", docs, 2, true,
         false},
        {"branches: main, paths: {include: [src/**], exclude: ['**.c']}", code, 1, true, false},
        /* what could not be listed whole counts, and so does a commit that changes nothing */
        {"branches: main, paths: [src/**]", docs, 2, false, true},
        {"branches: main, paths: [src/**]", NULL, 0, false, true},
        {"branches: main, paths: [src/**]", NULL, 0, true, false},
        {"branches: main, paths: {exclude: [docs/**]}", NULL, 0, true, true},
        {"branches: main, paths: {include: [], exclude: []}", docs, 2, true, true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *yaml = NULL;
        struct definition *def;

        assert_true(asprintf(&yaml,
                             HEAD("Pipeline") "  sources:\n    - {name: app, git: "
                                              "https://g/x, %s}\n" STAGES BUILD,
                             rows[i].paths) > 0);
        def = parsed(yaml);
        if (def_source_wants(source_of(def), rows[i].changed, rows[i].count, rows[i].complete) !=
            rows[i].wanted)
            fail_msg("row %zu: %s", i, rows[i].paths);
        definition_free(def);
        free(yaml);
    }
}

static void rules_of_what_a_source_follows(void **state)
{
    static const struct refusal rows[] = {
        {SOURCE("poll: 0"), 6, AT, "needs 'branches', 'tags' or 'pull-requests: true'"},
        {SOURCE("tags: []"), 6, AT, "needs 'branches', 'tags' or 'pull-requests: true'"},
        {SOURCE("pull-requests: false"), 6, AT, "needs 'branches', 'tags' or"},
        {SOURCE("branches: [], tags: []"), 6, AT ".branches", "needs one at least"},
        {SOURCE("tags: [refs/tags/v1]"), 6, AT ".tags[0]", "v1.0, not refs/tags/v1.0"},
        {SOURCE("tags: ['a b']"), 6, AT ".tags[0]", "expected a tag or a glob"},
        {SOURCE("tags: {a: b}"), 6, AT ".tags", "expected a list, not a mapping"},
        {SOURCE("tag: v1, branches: main"), 6, AT ".tag", "did you mean 'tags'?"},
        {SOURCE("pull-requests: yes"), 6, AT ".pull-requests", "expected true or false, not 'yes'"},
        {SOURCE("branches: main, paths: {include: src/**, only: x}"), 6, AT ".paths.only",
         "not a key of paths, which has: include, exclude"},
        {SOURCE("branches: main, paths: {exlude: x}"), 6, AT ".paths.exlude",
         "did you mean 'exclude'?"},
        {SOURCE("branches: main, paths: [/src]"), 6, AT ".paths[0]",
         "from the repository's root, such as src/**"},
        {SOURCE("branches: main, paths: [./src]"), 6, AT ".paths[0]", "from the repository's root"},
        {SOURCE("branches: main, paths: {exclude: [docs/]}"), 6, AT ".paths.exclude[0]",
         "all in a folder is docs/**"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_refused(&rows[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branches_are_matched_by_their_short_name),
        cmocka_unit_test(tags_need_no_branches),
        cmocka_unit_test(heads_of_pull_and_merge_requests_are_matched_when_asked_for),
        cmocka_unit_test(a_change_counts_by_its_paths),
        cmocka_unit_test(rules_of_what_a_source_follows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
