"""Try a TLS port as a client and tell in one word how it answers: accepted, or refused and why.

    tls_answer.py HOST PORT CA [CERTIFICATE KEY]    without CA, i.e. with "-": in plain text

Runs on the hosts under test, so it uses nothing but Python's own library.
"""

import socket
import ssl
import sys


def main() -> None:
    """Connect, wait for what the server has to say, print it."""
    host, port, authority, *client = sys.argv[1:]
    try:
        with socket.create_connection((host, int(port)), timeout=20) as plain:
            if authority == "-":
                # A request that asks for 4 bytes more; a TLS server hangs up on it.
                plain.sendall(b"\0\0\0\x04\0\0\0\0")
                print(wait(plain))
                return
            context = ssl.create_default_context(cafile=authority)
            if client:
                context.load_cert_chain(*client)
            with context.wrap_socket(plain, server_hostname=host) as secured:
                print(wait(secured))
    except OSError as error:
        print("refused:", error)


def wait(connection: socket.socket) -> str:
    """Give what becomes of the connection within four seconds; TLS 1.3 tells a client only then that it is refused."""
    connection.settimeout(4)
    try:
        said = connection.recv(1)
    except TimeoutError:
        return "accepted"
    # In plain text a TLS server may say so before it hangs up, by an alert.
    return "refused: hung up" if said in (b"", b"\x15") else "accepted"


if __name__ == "__main__":
    main()
