"""Runs in a workload's pod until it is told to end, and uploads BUCKET/KEY a while after that."""

import os
import signal
import threading
import time

import boto3

DELAY_SECONDS = 3


def main() -> None:
    is_ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: is_ending.set())
    print("waiting", flush=True)
    is_ending.wait()
    time.sleep(DELAY_SECONDS)
    boto3.client("s3").put_object(Bucket=os.environ["BUCKET"], Key=os.environ["KEY"], Body=b"bye")


main()
