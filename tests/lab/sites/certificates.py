"""Make the authority of the demo sites and their certificates: good, expired, wrong name.

certificates.py DIRECTORY NAME...    writes DIRECTORY/{ca,good,expired,wrong-name}.pem for a host of these names, once

The authority's key is kept nowhere: an agent trusts ca.pem, and nothing is ever signed again.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


def main() -> None:
    """Write the files; ca.pem last, since its presence says that all are there."""
    directory, names = Path(sys.argv[1]), sys.argv[2:]
    if (directory / "ca.pem").exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA(organization_name="webmon demo sites")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    issued = {
        "good": authority.issue_cert(*names),
        "expired": authority.issue_cert(*names, not_after=yesterday),
        "wrong-name": authority.issue_cert(f"not-{names[0]}"),
    }
    for kind, certificate in issued.items():
        file = directory / f"{kind}.pem"
        file.touch(mode=0o600)
        certificate.private_key_and_cert_chain_pem.write_to_path(str(file))
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    print(f"made {directory}")


if __name__ == "__main__":
    main()
