#include "aws/kms.h"
#include "aws/s3.h"
#include "aws/secrets.h"
#include "base/hex.h"
#include "base/mem.h"
#include "fake.h"

static char kept[256]; /* what a callback was told */

static void on_secret(const struct secret_value *value, const struct err *err, void *arg)
{
    struct fake *fake = arg;

    fake->err = *err;
    snprintf(kept, sizeof(kept), "%s", value->data ? (const char *)value->data : "-");
    fake->done = true;
}

static void ask(struct fake *fake)
{
    secrets_manager_get(fake_aws(fake), "shop/db", NULL, NULL, on_secret, fake);
    fake_wait(fake);
}

static void assert_header(const struct fake *fake, size_t i, const char *name, const char *part)
{
    char *value = fake_header(fake, i, name);

    if (!strstr(value, part))
        fail_msg("%s is '%s', without '%s'", name, value, part);
    free(value);
}

#define GOOD "{\"SecretString\":\"hunter2\",\"VersionId\":\"v1\"}"

static void a_call_is_signed_for_its_region_and_service(void **state)
{
    struct fake *fake = *state;

    setenv("AWS_SESSION_TOKEN", "TOKEN", 1);
    fake_answer(fake, 200, GOOD);
    ask(fake);
    assert_int_equal(fake->err.code, ERR_NONE);
    assert_string_equal(kept, "hunter2");
    assert_string_equal(fake->asked.items[0], "POST /");
    assert_header(fake, 0, "X-Amz-Target", "secretsmanager.GetSecretValue");
    assert_header(fake, 0, "X-Amz-Security-Token", "TOKEN");
    assert_header(fake, 0, "Authorization", "Credential=AKID/");
    assert_header(fake, 0, "Authorization", "/eu-central-1/secretsmanager/aws4_request");
    assert_header(fake, 0, "Authorization",
                  "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target,");
    assert_string_equal(fake->bodies.items[0], "{\"SecretId\":\"shop/db\"}");
}

static void a_stage_and_a_version_are_asked_for_and_a_binary_is_decoded(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 200, "{\"SecretBinary\":\"aHVudGVyMw==\"}");
    secrets_manager_get(fake_aws(fake), "db", "AWSPREVIOUS", "v7", on_secret, fake);
    fake_wait(fake);
    assert_string_equal(kept, "hunter3");
    assert_string_equal(
        fake->bodies.items[0],
        "{\"SecretId\":\"db\",\"VersionStage\":\"AWSPREVIOUS\",\"VersionId\":\"v7\"}");
}

static void throttling_and_server_errors_are_tried_again(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 400, "{\"__type\":\"ThrottlingException\",\"message\":\"Rate exceeded\"}");
    fake_answer(fake, 503, "<html>busy</html>");
    fake_answer(fake, 200, GOOD);
    ask(fake);
    assert_int_equal(fake->err.code, ERR_NONE);
    assert_string_equal(kept, "hunter2");
    assert_int_equal(fake->asked.count, 3);
}

static void tries_end_and_the_last_answer_is_told(void **state)
{
    struct fake *fake = *state;
    const struct aws_conf conf = {.tries = 3};

    assert_int_equal(aws_new(&fake->aws, fake->loop, &conf, &fake->err), 0);
    fake_answer(fake, 500, "{\"__type\":\"x#InternalServiceError\",\"Message\":\"oh\"}");
    ask(fake);
    assert_int_equal(fake->asked.count, 3);
    assert_int_equal(fake->err.code, ERR_UNAVAILABLE);
    assert_string_equal(fake->err.msg, "Secrets Manager GetSecretValue shop/db: "
                                       "InternalServiceError: oh (status 500)");
}

static void nobody_there_is_unavailable_after_all_tries(void **state)
{
    struct fake *fake = *state;
    const struct aws_conf conf = {.tries = 2, .endpoint_url = "http://127.0.0.1:1"};

    assert_int_equal(aws_new(&fake->aws, fake->loop, &conf, &fake->err), 0);
    ask(fake);
    assert_int_equal(fake->err.code, ERR_UNAVAILABLE);
    assert_true(str_starts(fake->err.msg, "Secrets Manager GetSecretValue shop/db: "));
}

