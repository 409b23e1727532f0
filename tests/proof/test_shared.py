"""Shared runs whose workers are killed and frozen, and whose database goes away: short runs of `shared_storm`, and of `killer` with a
journal in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ..support.cutting_proxy import cutting
from ..support.postgres import Server, running, standby_of
from . import killer
from .control import TenantServer
from .fork_server import ForkServer
from .shared_storm import FREEZING_POINTS, SharedStory, Summary

pytestmark = [pytest.mark.proof, pytest.mark.timeout(300)]

MakeStory = Callable[[int], SharedStory]


@pytest.fixture
def make_story(tenant_server: TenantServer, forks: ForkServer, postgres: Server, database: str) -> MakeStory:
    """Makes the story of a seed."""
    return lambda seed: SharedStory(tenant_server.tenant(), forks, postgres, seed, Summary())


@pytest.mark.parametrize("seed", [7, 103, 104])
def test_a_story_of_a_shared_run(make_story: MakeStory, seed: int) -> None:
    make_story(seed).tell()


@pytest.mark.parametrize("point", FREEZING_POINTS)
def test_a_worker_that_is_frozen_past_its_lease_with_two_rivals(make_story: MakeStory, point: str) -> None:
    story = make_story(1)
    assert story.a_worker_is_frozen(point), f"NEVER REACHED: {point}"
    story.finish()


@pytest.mark.parametrize(("way", "seed"), [("several hosts", 3), ("several hosts", 17), ("proxy", 17)])
def test_a_standby_that_lags_is_promoted_while_all_parts_are_sent(
    tenant_server: TenantServer, forks: ForkServer, way: str, seed: int
) -> None:
    with running() as primary, cutting(primary.port) as link, cutting(primary.port) as proxy, standby_of(primary, link.port) as standby:
        # Enough that some are still to be sent when the standby knows of one that succeeded.
        story = SharedStory(tenant_server.tenant(), forks, primary, seed, Summary(), count=120)
        hosts = f"127.0.0.1:{proxy.port}" if way == "proxy" else f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        story.url = f"postgresql://arm@{hosts}/postgres?target_session_attrs=read-write"
        story.tenant.plan(delay=0.05)
        lost = story.a_standby_is_promoted(standby, cut=link.close, switch=lambda: setattr(proxy, "server_port", standby.port))
        assert lost > 0, "it knows of all that was taken"
        story.check_once()
        story.is_looked_up()
        story.finish()


@pytest.mark.parametrize("seed", [7, 8])
def test_runs_that_are_killed_with_their_journal_in_postgresql(
    tenant_server: TenantServer, forks: ForkServer, tmp_path: Path, database: str, seed: int
) -> None:
    summary = killer.Summary()
    killer.run_trial(tenant_server, forks, tmp_path, seed, summary, most_kills=4, server_dies=False, database=database)
    assert not summary.failures
