/* What an engine says, and what passes for it: cut, too large, of another shape. */
#include "tests/unit/unit.h"

#include "base/mem.h"
#include "docker/internal.h"

#define REFUSED(call)                                                                              \
    do {                                                                                           \
        struct err why = {0};                                                                      \
        assert_true(call);                                                                         \
        assert_int_equal(why.code, ERR_INVALID);                                                   \
        assert_true(why.msg[0]);                                                                   \
    } while (0)

static void a_message_is_one_line_of_bounded_length(void **state)
{
    char out[DOCKER_MESSAGE_MAX];
    char *text = mem_alloc(4096);
    (void)state;
    snprintf(text, 4096, "{\"message\": \"no such\\n\\u001b[31mimage: \\u00fc\"}");
    docker_read_message(text, strlen(text), out);
    assert_string_equal(out, "no such  [31mimage: \xC3\xBC");
    memset(text, 'x', 4000);
    memcpy(text, "{\"message\": \"", 13);
    memcpy(text + 4000, "\"}", 3);
    docker_read_message(text, strlen(text), out);
    assert_int_equal(strlen(out), DOCKER_MESSAGE_MAX - 1);
    static const char *const none[] = {"", "{", "[]", "{\"message\": 7}", "<html>"};
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++) {
        docker_read_message(none[i], strlen(none[i]), out);
        assert_string_equal(out, "");
    }
    free(text);
}

static void an_id_is_letters_and_digits_or_none(void **state)
{
    struct err err = {0};
    static const char *const wrong[] = {"",
                                        "{}",
                                        "{\"Id\": \"\"}",
                                        "{\"Id\": \"../../images\"}",
                                        "{\"Id\": \"a b\"}",
                                        "{\"Id\": 7}",
                                        "{\"Id\": \"abc\""};
    (void)state;
    char *id = docker_read_id("{\"Id\": \"0aF9\", \"Warnings\": []}", 30, &err);
    assert_string_equal(id, "0aF9");
    free(id);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        REFUSED(docker_read_id(wrong[i], strlen(wrong[i]), &why) == NULL);
}

static void a_list_of_containers_has_an_id_each(void **state)
{
    struct strv ids = {0};
    struct err err = {0};
    static const char good[] = "[{\"Id\": \"a1\", \"Names\": [\"/x\"]}, {\"Id\": \"b2\"}]";
    static const char *const wrong[] = {"{}", "[1]", "[{\"Id\": null}]", "[{\"Id\": \"a/b\"}]",
                                        "["};
    (void)state;
    assert_int_equal(docker_read_ids(good, strlen(good), &ids, &err), 0);
    assert_int_equal(ids.count, 2);
    assert_string_equal(ids.items[1], "b2");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        REFUSED(docker_read_ids(wrong[i], strlen(wrong[i]), &ids, &why) < 0);
    strv_release(&ids);
}

static void a_wait_ends_with_a_code_or_with_what_went_wrong(void **state)
{
    struct err err = {0};
    int64_t code = -1;
    static const char failed[] = "{\"StatusCode\": -1, \"Error\": {\"Message\": \"it is gone\"}}";
    (void)state;
    assert_int_equal(docker_read_wait("{\"StatusCode\": 137, \"Error\": null}", 34, &code, &err),
                     0);
    assert_int_equal(code, 137);
    assert_int_equal(docker_read_wait(failed, strlen(failed), &code, &err), -1);
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_string_equal(err.msg, "it is gone");
    REFUSED(docker_read_wait("{}", 2, &code, &why) < 0);
    REFUSED(docker_read_wait("", 0, &code, &why) < 0);
}

static unsigned version_of(const char *text, struct err *err)
{
    unsigned minor = 0;
    *err = (struct err){0};
    return docker_read_version(text, strlen(text), &minor, err) == 0 ? minor : 0;
}

