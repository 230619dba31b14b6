#include <fcntl.h>
#include <unistd.h>

#include "aws/s3.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "fake.h"

#define PART    ((size_t)S3_PART_MIN)
#define WAIT_MS 20000

static const struct s3_object object = {"shop", "a dir/\xc3\xa4+&.zip"};
static char text[4096]; /* what a callback was told, in short */
static unsigned told;   /* callbacks */
static uint64_t size;   /* that an answer had */

static void on_done(const struct s3_answer *answer, const struct err *err, void *arg)
{
    struct fake *fake = arg;
    struct buf out;

    buf_init(&out, sizeof(text) - 1);
    if (answer->etag)
        buf_addf(&out, "etag=%s ", answer->etag);
    if (answer->upload_id)
        buf_addf(&out, "id=%s ", answer->upload_id);
    if (answer->data)
        buf_addf(&out, "data=%.*s ", (int)answer->len, (const char *)answer->data);
    if (answer->modified_ms)
        buf_addf(&out, "modified=%lld ", (long long)answer->modified_ms);
    for (size_t i = 0; i < answer->item_count; i++)
        buf_addf(&out, "%s(%llu,%lld,%s) ", answer->items[i].key,
                 (unsigned long long)answer->items[i].size, (long long)answer->items[i].modified_ms,
                 answer->items[i].etag);
    if (answer->next)
        buf_addf(&out, "next=%s", answer->next);
    snprintf(text, sizeof(text), "%s", buf_cstr(&out));
    buf_release(&out);
    size = answer->size;
    fake->err = *err;
    fake->done = true;
    told++;
}

static void assert_good(struct fake *fake)
{
    fake_wait(fake);
    if (fake->err.code)
        fail_msg("%s", fake->err.msg);
}

static void assert_sent(const struct fake *fake, size_t i, const char *name, const char *value)
{
    char *sent = fake_header(fake, i, name);

    assert_string_equal(sent, value);
    free(sent);
}

static int file_of(size_t len)
{
    char path[] = "/tmp/gantry-s3-XXXXXX";
    const int fd = mkstemp(path);
    char *data = mem_alloc(len + 1);

    unlink(path);
    for (size_t i = 0; i < len; i++)
        data[i] = (char)('a' + i / 1000003 % 26);
    assert_int_equal(write(fd, data, len), len);
    free(data);
    return fd;
}

static void an_object_is_put_with_its_kind_and_the_hash_of_its_bytes(void **state)
{
    struct fake *fake = *state;
    char hex[SHA256_HEX_SIZE];

    fake_answer(fake, 200, NULL);
    fake->answers[0].header = "ETag: \"e1\"";
    s3_put(fake_aws(fake),
           &(struct s3_put_opts){.object = object,
                                 .kind = {"application/zip", "alias/artifacts"},
                                 .data = "zipped",
                                 .len = 6,
                                 .only_new = true},
           on_done, fake);
    assert_good(fake);
    assert_string_equal(text, "etag=\"e1\" ");
    assert_string_equal(fake->asked.items[0], "PUT /shop/a dir/\xc3\xa4+&.zip");
    assert_string_equal(fake->bodies.items[0], "zipped");
    assert_sent(fake, 0, "Content-Type", "application/zip");
    assert_sent(fake, 0, "If-None-Match", "*");
    assert_sent(fake, 0, "x-amz-server-side-encryption", "aws:kms");
    assert_sent(fake, 0, "x-amz-server-side-encryption-aws-kms-key-id", "alias/artifacts");
    sha256_hex("zipped", 6, hex);
    assert_sent(fake, 0, "X-Amz-Content-Sha256", hex);
}

static void a_file_is_put_from_its_place_and_hashed_before(void **state)
{
    struct fake *fake = *state;
    const int fd = file_of(100);
    const struct http_file file = {fd, 10, 20};
    char hex[SHA256_HEX_SIZE];

    fake_answer(fake, 200, NULL);
    s3_put(fake_aws(fake), &(struct s3_put_opts){.object = object, .file = &file}, on_done, fake);
    assert_good(fake);
    assert_string_equal(fake->bodies.items[0], "aaaaaaaaaaaaaaaaaaaa");
    sha256_hex("aaaaaaaaaaaaaaaaaaaa", 20, hex);
    assert_sent(fake, 0, "X-Amz-Content-Sha256", hex);
    assert_sent(fake, 0, "Content-Type", "application/octet-stream");
    assert_sent(fake, 0, "x-amz-server-side-encryption", "");
    close(fd);
}

