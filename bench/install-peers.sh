#!/bin/sh
# Installs the programs that `python -m bench.peers` compares with, on Debian or Ubuntu; as root.
# Those that a release has not are named, and the bench skips them. The libraries of Python
# (ccdproc, bottleneck) come with: pip install -e '.[bench]'
set -u
apt-get update -q
for package in iraf siril gnuastro swarp; do
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$package" ||
        echo "install-peers: $package could not be installed" >&2
done
