"""common/aws against a server of AWS's interfaces that others wrote."""
import base64
import hashlib
import json
import os
import uuid

import pytest
from aws import REGION


@pytest.fixture
def bucket(aws):
    name = f"gantry-{uuid.uuid4().hex[:12]}"
    aws.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


def test_an_object_goes_to_s3_and_comes_back(aws, bucket):
    key = "shop/42/a b+ü.zip"
    aws.probe("put", bucket, key, "hello")
    assert aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read() == b"hello"
    assert aws.probe("get", bucket, key) == "hello"
    assert aws.probe("get", bucket, key, 1, 3) == "ell"
    assert aws.probe("head", bucket, key).startswith("5 ")
    aws.probe("delete", bucket, key)
    gone = aws.probe("get", bucket, key, check=False)
    assert gone.returncode == 1 and "not-found" in gone.stderr and "NoSuchKey" in gone.stderr
    aws.probe("delete", bucket, key)


def test_a_large_file_goes_in_parts_and_comes_back_whole(aws, bucket, tmp_path):
    data = os.urandom(1 << 20) * 17 + b"end"
    (tmp_path / "sent").write_bytes(data)
    aws.probe("upload", bucket, "big", tmp_path / "sent")
    head = aws.client("s3").head_object(Bucket=bucket, Key="big")
    assert head["ContentLength"] == len(data) and head["ETag"].endswith('-4"')
    aws.probe("download", bucket, "big", tmp_path / "got")
    assert hashlib.sha256((tmp_path / "got").read_bytes()).digest() == hashlib.sha256(data).digest()


def test_objects_are_encrypted_by_the_key_that_is_asked_for(aws, bucket, tmp_path):
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    aws.probe("put", bucket, "one", "hello", key)
    (tmp_path / "sent").write_bytes(os.urandom(6 << 20))
    aws.probe("upload", bucket, "parts", tmp_path / "sent", key)
    for name in ("one", "parts"):
        head = aws.client("s3").head_object(Bucket=bucket, Key=name)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)


def test_a_bucket_is_listed_page_by_page(aws, bucket):
    for name in ("a/1", "a/2 & <3>", "a/4", "a/5", "b/6"):
        aws.client("s3").put_object(Bucket=bucket, Key=name, Body=b"x")
    assert aws.probe("list", bucket, "a/").splitlines() == ["a/1 1", "a/2 & <3> 1", "a/4 1", "a/5 1"]
    assert aws.probe("list", bucket, "c/") == ""


def test_parameters_are_read_decrypted_by_name_version_and_label(aws):
    ssm, name = aws.client("ssm"), f"/shop/{uuid.uuid4().hex}"
    ssm.put_parameter(Name=name, Value="one", Type="String")
    ssm.put_parameter(Name=name, Value="two", Type="SecureString", Overwrite=True)
    ssm.label_parameter_version(Name=name, ParameterVersion=1, Labels=["old"])
    assert aws.probe("parameters", name, "/none").splitlines() == [f"{name}=two", "/none=(none)"]
    assert aws.probe("parameters", f"{name}:1") == f"{name}:1=one\n"
    assert aws.probe("parameters", f"{name}:old") == f"{name}:old=one\n"


def test_secrets_are_read_by_name_arn_stage_and_version(aws):
    client, name = aws.client("secretsmanager"), f"shop-{uuid.uuid4().hex}"
    made = client.create_secret(Name=name, SecretString="one")
    client.put_secret_value(SecretId=name, SecretString=json.dumps({"user": "u", "password": "two"}))
    assert json.loads(aws.probe("secret", name)) == {"user": "u", "password": "two"}
    assert aws.probe("secret", made["ARN"], "AWSPREVIOUS") == "one\n"
    assert aws.probe("secret", name, "", made["VersionId"]) == "one\n"
    client.put_secret_value(SecretId=name, SecretBinary=b"binary")
    assert aws.probe("secret", name) == "binary\n"
    gone = aws.probe("secret", "none", check=False)
    assert gone.returncode == 1 and "ResourceNotFoundException" in gone.stderr


def test_kms_makes_wraps_and_unwraps_keys(aws):
    kms = aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    context = {"purpose": "test"}
    plain, sealed = aws.probe("data-key", key).split()
    assert len(base64.b64decode(plain)) == 32
    assert kms.decrypt(CiphertextBlob=base64.b64decode(sealed), EncryptionContext=context)["Plaintext"] == base64.b64decode(plain)
    assert aws.probe("decrypt", sealed).split()[0] == plain
    sealed = aws.probe("encrypt", key, "hello").split()[0]
    assert base64.b64decode(aws.probe("decrypt", sealed).split()[0]) == b"hello"
    broken = aws.probe("decrypt", base64.b64encode(b"x" * 200).decode(), check=False)
    assert broken.returncode == 1 and "KMS Decrypt" in broken.stderr


def test_a_service_has_an_endpoint_of_its_own(aws, bucket):
    aws.probe("put", bucket, "k", "v", AWS_ENDPOINT_URL="http://127.0.0.1:1", AWS_ENDPOINT_URL_S3=aws.url)
    assert aws.client("s3").get_object(Bucket=bucket, Key="k")["Body"].read() == b"v"
