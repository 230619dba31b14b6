#include "yaml/tree.h"

#include "base/mem.h"
#include "tests/unit/unit.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static struct yaml_tree *parse(const char *text)
{
    struct yaml_tree *tree = NULL;
    struct err err = {0};

    if (yaml_tree_parse(&tree, text, strlen(text), NULL, &err) < 0)
        fail_msg("%s", err.msg);
    return tree;
}

static void values_know_their_text_and_place(void **state)
{
    struct yaml_tree *tree = parse("# head\n"
                                   "name: shop\n"
                                   "list:\n"
                                   "  - one\n"
                                   "  - {é: 'two'}\n");
    const struct yaml_node *name = yaml_get(tree->root, "name");
    const struct yaml_node *list = yaml_get(tree->root, "list");
    const struct yaml_node *two;

    (void)state;
    assert_int_equal(tree->root->type, YAML_MAP);
    assert_int_equal(tree->root->count, 2);
    assert_string_equal(name->text, "shop");
    assert_true(name->plain);
    assert_int_equal(name->line, 2);
    assert_int_equal(name->column, 7);
    assert_int_equal(name->key->column, 1);
    assert_int_equal(list->type, YAML_LIST);
    assert_int_equal(list->count, 2);
    assert_string_equal(list->first->text, "one");
    two = yaml_get(list->first->next, "é");
    assert_string_equal(two->text, "two");
    assert_false(two->plain);
    assert_int_equal(two->line, 5);
    assert_int_equal(two->column, 9);
    assert_null(yaml_get(tree->root, "none"));
    assert_null(yaml_get(list, "name"));
    yaml_tree_free(tree);
    yaml_tree_free(NULL);
}

static void nothing_but_comments_has_no_root(void **state)
{
    static const char *const rows[] = {"", "\n\n", "# a comment\n"};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct yaml_tree *tree = parse(rows[i]);

        assert_null(tree->root);
        yaml_tree_free(tree);
    }
}

static void only_plain_words_are_null(void **state)
{
    struct yaml_tree *tree = parse("[~, null, '', \"null\", nil, [], NULL]");
    static const bool nulls[] = {true, true, false, false, false, false, true};
    size_t i = 0;

    (void)state;
    for (const struct yaml_node *n = tree->root->first; n; n = n->next)
        assert_int_equal(yaml_is_null(n), nulls[i++]);
    assert_int_equal(i, COUNT(nulls));
    yaml_tree_free(tree);
}

static void a_repeated_key_is_marked_and_the_first_is_found(void **state)
{
    struct yaml_tree *tree = parse("{a: 1, b: 2, a: 3}");

    (void)state;
    assert_string_equal(yaml_get(tree->root, "a")->text, "1");
    assert_false(tree->root->first->repeated);
    assert_true(tree->root->first->next->next->repeated);
    yaml_tree_free(tree);
}

static void a_repeated_key_is_marked_among_many(void **state)
{
    struct yaml_tree *tree;
    struct buf text;
    size_t repeated = 0;

    (void)state;
    buf_init(&text, 1 << 20);
    for (int i = 0; i < 1000; i++)
        buf_addf(&text, "key-%d: %d\n", i % 990, i);
    tree = parse(text.data);
    for (const struct yaml_node *n = tree->root->first; n; n = n->next)
        repeated += n->repeated;
    assert_int_equal(repeated, 10);
    yaml_tree_free(tree);
    buf_release(&text);
}

