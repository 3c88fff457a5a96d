"""The protocol, its amendments, closing and commitments on Studies; commitments on the readers' list; accounts on People."""

from __future__ import annotations

from storage.database import Database
from study import commitment, people, reading
from study.roles import Role
from study.round_plan import RoundPlan
from study.rounds import open_round
from study.studies import study
from tests.pages.visiting import Visit, by_label, shown
from tests.study.hospital import Drawer, add_recordings, open_gate


def test_the_protocol_is_changed_until_it_freezes_and_amended_after(visit: Visit) -> None:
    world = visit.world
    coordinator = world.people["coordinator"]
    screen = visit.as_("coordinator", "studies", study=world.study_id)
    screen.number_input(key="rule-margin").set_value(0.2)
    by_label(screen, "Change the protocol").click().run()
    assert study(world.db, coordinator, world.study_id).protocol.margin == 0.2
    visit.submits()
    screen = visit.as_("coordinator", "studies", study=world.study_id)
    screen.number_input(key="rule-margin").set_value(0.15)
    by_label(screen, "Amend the protocol").click().run()
    assert "reason: write 1 to" in screen.error[0].value.replace("\\", "")
    screen.text_input(key="rule-reason").set_value("The board asked for it.")
    by_label(screen, "Amend the protocol").click().run()
    assert not screen.exception
    [amendments] = [frame.value for frame in screen.dataframe if "Amendment" in frame.value.columns]
    [row] = amendments.to_dict(orient="records")
    assert (row["Amendment"], row["Who"], row["From -> to"], row["Why"]) == (1, "Cora Weiss", "margin 0.2 -> 0.15", "The board asked for it.")
    assert row["Judgements by then"] == "1 of 12"
    assert not any(field.key == "rule-order" for field in screen.radio)  # the questions stay


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
    token = people.set_up(db, "ada.admin", "Ada Admin", "correct horse battery", "North")
    admin = people.person_for(db, token)
    assert admin is not None
    people.add_person(db, admin, "rita", "Rita Reader", Role.READER, "North", "correct horse battery")
    visit.world.people["admin"], visit.world.tokens["admin"] = admin, token
    screen = visit.as_("admin", "people")
    assert "Rita Reader" in str(screen.dataframe[0].value)
    rita = people.person_by_username(db, "rita")
    assert rita is not None
    screen.selectbox(key="delete-who").select(rita.id).run()
    assert by_label(screen, "Delete the account").disabled
    screen.checkbox(key=f"delete-sure-{rita.id}").check().run()
    by_label(screen, "Delete the account").click().run()
    assert not screen.exception
    assert "The account is deleted." in shown(screen)
    assert "Rita" not in str(screen.dataframe[0].value)
    assert people.person_by_username(db, "rita") is None
