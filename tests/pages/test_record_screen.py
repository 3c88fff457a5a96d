"""The protocol, its amendments, closing and commitments on Studies; commitments on the readers' list; accounts on People."""

from __future__ import annotations

from dataclasses import replace

from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import NumberInput

from storage.database import Database
from study import commitment, people, reading, sign_in
from study.amendments import amend
from study.roles import Role
from study.round_plan import RoundPlan
from study.rounds import open_round
from study.studies import study
from tests.joining import joined
from tests.pages.visiting import Visit, by_label, shown
from tests.study.hospital import Drawer, add_recordings, open_gate


def test_the_protocol_is_changed_until_it_freezes_and_amended_after(visit: Visit) -> None:
    world = visit.world
    coordinator = world.people["coordinator"]
    screen = visit.as_("coordinator", "studies", study=world.study_id)
    field(screen, "margin").set_value(0.2)
    by_label(screen, "Change the protocol").click().run()
    assert study(world.db, coordinator, world.study_id).protocol.margin == 0.2
    visit.submits()
    screen = visit.as_("coordinator", "studies", study=world.study_id)
    field(screen, "margin").set_value(0.15)
    by_label(screen, "Amend the protocol").click().run()
    assert "reason: write 1 to" in screen.error[0].value.replace("\\", "")
    screen.text_input(key=f"rule-reason-{world.study_id}").set_value("The board asked for it.")
    by_label(screen, "Amend the protocol").click().run()
    assert not screen.exception
    [amendments] = [frame.value for frame in screen.dataframe if "Amendment" in frame.value.columns]
    [row] = amendments.to_dict(orient="records")
    assert (row["Amendment"], row["Who"], row["From -> to"], row["Why"]) == (1, "Cora Weiss", "margin 0.2 -> 0.15", "The board asked for it.")
    assert row["Judgements by then"] == "1 of 12"
    assert not any("rule-order" in str(one.key) for one in screen.radio)  # the questions stay
    assert screen.text_input(key=f"rule-reason-{world.study_id}").value == ""


def test_a_form_that_somebody_overtook_amends_nothing_and_keeps_the_reason(visit: Visit) -> None:
    world = visit.world
    coordinator = world.people["coordinator"]
    visit.submits()
    screen = visit.as_("coordinator", "studies", study=world.study_id)
    field(screen, "washout").set_value(5)
    screen.text_input(key=f"rule-reason-{world.study_id}").set_value("Readers need a pause.")
    before = study(world.db, coordinator, world.study_id).protocol
    amend(world.db, coordinator, world.study_id, replace(before, margin=0.3), "From another window.")
    by_label(screen, "Amend the protocol").click().run()
    assert "Somebody else has changed the protocol" in shown(screen)
    assert study(world.db, coordinator, world.study_id).protocol == replace(before, margin=0.3)
    assert (field(screen, "margin").value, field(screen, "washout").value) == (0.3, before.washout_days)
    assert screen.text_input(key=f"rule-reason-{world.study_id}").value == "Readers need a pause."
    field(screen, "washout").set_value(5)
    by_label(screen, "Amend the protocol").click().run()
    assert study(world.db, coordinator, world.study_id).protocol == replace(before, margin=0.3, washout_days=5)


def field(screen: AppTest, rule: str) -> NumberInput:
    [found] = [one for one in screen.number_input if str(one.key).startswith(f"rule-{rule}-")]
    return found


def test_who_may_not_manage_studies_sees_the_protocol_alone(visit: Visit) -> None:
    screen = visit.as_("researcher", "studies", study=visit.world.study_id)
    assert "Not frozen" in shown(screen)
    for label in ("Change the protocol", "Amend the protocol", "Close the round"):
        assert not any(button.label == label for button in screen.button)


def test_a_commitment_is_shown_to_coordinators_and_readers(visit: Visit) -> None:
    world = visit.world
    add_recordings(world.db, 8, stand_ins=True)
    coordinator = world.people["coordinator"]
    open_round(world.db, coordinator, world.study_id, RoundPlan(cases=12, repeat_share=0.0), Drawer(), gate=open_gate)
    [bound] = [one["commitment"] for one in commitment.published(world.db, coordinator, world.study_id)["rounds"] if one["commitment"]]
    assert bound in shown(visit.as_("coordinator", "studies", study=world.study_id))
    to_read = visit.as_("reader", "reading")
    assert not to_read.exception
    assert bound in shown(to_read)
    assert len(reading.rounds_to_read(world.db, world.people["reader"])) == 2


def test_an_account_is_deleted_after_a_second_thought(db: Database, visit: Visit) -> None:
    """By a real admin: the demo's people stay."""
    token = sign_in.set_up(db, "ada.admin", "Ada Admin", "correct horse battery", "North")
    admin = sign_in.person_for(db, token)
    assert admin is not None
    joined(db, admin, "rita", "Rita Reader", Role.READER, "North", "correct horse battery")
    visit.world.people["admin"], visit.world.tokens["admin"] = admin, token
    screen = visit.as_("admin", "people")
    assert "Rita Reader" in str(screen.dataframe[0].value)
    rita = people.person_by_username(db, "rita")
    assert rita is not None
    screen.selectbox(key="change-who").select(rita.id).run()
    assert by_label(screen, "Delete the account").disabled
    screen.checkbox(key=f"delete-sure-{rita.id}").check().run()
    by_label(screen, "Delete the account").click().run()
    assert not screen.exception
    assert "The account is deleted." in shown(screen)
    assert "Rita" not in str(screen.dataframe[0].value)
    assert people.person_by_username(db, "rita") is None
