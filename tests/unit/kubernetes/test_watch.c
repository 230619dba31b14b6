#include "base/buf.h"
#include "base/mem.h"
#include "fake.h"

#define POD(name, uid, more)                                                                       \
    "{\"metadata\": {\"name\": \"" name "\", \"uid\": \"" uid "\", \"resourceVersion\": \"7\"}, "  \
    "\"status\": {" more "}}"
#define LIST(version, items)                                                                       \
    "{\"metadata\": {\"resourceVersion\": \"" version "\"}, \"items\": [" items "]}"
#define EVENT(type, object) "{\"type\": \"" type "\", \"object\": " object "}\n"
#define RUNNING             "\"phase\": \"Running\""

/* What was told, a word each; sets fake->done when it is `awaited`. */
static struct buf told;
static const char *awaited;
static struct fake *own;

static void tell(const char *what, const char *name)
{
    buf_addf(&told, "%s%s%s%s", told.len ? " " : "", what, *name ? ":" : "", name);
    if (awaited && str_ends(buf_cstr(&told), awaited))
        own->done = true;
}

static void changed(const struct pod *pod, void *arg)
{
    (void)arg;
    tell(pod->phase == POD_RUNNING ? "runs" : "is", pod->name);
}

static void gone(const struct pod *pod, void *arg)
{
    (void)arg;
    tell("gone", pod->name);
}

static void synced(void *arg)
{
    (void)arg;
    tell("synced", "");
}

static void trouble(const struct err *err, void *arg)
{
    struct fake *fake = arg;
    fake->err = *err;
    tell("trouble", "");
}

static const struct kubernetes_watch_ops ops = {
    .changed = changed, .gone = gone, .synced = synced, .trouble = trouble};

/* Watches until the last that was told is `last`. */
static void watch_until(struct fake *fake, const char *last)
{
    buf_init(&told, 1024 * 1024);
    own = fake;
    awaited = last;
    struct kubernetes_watch *watch = kubernetes_watch(fake->kubernetes, "a=b", &ops, fake);
    fake_wait(fake);
    kubernetes_watch_free(watch);
}

static void expect(const char *all)
{
    assert_string_equal(buf_cstr(&told), all);
    buf_release(&told);
}

static void tells_what_is_there_and_what_becomes_of_it(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 200, LIST("5", POD("a", "1", "")));
    fake_answer(fake, 200,
                EVENT("MODIFIED", POD("a", "1", RUNNING)) EVENT("ADDED", POD("b", "2", ""))
                    EVENT("DELETED", POD("a", "1", RUNNING)))
        ->open = true;
    watch_until(fake, "gone:a");
    expect("is:a synced runs:a is:b gone:a");
    assert_string_equal(fake->asked.items[0],
                        "GET /api/v1/namespaces/builds/pods labelSelector=a=b");
    assert_string_equal(
        fake->asked.items[1],
        "GET /api/v1/namespaces/builds/pods labelSelector=a=b watch=true resourceVersion=5");
}

static void goes_on_where_a_connection_ended_in_the_middle_of_a_line(void **state)
{
    struct fake *fake = *state;
    static const char cut[] = EVENT("ADDED", POD("a", "1", "")) EVENT("ADDED", POD("b", "2", ""));

    fake_answer(fake, 200, LIST("5", ""));
    fake_answer(fake, 200, cut)->len = sizeof(cut) - 20;
    fake_answer(fake, 200, EVENT("ADDED", POD("b", "2", "")))->open = true;
    watch_until(fake, "is:b");
    expect("synced is:a is:b");
    assert_non_null(strstr(fake->asked.items[2], "resourceVersion=7"));
}

static void a_bookmark_moves_it_forward(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 200, LIST("5", ""));
    fake_answer(
        fake, 200,
        EVENT("BOOKMARK", "{\"kind\": \"Pod\", \"metadata\": {\"resourceVersion\": \"90\"}}"));
    fake_answer(fake, 200, EVENT("ADDED", POD("a", "1", "")))->open = true;
    watch_until(fake, "is:a");
    expect("synced is:a");
    assert_non_null(strstr(fake->asked.items[2], "resourceVersion=90"));
}

