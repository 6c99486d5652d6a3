"""The engine for S3 through botocore, with the credentials and the client of s3fs."""
