/* Whose keys sign: each source in turn, and when they are fetched anew. */
#include <unistd.h>

#include "aws/internal.h"
#include "aws/secrets.h"
#include "base/clock.h"
#include "base/mem.h"
#include "fake.h"

#define GOOD "{\"SecretString\":\"x\"}"

static unsigned told; /* callbacks */

static void on_secret(const struct secret_value *value, const struct err *err, void *arg)
{
    struct fake *fake = arg;

    (void)value;
    fake->err = *err;
    told++;
    fake->done = true;
}

static void ask(struct fake *fake)
{
    secrets_manager_get(fake_aws(fake), "db", NULL, NULL, on_secret, fake);
    fake_wait(fake);
}

static void no_keys_in_environment(void)
{
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
}

static void assert_signed_by(const struct fake *fake, size_t i, const char *id, const char *token)
{
    char *authorization = fake_header(fake, i, "Authorization");
    char *sent = fake_header(fake, i, "X-Amz-Security-Token");
    char *part = mem_printf("Credential=%s/", id);

    if (!strstr(authorization, part))
        fail_msg("'%s' was not signed by %s", authorization, id);
    assert_string_equal(sent, token);
    free(authorization);
    free(sent);
    free(part);
}

static char *keys_json(const char *id, int64_t for_ms)
{
    char when[CLOCK_RFC3339_SIZE];

    clock_rfc3339(clock_now_ms() + for_ms, when);
    return mem_printf("{\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"s\",\"Token\":\"T-%s\","
                      "\"Expiration\":\"%s\"}",
                      id, id, when);
}

static void a_profile_of_the_shared_files_gives_keys_and_region(void **state)
{
    struct fake *fake = *state;

    no_keys_in_environment();
    unsetenv("AWS_REGION");
    setenv("AWS_PROFILE", "work", 1);
    fake_put_file(fake, "credentials",
                  "[default]\naws_access_key_id=OTHER\naws_secret_access_key=o\n"
                  "[work]\n# mine\naws_access_key_id = FILEID\naws_secret_access_key = s\n"
                  "aws_session_token = FILETOKEN\n[more]\naws_access_key_id=MORE\n");
    fake_put_file(fake, "config",
                  "[default]\nregion = us-east-1\n[profile work]\ns3 =\n  region = no-1\n"
                  "region = eu-west-3\n");
    fake_answer(fake, 200, GOOD);
    ask(fake);
    assert_int_equal(fake->err.code, ERR_NONE);
    assert_signed_by(fake, 0, "FILEID", "FILETOKEN");
    assert_string_equal(aws_region(fake->aws), "eu-west-3");
}

static void an_expired_token_is_fetched_anew_once(void **state)
{
    struct fake *fake = *state;

    no_keys_in_environment();
    fake_put_file(fake, "credentials",
                  "[default]\naws_access_key_id=FIRST\naws_secret_access_key=s\n");
    fake_answer(fake, 400, "{\"__type\":\"ExpiredTokenException\",\"message\":\"old\"}");
    ask(fake);
    assert_int_equal(fake->err.code, ERR_DENIED);
    assert_int_equal(fake->asked.count, 2);
    fake->answer_count = 0;
    fake_answer(fake, 200, GOOD);
    fake_put_file(fake, "credentials",
                  "[default]\naws_access_key_id=SECOND\naws_secret_access_key=s\n");
    fake->answers[2] = (struct fake_answer){
        .status = 400, .body = "{\"__type\":\"ExpiredTokenException\",\"message\":\"old\"}"};
    fake->answers[3] = (struct fake_answer){.status = 200, .body = GOOD};
    fake->answer_count = 4;
    ask(fake);
    assert_int_equal(fake->err.code, ERR_NONE);
    assert_signed_by(fake, 3, "SECOND", "");
}

static void a_container_is_asked_with_its_token_file(void **state)
{
    struct fake *fake = *state;
    char *keys = keys_json("CONTAINER", 3600000), *url = mem_printf("%s/creds", fake->url);
    char *file = mem_printf("%s/token", fake->dir), *sent;

    no_keys_in_environment();
    fake_put_file(fake, "token", "Bearer pod\n");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file, 1);
    fake_answer(fake, 200, keys);
    fake_answer(fake, 200, GOOD);
    ask(fake);
    ask(fake);
    assert_int_equal(fake->err.code, ERR_NONE);
    assert_string_equal(fake->asked.items[0], "GET /creds");
    sent = fake_header(fake, 0, "Authorization");
    assert_string_equal(sent, "Bearer pod");
    assert_signed_by(fake, 1, "CONTAINER", "T-CONTAINER");
    assert_signed_by(fake, 2, "CONTAINER", "T-CONTAINER");
    assert_int_equal(fake->asked.count, 3);
    free(sent);
    free(file);
    free(url);
    free(keys);
}

