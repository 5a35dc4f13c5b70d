"""The file of users: hashes, rules for passwords, and what happens to a file that is not whole."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import argon2
import pytest

from core.errors import UserError
from desk.access.users import Users
from tests.desk.access.conftest import PASSWORD

QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def users(tmp_path: Path) -> Users:
    users = Users(tmp_path / "desk" / "users.json", QUICK)
    users.add("ada", PASSWORD, ("reviewer", "analyst"))
    return users


def test_only_the_right_password_of_the_right_user_counts(users: Users) -> None:
    found = users.verify("ada", PASSWORD)
    assert found is not None
    assert found.roles == ("analyst", "reviewer")
    for name, password in (("ada", PASSWORD + "x"), ("ada", ""), ("bob", PASSWORD), ("", ""), ("ADA", PASSWORD)):
        assert users.verify(name, password) is None


def test_the_file_holds_no_password_and_is_private(users: Users) -> None:
    assert PASSWORD not in users.path.read_text()
    assert "$argon2id$" in users.path.read_text()
    assert users.path.stat().st_mode & 0o777 == 0o600
    assert users.path.parent.stat().st_mode & 0o777 == 0o700


def test_an_unknown_name_costs_the_same_hash(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[argon2.Parameters] = []
    verify = argon2.PasswordHasher.verify

    def noting(self: argon2.PasswordHasher, hash: str | bytes, password: str | bytes) -> bool:
        checked.append(argon2.extract_parameters(str(hash)))
        return verify(self, hash, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", noting)
    users.verify("ada", "a wrong password")
    users.verify("nobody", "a wrong password")
    assert len(checked) == 2
    assert checked[0] == checked[1]


def test_a_hash_with_old_parameters_is_replaced_and_sessions_stay(users: Users) -> None:
    stronger = Users(users.path, argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    before = users.all()["ada"]
    assert stronger.verify("ada", PASSWORD)
    after = users.all()["ada"]
    assert (after.password_id, after.hash != before.hash) == (before.password_id, True)
    assert argon2.extract_parameters(after.hash).time_cost == 2
    assert users.verify("ada", PASSWORD)


def test_a_password_is_the_same_on_every_keyboard(users: Users) -> None:
    users.set_password("ada", "Ångström über Łódź")
    assert users.verify("ada", "A\u030angstro\u0308m u\u0308ber Łódź")


@pytest.mark.parametrize(
    ("password", "says"),
    [
        pytest.param("fourteen chars", "has 14 characters: use 15 or more", id="short"),
        pytest.param("", "has 0 characters", id="empty"),
        pytest.param("x" * 257, "longer than 256", id="long"),
        pytest.param("abababababababab", "easy to guess", id="repeated"),
        pytest.param("gracehopper gracehopper", "easy to guess", id="the name"),
    ],
)
def test_a_weak_password_is_refused(users: Users, password: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        users.add("gracehopper", password, ("admin",))
    assert "gracehopper" not in users.all()


@pytest.mark.parametrize("name", ["", "-x", "a b", "a:b", "a/b", "ä", "a\n", "x" * 65, "<b>"])
def test_a_strange_name_is_refused(users: Users, name: str) -> None:
    with pytest.raises(UserError, match="is no name"):
        users.add(name, PASSWORD, ("admin",))


def test_a_name_is_taken_in_any_case(users: Users) -> None:
    with pytest.raises(UserError, match="there is a user 'Ada' already"):
        users.add("Ada", PASSWORD, ("admin",))


def test_unknown_users_cannot_be_changed(users: Users) -> None:
    with pytest.raises(UserError, match="there is no user 'bob'"):
        users.remove("bob")
    with pytest.raises(UserError, match="there is no user 'bob'"):
        users.set_password("bob", PASSWORD)


def test_a_change_by_another_process_counts_at_once(users: Users) -> None:
    other = Users(users.path, QUICK)
    other.add("bob", PASSWORD, ("admin",))
    assert users.get("bob")
    other.remove("ada")
    assert users.get("ada") is None
    users.path.unlink()
    assert users.all() == {}


def test_changes_at_the_same_time_lose_nothing(users: Users) -> None:
    def add(name: str) -> None:
        Users(users.path, QUICK).add(name, PASSWORD, ("admin",))

    threads = [threading.Thread(target=add, args=(f"user{number}",)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(users.all()) == 13


def _with(change: Callable[[dict[str, object]], object]) -> Callable[[str], str]:
    def changed(text: str) -> str:
        content = json.loads(text)
        change(content["users"]["ada"])
        return json.dumps(content)

    return changed


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda text: text[: len(text) // 2], id="half a file"),
        pytest.param(lambda text: "", id="empty"),
        pytest.param(lambda text: "[]", id="no object"),
        pytest.param(lambda text: text.replace("users", "people"), id="unknown field"),
        pytest.param(lambda text: "[" * 100_000, id="deep"),
        pytest.param(_with(lambda user: user.update(hash="plain text")), id="no hash"),
        pytest.param(_with(lambda user: user.update(roles=["boss"])), id="unknown role"),
        pytest.param(_with(lambda user: user.update(roles=[])), id="no role"),
        pytest.param(_with(lambda user: user.pop("password_id")), id="no password id"),
    ],
)
def test_a_spoiled_file_lets_nobody_in_and_is_named(users: Users, spoil: Callable[[str], str]) -> None:
    spoiled = spoil(users.path.read_text())
    users.path.write_text(spoiled)
    with pytest.raises(UserError, match=r"users\.json: .*restore it from a copy"):
        users.verify("ada", PASSWORD)
    with pytest.raises(UserError):
        users.add("bob", PASSWORD, ("admin",))
    assert users.path.read_text() == spoiled, "a file that we do not understand is not overwritten"


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602])
def test_a_file_that_others_may_use_is_refused(users: Users, mode: int) -> None:
    assert users.get("ada")
    users.path.chmod(mode)
    with pytest.raises(UserError, match="run: chmod 600"):
        users.get("ada")
    users.path.chmod(0o600)
    assert users.get("ada")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_cannot_be_read_is_named(users: Users) -> None:
    users.path.chmod(0)
    with pytest.raises(UserError, match=r"users\.json: cannot be read: Permission denied"):
        users.all()