static void the_version_is_one_that_both_speak(void **state)
{
    struct err err;
    (void)state;
    assert_int_equal(version_of("{\"ApiVersion\": \"1.41\", \"MinAPIVersion\": \"1.12\"}", &err),
                     41);
    assert_int_equal(version_of("{\"ApiVersion\": \"1.52\", \"MinAPIVersion\": \"1.44\"}", &err),
                     44);
    assert_int_equal(version_of("{\"ApiVersion\": \"1.30\"}", &err), 30);
    assert_int_equal(version_of("{\"ApiVersion\": \"1.24\"}", &err), 0);
    assert_non_null(strstr(err.msg, "1.25 is needed"));
    assert_int_equal(version_of("{\"ApiVersion\": \"2.0\"}", &err), 0);
    assert_int_equal(version_of("{\"ApiVersion\": \"1.99999999999999999999\"}", &err), 0);
    assert_int_equal(version_of("[]", &err), 0);
}

static void usage_is_in_the_engines_units(void **state)
{
    struct docker_answer out = {0};
    struct err err = {0};
    static const char text[] = "{\"cpu_stats\": {\"cpu_usage\": {\"total_usage\": 2500000000}}, "
                               "\"memory_stats\": {\"max_usage\": 4096}}";
    (void)state;
    assert_int_equal(docker_read_stats(text, strlen(text), &out, &err), 0);
    assert_int_equal(out.cpu_ms, 2500);
    assert_int_equal(out.memory_max_bytes, 4096);
    /* As of a container that has ended. */
    assert_int_equal(docker_read_stats("{\"cpu_stats\": {}}", 17, &out, &err), 0);
    assert_int_equal(out.cpu_ms, 0);
    REFUSED(docker_read_stats("[]", 2, &out, &why) < 0);
}

static void the_size_of_what_was_written_is_a_number_or_not_known(void **state)
{
    static const char *const wrong[] = {"",
                                        "[]",
                                        "{",
                                        "{}",
                                        "{\"SizeRw\": null}",
                                        "{\"SizeRw\": -1}",
                                        "{\"SizeRw\": \"7\"}",
                                        "{\"SizeRw\": 1e3}",
                                        "{\"SizeRw\": 99999999999999999999}"};
    static const char good[] = "{\"Id\": \"a\", \"SizeRw\": 5000000000, \"SizeRootFs\": 7}";
    struct err err = {0};
    uint64_t bytes = 1;
    (void)state;
    assert_int_equal(docker_read_size(good, strlen(good), &bytes, &err), 0);
    assert_int_equal(bytes, 5000000000);
    assert_int_equal(docker_read_size("{\"SizeRw\": 0}", 13, &bytes, &err), 0);
    assert_int_equal(bytes, 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        bytes = 1;
        REFUSED(docker_read_size(wrong[i], strlen(wrong[i]), &bytes, &why) < 0);
        assert_int_equal(bytes, 0);
    }
}

/* ---- a pull ---- */

static void an_image_has_a_name_or_none_and_the_time_that_it_was_made(void **state)
{
    static const struct {
        const char *body;
        bool named;
        int64_t made_ms;
    } good[] = {
        {"{\"RepoTags\": [], \"RepoDigests\": null, \"Created\": \"1970-01-01T00:00:01.5000009Z\"}",
         false, 1500},
        {"{\"RepoTags\": [\"a:1\"], \"Created\": \"1970-01-01T01:00:00+01:00\"}", true, 0},
        {"{\"RepoTags\": null, \"RepoDigests\": [\"a@sha256:0\"]}", true, 0},
        {"{}", false, 0}};
    static const char *const wrong[] = {"", "[]", "{", "{\"Created\": \"yesterday\"}"};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct docker_answer answer = {.named = !good[i].named, .made_ms = 7};
        struct err err = {0};
        assert_int_equal(docker_read_image(good[i].body, strlen(good[i].body), &answer, &err), 0);
        assert_int_equal(answer.named, good[i].named);
        assert_int_equal(answer.made_ms, good[i].made_ms);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct docker_answer answer = {0};
        REFUSED(docker_read_image(wrong[i], strlen(wrong[i]), &answer, &why) < 0);
    }
}

