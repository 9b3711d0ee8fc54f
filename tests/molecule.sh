#!/usr/bin/env bash
# Every role on booted hosts, by Molecule: in check mode where it never ran, converged, run again without a change, verified.
#
#   tests/molecule.sh              all roles; the hosts are deleted afterwards, whatever comes
#   tests/molecule.sh agent        one role (what it stands on is converged first)
#   LAB_NAME=x LAB_NET=10.90.0 tests/molecule.sh ...   on a lab of that name, beside others
#   tests/molecule.sh --keep ...   leave the hosts: look with LAB_NAME=molecule tests/lab/lab ssh host13
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH

# Each stands on those before it, and uses their hosts.
ROLES=(certificates kafka timescaledb release component init agent sink report alarm page)

# Another lab than its own only where both its name and its network are given, as for tests/lab/lab.
[ -n "${LAB_NET:-}" ] || LAB_NAME=molecule
export LAB_NAME
unset ANSIBLE_CONFIG
export MOLECULE_GLOB='{roles/*/molecule,tests/molecule}/*/molecule.yml'
# Molecule's own settings hold this too; here it guards what comes before they are read.
export ANSIBLE_HOST_PATTERN_MISMATCH=error
export MOLECULE_PROJECT_DIRECTORY=$PWD
export PY_COLORS=${PY_COLORS:-0} ANSIBLE_FORCE_COLOR=${ANSIBLE_FORCE_COLOR:-0}

keep=
[ "${1:-}" != --keep ] || { keep=1; shift; }
only=${1:-}

clean() { [ -n "$keep" ] || molecule destroy -s default; }
trap clean EXIT
# It remembers hosts that a killed run created, and would not boot new ones.
[ -n "$keep" ] || molecule destroy -s default
tests/lab/lab kafka
molecule create -s default

times=()
for role in "${ROLES[@]}"; do
  start=$SECONDS
  if [ -z "$only" ] || [ "$role" = "$only" ]; then
    molecule test -s "$role" --destroy=never
  else
    molecule converge -s "$role"
  fi
  times+=("$(printf '%-14s %4d s' "$role" $((SECONDS - start)))")
  [ "$role" != "$only" ] || break
done
printf '%s\n' "${times[@]}" "all            $(printf '%4d' "$SECONDS") s"