static void a_file_that_is_shorter_than_said_is_not_sent(void **state)
{
    struct fake *fake = *state;
    const int fd = file_of(100);
    const struct http_file file = {fd, 10, 91};

    s3_put(fake_aws(fake), &(struct s3_put_opts){.object = object, .file = &file}, on_done, fake);
    fake_wait(fake);
    assert_int_equal(fake->err.code, ERR_CONFLICT);
    assert_true(str_starts(fake->err.msg, "S3 PutObject s3://shop/a dir/"));
    assert_int_equal(fake->asked.count, 0);
    close(fd);
}

static void an_object_is_got_whole_in_part_and_into_a_file(void **state)
{
    struct fake *fake = *state;
    const int fd = file_of(0);
    const struct http_file file = {fd, 3, 100};
    char read[8] = "";

    fake_answer(fake, 206, "hello");
    s3_get(fake_aws(fake), &(struct s3_get_opts){.object = object}, on_done, fake);
    assert_good(fake);
    assert_string_equal(text, "data=hello ");
    assert_sent(fake, 0, "Range", "");
    s3_get(fake->aws,
           &(struct s3_get_opts){.object = object, .first = 7, .count = 5, .if_match = "\"e\""},
           on_done, fake);
    assert_good(fake);
    assert_sent(fake, 1, "Range", "bytes=7-11");
    assert_sent(fake, 1, "If-Match", "\"e\"");
    s3_get(fake->aws, &(struct s3_get_opts){.object = object, .first = 7, .file = &file}, on_done,
           fake);
    assert_good(fake);
    assert_sent(fake, 2, "Range", "bytes=7-");
    assert_int_equal(size, 5);
    assert_string_equal(text, "");
    assert_int_equal(pread(fd, read, 8, 3), 5);
    assert_string_equal(read, "hello");
    close(fd);
}

static void an_object_that_is_not_there_is_not_found(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 404, "<Error><Code>NoSuchKey</Code><Message>The key.</Message></Error>");
    s3_get(fake_aws(fake), &(struct s3_get_opts){.object = {"shop", "k"}}, on_done, fake);
    fake_wait(fake);
    assert_int_equal(fake->err.code, ERR_NOT_FOUND);
    assert_string_equal(fake->err.msg,
                        "S3 GetObject s3://shop/k: NoSuchKey: The key. (status 404)");
    s3_head(fake->aws, &object, on_done, fake);
    fake_wait(fake);
    assert_int_equal(fake->err.code, ERR_NOT_FOUND);
}

static void a_head_tells_size_and_time(void **state)
{
    struct fake *fake = *state;

    fake_answer(fake, 200, "12345678");
    fake->answers[0].header = "Last-Modified: Wed, 12 Oct 2022 17:50:00 GMT";
    s3_head(fake_aws(fake), &object, on_done, fake);
    assert_good(fake);
    assert_int_equal(size, 8);
    assert_string_equal(text, "modified=1665597000000 ");
}

static void a_list_is_read_page_by_page(void **state)
{
    static const char page[] =
        "<?xml version=\"1.0\"?><ListBucketResult "
        "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
        "<Name>shop</Name><Prefix>a</Prefix><IsTruncated>true</IsTruncated>"
        "<Contents><Key>a/1 &amp; 2</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified>"
        "<ETag>&quot;e1&quot;</ETag><Size>434234</Size><Owner><ID>x</ID></Owner></Contents>"
        "<Contents><Key>a/3</Key><Size>0</Size><ETag>e2</ETag></Contents>"
        "<NextContinuationToken>more==</NextContinuationToken></ListBucketResult>";
    struct fake *fake = *state;

    fake_answer(fake, 200, page);
    fake_answer(fake, 200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>");
    s3_list(fake_aws(fake), &(struct s3_list_opts){.bucket = "shop", .prefix = "a", .count = 2},
            on_done, fake);
    assert_good(fake);
    assert_string_equal(text, "a/1 & 2(434234,1255369830000,\"e1\") a/3(0,0,e2) next=more==");
    s3_list(fake->aws, &(struct s3_list_opts){.bucket = "shop", .next = "more=="}, on_done, fake);
    assert_good(fake);
    assert_string_equal(text, "");
    assert_string_equal(fake->asked.items[0], "GET /shop/ list-type=2 prefix=a max-keys=2");
    assert_string_equal(fake->asked.items[1], "GET /shop/ list-type=2 continuation-token=more==");
}

static void a_list_that_is_none_is_refused(void **state)
{
    static const char *const bodies[] = {
        "",
        "<ListBucketResult>",
        "<a><b></a></b>",
        "{}",
        "<ListBucketResult><Contents><Key>k</Key><Size>x</Size></Contents></ListBucketResult>",
        "<!DOCTYPE l [<!ENTITY e 'x'>]><ListBucketResult><Name>&e;</Name></ListBucketResult>",
        "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a></a>"
        "</a></a></a></a></a></a></a></a>"};
    struct fake *fake = *state;

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        fake_answer(fake, 200, bodies[i]);
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        s3_list(fake_aws(fake), &(struct s3_list_opts){.bucket = "shop"}, on_done, fake);
        fake_wait(fake);
        assert_int_not_equal(fake->err.code, ERR_NONE);
        assert_true(str_starts(fake->err.msg, "S3 ListObjectsV2 s3://shop/"));
    }
}

