#!/bin/sh
# The server says its release and digest on the check port, and on the public one once it was told to serve.
set -eu
port=$((20000 + $$ % 10000))
RELEASE=7 DIGEST=sha256:abc PORT=$port CHECK_PORT=$((port + 1)) ./server &
trap 'kill $!' EXIT
for _ in 1 2 3 4 5 6 7 8 9 10; do curl -fs "http://127.0.0.1:$((port + 1))/" >answer && break; sleep 0.1; done
grep -q 'release 7' answer && grep -q 'sha256:abc' answer
! curl -fs "http://127.0.0.1:$port/" 2>/dev/null
curl -fs -X POST "http://127.0.0.1:$((port + 1))/serve" >/dev/null
curl -fs "http://127.0.0.1:$port/" | grep -q 'release 7'
echo 'tests passed'
