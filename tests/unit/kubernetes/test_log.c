#include "base/buf.h"
#include "fake.h"
#include "kubernetes/internal.h"

#define AT(s, ns) "2026-01-31T09:00:" s "." ns "Z "

/* ---- lines ---- */

static bool add(const char *data, size_t len, void *arg)
{
    buf_add(arg, data, len);
    return true;
}

static const char all[] = AT("01", "000000001") "one\n" AT("01", "5") "two\n" AT(
    "01", "5") "two again\n" AT("01", "5") "\n" AT("02", "123") "three and no more";

/* Cut at any byte, by any connection: the same text once. */
static void a_log_that_is_cut_anywhere_is_whole(void **state)
{
    const size_t len = sizeof(all) - 1;
    (void)state;

    for (size_t cut = 0; cut <= len; cut++) {
        for (size_t again = 0; again <= len; again += 7) {
            struct log_lines lines = {0};
            struct buf out;
            buf_init(&out, 4096);
            log_lines_begin(&lines);
            log_lines_add(&lines, all, cut, add, &out);
            log_lines_begin(&lines);
            log_lines_add(&lines, all, again, add, &out);
            log_lines_begin(&lines);
            log_lines_add(&lines, all, len, add, &out);
            assert_string_equal(buf_cstr(&out), "one\ntwo\ntwo again\n\nthree and no more");
            buf_release(&out);
        }
    }
}

static void pieces_of_any_size_are_the_same_log(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 40; piece++) {
        struct log_lines lines = {0};
        struct buf out;
        buf_init(&out, 4096);
        log_lines_begin(&lines);
        for (size_t i = 0; i < sizeof(all) - 1; i += piece) {
            const size_t left = sizeof(all) - 1 - i;
            log_lines_add(&lines, all + i, left < piece ? left : piece, add, &out);
        }
        assert_string_equal(buf_cstr(&out), "one\ntwo\ntwo again\n\nthree and no more");
        buf_release(&out);
    }
}

static void what_has_no_time_is_not_of_the_log(void **state)
{
    static const char text[] =
        "{\"kind\": \"Status\"}\n\nunable to retrieve container logs\n"
        "2026-13-31T09:00:00Z no such month\n" AT(
            "01", "1") "one\n"
                       "a word that is longer than any time can be, which is no line either: "
                       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                       "xxxxxxxx\n"
                       "2026-01-31T11:00:02.5+02:00 two\n";
    struct log_lines lines = {0};
    struct buf out;
    (void)state;

    buf_init(&out, 4096);
    log_lines_begin(&lines);
    log_lines_add(&lines, text, sizeof(text) - 1, add, &out);
    assert_string_equal(buf_cstr(&out), "one\ntwo\n");
    assert_int_equal(lines.given.at_ns, 500000000);
    buf_release(&out);
}

/* ---- a container's ---- */

struct reader {
    struct fake *fake;
    struct buf text;
    bool slow; /* takes no more after each piece */
    bool slowed;
    bool ended;
    struct err err;
};

static bool output(const char *data, size_t len, void *arg)
{
    struct reader *reader = arg;
    buf_add(&reader->text, data, len);
    reader->slowed = reader->slow;
    return !reader->slow;
}

static void ended(const struct err *err, void *arg)
{
    struct reader *reader = arg;
    reader->ended = true;
    if (err)
        reader->err = *err;
    reader->fake->done = true;
}

static const struct kubernetes_log_ops ops = {.output = output, .ended = ended};

static struct kubernetes_log *follow(struct fake *fake, struct reader *reader)
{
    *reader = (struct reader){.fake = fake};
    buf_init(&reader->text, 16 * 1024 * 1024);
    return kubernetes_log_follow(fake->kubernetes, "pod-1", "build", &ops, reader);
}

static void wait_for_text(struct fake *fake, struct reader *reader, const char *text)
{
    for (int i = 0; i < 2000 && !str_eq(buf_cstr(&reader->text), text); i++)
        loop_run_for(fake->loop, 10, NULL);
    assert_string_equal(buf_cstr(&reader->text), text);
}

