"""Pokes in Chromium: a poke, its mark, the jump, the front, the recovery; a rewind, a refusal."""

from driving import (
    menu,
    open_drawer,
    press,
    push,
    readout,
    step,
    turn,
    wait_for,
    wait_in_drawer,
)


def poke(page, state, how="shift", amount="0.5"):
    """Choose a state and poke it."""
    menu(page, "state").select_option(index=state)
    menu(page, "how").select_option(label=how)
    field = {"shift": "add", "noise": "std. deviation", "clamp": "hold at"}.get(how)
    if field:
        turn(page, field, amount)
    push(page, "poke", exact=True)


def test_a_poke_is_marked_jumps_travels_recovers_and_is_rewound(page):
    open_drawer(page, "poke")
    wait_in_drawer(page, "nothing was poked in this lane")
    before = step(page, 20)
    assert before["poked"] is None and before["recovery"] is None
    lane, lanes = before["lane"], before["lanes"]
    poke(page, 5)
    shown = wait_for(
        page,
        lambda r: r["poked"] == 20 and r["energies"] != before["energies"],
        what="the poke",
    )
    jumped = [a > 2 * b for a, b in zip(shown["energies"], before["energies"], strict=True)]
    assert jumped == [k in (5, 6) for k in range(1, 11)], "two layers read state 5"
    assert shown["lanes"] == lanes and shown["row"] == 20
    wait_in_drawer(page, "poke 5: shift 0.5")
    wait_in_drawer(page, "take a step, then it can be compared")
    step(page, 5)
    wait_in_drawer(page, "not within 5 steps")
    push(page, "relax it without the poke")
    beside = (lanes + 1, lane, lanes)
    wait_for(page, lambda r: (r["lanes"], r["lane"], r["ghost"]) == beside, what="one beside it")
    # The energy of layer k reads states k and k - 1: the front takes a step a layer.
    for k in range(1, 11):
        front = max(5 - k, k - 6, 0)
        wait_in_drawer(page, rf"\b{k}\s+{front}\s")
    step(page, 60)
    push(page, "go on without the poke")
    shown = wait_for(page, lambda r: r["recovery"] is not None, timeout=30, what="recovery")
    wait_in_drawer(page, f"{shown['recovery']} steps")
    assert 0 < shown["recovery"] <= 65 and shown["lanes"] == lanes + 1

    for row in (75, 65, 55):
        press(page, "Shift+ArrowLeft")
        wait_for(page, lambda r, row=row: r["cursor"] == row, what=f"row {row}")
    poke(page, 8, "zero")
    shown = wait_for(page, lambda r: r["lanes"] == lanes + 2 and r["poked"] == 55, what="a fork")
    assert shown["row"] == 55 and shown["ghost"] == lane
    press(page, "x")
    wait_for(page, lambda r: r["lane"] == lane and r["poked"] == 20, what="the other lane")


def test_a_refusal_is_said_beside_the_button_and_a_clamp_is_released(page):
    open_drawer(page, "poke")
    wait_in_drawer(page, "nothing was poked")
    poke(page, 3, "noise", "0")
    wait_in_drawer(page, "poke.amount: 0.0; for noise a standard deviation above 0")
    turn(page, "in sample", "99")
    poke(page, 3, "shift", "0.1")
    wait_in_drawer(page, r"poke\.sample: 99; 0\.\.\d+, as the batch has")
    assert readout(page)["poked"] is None
    turn(page, "in sample", "")
    poke(page, 3, "clamp", "")
    wait_for(page, lambda r: r["poked"] == 0, what="a clamp")
    push(page, "release 3")
    wait_in_drawer(page, "poke 3: release")
    menu(page, "state").select_option(index=0)
    menu(page, "how").select_option(label="zero")
    turn(page, "in rows", "0..13")
    push(page, "poke", exact=True)
    wait_in_drawer(page, r"poke 0: zero, rows 0\.\.13, columns 0\.\.27")
