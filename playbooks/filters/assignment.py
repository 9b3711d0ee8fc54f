"""Which broker has which copies, and which should have: for playbooks/brokers.yml, by what Kafka's own tools print.

Kafka's tool makes a plan from nothing, by which nearly everything moves. Here a copy moves only where its broker goes,
or has more of them than another one.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

_ROW: Final = re.compile(r"^\s*(\d+)\s+(\S+)\s+(-?\d+)\s+(-?\d+)\s+-?\d+\s+-?\d+\s+(Leader|Follower|Observer)\s*$")
"""Of a quorum; of whom its leader never heard, as of one that was gone before there was this leader, all is -1."""
_SHOWN: Final = 5
"""Of many partitions of which the same is said."""

Key = tuple[str, int]
"""Topic and number of a partition."""


def partitions(described: str) -> list[dict[str, Any]]:
    """Read what `kafka-topics --describe` prints.

    Returns:
        Of each partition `topic`, `partition`, `leader` (None where it is offline), `replicas` (who should lead it
        first), `isr` (those that are in sync), `moves` (whether Kafka is about to give it to others), and `removing`
        (those of the replicas that have it no more when it has moved).
    """
    found = []
    for line in described.splitlines():
        fields = dict(field.partition(": ")[::2] for field in line.strip().split("\t"))
        if "Partition" not in fields:
            continue
        leader = fields["Leader"].strip()
        found.append(
            {
                "topic": fields["Topic"].strip(),
                "partition": int(fields["Partition"]),
                "leader": int(leader) if leader.isdecimal() else None,
                "replicas": _numbers(fields["Replicas"]),
                "isr": _numbers(fields["Isr"]),
                "removing": _numbers(fields.get("Removing Replicas", "")),
                "moves": any(fields.get(f"{what} Replicas", "").strip() for what in ("Adding", "Removing")),
            }
        )
    return found


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def voters(described: str) -> list[dict[str, Any]]:
    """Read what `kafka-metadata-quorum describe --replication` prints: who votes, and who only listens.

    Returns:
        Of each `id`, `directory` (of its storage), `lag` (records) and `votes`.
    """
    rows = [found.groups() for line in described.splitlines() if (found := _ROW.match(line))]
    return [
        {"id": int(number), "directory": directory, "lag": int(lag), "votes": role != "Observer"}
        for number, directory, _, lag, role in rows
    ]


def plan(found: Sequence[Mapping[str, Any]], brokers: Collection[int], copies: int) -> dict[str, Any]:
    """Say what has to change so that these brokers, and no others, have all copies: each its share of each topic.

    Args:
        found: the partitions, as partitions() gives them.
        brokers: the numbers of those that have copies afterwards.
        copies: how many a partition has at least, as far as there are brokers; where it has more, that stays.

    Returns:
        `plan`, as `kafka-reassign-partitions` takes it, and `told`, a line for each partition in it; `moved` counts the
        copies that a broker does not have yet.
    """
    now = {(one["topic"], one["partition"]): list(one["replicas"]) for one in found}
    wanted = _Holders(now, sorted(brokers))
    wanted.move_away(copies)
    wanted.level()
    wanted.level_leaders()
    changed = {key: replicas for key, replicas in sorted(wanted.replicas.items()) if replicas != now[key]}
    return {
        "plan": {
            "version": 1,
            "partitions": [
                {"topic": topic, "partition": number, "replicas": replicas}
                for (topic, number), replicas in changed.items()
            ],
        },
        "told": [_told(key, now[key], replicas) for key, replicas in changed.items()],
        "moved": sum(len(set(replicas) - set(now[key])) for key, replicas in changed.items()),
    }


def _told(key: Key, now: Sequence[int], then: Sequence[int]) -> str:
    before, after = (",".join(map(str, replicas)) for replicas in (now, then))
    return f"{key[0]}-{key[1]}: {before} -> {after}{'' if set(now) != set(then) else ' (who leads it)'}"


class _Holders:
    """Who has copies of what; the first of each partition's brokers leads it."""

    def __init__(self, now: Mapping[Key, Sequence[int]], brokers: Sequence[int]) -> None:
        self.replicas: dict[Key, list[int]] = {key: [*replicas] for key, replicas in sorted(now.items())}
        self._brokers = brokers

    def move_away(self, copies: int) -> None:
        """Leave no copy with a broker that goes, and none missing."""
        wanted = {key: min(max(len(replicas), copies), len(self._brokers)) for key, replicas in self.replicas.items()}
        for key, replicas in self.replicas.items():
            self.replicas[key] = [broker for broker in replicas if broker in self._brokers]
        held = _Counts((key, replicas) for key, replicas in self.replicas.items())
        for key, replicas in self.replicas.items():
            while len(replicas) < wanted[key]:
                without = [broker for broker in self._brokers if broker not in replicas]
                least = min(without, key=held.load(key[0]))
                replicas.append(least)
                held.add(key[0], least, 1)

    def level(self) -> None:
        """Give each broker its share of the copies of each topic, and then of all."""
        held = _Counts((key, replicas) for key, replicas in self.replicas.items())
        for topic, counts in held.of_topic.items():
            while True:
                load = held.load(topic)
                most, least = max(self._brokers, key=load), min(self._brokers, key=load)
                if counts[most] - counts[least] < 2:
                    break
                self._move(topic, most, least, held)
        while True:
            most, least = (
                max(self._brokers, key=held.of_all.__getitem__),
                min(self._brokers, key=held.of_all.__getitem__),
            )
            if held.of_all[most] - held.of_all[least] < 2:
                return
            # It has more of some topic, or it had not more of all of them.
            topic = next(topic for topic, counts in held.of_topic.items() if counts[most] > counts[least])
            self._move(topic, most, least, held)

    def _move(self, topic: str, most: int, least: int, held: "_Counts") -> None:
        fitting = [
            replicas
            for (of, _), replicas in self.replicas.items()
            if of == topic and most in replicas and least not in replicas
        ]
        # One that it does not lead, if there is one: then nobody has to look for another leader.
        replicas = min(fitting, key=lambda replicas: replicas[0] == most)
        replicas[replicas.index(most)] = least
        held.pass_on(topic, most, least)

    def level_leaders(self) -> None:
        """Let each broker lead its share of the partitions of each topic, and of all; nothing moves by that."""
        leads = _Counts((key, replicas[:1]) for key, replicas in self.replicas.items())
        for is_of_all in (False, True):
            while any(self._led_by_another(key, leads, is_of_all=is_of_all) for key in self.replicas):
                pass

    def _led_by_another(self, key: Key, leads: "_Counts", *, is_of_all: bool) -> bool:
        """Let another broker lead a partition where that makes the shares more even; tell whether it did."""
        topic, replicas = key[0], self.replicas[key]
        of_topic, of_all, first = leads.of_topic[topic], leads.of_all, replicas[0]
        for at, other in enumerate(replicas):
            more = of_topic[first] - of_topic[other]
            if more > 1 or (is_of_all and more == 1 and of_all[first] - of_all[other] > 1):
                replicas[0], replicas[at] = other, first
                leads.pass_on(topic, first, other)
                return True
        return False


