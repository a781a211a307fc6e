"""What an import would do: worked out from a file and what is there, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from rexchange.definitions import Content, Definitions, ImportPlan, LeftOut, plan
from rexchange.errors import DefinitionsError
from rexchange.policies import Policy
from rexchange.topology import PREDECLARED, Binding, Exchange, Queue

STANDARD = tuple(exchange for name, exchange in PREDECLARED.items() if name)
EVENTS, MAIL, TTL = Exchange("events", "topic"), Queue("mail"), Policy("ttl", "^mail", {"message-ttl": 5})
BOUND = Binding("events", "mail", binding_key="user.#")


def planned(wanted: Content, present: Content | None = None, *left_out: LeftOut) -> ImportPlan:
    there: Mapping[str, Content] = {} if present is None else {"/": present}
    return plan(Definitions({"/": wanted}, left_out, "file.json"), there)


def there(**more: Any) -> Content:
    return Content(**{"exchanges": STANDARD, **more})


def shown(found: ImportPlan) -> list[tuple[str, str, str]]:
    return [(step.action, step.kind, step.name) for step in found.steps]


def test_what_is_missing_is_made_in_order() -> None:
    wanted = Content((EVENTS,), (TTL,), (MAIL,), (BOUND,))
    found = planned(wanted)
    assert shown(found) == [
        ("create", "vhost", "/"),
        ("create", "exchange", "events"),
        ("create", "policy", "ttl"),
        ("create", "queue", "mail"),
        ("create", "binding", "events -> mail by 'user.#'"),
    ]
    assert [step.value for step in found.steps] == [None, EVENTS, TTL, MAIL, BOUND]
    assert found.counts == {"create": 5}
    found.check()


def test_what_is_there_is_left_alone() -> None:
    everything = Content((*STANDARD, EVENTS), (TTL,), (MAIL,), (BOUND,))
    found = planned(Content((EVENTS,), (TTL,), (MAIL,), (BOUND,)), everything)
    assert found.counts == {"same": 5}
    assert found.of("create", "replace") == []
    found.check()


def test_what_rabbitmq_does_not_compare_is_the_same() -> None:
    present = there(
        exchanges=(*STANDARD, Exchange("events", "topic", arguments={"x-note": 1})),
        queues=(Queue("mail", arguments={"x-queue-type": "classic", "note": "x"}, message_count=5, incarnation="7"),),
    )
    assert planned(Content((EVENTS,), (), (MAIL,)), present).counts == {"same": 3}


@pytest.mark.parametrize(
    ("wanted", "present", "kind", "argument", "current", "asked"),
    [
        (
            Content((EVENTS,)),
            there(exchanges=(Exchange("events", "direct"),)),
            "exchange",
            "type",
            "direct",
            "topic",
        ),
        (
            Content((Exchange("events", "topic", arguments={"alternate-exchange": "rest"}),)),
            there(exchanges=(EVENTS,)),
            "exchange",
            "alternate-exchange",
            None,
            "rest",
        ),
        (
            Content(queues=(Queue("mail", arguments={"x-message-ttl": 5}),)),
            there(queues=(Queue("mail", arguments={"x-message-ttl": 6}),)),
            "queue",
            "x-message-ttl",
            6,
            5,
        ),
        (
            Content(queues=(MAIL,)),
            there(queues=(Queue("mail", exclusive=True, owner="s"),)),
            "queue",
            "exclusive",
            True,
            False,
        ),
    ],
)
def test_what_is_there_otherwise_stops_the_import(
    wanted: Content, present: Content, kind: str, argument: str, current: object, asked: object
) -> None:
    found = planned(wanted, present)
    (step,) = found.of("differs")
    assert (step.kind, step.vhost, step.argument, step.current, step.wanted) == (kind, "/", argument, current, asked)
    with pytest.raises(DefinitionsError, match=f"is there with {argument}=.*, and the file wants ") as caught:
        found.check(allow_unsupported=True)
    error = caught.value
    assert (error.file, error.kind, error.vhost, error.name) == ("file.json", kind, "/", step.name)
    assert error.problems[0].why == "differs"
    found.check(skip_existing=True)


def test_a_policy_of_the_same_name_is_replaced() -> None:
    other = Policy("ttl", "^mail", {"message-ttl": 6}, priority=1)
    found = planned(Content((), (TTL,)), there(policies=(other,)))
    (step,) = found.of("replace")
    assert (step.reason, step.value) == ("another definition, priority than that of the policy that is there", TTL)
    found.check()


def test_a_binding_to_what_is_nowhere_is_left_out() -> None:
    wanted = Content(
        (EVENTS,),
        (),
        (MAIL,),
        (
            Binding("missing", "mail"),
            Binding("events", "missing"),
            Binding("events", "missing", "exchange"),
            Binding("amq.topic", "mail"),
            Binding("events", "amq.fanout", "exchange"),
        ),
    )
    found = planned(wanted)
    assert [(step.name, step.reason) for step in found.of("skipped")] == [
        (f"{name}", f"no {end} 'missing', in the file or there: RabbitMQ leaves the binding out too")
        for name, end in (
            ("missing -> mail", "exchange"),
            ("events -> missing", "queue"),
            ("events -> missing", "exchange"),
        )
    ]
    assert [step.name for step in found.of("create") if step.kind == "binding"] == [
        "amq.topic -> mail",
        "events -> amq.fanout",
    ]
    found.check()


def test_a_binding_to_what_is_left_out_is_left_out_with_it() -> None:
    unsupported = LeftOut("unsupported", "exchange", "/", "odd", "exchange 'odd': rexchange does not have the type")
    skipped = LeftOut("skipped", "queue", "/", "amq.gen-1", "the broker's own")
    wanted = Content((EVENTS,), (), (MAIL,), (Binding("odd", "mail"), Binding("events", "amq.gen-1")))
    found = planned(wanted, there(), unsupported, skipped)
    assert shown(found)[3:] == [
        ("unsupported", "binding", "odd -> mail"),
        ("skipped", "binding", "events -> amq.gen-1"),
        ("unsupported", "exchange", "odd"),
        ("skipped", "queue", "amq.gen-1"),
    ]
    with pytest.raises(DefinitionsError) as caught:
        found.check(skip_existing=True)
    assert [(each.name, each.why) for each in caught.value.problems] == [
        ("odd -> mail", "unsupported"),
        ("odd", "unsupported"),
    ]
    assert "vhost '/': binding odd -> mail: exchange 'odd' is unsupported" in str(caught.value)
    found.check(allow_unsupported=True)


def test_a_binding_to_an_exclusive_queue_is_left_out() -> None:
    present = there(queues=(Queue("mail", exclusive=True, owner="s"),))
    (step,) = planned(Content(bindings=(Binding("amq.topic", "mail"),)), present).of("skipped")
    assert "exclusive to the connection that declared it" in step.reason


@pytest.mark.parametrize(
    ("exchange", "binding", "says"),
    [
        (
            Exchange("h", "headers"),
            Binding("h", "mail", arguments={"x-match": "some"}),
            "x-match is 'some': give all, any",
        ),
        (
            Exchange("h", "x-delayed-message", arguments={"x-delayed-type": "headers"}),
            Binding("h", "mail", arguments={"x-match": 5}),
            "x-match is 5: give all, any",
        ),
        (
            Exchange("h", "x-consistent-hash"),
            Binding("h", "mail", binding_key="0"),
            "routing_key is '0': give the weight there: a whole number of at least 1",
        ),
        (
            Exchange("h", "x-consistent-hash"),
            Binding("h", "mail", binding_key="٣"),
            "give the weight there",
        ),
    ],
)
def test_a_binding_that_its_exchange_does_not_allow_is_told(exchange: Exchange, binding: Binding, says: str) -> None:
    for wanted, present in (
        (Content((exchange,), (), (MAIL,), (binding,)), None),
        (Content(bindings=(binding,)), there(exchanges=(exchange,), queues=(MAIL,))),
    ):
        with pytest.raises(DefinitionsError) as caught:
            planned(wanted, present)
        assert says in str(caught.value)
        assert str(caught.value).startswith("file.json: vhost '/': binding h -> mail")
        assert (caught.value.kind, caught.value.vhost) == ("binding", "/")


def test_the_same_arguments_are_fine_elsewhere() -> None:
    wanted = Content(
        (Exchange("h", "headers"), Exchange("c", "x-consistent-hash"), EVENTS),
        (),
        (MAIL,),
        (
            Binding("events", "mail", binding_key="0", arguments={"x-match": "some"}),
            Binding("h", "mail", binding_key="0", arguments={"x-match": "any"}),
            Binding("c", "mail", binding_key="10", arguments={"x-match": "some"}),
        ),
    )
    assert planned(wanted).counts == {"create": 8}


def test_what_is_there_decides_what_a_binding_may_be() -> None:
    """The file's exchange differs and is passed over: its binding is one of the exchange that stays."""
    wanted = Content((Exchange("x", "headers"),), (), (MAIL,), (Binding("x", "mail", arguments={"x-match": "some"}),))
    found = planned(wanted, there(exchanges=(Exchange("x", "direct"),)))
    assert found.counts == {"same": 1, "differs": 1, "create": 2}


def test_vhosts_are_apart() -> None:
    wanted = {"a": Content((EVENTS,)), "b": Content(queues=(MAIL,), bindings=(Binding("events", "mail"),))}
    found = plan(Definitions(wanted), {"a": there()})
    assert [(step.action, step.kind, step.vhost) for step in found.steps] == [
        ("same", "vhost", "a"),
        ("create", "exchange", "a"),
        ("create", "vhost", "b"),
        ("create", "queue", "b"),
        ("skipped", "binding", "b"),
    ]
