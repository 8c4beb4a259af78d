#!/bin/sh
# Runs a command with an S3 server beside it, on a port of this machine that the system chooses; its
# address is in WEIR_S3 and AWS_ENDPOINT_URL_S3 then. The server is moto, in a folder of its own in
# the cache.
#
#   s3.sh COMMAND...
set -eu
version=5.2.5
WEIR_CACHE=${WEIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir}
venv=$WEIR_CACHE/moto-$version

if [ ! -e "$venv/complete" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        "moto[s3]==$version" flask flask-cors >&2
    touch "$venv/complete"
fi

exec "$venv/bin/python" - "$@" <<'PYTHON'
import logging
import os
import subprocess
import sys

from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
address = "http://{}:{}".format(*server.get_host_and_port())
beside = {
    "WEIR_S3": address,
    "AWS_ENDPOINT_URL_S3": address,
    "AWS_ALLOW_HTTP": "true",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}
try:
    sys.exit(subprocess.run(sys.argv[1:], env={**os.environ, **beside}).returncode)
finally:
    server.stop()
PYTHON
