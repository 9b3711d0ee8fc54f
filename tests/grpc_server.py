"""A server of the real gRPC with its own health service, for tests: the first line that it prints has its two ports.

It runs as a process of its own, as gRPC's threads outlive whoever asked for them.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def main(certificate: Path, key: Path) -> None:
    """Serve until standard input ends: in plain text, and with TLS by a PEM certificate and its key."""
    servicer = health.HealthServicer()
    servicer.set("shop.Cart", health_pb2.HealthCheckResponse.SERVING)
    servicer.set("shop.Search", health_pb2.HealthCheckResponse.NOT_SERVING)
    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    ports = server.add_insecure_port("127.0.0.1:0"), server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    print(*ports, flush=True)
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
