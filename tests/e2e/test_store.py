"""The artifact store as a bucket of S3, on a server of AWS's interfaces that others wrote."""
import os
import subprocess
import uuid

import pytest
from aws import REGION
from stack import BUILD


@pytest.fixture
def bucket(aws):
    name = f"gantry-{uuid.uuid4().hex[:12]}"
    aws.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


def probe(aws, where, *words, kms="", **kwargs):
    return subprocess.run([BUILD / "tests/unit/store/store_probe", where, kms, *map(str, words)], capture_output=True,
                          text=True, env=aws.environment(), timeout=120, **kwargs)


def test_objects_go_below_the_prefix_and_come_back(aws, bucket, tmp_path):
    where, data = f"s3://{bucket}/builds/", os.urandom(1000)
    (tmp_path / "sent").write_bytes(data)
    assert probe(aws, where, "put", "shop/1/web ü.zip", tmp_path / "sent").stdout == "1000\n"
    assert aws.client("s3").get_object(Bucket=bucket, Key="builds/shop/1/web ü.zip")["Body"].read() == data
    assert probe(aws, where, "get", "shop/1/web ü.zip", tmp_path / "got", 1000).returncode == 0
    assert (tmp_path / "got").read_bytes() == data
    assert probe(aws, where, "head", "shop/1/web ü.zip").stdout == "1000\n"
    assert probe(aws, where, "list", "shop/").stdout == "shop/1/web ü.zip 1000\n"
    large = probe(aws, where, "get", "shop/1/web ü.zip", tmp_path / "got", 999)
    assert large.returncode == 1 and large.stderr.startswith("limit: ")
    for _ in range(2):
        assert probe(aws, where, "delete", "shop/1/web ü.zip").returncode == 0
    gone = probe(aws, where, "get", "shop/1/web ü.zip", tmp_path / "got", 1000)
    assert gone.returncode == 1 and gone.stderr.startswith("not-found: ")


def test_more_than_8_mib_goes_in_parts_under_the_key_that_is_set(aws, bucket, tmp_path):
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    data = os.urandom(1 << 20) * 9
    (tmp_path / "sent").write_bytes(data)
    assert probe(aws, f"s3://{bucket}", "put", "big", tmp_path / "sent", kms=key).returncode == 0
    head = aws.client("s3").head_object(Bucket=bucket, Key="big")
    assert head["ETag"].endswith('-2"')
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)
    assert probe(aws, f"s3://{bucket}", "get", "big", tmp_path / "got", len(data)).returncode == 0
    assert (tmp_path / "got").read_bytes() == data


def test_a_list_of_more_than_a_page_is_whole(aws, bucket):
    client = aws.client("s3")
    for n in range(1005):
        client.put_object(Bucket=bucket, Key=f"c/{n:04}", Body=b"x")
    lines = probe(aws, f"s3://{bucket}", "list", "c/").stdout.splitlines()
    assert lines == [f"c/{n:04} 1" for n in range(1005)]
    assert probe(aws, f"s3://{bucket}/c", "list", "000").stdout.splitlines() == [f"{n:04} 1" for n in range(10)]


def test_a_bucket_that_is_not_there_is_told(aws, tmp_path):
    (tmp_path / "sent").write_bytes(b"x")
    done = probe(aws, "s3://gantry-none-of-that-name", "put", "a", tmp_path / "sent")
    assert done.returncode == 1 and "NoSuchBucket" in done.stderr
