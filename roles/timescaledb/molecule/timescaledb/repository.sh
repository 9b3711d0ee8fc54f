#!/usr/bin/env bash
# Makes a repository in a directory, still without a signature: Debian's TimescaleDB of this host under another's name.
set -euo pipefail
umask 022
top=$1 suite=$1/dists/trixie
arch=$(dpkg --print-architecture)
package=$(mktemp -d)
mkdir -p "$package/DEBIAN" "$suite/main/binary-$arch"
chmod 755 "$package"
dpkg --listfiles postgresql-17-timescaledb | while read -r file; do
  # The lab's hosts have no documentation.
  if [ -f "$file" ] || [ -L "$file" ]; then cp --parents --no-dereference "$file" "$package"; fi
done
cat > "$package/DEBIAN/control" <<CONTROL
Package: timescaledb-2-postgresql-17
Version: 2.19.3~molecule
Architecture: $arch
Maintainer: molecule
Depends: $(dpkg-query --show --showformat='${Depends}' postgresql-17-timescaledb)
Description: TimescaleDB from elsewhere
CONTROL
dpkg-deb --build --root-owner-group "$package" "$top/package.deb"
{
  cat "$package/DEBIAN/control"
  echo "Filename: package.deb"
  echo "Size: $(stat --format=%s "$top/package.deb")"
  echo "SHA256: $(sha256sum "$top/package.deb" | cut -d ' ' -f 1)"
} > "$suite/main/binary-$arch/Packages"
rm -r "$package"
cd "$suite"
list=main/binary-$arch/Packages
cat > Release <<RELEASE
Suite: trixie
Components: main
Architectures: $arch
Date: $(date --utc --rfc-email)
SHA256:
 $(sha256sum "$list" | cut -d ' ' -f 1) $(stat --format=%s "$list") $list
RELEASE
