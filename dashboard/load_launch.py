"""The presets as cards: what each will do to the chosen target, and the button that starts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import access, actions, choices, controls, data, panels
from dashboard import format as fmt
from dashboard import run_words as words
from dashboard.access import Access
from warehouse.errors import InvalidInputError, PerfhouseError
from warehouse.plan import Plan, make_plan, total_s, users_at
from warehouse.settings import PresetSettings, Settings, TargetSettings

RUN_PAGE = "dashboard/views/run.py"
OWN_SCENARIO = ""
"""The scenario that the target itself suggests."""

BUSY = {"refuse": "Refuse", "queue": "Queue"}
EXAMPLE = """[target.load]              # below the [[target]] it belongs to
users = 50                 # most users at once
requests_per_s = 200       # most requests a second
duration_s = 900           # longest run
environment = "staging"    # shown before every start
"""


@dataclass(frozen=True)
class Choice:
    """Where to, with what, and what becomes of it when a run is on there."""

    target: str
    scenario: str | None
    waits: bool


def targets(settings: Settings) -> list[TargetSettings]:
    """The targets that load may be sent to."""
    return [target for target in settings.target if target.load is not None]


def show(settings: Settings, mine: Access, agents: int | None) -> None:
    """The choice and the cards; where no load may be sent anywhere, how to allow it."""
    offered = targets(settings)
    with st.container(border=True, key="launch"):
        st.header("Start a load test", anchor=False)
        if not offered:
            _none_allowed(settings)
            return
        _sign_in(mine)
        if agents == 0:
            _no_agent()
        choice = _choose(settings, offered)
        place = st.container()
        with st.grid(4, min_column_width=140, gap="small"):
            for preset in settings.presets.values():
                with st.container(border=True, height="stretch", key=f"preset_{preset.name}"):
                    if _card(settings, choice, preset, mine):
                        with place:
                            _start(choice, preset, None)


def _choose(settings: Settings, offered: Sequence[TargetSettings]) -> Choice:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        names = {target.name: _described(target) for target in offered}
        target = choices.one("Target", "launch_target", list(names), words=names)
        scenarios = _scenarios(settings, target)
        scenario = choices.one("Scenario", "launch_scenario", list(scenarios), words=scenarios)
        asked = controls.parameter("if_busy") or ""
        st.session_state["if_busy_choice"] = asked if asked in BUSY else "refuse"
        st.segmented_control(
            "While a run is on there",
            list(BUSY),
            format_func=BUSY.__getitem__,
            key="if_busy_choice",
            required=True,
            on_change=_take_busy,
            help="A target bears one run at a time: another one is refused, or waits until that one has "
            "ended.",
        )
    alone = [("Target", names, target)] if len(names) == 1 else []
    alone += [("Scenario", scenarios, scenario)] if len(scenarios) == 1 else []
    if alone:
        st.caption(" · ".join(f"{what}: {fmt.plain(known[one])}" for what, known, one in alone))
    return Choice(target, scenario or None, st.session_state["if_busy_choice"] == "queue")


def _take_busy() -> None:
    chosen = st.session_state["if_busy_choice"]
    controls.remember("if_busy", None if chosen == "refuse" else chosen)


def _described(target: TargetSettings) -> str:
    load = target.load
    environment = f" ({load.environment})" if load is not None and load.environment else ""
    return fmt.option(f"{target.name} · {target.url}{environment}")


def _scenarios(settings: Settings, target: str) -> dict[str, str]:
    """Those that may run there, with their titles; the one that runs unless told otherwise comes first."""
    fitting = [each for each in settings.scenarios.values() if not each.targets or target in each.targets]
    meant = next((each for each in fitting if target in each.targets), None)
    own = {OWN_SCENARIO: "The target's own GET endpoints"} if meant is None else {}
    ordered = sorted(fitting, key=lambda each: each is not meant)
    return own | {each.name: fmt.option(each.title or each.name) for each in ordered}


def _card(settings: Settings, choice: Choice, preset: PresetSettings, mine: Access) -> bool:
    """One preset; whether its button was pressed and nothing more is to be asked."""
    stages = preset.stages
    most, length_s = max(stage[1] for stage in stages), total_s(stages)
    steps = words.LONGEST_CURVE
    st.metric(
        fmt.plain(preset.name),
        fmt.plural(most, "user"),
        delta=words.span(length_s),
        delta_color="off",
        delta_arrow="off",
        chart_data=[users_at(stages, length_s * at / steps) for at in range(steps)],
        chart_type="area",
    )
    plan = _plan(settings, choice, preset)
    st.caption(_told(plan, preset))
    refused = isinstance(plan, InvalidInputError)
    many = most >= actions.CONFIRM_FROM
    why = "Over a limit of this target." if refused else mine.why
    pressed = st.button(
        "Start…" if many else "Start",
        icon=":material/play_arrow:",
        key=f"start_{preset.name}",
        width="stretch",
        disabled=refused or not mine.allowed,
        help=fmt.plain(why) if why else None,
    )
    if pressed and many and isinstance(plan, Plan):
        _confirm(choice, preset, plan)
    return pressed and not many


def _plan(settings: Settings, choice: Choice, preset: PresetSettings) -> Plan | InvalidInputError:
    try:
        return make_plan(settings, choice.target, preset.name, choice.scenario)
    except InvalidInputError as error:
        return error


def _told(plan: Plan | InvalidInputError, preset: PresetSettings) -> str:
    """What it will do, or why it may not."""
    if isinstance(plan, InvalidInputError):
        return f":material/block: {fmt.plain(plan.message)}. {fmt.plain(plan.hint)}".strip()
    title = preset.title if preset.title and preset.title.lower() != preset.name.lower() else ""
    told = [fmt.plain(title) if title else fmt.plain(words.curve_text(plan.stages))]
    if plan.rate_per_s:
        told.append(f"{fmt.number(plan.rate_per_s)} arrivals/s, {plan.arrivals}")
    if plan.workers > 1:
        told.append(f"{plan.workers} processes")
    if plan.agents > 1:
        told.append(f"{plan.agents} load agents")
    told.append(f"passes if {fmt.plain(' and '.join(plan.criteria))}" if plan.criteria else "no criteria")
    return " · ".join(told)


@st.dialog("Start a load test?", icon=":material/rocket_launch:")
def _confirm(choice: Choice, preset: PresetSettings, plan: Plan) -> None:
    """A hundred users and more ask for the preset's name."""
    where = fmt.plain(plan.url) + (f" ({fmt.plain(plan.environment)})" if plan.environment else "")
    st.markdown(
        f"**{fmt.plain(preset.name)}**: {fmt.plural(plan.users, 'user')}, {words.span(plan.duration_s)}, "
        f"against **{fmt.plain(plan.target)}**, {where}"
    )
    st.warning(
        "So much load can bring the target to its knees, and others who use it with it.",
        icon=":material/warning:",
    )
    typed = st.text_input(
        "Type the preset's name to confirm", key="confirm_name", live=True, autocomplete="off"
    )
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Cancel", key="confirm_cancel"):
            st.rerun()
        ready = (typed or "").strip() == preset.name
        if st.button("Start test", key="confirm_start", type="primary", disabled=not ready):
            _start(choice, preset, preset.name)


