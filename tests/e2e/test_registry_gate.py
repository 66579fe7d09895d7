"""What tasks emit, when they succeed and when they fail, is what is registered."""

import re
from collections import defaultdict

import pytest
import trio

from gate_bids import BIDDERS, bids_scenario
from gate_channels import channels_scenario, open_world_on_chain
from gate_dht import dht_scenario
from gate_guild import guild_scenario
from gate_health import health_scenario
from gate_messages import messages_scenario
from gate_relay import relay_scenario
from semconv_source import registry_tool
from task_world import IDENTITIES, KNOWN, TASKS, open_world
from zerostate.cli.tracing import DoctorTracer
from zerostate.execution.examples import sha256_module
from zerostate.guild.parts import topic_of
from zerostate.node.app import _telemetry_config
from zerostate.node.config import NodeConfig
from zerostate.node.task import WANTED
from zerostate.p2p.types import REGISTERED_TYPES
from zerostate.semconv import attributes as attr

REGISTRY = registry_tool().load()
ENDINGS = {attr.ERROR_TYPE, attr.CANCELLED}
"""Any span may end so; that each one does is not asked."""

NOT_SEEN = {
    # what: why no task of this test can emit it
    "exception.escaped": "only OpenTelemetry's SDK writes it, which deprecates it",
}

ENDLESS = {"limits": {"fuel": 10**14, "wall_s": 0.5}}
"""Limits of a task that only its wall clock ends."""


async def tasks_end_in_every_way(world):
    outcomes = [
        await world.run(sha256_module()),
        await world.run((TASKS / "trap.wasm").read_bytes()),
        await world.run((TASKS / "exit_code.wasm").read_bytes()),
        await world.run(b"no module"),
        await world.run(sha256_module(), manifest={"limits": {"fuel": 1000}}),
        await world.run(
            (TASKS / "loop.wasm").read_bytes(), manifest={"limits": {"fuel": 10**6}}
        ),
        await world.run((TASKS / "output_flood.wasm").read_bytes()),
        await world.run((TASKS / "memory_bomb.wasm").read_bytes()),
        await world.run((TASKS / "loop.wasm").read_bytes(), manifest=ENDLESS),
        await world.run(sha256_module(), manifest={"module_sha256": "0" * 64}),
        await world.run(sha256_module(), input_path=world.directory / "missing"),
    ]
    assert [report.error_code for report in outcomes] == [
        None,
        "trap",
        "exit_code",
        "invalid_module",
        "out_of_fuel",
        "out_of_fuel",
        "output_limit",
        "memory_limit",
        "deadline",
        "manifest",
        "input_file",
    ]


async def a_stranger_becomes_a_fellow_member(world):
    report = await world.run(sha256_module())
    assert report.error_code is None
    requester, member = world.layers["requester"], world.layers["member"]
    guild = await requester.guilds.create(wanted=WANTED, members=2)
    with trio.fail_after(10):
        await until(lambda: member.guilds.is_member_of_a_guild(requester.peers.peer_id))
        await requester.peers.publish(
            topic_of(guild.guild_id),
            "task_request",
            b"not a task, and overheard by the member",
            to=world.layers["executor"].peers.peer_id,
        )
        await until(
            lambda: any(
                link.attributes[attr.LINK_TRUST] == "member"
                for span in world.recorders["member"].spans
                for link in span.links
            )
        )


async def until(happened):
    while not happened():  # noqa: ASYNC110  # what is looked at has no event
        await trio.sleep(0.01)


async def a_task_is_given_up(world):
    with trio.CancelScope() as scope:

        async def give_up(stage, text, data=None):
            if stage == "task.accepted":
                scope.cancel()

        world.progress = give_up
        await world.run((TASKS / "loop.wasm").read_bytes())
    assert scope.cancelled_caught


async def a_doctor_sends_its_test_span(world):
    with DoctorTracer(world.recorders["member"].provider).trace_test():
        """That it arrives is all."""


async def run_scenarios(directory):
    """Return the spans of all scenarios."""
    spans = []
    for name, settings, scenarios in (
        (
            "trusted",
            {"requester": {"heartbeat_interval_s": 1.0, "health_interval_s": 2.0}},
            (
                tasks_end_in_every_way,
                guild_scenario,
                a_doctor_sends_its_test_span,
                health_scenario,
                messages_scenario,
                relay_scenario,
                dht_scenario,
            ),
        ),
        ("bidding", BIDDERS, (bids_scenario,)),
        # Giving up comes last: that task goes on running where nobody waits for it.
        (
            "strange",
            {"member": {"known": KNOWN[:0]}},
            (a_stranger_becomes_a_fellow_member, a_task_is_given_up),
        ),
    ):
        place = directory / name
        place.mkdir()
        async with open_world(place, **settings) as world:
            for scenario in scenarios:
                await scenario(world)
        spans += world.all_spans()
    place = directory / "chain"
    place.mkdir()
    async with open_world_on_chain(place) as world:
        await channels_scenario(world)
    return spans + world.all_spans()


