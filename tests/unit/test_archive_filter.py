"""What of the controller goes into an archive, and which places for it and its passphrase are refused."""

from pathlib import Path

import pytest

from tests.unit.filters import load

plugin = load("archive")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("files/secrets/agents", "files/authority", "inventory/mine/group_vars", "inventory/others"):
        (tmp_path / "checkout" / name).mkdir(parents=True)
    (tmp_path / "passphrase").write_text("a passphrase of some length\n")
    (tmp_path / "passphrase").chmod(0o600)
    return tmp_path / "checkout"


def faults(checkout: Path, archive: Path | str, passphrase: Path | str) -> list[str]:
    found: list[str] = plugin.archive_faults(str(archive), str(passphrase), ["files", "inventory/mine"], str(checkout))
    return found


def test_what_is_in_the_checkout_is_named_from_there_and_nothing_twice(checkout: Path) -> None:
    elsewhere = checkout.parent / "secrets"
    elsewhere.mkdir()
    wanted = [checkout / "files", checkout / "files/secrets/agents", checkout / "files/no-such", elsewhere]
    found = plugin.archive_paths(map(str, wanted), [str(checkout / "inventory/mine")], str(checkout))
    assert sorted(found) == sorted(["files", "inventory/mine", str(elsewhere)])


def test_an_inventory_that_is_a_file_goes_with_the_variables_beside_it(checkout: Path) -> None:
    file = checkout / "inventory/mine/hosts.yml"
    file.write_text("all: {}")
    found = plugin.archive_paths([], [str(file)], str(checkout))
    assert sorted(found) == ["inventory/mine/group_vars", "inventory/mine/hosts.yml"]


def test_a_place_elsewhere_with_a_passphrase_that_is_ours_alone_is_right(checkout: Path) -> None:
    assert faults(checkout, checkout.parent / "webmon.vault", checkout.parent / "passphrase") == []


def test_a_passphrase_in_its_own_archive_is_refused_and_so_is_the_archive(checkout: Path) -> None:
    inside = checkout / "files/secrets/passphrase"
    inside.write_text("a passphrase of some length")
    inside.chmod(0o600)
    told = faults(checkout, checkout / "files/webmon.vault", inside)
    assert len(told) == 2
    assert all("goes into the archive; right would be a place elsewhere" in line for line in told)


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ("a passphrase of some length", 0o640, "of mode 0640"),
        ("a passphrase of some length", 0o700, "of mode 0700"),
        ("short", 0o600, "has no good passphrase"),
        ("a passphrase of\ntwo lines, somehow", 0o600, "has no good passphrase"),
    ],
)
def test_a_passphrase_that_others_read_or_guess_is_refused(checkout: Path, text: str, mode: int, told: str) -> None:
    file = checkout.parent / "passphrase"
    file.write_text(text)
    file.chmod(mode)
    [line] = faults(checkout, checkout.parent / "webmon.vault", file)
    assert told in line
    assert "right would be a file of mode 0600" in line
    assert text not in line


def test_a_missing_passphrase_and_a_missing_place_are_told_at_once(checkout: Path) -> None:
    told = faults(checkout, "/no-such/webmon.vault", "")
    assert [line.partition(" ")[0] for line in told] == ["backup_passphrase_file", "backup_archive"]