static void a_key_that_is_too_long_and_a_bucket_that_is_none_are_refused(void **state)
{
    struct fake *fake = *state;
    char *key = mem_alloc(1026);

    memset(key, 'k', 1025);
    s3_head(fake_aws(fake), &(struct s3_object){"shop", key}, on_done, fake);
    fake_wait(fake);
    assert_int_equal(fake->err.code, ERR_INVALID);
    s3_head(fake_aws(fake), &(struct s3_object){"a/b", "k"}, on_done, fake);
    fake_wait(fake);
    assert_int_equal(fake->err.code, ERR_INVALID);
    assert_int_equal(fake->asked.count, 0);
    free(key);
}

/* ---- uploads ---- */

#define CREATED                                                                                    \
    "<InitiateMultipartUploadResult><UploadId>u&amp;1</UploadId></InitiateMultipartUploadResult>"
#define COMPLETED                                                                                  \
    "<CompleteMultipartUploadResult><ETag>\"whole-3\"</ETag></CompleteMultipartUploadResult>"

static struct s3_upload *upload(struct fake *fake, int fd, size_t len)
{
    return s3_upload(fake_aws(fake),
                     &(struct s3_upload_opts){.object = {"shop", "big"},
                                              .kind = {NULL, ""},
                                              .file = {fd, 0, len},
                                              .part_size = PART,
                                              .parallel = 1},
                     on_done, fake);
}

static void part_answer(struct fake *fake, const char *header)
{
    fake_answer(fake, 200, NULL);
    fake->answers[fake->answer_count - 1].header = header;
}

static void a_large_file_goes_in_parts(void **state)
{
    struct fake *fake = *state;
    const int fd = file_of(2 * PART + 5);

    fake_answer(fake, 200, CREATED);
    part_answer(fake, "ETag: \"p1\"");
    fake_answer(fake, 503, "<Error><Code>SlowDown</Code></Error>");
    part_answer(fake, "ETag: \"p2\"");
    part_answer(fake, "ETag: \"p3\"");
    fake_answer(fake, 200, COMPLETED);
    upload(fake, fd, 2 * PART + 5);
    assert_good(fake);
    assert_string_equal(text, "etag=\"whole-3\" ");
    assert_int_equal(size, 2 * PART + 5);
    assert_int_equal(fake->asked.count, 6);
    assert_string_equal(fake->asked.items[0], "POST /shop/big uploads=");
    assert_sent(fake, 0, "x-amz-server-side-encryption", "aws:kms");
    assert_sent(fake, 0, "x-amz-server-side-encryption-aws-kms-key-id", "");
    assert_string_equal(fake->asked.items[1], "PUT /shop/big partNumber=1 uploadId=u&1");
    assert_string_equal(fake->asked.items[3], "PUT /shop/big partNumber=2 uploadId=u&1");
    assert_string_equal(fake->asked.items[4], "PUT /shop/big partNumber=3 uploadId=u&1");
    assert_int_equal(strlen(fake->bodies.items[3]), PART);
    assert_string_equal(fake->bodies.items[2], fake->bodies.items[3]);
    assert_int_equal(strlen(fake->bodies.items[4]), 5);
    assert_string_equal(
        fake->bodies.items[5],
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
        "<Part><PartNumber>1</PartNumber><ETag>\"p1\"</ETag></Part>"
        "<Part><PartNumber>2</PartNumber><ETag>\"p2\"</ETag></Part>"
        "<Part><PartNumber>3</PartNumber><ETag>\"p3\"</ETag></Part></CompleteMultipartUpload>");
    close(fd);
}