def _start(choice: Choice, preset: PresetSettings, confirm: str | None) -> None:
    """Ask for the run and open it, or say why not."""
    try:
        run_id = actions.request_run(
            choice.target, preset.name, choice.scenario, waits=choice.waits, confirm=confirm
        )
    except PerfhouseError as error:
        panels.fault(error, f"{preset.name} was not started")
        if getattr(error, "status", 0) == 409:
            st.markdown("Choose **Queue** above to have it wait for that run's end.")
        return
    st.switch_page(RUN_PAGE, query_params={"run": run_id})


def _sign_in(mine: Access) -> None:
    """Who the reader is, why they may not start anything, and a way to sign in or out where there is one."""
    if not mine.allowed:
        st.warning(fmt.plain(mine.why), title="You can look, not start or stop", icon=":material/lock:")
    with st.container(horizontal=True, vertical_alignment="center", key="signing"):
        if access.can_sign_in():
            st.button("Sign in", icon=":material/login:", on_click=st.login, key="sign_in")
        if mine.allowed and mine.person:
            st.caption(f"Signed in as {fmt.plain(mine.person)}", width="content")
        if access.is_signed_in():
            st.button("Sign out", icon=":material/logout:", on_click=st.logout, key="sign_out")


def _no_agent() -> None:
    st.warning(
        "Nothing that runs load tests is running, so a started test waits until there is. Start everything "
        "with "
        "`perfhouse.py up`, or the load agent alone with `perfhouse.py agent`.",
        title="No load agent",
        icon=":material/hourglass_disabled:",
    )


def _none_allowed(settings: Settings) -> None:
    file = fmt.plain(data.configuration().path)
    watched = ", ".join(fmt.plain(target.name) for target in settings.target) or "none yet"
    st.markdown(
        "No target allows load tests yet. Allow one by giving it limits, which hold for every button, "
        "schedule "
        f"and command. Targets in {file}: {watched}."
    )
    st.code(EXAMPLE, language="toml")
    st.markdown("Then start Perfhouse again. `perfhouse.py check` finds mistakes in the configuration.")
