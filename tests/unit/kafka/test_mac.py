"""The MAC of a record: what it is over, and that nothing of it can be moved."""

import hmac

from webmon.kafka.mac import Signer

KEY = "0123456789abcdef0123456789abcdef"


def test_a_mac_is_hmac_sha256_over_the_length_of_the_key_the_key_and_the_value() -> None:
    for key in (KEY, KEY + KEY):
        expected = hmac.digest(key.encode(), b"\x00\x00\x00\x04shop" + b'{"a":1}', "sha256")
        assert Signer(key).sign(b"shop", b'{"a":1}') == expected
        assert len(expected) == 32


def test_a_mac_fits_its_record_alone() -> None:
    signer = Signer(KEY)
    mac = signer.sign(b"shop", b"value")
    assert signer.fits(mac, b"shop", b"value")
    assert signer.fits(mac, b"shop", b"value"), "one record costs the next nothing"
    assert not signer.fits(mac, b"shop", b"valuf")
    assert not signer.fits(mac, b"shopv", b"alue"), "what stands where is part of it"
    assert not signer.fits(mac, None, b"shopvalue")
    assert not signer.fits(mac[:-1], b"shop", b"value")
    assert not signer.fits(b"", b"shop", b"value")
    assert not Signer(KEY[::-1]).fits(mac, b"shop", b"value")


def test_a_record_without_a_key_can_be_signed() -> None:
    assert Signer(KEY).fits(Signer(KEY).sign(None, b"value"), None, b"value")
