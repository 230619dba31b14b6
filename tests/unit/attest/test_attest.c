#include "attest/attest.h"

#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/hex.h"
#include "base/mem.h"
#include "tests/unit/unit.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static EVP_PKEY *pkey;

static char *pem_of(EVP_PKEY *key, const EVP_CIPHER *cipher)
{
    char *data, *text;
    unsigned char password[] = "x";
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, cipher, cipher ? password : NULL,
                                              cipher ? 1 : 0, NULL, NULL),
                     1);
    long len = BIO_get_mem_data(bio, &data);
    text = mem_strndup(data, (size_t)len);
    BIO_free(bio);
    return text;
}

static int make_key(void **state)
{
    (void)state;
    pkey = EVP_EC_gen("P-256");
    return pkey ? 0 : -1;
}

static int free_key(void **state)
{
    (void)state;
    EVP_PKEY_free(pkey);
    return 0;
}

static struct attest_key *load(void)
{
    struct attest_key *key = NULL;
    struct err err = {0};
    char *pem = pem_of(pkey, NULL);
    if (attest_key_new(&key, pem, strlen(pem), &err) < 0)
        fail_msg("%s", err.msg);
    free(pem);
    return key;
}

static void a_bundle_is_the_statement_with_the_keys_signature(void **state)
{
    static const char statement[] = "{\"a\":1}";
    uint8_t *payload, *sig;
    size_t payload_len, sig_len;
    const char *p = NULL, *s = NULL, *type = NULL, *kind = NULL;
    (void)state;
    struct attest_key *key = load();
    char *bundle = attest_bundle(key, statement, NULL);
    json_t *json = json_loads(bundle, 0, NULL);
    assert_int_equal(json_unpack(json, "{s:s, s:{s:s, s:s, s:[{s:s}]}}", "mediaType", &kind,
                                 "dsseEnvelope", "payload", &p, "payloadType", &type, "signatures",
                                 "sig", &s),
                     0);
    assert_string_equal(kind, ATTEST_BUNDLE_TYPE);
    assert_string_equal(type, "application/vnd.in-toto+json");
    assert_int_equal(base64_decode(p, strlen(p), &payload, &payload_len), 0);
    assert_int_equal(payload_len, strlen(statement));
    assert_memory_equal(payload, statement, payload_len);
    assert_int_equal(base64_decode(s, strlen(s), &sig, &sig_len), 0);
    static const char encoded[] = "DSSEv1 28 application/vnd.in-toto+json 7 {\"a\":1}";
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey), 1);
    assert_int_equal(
        EVP_DigestVerify(ctx, sig, sig_len, (const unsigned char *)encoded, strlen(encoded)), 1);
    EVP_MD_CTX_free(ctx);
    free(sig);
    free(payload);
    json_decref(json);
    free(bundle);
    attest_key_free(key);
}

static void a_signature_is_of_a_digest(void **state)
{
    (void)state;
    char *text = attest_signature(DIGEST);
    assert_string_equal(
        text, "{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[{\"digest\":{\"sha256\":"
              "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}}],"
              "\"predicateType\":\"https://sigstore.dev/cosign/sign/v1\",\"predicate\":{}}");
    free(text);
}

static const char *at(const json_t *json, const char *const *path)
{
    for (; *path; path++)
        json = json_object_get(json, *path);
    return json_string_value(json);
}
#define AT(json, ...) at(json, (const char *const[]){__VA_ARGS__, NULL})

static void a_provenance_says_what_was_built_of_what_and_how(void **state)
{
    static const struct attest_pair variables[] = {{"A", "b"}};
    const struct attest_build build = {.image = "r.example/shop",
                                       .digest = DIGEST,
                                       .builder_id = "https://builder.example",
                                       .pipeline = "shop",
                                       .stage = "build",
                                       .action = "app",
                                       .run_id = "run-1",
                                       .release = 7,
                                       .attempt = 1,
                                       .git = "https://ann:hidden@git.example/shop.git",
                                       .ref = "refs/heads/main",
                                       .commit = "0123",
                                       .buildspec = "buildspec.yml",
                                       .driver = "sandbox",
                                       .variables = variables,
                                       .variable_count = 1,
                                       .started_ms = 1000,
                                       .ended_ms = 61000};
    (void)state;
    char *text = attest_provenance(&build);
    assert_null(strstr(text, "hidden"));
    json_t *json = json_loads(text, 0, NULL);
    const json_t *predicate = json_object_get(json, "predicate");
    const json_t *definition = json_object_get(predicate, "buildDefinition");
    assert_string_equal(AT(json, "predicateType"), "https://slsa.dev/provenance/v1");
    assert_string_equal(AT(definition, "buildType"), ATTEST_BUILD_TYPE);
    assert_string_equal(AT(definition, "externalParameters", "source"),
                        "git+https://git.example/shop.git@refs/heads/main");
    assert_string_equal(AT(definition, "externalParameters", "buildspec"), "buildspec.yml");
    assert_string_equal(AT(definition, "externalParameters", "variables", "A"), "b");
    const json_t *source = json_array_get(json_object_get(definition, "resolvedDependencies"), 0);
    assert_string_equal(AT(source, "digest", "gitCommit"), "0123");
    assert_string_equal(AT(predicate, "runDetails", "builder", "id"), "https://builder.example");
    assert_string_equal(AT(predicate, "runDetails", "metadata", "invocationId"), "run-1");
    assert_string_equal(AT(predicate, "runDetails", "metadata", "startedOn"),
                        "1970-01-01T00:00:01.000Z");
    assert_string_equal(AT(predicate, "runDetails", "metadata", "finishedOn"),
                        "1970-01-01T00:01:01.000Z");
    json_decref(json);
    free(text);
}

static void is_refused(const char *pem, const char *why)
{
    struct attest_key *key = NULL;
    struct err err = {0};
    assert_int_equal(attest_key_new(&key, pem, strlen(pem), &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.msg, why));
}

static void another_key_is_refused(void **state)
{
    (void)state;
    is_refused("", "no private key");
    is_refused("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n", "no private key");
    char *encrypted = pem_of(pkey, EVP_aes_128_cbc());
    is_refused(encrypted, "encrypted");
    free(encrypted);
    EVP_PKEY *other = EVP_EC_gen("P-384");
    char *pem = pem_of(other, NULL);
    is_refused(pem, "P-256");
    free(pem);
    EVP_PKEY_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bundle_is_the_statement_with_the_keys_signature),
        cmocka_unit_test(a_signature_is_of_a_digest),
        cmocka_unit_test(a_provenance_says_what_was_built_of_what_and_how),
        cmocka_unit_test(another_key_is_refused),
    };
    return cmocka_run_group_tests(tests, make_key, free_key);
}