static void a_broken_connection_loses_and_repeats_nothing(void **state)
{
    struct fake *fake = *state;
    struct reader reader;

    fake_answer(fake, 400, "{\"message\": \"container is waiting to start\"}");
    fake_answer(fake, 200, AT("01", "1") "one\n" AT("02", "1") "tw");
    fake_answer(fake, 500, "{\"message\": \"the kubelet is away\"}");
    fake_answer(fake, 200, AT("02", "1") "two\n" AT("03", "1") "three\n")->open = true;
    struct kubernetes_log *log = follow(fake, &reader);
    wait_for_text(fake, &reader, "one\ntwo\nthree\n");
    assert_string_equal(fake->asked.items[0],
                        "GET /api/v1/namespaces/builds/pods/pod-1/log container=build follow=true "
                        "timestamps=true");
    assert_non_null(strstr(fake->asked.items[3], "sinceTime=2026-01-31T09:00:02Z"));
    kubernetes_log_free(log);
    buf_release(&reader.text);
}

static void what_is_left_of_a_container_that_ended_is_read(void **state)
{
    struct fake *fake = *state;
    struct reader reader;

    fake_answer(fake, 200, AT("01", "1") "one\n");
    fake_answer(fake, 200, AT("01", "1") "one\n")->open = true;
    fake_answer(fake, 200, AT("01", "1") "one\n" AT("01", "2") "two\n");
    struct kubernetes_log *log = follow(fake, &reader);
    wait_for_text(fake, &reader, "one\n");
    /* The follower that does not see the end is not waited for. */
    for (int i = 0; i < 2000 && fake->asked.count < 2; i++)
        loop_run_for(fake->loop, 10, NULL);
    kubernetes_log_finish(log);
    fake_wait(fake);
    assert_string_equal(buf_cstr(&reader.text), "one\ntwo\n");
    assert_null(strstr(fake->asked.items[2], "follow"));
    assert_int_equal(reader.err.code, ERR_NONE);
    kubernetes_log_free(log);
    buf_release(&reader.text);
}

static void the_rest_of_a_pod_that_is_gone_is_told_to_be_missing(void **state)
{
    struct fake *fake = *state;
    struct reader reader;

    fake_answer(fake, 200, AT("01", "1") "one\n");
    fake_answer(fake, 404, "{\"message\": \"pods \\\"pod-1\\\" not found\"}");
    struct kubernetes_log *log = follow(fake, &reader);
    kubernetes_log_finish(log);
    fake->answers[0].status = 503;
    fake_wait(fake);
    assert_int_equal(reader.err.code, ERR_NOT_FOUND);
    kubernetes_log_free(log);
    buf_release(&reader.text);
}

/* 3 MiB in lines: more than what is kept for a reader who is slow. */
static void a_reader_who_is_slow_gets_all_of_it(void **state)
{
    struct fake *fake = *state;
    struct reader reader;
    struct buf text, plain;
    char line[1100];

    buf_init(&text, 8 * 1024 * 1024);
    buf_init(&plain, 8 * 1024 * 1024);
    memset(line, 'x', sizeof(line));
    for (int i = 0; i < 3000; i++) {
        buf_addf(&text, "2026-01-31T09:%02d:01.%09dZ %d %.*s\n", i / 100, i, i, 1000, line);
        buf_addf(&plain, "%d %.*s\n", i, 1000, line);
    }
    for (int i = 0; i < 30; i++)
        fake_answer(fake, 200, buf_cstr(&text));
    struct kubernetes_log *log = follow(fake, &reader);
    reader.slow = true;
    kubernetes_log_finish(log);
    for (int i = 0; i < 20000 && !reader.ended; i++) {
        loop_run_for(fake->loop, 1, &reader.ended);
        if (reader.slowed) {
            reader.slowed = false;
            kubernetes_log_resume(log);
        }
    }
    assert_true(reader.ended);
    assert_int_equal(reader.text.len, plain.len);
    assert_memory_equal(reader.text.data, plain.data, plain.len);
    kubernetes_log_free(log);
    buf_release(&reader.text);
    buf_release(&text);
    buf_release(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_that_is_cut_anywhere_is_whole),
        cmocka_unit_test(pieces_of_any_size_are_the_same_log),
        cmocka_unit_test(what_has_no_time_is_not_of_the_log),
        FAKE_TEST(a_broken_connection_loses_and_repeats_nothing),
        FAKE_TEST(what_is_left_of_a_container_that_ended_is_read),
        FAKE_TEST(the_rest_of_a_pod_that_is_gone_is_told_to_be_missing),
        FAKE_TEST(a_reader_who_is_slow_gets_all_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
