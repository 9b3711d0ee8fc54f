"""The page on its host: what is public, and the files that it keeps."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from webmon.doctor.finding import Finding, failed, ok, warning
from webmon.errors import UserError
from webmon.page import file as page_file
from webmon.page.cache import Cache
from webmon.render import as_duration
from webmon.settings import PageSettings


def examine(settings: PageSettings) -> Iterator[Finding]:
    """Look at the page's file, at the snapshot on disk, at the copy, and at who may act."""
    page = settings.page
    yield from _public(page.file_path)
    yield _cache(page.cache_path)
    if page.export_path is not None:
        fault = _fault_of_directory(page.export_path)
        yield (
            failed("copy", f"PAGE_EXPORT_PATH: {fault}") if fault else ok("copy", f"{page.export_path} can be written")
        )
    if settings.kafka is None and page.operator_address is not None:
        yield warning(
            "acts",
            "KAFKA_HOST is not set, so nobody can acknowledge, silence or announce on the operator's page; right would "
            "be the way to Kafka as webmon-page",
        )


def _public(path: Path | None) -> Iterator[Finding]:
    if path is None:
        yield ok("public", "no PAGE_FILE_PATH: nothing is public")
        return
    try:
        file = page_file.load(path)
    except UserError as error:
        for line in error.lines:
            yield failed("public", line)
        return
    yield ok("public", f"{path} has {len(file.groups)} groups and {len(file.named)} targets by name, without a fault")


def _cache(path: Path) -> Finding:
    if fault := _fault_of_directory(path.parent):
        return failed("snapshot", f"PAGE_CACHE_PATH: {fault}")
    snapshot = Cache(path).read()
    if snapshot is None:
        return warning("snapshot", f"{path} holds none yet; the page writes it after its first look at the database")
    age = max(0.0, (datetime.now(UTC) - snapshot.as_of).total_seconds())
    told = f"{path} is {as_duration(age)} old, with {len(snapshot.targets)} targets"
    return ok("snapshot", told) if age < 3600 else warning("snapshot", f"{told}; is webmon-page running?")


def _fault_of_directory(path: Path) -> str | None:
    if not os.access(f"{path}/", os.F_OK):
        return f"{path} is no directory; right would be one that can be written"
    return None if os.access(path, os.W_OK | os.X_OK) else f"{path} can't be written; right would be one that can be"
