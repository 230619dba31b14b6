#include "aws/sigv4.h"

#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "tests/unit/unit.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* AWS's published test suite (aws-sig-v4-test-suite): a case is its name there, the request, and
 * the signature. Paths and queries are given as plain text, as a caller has them. */
struct known {
    const char *name, *method, *path;
    struct sigv4_pair query[3];
    struct sigv4_pair headers[5]; /* beside host and x-amz-date */
    const char *payload, *signature;
};
static const struct known suite[] = {
    {"get-vanilla",
     "GET",
     "/",
     {{0}},
     {{0}},
     EMPTY,
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-utf8",
     "GET",
     "/\xe1\x88\xb4",
     {{0}},
     {{0}},
     EMPTY,
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-unreserved",
     "GET",
     "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     {{0}},
     {{0}},
     EMPTY,
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"get-space",
     "GET",
     "/example space/",
     {{0}},
     {{0}},
     EMPTY,
     "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {"get-relative-unnormalized",
     "GET",
     "/example/..",
     {{0}},
     {{0}},
     EMPTY,
     "eca7ead57bb5aa5c8e28007acd4ff04e1ff9a0ff3b237ec1554a184887ff9282"},
    {"get-vanilla-query-order-key-case",
     "GET",
     "/",
     {{"Param2", "value2"}, {"Param1", "value1"}},
     {{0}},
     EMPTY,
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-query-order-encoded",
     "GET",
     "/",
     {{"Param-3", "Value3"}, {"Param", "Value2"}, {"\xe1\x88\xb4", "Value1"}},
     {{0}},
     EMPTY,
     "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
    {"get-vanilla-utf8-query",
     "GET",
     "/",
     {{"\xe1\x88\xb4", "bar"}},
     {{0}},
     EMPTY,
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"post-vanilla-query",
     "POST",
     "/",
     {{"Param1", "value1"}},
     {{0}},
     EMPTY,
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {"get-header-value-trim",
     "GET",
     "/",
     {{0}},
     {{"my-header1", " value1"}, {"my-header2", " \"a   b   c\""}},
     EMPTY,
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"get-vanilla-with-session-token",
     "GET",
     "/",
     {{0}},
     {{"x-amz-security-token", "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"}},
     EMPTY,
     "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
    {"post-x-www-form-urlencoded",
     "POST",
     "/",
     {{0}},
     {{"content-type", "application/x-www-form-urlencoded"},
      {"content-length", "13"},
      {"x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"}},
     "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
     "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"},
};

static size_t count_of(const struct sigv4_pair *pairs, size_t most)
{
    size_t count = 0;

    while (count < most && pairs[count].name)
        count++;
    return count;
}

/* The text after "Signature=". */
static char *signature_of(const struct known *known, const struct sigv4_key *key, const char *host,
                          const char *date)
{
    struct sigv4_pair headers[7] = {{"x-amz-date", date}, {"host", host}};
    const size_t own = count_of(known->headers, 5);
    struct buf path, query, out;
    char *signature;

    memcpy(headers + 2, known->headers, own * sizeof(*headers));
    buf_init(&path, 4096);
    buf_init(&query, 4096);
    buf_init(&out, 4096);
    sigv4_encode(&path, known->path, true);
    sigv4_query(&query, known->query, count_of(known->query, 3));
    sigv4_sign(&out, key,
               &(struct sigv4_request){.method = known->method,
                                       .path = buf_cstr(&path),
                                       .query = buf_cstr(&query),
                                       .headers = headers,
                                       .header_count = own + 2,
                                       .date = date,
                                       .payload_sha256 = known->payload});
    signature = mem_strdup(strstr(buf_cstr(&out), "Signature=") + strlen("Signature="));
    buf_release(&path);
    buf_release(&query);
    buf_release(&out);
    return signature;
}

static void signatures_are_those_of_the_published_suite(void **state)
{
    const struct sigv4_key key = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                  "us-east-1", "service"};

    (void)state;
    for (size_t i = 0; i < sizeof(suite) / sizeof(suite[0]); i++) {
        char *signature =
            signature_of(&suite[i], &key, "example.amazonaws.com", "20150830T123600Z");
        if (!str_eq(signature, suite[i].signature))
            fail_msg("%s: %s instead of %s", suite[i].name, signature, suite[i].signature);
        free(signature);
    }
}

/* S3 API Reference, "Signature Calculations for the Authorization Header: Examples". */
static void signatures_are_those_of_s3s_examples(void **state)
{
    const struct sigv4_key key = {"AKIAIOSFODNN7EXAMPLE",
                                  "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3"};
    static const char sent[] = "Welcome to Amazon S3.";
    char sent_hash[SHA256_HEX_SIZE];
    const struct known examples[] = {
        {"GetObject",
         "GET",
         "/test.txt",
         {{0}},
         {{"range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY}},
         EMPTY,
         "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
        {"PutObject",
         "PUT",
         "/test$file.text",
         {{0}},
         {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
          {"x-amz-content-sha256", sent_hash},
          {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
         sent_hash,
         "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
        {"GetBucketLifecycle",
         "GET",
         "/",
         {{"lifecycle", ""}},
         {{"x-amz-content-sha256", EMPTY}},
         EMPTY,
         "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
        {"ListObjects",
         "GET",
         "/",
         {{"prefix", "J"}, {"max-keys", "2"}},
         {{"x-amz-content-sha256", EMPTY}},
         EMPTY,
         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    };

    (void)state;
    sha256_hex(sent, strlen(sent), sent_hash);
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        char *signature =
            signature_of(&examples[i], &key, "examplebucket.s3.amazonaws.com", "20130524T000000Z");
        if (!str_eq(signature, examples[i].signature))
            fail_msg("%s: %s instead of %s", examples[i].name, signature, examples[i].signature);
        free(signature);
    }
}

static void the_header_names_key_scope_and_headers(void **state)
{
    const struct sigv4_pair headers[] = {{"x-amz-date", "20150830T123600Z"}, {"host", "h"}};
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    sigv4_sign(&out, &(struct sigv4_key){"ID", "s", "eu-central-1", "kms"},
               &(struct sigv4_request){.method = "POST",
                                       .path = "/",
                                       .query = "",
                                       .headers = headers,
                                       .header_count = 2,
                                       .date = "20150830T123600Z",
                                       .payload_sha256 = EMPTY});
    assert_true(str_starts(buf_cstr(&out),
                           "AWS4-HMAC-SHA256 Credential=ID/20150830/eu-central-1/kms/aws4_request, "
                           "SignedHeaders=host;x-amz-date, Signature="));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_those_of_the_published_suite),
        cmocka_unit_test(signatures_are_those_of_s3s_examples),
        cmocka_unit_test(the_header_names_key_scope_and_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