static void a_pull_tells_of_its_failure_in_a_line_that_may_be_cut_anywhere(void **state)
{
    static const char text[] = "{\"status\": \"Pulling from x\"}\r\n\r\n{\"errorDetail\": {}, "
                               "\"error\": \"manifest unknown\"}\r\n";
    (void)state;
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        struct docker_progress progress = {0};
        struct err err = {0};
        assert_int_equal(docker_progress_add(&progress, text, cut, &err), 0);
        assert_int_equal(docker_progress_add(&progress, text + cut, strlen(text) - cut, &err), 0);
        assert_string_equal(progress.error, "manifest unknown");
        docker_progress_release(&progress);
    }
}

static void a_line_that_never_ends_or_is_no_json_is_refused(void **state)
{
    struct docker_progress progress = {0};
    char *text = mem_alloc(300 * 1024);
    (void)state;
    memset(text, ' ', 300 * 1024);
    REFUSED(docker_progress_add(&progress, text, 300 * 1024, &why) < 0);
    docker_progress_release(&progress);
    REFUSED(docker_progress_add(&progress, "pulling\n", 8, &why) < 0);
    docker_progress_release(&progress);
    free(text);
}

/* ---- frames ---- */

static struct buf seen;

static void see(const char *data, size_t len, void *arg)
{
    (void)arg;
    buf_add(&seen, data, len);
}

static void frames_give_their_bytes_wherever_they_are_cut(void **state)
{
    static const char stream[] = "\1\0\0\0\0\0\0\5hello\2\0\0\0\0\0\0\1 \1\0\0\0\0\0\0\0\1\0\0\0"
                                 "\0\0\0\5there";
    const size_t len = sizeof(stream) - 1;
    (void)state;
    for (size_t cut = 0; cut <= len; cut++) {
        struct docker_frames frames = {0};
        struct err err = {0};
        buf_init(&seen, 1024);
        assert_int_equal(docker_frames_add(&frames, stream, cut, see, NULL, &err), 0);
        assert_int_equal(docker_frames_add(&frames, stream + cut, len - cut, see, NULL, &err), 0);
        assert_string_equal(buf_cstr(&seen), "hello there");
        assert_true(docker_frames_whole(&frames));
        buf_release(&seen);
    }
}

static void a_frame_that_ends_early_is_not_whole(void **state)
{
    struct docker_frames frames = {0};
    struct err err = {0};
    (void)state;
    buf_init(&seen, 1024);
    assert_int_equal(docker_frames_add(&frames, "\1\0\0\0\0\0\0\5hel", 11, see, NULL, &err), 0);
    assert_false(docker_frames_whole(&frames));
    frames = (struct docker_frames){0};
    assert_int_equal(docker_frames_add(&frames, "\1\0\0", 3, see, NULL, &err), 0);
    assert_false(docker_frames_whole(&frames));
    buf_release(&seen);
}

static void what_is_no_frame_is_refused(void **state)
{
    static const char wrong[][9] = {"\3\0\0\0\0\0\0\1", "\1\0\1\0\0\0\0\1", "HTTP/1.1",
                                    "\1\0\0\0\377\377\377\377"};
    (void)state;
    buf_init(&seen, 1024);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct docker_frames frames = {0};
        REFUSED(docker_frames_add(&frames, wrong[i], 8, see, NULL, &why) < 0);
    }
    assert_int_equal(seen.len, 0);
    buf_release(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_one_line_of_bounded_length),
        cmocka_unit_test(an_id_is_letters_and_digits_or_none),
        cmocka_unit_test(a_list_of_containers_has_an_id_each),
        cmocka_unit_test(a_wait_ends_with_a_code_or_with_what_went_wrong),
        cmocka_unit_test(the_version_is_one_that_both_speak),
        cmocka_unit_test(usage_is_in_the_engines_units),
        cmocka_unit_test(the_size_of_what_was_written_is_a_number_or_not_known),
        cmocka_unit_test(an_image_has_a_name_or_none_and_the_time_that_it_was_made),
        cmocka_unit_test(a_pull_tells_of_its_failure_in_a_line_that_may_be_cut_anywhere),
        cmocka_unit_test(a_line_that_never_ends_or_is_no_json_is_refused),
        cmocka_unit_test(frames_give_their_bytes_wherever_they_are_cut),
        cmocka_unit_test(a_frame_that_ends_early_is_not_whole),
        cmocka_unit_test(what_is_no_frame_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