static void a_small_and_an_empty_file_go_as_one(void **state)
{
    struct fake *fake = *state;
    const int fd = file_of(PART);

    fake_answer(fake, 200, NULL);
    upload(fake, fd, PART);
    assert_good(fake);
    assert_int_equal(size, PART);
    upload(fake, fd, 0);
    assert_good(fake);
    assert_string_equal(fake->asked.items[0], "PUT /shop/big");
    assert_string_equal(fake->asked.items[1], "PUT /shop/big");
    assert_string_equal(fake->bodies.items[1], "");
    assert_int_equal(fake->asked.count, 2);
    close(fd);
}

static void parts_of_an_upload_that_fails_are_taken_back(void **state)
{
    struct fake *fake = *state;
    const int fd = file_of(2 * PART);

    fake_answer(fake, 200, CREATED);
    fake_answer(fake, 403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>");
    fake_answer(fake, 204, NULL);
    upload(fake, fd, 2 * PART);
    fake_wait(fake);
    assert_int_equal(fake->err.code, ERR_DENIED);
    assert_non_null(strstr(fake->err.msg, "S3 UploadPart s3://shop/big: AccessDenied: no"));
    assert_string_equal(fake->asked.items[2], "DELETE /shop/big uploadId=u&1");
    close(fd);
}

static void a_completion_that_fails_after_its_200_is_an_error(void **state)
{
    struct fake *fake = *state;
    const int fd = file_of(PART + 1);

    fake_answer(fake, 200, CREATED);
    part_answer(fake, "ETag: \"p1\"");
    part_answer(fake, "ETag: \"p2\"");
    fake_answer(fake, 200, "<Error><Code>InternalError</Code><Message>try again</Message></Error>");
    fake_answer(fake, 200, "\n\n<Error><Code>InvalidPart</Code><Message>which?</Message></Error>");
    fake_answer(fake, 204, NULL);
    upload(fake, fd, PART + 1);
    fake_wait(fake);
    assert_int_not_equal(fake->err.code, ERR_NONE);
    assert_non_null(strstr(fake->err.msg, "InvalidPart: which?"));
    assert_int_equal(fake->asked.count, 6);
    assert_string_equal(fake->asked.items[5], "DELETE /shop/big uploadId=u&1");
    close(fd);
}

static void an_upload_that_is_cancelled_is_taken_back_without_a_callback(void **state)
{
    struct fake *fake = *state;
    const int fd = file_of(2 * PART);
    struct s3_upload *one;

    fake_answer(fake, 200, CREATED);
    fake_answer(fake, 204, NULL);
    told = 0;
    fake->hold = 2; /* the first part */
    one = upload(fake, fd, 2 * PART);
    loop_run_for(fake->loop, WAIT_MS, &fake->held);
    s3_upload_cancel(one);
    fake->hold = 3;
    fake->held = false;
    loop_run_for(fake->loop, WAIT_MS, &fake->held);
    assert_string_equal(fake->asked.items[2], "DELETE /shop/big uploadId=u&1");
    assert_int_equal(told, 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(an_object_is_put_with_its_kind_and_the_hash_of_its_bytes),
        FAKE_TEST(a_file_is_put_from_its_place_and_hashed_before),
        FAKE_TEST(a_file_that_is_shorter_than_said_is_not_sent),
        FAKE_TEST(an_object_is_got_whole_in_part_and_into_a_file),
        FAKE_TEST(an_object_that_is_not_there_is_not_found),
        FAKE_TEST(a_head_tells_size_and_time),
        FAKE_TEST(a_list_is_read_page_by_page),
        FAKE_TEST(a_list_that_is_none_is_refused),
        FAKE_TEST(a_key_that_is_too_long_and_a_bucket_that_is_none_are_refused),
        FAKE_TEST(a_large_file_goes_in_parts),
        FAKE_TEST(a_small_and_an_empty_file_go_as_one),
        FAKE_TEST(parts_of_an_upload_that_fails_are_taken_back),
        FAKE_TEST(a_completion_that_fails_after_its_200_is_an_error),
        FAKE_TEST(an_upload_that_is_cancelled_is_taken_back_without_a_callback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
