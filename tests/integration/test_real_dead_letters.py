"""`webmon dead-letters` on a real broker: what it tells of a letter, and what becomes of one that is sent back."""

import json
import random

from tests.integration.stage import Stage, recent
from tests.waiting import wait_until


def ids(stage: Stage, *arguments: str) -> list[str]:
    done = stage.letters("list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [letter["id"] for letter in json.loads(done.stdout)]


def test_letters_are_listed_and_shown_without_harm_to_a_terminal(stage: Stage) -> None:
    assert f"no dead letters on {stage.topic}.dead-letters" in stage.letters("list").stdout
    steering = b'{"target":"\x1b[2Jevil"\n'
    stage.publish([steering, b"\xff\x00raw\n", None])
    stage.start_sink()
    stage.dead_letters(3)
    listed = stage.letters("list").stdout
    assert listed.startswith(f"3 on {stage.topic}.dead-letters\n")
    assert {line.split()[0] for line in listed.splitlines()[3:]} == {"0:0", "0:1", "0:2"}
    assert "\x1b" not in listed
    documents = {document["bytes"]: document for document in json.loads(stage.letters("list", "--json").stdout)}
    evil = documents[len(steering)]
    assert evil["message"]["topic"] == stage.topic
    assert evil["reason"].startswith("JSON is malformed")
    assert (evil["key"], evil["cut_from"], evil["sent_back"]) == ("key", None, None)
    shown = stage.letters("show", evil["id"]).stdout
    for text in (
        f"message   {stage.topic} partition {evil['message']['partition']} offset {evil['message']['offset']}\n",
        "reason    JSON is malformed",
        "header    schema: 2\n",
        f"value     {len(steering)} bytes\n",
        '\n{"target":"\\x1b[2Jevil"\n',
    ):
        assert text in shown
    assert "webmon-" not in shown
    assert "\x1b" not in shown
    assert "value     none\n" in stage.letters("show", documents[0]["id"]).stdout
    raw = stage.letters("show", documents[6]["id"], "--raw").stdout
    assert raw.encode(errors="surrogateescape") == b"\xff\x00raw\n"


def test_a_letter_that_fails_again_is_a_new_letter_with_the_same_message(stage: Stage) -> None:
    stage.publish([b"first", b"second"], headers=[("schema", b"2"), ("x", b"y")])
    stage.start_sink()
    first, second = stage.dead_letters(2)
    done = stage.letters("redrive", "--id", "0:1")
    assert done.returncode == 0, done.stderr
    assert f"0:1 sent back to {stage.topic} partition " in done.stdout
    assert done.stdout.splitlines()[-1] == f"1 sent back to {stage.topic}, 0 not"
    # The two, and in either order the note and the one that came again.
    (again,) = [letter for letter in stage.dead_letters(4)[2:] if letter.value == second.value]
    assert (again.key, again.value) == (second.key, second.value)
    assert len(again.headers) == len(second.headers) == 6
    assert again.headers[:2] == [("schema", b"2"), ("x", b"y")]
    assert ids(stage) == [f"0:{first.offset}", f"0:{again.offset}"]
    assert ids(stage, "--all") == ["0:0", "0:1", f"0:{again.offset}"]
    assert "; 1 more were sent back (--all shows them)" in stage.letters("list").stdout


def test_letters_that_are_sent_back_are_stored_once_each_however_often(stage: Stage) -> None:
    stage.sql("ALTER TABLE {t} ADD CONSTRAINT for_a_while CHECK (body_bytes < 5)")
    results = [recent(number, body_bytes=number % 2 * 7) for number in range(40)]
    stage.publish(results)
    sink = stage.start_sink()
    stage.dead_letters(20)
    assert stage.count() == 20
    stage.sql("ALTER TABLE {t} DROP CONSTRAINT for_a_while")
    done = stage.letters("redrive", "--all")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"20 sent back to {stage.topic}, 0 not"
    wait_until(lambda: stage.count() == 40, "all stored")
    assert ids(stage) == []
    assert len(ids(stage, "--all")) == 20
    done = stage.letters("redrive", "--all")
    assert (done.returncode, done.stdout) == (0, f"0 sent back to {stage.topic}, 0 not\n")
    assert stage.letters("redrive", "--id", "0:0", "0:5").returncode == 0
    wait_until(lambda: stage.committed() == 62, "the two read once more")
    assert stage.count() == 40
    assert sink.process.poll() is None


def test_a_letter_that_was_cut_is_not_sent_back(stage: Stage) -> None:
    stage.limit_messages(f"{stage.topic}.dead-letters", 150_000)
    stage.publish([random.randbytes(300_000)])
    stage.publish([b"whole"])
    stage.start_sink()
    assert {letter.value == b"whole" for letter in stage.dead_letters(2)} == {True, False}
    (cut,) = [one for one in json.loads(stage.letters("list", "--json").stdout) if one["cut_from"] == 300_000]
    assert "value     100000 bytes, the beginning of 300000\n" in stage.letters("show", cut["id"]).stdout
    done = stage.letters("redrive", "--all")
    assert done.returncode == 1
    assert f"{cut['id']} not sent back: only the first 100000 of its 300000 bytes were kept" in done.stdout
    assert done.stdout.splitlines()[-1] == f"1 sent back to {stage.topic}, 1 not"
    assert cut["id"] in ids(stage)


def test_a_message_of_ten_megabytes_is_kept_whole_and_what_the_results_no_longer_take_is_told(stage: Stage) -> None:
    stage.limit_messages(stage.topic, 12_000_000)
    junk = random.randbytes(10_000_000)
    stage.publish([junk, b"small"])
    stage.start_sink()
    letters = stage.dead_letters(2)
    assert [letter.value for letter in letters if len(letter.value) > 5] == [junk]
    wait_until(lambda: stage.committed() == 2, "no message holds up the others")
    stage.limit_messages(stage.topic, 1_000_000)
    done = stage.letters("redrive", "--all")
    assert done.returncode == 1
    assert f"not sent back: {stage.topic} takes no message of that size (max.message.bytes)" in done.stdout
    assert done.stdout.splitlines()[-1] == f"1 sent back to {stage.topic}, 1 not"


def test_mistakes_are_told_in_a_line(shared_stage: Stage) -> None:
    for arguments in (["show", "0:99"], ["show", "7:0"], ["redrive", "--id", "0:99"]):
        done = shared_stage.letters(*arguments)
        assert done.returncode == 2
        assert f"{arguments[-1]}: no such letter on {shared_stage.topic}.dead-letters" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_certificate_of_a_sink_may_not_read_letters(stage: Stage) -> None:
    stage.publish([b"junk"])
    stage.start_sink()
    stage.dead_letters(1)
    done = stage.letters("list", component="sink")
    assert done.returncode == 2
    assert f"READ topic {stage.topic}.dead-letters" in done.stderr
    assert "the .env of init" in done.stderr
    assert len(done.stderr.splitlines()) == 1