static void an_instance_is_asked_by_session_token_role_and_keys(void **state)
{
    struct fake *fake = *state;
    char *keys = keys_json("INSTANCE", 3600000), *sent;

    no_keys_in_environment();
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake->url, 1);
    fake_answer(fake, 200, "SESSION");
    fake_answer(fake, 200, "my-role\n");
    fake_answer(fake, 200, keys);
    fake_answer(fake, 200, GOOD);
    ask(fake);
    assert_int_equal(fake->err.code, ERR_NONE);
    assert_string_equal(fake->asked.items[0], "PUT /latest/api/token");
    assert_string_equal(fake->asked.items[1], "GET /latest/meta-data/iam/security-credentials/");
    assert_string_equal(fake->asked.items[2],
                        "GET /latest/meta-data/iam/security-credentials/my-role");
    sent = fake_header(fake, 2, "X-aws-ec2-metadata-token");
    assert_string_equal(sent, "SESSION");
    assert_signed_by(fake, 3, "INSTANCE", "T-INSTANCE");
    free(sent);
    free(keys);
}

static void a_web_identity_becomes_the_roles_keys(void **state)
{
    static const char answer[] =
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
        "<AssumeRoleWithWebIdentityResult><Credentials><SessionToken>ROLETOKEN</SessionToken>"
        "<SecretAccessKey>s</SecretAccessKey><Expiration>2999-01-01T00:00:00Z</Expiration>"
        "<AccessKeyId>ROLE</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult>"
        "</AssumeRoleWithWebIdentityResponse>";
    struct fake *fake = *state;
    char *file = mem_printf("%s/jwt", fake->dir), *sent;

    no_keys_in_environment();
    fake_put_file(fake, "jwt", "a.b.c+d\n");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file, 1);
    setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r", 1);
    fake_answer(fake, 200, answer);
    fake_answer(fake, 200, GOOD);
    ask(fake);
    assert_int_equal(fake->err.code, ERR_NONE);
    assert_string_equal(fake->bodies.items[0],
                        "Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr"
                        "&RoleSessionName=gantry&Version=2011-06-15&WebIdentityToken=a.b.c%2Bd");
    sent = fake_header(fake, 0, "Authorization");
    assert_string_equal(sent, "");
    assert_signed_by(fake, 1, "ROLE", "ROLETOKEN");
    free(sent);
    free(file);
}

static void keys_that_soon_expire_are_fetched_anew_but_not_without_end(void **state)
{
    struct fake *fake = *state;
    char *keys = keys_json("SHORT", 60000), *url = mem_printf("%s/creds", fake->url);

    no_keys_in_environment();
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    fake_answer(fake, 200, keys);
    fake_answer(fake, 200, GOOD);
    ask(fake);
    assert_int_equal(fake->err.code, ERR_NONE);
    ask(fake);
    assert_int_equal(fake->asked.count, 3);
    /* A while later they have as little left. */
    fake->aws->keys_good_until_ms = 0;
    fake->answer_count = 0;
    fake->answers[3] = (struct fake_answer){.status = 200, .body = keys};
    fake->answers[4] = (struct fake_answer){.status = 200, .body = GOOD};
    fake->answer_count = 5;
    ask(fake);
    assert_int_equal(fake->err.code, ERR_NONE);
    assert_int_equal(fake->asked.count, 5);
    assert_string_equal(fake->asked.items[3], "GET /creds");
    free(keys);
    free(url);
}

static void calls_that_wait_for_keys_are_all_told_why_there_are_none(void **state)
{
    struct fake *fake = *state;

    no_keys_in_environment();
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    told = 0;
    secrets_manager_get(fake_aws(fake), "a", NULL, NULL, on_secret, fake);
    secrets_manager_get(fake_aws(fake), "b", NULL, NULL, on_secret, fake);
    while (told < 2) {
        fake_wait(fake);
        assert_int_equal(fake->err.code, ERR_DENIED);
        assert_non_null(strstr(fake->err.msg, "set AWS_ACCESS_KEY_ID"));
    }
    assert_int_equal(fake->asked.count, 0);
}

static void a_machine_that_is_no_instance_is_told_what_to_set(void **state)
{
    struct fake *fake = *state;

    no_keys_in_environment();
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake->url, 1);
    fake_answer(fake, 404, "");
    ask(fake);
    assert_int_equal(fake->err.code, ERR_DENIED);
    assert_non_null(strstr(fake->err.msg, "set AWS_ACCESS_KEY_ID"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(a_profile_of_the_shared_files_gives_keys_and_region),
        FAKE_TEST(an_expired_token_is_fetched_anew_once),
        FAKE_TEST(a_container_is_asked_with_its_token_file),
        FAKE_TEST(an_instance_is_asked_by_session_token_role_and_keys),
        FAKE_TEST(a_web_identity_becomes_the_roles_keys),
        FAKE_TEST(keys_that_soon_expire_are_fetched_anew_but_not_without_end),
        FAKE_TEST(calls_that_wait_for_keys_are_all_told_why_there_are_none),
        FAKE_TEST(a_machine_that_is_no_instance_is_told_what_to_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
