#!/usr/bin/env bash
# obstore 0.12.1: with region="cn-north-1" and no endpoint, requests go to s3.cn-north-1.amazonaws.com. The S3 of China's
# regions is at s3.cn-north-1.amazonaws.com.cn, in a partition of AWS with accounts of its own; botocore knows that, and so
# does every tool that is made of it. A bucket that s3fs or the AWS command line reaches with the region alone is not
# reached through obstore with the same settings; the endpoint has to be told.
# AWS's list of endpoints: https://docs.amazonaws.cn/en_us/general/latest/gr/endpoints-Beijing.html
#
# Why it matters: signed requests for buckets in China leave for a host of another partition, and all of them fail.
#
# Seen: with obstore 0.12.1 and botocore 1.43.117 (nothing is sent: both only sign an address)
#   obstore   eu-west-1      s3.eu-west-1.amazonaws.com
#   botocore  eu-west-1      s3.eu-west-1.amazonaws.com
#   obstore   us-gov-west-1  s3.us-gov-west-1.amazonaws.com
#   botocore  us-gov-west-1  s3.us-gov-west-1.amazonaws.com
#   obstore   cn-north-1     s3.cn-north-1.amazonaws.com
#   botocore  cn-north-1     s3.cn-north-1.amazonaws.com.cn
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --no-compile obstore==0.12.1 botocore==1.43.117
cat >"$folder/seen.py" <<'PYTHON'
from datetime import timedelta
from urllib.parse import urlsplit

import botocore.session
import obstore
from botocore.config import Config
from obstore.store import S3Store

keys = {"id": "AKIAEXAMPLE", "secret": "example"}
for region in ("eu-west-1", "us-gov-west-1", "cn-north-1"):
    store = S3Store("bucket", region=region, access_key_id=keys["id"], secret_access_key=keys["secret"])
    signed = obstore.sign(store, "GET", "key", timedelta(minutes=1))
    print(f"obstore   {region:14} {urlsplit(signed).hostname}")
    client = botocore.session.get_session().create_client(
        "s3",
        region_name=region,
        aws_access_key_id=keys["id"],
        aws_secret_access_key=keys["secret"],
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    signed = client.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "key"})
    print(f"botocore  {region:14} {urlsplit(signed).hostname}")
PYTHON
cat >"$folder/expected" <<'TEXT'
obstore   eu-west-1      s3.eu-west-1.amazonaws.com
botocore  eu-west-1      s3.eu-west-1.amazonaws.com
obstore   us-gov-west-1  s3.us-gov-west-1.amazonaws.com
botocore  us-gov-west-1  s3.us-gov-west-1.amazonaws.com
obstore   cn-north-1     s3.cn-north-1.amazonaws.com
botocore  cn-north-1     s3.cn-north-1.amazonaws.com.cn
TEXT
env -u AWS_ENDPOINT_URL -u AWS_ENDPOINT_URL_S3 AWS_CONFIG_FILE=/dev/null "$folder/venv/bin/python" "$folder/seen.py" |
    tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
