"""Any history of deliveries, with loss, repetition and permutation, of pushes, closes, crashes and restarts, ends in
what GitHub says."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from following import OTHER, OWN, Died, Place, World, pr, sha
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.pulls.commands import Verb
from cx.pulls.delivery import Delivery
from cx.pulls.statuses import State
from cx.pulls.values import Phase, Pull
from examples import examples

MEMORY = Path("/dev/shm")  # what is tested here is not the disk
NUMBERS = st.integers(1, 2)
STATES = {
    Phase.HELD: State.PENDING,
    Phase.READY: State.SUCCESS,
    Phase.SLEEPING: State.SUCCESS,
    Phase.FAILED: State.FAILURE,
    Phase.TAKEN: State.ERROR,
}
HAND = Origin.folder("/srv/by-hand")


class Histories(RuleBasedStateMachine):
    """`pending` are deliveries that GitHub has made and that are still under way."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="cx-histories-", dir=MEMORY if MEMORY.is_dir() else None))
        self.world = World(self.folder)
        self.pending: list[Delivery] = []
        self.pushes = 0
        self.count = 0
        self.slow = False
        self.approved: set[str] = set()
        self.heads: list[tuple[int, str]] = []

    def teardown(self) -> None:
        try:
            self.ends_well()
        finally:
            self.world.database.close()
            shutil.rmtree(self.folder)

    # --- what people do on GitHub
    @rule(number=NUMBERS, fork=st.sampled_from([False, True, None]), broken=st.sampled_from([False, False, True]))
    def pushes_to(self, number: int, fork: bool | None, broken: bool) -> None:
        self.pushes += 1
        before = self.world.hub.pulls.get(pr(number))
        facts = {} if before else {"head_repository_id": {False: OWN, True: OTHER, None: None}[fork]}
        pull = self.world.push(number, self.pushes, **facts)
        self.heads.append((number, pull.head))
        if broken:
            self.world.computer.broken.add(pull.head)
        self.delivered(number)

    @rule(number=NUMBERS, back=st.integers(1, 3), other=st.booleans())
    def pushes_what_was_there_before(self, number: int, back: int, other: bool) -> None:
        """An earlier commit, of this pull request or of another one: then two have it."""
        pull, known = self.world.hub.pulls.get(pr(number)), [one for one in self.heads if one[0] == number or other]
        if pull and not pull.fork and known:
            self.changed(number, head=known[-min(back, len(known))][1])

    @rule(number=NUMBERS, open_=st.booleans())
    def opens_or_closes(self, number: int, open_: bool) -> None:
        self.changed(number, open=open_)

    @rule(number=NUMBERS, labels=st.frozensets(st.sampled_from(["no-preview", "bug"])))
    def labels(self, number: int, labels: frozenset[str]) -> None:
        self.changed(number, labels=labels)

    @rule(
        number=NUMBERS,
        verb=st.sampled_from([Verb.DELETE, Verb.DEPLOY, Verb.RESET_DB, Verb.SLEEP, Verb.WAKE, Verb.HELP]),
        login=st.sampled_from(["owner", "stranger"]),
    )
    def says(self, number: int, verb: Verb, login: str) -> None:
        self.under_way(self.world.say(number, verb, login=login))

    @rule(number=NUMBERS, named=st.booleans(), login=st.sampled_from(["owner", "owner", "stranger"]))
    def approves(self, number: int, named: bool, login: str) -> None:
        pull = self.world.hub.pulls.get(pr(number))
        shown = self.world.hub.shown.get(pr(number))
        if not pull:
            return
        if login == "owner" and named:
            self.approved.add(pull.head)
        elif login == "owner" and shown:
            self.approved.add(shown.head)  # what the one who approves has before the eyes
        self.under_way(self.world.say(number, Verb.APPROVE, pull.head if named else "", login))

    def changed(self, number: int, **facts: object) -> None:
        if pr(number) in self.world.hub.pulls:
            self.world.change(number, **facts)
            self.delivered(number)

    def delivered(self, number: int) -> None:
        self.count += 1
        self.under_way(Delivery(f"d{self.count}", "pull_request", "changed", (pr(number),)))

    def under_way(self, delivery: Delivery) -> None:
        """Most arrive at once. All may arrive later, again."""
        self.pending.append(delivery)
        if not self.slow:
            self.world.box.accept(delivery)

    # --- what the network does
    @rule(slow=st.booleans())
    def the_network_changes(self, slow: bool) -> None:
        self.slow = slow

    @rule(data=st.data())
    def a_delivery_arrives(self, data: st.DataObject) -> None:
        if self.pending:
            self.world.box.accept(data.draw(st.sampled_from(self.pending)))  # and may arrive again

    @rule(data=st.data())
    def a_delivery_is_lost(self, data: st.DataObject) -> None:
        if self.pending:
            self.pending.remove(data.draw(st.sampled_from(self.pending)))

    @rule(mute=st.booleans(), deaf=st.booleans())
    def github_has_trouble(self, mute: bool, deaf: bool) -> None:
        self.world.hub.mute, self.world.hub.deaf = mute, deaf

    # --- what cx does
    @rule()
    def looks(self) -> None:
        self.works()

    @rule(effect=st.integers(1, 8))
    def dies_in_a_look(self, effect: int) -> None:
        def die() -> None:
            raise Died

        self.world.computer.at[self.world.computer.effects + effect] = die
        self.works()

    @rule(number=NUMBERS)
    def a_fork_is_opened_looked_at_and_approved(self, number: int) -> None:
        self.pushes_to(number, True, False)
        self.works()
        self.approves(number, False, "owner")
        self.works()

    @rule(effect=st.integers(1, 6), number=NUMBERS, push=st.booleans(), arrives=st.booleans())
    def something_happens_in_a_look(self, effect: int, number: int, push: bool, arrives: bool) -> None:
        def happens() -> None:
            if push:
                self.pushes_to(number, False, False)
            else:
                self.changed(number, open=False)
            if arrives and self.pending:
                self.world.box.accept(self.pending[-1])

        self.world.computer.at[self.world.computer.effects + effect] = happens
        self.works()

    @rule()
    def time_passes_and_the_timer_comes(self) -> None:
        self.world.now += 700
        self.world.box.ask(pr(0))
        self.works()

    # --- what somebody on the host does
    @rule(number=NUMBERS, deploys=st.booleans())
    def somebody_uses_the_name(self, number: int, deploys: bool) -> None:
        """Deploys by hand where nothing is, or takes what was so deployed away again."""
        name, there = Namespace(f"preview-{number}"), self.world.place(number)
        if deploys and there is None:
            self.world.computer.places[name] = Place("c", HAND, serving="c", parts={"route c"})
        elif not deploys and there and there.origin == HAND:
            del self.world.computer.places[name]

    @rule(times=st.integers(1, 2))
    def the_engine_is_away(self, times: int) -> None:
        self.world.computer.away = times

    def works(self) -> None:
        try:
            self.world.now += 1
            self.world.work()
        except Died:
            self.world.process()
        finally:
            self.world.computer.at.clear()
            self.world.hub.mute = self.world.hub.deaf = False

    # --- what holds always
    @invariant()
    def nothing_of_a_fork_is_fetched_unless_it_was_approved(self) -> None:
        for pull, head in self.world.computer.fetched:
            if self.world.hub.pulls[pull].fork:
                assert head in self.approved

    @invariant()
    def what_was_deployed_by_hand_is_left_alone(self) -> None:
        for place in self.world.computer.places.values():
            if place.origin == HAND:
                assert place == Place("c", HAND, serving="c", parts={"route c"})

    @invariant()
    def a_fork_has_no_secrets(self) -> None:
        for number in (1, 2):
            place = self.world.place(number)
            if place and place.values:
                assert not self.world.hub.pulls[pr(number)].fork

    # --- and at the end
    def ends_well(self) -> None:
        world = self.world
        world.computer.away = 0
        world.process()
        world.settle()
        known = {one.pull: one for one in world.follower.pulls.all_known("acme/shop")}
        for number in (1, 2):
            pull, place = world.hub.pulls.get(pr(number)), world.place(number)
            said = known.get(pr(number))
            wanted = bool(pull and pull.open and "no-preview" not in pull.labels and not (said and said.deleted))
            if place and place.origin == HAND:
                assert world.phase(number) is Phase.TAKEN or not wanted
                continue
            if not wanted:
                assert place is None, (pull, place)
                assert world.phase(number) in (None, Phase.REMOVED, Phase.TAKEN)
                assert pr(number) not in world.computer.mirror
                assert said is None or (pull and pull.open)
                continue
            assert pull and said  # noqa: PT018
            if pull.fork and said.approved != pull.head:
                assert world.phase(number) is Phase.HELD
                assert world.hub.shown[pr(number)].head == pull.head
                continue
            assert world.hub.shown[pr(number)].head == pull.head
            if pull.head in world.computer.broken:
                assert world.phase(number) is Phase.FAILED
                continue
            assert place
            rested = Phase.SLEEPING if place.asleep else Phase.READY
            assert (world.phase(number), world.serving(number)) == (rested, pull.head)
            assert all(one.endswith(pull.head) for one in place.parts)
        assert world.box.waiting() == []
        assert all(not one.unsaid for one in known.values())
        assert all(not world.box.unanswered(pr(number)) for number in (1, 2))
        self.commits_end_well()
        built = dict(world.computer.builds)
        world.settle()
        assert world.computer.builds == built  # what is well is left alone
        self.commits_end_well()

    def commits_end_well(self) -> None:
        """Each commit of which something was told has one last status, and it is what happened."""
        world, pulls = self.world, self.world.hub.pulls.values()
        for commit, told in world.hub.statuses.items():
            last = told[-1]
            wanting = [one for one in pulls if one.head == commit and one.open and self.waits(one)]
            assert last.final or wanting, (commit, last)
            if last.state is State.FAILURE:
                assert commit in world.computer.broken
                assert world.computer.builds[commit]
            if last.state is State.SUCCESS and not last.description.startswith("Not needed"):
                assert commit in world.computer.served
            if last.url and any(one.head == commit and one.open for one in pulls):
                assert commit in [world.serving(one.id.number) for one in pulls], last
        for one in pulls:  # what is so now
            report = world.hub.shown.get(one.id)
            if one.open and report and report.head == one.head and sum(each.head == one.head for each in pulls) == 1:
                wanted = STATES.get(report.phase)
                assert wanted is None or world.hub.statuses[one.head][-1].state is wanted
        rows = world.database.run("SELECT * FROM heads")
        assert all(row["told"] and row["current"] for row in rows)
        assert len(rows) <= sum(one.open for one in pulls)

    def waits(self, pull: Pull) -> bool:
        return pull.fork and self.world.phase(pull.id.number) is Phase.HELD


Histories.TestCase.settings = examples(50, stateful_step_count=40)  # a history is a cheap example
TestHistories = Histories.TestCase


def test_the_property_sees_a_close_that_is_missed(tmp_path):
    """It would fail, were comparisons not made."""
    world = World(tmp_path)
    world.push(1, 1)
    world.look(1)
    world.change(1, open=False)
    world.work()
    assert world.serving(1) == sha(1, 1)