static void aws_errors_keep_their_code_and_words(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum err_code code;
        const char *part;
    } rows[] = {
        {400, "{\"__type\":\"ResourceNotFoundException\",\"Message\":\"can't find it\"}",
         ERR_NOT_FOUND, "ResourceNotFoundException: can't find it"},
        {400, "{\"__type\":\"AccessDeniedException\",\"Message\":\"no\"}", ERR_DENIED,
         "AccessDeniedException: no"},
        {400, "{\"__type\":\"InvalidSignatureException\",\"message\":\"expired\"}", ERR_DENIED,
         "is this machine's clock right?"},
        {400, "{\"__type\":\"UnrecognizedClientException\",\"message\":\"bad token\"}", ERR_DENIED,
         "bad token"},
        {400, "{\"__type\":\"ValidationException\"}", ERR_INVALID, "ValidationException"},
        {403, "<Error><Code>AccessDenied</Code><Message>x</Message></Error>", ERR_DENIED,
         "AccessDenied: x"},
        {404, "", ERR_NOT_FOUND, "status 404"},
        {412, "<Error><Code>PreconditionFailed</Code></Error>", ERR_CONFLICT, "PreconditionFailed"},
        {400, "not json {", ERR_INVALID, "status 400"},
        {400, "<not xml", ERR_INVALID, "status 400"},
    };
    struct fake *fake = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fake->answer_count = 0;
        strv_release(&fake->asked);
        fake_answer(fake, rows[i].status, rows[i].body);
        ask(fake);
        assert_int_equal(fake->err.code, rows[i].code);
        assert_non_null(strstr(fake->err.msg, rows[i].part));
        assert_int_equal(fake->asked.count, 1);
    }
}

static void an_answer_without_a_value_is_an_error(void **state)
{
    static const char *const bodies[] = {"", "[]", "{}", "{\"SecretBinary\":\"*\"}", "{\"Secret"};
    struct fake *fake = *state;

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        fake->answer_count = 0;
        strv_release(&fake->asked);
        fake_answer(fake, 200, bodies[i]);
        ask(fake);
        assert_int_equal(fake->err.code, ERR_INVALID);
    }
}

static void on_parameters(const struct ssm_parameter *parameters, size_t count,
                          const struct err *err, void *arg)
{
    struct fake *fake = arg;
    struct buf text;

    fake->err = *err;
    buf_init(&text, sizeof(kept) - 1);
    for (size_t i = 0; i < count; i++)
        buf_addf(&text, "%s=%s;", parameters[i].name,
                 parameters[i].value ? parameters[i].value : "-");
    snprintf(kept, sizeof(kept), "%s", buf_cstr(&text));
    buf_release(&text);
    fake->done = true;
}

static void parameters_come_in_the_order_asked_and_absent_ones_without_a_value(void **state)
{
    static const char *const names[] = {"/a", "none", "b:2", "arn:aws:ssm:r:1:parameter/c"};
    struct fake *fake = *state;

    fake_answer(fake, 200,
                "{\"Parameters\":[{\"Name\":\"b\",\"Value\":\"B\",\"Selector\":\":2\"},"
                "{\"Name\":\"c\",\"Value\":\"C\",\"ARN\":\"arn:aws:ssm:r:1:parameter/c\"},"
                "{\"Name\":\"/a\",\"Value\":\"A\"}],\"InvalidParameters\":[\"none\"]}");
    ssm_get(fake_aws(fake), names, 4, on_parameters, fake);
    fake_wait(fake);
    assert_int_equal(fake->err.code, ERR_NONE);
    assert_string_equal(kept, "/a=A;none=-;b:2=B;arn:aws:ssm:r:1:parameter/c=C;");
    assert_string_equal(fake->bodies.items[0],
                        "{\"Names\":[\"/a\",\"none\",\"b:2\",\"arn:aws:ssm:r:1:parameter/c\"],"
                        "\"WithDecryption\":true}");
    ssm_get(fake_aws(fake), names, 0, on_parameters, fake);
    fake_wait(fake);
    assert_int_equal(fake->err.code, ERR_INVALID);
}

static void on_kms(const struct kms_answer *answer, const struct err *err, void *arg)
{
    struct fake *fake = arg;

    fake->err = *err;
    snprintf(kept, sizeof(kept), "%.*s/%.*s", (int)answer->plain_len,
             answer->plain ? (const char *)answer->plain : "", (int)answer->sealed_len,
             answer->sealed ? (const char *)answer->sealed : "");
    fake->done = true;
}

