"""Debian's nginx with one page, over HTTPS and HTTP: a site that is no bottleneck of what asks it.

It listens on both addresses of localhost: who tries one after the other has the first one's answer.
"""

import subprocess
from pathlib import Path
from typing import Final, Self

import trustme

from tests import debian
from tests.bench.site import BODY
from tests.sockets import free_port, wait_for_port

PACKAGE: Final = "nginx"
_CONFIG: Final = """
daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; default_type text/html; root {place}/root;
  client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;
  uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
  server {{
    listen 127.0.0.1:{http} backlog=4096; listen [::1]:{http} backlog=4096;
    listen 127.0.0.1:{https} ssl backlog=4096; listen [::1]:{https} ssl backlog=4096;
    ssl_certificate {place}/site.pem; ssl_certificate_key {place}/site.pem;
    location / {{ try_files /page =404; }}
  }}
}}
"""


class Nginx:
    """Serves the page of tests.bench.site at every path."""

    def __init__(self, workspace: Path) -> None:
        """Make a certificate for localhost, and choose ports."""
        authority = trustme.CA()
        self.authority = workspace / "nginx-ca.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        self._place = workspace / "nginx"
        (self._place / "root").mkdir(parents=True)
        (self._place / "root/page").write_bytes(BODY)
        for place in (workspace, self._place, self._place / "root"):
            place.chmod(0o755)  # its worker is nobody
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(self._place / "site.pem"))
        self._ports = http, https = free_port(), free_port()
        self.http, self.https = f"http://localhost:{http}/", f"https://localhost:{https}/"
        (self._place / "conf").write_text(_CONFIG.format(place=self._place, http=http, https=https))

    def __enter__(self) -> Self:
        program = debian.unpacked(PACKAGE) / "usr/sbin/nginx"
        self._process = subprocess.Popen([program, "-c", self._place / "conf", "-e", self._place / "error.log"])
        for port in self._ports:
            wait_for_port(port)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