class _Counts:
    """How much each broker has, of each topic and of all."""

    def __init__(self, having: Iterable[tuple[Key, Iterable[int]]]) -> None:
        self.of_all: Counter[int] = Counter()
        self.of_topic: dict[str, Counter[int]] = {}
        for (topic, _), brokers in having:
            self.of_topic.setdefault(topic, Counter())
            for broker in brokers:
                self.add(topic, broker, 1)

    def add(self, topic: str, broker: int, count: int) -> None:
        self.of_all[broker] += count
        self.of_topic[topic][broker] += count

    def pass_on(self, topic: str, giver: int, taker: int) -> None:
        self.add(topic, giver, -1)
        self.add(topic, taker, 1)

    def load(self, topic: str) -> Callable[[int], tuple[int, int]]:
        return lambda broker: (self.of_topic[topic][broker], self.of_all[broker])


def naming_faults(brokers: Sequence[str], leaving: Sequence[str], *, is_limited: bool = False) -> list[str]:
    """Say what is wrong with what an operator asked for.

    Args:
        brokers: the hosts of the group kafka.
        leaving: those that are to leave it.
        is_limited: whether the run has a --limit.
    """
    if not brokers:
        return ["the group kafka has no host: brokers that another runs come and go by what that one has for it"]
    staying = [host for host in brokers if host not in leaving]
    unknown, names = [host for host in leaving if host not in brokers], ", ".join(leaving)
    faults = []
    if is_limited:
        faults.append("all brokers take part when one joins or leaves; right would be no --limit")
    if unknown:
        faults.append(
            f"brokers_leave names {', '.join(unknown)}, which is no host of the group kafka; right would be of "
            f"{', '.join(brokers)}"
        )
    elif not staying:
        faults.append(f"{names} can't leave: no broker would be left, and with the last one goes all that is in Kafka")
    elif leaving and len(staying) == 2:
        faults.append(
            f"{names} can't leave: {' and '.join(staying)} would be left, and two lose their quorum with one; right "
            "would be another broker in its place first"
        )
    return faults


