#!/usr/bin/env bash
# Fetches the peers into a folder, for run.py: packages are unpacked there, nothing is installed.
set -euo pipefail
folder=${1:?usage: fetch.sh FOLDER}
mkdir -p "$folder/debs" "$folder/root" "$folder/haraka"
cd "$folder/debs"
apt-get download exim4-daemon-light exim4-base libidn12 opensmtpd libevent-2.1-7
for package in *.deb; do dpkg -x "$package" "$folder/root"; done
npm install --prefix "$folder/haraka" --no-fund --no-audit --omit=optional Haraka@3