static void what_is_refused_says_where_and_why(void **state)
{
    static const struct {
        const char *text;
        int line, column;
        const char *reason;
    } rows[] = {
        {"a: &x 1\n", 1, 4, "anchors"},
        {"a: 1\nb: *x\n", 2, 4, "aliases"},
        {"a: !!str 1\n", 1, 4, "tags"},
        {"a: !x [1]\n", 1, 4, "tags"},
        {"a: &x {}\n", 1, 4, "anchors"},
        {"? [a]\n: 1\n", 1, 3, "a key must be plain text"},
        {"a: 1\n---\nb: 2\n", 2, 1, "second document"},
        {"a: [1, 2\nb: 3\n", 2, 2, "not YAML"},
        {"a: 1\n b: 2\n", 2, 3, "not YAML"},
        {"a: 'x\n", 2, 1, "not YAML"},
        {"a: \"x\\0y\"\n", 1, 4, "NUL"},
        {"a: 1\nb: x\x01y\n", 2, 5, "control character"},
        {"a: 1\nb: \xff\n", 2, 4, "UTF-8"},
        {"\t- a\n", 1, 1, "not YAML"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct yaml_tree *tree = (void *)1;
        struct yaml_place place = {0};
        struct err err = {0};

        if (yaml_tree_parse(&tree, rows[i].text, strlen(rows[i].text), &place, &err) == 0)
            fail_msg("taken: %s", rows[i].text);
        assert_null(tree);
        assert_int_equal(err.code, ERR_INVALID);
        if (place.line != rows[i].line || place.column != rows[i].column ||
            !strstr(err.msg, rows[i].reason))
            fail_msg("row %zu: %d:%d %s", i, place.line, place.column, err.msg);
    }
}

static void depth_and_size_are_bounded(void **state)
{
    struct yaml_tree *tree = NULL;
    struct err err = {0};
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    for (int i = 0; i < YAML_DEPTH_MAX; i++)
        buf_addc(&text, '[');
    for (int i = 0; i < YAML_DEPTH_MAX; i++)
        buf_addc(&text, ']');
    assert_int_equal(yaml_tree_parse(&tree, text.data, text.len, NULL, &err), 0);
    yaml_tree_free(tree);
    buf_reset(&text);
    for (int i = 0; i < 100000; i++)
        buf_addc(&text, '[');
    assert_int_equal(yaml_tree_parse(&tree, text.data, text.len, NULL, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    buf_reset(&text);
    buf_addc(&text, '[');
    for (int i = 0; i < YAML_NODES_MAX; i++)
        buf_adds(&text, "a,");
    assert_int_equal(yaml_tree_parse(&tree, text.data, text.len, NULL, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    buf_release(&text);
}

static void emoji_and_a_byte_order_mark_are_welcome(void **state)
{
    struct yaml_tree *tree = parse("\xef\xbb\xbfmessage: ship it \xf0\x9f\x9a\x80\n");

    (void)state;
    assert_string_equal(yaml_get(tree->root, "message")->text, "ship it \xf0\x9f\x9a\x80");
    yaml_tree_free(tree);
}

static void a_part_is_written_as_a_document_with_the_same_meaning(void **state)
{
    struct yaml_tree *tree =
        parse("x:\n"
              "  run: {argv: [sh, -c, \"a: b\"], env: {PORT: \"8080\", N: 1}}\n"
              "  text: |\n"
              "    two\n"
              "    lines\n"
              "  none:\n"
              "  list: []\n");
    struct buf out;
    struct buf short_out;

    (void)state;
    buf_init(&out, 10000);
    assert_int_equal(yaml_write(yaml_get(tree->root, "x"), &out), 0);
    assert_string_equal(out.data, "run:\n"
                                  "  argv:\n"
                                  "  - sh\n"
                                  "  - -c\n"
                                  "  - \"a: b\"\n"
                                  "  env:\n"
                                  "    PORT: \"8080\"\n"
                                  "    N: 1\n"
                                  "text: \"two\\nlines\\n\"\n"
                                  "none:\n"
                                  "list: []\n");
    buf_init(&short_out, 10);
    assert_int_equal(yaml_write(tree->root, &short_out), -1);
    buf_release(&short_out);
    buf_release(&out);
    yaml_tree_free(tree);
}

static void tags_are_kept_where_they_are_asked_for(void **state)
{
    static const char text[] = "a: !Ref Name\n"
                               "b: !Join\n"
                               "  - ''\n"
                               "  - [x, !Sub '${Y}']\n"
                               "c: !If {d: e}\n"
                               "f: plain\n";
    struct yaml_tree *tree = NULL;
    struct err err = {0};
    const struct yaml_node *join;

    (void)state;
    assert_int_equal(yaml_tree_parse_tagged(&tree, text, strlen(text), NULL, &err), 0);
    join = yaml_get(tree->root, "b");
    assert_string_equal(yaml_get(tree->root, "a")->tag, "Ref");
    assert_string_equal(yaml_get(tree->root, "a")->text, "Name");
    assert_string_equal(join->tag, "Join");
    assert_int_equal(join->count, 2);
    assert_string_equal(join->first->next->first->next->tag, "Sub");
    assert_string_equal(yaml_get(tree->root, "c")->tag, "If");
    assert_null(yaml_get(tree->root, "f")->tag);
    yaml_tree_free(tree);
}

static void tags_of_keys_and_of_yaml_itself_stay_refused(void **state)
{
    static const struct {
        const char *text;
        const char *wrong;
    } rows[] = {
        {"!Ref a: b\n", "a key must be plain text"},
        {"a: !!str 1\n", "!!str"},
        {"a: !<tag:x.example,2000:y> 1\n", "!!str"},
        {"a: ! b\n", "!!str"},
        {"a: &x !Ref b\n", "anchors"},
        {"a: *x\n", "aliases"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct yaml_tree *tree = NULL;
        struct err err = {0};

        assert_int_equal(
            yaml_tree_parse_tagged(&tree, rows[i].text, strlen(rows[i].text), NULL, &err), -1);
        if (!strstr(err.msg, rows[i].wrong))
            fail_msg("%s: %s", rows[i].text, err.msg);
    }
}

/* What the text means, as a document without anchors. */
static void anchored_means(const char *text, const char *plain)
{
    struct yaml_tree *tree = NULL;
    struct err err = {0};
    struct buf out;

    buf_init(&out, 64 * 1024);
    if (yaml_tree_parse_anchored(&tree, text, strlen(text), NULL, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    assert_int_equal(yaml_write(tree->root, &out), 0);
    assert_string_equal(buf_cstr(&out), plain);
    buf_release(&out);
    yaml_tree_free(tree);
}

static void aliases_are_copies_where_they_are_asked_for(void **state)
{
    (void)state;
    anchored_means("a: &x one\nb: *x\n", "a: one\nb: one\n");
    anchored_means("a: &x [1, {b: 2}]\nc: *x\n", "a:\n- 1\n- b: 2\nc:\n- 1\n- b: 2\n");
    anchored_means("- &x {a: &y 1, b: *y}\n- *x\n- *y\n", "- a: 1\n  b: 1\n- a: 1\n  b: 1\n- 1\n");
    anchored_means("a: &x 1\nb: &x 2\nc: *x\n", "a: 1\nb: 2\nc: 2\n");
    anchored_means("&k a: 1\n*k : 2\n", "a: 1\na: 2\n");
}

static void merge_keys_add_what_is_not_there(void **state)
{
    (void)state;
    anchored_means("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n  c: 4\n",
                   "x:\n  a: 1\n  b: 2\ny:\n  b: 3\n  c: 4\n  a: 1\n");
    anchored_means("- &x {a: 1}\n- &y {a: 2, b: 2}\n- {<<: [*x, *y], c: 3}\n- {<<: *y, <<: *x}\n",
                   "- a: 1\n- a: 2\n  b: 2\n- c: 3\n  a: 1\n  b: 2\n- a: 2\n  b: 2\n");
    anchored_means("- &x {<<: {a: 1}}\n- {<<: *x}\n", "- a: 1\n- a: 1\n");
    anchored_means("'<<': 1\n", "\"<<\": 1\n");
}

static void a_copy_knows_where_it_is_written(void **state)
{
    const char *text = "a: &x\n  b: 1\nc: *x\n";
    struct yaml_tree *tree = NULL;
    const struct yaml_node *b;

    (void)state;
    assert_int_equal(yaml_tree_parse_anchored(&tree, text, strlen(text), NULL, NULL), 0);
    b = yaml_get(yaml_get(tree->root, "c"), "b");
    assert_int_equal(b->line, 2);
    assert_int_equal(b->column, 6);
    yaml_tree_free(tree);
}

static void anchors_do_not_lift_any_limit(void **state)
{
    static const struct {
        const char *text;
        int line, column;
        const char *wrong;
    } rows[] = {
        {"a: *x\n", 1, 4, "*x: there is no &x before it"},
        {"a: &x [*x]\n", 1, 8, "*x: there is no &x before it"},
        {"a: &x 1\n<<: *x\n", 1, 4, "<< takes a mapping, or a list of mappings"},
        {"a: &x !Ref b\n", 1, 4, "tags (!name) are not supported"},
    };
    struct yaml_tree *tree = NULL;
    struct yaml_place place;
    struct err err = {0};
    struct buf text;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(
            yaml_tree_parse_anchored(&tree, rows[i].text, strlen(rows[i].text), &place, &err), -1);
        assert_string_equal(err.msg, rows[i].wrong);
        assert_int_equal(place.line, rows[i].line);
        assert_int_equal(place.column, rows[i].column);
    }
    /* A kilobyte that would stand for 10^9 values. */
    buf_init(&text, 4096);
    buf_adds(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 9; i++)
        buf_addf(&text, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n",
                 i, i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    assert_int_equal(yaml_tree_parse_anchored(&tree, text.data, text.len, &place, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_string_equal(err.msg, "more values than are allowed in one document");
    /* A tree that would be deeper than a tree may be. */
    buf_reset(&text);
    buf_adds(&text, "- &a0 [x]\n");
    for (int i = 1; i < 40; i++)
        buf_addf(&text, "- &a%d [*a%d]\n", i, i - 1);
    assert_int_equal(yaml_tree_parse_anchored(&tree, text.data, text.len, &place, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_string_equal(err.msg, "nested deeper than 32 levels");
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_know_their_text_and_place),
        cmocka_unit_test(nothing_but_comments_has_no_root),
        cmocka_unit_test(only_plain_words_are_null),
        cmocka_unit_test(a_repeated_key_is_marked_and_the_first_is_found),
        cmocka_unit_test(a_repeated_key_is_marked_among_many),
        cmocka_unit_test(what_is_refused_says_where_and_why),
        cmocka_unit_test(depth_and_size_are_bounded),
        cmocka_unit_test(emoji_and_a_byte_order_mark_are_welcome),
        cmocka_unit_test(tags_are_kept_where_they_are_asked_for),
        cmocka_unit_test(tags_of_keys_and_of_yaml_itself_stay_refused),
        cmocka_unit_test(a_part_is_written_as_a_document_with_the_same_meaning),
        cmocka_unit_test(aliases_are_copies_where_they_are_asked_for),
        cmocka_unit_test(merge_keys_add_what_is_not_there),
        cmocka_unit_test(a_copy_knows_where_it_is_written),
        cmocka_unit_test(anchors_do_not_lift_any_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