def leaving_faults(
    found: Iterable[Mapping[str, Any]], staying: Mapping[int, str], leaving: Mapping[int, str], silent: Collection[int]
) -> list[str]:
    """Say why brokers can't go.

    Args:
        found: the partitions.
        staying: names of the brokers that would stay, by number.
        leaving: names of those that are to go.
        silent: the numbers of those of them that do not answer.
    """
    copies: dict[str, int] = {}
    lost = []
    for one in found:
        # While it moves, it has both those that it had and those that it gets.
        count = len(set(one["replicas"]) - set(one["removing"]))
        copies[one["topic"]] = max(copies.get(one["topic"], 0), count)
        if set(one["replicas"]) & set(silent) and not set(one["isr"]) - set(silent):
            lost.append(f"{one['topic']}-{one['partition']}")
    names = ", ".join(leaving.values())
    faults = [
        f"{topic} has {count} copies of each partition, and without {names} there would be {len(staying)} "
        f"({', '.join(staying.values())}); right would be another broker in its place first"
        for topic, count in sorted(copies.items())
        if count > len(staying)
    ]
    if lost:
        away = ", ".join(name for number, name in leaving.items() if number in silent)
        faults.append(
            f"{away} does not answer, and nobody else has all of {_some(lost)}; right would be to start it again"
        )
    return faults


def awaited(
    found: Iterable[Mapping[str, Any]], leaving: Collection[int] = (), silent: Collection[int] = ()
) -> list[str]:
    """Say what has yet to come until every partition has all its copies, in sync, and the brokers that go have none.

    Args:
        found: the partitions.
        leaving: the numbers of the brokers that go.
        silent: those whose copies are not waited for.
    """
    moving, offline, behind, held = [], [], [], []
    for one in found:
        name = f"{one['topic']}-{one['partition']}"
        if one["leader"] is None:
            offline.append(name)
        elif one["moves"]:
            moving.append(name)
        elif set(one["replicas"]) - set(one["isr"]) - set(silent):
            behind.append(name)
        elif set(one["replicas"]) & set(leaving):
            held.append(name)
    return [
        *_if(offline, "have no leader"),
        *_if(moving, "are moving"),
        *_if(behind, "lack a copy that is in sync"),
        *_if(held, "are still with a broker that goes"),
    ]


def _if(names: Sequence[str], what: str) -> Iterator[str]:
    if names:
        yield f"{len(names)} partitions {what}: {_some(names)}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def is_led_as_planned(found: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether each partition is led by the first of its brokers."""
    return all(one["leader"] == one["replicas"][0] for one in found)
