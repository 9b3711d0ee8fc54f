"""The Python of test hosts where ANSIBLE_PYTHON_INTERPRETER names its client: one that has loaded Ansible's library.

Each task of Ansible's starts Python on the host, which compiles and loads the same hundred files before it does
anything: half of the processor time of the roles' and of the end-to-end tests. This process has loaded them, and forks
for each call. What runs is what the controller sent, as the user and in the place of who called. Where a file of the
library differs from what the controller sent, all of what was sent is used, and nothing of what was loaded.

tests/lab/lab puts it on its hosts, with Ansible's module_utils beside it.
"""

import base64
import contextlib
import gc
import glob
import grp
import importlib
import os
import platform
import pwd
import runpy
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
import types
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

LIBRARY: Final = Path(__file__).parent
MADE: Final = ("ansible", "ansible.module_utils")
"""Packages that Ansible makes, empty, for each module that it sends."""
LOADER: Final = "ansible.module_utils._internal._ansiballz._loader"
USED: Final = (base64, glob, grp, platform, runpy, shutil, tempfile)
"""What most modules load, and this program does not use."""
KILLED: Final = 137


def load() -> None:
    """Load what most modules of Ansible's load, so that it is used where the controller sends the same."""
    sys.path.insert(0, str(LIBRARY))
    for name in MADE:
        package = sys.modules[name] = types.ModuleType(name)
        package.__path__ = [str(LIBRARY.joinpath(*name.split(".")))]
    sys.modules["ansible"].__file__ = str(LIBRARY / "ansible" / "__init__.py")
    loader: Any = importlib.import_module(LOADER)
    sys.path.remove(str(LIBRARY))
    # Among them are six's, which stand for others of Python's.
    files = {Path(getattr(module, "__file__", None) or "/") for module in of_ansible().values()}
    of_library = [file for file in files if file.is_relative_to(LIBRARY) and file.is_file()]
    sums = {str(file.relative_to(LIBRARY)): zlib.crc32(file.read_bytes()) for file in of_library}
    run = loader.run_module

    def run_module(*, modlib_path: str, **keywords: object) -> None:
        with zipfile.ZipFile(modlib_path) as archive:
            sent = {entry.filename: entry.CRC for entry in archive.infolist()}
        if all(sent.get(path, crc) == crc for path, crc in sums.items()):
            for name, module in of_ansible().items():
                if hasattr(module, "__path__"):
                    module.__path__ = [f"{modlib_path}/{name.replace('.', '/')}"]
            run(modlib_path=modlib_path, **keywords)
        else:
            for name in of_ansible():
                del sys.modules[name]
            importlib.import_module(LOADER).run_module(modlib_path=modlib_path, **keywords)

    loader.run_module = run_module


def of_ansible() -> dict[str, types.ModuleType]:
    """Give the modules of Ansible's library that are loaded, by name."""
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] == "ansible"}


def serve(path: str) -> None:
    """Answer calls for ever; return in a process of its own for each, in the place of who called."""
    Path(path).unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    Path(path).chmod(0o666)  # who calls is asked of the kernel
    listening.listen(64)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who answer
    while True:
        connection, _ = listening.accept()
        if os.fork() == 0:
            break
        connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    listening.close()
    length, descriptors, _, _ = socket.recv_fds(connection, 4, 3)
    with connection.makefile("rb") as file:
        place = file.read(int.from_bytes(length, "big"))
    worker = os.fork()
    if worker:
        for number in descriptors:
            os.close(number)
        status = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
        connection.send(bytes([status if status >= 0 else KILLED]))
        os._exit(0)
    _, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    connection.close()
    take(place, descriptors, uid, gid)


def take(place: bytes, descriptors: Sequence[int], uid: int, gid: int) -> None:
    """Be in the place of who called: standard input and output, user, directory, environment."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if uid:
        os.setgroups(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
        os.setgid(gid)
        os.setuid(uid)
    directory, mask, *variables = place.split(b"\0")[:-1]
    os.umask(int(mask))
    with contextlib.suppress(OSError):
        os.chdir(directory)
    os.environ.clear()
    os.environb.update(dict(variable.split(b"=", 1) for variable in variables))
    time.tzset()


load()
serve(sys.argv[1])
sys.argv = [""]
module = sys.modules["__main__"] = types.ModuleType("__main__")
exec(compile(sys.stdin.buffer.read(), "<stdin>", "exec"), module.__dict__)  # noqa: S102 it is a Python
