#!/bin/sh
# Installs the programs that `python -m bench.peers` compares with, on Debian or Ubuntu; as root.
# Programs that a release lacks are named, and the benchmark skips them. The Python libraries
# (ccdproc, bottleneck) are installed by: pip install -e '.[bench]'
set -u
apt-get update -q
for package in iraf siril gnuastro swarp; do
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$package" ||
        echo "install-peers: $package could not be installed" >&2
done