static void keys_are_made_wrapped_and_unwrapped_by_kms(void **state)
{
    static const struct kms_context context[] = {{"store", "x"}, {NULL, NULL}};
    struct fake *fake = *state;
    char *plain = base64_encode("0123456789abcdef0123456789abcdef", 32);
    char *whole = mem_printf("{\"Plaintext\":\"%s\",\"CiphertextBlob\":\"c2VhbGVk\"}", plain);

    fake_answer(fake, 200, whole);
    fake_answer(fake, 200, "{\"CiphertextBlob\":\"c2VhbGVk\"}");
    fake_answer(fake, 200, "{\"Plaintext\":\"cGxhaW4=\"}");
    fake_answer(fake, 200, "{\"Plaintext\":\"cGxhaW4=\",\"CiphertextBlob\":\"c2VhbGVk\"}");
    kms_data_key(fake_aws(fake), "alias/gantry", context, on_kms, fake);
    fake_wait(fake);
    assert_int_equal(fake->err.code, ERR_NONE);
    assert_string_equal(kept, "0123456789abcdef0123456789abcdef/sealed");
    kms_encrypt(fake_aws(fake), "k", "plain", 5, context, on_kms, fake);
    fake_wait(fake);
    assert_string_equal(kept, "/sealed");
    assert_string_equal(
        fake->bodies.items[1],
        "{\"Plaintext\":\"cGxhaW4=\",\"EncryptionContext\":{\"store\":\"x\"},\"KeyId\":\"k\"}");
    kms_decrypt(fake_aws(fake), NULL, "sealed", 6, context, on_kms, fake);
    fake_wait(fake);
    assert_string_equal(kept, "plain/");
    assert_string_equal(
        fake->bodies.items[2],
        "{\"CiphertextBlob\":\"c2VhbGVk\",\"EncryptionContext\":{\"store\":\"x\"}}");
    /* A data key of another length than was asked for. */
    kms_data_key(fake_aws(fake), "k", NULL, on_kms, fake);
    fake_wait(fake);
    assert_int_equal(fake->err.code, ERR_INVALID);
    free(whole);
    free(plain);
}

static void a_cancelled_call_and_a_freed_client_call_nobody_back(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 200, GOOD);
    aws_call_cancel(secrets_manager_get(fake_aws(fake), "a", NULL, NULL, on_secret, fake));
    secrets_manager_get(fake_aws(fake), "b", NULL, NULL, on_secret, fake);
    aws_free(fake->aws);
    fake->aws = NULL;
    ask(fake);
    assert_int_equal(fake->asked.count, 1);
}

static void settings_that_cannot_be_are_refused(void **state)
{
    struct fake *fake = *state;
    struct aws_conf conf = {0};

    unsetenv("AWS_REGION");
    assert_int_equal(aws_new(&fake->aws, fake->loop, &conf, &fake->err), -1);
    assert_int_equal(fake->err.code, ERR_INVALID);
    conf.region = "eu central";
    assert_int_equal(aws_new(&fake->aws, fake->loop, &conf, &fake->err), -1);
    conf.region = "eu-central-1";
    conf.endpoint_url = "localhost:1";
    assert_int_equal(aws_new(&fake->aws, fake->loop, &conf, &fake->err), -1);
    assert_non_null(strstr(fake->err.msg, "localhost:1"));
    fake->aws = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(a_call_is_signed_for_its_region_and_service),
        FAKE_TEST(a_stage_and_a_version_are_asked_for_and_a_binary_is_decoded),
        FAKE_TEST(throttling_and_server_errors_are_tried_again),
        FAKE_TEST(tries_end_and_the_last_answer_is_told),
        FAKE_TEST(nobody_there_is_unavailable_after_all_tries),
        FAKE_TEST(aws_errors_keep_their_code_and_words),
        FAKE_TEST(an_answer_without_a_value_is_an_error),
        FAKE_TEST(parameters_come_in_the_order_asked_and_absent_ones_without_a_value),
        FAKE_TEST(keys_are_made_wrapped_and_unwrapped_by_kms),
        FAKE_TEST(a_cancelled_call_and_a_freed_client_call_nobody_back),
        FAKE_TEST(settings_that_cannot_be_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