@pytest.fixture(scope="module")
def spans(tmp_path_factory):
    return trio.run(run_scenarios, tmp_path_factory.mktemp("gate"))


def pattern(name):
    """Return what a span's name must match; a placeholder stands for one word."""
    return re.compile(re.sub(r"\\\{\w+\\\}", r"\\w+", re.escape(name)))


def spec_of(span):
    """Return the registered span that `span` is one of, or None."""
    found = [
        spec
        for spec in REGISTRY.spans
        if pattern(spec.name).fullmatch(span.name)
        and spec.kind.upper() == span.kind.name
    ]
    return found[0] if len(found) == 1 else None


def by_spec(spans):
    """Return the attribute keys of each emitted span, under its registered span."""
    emitted = defaultdict(list)
    for span in spans:
        emitted[spec_of(span)].append(set(span.attributes))
    return emitted


def disagreements(signal, emitted):
    """Yield how what was emitted as `signal` differs from what is registered."""
    registered = {use.key for use in signal.uses}
    required = {use.key for use in signal.uses if use.level == "required"}
    seen = set().union(*emitted)
    if unregistered := seen - registered:
        yield f"{signal.name}: {sorted(unregistered)} are emitted, not registered"
    for keys in emitted:
        if missing := required - keys:
            yield f"{signal.name}: {sorted(missing)} are required, but missing"
    if unseen := registered - seen - ENDINGS - NOT_SEEN.keys():
        yield f"{signal.name}: {sorted(unseen)} are registered, never emitted"


def test_every_span_is_registered_and_every_registered_span_is_emitted(spans):
    unregistered = {s.name for s in spans if spec_of(s) is None}
    emitted = set(by_spec(spans))

    assert unregistered == set()
    assert [spec.name for spec in REGISTRY.spans if spec not in emitted] == []


def test_spans_carry_the_attributes_that_are_registered_for_them(spans):
    emitted = by_spec(spans)

    assert [
        problem
        for spec in REGISTRY.spans
        for problem in disagreements(spec, emitted[spec])
    ] == []
    assert {
        key for keys in emitted.values() for span in keys for key in span
    } >= ENDINGS


def test_events_and_their_attributes_are_registered_and_emitted(spans):
    emitted = defaultdict(list)
    for span in spans:
        for event in span.events:
            emitted[event.name].append(set(event.attributes))

    assert set(emitted) == {event.name for event in REGISTRY.events}
    assert [
        problem
        for event in REGISTRY.events
        for problem in disagreements(event, emitted[event.name])
    ] == []


def test_links_carry_what_is_registered_for_links(spans):
    (group,) = [group for group in REGISTRY.groups if group.name == "zerostate.link"]
    emitted = [set(link.attributes) for span in spans for link in span.links]

    assert list(disagreements(group, emitted)) == []


def test_closed_lists_hold_what_is_emitted_and_no_more(spans):
    closed = {
        key: set(attribute.examples)
        for key, attribute in REGISTRY.attributes.items()
        if attribute.is_closed
    }
    emitted = defaultdict(set)
    for span in spans:
        carriers = [span, *span.events, *span.links]
        for key, value in (
            pair for carrier in carriers for pair in carrier.attributes.items()
        ):
            emitted[key].add(value)

    assert closed[attr.MESSAGE_TYPE] == REGISTERED_TYPES
    assert emitted[attr.MESSAGE_TYPE] == closed[attr.MESSAGE_TYPE]
    assert emitted[attr.LINK_TRUST] == closed[attr.LINK_TRUST]
    assert {key for key in closed if not emitted[key] <= closed[key]} == set()


def test_values_have_the_registered_type(spans):
    types = {
        "string": str,
        "int": int,
        "double": float,
        "boolean": bool,
        "string[]": tuple,
        "bytes": bytes,
    }
    wrong = {
        key: type(value).__name__
        for span in spans
        for carrier in (span, *span.events, *span.links)
        for key, value in carrier.attributes.items()
        if type(value) is not types[REGISTRY.attributes[key].type]
    }

    assert wrong == {}


def test_a_peer_says_on_its_resource_what_is_registered(tmp_path):
    config = NodeConfig(service_name="executor-1", data_dir=tmp_path)
    telemetry = _telemetry_config(config, IDENTITIES["executor"])
    (entity,) = REGISTRY.entities

    assert {use.key for use in entity.uses} == {
        "service.name",
        "service.version",
        *telemetry.resource_attributes,
    }