static void a_version_that_is_too_old_is_a_new_list(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 200, LIST("5", POD("a", "1", "") ", " POD("b", "2", "")));
    fake_answer(fake, 200, EVENT("ERROR", "{\"kind\": \"Status\", \"code\": 410}"));
    fake_answer(fake, 200, LIST("50", POD("b", "2", RUNNING)));
    watch_until(fake, "gone:a synced");
    expect("is:a is:b synced runs:b gone:a synced");
}

static void a_refused_version_is_a_new_list(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 200, LIST("5", ""));
    fake_answer(fake, 410, "{\"kind\": \"Status\", \"code\": 410}\n");
    fake_answer(fake, 200, LIST("50", POD("b", "2", "")));
    watch_until(fake, "is:b synced");
    expect("synced trouble is:b synced");
}

static void another_pod_of_the_same_name_is_another_pod(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 200, LIST("5", POD("a", "1", RUNNING)));
    fake_answer(fake, 200, EVENT("ERROR", "{}"));
    fake_answer(fake, 200, LIST("6", POD("a", "2", "")));
    watch_until(fake, "gone:a synced");
    expect("runs:a synced is:a gone:a synced");
}

static void garbage_is_a_new_list(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 200, "<html>");
    fake_answer(fake, 200, "{}");
    fake_answer(fake, 200, LIST("5", ""));
    fake_answer(fake, 200, "nonsense\n");
    fake_answer(fake, 200, LIST("6", "{}, 7, " POD("a", "1", "")));
    fake_answer(fake, 200, EVENT("ADDED", "[]"));
    fake_answer(fake, 200, LIST("7", POD("a", "1", RUNNING)));
    watch_until(fake, "runs:a synced");
    expect("trouble trouble synced is:a synced runs:a synced");
}

static void a_change_that_is_too_large_is_a_new_list(void **state)
{
    struct fake *fake = *state;
    const size_t len = 5 * 1024 * 1024;
    char *large = mem_alloc(len + 1);

    memset(large, ' ', len);
    fake_answer(fake, 200, LIST("5", ""));
    fake_answer(fake, 200, large);
    fake_answer(fake, 200, LIST("6", POD("a", "1", "")));
    watch_until(fake, "is:a synced");
    expect("synced is:a synced");
    free(large);
}

static void a_token_that_was_renewed_is_taken_for_the_next_connection(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 401, "{\"message\": \"Unauthorized\"}");
    own = fake;
    buf_init(&told, 1024);
    awaited = "trouble";
    struct kubernetes_watch *watch = kubernetes_watch(fake->kubernetes, "a=b", &ops, fake);
    fake_wait(fake);
    assert_int_equal(fake->err.code, ERR_DENIED);
    fake_put_token(fake, "second");
    fake_answer(fake, 200, LIST("5", ""));
    fake_answer(fake, 401, "{}\n");
    fake_answer(fake, 200, LIST("5", POD("a", "1", "")));
    awaited = "is:a synced";
    fake_wait(fake);
    kubernetes_watch_free(watch);
    expect("trouble synced trouble is:a synced");
    assert_string_equal(fake->tokens.items[1], "Bearer second");
    assert_string_equal(fake->tokens.items[2], "Bearer second");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(tells_what_is_there_and_what_becomes_of_it),
        FAKE_TEST(goes_on_where_a_connection_ended_in_the_middle_of_a_line),
        FAKE_TEST(a_bookmark_moves_it_forward),
        FAKE_TEST(a_version_that_is_too_old_is_a_new_list),
        FAKE_TEST(a_refused_version_is_a_new_list),
        FAKE_TEST(another_pod_of_the_same_name_is_another_pod),
        FAKE_TEST(garbage_is_a_new_list),
        FAKE_TEST(a_change_that_is_too_large_is_a_new_list),
        FAKE_TEST(a_token_that_was_renewed_is_taken_for_the_next_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
